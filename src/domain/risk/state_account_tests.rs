//! Several accounts, and statements that leave something out.

use super::*;

fn says(state: &mut DayState, source: &str, metrics: &str, second: i64) {
    apply(state, &event("performance_update", source, &format!(r#"{{"metrics":{metrics}}}"#), second, second));
}

/// An event of Plimsoll's own.
fn ours(kind: &str, payload: &str, second: i64) -> Event {
    let header = crate::domain::event::Header {
        source: Some("plimsoll".into()),
        event_type: kind.into(),
        ..event("x", "x", "{}", second, second).header().clone()
    };
    crate::domain::event::Draft::new(header, payload).stamp(EventId::first_at(at(second)))
}

fn loss(state: &DayState) -> String {
    figure(state, LimitKind::MaxDailyLoss).expect("known")
}

fn drawdown(state: &DayState) -> String {
    state.current(LimitKind::MaxDailyDrawdownPct, None).expect("known").round_dp(2).normalize().to_string()
}

#[test]
fn a_capital_that_is_told_late_or_left_out_is_no_gain_and_no_loss() {
    let mut state = state(Some(1_000_000));
    says(&mut state, "fno", r#"{"starting_capital":5000000,"realized_pnl":0}"#, 0);
    assert_eq!(drawdown(&state), "0");
    says(&mut state, "fno", r#"{"realized_pnl":-50000}"#, 1);
    assert_eq!(drawdown(&state), "1", "of the capital that was told");
    assert_eq!(state.figures().peak_equity.value, Some(Decimal::from(5_000_000)));
    says(&mut state, "fno", r#"{"starting_capital":2500000,"realized_pnl":-50000}"#, 2);
    assert_eq!(drawdown(&state), "2");
}

#[test]
fn a_capital_that_only_the_file_has_told_holds_when_a_later_one_leaves_it_out() {
    let mut state = state(Some(1_000_000));
    apply(&mut state, &ours("runtime_metrics", r#"{"starting_capital":5000000,"realized_pnl":0}"#, 0));
    apply(&mut state, &ours("runtime_metrics", r#"{"realized_pnl":-50000}"#, 1));
    assert_eq!(drawdown(&state), "1");
}

#[test]
fn what_another_source_has_when_it_first_tells_of_it_is_no_gain() {
    let mut state = state(None);
    says(&mut state, "a", r#"{"current_equity":1000000}"#, 0);
    says(&mut state, "a", r#"{"current_equity":950000}"#, 1);
    says(&mut state, "b", r#"{"current_equity":100000}"#, 2);
    assert_eq!(state.figures().peak_equity.value, Some(Decimal::from(1_100_000)));
    assert_eq!(drawdown(&state), "5");
    says(&mut state, "a", r#"{"current_equity":940000}"#, 3);
    assert_eq!(drawdown(&state), "5.45", "60,000 of 1,100,000");
}

#[test]
fn what_a_statement_leaves_out_goes_on_as_it_was_told_last() {
    let mut state = state(None);
    says(&mut state, "fno", r#"{"realized_pnl":0,"unrealized_pnl":-5000}"#, 0);
    says(&mut state, "fno", r#"{"realized_pnl":0}"#, 1);
    assert_eq!(loss(&state), "5000");
    says(&mut state, "fno", r#"{"realized_pnl":-2000}"#, 2);
    assert_eq!(loss(&state), "5000", "it came out of what was open");
    says(&mut state, "fno", r#"{"unrealized_pnl":-7000}"#, 3);
    assert_eq!(loss(&state), "9000");
    says(&mut state, "fno", r#"{"realized_pnl":-2000}"#, 4);
    apply(&mut state, &event("position_event", "fno", r#"{"symbol":"N","position_size":1,"unrealized_pnl":-10}"#, 5, 5));
    assert_eq!(loss(&state), "2010", "the position tells it anew");
    says(&mut state, "b", r#"{"unrealized_pnl":-100}"#, 6);
    assert_eq!(loss(&state), "2110", "nothing else was told of it");
}

#[test]
fn the_open_loss_of_an_engine_that_is_silent_is_as_old_as_its_silence() {
    let mut state = state(None);
    let held = r#"{"symbol":"N","position_size":10,"unrealized_pnl":-40.5}"#;
    apply(&mut state, &event("position_event", "dead", held, 0, 0));
    apply(&mut state, &event("position_event", "alive", held, 1, 1));
    let beat = r#"{"name":"alive","status":"running"}"#;
    apply(&mut state, &event("engine_heartbeat", "alive", beat, 900, 900));
    assert_eq!(state.figures().daily_pnl.at, Some(at(0).micros()));
    assert_eq!(state.figures().trades.at, Some(at(0).micros()));
    apply(&mut state, &ours("engine_heartbeat", r#"{"name":"dead","status":"running","file":"dead_engine.json"}"#, 950));
    assert_eq!(state.figures().daily_pnl.at, Some(at(900).micros()), "its file is its beat");
}

#[test]
fn what_cannot_be_read_leaves_the_figures_incomplete_until_a_statement_makes_up_for_it() {
    let mut state = state(None);
    says(&mut state, "fno", r#"{"realized_pnl":"a lot"}"#, 0);
    assert_eq!(state.unread(), 1);
    says(&mut state, "other", r#"{"realized_pnl":1}"#, 1);
    assert_eq!(state.unread(), 1, "it says nothing of that engine");
    says(&mut state, "fno", r#"{"realized_pnl":-7}"#, 2);
    assert_eq!(state.unread(), 0);
    apply(&mut state, &event("trade_closed", "fno", &trade("N", "1e300"), 3, 3));
    says(&mut state, "fno", r#"{"realized_pnl":-7}"#, 4);
    assert_eq!(state.unread(), 1, "a trade is counted by itself alone");
}
