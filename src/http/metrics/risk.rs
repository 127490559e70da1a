//! Risk: limits, the day's figures, the kill switch, and those who compute.

use std::sync::atomic::{AtomicU64, Ordering};

use rust_decimal::Decimal;

use super::Asked;
use super::page::Page;
use crate::domain::risk::kill_switch::TradingState;
use crate::domain::risk::status::{Standing, Status};
use crate::http::state::State;

pub(super) fn add(page: &mut Page, state: &State, Asked { switch, risk, .. }: &Asked) {
    let family = page.gauge("plimsoll_kill_switch_state", "1 for the state that the kill switch is in, 0 for the others.");
    for each in TradingState::ALL {
        family.flag(&[("state", each.as_str())], switch.position.state == each);
    }
    page.gauge("plimsoll_kill_switch_unsaved", "1 while the kill switch's state could not be written to disk.")
        .flag(&[], switch.failure.is_some());
    add_evaluator(page, state);
    match risk {
        Some(status) if !status.is_rebuilding() => add_status(page, status),
        _ => {}
    }
    add_var(page, state);
}

/// The evaluator at work.
fn add_evaluator(page: &mut Page, state: &State) {
    let counters = state.risk.counters();
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let is_rebuilt = counters.is_rebuilt.load(Ordering::Acquire);
    page.gauge("plimsoll_risk_up", "1 while risk is evaluated.").flag(&[], state.risk.is_running());
    page.gauge(
        "plimsoll_risk_rebuilding",
        "1 while the day is read from the journal after a start; till then figures are absent.",
    )
    .flag(&[], !is_rebuilt);
    page.gauge("plimsoll_risk_incomplete", "1 when an internal error may have left something of the day out.")
        .flag(&[], counters.is_hurt.load(Ordering::Relaxed));
    page.counter("plimsoll_risk_findings_total", "Breaches, warnings and their ends that were published.")
        .count(&[], count(&counters.published));
    page.gauge("plimsoll_risk_findings_waiting", "Findings that wait for the bus.")
        .size(&[], counters.waiting.load(Ordering::Relaxed));
    page.counter("plimsoll_risk_findings_lost_total", "Findings that were given up.").count(&[], count(&counters.lost));
    page.gauge("plimsoll_risk_day_files_waiting", "Files of days that could not be written yet.")
        .size(&[], counters.files_waiting.load(Ordering::Relaxed));
    page.counter("plimsoll_risk_day_files_failed_total", "Times that a day's file could not be written.")
        .count(&[], count(&counters.files_failed));
}

/// What it found.
fn add_status(page: &mut Page, status: &Status) {
    page.gauge("plimsoll_risk_new_positions_allowed", "1 while trading is active and every figure is known, fresh and within.")
        .flag(&[], status.allows_new_positions());
    let limits = status.limit_gauges();
    let family =
        page.gauge("plimsoll_risk_limit", "The limit, in its unit: rupees (the account's currency), percent, trades, losses.");
    for limit in &limits {
        family.known(&[("limit", limit.limit), ("unit", limit.unit)], number(limit.value));
    }
    let family = page.gauge(
        "plimsoll_risk_limit_current",
        "What the limit is compared with, in its unit; of a limit for each symbol the one that is nearest to it.",
    );
    for limit in &limits {
        family.known(&[("limit", limit.limit), ("unit", limit.unit)], limit.current.and_then(number));
    }
    let family = page.gauge("plimsoll_risk_limit_utilization_ratio", "How much of the limit is used: above 1 it is breached.");
    for limit in &limits {
        family.known(&[("limit", limit.limit)], limit.utilization().and_then(number));
    }
    let family = page.gauge(
        "plimsoll_risk_limit_state",
        "1 for the state that the limit is in, 0 for the others; unknown: its figure is missing or stale.",
    );
    for limit in &limits {
        for state in Standing::ALL {
            family.flag(&[("limit", limit.limit), ("state", state.as_str())], limit.standing == state);
        }
    }
    for (figure, value, _) in status.figure_gauges() {
        match figure {
            "daily_pnl" => {
                page.gauge("plimsoll_risk_daily_pnl", "The day's profit or loss that counts, in the account's currency.")
            }
            "realized_pnl" => page.gauge("plimsoll_risk_realized_pnl", "The day's realised profit or loss."),
            "unrealized_pnl" => page.gauge("plimsoll_risk_unrealized_pnl", "Profit or loss of open positions."),
            "equity" => page.gauge("plimsoll_risk_equity", "The account's equity."),
            "peak_equity" => page.gauge("plimsoll_risk_peak_equity", "The day's highest equity."),
            "drawdown_pct" => {
                let share = value.checked_div(Decimal::ONE_HUNDRED).and_then(number);
                page.gauge("plimsoll_risk_drawdown_ratio", "The largest fall of the day's equity from its peak: 0.05 is 5 %.")
                    .known(&[], share);
                continue;
            }
            "trades" => page.gauge("plimsoll_risk_trades", "Trades of the day."),
            "loss_streak" => page.gauge("plimsoll_risk_loss_streak", "Losing trades in a row."),
            // what the API has beside these
            _ => continue,
        }
        .known(&[], number(value));
    }
    let family = page.gauge("plimsoll_risk_figure_age_seconds", "Time since the last news of the figure.");
    for (figure, _, age) in status.figure_gauges() {
        family.known(&[("figure", figure)], age.and_then(number));
    }
}

fn add_var(page: &mut Page, state: &State) {
    let counters = state.var.counters();
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    page.counter(
        "plimsoll_var_answers_total",
        "Answers about VaR, by how: computed, recalled (from memory), joined (another's).",
    )
    .count(&[("how", "computed")], count(&counters.computed))
    .count(&[("how", "recalled")], count(&counters.recalled))
    .count(&[("how", "joined")], count(&counters.joined));
    page.counter("plimsoll_var_dropped_total", "Questions about VaR that nobody waited for any more.")
        .count(&[], count(&counters.dropped));
}

/// The nearest floating-point number, by the decimal's own text.
fn number(decimal: Decimal) -> Option<f64> {
    // minus zero is zero
    decimal.to_string().parse().ok().map(|number: f64| number + 0.0)
}
