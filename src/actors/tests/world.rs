//! The actors on one thread, with a log that fails when told to and a clock that is set by hand.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use actix::{Addr, Arbiter};
use futures_util::{FutureExt as _, StreamExt as _};

use super::super::admission::Admission;
use super::super::history::History;
use super::super::journal::{Journal, Retention, SharedStatus};
use super::super::journal_reader::JournalReaderHandle;
use super::super::publisher::EventBusHandle;
use super::super::sse_body::SseBody;
use super::super::sse_fanout::{FanoutHandle, SseFanout, Start, Subscription};
use super::super::sse_session::{Connection, Hub, Limits, SseCounters, Wish};
use super::super::supervision::Panics;
use crate::domain::clock::{Clock, Timestamp};
use crate::domain::envelope::{Rules, parse};
use crate::domain::event::{Draft, Event};
use crate::domain::filter::Filter;
use crate::domain::id::EventId;
use crate::domain::ring::{Ring, RingLimits};
use crate::storage::sqlite::{Place, open};
use crate::storage::sqlite_reader::SqliteReader;
use crate::storage::{Duplicate, Durability, EventLog, LogStats, StorageError};

pub const LIMITS: Limits = Limits {
    heartbeat: Duration::from_secs(15),
    retry: (Duration::from_secs(1), Duration::from_secs(5)),
    max_clients: 100,
    chunk_bytes: 4096,
    stall_timeout: Duration::from_secs(30),
    max_lag_bytes: 64 << 20,
    max_lag_age: Duration::from_secs(60),
    close_grace: Duration::from_secs(5),
};

/// The real log, which can be told to fail or panic, and to hold its commits back.
pub struct Log {
    inner: Box<dyn EventLog>,
    fail: Arc<AtomicBool>,
}

impl EventLog for Log {
    fn append(&mut self, batch: &[Arc<Event>]) -> Result<Vec<Duplicate>, StorageError> {
        assert!(!batch.iter().any(|event| event.header().event_type == "panic"), "on purpose");
        if self.fail.load(Ordering::SeqCst) {
            return Err(StorageError::Full("no room".into()));
        }
        self.inner.append(batch)
    }
    fn retain(&mut self, expired: EventId, max_bytes: u64) -> Result<bool, StorageError> {
        self.inner.retain(expired, max_bytes)
    }
    fn probe(&mut self) -> Result<(), StorageError> {
        self.inner.probe()
    }
    fn stats(&self) -> LogStats {
        self.inner.stats()
    }
    fn checkpoint(&mut self) {}
}

/// A connection that only counts.
#[derive(Default)]
pub struct Fake {
    pub cut: Cell<usize>,
    pub taken: Cell<u64>,
}

impl Connection for Fake {
    fn cut(&self) {
        self.cut.set(self.cut.get() + 1);
    }
    fn taken(&self) -> u64 {
        self.taken.get()
    }
    fn timed_out(&self) -> bool {
        false
    }
    fn released(&self) {}
}

/// All of it on this thread.
pub struct World {
    pub bus: EventBusHandle,
    pub ring: Arc<Ring>,
    pub history: History,
    pub journal: SharedStatus,
    pub handle: FanoutHandle,
    pub fanout: Addr<SseFanout>,
    pub counters: Arc<SseCounters>,
    pub panics: Panics,
    pub fail: Arc<AtomicBool>,
    /// Microseconds since 1970.
    pub hand: Arc<AtomicI64>,
    pub connection: Rc<Fake>,
}

pub const RULES: Rules = Rules { max_event_bytes: 1 << 20, max_depth: 64, accept_unknown_types: true };

pub fn draft(event_type: &str, n: usize) -> Draft {
    let json = format!(r#"{{"type":"{event_type}","payload":{{"n":{n}}}}}"#);
    parse(json.as_bytes(), &RULES, Timestamp::from_micros(0)).expect("valid")
}

impl World {
    pub fn new(ring_events: usize, limits: Limits) -> Self {
        let hand = Arc::new(AtomicI64::new(1_763_452_541_000_000));
        let (clock, panics, fail) = (manual(Arc::clone(&hand)), Panics::default(), Arc::<AtomicBool>::default());
        let place = Place::Memory(format!("world-{}", fastrand::u64(..)));
        let window = Duration::from_secs(3600);
        let log = open(&place, Durability::Memory, window, Timestamp::from_micros(0)).expect("open").log;
        let log = Log { inner: Box::new(log), fail: Arc::clone(&fail) };
        let here = Arbiter::current();
        let retention =
            Retention { max_age: Duration::from_secs(86_400), max_bytes: u64::MAX, interval: Duration::from_secs(86_400) };
        let status = SharedStatus::default();
        let journal =
            Journal::start(&here, Box::new(log), retention, clock.clone(), panics.clone(), status.clone(), Arc::default());
        let ring = Arc::new(Ring::new(RingLimits { events: ring_events, bytes: 1 << 30 }, EventId::ZERO));
        let queue = Admission::new(100, Duration::from_millis(250));
        let bus = EventBusHandle::start(&here, EventId::ZERO, clock.clone(), Arc::clone(&ring), journal, queue, panics.clone());
        let opened = move || SqliteReader::open(&place, Duration::from_secs(5)).map(|reader| Box::new(reader) as _);
        let readers = JournalReaderHandle::start(1, Duration::from_secs(3600), Arc::new(opened), panics.clone());
        let history = History::new(Arc::clone(&ring), readers, clock.clone(), status.clone());
        let counters = Arc::<SseCounters>::default();
        let hub = Hub::new(Arc::clone(&ring), limits, Arc::clone(&counters), panics.clone(), 7);
        let (handle, fanout) = SseFanout::start(hub, history.clone(), &bus, clock);
        Self { bus, ring, history, journal: status, handle, fanout, counters, panics, fail, hand, connection: Rc::default() }
    }

    pub async fn publish(&self, numbers: std::ops::Range<usize>) -> Vec<EventId> {
        let drafts = numbers.map(|n| draft("tick", n)).collect();
        self.bus.publish(drafts).await.expect("published").into_iter().map(|receipt| receipt.id).collect()
    }

    pub async fn open(&self, start: Start) -> SseBody {
        let wish = Wish { filter: Filter::default(), named: false };
        self.handle.open(Subscription { wish, heartbeat_event: false, start }, self.connection.clone()).await
    }

    /// Lets every actor on this thread handle what it was sent, and its clients be woken.
    pub async fn settle(&self) {
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
    }

    /// Lets `time` pass on the paused clock, tick by tick.
    pub async fn pass(&self, time: Duration) {
        let tick = Duration::from_millis(250);
        for _ in 0..time.as_millis() / tick.as_millis() {
            tokio::time::advance(tick).await;
            self.settle().await;
        }
    }
}

/// The `id:` lines of a block sequence that carry data, and the text as a whole.
pub fn ids(text: &str) -> Vec<EventId> {
    let blocks = text.split("\n\n").filter(|block| block.contains("data: {\"id\""));
    blocks.filter_map(|block| block.lines().find_map(|line| line.strip_prefix("id: "))?.parse().ok()).collect()
}

/// What the stream has to say until it waits.
pub async fn ready(body: &mut SseBody) -> String {
    let mut text = String::new();
    while let Some(Some(Ok(bytes))) = body.next().now_or_never() {
        text.push_str(std::str::from_utf8(&bytes).expect("text"));
    }
    text
}

/// What the stream says until it has delivered event `last`.
pub async fn until(body: &mut SseBody, last: EventId) -> String {
    let mut text = String::new();
    while ids(&text).last() != Some(&last) {
        let Some(Ok(bytes)) = body.next().await else { panic!("the stream ended after {text}") };
        text.push_str(std::str::from_utf8(&bytes).expect("text"));
    }
    text
}

/// A clock that shows what `hand` was last set to: microseconds since 1970.
pub fn manual(hand: Arc<AtomicI64>) -> Clock {
    Clock::new(move || Timestamp::from_micros(hand.load(Ordering::SeqCst)))
}
