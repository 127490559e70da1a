use chrono::NaiveTime;
use proptest::prelude::*;

use super::*;
use crate::domain::analytics::entry::Entry;
use crate::domain::event::{Draft, Header};
use crate::domain::risk::session::Session;

/// The entry of an event with this id and time.
pub(in crate::domain::analytics) fn entry(
    event_type: &str,
    (id, at): (u64, i64),
    source: Option<&str>,
    payload: &str,
) -> Option<Entry> {
    let header = Header {
        event_type: event_type.into(),
        timestamp: Timestamp::from_micros(at),
        source: source.map(Into::into),
        severity: None,
        profile_id: Some(1),
        event_id: None,
        symbol: None,
        strategy: None,
    };
    let event = Draft::new(header, payload).stamp(EventId::from_u64(id));
    Entry::of(&event, &Session::new(chrono_tz::UTC, NaiveTime::MIN))
}

/// A report and its moment.
type Told = (OrderReport, Moment);

fn read(id: u64, at: i64, source: Option<&str>, payload: &str) -> Option<Told> {
    let entry = entry("order_event", (id, at), source, payload)?;
    match entry.kind {
        Kind::Order(report) => Some((*report, (entry.at, entry.id))),
        other => panic!("no order: {other:?}"),
    }
}

fn report(id: u64, at: i64, status: &str, order_type: &str) -> Told {
    let payload = format!(r#"{{"order_id":"A","symbol":"N","side":"BUY","status":"{status}","order_type":"{order_type}"}}"#);
    read(id, at, None, &payload).expect("a report")
}

/// A day has 100 microseconds here.
fn start_of(at: i64) -> Timestamp {
    Timestamp::from_micros(at.div_euclid(100) * 100)
}

fn days_of(reports: &[Told]) -> BTreeMap<Timestamp, OrderDay> {
    let mut days = BTreeMap::new();
    for (report, moment) in reports {
        let day = OrderDay::of(report, *moment);
        let start = start_of(moment.0.micros());
        days.entry(start).and_modify(|known: &mut OrderDay| *known = known.with(day)).or_insert(day);
    }
    days
}

fn as_of(reports: &[Told], last: i64) -> OrderCounts {
    let mut counts = OrderCounts::default();
    for ((_, start), change) in changes(&days_of(reports)) {
        if start <= start_of(last) {
            counts += change;
        }
    }
    counts
}

fn last_status(reports: &[Told]) -> OrderStatus {
    days_of(reports).into_values().reduce(OrderDay::with).expect("a day").status
}

#[test]
fn the_words_of_the_field_are_read_in_any_case() {
    let words = [
        ("Created", "open"),
        ("SUBMITTED", "open"),
        ("converted", "open"),
        ("PARTIALLY_FILLED", "partially_filled"),
        ("FILLED", "filled"),
        ("Cancelled", "canceled"),
        ("CANCELED", "canceled"),
        ("rejected", "rejected"),
        ("Expired", "expired"),
    ];
    for (word, status) in words {
        let read = report(1, 1, word, "").0.status;
        assert_eq!((read.as_str(), OrderStatus::parse(status)), (status, Some(read)), "{word}");
    }
}

#[test]
fn the_last_status_is_the_latest_by_its_own_time_whatever_came_first() {
    let reports = [report(1, 30, "filled", ""), report(2, 10, "submitted", ""), report(3, 20, "partially_filled", "")];
    assert_eq!(last_status(&reports), OrderStatus::Filled);
    assert_eq!(last_status(&[report(1, 10, "filled", ""), report(2, 20, "cancelled", "")]), OrderStatus::Canceled);
}

#[test]
fn of_one_instant_an_end_comes_last_and_then_the_later_arrival() {
    assert_eq!(last_status(&[report(1, 10, "filled", ""), report(2, 10, "submitted", "")]), OrderStatus::Filled);
    assert_eq!(last_status(&[report(2, 10, "rejected", ""), report(1, 10, "expired", "")]), OrderStatus::Rejected);
}

#[test]
fn an_order_is_told_by_source_and_id_and_a_number_is_its_digits() {
    let key = |source, id: &str| {
        let payload = format!(r#"{{"order_id":{id},"symbol":"N","side":"BUY","status":"filled"}}"#);
        read(1, 1, source, &payload).expect("a report").0.order_key
    };
    assert_eq!(key(None, "7"), key(None, "\"7\""));
    assert_eq!(key(Some("fno"), "\"A\"").as_str(), r#"["fno","A"]"#);
    assert_ne!(key(Some("fno"), "7"), key(Some("equity"), "7"));
    assert_ne!(key(Some("fno"), "7"), key(None, "7"));
    assert_eq!(key(None, "\"a\\u0062\""), key(None, "\"ab\""));
    let long = format!("\"{}\"", "9".repeat(1000));
    assert!(key(None, &long).len() < 64);
    assert_ne!(key(None, &long), key(None, &long.replace("99\"", "98\"")));
}

#[test]
fn an_event_without_an_id_or_with_an_unknown_status_reports_nothing() {
    assert_eq!(read(1, 1, None, r#"{"order_id":"A","symbol":"N","side":"BUY","status":"lost"}"#), None);
    assert_eq!(read(1, 1, None, r#"{"symbol":"N","side":"BUY","status":"filled"}"#), None);
}

#[test]
fn an_order_that_is_filled_after_midnight_is_one_order_of_the_day_before() {
    let reports = [report(1, 99, "submitted", "LIMIT"), report(2, 100, "filled", "LIMIT")];
    let yesterday = as_of(&reports, 50);
    assert_eq!((yesterday.total, yesterday.open, yesterday.filled), (1, 1, 0), "nothing of what came later");
    let today = as_of(&reports, 150);
    assert_eq!((today.total, today.open, today.filled), (1, 0, 1));
    assert!(changes(&days_of(&reports)).keys().all(|(first, _)| *first == start_of(99)));
}

#[test]
fn a_conversion_is_a_status_or_a_limit_order_that_becomes_a_market_order() {
    let counts = |reports: &[Told]| {
        let counts = as_of(reports, 1_000);
        (counts.limit, counts.converted)
    };
    assert_eq!(counts(&[report(1, 1, "submitted", "LIMIT"), report(2, 2, "filled", "LIMIT")]), (1, 0));
    assert_eq!(counts(&[report(1, 1, "submitted", "limit"), report(2, 2, "filled", "MARKET")]), (1, 1));
    assert_eq!(counts(&[report(2, 2, "filled", "MKT"), report(1, 1, "submitted", "SL-LMT")]), (1, 1), "out of order");
    assert_eq!(counts(&[report(1, 1, "submitted", "MARKET"), report(2, 2, "filled", "LIMIT")]), (1, 0), "the other way round");
    assert_eq!(counts(&[report(1, 1, "converted", ""), report(2, 2, "filled", "")]), (1, 1), "what was converted was one");
    assert_eq!(counts(&[report(1, 1, "filled", "MARKET")]), (0, 0));
    assert_eq!(counts(&[report(1, 1, "submitted", "LIMIT"), report(2, 250, "filled", "MARKET")]), (1, 1), "days later");
}

#[test]
fn the_rate_is_unknown_without_a_limit_order() {
    let rate = |limit, converted| OrderCounts { limit, converted, ..OrderCounts::default() }.conversion_rate();
    assert_eq!(rate(0, 0), None);
    assert_eq!(rate(4, 0), Some(Sum::ZERO));
    assert_eq!(rate(4, 1), Some(Sum::count(25)));
    assert_eq!(rate(3, 1), Some("33.333333333333".parse().expect("a sum")));
}

fn any_report() -> impl Strategy<Value = Told> {
    let words = &["submitted", "partially_filled", "filled", "cancelled", "rejected", "expired", "converted"];
    (1_u64..50, 0_i64..500, proptest::sample::select(&words[..]), proptest::sample::select(&["", "LIMIT", "MARKET"][..]))
        .prop_map(|(id, at, status, form)| report(id, at, status, form))
}

proptest! {
    #[test]
    fn counts_as_of_a_day_equal_those_of_the_last_report_until_then(mut reports in proptest::collection::vec(any_report(), 0..12), last in 0_i64..500) {
        // an id is one event
        reports.sort_by_key(|(_, moment)| moment.1);
        reports.dedup_by_key(|(_, moment)| moment.1);
        let until: Vec<&Told> = reports.iter().filter(|(_, moment)| start_of(moment.0.micros()) <= start_of(last)).collect();
        let expected = until.iter().max_by_key(|(report, moment)| (moment.0, report.status.is_end(), moment.1));
        let counts = as_of(&reports, last);
        prop_assert_eq!(counts.total, i64::from(expected.is_some()));
        let counted = [counts.open, counts.partially_filled, counts.filled, counts.canceled, counts.rejected, counts.expired];
        for (status, count) in OrderStatus::ALL.into_iter().zip(counted) {
            prop_assert_eq!(count, i64::from(expected.is_some_and(|(report, _)| report.status == status)));
        }
        prop_assert_eq!(counts.limit, i64::from(until.iter().any(|(report, _)| report.form == Some(Form::Limit) || report.is_conversion)));
    }

    #[test]
    fn neither_the_order_of_arrival_nor_a_repetition_matters(mut reports in proptest::collection::vec(any_report(), 1..8), turn in any::<prop::sample::Index>()) {
        reports.sort_by_key(|(_, moment)| moment.1);
        reports.dedup_by_key(|(_, moment)| moment.1);
        let mut again = reports.clone();
        again.rotate_left(turn.index(reports.len()));
        again.extend(reports.iter().rev().cloned());
        prop_assert_eq!(days_of(&again), days_of(&reports));
    }
}
