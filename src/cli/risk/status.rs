//! `plimsoll risk`: every limit with a bar of how much of it is used.

use serde_json::Value;

use super::switch;
use super::table::{self, Cell, at, bar, items, number, text};
use crate::cli::terminal::{Paint, harmless};

/// Where the status is.
pub const PATH: &str = "/api/risk/status";

/// The figures that stand below the table.
const FIGURES: [&str; 5] = ["daily_pnl", "realized_pnl", "unrealized_pnl", "equity", "drawdown_pct"];

/// The status for people; what is missing is a dash.
pub fn lines(body: &Value, colour: bool) -> Vec<String> {
    let trading = at(body, "trading");
    let mut lines = vec![switch::line(trading, colour)];
    for reason in items(trading, "reasons").iter().filter_map(Value::as_str) {
        lines.push(format!("  {}", harmless(reason)));
    }
    if at(trading, "new_positions_allowed").as_bool() == Some(false) {
        let mut line = String::new();
        Paint::Red.add(&mut line, "no new positions", colour);
        lines.push(line);
    }
    lines.push(String::new());
    let rows = items(body, "limits").iter().map(row).collect();
    lines.extend(table::lines(&["LIMIT", "CURRENT", "MAX", "USED", "", "HEADROOM", "STATE", "AGE"], rows, colour));
    lines.push(String::new());
    let figures = at(body, "figures");
    let shown = FIGURES.iter().map(|name| format!("{name} {}", number(at(at(figures, name), "value"))));
    lines.push(shown.collect::<Vec<_>>().join("   "));
    let mut last = "risk is ".to_owned();
    let state = text(body, "state");
    paint(&state).add(&mut last, &state, colour);
    let rebuilding = if at(body, "rebuilding").as_bool() == Some(true) { ", still reading the day's events" } else { "" };
    last.push_str(&format!("{rebuilding}; trading day {}, as of {}", text(body, "trading_day"), text(body, "asof")));
    lines.push(last);
    lines
}

fn row(limit: &Value) -> Vec<Cell> {
    let state = text(limit, "state");
    let paint = paint(&state);
    let used = at(limit, "utilization_pct").as_f64();
    let name = match at(limit, "symbol").as_str() {
        Some(symbol) => format!("{} {symbol}", text(limit, "type")),
        None => text(limit, "type"),
    };
    let age = at(limit, "age_seconds").as_f64().map_or_else(|| "-".to_owned(), crate::cli::engines::age);
    let is_stale = at(limit, "stale").as_bool() == Some(true);
    vec![
        Cell::text(name).painted(Paint::Bold),
        Cell::number(at(limit, "current")),
        Cell::number(at(limit, "limit")),
        Cell::text(bar(used)).painted(paint),
        Cell::right(used.map_or_else(|| "-".to_owned(), |used| format!("{used:.0} %"))),
        Cell::number(at(limit, "headroom")),
        Cell::text(&state).painted(paint),
        Cell::right(if is_stale { format!("{age} stale") } else { age }).painted(if is_stale {
            Paint::Red
        } else {
            Paint::Plain
        }),
    ]
}

fn paint(state: &str) -> Paint {
    match state {
        "ok" => Paint::Green,
        "warning" => Paint::Yellow,
        "breached" => Paint::Alarm,
        _ => Paint::Red,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_status_is_a_table_with_bars_and_says_whether_one_may_trade() {
        let body = json!({"asof": "T", "trading_day": "2025-11-18", "state": "breached",
            "trading": {"state": "active", "reason": "r", "actor": "a", "since": "S", "new_positions_allowed": false,
                "reasons": ["max_loss_streak is breached: wait for the next day"]},
            "limits": [
                {"type": "max_daily_loss", "limit": 10000, "current": 2500.5, "headroom": 7499.5, "utilization_pct": 25.005,
                    "state": "ok", "symbol": null, "age_seconds": 1.0, "stale": false},
                {"type": "max_loss_streak", "limit": 4, "current": 5, "headroom": -1, "utilization_pct": 125, "state": "breached",
                    "symbol": "NIFTY", "age_seconds": 301.0, "stale": true},
                {"type": "max_daily_drawdown_pct", "limit": 5, "current": null, "headroom": null, "utilization_pct": null,
                    "state": "unknown"}],
            "figures": {"daily_pnl": {"value": -2500.5}}});
        let text = lines(&body, false).join("\n");
        for part in [
            "trading is active since S, by a: r\n  max_loss_streak is breached: wait for the next day\nno new positions\n",
            "max_daily_loss          2,500.5  10,000  █████░░░░░░░░░░░░░░░   25 %   7,499.5  ok            1.0s",
            "max_loss_streak NIFTY         5       4  ████████████████████  125 %        -1  breached  5m stale",
            "max_daily_drawdown_pct        -       5  ····················      -         -  unknown          -",
            "daily_pnl -2,500.5   realized_pnl -",
            "risk is breached; trading day 2025-11-18, as of T",
        ] {
            assert!(text.contains(part), "{part:?} in\n{text}");
        }
        assert!(lines(&body, true).iter().any(|line| line.contains("\x1b[1;37;41m")), "a breach is an alarm");
    }

    #[test]
    fn a_status_with_nothing_in_it_is_shown_with_dashes() {
        for body in [json!({}), json!(null), json!({"limits": [null, {}], "trading": null, "figures": []})] {
            assert!(lines(&body, false).iter().any(|line| line.contains('-')), "{body}");
        }
    }
}
