//! Orders, latencies and health in the embedded ledger, against a naive telling of the same events.

use std::collections::BTreeMap;

use chrono::{NaiveDate, NaiveTime};
use chrono_tz::{America, Tz};
use proptest::prelude::*;
use rusqlite::Connection;

use super::sqlite::{Opened, open};
use super::sqlite_reader::SqliteLedgerReader;
use super::{LatencySpan, LedgerReader, LedgerWriter, Span};
use crate::domain::analytics::entry::{Entry, Kind};
use crate::domain::analytics::latency::Latencies;
use crate::domain::analytics::order::{OrderCounts, OrderDay};
use crate::domain::analytics::system::ScriptStatus;
use crate::domain::clock::Timestamp;
use crate::domain::event::{Draft, Header};
use crate::domain::id::EventId;
use crate::domain::risk::session::Session;
use crate::storage::sqlite::Place;

const HOUR: i64 = 3_600_000_000;
const LATENCY: &str = "api_latency";

fn session(zone: Tz) -> Session {
    Session::new(zone, NaiveTime::MIN)
}

pub(super) fn time(text: &str) -> Timestamp {
    Timestamp::parse(text).expect("a time")
}

pub(super) fn date(text: &str) -> NaiveDate {
    text.parse().expect("a date")
}

/// The entry of an event that arrives with this id.
pub(super) fn entry(id: u64, event_type: &str, profile_id: i64, at: Timestamp, payload: &serde_json::Value) -> Entry {
    let header = Header {
        event_type: event_type.into(),
        timestamp: at,
        source: None,
        severity: None,
        profile_id: Some(profile_id),
        event_id: None,
        symbol: None,
        strategy: None,
    };
    let event = Draft::new(header, &payload.to_string()).stamp(EventId::from_u64(id));
    Entry::of(&event, &session(America::New_York)).expect("an entry")
}

pub(super) fn order(id: u64, profile_id: i64, at: Timestamp, name: &str, status: &str, order_type: &str) -> Entry {
    let payload = serde_json::json!({ "order_id": name, "status": status, "order_type": order_type });
    entry(id, "order_event", profile_id, at, &payload)
}

pub(super) fn latency(id: u64, at: Timestamp, script: &str, ms: f64) -> Entry {
    entry(id, LATENCY, 1, at, &serde_json::json!({ "script_name": script, "latency_ms": ms }))
}

pub(super) struct Ledger {
    place: Place,
    writer: Box<dyn LedgerWriter>,
    pub(super) session: Session,
    _folder: tempfile::TempDir,
}

impl Ledger {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let place = Place::File(folder.path().join("ledger.db"));
        let session = session(America::New_York);
        let Opened { ledger, .. } = open(&place, session, time("2025-01-01T00:00:00Z")).expect("a ledger");
        Self { place, writer: Box::new(ledger), session, _folder: folder }
    }

    /// The same ledger after a restart with another trading day.
    pub(super) fn regrouped(self, session: Session) -> Self {
        drop(self.writer);
        let Opened { ledger, .. } = open(&self.place, session, time("2025-01-01T00:00:00Z")).expect("a ledger");
        Self { writer: Box::new(ledger), session, ..self }
    }

    pub(super) fn write(&mut self, entries: &[Entry]) {
        let cursor = entries.iter().map(|entry| entry.id).max().unwrap_or_default().max(self.writer.cursor());
        self.writer.write(entries, cursor).expect("written");
    }

    pub(super) fn reader(&self) -> SqliteLedgerReader {
        SqliteLedgerReader::open(&self.place, std::time::Duration::from_secs(60)).expect("a reader")
    }

    pub(super) fn span(&self, from: NaiveDate, to: NaiveDate) -> Span {
        Span { start: self.session.start_of(from), end: self.session.day(to).end }
    }

    /// The orders of the days from `from` to `to`, as [`naive`] tells them.
    pub(super) fn counted(&self, from: NaiveDate, to: NaiveDate) -> (i64, [i64; 6], i64, i64) {
        let found = self.reader().orders(1, self.span(from, to)).expect("counts");
        let statuses = [found.open, found.partially_filled, found.filled, found.canceled, found.rejected, found.expired];
        (found.total, statuses, found.limit, found.converted)
    }

    /// The orders of all days until `to`.
    pub(super) fn until(&self, to: &str) -> OrderCounts {
        let end = self.session.day(date(to)).end;
        self.reader().orders(1, Span { start: Timestamp::from_micros(i64::MIN), end }).expect("counts")
    }

    pub(super) fn day(&self, day: &str, script: Option<&str>) -> Latencies {
        let asked = LatencySpan::days(self.span(date(day), date(day)));
        self.reader().latencies(1, script, asked).expect("latencies")
    }
}

#[test]
fn a_new_ledger_has_no_orders_no_latencies_and_no_scripts() {
    let ledger = Ledger::new();
    assert_eq!(ledger.until("2025-11-18"), OrderCounts::default());
    assert_eq!(ledger.day("2025-11-18", None), Latencies::default());
    let (end, asked) =
        (time("2025-11-18T00:00:00Z"), LatencySpan::sliding(time("2025-11-18T00:00:00Z"), std::time::Duration::from_secs(300)));
    assert_eq!(ledger.reader().scripts(1, None, end, asked).expect("scripts"), []);
}

#[test]
fn an_order_is_counted_as_it_was_at_the_end_of_the_day_that_is_asked_for() {
    let mut ledger = Ledger::new();
    let (evening, morning) = (time("2025-11-19T04:59:59Z"), time("2025-11-19T05:00:00Z"));
    ledger.write(&[order(1, 1, evening, "A", "submitted", "LIMIT"), order(2, 1, morning, "A", "filled", "MARKET")]);
    let day = ledger.until("2025-11-18");
    assert_eq!((day.total, day.open, day.filled, day.limit, day.converted), (1, 1, 0, 1, 0));
    let next = ledger.until("2025-11-19");
    assert_eq!((next.total, next.open, next.filled, next.limit, next.converted), (1, 0, 1, 1, 1));
    let only_next = ledger.span(date("2025-11-19"), date("2025-11-19"));
    assert_eq!(ledger.reader().orders(1, only_next).expect("counts"), OrderCounts::default(), "it belongs to the day before");
    assert_eq!(ledger.reader().orders(2, only_next).expect("counts"), OrderCounts::default());
}

#[test]
fn a_report_of_an_earlier_day_that_comes_late_moves_the_order_there() {
    let mut ledger = Ledger::new();
    ledger.write(&[order(1, 1, time("2025-11-19T15:00:00Z"), "A", "filled", "")]);
    assert_eq!(ledger.until("2025-11-18").total, 0);
    ledger.write(&[order(2, 1, time("2025-11-17T15:00:00Z"), "A", "submitted", "")]);
    assert_eq!((ledger.until("2025-11-18").open, ledger.until("2025-11-19").open), (1, 0));
    assert_eq!((ledger.until("2025-11-18").total, ledger.until("2025-11-19").total), (1, 1));
}

#[test]
fn a_sample_counts_once_though_its_event_is_folded_again() {
    let mut ledger = Ledger::new();
    let entries = [latency(7, time("2025-11-18T15:00:00Z"), "s", 10.0), latency(8, time("2025-11-18T15:00:00Z"), "s", 10.0)];
    ledger.write(&entries);
    // a journal that was put back, and its events once more
    ledger.writer.write(&[], EventId::ZERO).expect("written");
    ledger.write(&entries);
    ledger.write(&[latency(9, time("2025-11-18T15:00:00Z"), "s", 10.0)]);
    assert_eq!(ledger.day("2025-11-18", Some("s")).count(), 3);
    assert_eq!(ledger.day("2025-11-18", None).count(), 3);
}

#[test]
fn the_sliding_window_covers_its_length_and_at_most_a_slice_more() {
    let mut ledger = Ledger::new();
    let now = time("2025-11-18T15:02:00Z");
    let hour_ago = |micros: i64| Timestamp::from_micros(now.micros() - HOUR + micros);
    let first = EventId::first_at(now).get();
    ledger.write(&[
        latency(first, hour_ago(-300_000_000), "s", 1.0),
        latency(first + 1, hour_ago(0), "s", 2.0),
        latency(first + 2, now, "s", 3.0),
    ]);
    let asked = LatencySpan::sliding(now, std::time::Duration::from_secs(3_600));
    let known = ledger.reader().latencies(1, Some("s"), asked).expect("latencies");
    assert_eq!((known.count(), known.percentile(1)), (2, Some(2_000)));
    // a day later the slices are gone, and the day is kept
    let later = EventId::first_at(time("2025-11-19T16:00:00Z")).get();
    ledger.write(&[latency(later, time("2025-11-19T16:00:00Z"), "s", 4.0)]);
    assert_eq!(ledger.reader().latencies(1, Some("s"), asked).expect("latencies").count(), 0);
    assert_eq!(ledger.day("2025-11-18", Some("s")).count(), 3);
}

#[test]
fn days_of_23_and_25_hours_have_all_their_latencies() {
    let mut ledger = Ledger::new();
    // clocks of New York: set ahead on 2025-03-09, set back on 2025-11-02
    let hours = |day: &str| {
        let day = session(America::New_York).day(date(day));
        (0..)
            .map(move |hour| Timestamp::from_micros(day.start.micros() + hour * HOUR))
            .take_while(move |time| day.contains(*time))
    };
    let entries: Vec<Entry> =
        hours("2025-03-09").chain(hours("2025-11-02")).enumerate().map(|(id, at)| latency(id as u64 + 1, at, "s", 1.0)).collect();
    ledger.write(&entries);
    assert_eq!([ledger.day("2025-03-09", None).count(), ledger.day("2025-11-02", None).count()], [23, 25]);
}

#[test]
fn a_script_shows_its_last_health_until_the_day_and_names_of_any_kind_are_told_apart() {
    let mut ledger = Ledger::new();
    let long = "नाम".repeat(100);
    let other = format!("{long}2");
    let health = |id, at, name: &str, status: &str, errors: Option<u32>| {
        entry(
            id,
            "system_health",
            1,
            time(at),
            &serde_json::json!({ "script_name": name, "status": status, "error_count": errors }),
        )
    };
    ledger.write(&[
        health(1, "2025-11-18T15:00:00Z", &long, "HEALTHY", Some(1)),
        health(2, "2025-11-18T14:00:00Z", &long, "error", Some(9)),
        health(3, "2025-11-19T15:00:00Z", &long, "degraded", None),
        health(4, "2025-11-18T15:00:00Z", &other, "error", Some(0)),
        latency(5, time("2025-11-18T15:00:00Z"), "'; drop table dd_scripts; --", 5.0),
    ]);
    let asked = LatencySpan::days(ledger.span(date("2025-11-18"), date("2025-11-18")));
    let known = |name: Option<&str>, day: &str| {
        let end = ledger.session.day(date(day)).end;
        ledger.reader().scripts(1, name, end, asked).expect("scripts")
    };
    let scripts = known(None, "2025-11-18");
    let names: Vec<&str> = scripts.iter().map(|script| script.name.as_str()).collect();
    assert_eq!(names, ["'; drop table dd_scripts; --", &long, &other]);
    assert_eq!((scripts[0].health, scripts[0].latencies.count()), (None, 1));
    let (status, figures) = scripts[1].health.expect("health");
    assert_eq!((status, figures.error_count), (ScriptStatus::Healthy, Some(1.into())));
    assert_eq!(scripts[1].last_seen, Some(time("2025-11-18T15:00:00Z")));
    let (status, figures) = known(Some(&long), "2025-11-19")[0].health.expect("health");
    assert_eq!((status, figures.error_count), (ScriptStatus::Degraded, None), "not said is not known");
    assert_eq!(known(Some("nobody"), "2025-11-19"), []);
    assert_eq!(known(None, "2025-11-17"), []);
}

/// Reports of few orders of two profiles within four days, around a change of clocks.
pub(super) fn reports() -> impl Strategy<Value = Vec<Entry>> {
    let statuses = &["submitted", "partially_filled", "filled", "cancelled", "rejected", "expired", "converted"][..];
    let types = &["", "LIMIT", "MARKET"][..];
    let one = (1_i64..3, 0_i64..96, 0_u8..4, proptest::sample::select(statuses), proptest::sample::select(types));
    proptest::collection::vec(one, 0..40).prop_map(|all| {
        let start = time("2025-11-01T04:00:00Z").micros();
        let entries = all.into_iter().enumerate().map(|(id, (profile, hour, name, status, order_type))| {
            let at = Timestamp::from_micros(start + hour * HOUR);
            order(id as u64 + 1, profile, at, &name.to_string(), status, order_type)
        });
        entries.collect()
    })
}

/// Profile 1's orders of the days from `from` to `to` as one tells them from all reports: how many, by status, how many limit
/// orders, and how many of them were converted.
pub(super) fn naive(entries: &[Entry], session: &Session, from: NaiveDate, to: NaiveDate) -> (i64, [i64; 6], i64, i64) {
    let mut orders = BTreeMap::<_, Vec<OrderDay>>::new();
    for entry in entries.iter().filter(|entry| entry.profile_id == Some(1) && session.date_of(entry.at) <= to) {
        let Kind::Order(report) = &entry.kind else { panic!("an order") };
        orders.entry(report.order_key.clone()).or_default().push(OrderDay::of(report, (entry.at, entry.id)));
    }
    orders.retain(|_, reports| reports.iter().all(|report| session.date_of(report.moment.0) >= from));
    let (mut counts, mut limits, mut converted) = ([0; 6], 0, 0);
    for reports in orders.values() {
        let last = reports.iter().max_by_key(|report| (report.moment.0, report.status.is_end(), report.moment.1));
        counts[last.expect("a report").status as usize] += 1;
        let said = reports.iter().any(|report| report.is_converted);
        let limit = reports.iter().filter_map(|report| report.first_limit).min();
        let market = reports.iter().filter_map(|report| report.last_market).max();
        limits += i64::from(said || limit.is_some());
        converted += i64::from(said || limit.is_some_and(|limit| market > Some(limit)));
    }
    (orders.len() as i64, counts, limits, converted)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn counts_equal_a_recomputation_from_the_reports(entries in reports(), shuffle in any::<u64>(), batch in 1_usize..12) {
        let mut ledger = Ledger::new();
        let mut arrived = entries.clone();
        arrived.sort_by_key(|entry| entry.id.get().wrapping_mul(shuffle | 1));
        for entries in arrived.chunks(batch) {
            ledger.write(entries);
            // what was folded twice counts once
            ledger.write(entries);
        }
        let days = ["2025-11-01", "2025-11-02", "2025-11-03", "2025-11-04"].map(date);
        for (first, from) in days.iter().enumerate() {
            for to in &days[first..] {
                prop_assert_eq!(ledger.counted(*from, *to), naive(&entries, &ledger.session, *from, *to));
            }
        }
    }

    #[test]
    fn a_days_latencies_are_one_histogram_of_its_samples(samples in proptest::collection::vec((0_i64..96, 0_u8..3, 0_f64..100_000.0), 0..40), batch in 1_usize..12) {
        let mut ledger = Ledger::new();
        let start = time("2025-11-01T04:00:00Z").micros();
        let entries: Vec<Entry> = samples.iter().enumerate().map(|(id, (hour, script, ms))| {
            latency(id as u64 + 1, Timestamp::from_micros(start + hour * HOUR), &script.to_string(), *ms)
        }).collect();
        for entries in entries.chunks(batch) {
            ledger.write(entries);
        }
        for day in ["2025-11-01", "2025-11-02", "2025-11-03", "2025-11-04"] {
            for script in [None, Some("0"), Some("1"), Some("2")] {
                let mut expected = Latencies::default();
                for entry in entries.iter().filter(|entry| ledger.session.date_of(entry.at) == date(day)) {
                    let Kind::Latency(latency) = &entry.kind else { panic!("a latency") };
                    if script.is_none_or(|script| latency.script_name.as_deref() == Some(script)) {
                        expected.record(latency.micros);
                    }
                }
                prop_assert_eq!(ledger.day(day, script), expected);
            }
        }
    }
}

#[test]
fn a_ledger_of_the_first_schema_folds_the_journal_once_more() {
    let ledger = Ledger::new();
    let Place::File(path) = ledger.place.clone() else { panic!("a file") };
    drop(ledger.writer);
    let connection = Connection::open(&path).expect("the file");
    let tables = ["dd_orders", "dd_order_metrics", "dd_api_latency", "dd_scripts", "dd_system_health"];
    for table in tables {
        connection.execute(&format!("drop table {table}"), []).expect("dropped");
    }
    connection.execute("update dd_meta set value = '1' where name = 'schema'", []).expect("set");
    connection.execute("replace into dd_meta values('cursor', '77')", []).expect("set");
    drop(connection);
    let Opened { ledger, set_aside } =
        open(&Place::File(path), session(America::New_York), time("2025-01-01T00:00:00Z")).expect("a ledger");
    assert_eq!((ledger.cursor(), set_aside), (EventId::ZERO, None));
}
