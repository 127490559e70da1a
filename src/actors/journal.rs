//! The journal: the one writer of the log. It commits what the bus hands it, deletes what is too old, and finds out by
//! itself when a disk that was full has room again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use actix::fut::wrap_future;
use actix::{Actor, ActorFutureExt as _, Addr, ArbiterHandle, AsyncContext, Context, Handler, Message, MessageResult};
use parking_lot::RwLock;

use super::supervision::Panics;
use crate::domain::clock::Clock;
use crate::domain::event::Event;
use crate::domain::histogram::{Histogram, Recorder};
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

/// How commits went.
#[derive(Debug)]
pub struct CommitMeasures {
    /// From when the group is handed to the journal until it is durable, in microseconds.
    pub waits: Histogram,
    /// Events of each commit.
    pub sizes: Histogram,
    /// Commits that failed.
    pub failed: AtomicU64,
}

/// Upper bounds for the size of a commit.
const SIZES: &[u64] = &[1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000];

impl Default for CommitMeasures {
    fn default() -> Self {
        Self { waits: Histogram::default(), sizes: Histogram::new(SIZES), failed: AtomicU64::new(0) }
    }
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
    measures: Arc<CommitMeasures>,
    /// Of waits, and of sizes.
    recorders: (Recorder, Recorder),
}

/// Commit these events, all or none.
#[derive(Debug, Message)]
#[rtype(result = "Result<Vec<Duplicate>, StorageError>")]
pub struct Append {
    /// The events, in the order of their ids.
    pub events: Vec<Arc<Event>>,
    /// When they were handed over.
    pub handed_over: Instant,
}

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
    /// Starts the journal on `arbiter`, whose thread it blocks while it writes: it shares it with the bus alone.
    pub fn start(
        arbiter: &ArbiterHandle,
        log: Box<dyn EventLog>,
        retention: Retention,
        clock: Clock,
        panics: Panics,
        status: SharedStatus,
        measures: Arc<CommitMeasures>,
    ) -> Addr<Self> {
        status.write().log = log.stats();
        let recorders = (measures.waits.recorder(), measures.sizes.recorder());
        Self::start_in_arbiter(arbiter, move |_| Self { log, retention, clock, panics, status, measures, recorders })
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

    fn handle(&mut self, Append { events, handed_over }: Append, _: &mut Self::Context) -> Self::Result {
        let committed = self.work(|log| log.append(&events));
        if committed.is_ok() {
            self.status.write().commits += 1;
            let (waits, sizes) = &self.recorders;
            waits.record(u64::try_from(handed_over.elapsed().as_micros()).unwrap_or(u64::MAX));
            sizes.record(events.len() as u64);
        } else {
            self.measures.failed.fetch_add(1, Ordering::Relaxed);
        }
        committed
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
        if self.work(|log| log.retain(expired, max_bytes)) == Ok(true) {
            // the bus is on this thread: it has its turn between two batches, and so has what it sends
            let others = wrap_future::<_, Self>(tokio::task::yield_now());
            ctx.spawn(others.map(|(), _, ctx| ctx.notify(Retain)));
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
    use std::sync::atomic::AtomicBool;

    /// A log that fails or panics when told to.
    #[derive(Default)]
    struct Faulty {
        fail: Arc<AtomicBool>,
        panic: Arc<AtomicBool>,
        /// Batches that are to be deleted.
        expired: Arc<AtomicU64>,
    }

    impl EventLog for Faulty {
        fn append(&mut self, _: &[Arc<Event>]) -> Result<Vec<Duplicate>, StorageError> {
            assert!(!self.panic.load(Ordering::SeqCst), "on purpose");
            self.probe().map(|()| Vec::new())
        }
        fn retain(&mut self, _: EventId, _: u64) -> Result<bool, StorageError> {
            let left = self.expired.load(Ordering::SeqCst).saturating_sub(1);
            self.expired.store(left, Ordering::SeqCst);
            self.probe().map(|()| left > 0)
        }
        fn probe(&mut self) -> Result<(), StorageError> {
            if self.fail.load(Ordering::SeqCst) { Err(StorageError::Full("no room".into())) } else { Ok(()) }
        }
        fn stats(&self) -> LogStats {
            LogStats::default()
        }
        fn checkpoint(&mut self) {}
    }

    fn started(log: Faulty) -> (Addr<Journal>, SharedStatus, Panics, Arc<CommitMeasures>) {
        let retention = Retention { max_age: Duration::from_secs(1), max_bytes: 1, interval: Duration::from_secs(60) };
        let clock = Clock::new(|| Timestamp::from_micros(1_763_452_541_000_000));
        let (status, panics, measures) = (SharedStatus::default(), Panics::default(), Arc::<CommitMeasures>::default());
        let here = actix::Arbiter::current();
        let journal =
            Journal::start(&here, Box::new(log), retention, clock, panics.clone(), status.clone(), Arc::clone(&measures));
        (journal, status, panics, measures)
    }

    fn nothing() -> Append {
        Append { events: Vec::new(), handed_over: Instant::now() }
    }

    #[actix_web::test]
    async fn a_commit_is_timed_from_when_it_is_handed_over() {
        let waited = Duration::from_secs(1);
        let handed_over = Instant::now().checked_sub(waited).expect("the machine has run for a second");
        let (journal, _, _, measures) = started(Faulty::default());
        journal.send(Append { events: Vec::new(), handed_over }).await.expect("answered").expect("committed");
        assert!(u128::from(measures.waits.read().sum) >= waited.as_micros());
    }

    #[actix_web::test]
    async fn others_on_its_thread_have_their_turn_between_two_batches_of_deletions() {
        let log = Faulty::default();
        log.expired.store(100, Ordering::SeqCst);
        let expired = Arc::clone(&log.expired);
        let (_journal, ..) = started(log);
        let mut turns = 0;
        while expired.load(Ordering::SeqCst) > 0 {
            tokio::task::yield_now().await;
            turns += 1;
        }
        assert!(turns >= 50, "{turns}");
    }

    #[actix_web::test]
    async fn a_log_that_failed_is_found_working_again_without_a_post() {
        tokio::time::pause();
        let log = Faulty::default();
        let fail = Arc::clone(&log.fail);
        let (journal, status, ..) = started(log);
        fail.store(true, Ordering::SeqCst);
        assert!(journal.send(nothing()).await.expect("answered").is_err());
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
        let (journal, _, panics, _) = started(log);
        panic.store(true, Ordering::SeqCst);
        assert!(journal.send(nothing()).await.expect("answered").is_err());
        panic.store(false, Ordering::SeqCst);
        assert!(journal.send(nothing()).await.expect("answered").is_ok());
        assert_eq!(panics.counts(), [(NAME, 1)]);
    }
}
