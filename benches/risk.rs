//! The risk fold: what one event costs, with many symbols and a long day behind it.
//!
//! `cargo bench --bench risk`

use std::hint::black_box;
use std::time::Duration;

use chrono::NaiveTime;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use plimsoll::domain::clock::Timestamp;
use plimsoll::domain::envelope::{Rules as Envelope, parse};
use plimsoll::domain::event::Event;
use plimsoll::domain::id::EventId;
use plimsoll::domain::risk::breach::Band;
use plimsoll::domain::risk::evaluation::{Evaluation, Settings};
use plimsoll::domain::risk::limits::Limits;
use plimsoll::domain::risk::session::Session;
use plimsoll::domain::risk::state::Rules;
use rust_decimal::Decimal;

const ENVELOPE: Envelope = Envelope { max_event_bytes: 262_144, max_depth: 64, accept_unknown_types: true };
/// 2025-11-18T06:00:00+05:30, in milliseconds.
const MORNING: i64 = 1_763_425_800_000;

fn event(kind: &str, payload: &str, n: i64) -> Event {
    let time = Timestamp::from_micros((MORNING + n) * 1_000);
    let json = format!(r#"{{"type":"{kind}","source":"fno","payload":{payload}}}"#);
    parse(json.as_bytes(), &ENVELOPE, time).expect("valid").stamp(EventId::first_at(time))
}

fn evaluation() -> Evaluation {
    let settings = Settings {
        session: Session::new(chrono_tz::Asia::Kolkata, NaiveTime::MIN),
        rules: Rules { include_unrealized: true, starting_capital: Some(Decimal::from(5_000_000)) },
        band: Band { warn_at_pct: Decimal::from(80), calm_below_pct: Decimal::from(75) },
        stale_after: Duration::from_secs(300),
        on_breach: Vec::new(),
        on_engine_kill: None,
        complete_from: Timestamp::from_micros(0),
    };
    let now = Timestamp::from_micros(MORNING * 1_000);
    let mut evaluation = Evaluation::new(settings, Limits::from_fn(|_| Decimal::from(1_000_000_000)), now);
    drop(evaluation.rebuilt(now));
    evaluation
}

/// One event of each kind, for symbol number `symbol`.
fn kinds(symbol: i64) -> [(&'static str, String); 5] {
    [
        (
            "indicator_event",
            format!(r#"{{"symbol":"S{symbol}","timeframe":"1m","indicators":{{"ema9":24639.55,"rsi14":6.71}}}}"#),
        ),
        (
            "order_event",
            format!(
                r#"{{"order_id":"o","symbol":"S{symbol}","side":"{}","status":"FILLED","quantity":13,"price":{}.65,"strategy":"P"}}"#,
                if symbol % 2 == 0 { "BUY" } else { "SELL" },
                50_000 + symbol % 97
            ),
        ),
        (
            "position_event",
            format!(r#"{{"symbol":"S{symbol}","position_size":13,"entry_price":50414.65,"unrealized_pnl":-12.25}}"#),
        ),
        (
            "trade_closed",
            format!(
                r#"{{"symbol":"S{symbol}","trade_type":"breakout","entry_price":1,"exit_price":2,"quantity":1,"pnl":-1.05,"entry_time":"2025-11-18T09:15:00","exit_time":"2025-11-18T09:30:00"}}"#
            ),
        ),
        (
            "performance_update",
            r#"{"metrics":{"starting_capital":5000000.0,"current_equity":5000078.0,"realized_pnl":0.0,"unrealized_pnl":78.0}}"#
                .to_owned(),
        ),
    ]
}

fn fold(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("risk, one event");
    group.throughput(Throughput::Elements(1));
    for behind in [100_i64, 100_000] {
        let mut evaluation = evaluation();
        for n in 0..behind {
            for (kind, payload) in kinds(n % 1_000).iter().skip(1) {
                drop(evaluation.take(&event(kind, payload, n)));
            }
        }
        for (kind, payload) in kinds(7) {
            let event = event(kind, &payload, behind);
            group.bench_with_input(BenchmarkId::new(kind, format!("{behind} a kind behind it")), &event, |bencher, event| {
                bencher.iter(|| black_box(evaluation.take(black_box(event))));
            });
        }
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1)).sample_size(20);
    targets = fold
}
criterion_main!(benches);
