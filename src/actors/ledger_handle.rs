//! The handle of the trade ledger: what routes ask it, and what others may know of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use actix::{Actor as _, Addr, ArbiterHandle};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::admission::Admission;
use super::history::History;
use super::ledger_reader::{self, OpenReader, Reader, Run};
use super::trade_ledger::{Check, Distrust, Stop, Surroundings, Sync, TradeLedger};
use crate::domain::clock::Timestamp;
use crate::storage::StorageError;
use crate::storage::ledger::{LedgerReader, Missing};

/// How long a question waits until the ledger has folded what was acknowledged before it.
const SYNC_WAIT: Duration = Duration::from_secs(2);
/// How long a question waits for its place among those that wait.
const TURN_WAIT: Duration = Duration::from_millis(250);

/// What the ledger lets others know; written by the ledger alone.
#[derive(Debug, Default)]
pub struct LedgerStatus {
    /// Whether what the journal had at the start was folded.
    pub is_rebuilt: AtomicBool,
    /// Why it cannot be written; `None` when it can.
    pub failure: Mutex<Option<String>>,
    /// Name of a broken file that was set aside.
    pub set_aside: Mutex<Option<String>>,
    /// Which opening is in force, of which each may be of another file; goes on too when one is over. 0 before the first.
    pub opening: AtomicU64,
    /// Entries written since the start.
    pub written: AtomicU64,
    /// Transactions since the start.
    pub batches: AtomicU64,
    /// Times that it could not be written.
    pub failed: AtomicU64,
    /// Entries that wait for the next transaction.
    pub pending: AtomicUsize,
    /// Entries since the start that name no profile, and count to none.
    pub without_profile: AtomicU64,
    /// What it is known not to have.
    pub missing: Mutex<Missing>,
}

/// Why a question was not answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    /// The configuration turns it off.
    #[error("the ledger is off")]
    Disabled,
    /// Too many questions are waiting.
    #[error("too many questions are waiting")]
    Busy,
    /// The journal is still being read.
    #[error("the ledger is being rebuilt")]
    Rebuilding,
    /// More is posted than it can fold in time.
    #[error("the ledger is behind")]
    Behind,
    /// It cannot be written, so it does not have what was acknowledged.
    #[error("the ledger cannot be written")]
    Failing,
    /// An internal error, which was contained.
    #[error("the question was not answered")]
    Lost,
    /// The store said no.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// The readers of the ledger.
pub struct Readers {
    /// Threads.
    pub threads: usize,
    /// Questions that may wait for them.
    pub queue: usize,
    /// How they get their connections.
    pub open: Arc<OpenReader>,
}

/// Asks the ledger.
#[derive(Debug, Clone)]
pub struct LedgerHandle {
    /// None when the configuration turns it off.
    running: Option<(Addr<TradeLedger>, Addr<Reader>)>,
    askers: Admission,
    status: Arc<LedgerStatus>,
}

impl LedgerHandle {
    /// Starts the ledger on `arbiter`, whose thread it may block.
    #[must_use]
    pub fn start(arbiter: &ArbiterHandle, history: History, around: Surroundings, readers: Readers) -> Self {
        let status = Arc::<LedgerStatus>::default();
        let pool = ledger_reader::start(readers.threads, readers.open, &status, &around.panics);
        let ledger = TradeLedger::new(history, around, Arc::clone(&status));
        let ledger = TradeLedger::start_in_arbiter(arbiter, |_| ledger);
        Self { running: Some((ledger, pool)), askers: Admission::new(readers.queue, TURN_WAIT), status }
    }

    /// A ledger that is off.
    #[must_use]
    pub fn disabled() -> Self {
        Self { running: None, askers: Admission::new(1, TURN_WAIT), status: Arc::default() }
    }

    /// Runs `query` on a reader that sees what was acknowledged before this call.
    ///
    /// # Errors
    /// See [`LedgerError`]; what is known only in part is not told.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        query: impl FnOnce(&mut dyn LedgerReader) -> Result<T, StorageError> + Send + 'static,
    ) -> Result<T, LedgerError> {
        let (ledger, pool) = self.running.as_ref().ok_or(LedgerError::Disabled)?;
        let permit = self.askers.enter(1).await.map_err(|_| LedgerError::Busy)?;
        let opening = self.synced(ledger).await?;
        let (answer, answered) = oneshot::channel();
        let work = Box::new(move |reader: Result<&mut dyn LedgerReader, LedgerError>| {
            let _permit = permit;
            // nobody waits any more when the client is gone: then the work is not done either
            if !answer.is_closed() {
                let _ = answer.send(reader.and_then(|reader| Ok(query(reader)?)));
            }
        });
        pool.do_send(Run { opening, work });
        let answer = answered.await.map_err(|_| LedgerError::Lost)?;
        match &answer {
            Err(LedgerError::Storage(StorageError::Broken(what))) => ledger.do_send(Distrust { opening, what: what.clone() }),
            Err(LedgerError::Storage(StorageError::TooSlow(_))) => {}
            // what a reader cannot open may be gone for the ledger too: then /health says so before the client asks it
            Err(LedgerError::Storage(_)) => drop(tokio::time::timeout(SYNC_WAIT, ledger.send(Check)).await),
            _ => {}
        }
        answer
    }

    /// Waits until what is acknowledged now can be read, and says of which opening.
    async fn synced(&self, ledger: &Addr<TradeLedger>) -> Result<u64, LedgerError> {
        let synced = async {
            let done = ledger.send(Sync).await.map_err(|_| LedgerError::Lost)?;
            done.await.map_err(|_| LedgerError::Lost)?
        };
        match tokio::time::timeout(SYNC_WAIT, synced).await {
            Ok(done) => done,
            Err(_) if !self.status.is_rebuilt.load(Ordering::Acquire) => Err(LedgerError::Rebuilding),
            Err(_) => Err(LedgerError::Behind),
        }
    }

    /// Whether the configuration lets it run.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.running.is_some()
    }

    /// Writes what is at hand, and ends.
    pub async fn stop(&self) {
        let Some((ledger, _)) = &self.running else { return };
        // what is not written now, the next start folds from the journal
        let _ = ledger.send(Stop).await;
    }

    /// All that arrived from then on is in the ledger; `None` when nothing is known to be missing that belongs to a window
    /// that begins at `start`.
    #[must_use]
    pub fn complete_from(&self, start: Timestamp) -> Option<Timestamp> {
        self.status.missing.lock().complete_from().filter(|complete_from| start < *complete_from)
    }

    /// The queue of questions.
    #[must_use]
    pub fn admission(&self) -> &Admission {
        &self.askers
    }

    /// What others may know.
    #[must_use]
    pub fn status(&self) -> &LedgerStatus {
        &self.status
    }
}
