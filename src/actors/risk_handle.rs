//! The handle of the risk evaluator: what routes ask it, and its counters.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
use std::time::Duration;

use actix::{Actor as _, Addr, ArbiterHandle, Message, Recipient};
use rust_decimal::Decimal;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::admission::Admission;
use super::history::History;
use super::risk_evaluator::{LimitsChanged, RiskEvaluator, Stop, Surroundings};
use super::supervision::Contained;
use crate::domain::id::EventId;
use crate::domain::risk::breach::Breach;
use crate::domain::risk::evaluation::Evaluation;
use crate::domain::risk::kill_switch::Position;
use crate::domain::risk::status::Status;

/// How long a reader waits for the evaluator to have taken what was acknowledged before.
const SYNC_WAIT: Duration = Duration::from_millis(250);
/// Questions that are under way at once: each is answered on the thread that finds breaches.
const MAX_ASKERS: usize = 64;
/// How long a question waits for its turn.
const TURN_WAIT: Duration = Duration::from_millis(250);

/// Counters of the evaluator, as `/health` reads them.
#[derive(Debug, Default)]
pub struct RiskCounters {
    /// Whether what the journal tells was taken.
    pub is_rebuilt: AtomicBool,
    /// Findings published.
    pub published: AtomicU64,
    /// Findings that wait for the bus.
    pub waiting: AtomicUsize,
    /// Times that the bus did not take them.
    pub refused: AtomicU64,
    /// Findings that were given up.
    pub lost: AtomicU64,
    /// Whether an internal error may have left something of the day out.
    pub is_hurt: AtomicBool,
    /// Files of days that are not written yet, after a failure.
    pub files_waiting: AtomicUsize,
    /// Times that one could not be written.
    pub files_failed: AtomicU64,
    /// Files that were given up: too many waited.
    pub files_lost: AtomicU64,
}

/// Why a question was not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RiskError {
    /// The evaluator is gone.
    #[error("risk is not evaluated")]
    Gone,
    /// Too many ask.
    #[error("too many questions are waiting")]
    Busy,
    /// The journal is still being read.
    #[error("the day is being rebuilt")]
    Rebuilding,
    /// A bug, which was contained.
    #[error("an internal error was contained")]
    Failed,
}

/// A place among those who ask; each of their messages carries it.
pub(super) type Permit = Arc<OwnedSemaphorePermit>;

/// Answer when everything that is committed now was taken.
#[derive(Debug, Message)]
#[rtype(result = "oneshot::Receiver<()>")]
pub(super) struct Sync(pub(super) Permit);

/// Tell the status.
#[derive(Debug, Message)]
#[rtype(result = "Result<Status, Contained>")]
pub(super) struct GetStatus(pub(super) Position, pub(super) Permit);

/// Tell the breaches; `None` while the journal is read.
#[derive(Debug, Message)]
#[rtype(result = "Result<Option<Vec<Breach>>, Contained>")]
pub(super) struct GetBreaches(pub(super) Permit);

/// Ask for the starting capital.
#[derive(Debug, Message)]
#[rtype(result = "Result<Option<Decimal>, Contained>")]
pub(super) struct GetStartingCapital(pub(super) Permit);

/// Asks the evaluator.
#[derive(Debug, Clone)]
pub struct RiskHandle {
    evaluator: Addr<RiskEvaluator>,
    askers: Admission,
    findings: Admission,
    counters: Arc<RiskCounters>,
}

impl RiskHandle {
    /// Starts the evaluator on `arbiter`; it takes what is behind `cursor`.
    #[must_use]
    pub fn start(
        arbiter: &ArbiterHandle,
        history: History,
        cursor: EventId,
        evaluation: Evaluation,
        around: Surroundings,
    ) -> Self {
        let counters = Arc::<RiskCounters>::default();
        let findings = around.bus.admission().clone();
        let evaluator = RiskEvaluator::new(history, cursor, evaluation, around, Arc::clone(&counters));
        let evaluator = RiskEvaluator::start_in_arbiter(arbiter, |_| evaluator);
        Self { evaluator, askers: Admission::new(MAX_ASKERS, TURN_WAIT), findings, counters }
    }

    /// The status when the kill switch says `switch`; it has what was acknowledged before this call.
    ///
    /// # Errors
    /// See [`RiskError`]; while the day is rebuilt the status says so.
    pub async fn status(&self, switch: Position) -> Result<Status, RiskError> {
        let permit = self.settled().await?;
        let answer = self.evaluator.send(GetStatus(switch, permit)).await.map_err(|_| RiskError::Gone)?;
        answer.map_err(|_| RiskError::Failed)
    }

    /// The breaches, in the order of the limits.
    ///
    /// # Errors
    /// See [`RiskError`].
    pub async fn breaches(&self) -> Result<Vec<Breach>, RiskError> {
        let permit = self.settled().await?;
        let answer = self.evaluator.send(GetBreaches(permit)).await.map_err(|_| RiskError::Gone)?;
        answer.map_err(|_| RiskError::Failed)?.ok_or(RiskError::Rebuilding)
    }

    /// Starting capital by `runtime_metrics.json`, by an engine's word of today, or as configured; `None` if nobody says.
    pub async fn starting_capital(&self) -> Option<Decimal> {
        let permit = self.enter().await.ok()?;
        self.evaluator.send(GetStartingCapital(permit)).await.ok()?.ok()?
    }

    /// Returns when everything that is committed now was taken.
    pub async fn synced(&self) {
        if let Ok(permit) = self.enter().await {
            self.sync(permit).await;
        }
    }

    async fn enter(&self) -> Result<Permit, RiskError> {
        self.askers.enter(1).await.map(Arc::new).map_err(|_| RiskError::Busy)
    }

    async fn sync(&self, permit: Permit) {
        if let Ok(taken) = self.evaluator.send(Sync(permit)).await {
            // an evaluator that is gone knows no more than it knew
            let _ = taken.await;
        }
    }

    /// A permit to ask, when what was acknowledged before was taken.
    async fn settled(&self) -> Result<Permit, RiskError> {
        let permit = self.enter().await?;
        // it is a courtesy: under load the figures are told as they are
        let _ = tokio::time::timeout(SYNC_WAIT, self.sync(Arc::clone(&permit))).await;
        Ok(permit)
    }

    /// Whether the evaluator runs.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.evaluator.connected()
    }

    /// The queue of questions.
    #[must_use]
    pub fn admission(&self) -> &Admission {
        &self.askers
    }

    /// The queue of findings before the bus, in KiB.
    #[must_use]
    pub fn findings(&self) -> &Admission {
        &self.findings
    }

    /// Who is to be told of new limits.
    #[must_use]
    pub fn limits(&self) -> Recipient<LimitsChanged> {
        self.evaluator.clone().recipient()
    }

    /// Ends the evaluator.
    pub async fn stop(&self) {
        // one that is gone has ended
        let _ = self.evaluator.send(Stop).await;
    }

    /// The counters.
    #[must_use]
    pub fn counters(&self) -> &RiskCounters {
        &self.counters
    }
}
