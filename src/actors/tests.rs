//! Bus, journal, ring, readers and fan-out together, without HTTP: what a client sees of all of them.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use actix::{Addr, Arbiter};
use futures_util::{FutureExt as _, StreamExt as _};

use super::admission::Admission;
use super::event_bus::{EventBusHandle, PublishError};
use super::history::{EventQuery, History};
use super::journal::{Journal, Retention, SharedStatus};
use super::journal_reader::JournalReaderHandle;
use super::sse_body::SseBody;
use super::sse_fanout::{EndAll, FanoutHandle, SseFanout, Start, Subscription};
use super::sse_session::{Connection, Limits, SseCounters, Wish};
use super::supervision::Panics;
use crate::domain::clock::{Clock, Timestamp};
use crate::domain::envelope::{Rules, parse};
use crate::domain::event::{Draft, Event};
use crate::domain::filter::Filter;
use crate::domain::id::EventId;
use crate::domain::ring::{Ring, RingLimits};
use crate::storage::sqlite::{Durability, Place, open};
use crate::storage::sqlite_reader::SqliteReader;
use crate::storage::{Duplicate, EventLog, LogStats, StorageError};

const LIMITS: Limits = Limits {
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
struct Log {
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
struct Fake {
    cut: Cell<usize>,
    taken: Cell<u64>,
}

impl Connection for Fake {
    fn cut(&self) {
        self.cut.set(self.cut.get() + 1);
    }
    fn taken(&self) -> u64 {
        self.taken.get()
    }
}

/// All of it on this thread.
struct World {
    bus: EventBusHandle,
    ring: Arc<Ring>,
    history: History,
    handle: FanoutHandle,
    fanout: Addr<SseFanout>,
    counters: Arc<SseCounters>,
    panics: Panics,
    fail: Arc<AtomicBool>,
    /// Microseconds since 1970.
    hand: Arc<AtomicI64>,
    connection: Rc<Fake>,
}

const RULES: Rules = Rules { max_event_bytes: 1 << 20, max_depth: 64, accept_unknown_types: true };

fn draft(event_type: &str, n: usize) -> Draft {
    let json = format!(r#"{{"type":"{event_type}","payload":{{"n":{n}}}}}"#);
    parse(json.as_bytes(), &RULES, Timestamp::from_micros(0)).expect("valid")
}

impl World {
    fn new(ring_events: usize, limits: Limits) -> Self {
        let hand = Arc::new(AtomicI64::new(1_763_452_541_000_000));
        let (clock, panics, fail) = (Clock::manual(Arc::clone(&hand)), Panics::default(), Arc::<AtomicBool>::default());
        let place = Place::Memory(format!("world-{}", fastrand::u64(..)));
        let window = Duration::from_secs(3600);
        let log = open(&place, Durability::Memory, window, Timestamp::from_micros(0)).expect("open").log;
        let log = Log { inner: Box::new(log), fail: Arc::clone(&fail) };
        let here = Arbiter::current();
        let retention =
            Retention { max_age: Duration::from_secs(86_400), max_bytes: u64::MAX, interval: Duration::from_secs(86_400) };
        let journal = Journal::start(&here, Box::new(log), retention, clock.clone(), panics.clone(), SharedStatus::default());
        let ring = Arc::new(Ring::new(RingLimits { events: ring_events, bytes: 1 << 30 }, EventId::ZERO));
        let queue = Admission::new(100, Duration::from_millis(250));
        let bus = EventBusHandle::start(&here, EventId::ZERO, clock.clone(), Arc::clone(&ring), journal, queue, panics.clone());
        let opened = move || SqliteReader::open(&place, Duration::from_secs(5)).map(|reader| Box::new(reader) as _);
        let readers = JournalReaderHandle::start(1, Duration::from_secs(3600), Arc::new(opened), panics.clone());
        let history = History::new(Arc::clone(&ring), readers, clock.clone());
        let counters = Arc::<SseCounters>::default();
        let (handle, fanout) =
            SseFanout::start(history.clone(), bus.clone(), limits, Arc::clone(&counters), clock, 7, panics.clone());
        Self { bus, ring, history, handle, fanout, counters, panics, fail, hand, connection: Rc::default() }
    }

    async fn publish(&self, numbers: std::ops::Range<usize>) -> Vec<EventId> {
        let drafts = numbers.map(|n| draft("tick", n)).collect();
        self.bus.publish(drafts).await.expect("published").into_iter().map(|receipt| receipt.id).collect()
    }

    async fn open(&self, start: Start) -> SseBody {
        let wish = Wish { filter: Filter::default(), named: false };
        self.handle.open(Subscription { wish, heartbeat_event: false, start }, self.connection.clone()).await
    }

    /// Lets every actor on this thread handle what it was sent, and its clients be woken.
    async fn settle(&self) {
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
    }

    /// Lets `time` pass on the paused clock, tick by tick.
    async fn pass(&self, time: Duration) {
        let tick = Duration::from_millis(250);
        for _ in 0..time.as_millis() / tick.as_millis() {
            tokio::time::advance(tick).await;
            self.settle().await;
        }
    }
}

/// The `id:` lines of a block sequence that carry data, and the text as a whole.
fn ids(text: &str) -> Vec<EventId> {
    let blocks = text.split("\n\n").filter(|block| block.contains("data: {\"id\""));
    blocks.filter_map(|block| block.lines().find_map(|line| line.strip_prefix("id: "))?.parse().ok()).collect()
}

/// What the stream has to say until it waits.
async fn ready(body: &mut SseBody) -> String {
    let mut text = String::new();
    while let Some(Some(Ok(bytes))) = body.next().now_or_never() {
        text.push_str(std::str::from_utf8(&bytes).expect("text"));
    }
    text
}

/// What the stream says until it has delivered event `last`.
async fn until(body: &mut SseBody, last: EventId) -> String {
    let mut text = String::new();
    while ids(&text).last() != Some(&last) {
        let Some(Ok(bytes)) = body.next().await else { panic!("the stream ended after {text}") };
        text.push_str(std::str::from_utf8(&bytes).expect("text"));
    }
    text
}

#[actix_web::test]
async fn what_is_published_is_delivered_in_order_and_the_head_comes_first() {
    let world = World::new(100, LIMITS);
    let mut body = world.open(Start::Now).await;
    let head = ready(&mut body).await;
    assert!(head.starts_with("retry: ") && head.ends_with("\nid: 0-0\n\n"), "{head:?}");
    let published = world.publish(0..5).await;
    assert_eq!(ids(&until(&mut body, published[4]).await), published);
    assert_eq!(world.counters.clients.load(Ordering::SeqCst), 1);
    drop(body);
    assert_eq!(world.counters.clients.load(Ordering::SeqCst), 0);
}

#[actix_web::test]
async fn a_resume_from_any_event_gives_the_rest_once_from_journal_and_ring() {
    let world = World::new(7, LIMITS);
    let mut published = Vec::new();
    for group in 0..10 {
        published.extend(world.publish(group * 5..group * 5 + 5).await);
    }
    for at in 0..published.len() - 1 {
        let mut body = world.open(Start::After(published[at])).await;
        let text = until(&mut body, published[49]).await;
        assert_eq!(ids(&text), published[at + 1..], "after event {at}");
        assert!(!text.contains("stream_gap"));
    }
    let mut all = world.open(Start::After(EventId::ZERO)).await;
    assert_eq!(ids(&until(&mut all, published[49]).await), published);
    let mut last = world.open(Start::Replay(12)).await;
    assert_eq!(ids(&until(&mut last, published[49]).await), published[38..]);
}

#[actix_web::test]
async fn an_emptied_ring_takes_nothing_from_a_live_client() {
    let world = World::new(100, LIMITS);
    let mut body = world.open(Start::Now).await;
    let mut published = world.publish(0..3).await;
    world.bus.clear_ring().await.expect("cleared");
    published.extend(world.publish(3..6).await);
    assert_eq!(ids(&until(&mut body, published[5]).await), published);
}

#[actix_web::test]
async fn pages_visit_each_event_once_in_both_orders_over_the_seam() {
    let world = World::new(7, LIMITS);
    let mut published = Vec::new();
    for group in 0..6 {
        published.extend(world.publish(group * 5..group * 5 + 5).await);
    }
    for limit in 1..12 {
        let (mut up, mut down) = (Vec::new(), Vec::new());
        let query = |after, before, oldest_first| EventQuery { filter: Filter::default(), after, before, oldest_first, limit };
        let (mut after, mut before) = (EventId::ZERO, EventId::MAX);
        loop {
            let page = world.history.query(query(after, EventId::MAX, true)).await.expect("a page");
            up.extend(page.events.iter().map(|event| event.id()));
            let Some(next) = page.next else { break };
            after = next;
        }
        loop {
            let page = world.history.query(query(EventId::ZERO, before, false)).await.expect("a page");
            down.splice(0..0, page.events.iter().map(|event| event.id()));
            let Some(next) = page.next else { break };
            before = next;
        }
        assert_eq!(up, published, "limit {limit}");
        assert_eq!(down, published, "limit {limit}");
    }
}

#[actix_web::test]
async fn ids_go_on_when_the_clock_steps_back() {
    let world = World::new(100, LIMITS);
    let mut published = world.publish(0..2).await;
    world.hand.fetch_sub(3_600_000_000, Ordering::SeqCst);
    published.extend(world.publish(2..4).await);
    assert!(published.is_sorted_by(|a, b| a < b), "{published:?}");
}

#[actix_web::test]
async fn a_journal_that_fails_or_panics_fails_its_group_alone_and_nobody_sees_it() {
    let world = World::new(100, LIMITS);
    let mut body = world.open(Start::Now).await;
    world.fail.store(true, Ordering::SeqCst);
    let failed = world.bus.publish(vec![draft("tick", 0)]).await;
    assert!(matches!(failed, Err(PublishError::Journal(StorageError::Full(_)))), "{failed:?}");
    world.fail.store(false, Ordering::SeqCst);
    assert!(world.bus.publish(vec![draft("panic", 1)]).await.is_err());
    assert_eq!(world.panics.counts(), [("journal", 1)]);
    let published = world.publish(2..3).await;
    assert_eq!(ids(&until(&mut body, published[0]).await), published);
}

#[actix_web::test]
async fn a_full_queue_refuses_and_a_stopping_bus_takes_no_more_but_commits_what_it_took() {
    let world = World::new(100, LIMITS);
    let held = world.bus.admission().enter(100).await.expect("all of it");
    assert_eq!(world.bus.publish(vec![draft("tick", 0)]).await, Err(PublishError::Full));
    drop(held);
    let pending = world.bus.offer(vec![draft("tick", 1)]).await.expect("taken");
    world.bus.drain().await;
    assert_eq!(world.bus.publish(vec![draft("tick", 2)]).await, Err(PublishError::Stopping));
    assert_eq!(pending.published().await.expect("committed").len(), 1);
}

#[actix_web::test]
async fn a_quiet_stream_gets_a_heartbeat_that_carries_its_position() {
    let world = World::new(100, LIMITS);
    let published = world.publish(0..1).await;
    let mut body = world.open(Start::Now).await;
    ready(&mut body).await;
    tokio::time::pause();
    world.pass(Duration::from_secs(14)).await;
    assert_eq!(ready(&mut body).await, "");
    world.pass(Duration::from_secs(2)).await;
    assert_eq!(ready(&mut body).await, format!(": heartbeat\nid: {}\n\n", published[0]));
    world.pass(Duration::from_secs(14)).await;
    assert_eq!(ready(&mut body).await, "");
}

#[actix_web::test]
async fn a_client_that_takes_nothing_is_cut_and_one_that_reads_is_not() {
    let world = World::new(100, LIMITS);
    let mut stalled = world.open(Start::Now).await;
    let mut reading = world.open(Start::Now).await;
    ready(&mut stalled).await;
    ready(&mut reading).await;
    world.publish(0..1).await;
    tokio::time::pause();
    for _ in 0..40 {
        world.pass(Duration::from_secs(1)).await;
        ready(&mut reading).await;
    }
    assert!(world.connection.cut.get() > 0);
    assert_eq!(world.counters.stalled.load(Ordering::SeqCst), 1);
    assert_eq!(world.counters.slow.load(Ordering::SeqCst), 0);
    drop(stalled);
    assert_eq!(world.counters.clients.load(Ordering::SeqCst), 1);
    tokio::time::resume();
    let published = world.publish(1..2).await;
    assert_eq!(ids(&until(&mut reading, published[0]).await), published);
}

#[actix_web::test]
async fn a_client_that_takes_its_bytes_slowly_is_not_stalled() {
    let world = World::new(100, LIMITS);
    let mut body = world.open(Start::Now).await;
    ready(&mut body).await;
    world.publish(0..1).await;
    tokio::time::pause();
    for second in 0..50 {
        world.connection.taken.set(second);
        world.pass(Duration::from_secs(1)).await;
    }
    assert_eq!(world.connection.cut.get(), 0);
}

#[actix_web::test]
async fn a_live_client_that_falls_too_far_behind_is_ended_cleanly_and_can_resume() {
    let world = World::new(1000, Limits { max_lag_bytes: 10_000, chunk_bytes: 1024, ..LIMITS });
    let mut slow = world.open(Start::Now).await;
    ready(&mut slow).await;
    let mut published = world.publish(0..1).await;
    let mut text = until(&mut slow, published[0]).await;
    published.extend(world.publish(1..100).await);
    // it takes one piece, and no more until it is too late
    text.push_str(std::str::from_utf8(&slow.next().await.expect("more").expect("bytes")).expect("text"));
    tokio::time::pause();
    world.pass(Duration::from_secs(3)).await;
    let rest = ready(&mut slow).await;
    assert!(rest.starts_with("retry: "), "{} bytes more", rest.len());
    assert_eq!(slow.next().await, None, "the end");
    assert_eq!(world.counters.slow.load(Ordering::SeqCst), 1);
    tokio::time::resume();
    let seen = *ids(&text).last().expect("something");
    let mut again = world.open(Start::After(seen)).await;
    text.push_str(&until(&mut again, published[99]).await);
    assert_eq!(ids(&text), published);
}

#[actix_web::test]
async fn a_position_from_another_journal_is_told_and_the_stream_goes_on() {
    let world = World::new(100, LIMITS);
    let published = world.publish(0..1).await;
    let mut body = world.open(Start::After(EventId::MAX)).await;
    let head = ready(&mut body).await;
    assert!(head.contains("stream_gap") && head.contains("ahead_of_log"), "{head}");
    assert!(head.contains(&format!("\"newest\":\"{}\"", published[0])));
    let next = world.publish(1..2).await;
    assert_eq!(ids(&until(&mut body, next[0]).await), next);
}

#[actix_web::test]
async fn the_end_of_all_streams_is_clean_and_later_clients_are_told_to_come_back() {
    let world = World::new(100, LIMITS);
    let mut body = world.open(Start::Now).await;
    ready(&mut body).await;
    let all_gone = world.fanout.send(EndAll).await.expect("answered");
    let farewell = ready(&mut body).await;
    assert!(farewell.starts_with("retry: ") && farewell.ends_with("\n\n"));
    assert_eq!(body.next().await, None);
    all_gone.await.expect("all are gone");
    let mut late = world.open(Start::Now).await;
    assert!(ready(&mut late).await.starts_with("retry: "));
    assert_eq!(late.next().await, None);
}

#[actix_web::test]
async fn too_many_clients_are_told_to_come_back() {
    let world = World::new(100, Limits { max_clients: 1, ..LIMITS });
    let first = world.open(Start::Now).await;
    let mut second = world.open(Start::Now).await;
    assert!(ready(&mut second).await.starts_with("retry: "));
    assert_eq!(second.next().await, None);
    assert_eq!(world.counters.refused.load(Ordering::SeqCst), 1);
    drop(first);
    let mut third = world.open(Start::Now).await;
    assert!(ready(&mut third).await.contains("id: "));
    assert_eq!(world.ring.head(), 0);
}
