//! Every `/api/v1` endpoint on a ledger with a million trades and a million orders: `cargo bench --bench ledger`.
//!
//! Each question is asked twice. `reader`: the calls of [`LedgerReader`] that the endpoint makes, on one connection beside no
//! writer: SQLite and what is made of its rows, but neither the wait for the ledger's actor nor HTTP and JSON. `service`: the
//! same question to the real binary over one connection of loopback, so all of it. Half of the answers took at most `p50`, all
//! at most `max`, in milliseconds; the aim is 50. The page cache is warm.
//!
//! Profile 1 has everything of a year: a million trades, with a signal and a snapshot beside each tenth, a million orders with
//! two reports each, and a million latencies of 100 scripts, half of them of the last hour. Profile 2 has it in one day: a
//! million trades, 100,000 orders, and 1,000 scripts. `PLIMSOLL_BENCH_LEDGER` sets another number than a million.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a bench that meets a surprise stops right there")]

mod entries;
mod fill;
mod service;

use std::time::{Duration, Instant};

use chrono::{Days, NaiveTime};
use plimsoll::domain::clock::Timestamp;
use plimsoll::domain::risk::session::Session;
use plimsoll::storage::ledger::sqlite_reader::SqliteLedgerReader;
use plimsoll::storage::ledger::{LatencySpan, LedgerReader, Scope, Span};
use plimsoll::storage::sqlite::Place;

use fill::{Filler, fill};
use service::Service;

/// How often each question is asked.
const RUNS: usize = 200;
/// The service's own, `analytics.latency_window`.
const WINDOW: Duration = Duration::from_secs(3_600);

/// A question: its path behind `/api/v1/`, and how its endpoint asks a reader.
struct Question {
    path: String,
    ask: Box<dyn Fn(&mut SqliteLedgerReader)>,
}

fn question(path: String, ask: impl Fn(&mut SqliteLedgerReader) + 'static) -> Question {
    Question { path, ask: Box::new(ask) }
}

/// The days that questions are about.
#[derive(Clone, Copy)]
struct Calendar {
    session: Session,
    now: Timestamp,
}

impl Calendar {
    fn end(self) -> Timestamp {
        self.session.day_of(self.now).end
    }

    fn days(self, days: u64) -> Span {
        let today = self.session.date_of(self.now);
        Span { start: self.session.start_of(today.checked_sub_days(Days::new(days - 1)).unwrap()), end: self.end() }
    }

    fn window(self) -> LatencySpan {
        LatencySpan::sliding(self.now, WINDOW)
    }
}

fn main() {
    let count = std::env::var("PLIMSOLL_BENCH_LEDGER").map_or(1_000_000, |text| text.parse().unwrap());
    let begun = Instant::now();
    let folder = tempfile::tempdir().unwrap();
    let session = Session::new(chrono_tz::Asia::Kolkata, NaiveTime::MIN);
    let calendar = Calendar { session, now: Timestamp::from_micros(chrono::Utc::now().timestamp_micros()) };
    let place = Place::File(folder.path().join("ledger").join("ledger.db"));
    fill(Filler::new(&place, session, calendar.now), calendar.days(365), count);

    let mut reader = SqliteLedgerReader::open(&place, Duration::from_secs(60)).unwrap();
    let year = calendar.days(365);
    assert_eq!(reader.traded(1, year, Scope::All).unwrap().tally.trades, u64::try_from(count).unwrap());
    assert_eq!(reader.orders(1, year).unwrap().total, count);
    let mut service = Service::start(folder.path());
    println!("{:<56} {:>8} {:>8} {:>8} {:>8}", "", "reader", "reader", "service", "service");
    println!("{:<56} {:>8} {:>8} {:>8} {:>8}", "question", "p50", "max", "p50", "max");
    for Question { path, ask } in questions(calendar) {
        let direct = times(|| ask(&mut reader));
        let whole = times(|| service.get(&format!("/api/v1/{path}")));
        println!("{path:<56} {:>8.2} {:>8.2} {:>8.2} {:>8.2}", direct.0, direct.1, whole.0, whole.1);
    }
    println!("all of it took {:.0} s", begun.elapsed().as_secs_f64());
}

/// Half of the runs took at most the first, all of them at most the second, in milliseconds.
fn times(mut run: impl FnMut()) -> (f64, f64) {
    let mut took: Vec<f64> = (0..RUNS)
        .map(|_| {
            let begun = Instant::now();
            run();
            begun.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    took.sort_by(f64::total_cmp);
    (took[RUNS / 2], took[RUNS - 1])
}

fn questions(calendar: Calendar) -> Vec<Question> {
    [1, 2].into_iter().flat_map(|profile| trades(calendar, profile).into_iter().chain(orders(calendar, profile))).collect()
}

fn trades(calendar: Calendar, profile: i64) -> Vec<Question> {
    let mut all = Vec::new();
    for days in [7, 365] {
        let span = calendar.days(days);
        all.push(question(format!("metrics/breakout/{profile}?days={days}"), move |reader| {
            reader.traded(profile, span, Scope::Breakout).unwrap();
        }));
    }
    let end = calendar.end();
    all.push(question(format!("metrics/equity/{profile}"), move |reader| {
        assert!(reader.equity(profile, end).unwrap().latest.is_some());
    }));
    let year = calendar.days(365);
    for (limit, symbol) in [(100, None), (1_000, None), (1_000, Some("NIFTY25NOV24650CE-7")), (100, Some("none"))] {
        let only = symbol.map(|symbol| format!("&symbol={symbol}")).unwrap_or_default();
        all.push(question(format!("trades/{profile}?days=365&limit={limit}{only}"), move |reader| {
            assert!(reader.trades(profile, year, symbol, limit).unwrap().len() <= limit);
        }));
    }
    for days in [1, 365] {
        let span = calendar.days(days);
        all.push(question(format!("trades/{profile}/performance?days={days}"), move |reader| {
            reader.traded(profile, span, Scope::All).unwrap();
            reader.equity(profile, span.start).unwrap();
        }));
    }
    all
}

fn orders(calendar: Calendar, profile: i64) -> Vec<Question> {
    let (end, year, window) = (calendar.end(), calendar.days(365), calendar.window());
    let always = Span { start: Timestamp::from_micros(i64::MIN), end };
    let mut all = vec![question(format!("metrics/orders/{profile}"), move |reader| {
        assert!(reader.orders(profile, always).unwrap().total > 0);
        reader.latencies(profile, None, window).unwrap();
    })];
    for script in [None, Some("script-7")] {
        let only = script.map(|script| format!("&script_name={script}")).unwrap_or_default();
        all.push(question(format!("metrics/orders/{profile}?days=365{only}"), move |reader| {
            reader.orders(profile, year).unwrap();
            assert!(reader.latencies(profile, script, LatencySpan::days(year)).unwrap().count() > 0);
        }));
    }
    all.push(question(format!("metrics/system/{profile}"), move |reader| {
        assert!(reader.scripts(profile, None, end, window).unwrap().len() >= 100);
    }));
    // a day that is not today is asked for as a whole
    let today = calendar.session.date_of(calendar.now);
    let before = calendar.session.day(today.pred_opt().unwrap());
    let asked = LatencySpan::days(Span { start: before.start, end: before.end });
    all.push(question(format!("metrics/system/{profile}?as_of={}", before.date), move |reader| {
        assert!(reader.scripts(profile, None, before.end, asked).unwrap().len() >= 100);
    }));
    all.push(question(format!("metrics/system/{profile}?script_name=script-7"), move |reader| {
        assert_eq!(reader.scripts(profile, Some("script-7"), end, window).unwrap().len(), 1);
    }));
    all
}
