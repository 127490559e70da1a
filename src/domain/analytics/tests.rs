//! Figures computed by hand, and courses against a naive search.

use chrono::NaiveTime;
use proptest::prelude::*;
use rust_decimal::Decimal;

use super::entry::{Entry, Kind};
use super::equity::{Course, Equity, Recovery};
use super::sum::Sum;
use super::tally::Tally;
use super::trade::{Side, Trade};
use crate::domain::clock::Timestamp;
use crate::domain::envelope::{Rules, parse};
use crate::domain::id::EventId;
use crate::domain::risk::session::Session;

fn sum(text: &str) -> Sum {
    text.parse().expect("a number")
}

fn course(values: &[i64]) -> Course {
    let course = values.iter().map(|value| Course::at(sum(&value.to_string()))).reduce(Course::then);
    course.expect("a value")
}

fn tally(results: &[i64]) -> Tally {
    let trades = results.iter().map(|pnl| Tally::of(Some(sum(&pnl.to_string())), None));
    trades.fold(Tally::default(), Tally::then)
}

/// The entry of an event, in Kolkata's time.
fn read(event: &str) -> Option<Entry> {
    let rules = Rules { max_event_bytes: 1 << 20, max_depth: 64, accept_unknown_types: true };
    let arrival = Timestamp::parse("2025-11-18T12:00:00Z").expect("a time");
    let event = parse(event.as_bytes(), &rules, arrival).expect("valid").stamp(EventId::from_u64(7));
    Entry::of(&event, &Session::new(chrono_tz::Asia::Kolkata, NaiveTime::MIN))
}

fn trade(more: &str) -> Trade {
    let event = format!(
        r#"{{"type":"trade_closed","profile_id":3,"payload":{{"symbol":"NIFTY25NOV24650CE","trade_type":"BREAKOUT",
            "entry_time":"2025-11-18T09:15:00","exit_time":"2025-11-18 09:30:00.5"{more}}}}}"#
    );
    match read(&event).expect("an entry").kind {
        Kind::Trade(trade) => *trade,
        other => panic!("{other:?}"),
    }
}

fn pnl(more: &str) -> Option<String> {
    trade(more).pnl.map(|pnl| pnl.to_string())
}

proptest! {
    #[test]
    fn the_largest_fall_is_that_of_a_naive_search_wherever_the_course_is_cut(
        values in proptest::collection::vec(-50_i64..50, 1..40), cut in any::<proptest::sample::Index>(),
    ) {
        let mut naive = (0, *values.iter().max().expect("one"));
        for (index, high) in values.iter().enumerate() {
            for low in &values[index..] {
                if high - low > naive.0 {
                    naive = (high - low, *high);
                }
            }
        }
        let whole = course(&values);
        prop_assert_eq!((whole.fall, whole.fall_from), (sum(&naive.0.to_string()), sum(&naive.1.to_string())));
        let (one, other) = values.split_at(cut.index(values.len()));
        if !one.is_empty() {
            prop_assert_eq!(course(one).then(course(other)), whole);
        }
    }

    #[test]
    fn two_tallies_make_the_one_of_all_their_trades(one in proptest::collection::vec(-9_i64..9, 0..20), other in proptest::collection::vec(-9_i64..9, 0..20)) {
        let all: Vec<i64> = one.iter().chain(&other).copied().collect();
        prop_assert_eq!(tally(&one).then(tally(&other)), tally(&all));
        prop_assert_eq!(tally(&all).course.last, sum(&all.iter().sum::<i64>().to_string()));
    }
}

#[test]
fn the_fall_is_the_largest_in_time_order_and_recovery_is_judged_by_where_it_began() {
    let told = |values: &[i64]| {
        let course = course(values);
        (course.fall.to_string(), course.fall_pct().map(|pct| pct.to_string()).unwrap_or_default(), course.recovery())
    };
    let said = |fall: &str, pct: &str, recovery| (fall.to_owned(), pct.to_owned(), recovery);
    assert_eq!(told(&[100]), said("0", "0", Recovery::NewPeak), "one snapshot");
    assert_eq!(told(&[100, 100]), said("0", "0", Recovery::NewPeak));
    assert_eq!(told(&[100, 110]), said("0", "0", Recovery::NewPeak));
    assert_eq!(told(&[100, 50]), said("50", "50", Recovery::Drawdown));
    assert_eq!(told(&[100, 50, 99]), said("50", "50", Recovery::Drawdown));
    assert_eq!(told(&[100, 50, 100]), said("50", "50", Recovery::Recovered), "back, but no higher");
    assert_eq!(told(&[100, 50, 110]), said("50", "50", Recovery::NewPeak));
    assert_eq!(told(&[100, 50, 110, 105]), said("50", "50", Recovery::Recovered), "not from the highest to what came later");
    assert_eq!(told(&[100, 50, 110, 55]), said("55", "50", Recovery::Drawdown));
    assert_eq!(told(&[100, 90, 120, 110]), said("10", "10", Recovery::Recovered), "of equal falls the first");
    assert_eq!(told(&[-10, -20]), said("10", "", Recovery::Drawdown), "no share of what is below zero");
}

#[test]
fn figures_of_trades_equal_those_computed_by_hand() {
    let told = |results: &[i64]| {
        let tally = tally(results);
        let figures = [
            tally.pnl(),
            tally.avg_pnl(),
            tally.win_rate(),
            tally.avg_win(),
            tally.avg_loss(),
            tally.profit_factor(),
            tally.max_drawdown(),
        ];
        figures.map(|figure| figure.map_or("null".to_owned(), |figure| figure.to_string())).join(" ")
    };
    assert_eq!(told(&[]), "null null null null null null null", "nothing is known");
    assert_eq!(told(&[15]), "15 15 100 15 null null 0");
    assert_eq!(told(&[-15]), "-15 -15 0 null -15 0 15");
    assert_eq!(told(&[0]), "0 0 0 null null null 0", "a tie is neither won nor lost");
    assert_eq!(told(&[15, -11, 16, -6, 10]), "24 4.8 60 13.666666666667 -8.5 2.411764705882 11");
    assert_eq!(told(&[1, 2, 3]), "6 2 100 2 null null 0", "all wins");
    assert_eq!(told(&[-1, -2, -3]), "-6 -2 0 null -2 0 6", "all losses");
    assert_eq!(told(&[10, -30, 25, -1]), "4 1 50 17.5 -15.5 1.129032258065 30");
    let tally = tally(&[10, -30]);
    assert_eq!(tally.max_drawdown_pct(sum("90")), Some(sum("30")), "30 of 90 + 10");
    assert_eq!(tally.max_drawdown_pct(sum("-10")), None);
    assert_eq!((tally.largest_win, tally.largest_loss), (Some(sum("10")), Some(sum("-30"))));
}

#[test]
fn a_result_is_taken_as_given_and_else_computed_by_its_side() {
    let prices = r#","entry_price":480.10,"exit_price":481.60,"quantity":10"#;
    let told = |more: &str| pnl(&format!("{prices}{more}"));
    assert_eq!(told(r#","pnl":-3.25"#).as_deref(), Some("-3.25"));
    assert_eq!(told("").as_deref(), Some("15"));
    assert_eq!(told(r#","pnl":null,"direction":"UPWARD""#).as_deref(), Some("15"));
    assert_eq!(told(r#","direction":"reverse_upward""#).as_deref(), Some("15"));
    assert_eq!(told(r#","direction":"Downward""#).as_deref(), Some("-15"));
    assert_eq!(told(r#","direction":"reverse_downward""#).as_deref(), Some("-15"));
    let short = |direction: &str| pnl(&format!(r#","entry_price":2,"exit_price":3,"quantity":-4{direction}"#));
    assert_eq!(short("").as_deref(), Some("-4"), "without a direction a quantity below zero is short");
    assert_eq!(short(r#","direction":"upward""#).as_deref(), Some("4"));
    assert_eq!(told(r#","pnl":1e300"#), None, "given, but no number to count with");
    assert_eq!(pnl(r#","entry_price":0,"exit_price":1e15,"quantity":1e15"#), None);
}

#[test]
fn a_trade_counts_at_its_exit_and_one_without_such_a_time_at_its_event() {
    let prices = r#","entry_price":1,"exit_price":1,"quantity":1"#;
    let local = trade(prices);
    assert_eq!(local.exit.at.to_string(), "2025-11-18T04:00:00.500000Z", "local times are the session's");
    assert_eq!((local.exit.text.as_str(), local.trade_type.as_str()), ("2025-11-18 09:30:00.5", "breakout"));
    let berlin = Session::new(chrono_tz::Europe::Berlin, NaiveTime::MIN);
    let event = Timestamp::from_micros(7);
    let moment = |text: &str| super::trade::WrittenTime::read(text, &berlin, event).at;
    assert_eq!(moment("2024-03-31T02:30:00"), event, "the clocks went from 02:00 to 03:00");
    assert_eq!(moment("2024-10-27T02:30:00").to_string(), "2024-10-27T00:30:00.000000Z", "the first of two");
    assert_eq!(moment("2024-03-31T02:30:00+01:00").to_string(), "2024-03-31T01:30:00.000000Z");
}

#[test]
fn slippage_is_above_zero_to_the_trades_disadvantage() {
    let slippage = |side: Side, signal: i64, fill: i64| side.slippage(Decimal::from(signal), Decimal::from(fill));
    assert_eq!(slippage(Side::Long, 100, 103), Some(Decimal::from(3)));
    assert_eq!(slippage(Side::Short, 100, 103), Some(Decimal::from(-3)));
}

#[test]
fn other_events_make_no_entry_and_profiles_are_the_envelopes() {
    assert_eq!(read(r#"{"type":"tick","payload":{}}"#), None);
    let snapshot = r#"{"type":"equity_snapshot","timestamp":"2025-11-18T01:02:03Z","payload":{"account_equity":1e300,
        "unrealized_pnl":123.45,"realized_pnl":111.11,"margin_used":4520.00,"margin_available":5480,"open_positions_count":3}}"#;
    let entry = read(snapshot).expect("an entry");
    assert_eq!((entry.profile_id, entry.at.to_string().as_str()), (None, "2025-11-18T01:02:03.000000Z"));
    let Kind::Equity(equity) = entry.kind else { panic!("no snapshot") };
    assert_eq!(equity.account_equity, None, "no number to count with");
    assert_eq!(equity.total_pnl(), Some(sum("234.56")));
    assert_eq!(equity.margin_utilization_pct(), Some(sum("45.2")));
    let none = Equity { margin_used: Some(Decimal::ZERO), margin_available: Some(Decimal::ZERO), ..equity };
    assert_eq!(none.margin_utilization_pct(), None, "a share of nothing");
    let over = Equity { margin_available: Some(Decimal::from(-1520)), ..equity };
    assert_eq!(over.margin_utilization_pct().map(|pct| pct > sum("100")), Some(true));
}
