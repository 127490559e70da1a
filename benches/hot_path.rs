//! The parts of an event's path, each beside the least that could do the same work.
//!
//! `cargo bench --bench hot_path` prints, per group, ours and the baseline of the same run.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use plimsoll::domain::clock::Timestamp;
use plimsoll::domain::envelope::{Rules, parse};
use plimsoll::domain::event::Event;
use plimsoll::domain::filter::Filter;
use plimsoll::domain::id::EventId;
use plimsoll::domain::ring::{Ring, RingLimits};
use plimsoll::storage::sqlite::{Place, open};
use plimsoll::storage::{Durability, EventLog as _};

const RULES: Rules = Rules { max_event_bytes: 262_144, max_depth: 64, accept_unknown_types: true };

/// An event as the recordings hold them.
const EVENT: &str = r#"{"type": "indicator_event", "timestamp": "2024-08-05T03:45:59.008304+00:00", "payload": {"symbol": "NIFTY24FUT", "timeframe": "1m", "indicators": {"ema9": 24639.551453048378, "ema20": 24682.945946020292, "ema50": 24712.680994307182, "sma20": 24701.407499999998, "rsi14": 6.712862491277406, "atr14": 39.23733577586808, "supertrend_direction": -1, "vwap": 24331.6, "trend": "down"}, "strategy": "EMA_20_50"}}"#;

fn events(first: u64, count: u64) -> Vec<Arc<Event>> {
    let draft = parse(EVENT.as_bytes(), &RULES, Timestamp::from_micros(0)).expect("valid");
    (first..first + count).map(|id| Arc::new(draft.clone().stamp(EventId::from_u64(id)))).collect()
}

fn ingest(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("ingest of one event");
    group.throughput(Throughput::Elements(1));
    group.bench_function("parse, validate, encode and stamp", |bencher| {
        bencher.iter(|| {
            let draft = parse(black_box(EVENT.as_bytes()), &RULES, Timestamp::from_micros(0)).expect("valid");
            black_box(draft.stamp(EventId::from_u64(1 << 40)))
        });
    });
    group.bench_function("baseline: serde_json to a value", |bencher| {
        bencher.iter(|| black_box(serde_json::from_str::<serde_json::Value>(black_box(EVENT)).expect("json")));
    });
    group.finish();
}

fn ring(criterion: &mut Criterion) {
    let ring = Ring::new(RingLimits { events: 5_000, bytes: 1 << 30 }, EventId::ZERO);
    let all = events(1, 5_000);
    let blocks: Vec<u8> = all.iter().take(100).flat_map(|event| event.block(false).to_vec()).collect();
    ring.append(all);
    let position = ring.head() - 100;
    let mut group = criterion.benchmark_group("ring read of 100 events");
    group.throughput(Throughput::Elements(100));
    let wanted = Filter { symbols: vec!["NIFTY24FUT".into()], ..Filter::default() };
    let unwanted = Filter { event_types: vec!["order_event".into()], ..Filter::default() };
    for (name, filter) in [("all", Filter::default()), ("by symbol", wanted), ("none matches", unwanted)] {
        group.bench_with_input(BenchmarkId::from_parameter(name), &filter, |bencher, filter| {
            let mut out = Vec::with_capacity(1 << 20);
            bencher.iter(|| {
                out.clear();
                black_box(ring.read(position, filter, false, usize::MAX, &mut out))
            });
        });
    }
    group.bench_function("baseline: copy of the same bytes", |bencher| {
        let mut out = Vec::with_capacity(1 << 20);
        bencher.iter(|| {
            out.clear();
            out.extend_from_slice(black_box(&blocks));
            black_box(&out);
        });
    });
    group.finish();
}

fn filters(criterion: &mut Criterion) {
    let event = events(1, 1).remove(0);
    let mut group = criterion.benchmark_group("filter, one event");
    let symbol = Filter { symbols: vec!["NIFTY24FUT".into()], ..Filter::default() };
    let other = Filter { event_types: vec!["order_event".into(), "tick".into()], ..Filter::default() };
    let types = vec!["order_event".into(), "indicator_event".into()];
    let several = Filter { event_types: types, strategies: vec!["EMA_20_50".into()], ..symbol.clone() };
    let all =
        [("everything", Filter::default()), ("by symbol", symbol), ("by type, symbol, strategy", several), ("no match", other)];
    for (name, filter) in all {
        group.bench_with_input(BenchmarkId::from_parameter(name), &filter, |bencher, filter| {
            bencher.iter(|| black_box(filter).matches(black_box(event.header())));
        });
    }
    group.bench_function("baseline: one comparison of text", |bencher| {
        bencher.iter(|| black_box(event.header()).symbol.as_deref() == black_box(Some("NIFTY24FUT")));
    });
    group.finish();
}

/// Commits of 500 events, as a busy service makes them, beside the same rows in a table without any index.
fn journal(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("journal commit of 500 events");
    group.throughput(Throughput::Elements(500)).sample_size(20).measurement_time(Duration::from_secs(5));
    for (name, durability) in [("fsync", Durability::Fsync), ("os", Durability::Os)] {
        let folder = tempfile::tempdir().expect("a folder");
        let place = Place::File(folder.path().join("journal.db"));
        let mut log = open(&place, durability, Duration::from_secs(86_400), Timestamp::from_micros(0)).expect("opened").log;
        let mut next = 1 << 20;
        group.bench_function(name, |bencher| {
            bencher.iter_batched(
                || {
                    next += 500;
                    events(next, 500)
                },
                |batch| log.append(&batch).expect("appended"),
                criterion::BatchSize::LargeInput,
            );
        });
    }
    let folder = tempfile::tempdir().expect("a folder");
    let mut bare = rusqlite::Connection::open(folder.path().join("bare.db")).expect("opened");
    bare.execute_batch(
        "pragma journal_mode = wal; pragma synchronous = full; create table bare(id integer primary key, body blob)",
    )
    .expect("made");
    let mut next = 1 << 20;
    group.bench_function("baseline: bare insert of the bodies, fsync", |bencher| {
        bencher.iter_batched(
            || {
                next += 500;
                events(next, 500)
            },
            |batch| {
                let transaction = bare.transaction().expect("begun");
                let mut insert = transaction.prepare_cached("insert into bare values(?, ?)").expect("prepared");
                for event in &batch {
                    insert.execute(rusqlite::params![event.id().to_sql(), event.tail().as_bytes()]).expect("inserted");
                }
                drop(insert);
                transaction.commit().expect("committed");
            },
            criterion::BatchSize::LargeInput,
        );
    });
    group.finish();
}

criterion_group!(benches, ingest, filters, ring, journal);
criterion_main!(benches);
