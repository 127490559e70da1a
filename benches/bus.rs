//! The event bus without a disk, beside a bare channel that carries the same events to a thread and brings an answer back.
//!
//! `cargo bench --bench bus`. The journal's log takes everything and keeps nothing, so what is measured is ours alone:
//! admission, inbox, ids, the two actors, ring, counters, receipts.

use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::{Arbiter, System};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use futures_util::future::join_all;
use plimsoll::actors::admission::Admission;
use plimsoll::actors::journal::{Journal, Retention, SharedStatus};
use plimsoll::actors::publisher::EventBusHandle;
use plimsoll::actors::supervision::Panics;
use plimsoll::domain::clock::{Clock, Timestamp};
use plimsoll::domain::envelope::{Rules, parse};
use plimsoll::domain::event::{Draft, Event};
use plimsoll::domain::id::EventId;
use plimsoll::domain::ring::{Ring, RingLimits};
use plimsoll::storage::{Duplicate, EventLog, LogStats, StorageError};
use tokio::sync::{mpsc, oneshot};

const RULES: Rules = Rules { max_event_bytes: 262_144, max_depth: 64, accept_unknown_types: true };
const EVENT: &str = r#"{"type":"tick","source":"bench","payload":{"symbol":"NIFTY","price":19755.05}}"#;

/// Posts that wait at once, and events of each.
const SHAPES: [(usize, usize); 3] = [(1, 1), (64, 1), (4, 1_000)];

/// A log that keeps nothing.
struct Nowhere;

impl EventLog for Nowhere {
    fn append(&mut self, _: &[Arc<Event>]) -> Result<Vec<Duplicate>, StorageError> {
        Ok(Vec::new())
    }
    fn retain(&mut self, _: EventId, _: u64) -> Result<bool, StorageError> {
        Ok(false)
    }
    fn probe(&mut self) -> Result<(), StorageError> {
        Ok(())
    }
    fn stats(&self) -> LogStats {
        LogStats::default()
    }
    fn checkpoint(&mut self) {}
}

fn start(thread: &Arbiter) -> EventBusHandle {
    let begin = Instant::now();
    let clock = Clock::new(move || {
        let since = i64::try_from(begin.elapsed().as_micros()).unwrap_or(i64::MAX);
        Timestamp::from_micros(1_763_452_541_000_000 + since)
    });
    let day = Duration::from_secs(86_400);
    let retention = Retention { max_age: day, max_bytes: u64::MAX, interval: day };
    let (panics, status) = (Panics::default(), SharedStatus::default());
    let log = Box::new(Nowhere);
    let journal = Journal::start(&thread.handle(), log, retention, clock.clone(), panics.clone(), status, Arc::default());
    let ring = Arc::new(Ring::new(RingLimits { events: 5_000, bytes: 64 << 20 }, EventId::ZERO));
    let queue = Admission::new(64 << 10, Duration::from_secs(1));
    EventBusHandle::start(&thread.handle(), EventId::ZERO, clock, ring, journal, queue, panics)
}

/// A thread that answers whatever it is sent.
fn channel() -> mpsc::UnboundedSender<(Vec<Draft>, oneshot::Sender<usize>)> {
    let (sender, mut receiver) = mpsc::unbounded_channel::<(Vec<Draft>, oneshot::Sender<usize>)>();
    std::thread::spawn(move || {
        while let Some((drafts, reply)) = receiver.blocking_recv() {
            // who has given up needs no answer
            let _ = reply.send(drafts.len());
        }
    });
    sender
}

fn bus(criterion: &mut Criterion) {
    let system = System::new();
    let thread = system.block_on(async { Arbiter::new() });
    let (bus, bare) = (start(&thread), channel());
    let draft = parse(EVENT.as_bytes(), &RULES, Timestamp::from_micros(0)).expect("valid");
    let mut group = criterion.benchmark_group("bus");
    for (posts, events) in SHAPES {
        let shape = format!("{posts} posts of {events}");
        group.throughput(Throughput::Elements((posts * events) as u64));
        group.bench_function(BenchmarkId::new("published", &shape), |bencher| {
            bencher.iter_custom(|rounds| {
                system.block_on(async {
                    let begin = Instant::now();
                    for _ in 0..rounds {
                        let published = join_all((0..posts).map(|_| bus.publish(vec![draft.clone(); events]))).await;
                        published.into_iter().for_each(|receipts| assert_eq!(receipts.expect("published").len(), events));
                    }
                    begin.elapsed()
                })
            });
        });
        group.bench_function(BenchmarkId::new("baseline: a channel and an answer", &shape), |bencher| {
            bencher.iter_custom(|rounds| {
                system.block_on(async {
                    let begin = Instant::now();
                    for _ in 0..rounds {
                        let answers = join_all((0..posts).map(|_| {
                            let (reply, answer) = oneshot::channel();
                            assert!(bare.send((vec![draft.clone(); events], reply)).is_ok(), "the thread lives");
                            answer
                        }));
                        answers.await.into_iter().for_each(|count| assert_eq!(count.expect("answered"), events));
                    }
                    begin.elapsed()
                })
            });
        });
    }
    group.finish();
}

criterion_group!(benches, bus);
criterion_main!(benches);
