use super::*;
use crate::domain::clock::Timestamp;
use crate::domain::envelope::{Rules, parse};
use crate::domain::id::EventId;
use proptest::prelude::*;
use serde_json::{Value, json};

const RULES: Rules = Rules { max_event_bytes: 1 << 20, max_depth: 64, accept_unknown_types: true };

fn event(event_type: &str, second: i64, payload: &Value) -> Event {
    let json = json!({"type": event_type, "source": "fno", "payload": payload}).to_string();
    let at = Timestamp::from_micros(second * 1_000_000);
    parse(json.as_bytes(), &RULES, at).expect("valid").stamp(EventId::first_at(at))
}

/// A fill of `strategy` S in symbol N.
fn fill(second: i64, side: &str, quantity: f64, price: f64) -> Event {
    let order = json!({"order_id": "1", "symbol": "N", "side": side, "status": "FILLED", "quantity": quantity, "price": price,
        "strategy": "S"});
    event("order_event", second, &order)
}

fn closed(second: i64, quantity: f64, pnl: f64) -> Event {
    let time = "2025-11-18T07:55:41Z";
    let trade = json!({"symbol": "N", "trade_type": "breakout", "entry_price": 1, "exit_price": 2, "quantity": quantity,
        "entry_time": time, "exit_time": time, "pnl": pnl});
    event("trade_closed", second, &trade)
}

fn figures(events: &[Event]) -> StrategyFigures {
    let mut performance = Performance::default();
    events.iter().for_each(|event| performance.apply(event));
    performance.figures().strategies.get("S").expect("the strategy").clone()
}

fn decided(events: &[Event]) -> (u64, u64, u64, u64) {
    let each = figures(events);
    (each.win_count, each.loss_count, each.win_streak, each.loss_streak)
}

#[test]
fn a_closing_fill_is_judged_against_the_average_cost() {
    let bought = [fill(1, "BUY", 1.0, 100.0), fill(2, "buy", 3.0, 200.0)];
    assert_eq!(figures(&bought).open_positions, 1);
    assert_eq!(figures(&bought).win_rate, None);
    let [first, second] = bought;
    let sold = [first, second, fill(3, "SELL", 2.0, 176.0), fill(4, "SELL", 2.0, 174.0)];
    assert_eq!(decided(&sold), (1, 1, 0, 1), "the average is 175");
    assert_eq!((figures(&sold).open_positions, figures(&sold).win_rate), (0, Some(0.5)));
}

#[test]
fn a_short_wins_when_the_price_falls_and_a_reversal_opens_the_other_way() {
    let events = [fill(1, "SELL", 10.0, 100.0), fill(2, "BUY", 15.0, 90.0), fill(3, "SELL", 5.0, 80.0)];
    assert_eq!(decided(&events[..2]), (1, 0, 1, 0));
    assert_eq!(figures(&events[..2]).open_positions, 1);
    assert_eq!(decided(&events), (1, 1, 0, 1));
}

#[test]
fn a_result_of_zero_neither_extends_nor_resets_a_streak() {
    let trip = |second, out| [fill(second, "BUY", 1.0, 100.0), fill(second + 1, "SELL", 1.0, out)];
    let events: Vec<Event> = [90.0, 95.0, 100.0, 99.0].iter().zip(0..).flat_map(|(out, n)| trip(n * 2, *out)).collect();
    assert_eq!(decided(&events), (0, 3, 0, 3));
}

#[test]
fn what_rounding_leaves_of_zero_is_zero() {
    // the average is 80/3, which no binary fraction is
    let bought = [fill(1, "BUY", 1.0, 16.0), fill(2, "BUY", 2.0, 32.0)];
    let [first, second] = bought;
    assert_eq!(decided(&[first, second, fill(3, "SELL", 3.0, 80.0 / 3.0 + 1e-12)]), (0, 0, 0, 0));
}

#[test]
fn a_closed_trade_counts_as_given_and_takes_the_place_of_its_fills_before_or_after_it() {
    let (open, close) = (|| fill(1, "BUY", 10.0, 100.0), || fill(5, "SELL", 10.0, 101.0));
    assert_eq!(decided(&[open(), close()]), (1, 0, 1, 0));
    // fees make it a loss
    assert_eq!(decided(&[open(), close(), closed(5, 10.0, -3.0)]), (0, 1, 0, 1));
    assert_eq!(decided(&[open(), closed(5, 10.0, -3.0), close()]), (0, 1, 0, 1));
    let parts = || [fill(5, "SELL", 4.0, 101.0), fill(6, "SELL", 6.0, 102.0)];
    let [first, second] = parts();
    assert_eq!(decided(&[open(), first, second, closed(7, 10.0, 30.0)]), (1, 0, 1, 0));
    let [first, second] = parts();
    assert_eq!(decided(&[open(), first, closed(5, 10.0, 30.0), second]), (1, 0, 1, 0));
    // another trade of the day is another result
    assert_eq!(decided(&[open(), close(), closed(500, 10.0, -3.0)]), (1, 1, 0, 1));
}

#[test]
fn a_corrected_result_stays_where_it_was_in_the_streak() {
    let events = [
        fill(1, "BUY", 1.0, 100.0),
        fill(2, "SELL", 1.0, 101.0),
        fill(3, "BUY", 1.0, 100.0),
        fill(4, "SELL", 1.0, 99.0),
        closed(5, 1.0, -1.0),
    ];
    assert_eq!(decided(&events), (0, 2, 0, 2));
}

#[test]
fn what_is_no_fill_changes_nothing() {
    let order = |status: &str, side: &str, extra: &Value| {
        let mut order =
            json!({"order_id": 1, "symbol": "N", "side": side, "status": status, "strategy": "S", "price": 1, "qty": 1});
        let extra = extra.as_object().expect("an object").clone();
        order.as_object_mut().expect("an object").extend(extra);
        event("order_event", 1, &order)
    };
    let events = [
        order("submitted", "BUY", &json!({})),
        order("partially_filled", "BUY", &json!({})),
        order("rejected", "BUY", &json!({})),
        order("filled", "HOLD", &json!({})),
        order("filled", "BUY", &json!({"qty": 0})),
        order("filled", "BUY", &json!({"price": null})),
    ];
    let mut performance = Performance::default();
    events.iter().for_each(|event| performance.apply(event));
    assert_eq!(performance.figures().total_strategies, 0);
}

#[test]
fn signals_and_their_confidence_are_counted_and_two_forms_of_one_are_one() {
    let signal = |second: i64, confidence: f64| json!({"symbol": "N", "strategy_name": "S", "signal": "BUY", "confidence": confidence, "n": second});
    let mut priced = signal(1, 0.5);
    priced["logical"] = json!("NIFTY");
    let events =
        [event("signal_event", 1, &signal(1, 0.5)), event("signal_event", 1, &priced), event("signal_event", 9, &signal(9, 1.0))];
    let mut performance = Performance::default();
    events.iter().for_each(|event| performance.apply(event));
    let figures = performance.figures();
    assert_eq!((figures.strategies["S"].signals, figures.avg_confidence), (2, 0.75));
}

#[test]
fn what_the_engine_says_of_its_positions_decides_which_are_open() {
    let said = |second: i64, size: f64| {
        event("position_event", second, &json!({"symbol": "N", "position_size": size, "strategy": "S", "entry_price": 50}))
    };
    let snapshot =
        |second: i64| event("position_event", second, &json!({"symbol": "portfolio", "position_size": 0, "positions": []}));
    assert_eq!(figures(&[fill(1, "BUY", 1.0, 100.0), snapshot(2)]).open_positions, 0);
    // told a moment before the fill that it speaks of
    assert_eq!(decided(&[fill(1, "BUY", 1.0, 100.0), said(200, 0.0), fill(201, "SELL", 1.0, 101.0)]), (1, 0, 1, 0));
    // closed and opened anew without an order
    let snapshot =
        json!({"symbol": "portfolio", "position_size": 1, "positions": [{"symbol": "N", "quantity": -1, "avg_price": 90}]});
    let events = [fill(1, "SELL", 9.0, 100.0), event("position_event", 2, &snapshot), fill(200, "BUY", 1.0, 95.0)];
    assert_eq!((decided(&events), figures(&events).open_positions), ((0, 1, 0, 1), 0));
    // opened before anybody listened
    assert_eq!(decided(&[said(1, 2.0), fill(200, "SELL", 2.0, 49.0)]), (0, 1, 0, 1));
}

proptest! {
    /// Against cash and holdings: what was realised is what the cash and the open position's cost say.
    #[test]
    fn streaks_and_counts_equal_a_naive_replay(
        fills in proptest::collection::vec((any::<bool>(), 1_u8..5, 1_u8..5), 0..120),
    ) {
        let (mut quantity, mut cost) = (0.0_f64, 0.0_f64);
        let mut results = Vec::new();
        let mut events = vec![event("signal_event", 0, &json!({"symbol": "N", "strategy_name": "S", "signal": "BUY"}))];
        for ((buy, lots, price), second) in fills.iter().zip(1..) {
            let signed = if *buy { f64::from(*lots) } else { -f64::from(*lots) };
            let price = f64::from(*price) * 16.0;
            events.push(fill(second, if *buy { "BUY" } else { "SELL" }, f64::from(*lots), price));
            // lot by lot
            let mut result = None;
            for _ in 0..*lots {
                if quantity * signed >= 0.0 {
                    (quantity, cost) = (quantity + signed.signum(), cost + price * signed.signum());
                } else {
                    let average = cost / quantity;
                    *result.get_or_insert(0.0) += (price - average) * quantity.signum();
                    cost -= average * quantity.signum();
                    quantity += signed.signum();
                }
            }
            results.extend(result);
        }
        let mut naive = Tally::default();
        for result in &results {
            naive.add(if result.abs() < 1e-6 { 0.0 } else { *result });
        }
        let got = figures(&events);
        prop_assert_eq!((got.win_count, got.loss_count, got.win_streak, got.loss_streak),
            (naive.wins, naive.losses, naive.win_streak, naive.loss_streak));
        prop_assert_eq!(got.open_positions, usize::from(quantity != 0.0));
    }
}
