//! Another trading day: what the ledger tells of orders, latencies and health, with the journal and without it.

use chrono::{NaiveDate, NaiveTime};
use chrono_tz::{America, Asia, Europe, Tz};
use proptest::prelude::*;

use super::order_tests::{Ledger, date, entry, latency, naive, order, reports, time};
use super::{LatencySpan, LedgerReader as _};
use crate::domain::analytics::entry::Entry;
use crate::domain::analytics::system::ScriptStatus;
use crate::domain::risk::session::Session;

const DAYS: [&str; 6] = ["2025-10-31", "2025-11-01", "2025-11-02", "2025-11-03", "2025-11-04", "2025-11-05"];

fn session(zone: Tz, hour: u32, minute: u32) -> Session {
    Session::new(zone, NaiveTime::from_hms_opt(hour, minute, 0).expect("a time"))
}

fn sessions() -> impl Strategy<Value = Session> {
    let all = vec![
        session(Asia::Kolkata, 0, 0),
        session(Asia::Kolkata, 9, 15),
        session(America::New_York, 17, 0),
        session(America::Chicago, 0, 0),
        session(Europe::London, 0, 0),
        session(Tz::UTC, 20, 15),
    ];
    proptest::sample::select(all)
}

/// What is told of every stretch of days.
fn told(ledger: &Ledger) -> Vec<(i64, [i64; 6], i64, i64)> {
    each_stretch().map(|(from, to)| ledger.counted(from, to)).collect()
}

fn each_stretch() -> impl Iterator<Item = (NaiveDate, NaiveDate)> {
    DAYS.into_iter().enumerate().flat_map(|(first, from)| DAYS[first..].iter().map(move |to| (date(from), date(to))))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn orders_are_those_of_the_new_days_once_the_journal_is_folded_again(
        entries in reports(), sessions in proptest::collection::vec(sessions(), 1..4), batch in 1_usize..12,
    ) {
        let mut ledger = Ledger::new();
        ledger.write(&entries);
        for session in sessions {
            ledger = ledger.regrouped(session);
            for entries in entries.chunks(batch) {
                ledger.write(entries);
            }
            let expected: Vec<_> = each_stretch().map(|(from, to)| naive(&entries, &session, from, to)).collect();
            prop_assert_eq!(told(&ledger), expected, "{}", session);
        }
    }

    #[test]
    fn without_the_journal_no_order_is_lost_and_the_days_that_were_before_are_told_as_before(
        entries in reports(), sessions in proptest::collection::vec(sessions(), 1..4),
    ) {
        let mut ledger = Ledger::new();
        ledger.write(&entries);
        let (home, before) = (ledger.session, told(&ledger));
        let all = ledger.counted(date(DAYS[0]), date(DAYS[5]));
        for session in sessions {
            ledger = ledger.regrouped(session);
            prop_assert_eq!(ledger.counted(date("2025-10-30"), date("2025-11-06")), all, "{}", session);
        }
        prop_assert_eq!(told(&ledger.regrouped(home)), before);
    }
}

#[test]
fn an_order_that_the_journal_no_longer_has_is_of_the_new_day_of_its_last_report() {
    let mut ledger = Ledger::new();
    // one day in New York; 17:00 there is 22:00 in UTC
    ledger.write(&[
        order(1, 1, time("2025-11-18T21:00:00Z"), "A", "submitted", "LIMIT"),
        order(2, 1, time("2025-11-18T22:30:00Z"), "A", "filled", "MARKET"),
    ]);
    let ledger = ledger.regrouped(session(America::New_York, 17, 0));
    assert_eq!(ledger.until("2025-11-18").total, 0);
    let next = ledger.until("2025-11-19");
    assert_eq!((next.total, next.filled, next.limit, next.converted), (1, 1, 1, 1));
}

/// Calls and reports of health on both sides of 17:00 in New York.
fn of_one_script() -> Vec<Entry> {
    let health = |id, at, status: &str| {
        entry(id, "system_health", 1, time(at), &serde_json::json!({ "script_name": "s", "status": status }))
    };
    vec![
        latency(1, time("2025-11-18T21:00:00Z"), "s", 1.0),
        health(2, "2025-11-18T21:00:00Z", "degraded"),
        latency(3, time("2025-11-18T22:30:00Z"), "s", 2.0),
        health(4, "2025-11-18T22:30:00Z", "error"),
        latency(5, time("2025-11-19T15:00:00Z"), "s", 3.0),
        health(6, "2025-11-19T15:00:00Z", "healthy"),
    ]
}

/// How a script was at the end of the day, its calls of that day, and when it was last heard of.
fn known(ledger: &Ledger, day: &str) -> (Option<ScriptStatus>, u64, Option<String>) {
    let asked = LatencySpan::days(ledger.span(date(day), date(day)));
    let end = ledger.session.day(date(day)).end;
    let scripts = ledger.reader().scripts(1, None, end, asked).expect("scripts");
    let Some(script) = scripts.first() else { return (None, 0, None) };
    assert_eq!(script.latencies, ledger.day(day, None), "the profile's are those of its only script");
    (script.health.map(|(status, _)| status), script.latencies.count(), script.last_seen.map(|time| time.to_string()))
}

#[test]
fn a_days_latencies_stay_together_on_the_day_of_the_last_of_them_and_count_once() {
    let mut ledger = Ledger::new();
    ledger.write(&of_one_script());
    let counts =
        |ledger: &Ledger| ["2025-11-17", "2025-11-18", "2025-11-19", "2025-11-20"].map(|day| ledger.day(day, Some("s")).count());
    assert_eq!(counts(&ledger), [0, 2, 1, 0]);
    let home = ledger.session;
    let mut ledger = ledger.regrouped(session(America::New_York, 17, 0));
    assert_eq!(counts(&ledger), [0, 0, 3, 0], "two of a day whose last one is of the 19th now, and one");
    // the journal once more, and one that is new
    ledger.write(&of_one_script());
    ledger.write(&[latency(7, time("2025-11-18T21:30:00Z"), "s", 4.0)]);
    assert_eq!(counts(&ledger), [0, 1, 3, 0]);
    assert_eq!(counts(&ledger.regrouped(home)), [0, 3, 1, 0]);
}

#[test]
fn health_is_that_of_the_new_days_as_far_as_it_is_known() {
    let mut ledger = Ledger::new();
    ledger.write(&of_one_script());
    let (home, last) = (ledger.session, Some("2025-11-19T15:00:00.000000Z".to_owned()));
    let before = ["2025-11-17", "2025-11-18", "2025-11-19"].map(|day| known(&ledger, day));
    let late = Some("2025-11-18T22:30:00.000000Z".to_owned());
    assert_eq!(before[1..], [(Some(ScriptStatus::Error), 2, late), (Some(ScriptStatus::Healthy), 1, last.clone())]);
    let evening = session(America::New_York, 17, 0);
    let mut ledger = ledger.regrouped(evening);
    assert_eq!(known(&ledger, "2025-11-18"), (None, 0, None), "it was there, and no more is known");
    assert_eq!(known(&ledger, "2025-11-19"), (Some(ScriptStatus::Healthy), 3, last));
    ledger.write(&of_one_script());
    let early = Some("2025-11-18T21:00:00.000000Z".to_owned());
    assert_eq!(known(&ledger, "2025-11-18"), (Some(ScriptStatus::Degraded), 0, early), "the journal knew more");
    let ledger = ledger.regrouped(home);
    assert_eq!(["2025-11-17", "2025-11-18", "2025-11-19"].map(|day| known(&ledger, day)), before);
}
