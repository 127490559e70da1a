//! The file of a day that is over: `analytics/daily/YYYY-MM-DD-metrics.json`, in the nested shape.
//!
//! What is not known is left out; a day without trading has no file.

use std::collections::BTreeMap;

use compact_str::CompactString;
use serde::Serialize;

use super::source::Tally;
use super::state::DayState;
use crate::domain::clock::Timestamp;
use crate::domain::engine::PLIMSOLL;
use crate::domain::money::Number;

/// The file.
#[derive(Debug, Serialize)]
struct DayFile {
    asof: String,
    mode: &'static str,
    equity: BTreeMap<&'static str, Number>,
    overall: BTreeMap<&'static str, Number>,
    per_symbol: BTreeMap<CompactString, BTreeMap<&'static str, Number>>,
    written_by: &'static str,
}

/// The file's text for the day in `state`, which is over; `None` when nothing was traded.
#[must_use]
pub fn text(state: &DayState) -> Option<String> {
    let pnl = state.pnl();
    // an engine that runs on a holiday states zeros
    let is_idle = pnl.is_none_or(|pnl| pnl.realized.is_zero() && pnl.unrealized.is_zero());
    if is_idle && state.trades() == 0 {
        return None;
    }
    let figures = state.figures();
    let known = [
        ("starting_capital", state.starting_capital()),
        ("current_equity", figures.equity.value),
        ("realized_pnl", pnl.map(|pnl| pnl.realized)),
        ("unrealized_pnl", pnl.map(|pnl| pnl.unrealized)),
        ("max_equity", figures.peak_equity.value),
        ("min_equity", figures.trough_equity.value),
    ];
    let mut per_symbol = BTreeMap::<CompactString, Tally>::new();
    for (symbol, line) in state.sources().flat_map(|source| source.lines()).filter(|(_, line)| line.tally().count > 0) {
        let tally = per_symbol.entry(symbol.clone()).or_default();
        *tally = tally.plus(line.tally());
    }
    let all = per_symbol.values().fold(Tally::default(), |all, each| all.plus(each));
    let mut overall = BTreeMap::from([("total_trades", state.trades().into())]);
    // results are told where it is known of every trade how it ended
    if all.count == state.trades() {
        overall.extend(results(&all));
    }
    // the net result is what the figures say, which may know more than the trades
    overall.extend(pnl.map(|pnl| ("net_pnl", Number(pnl.realized))));
    let last = Timestamp::from_micros(state.day().end.micros() - 1);
    let file = DayFile {
        asof: last.to_string(),
        mode: "",
        equity: known.into_iter().filter_map(|(name, value)| Some((name, Number(value?.round_dp(10))))).collect(),
        overall,
        per_symbol: per_symbol.into_iter().map(|(symbol, tally)| (symbol, symbol_results(&tally))).collect(),
        written_by: PLIMSOLL,
    };
    // numbers and text always have a JSON form
    serde_json::to_string_pretty(&file).ok()
}

fn results(tally: &Tally) -> [(&'static str, Number); 5] {
    [
        ("win_trades", tally.wins.into()),
        ("loss_trades", tally.losses.into()),
        ("breakeven_trades", (tally.count - tally.wins - tally.losses).into()),
        ("gross_profit", Number(tally.profit)),
        ("gross_loss", Number(-tally.loss)),
    ]
}

fn symbol_results(tally: &Tally) -> BTreeMap<&'static str, Number> {
    let mut all = BTreeMap::from(results(tally));
    all.extend([("trades", tally.count.into()), ("net_pnl", Number(tally.net()))]);
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::envelope::{Rules as Envelope, parse};
    use crate::domain::id::EventId;
    use crate::domain::risk::daily_file;
    use crate::domain::risk::fact::Heard;
    use crate::domain::risk::session::Session;
    use crate::domain::risk::state::Rules;

    #[test]
    fn what_is_written_is_read_back_as_the_days_own() {
        let now = Timestamp::parse("2025-11-18T06:00:00Z").expect("a time");
        let day = Session::new(chrono_tz::Tz::UTC, chrono::NaiveTime::MIN).day_of(now);
        let mut state = DayState::new(day, Rules { include_unrealized: true, starting_capital: Some(5_000_000.into()) });
        assert_eq!(text(&state), None, "nothing was traded");
        let rules = Envelope { max_event_bytes: 1 << 10, max_depth: 8, accept_unknown_types: true };
        let json = br#"{"type":"performance_update","source":"fno","payload":{"metrics":{"realized_pnl":-929.4999999995}}}"#;
        let event = parse(json, &rules, now).expect("valid").stamp(EventId::first_at(now));
        state.apply(&event, Heard::of(&event));
        let file = daily_file::parse(text(&state).expect("a file").as_bytes()).expect("readable");
        assert_eq!((file.pnl.to_string().as_str(), file.starting_capital), ("-929.4999999995", Some(5_000_000.into())));
        assert!(file.is_ours);
    }
}
