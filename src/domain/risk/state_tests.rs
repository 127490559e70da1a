use chrono::NaiveTime;
use proptest::prelude::*;
use rust_decimal::Decimal;

use super::super::limits::LimitKind;
use super::super::session::Session;
use super::*;
use crate::domain::envelope::{Rules as Envelope, parse};
use crate::domain::event::Event;
use crate::domain::id::EventId;

const ENVELOPE: Envelope = Envelope { max_event_bytes: 1 << 20, max_depth: 64, accept_unknown_types: true };
/// 2025-11-18T06:00:00+05:30, in seconds.
const MORNING: i64 = 1_763_425_800;

fn day() -> Day {
    Session::new(chrono_tz::Asia::Kolkata, NaiveTime::MIN).day_of(at(0))
}

fn state(starting_capital: Option<i64>) -> DayState {
    DayState::new(day(), Rules { include_unrealized: true, starting_capital: starting_capital.map(Decimal::from) })
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros((MORNING + seconds) * 1_000_000)
}

/// An event that happened at `time` and arrived at `arrival`, in seconds.
fn event(kind: &str, source: &str, payload: &str, time: i64, arrival: i64) -> Event {
    let json = format!(r#"{{"type":"{kind}","source":"{source}","timestamp":"{}","payload":{payload}}}"#, at(time));
    parse(json.as_bytes(), &ENVELOPE, at(arrival)).expect("valid").stamp(EventId::first_at(at(arrival)))
}

fn apply(state: &mut DayState, event: &Event) {
    state.apply(event, Heard::of(event));
}

fn trade(symbol: &str, pnl: &str) -> String {
    format!(
        r#"{{"symbol":"{symbol}","trade_type":"breakout","entry_price":100,"exit_price":101,"quantity":1,"pnl":{pnl},
        "entry_time":"2025-11-18T09:15:00","exit_time":"2025-11-18T09:30:00"}}"#
    )
}

fn fill(symbol: &str, side: &str, quantity: i64, price: i64) -> String {
    format!(r#"{{"order_id":"1","symbol":"{symbol}","side":"{side}","status":"FILLED","quantity":{quantity},"price":{price}}}"#)
}

fn stated(realized: i64, unrealized: i64, equity: i64) -> String {
    format!(r#"{{"metrics":{{"realized_pnl":{realized},"unrealized_pnl":{unrealized},"current_equity":{equity}}}}}"#)
}

fn figure(state: &DayState, kind: LimitKind) -> Option<String> {
    state.current(kind, Some("N")).map(|figure| figure.normalize().to_string())
}

#[test]
fn before_any_engine_was_heard_nothing_is_known_and_then_there_was_no_loss() {
    let mut state = state(None);
    assert_eq!(LimitKind::ALL.map(|kind| figure(&state, kind)), [const { None }; 5]);
    apply(&mut state, &event("engine_heartbeat", "fno", r#"{"name":"fno","status":"running"}"#, 0, 0));
    let known = LimitKind::ALL.map(|kind| figure(&state, kind));
    assert_eq!(known.map(|figure| figure.unwrap_or("unknown".into())), ["0", "unknown", "0", "0", "0"]);
}

#[test]
fn late_events_of_yesterday_do_not_count_and_those_of_tomorrow_count_on_arrival() {
    let mut state = state(None);
    apply(&mut state, &event("trade_closed", "fno", &trade("N", "-50"), -86_400, 10));
    assert_eq!((figure(&state, LimitKind::MaxDailyLoss).as_deref(), state.uncounted().other_days), (Some("0"), 1));
    apply(&mut state, &event("trade_closed", "fno", &trade("N", "-7.25"), 86_400, 11));
    assert_eq!(figure(&state, LimitKind::MaxDailyLoss).as_deref(), Some("7.25"));
}

#[test]
fn trades_take_the_place_of_the_fills_that_closed_them() {
    let mut state = state(None);
    apply(&mut state, &event("order_event", "fno", &fill("N", "BUY", 10, 100), 0, 0));
    apply(&mut state, &event("order_event", "fno", &fill("N", "SELL", 10, 90), 1, 1));
    assert_eq!(figure(&state, LimitKind::MaxDailyLoss).as_deref(), Some("100"));
    assert_eq!((state.trades(), state.loss_streak()), (1, 1));
    apply(&mut state, &event("trade_closed", "fno", &trade("N", "-101.5"), 1, 2));
    assert_eq!(figure(&state, LimitKind::MaxDailyLoss).as_deref(), Some("101.5"), "fees and all");
    assert_eq!((state.trades(), state.loss_streak(), state.trades_in("N")), (1, 1, 1));
}

#[test]
fn a_trade_without_a_result_has_that_of_its_prices_and_direction() {
    let of = |direction: &str| {
        let mut state = state(None);
        let trade = trade("N", "null").replace("\"pnl\"", &format!("\"direction\":{direction},\"pnl\""));
        apply(&mut state, &event("trade_closed", "fno", &trade, 0, 0));
        state.pnl().map(|pnl| pnl.realized.to_string())
    };
    assert_eq!(of("\"upward\"").as_deref(), Some("1"));
    assert_eq!(of("\"downward\"").as_deref(), Some("-1"));
    assert_eq!(of("null").as_deref(), Some("1"));
}

#[test]
fn fills_of_an_engine_that_states_its_figures_count_only_behind_its_statement() {
    let mut state = state(None);
    apply(&mut state, &event("order_event", "fno", &fill("N", "BUY", 10, 100), 0, 0));
    apply(&mut state, &event("order_event", "fno", &fill("N", "SELL", 10, 50), 1, 1));
    apply(&mut state, &event("performance_update", "fno", &stated(300, 0, 10_300), 2, 2));
    assert_eq!(figure(&state, LimitKind::MaxDailyLoss).as_deref(), Some("0"), "it knows better");
    apply(&mut state, &event("order_event", "fno", &fill("N", "BUY", 10, 100), 3, 3));
    apply(&mut state, &event("order_event", "fno", &fill("N", "SELL", 10, 20), 4, 4));
    assert_eq!(figure(&state, LimitKind::MaxDailyLoss).as_deref(), Some("500"));
    let snapshot = r#"{"symbol":"portfolio","position_size":0,"positions":[],"equity":9400,"total_notional":0}"#;
    apply(&mut state, &event("position_event", "fno", snapshot, 5, 5));
    assert_eq!(figure(&state, LimitKind::MaxDailyLoss).as_deref(), Some("600"), "300 and the change of equity since");
}

#[test]
fn newer_positions_carry_a_statement_on() {
    let mut state = state(None);
    apply(&mut state, &event("performance_update", "fno", r#"{"metrics":{"realized_pnl":-10,"unrealized_pnl":5}}"#, 0, 0));
    let held = r#"{"symbol":"N","position_size":10,"unrealized_pnl":-40.5}"#;
    apply(&mut state, &event("position_event", "fno", held, 1, 1));
    assert_eq!(figure(&state, LimitKind::MaxDailyLoss).as_deref(), Some("50.5"));
}

#[test]
fn what_cannot_be_read_is_counted_and_changes_nothing() {
    let mut state = state(None);
    apply(&mut state, &event("trade_closed", "fno", &trade("N", "1e300"), 0, 0));
    apply(&mut state, &event("order_event", "fno", r#"{"order_id":1,"symbol":"N","side":"BUY","status":"filled"}"#, 0, 1));
    assert_eq!((state.uncounted().unusable, state.trades()), (2, 0));
}

#[test]
fn the_larger_loss_of_file_and_events_counts() {
    let file = |pnl: i64, asof: &str| {
        let payload =
            format!(r#"{{"realized_pnl":{pnl},"total_trades":3,"loss_streak":2,"per_symbol":{{"N":3}},"asof":"{asof}"}}"#);
        let header = crate::domain::event::Header {
            source: Some("plimsoll".into()),
            event_type: "runtime_metrics".into(),
            ..event("x", "x", "{}", 5, 5).header().clone()
        };
        crate::domain::event::Draft::new(header, &payload).stamp(EventId::first_at(at(6)))
    };
    let mut state = state(None);
    apply(&mut state, &file(-70, "2025-11-17T10:00:00.000000Z"));
    assert_eq!(state.pnl(), None, "it is of another day");
    apply(&mut state, &file(-70, "2025-11-18T01:00:00.000000Z"));
    assert_eq!(figure(&state, LimitKind::MaxDailyLoss).as_deref(), Some("70"));
    assert_eq!((state.trades(), state.trades_in("N"), state.loss_streak()), (3, 3, 2));
    apply(&mut state, &event("trade_closed", "fno", &trade("N", "-80"), 7, 7));
    assert_eq!(figure(&state, LimitKind::MaxDailyLoss).as_deref(), Some("80"));
}

const SOURCES: [&str; 2] = ["a", "b"];
const SYMBOLS: [&str; 2] = ["N", "B"];

#[derive(Debug, Clone)]
enum Op {
    Trade { symbol: usize, pnl: i64 },
    Fill { symbol: usize, quantity: i64, price: i64 },
    Hold { unrealized: i64 },
    Flat { equity: i64 },
    State { realized: i64, unrealized: i64, equity: i64, lag: i64 },
}

fn op() -> impl Strategy<Value = (usize, Op)> {
    let op = prop_oneof![
        (0_usize..2, -50_i64..50).prop_map(|(symbol, pnl)| Op::Trade { symbol, pnl }),
        (0_usize..2, prop_oneof![-5_i64..0, 1_i64..6], 90_i64..110).prop_map(|(symbol, quantity, price)| Op::Fill {
            symbol,
            quantity,
            price
        }),
        (0_usize..2, prop_oneof![-5_i64..0, 1_i64..6], 90_i64..110).prop_map(|(symbol, quantity, price)| Op::Fill {
            symbol,
            quantity,
            price
        }),
        (-50_i64..50).prop_map(|unrealized| Op::Hold { unrealized }),
        (900_i64..1_100).prop_map(|equity| Op::Flat { equity }),
        (-50_i64..50, -50_i64..50, 900_i64..1_100, 0_i64..4).prop_map(|(realized, unrealized, equity, lag)| Op::State {
            realized,
            unrealized,
            equity,
            lag
        }),
    ];
    (0_usize..2, op)
}

fn told((source, op): &(usize, Op), n: i64) -> Event {
    let (kind, payload, lag) = match op {
        Op::Trade { symbol, pnl } => ("trade_closed", trade(SYMBOLS[*symbol], &pnl.to_string()), 0),
        Op::Fill { symbol, quantity, price } => {
            let side = if *quantity > 0 { "BUY" } else { "SELL" };
            ("order_event", fill(SYMBOLS[*symbol], side, quantity.abs(), *price), 0)
        }
        Op::Hold { unrealized } => {
            ("position_event", format!(r#"{{"symbol":"H","position_size":1000,"unrealized_pnl":{unrealized}}}"#), 0)
        }
        Op::Flat { equity } => {
            ("position_event", format!(r#"{{"symbol":"portfolio","position_size":0,"positions":[],"equity":{equity}}}"#), 0)
        }
        Op::State { realized, unrealized, equity, lag } => ("performance_update", stated(*realized, *unrealized, *equity), *lag),
    };
    event(kind, SOURCES[*source], &payload, n - lag, n)
}

/// Everything of a source from scratch, slowly: the results of its closed trades and fills in order, as (position in the
/// events, symbol, result, whether a fill).
fn results(ops: &[(usize, Op)], source: usize) -> Vec<(usize, usize, Decimal, bool)> {
    let mut all = Vec::new();
    // the units held, each at its cost
    let mut held = [Vec::<Decimal>::new(), Vec::new()];
    let mut short = [false, false];
    // whether a snapshot said since the last fill that nothing is held
    let mut is_flat = [false, false];
    for (n, (_, op)) in ops.iter().enumerate().filter(|(_, (by, _))| *by == source) {
        match op {
            Op::Trade { symbol, pnl } => all.push((n, *symbol, Decimal::from(*pnl), false)),
            Op::Fill { symbol, quantity, price } => {
                let (units, price) = (&mut held[*symbol], Decimal::from(*price));
                let mut left = quantity.unsigned_abs() as usize;
                let closes_all = units.len() == left && short[*symbol] != (*quantity < 0);
                if std::mem::take(&mut is_flat[*symbol]) && !closes_all {
                    units.clear();
                }
                if !units.is_empty() && short[*symbol] != (*quantity < 0) {
                    let average = units.iter().sum::<Decimal>() / Decimal::from(units.len());
                    let closed = left.min(units.len());
                    let gain = if short[*symbol] { average - price } else { price - average };
                    all.push((n, *symbol, (gain * Decimal::from(closed)).round_dp(8), true));
                    *units = vec![average; units.len() - closed];
                    left -= closed;
                }
                if left > 0 {
                    short[*symbol] = *quantity < 0;
                    units.extend(std::iter::repeat_n(price, left));
                }
            }
            Op::Flat { .. } => is_flat = [true, true],
            _ => {}
        }
    }
    all
}

/// Those of the results that count after all of `ops`.
fn counting(ops: &[(usize, Op)], source: usize) -> Vec<(usize, usize, Decimal)> {
    let all = results(ops, source);
    let has_trades = |symbol: usize| all.iter().any(|(_, of, _, is_fill)| *of == symbol && !is_fill);
    let counts = all.iter().filter(|(_, symbol, _, is_fill)| !(*is_fill && has_trades(*symbol)));
    counts.map(|(n, symbol, pnl, _)| (*n, *symbol, *pnl)).collect()
}

fn realized(ops: &[(usize, Op)], source: usize) -> Decimal {
    counting(ops, source).iter().map(|(_, _, pnl)| *pnl).sum()
}

/// The newest statement: where it is, its time, realised, unrealised and equity.
fn newest(ops: &[(usize, Op)], source: usize) -> Option<(usize, i64, i64, i64, i64)> {
    let all = ops.iter().enumerate().filter_map(|(n, (by, op))| match op {
        Op::State { realized, unrealized, equity, lag } if *by == source => {
            Some((n, n as i64 - lag, *realized, *unrealized, *equity))
        }
        _ => None,
    });
    all.max_by_key(|(n, at, ..)| (*at, *n))
}

fn equity(ops: &[(usize, Op)], source: usize) -> Option<(i64, i64)> {
    let all = ops.iter().enumerate().filter_map(|(n, (by, op))| match op {
        Op::State { equity, lag, .. } if *by == source => Some((n as i64 - lag, n, *equity)),
        Op::Flat { equity } if *by == source => Some((n as i64, n, *equity)),
        _ => None,
    });
    all.max_by_key(|(at, n, _)| (*at, *n)).map(|(at, _, equity)| (at, equity))
}

fn pnl_of(ops: &[(usize, Op)], source: usize) -> Decimal {
    let positions = ops.iter().enumerate().filter_map(|(n, (by, op))| match op {
        Op::Hold { unrealized } if *by == source => Some((n as i64, *unrealized)),
        Op::Flat { .. } if *by == source => Some((n as i64, 0)),
        _ => None,
    });
    let position = positions.max();
    let unrealized = Decimal::from(position.map_or(0, |(_, unrealized)| unrealized));
    let own = realized(ops, source) + unrealized;
    let Some((n, at, said_realized, said_unrealized, said_equity)) = newest(ops, source) else { return own };
    let said = Decimal::from(said_realized + said_unrealized);
    let mut least = said;
    let since = realized(ops, source) - realized(&ops[..=n], source);
    let has_moved = (n + 1..ops.len()).any(|to| realized(&ops[..=to], source) != realized(&ops[..to], source));
    match (equity(ops, source), position) {
        (Some((told, equity)), _) if told > at => least = least.min(said + Decimal::from(equity - said_equity)),
        (_, Some((told, _))) if told > at => least = least.min(Decimal::from(said_realized) + since + unrealized),
        _ if has_moved => least = least.min(Decimal::from(said_realized.max(said_realized + said_unrealized)) + since),
        _ => {}
    }
    if ops.iter().any(|(by, op)| *by == source && matches!(op, Op::Trade { .. })) { least.min(own) } else { least }
}

fn pnl(ops: &[(usize, Op)]) -> Decimal {
    pnl_of(ops, 0) + pnl_of(ops, 1)
}

fn worst_fall(values: &[Decimal]) -> Option<Decimal> {
    let pairs = (0..values.len()).flat_map(|from| (from..values.len()).map(move |to| (from, to)));
    pairs.map(|(from, to)| (values[from] - values[to]) * Decimal::ONE_HUNDRED / values[from]).max()
}

proptest! {
    #[test]
    fn the_state_equals_a_recomputation_from_all_events(ops in proptest::collection::vec(op(), 1..40)) {
        let mut state = state(Some(1_000));
        for (n, each) in ops.iter().enumerate() {
            apply(&mut state, &told(each, n as i64));
        }
        let loss = |value: Decimal| (-value).max(Decimal::ZERO).round_dp(6);
        prop_assert_eq!(state.current(LimitKind::MaxDailyLoss, None).map(|loss| loss.round_dp(6)), Some(loss(pnl(&ops))));

        let all: Vec<_> = (0..2).map(|source| counting(&ops, source)).collect();
        prop_assert_eq!(state.trades(), all.iter().map(|each| each.len() as u64).sum::<u64>());
        for (number, symbol) in SYMBOLS.iter().enumerate() {
            let count = all.iter().flatten().filter(|(_, of, _)| *of == number).count();
            prop_assert_eq!(state.trades_in(symbol), count as u64);
        }
        let mut in_order: Vec<_> = all.iter().flatten().filter(|(_, _, pnl)| !pnl.is_zero()).collect();
        in_order.sort_by_key(|(n, ..)| *n);
        let streak = in_order.iter().rev().take_while(|(_, _, pnl)| *pnl < Decimal::ZERO).count();
        prop_assert_eq!(state.loss_streak(), streak as u64);

        let prefixes = 1..=ops.len();
        let (mut stated, mut stated_fall) = (Vec::<Decimal>::new(), None);
        for to in prefixes.clone() {
            let told = |to: usize| [0, 1].map(|source| equity(&ops[..to], source).map(|(_, equity)| Decimal::from(equity)));
            // what a source has when it first tells of it was there before
            let joined: Decimal = told(to).into_iter().zip(told(to - 1)).filter(|(_, before)| before.is_none()).filter_map(|(now, _)| now).sum();
            stated.iter_mut().for_each(|before| *before += joined);
            if told(to).iter().any(Option::is_some) {
                stated.push(told(to).into_iter().flatten().sum());
            }
            stated_fall = stated_fall.max(worst_fall(&stated));
        }
        let start = Decimal::from(1_000);
        let computed: Vec<Decimal> = std::iter::once(start).chain(prefixes.map(|to| start + pnl(&ops[..to]))).collect();
        let fall = if stated.is_empty() { worst_fall(&computed) } else { stated_fall };
        let found = state.current(LimitKind::MaxDailyDrawdownPct, None);
        prop_assert_eq!(found.map(|fall| fall.round_dp(6)), fall.map(|fall| fall.round_dp(6)));
    }
}

#[path = "state_account_tests.rs"]
mod accounts;

#[test]
fn an_order_is_filled_at_its_fill_price_and_not_at_what_was_asked() {
    let mut state = state(None);
    let order = |side: &str, prices: &str| {
        format!(r#"{{"order_id":"1","symbol":"N","side":"{side}","status":"FILLED","quantity":10,{prices}}}"#)
    };
    apply(&mut state, &event("order_event", "fno", &order("BUY", r#""price":0,"average_price":250.5"#), 1, 1));
    apply(&mut state, &event("order_event", "fno", &order("SELL", r#""price":260,"average_price":240.5"#), 2, 2));
    assert_eq!(figure(&state, LimitKind::MaxDailyLoss).as_deref(), Some("100"));
}
