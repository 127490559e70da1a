//! The journal: the one writer of the log. It commits what the bus hands it, deletes what is too old, and finds out by
//! itself when a disk that was full has room again.

use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, Addr, ArbiterHandle, AsyncContext, Context, Handler, Message, MessageResult};
use parking_lot::RwLock;

use super::supervision::Panics;
use crate::domain::clock::Clock;
use crate::domain::event::Event;
use crate::domain::id::EventId;
use crate::storage::{Duplicate, EventLog, LogStats, StorageError};

/// While it fails, the journal tries this often whether it works again.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);

/// The journal's name in logs and `/health`.
pub const NAME: &str = "journal";

/// What the journal keeps, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct Retention {
    /// Older events are deleted.
    pub max_age: Duration,
    /// The oldest are deleted beyond this.
    pub max_bytes: u64,
    /// How often that is looked after.
    pub interval: Duration,
}

/// The journal's state as others may read it.
#[derive(Debug, Clone, Default)]
pub struct JournalStatus {
    /// What the log knows of itself.
    pub log: LogStats,
    /// Why it cannot be written to; `None` when it can.
    pub failure: Option<String>,
    /// Whether only a new start can help.
    pub damaged: bool,
    /// Commits so far.
    pub commits: u64,
}

/// Shared read model of [`JournalStatus`], written by the journal alone.
pub type SharedStatus = Arc<RwLock<JournalStatus>>;

/// The actor.
pub struct Journal {
    log: Box<dyn EventLog>,
    retention: Retention,
    clock: Clock,
    panics: Panics,
    status: SharedStatus,
}

/// Commit these events, all or none.
#[derive(Debug, Message)]
#[rtype(result = "Result<Vec<Duplicate>, StorageError>")]
pub struct Append(pub Vec<Arc<Event>>);

/// Write back what is only in side files; the answer says that all commits before it are done.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct Checkpoint;

/// Delete one batch of what is too old.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
struct Retain;

/// Try whether a failed log works again.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
struct Probe;

impl Journal {
    /// Starts the journal on `arbiter`, whose thread it may block.
    pub fn start(
        arbiter: &ArbiterHandle,
        log: Box<dyn EventLog>,
        retention: Retention,
        clock: Clock,
        panics: Panics,
        status: SharedStatus,
    ) -> Addr<Self> {
        status.write().log = log.stats();
        Self::start_in_arbiter(arbiter, move |_| Self { log, retention, clock, panics, status })
    }

    /// Runs `work` on the log, and keeps the status true.
    fn work<T>(&mut self, work: impl FnOnce(&mut dyn EventLog) -> Result<T, StorageError>) -> Result<T, StorageError> {
        let log = self.log.as_mut();
        let done = self.panics.guard(NAME, || work(log));
        let done = done.unwrap_or_else(|contained| Err(StorageError::Failed(contained.to_string())));
        let mut status = self.status.write();
        status.log = self.log.stats();
        status.damaged |= matches!(done, Err(StorageError::Broken(_)));
        let failure = done.as_ref().err().map(ToString::to_string);
        match (&status.failure, &failure) {
            (None, Some(error)) => {
                tracing::error!(error, "the journal cannot be written; posts are answered with 503 until it can")
            }
            (Some(_), None) => tracing::info!("the journal can be written again"),
            _ => {}
        }
        status.failure = failure;
        done
    }
}

impl Actor for Journal {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.notify(Retain);
        ctx.run_interval(self.retention.interval, |_, ctx| ctx.notify(Retain));
        ctx.run_interval(PROBE_INTERVAL, |_, ctx| ctx.notify(Probe));
    }
}

impl Handler<Append> for Journal {
    type Result = Result<Vec<Duplicate>, StorageError>;

    fn handle(&mut self, Append(events): Append, _: &mut Self::Context) -> Self::Result {
        let duplicates = self.work(|log| log.append(&events))?;
        self.status.write().commits += 1;
        Ok(duplicates)
    }
}

impl Handler<Checkpoint> for Journal {
    type Result = MessageResult<Checkpoint>;

    fn handle(&mut self, _: Checkpoint, _: &mut Self::Context) -> Self::Result {
        let log = self.log.as_mut();
        // what fails in here is in the log, and the commits are safe in the side file
        let _ = self.panics.guard(NAME, || log.checkpoint());
        MessageResult(())
    }
}

impl Handler<Retain> for Journal {
    type Result = ();

    fn handle(&mut self, _: Retain, ctx: &mut Self::Context) {
        if self.status.read().failure.is_some() {
            // nothing to delete would look like a log that works again
            return;
        }
        let age = i64::try_from(self.retention.max_age.as_micros()).unwrap_or(i64::MAX);
        let expired = self.clock.now().micros().saturating_sub(age);
        let expired = EventId::first_at(crate::domain::clock::Timestamp::from_micros(expired));
        let max_bytes = self.retention.max_bytes;
        // batch by batch through the mailbox, so that commits come in between
        if self.work(|log| log.retain(expired, max_bytes)) == Ok(true) {
            ctx.notify(Retain);
        }
    }
}

impl Handler<Probe> for Journal {
    type Result = ();

    fn handle(&mut self, _: Probe, _: &mut Self::Context) {
        let status = self.status.read().clone();
        if status.failure.is_some() && !status.damaged {
            // the outcome is in the status
            let _ = self.work(|log| log.probe());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::clock::Timestamp;
    use std::sync::atomic::{AtomicBool, Ordering};

    /// A log that fails or panics when told to.
    #[derive(Default)]
    struct Faulty {
        fail: Arc<AtomicBool>,
        panic: Arc<AtomicBool>,
    }

    impl EventLog for Faulty {
        fn append(&mut self, _: &[Arc<Event>]) -> Result<Vec<Duplicate>, StorageError> {
            assert!(!self.panic.load(Ordering::SeqCst), "on purpose");
            self.probe().map(|()| Vec::new())
        }
        fn retain(&mut self, _: EventId, _: u64) -> Result<bool, StorageError> {
            self.probe().map(|()| false)
        }
        fn probe(&mut self) -> Result<(), StorageError> {
            if self.fail.load(Ordering::SeqCst) { Err(StorageError::Full("no room".into())) } else { Ok(()) }
        }
        fn stats(&self) -> LogStats {
            LogStats::default()
        }
        fn checkpoint(&mut self) {}
    }

    fn started(log: Faulty) -> (Addr<Journal>, SharedStatus, Panics) {
        let retention = Retention { max_age: Duration::from_secs(1), max_bytes: 1, interval: Duration::from_secs(60) };
        let clock = Clock::new(|| Timestamp::from_micros(1_763_452_541_000_000));
        let (status, panics) = (SharedStatus::default(), Panics::default());
        let here = actix::Arbiter::current();
        (Journal::start(&here, Box::new(log), retention, clock, panics.clone(), status.clone()), status, panics)
    }

    #[actix_web::test]
    async fn a_log_that_failed_is_found_working_again_without_a_post() {
        tokio::time::pause();
        let log = Faulty::default();
        let fail = Arc::clone(&log.fail);
        let (journal, status, _) = started(log);
        fail.store(true, Ordering::SeqCst);
        assert!(journal.send(Append(Vec::new())).await.expect("answered").is_err());
        assert!(status.read().failure.is_some());
        tokio::time::advance(PROBE_INTERVAL * 3).await;
        journal.send(Checkpoint).await.expect("answered");
        assert!(status.read().failure.is_some(), "still no room");
        fail.store(false, Ordering::SeqCst);
        tokio::time::advance(PROBE_INTERVAL * 2).await;
        journal.send(Checkpoint).await.expect("answered");
        assert!(status.read().failure.is_none());
    }

    #[actix_web::test]
    async fn a_panic_of_the_log_fails_one_commit_and_the_next_is_served() {
        let log = Faulty::default();
        let panic = Arc::clone(&log.panic);
        let (journal, _, panics) = started(log);
        panic.store(true, Ordering::SeqCst);
        assert!(journal.send(Append(Vec::new())).await.expect("answered").is_err());
        panic.store(false, Ordering::SeqCst);
        assert!(journal.send(Append(Vec::new())).await.expect("answered").is_ok());
        assert_eq!(panics.counts(), [(NAME, 1)]);
    }
}
