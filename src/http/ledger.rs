//! What is common to the routes that ask the ledger: its faults, and its health.

use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};

use super::problem::Problem;
use super::state::State;
use crate::actors::ledger_handle::LedgerError;
use crate::domain::id::EventId;
use crate::storage::StorageError;
use crate::storage::ledger::Missing;

/// When to ask again while the ledger catches up, in seconds.
const SOON: u32 = 1;
/// When to ask again while it fails.
const LATER: u32 = 5;
/// When to ask again when it is off.
const MUCH_LATER: u32 = 3_600;

impl From<LedgerError> for Problem {
    fn from(error: LedgerError) -> Self {
        let unavailable = |detail: &str, retry_after| Self::Unavailable { detail: detail.to_owned(), retry_after };
        match error {
            LedgerError::Disabled => unavailable(
                "trade analytics are off: analytics.enabled is false in the configuration; set it to true to turn them on",
                MUCH_LATER,
            ),
            LedgerError::Busy => unavailable("too many questions for the ledger are waiting; try again", SOON),
            LedgerError::Rebuilding => unavailable("the ledger is being opened, or rebuilt from the journal; try again", SOON),
            LedgerError::Behind => unavailable("the ledger is still folding what was posted; try again", SOON),
            LedgerError::Failing => unavailable("the ledger cannot be written; /health says why", LATER),
            LedgerError::Storage(StorageError::TooSlow(_)) => {
                unavailable("the ledger took longer than analytics.query_timeout; ask for less, or try again", LATER)
            }
            LedgerError::Storage(error) => {
                tracing::error!(%error, "the ledger cannot be read");
                unavailable("the ledger cannot be read; /health says more", LATER)
            }
            LedgerError::Lost => Self::Internal,
        }
    }
}

/// How well the ledger follows.
pub(super) fn health(state: &State) -> (&'static str, Value) {
    let (status, queue) = (state.ledger.status(), state.ledger.admission());
    if !state.ledger.is_enabled() {
        return ("ok", json!({ "status": "ok", "enabled": false }));
    }
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let failure = status.failure.lock().clone();
    let set_aside = status.set_aside.lock().clone();
    let missing = *status.missing.lock();
    // that it is opened for the first time is part of it: its days may have to be told anew
    let rebuilding = failure.is_none() && !status.is_rebuilt.load(Ordering::Acquire);
    let is_whole = set_aside.is_none() && missing == Missing::default();
    let word = if failure.is_none() && !rebuilding && is_whole { "ok" } else { "degraded" };
    let body = json!({
        "status": if failure.is_some() { "failing" } else { word },
        "enabled": true,
        "failure": failure,
        "rebuilding": rebuilding,
        "set_aside": set_aside,
        "opening": failure.is_none() && count(&status.opening) == 0,
        "complete_from": missing.complete_from().map(|time| time.to_string()),
        "missed_until": (missing.until != EventId::ZERO).then(|| missing.until.to_string()),
        "skipped_events": missing.skipped,
        "pending": status.pending.load(Ordering::Relaxed),
        "written": count(&status.written),
        "without_profile": count(&status.without_profile),
        "batches": count(&status.batches),
        "failed": count(&status.failed),
        "queue": queue.used(),
        "queue_capacity": queue.capacity(),
        "refused": queue.refused(),
    });
    (word, body)
}
