//! `GET /api/v1/metrics/breakout/{profile_id}`: how breakout signals turned out.

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;

use super::{Window, complete_from, profile_id};
use crate::domain::analytics::sum::Sum;
use crate::http::openapi::errors;
use crate::http::problem::Problem;
use crate::http::query::Params;
use crate::http::state::State;

/// Days when none are asked for.
const DEFAULT_DAYS: usize = 7;

/// How breakout signals turned out. Counted are trades of type `breakout` by their exit, and signals by their event's time;
/// what is not known is null.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct BreakoutMetrics {
    /// Whose.
    pub profile_id: i64,
    /// Trading days asked for.
    pub days: u32,
    /// The first of them.
    #[schema(format = Date)]
    pub from: String,
    /// The last of them: `as_of`.
    #[schema(format = Date)]
    pub to: String,
    /// Closed breakout trades with a result above zero, in percent of those whose result is known; one of exactly zero is no
    /// success.
    #[schema(required, value_type = Option<f64>)]
    pub success_rate: Option<Sum>,
    /// Average slippage a trade, in units of price; above zero is to the trade's disadvantage. As the trade gives it, else its
    /// entry price against the close price of the latest breakout signal for that symbol at or before its entry (for a short
    /// trade, the reverse). Trades without either are left out.
    #[schema(required, value_type = Option<f64>)]
    pub avg_slippage: Option<Sum>,
    /// Average result of the profitable trades, in the account's currency.
    #[schema(required, value_type = Option<f64>)]
    pub avg_profit_per_trade: Option<Sum>,
    /// Breakout signals.
    #[schema(required)]
    pub total_signals: Option<u64>,
    /// Closed breakout trades.
    #[schema(required)]
    pub total_trades: Option<u64>,
    /// Those with a result above zero.
    #[schema(required)]
    pub profitable_trades: Option<u64>,
    /// Those with a result below zero.
    #[schema(required)]
    pub losing_trades: Option<u64>,
    /// Those with a result of zero.
    #[schema(required)]
    pub breakeven_trades: Option<u64>,
    /// Set when the ledger is known to lack some of what these figures are made of: all that arrived from this time on is in
    /// them (UTC, RFC 3339), of what arrived before some may be missing. Null when nothing is known to be missing.
    /// Where it is set and nothing at all is known of the window, counts are null too.
    #[schema(required, format = DateTime)]
    pub complete_from: Option<String>,
}

/// How breakout signals turned out.
///
/// Over the trading days of the session's time zone that end with `as_of`. A profile of which nothing is known has counts of
/// zero and figures of null.
///
/// # Errors
/// Faults of the path or the query, or the ledger cannot answer now.
#[utoipa::path(
    get,
    path = "/api/v1/metrics/breakout/{profile_id}",
    operation_id = "get_breakout_metrics",
    tag = "trades",
    summary = "How breakout trades did",
    params(
        ("profile_id" = i64, Path, description = "The profile, as in the events' `profile_id`."),
        ("days" = Option<u32>, Query, minimum = 1, maximum = 365, description = "Trading days, the last of which is `as_of` (default 7)."),
        ("as_of" = Option<String>, Query, format = Date, description = "A date of the session's time zone (default: today's trading day).")
    ),
    responses(
        (status = 200, description = "The figures.", body = BreakoutMetrics, example = json!({
            "profile_id": 1, "days": 7, "from": "2025-11-12", "to": "2025-11-18", "success_rate": 60, "avg_slippage": 0.05,
            "avg_profit_per_trade": 13.666666666667, "total_signals": 5, "total_trades": 5, "profitable_trades": 3,
            "losing_trades": 2, "breakeven_trades": 0, "complete_from": null
        })),
        errors::Query,
        errors::Unavailable,
    )
)]
pub async fn breakout(request: HttpRequest, state: web::Data<State>) -> Result<HttpResponse, Problem> {
    let profile_id = profile_id(&request)?;
    let mut params = Params::of(&request)?;
    let window = Window::read(&mut params, &state, DEFAULT_DAYS);
    params.finish()?;
    let traded = state.ledger.breakouts(profile_id, window.span).await?;
    let tally = traded.tally;
    let complete_from = complete_from(&state, window.span.start);
    // of an empty window that may have lost all there was, not even that it is empty is known
    let count = |count: u64| (tally.trades + traded.signals > 0 || complete_from.is_none()).then_some(count);
    Ok(HttpResponse::Ok().json(BreakoutMetrics {
        profile_id,
        days: window.days,
        from: window.from.to_string(),
        to: window.to.to_string(),
        success_rate: tally.win_rate(),
        avg_slippage: tally.avg_slippage(),
        avg_profit_per_trade: tally.avg_win(),
        total_signals: count(traded.signals),
        total_trades: count(tally.trades),
        profitable_trades: count(tally.wins),
        losing_trades: count(tally.losses),
        breakeven_trades: count(tally.ties),
        complete_from,
    }))
}
