//! The handle of the risk evaluator: what routes ask it, and its counters.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
use std::time::Duration;

use actix::{Actor as _, Addr, ArbiterHandle, Recipient};
use rust_decimal::Decimal;

use super::history::History;
use super::risk_evaluator::{GetBreaches, GetStartingCapital, GetStatus, LimitsChanged, RiskEvaluator, Stop, Surroundings, Sync};
use crate::domain::id::EventId;
use crate::domain::risk::breach::Breach;
use crate::domain::risk::evaluation::Evaluation;
use crate::domain::risk::status::{Status, Switch};

/// How long a reader waits for the evaluator to have taken what was acknowledged before.
const SYNC_WAIT: Duration = Duration::from_millis(250);

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
    /// Files of days that are not written yet, after a failure.
    pub files_waiting: AtomicUsize,
    /// Times that one could not be written.
    pub files_failed: AtomicU64,
}

/// The evaluator is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("risk is not evaluated")]
pub struct Gone;

/// Asks the evaluator.
#[derive(Debug, Clone)]
pub struct RiskHandle {
    evaluator: Addr<RiskEvaluator>,
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
        let evaluator = RiskEvaluator::new(history, cursor, evaluation, around, Arc::clone(&counters));
        let evaluator = RiskEvaluator::start_in_arbiter(arbiter, |_| evaluator);
        Self { evaluator, counters }
    }

    /// The status when the kill switch says `switch`; it has what was acknowledged before this call.
    ///
    /// # Errors
    /// The evaluator is gone.
    pub async fn status(&self, switch: Switch) -> Result<Status, Gone> {
        self.settle().await;
        self.evaluator.send(GetStatus(switch)).await.map_err(|_| Gone)
    }

    /// The breaches, in the order of the limits.
    ///
    /// # Errors
    /// The evaluator is gone.
    pub async fn breaches(&self) -> Result<Vec<Breach>, Gone> {
        self.settle().await;
        self.evaluator.send(GetBreaches).await.map_err(|_| Gone)
    }

    /// Starting capital by `runtime_metrics.json`, by an engine's word of today, or as configured; `None` if nobody says.
    pub async fn starting_capital(&self) -> Option<Decimal> {
        self.evaluator.send(GetStartingCapital).await.ok().flatten()
    }

    /// Returns when everything that is committed now was taken.
    pub async fn synced(&self) {
        if let Ok(taken) = self.evaluator.send(Sync).await {
            // an evaluator that is gone knows no more than it knew
            let _ = taken.await;
        }
    }

    async fn settle(&self) {
        // it is a courtesy: under load the figures are told as they are
        let _ = tokio::time::timeout(SYNC_WAIT, self.synced()).await;
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
