//! `GET /api/v1/trades/{profile_id}/performance`: what came of the closed trades.

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;

use super::{Window, complete_from, profile_id};
use crate::domain::analytics::sum::Sum;
use crate::http::openapi::errors;
use crate::http::problem::Problem;
use crate::http::query::Params;
use crate::http::state::State;

/// Days when none are asked for.
pub(super) const DEFAULT_DAYS: usize = 30;

/// What came of the closed trades, by their exits. Amounts are in the account's currency, losses below zero; what is not known
/// is null.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Performance {
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
    /// Closed trades.
    #[schema(required)]
    pub total_trades: Option<u64>,
    /// Those with a result above zero.
    #[schema(required)]
    pub winning_trades: Option<u64>,
    /// Those with a result below zero.
    #[schema(required)]
    pub losing_trades: Option<u64>,
    /// Those with a result of zero: neither won nor lost.
    #[schema(required)]
    pub breakeven_trades: Option<u64>,
    /// The result of all of them.
    #[schema(required, value_type = Option<f64>)]
    pub total_pnl: Option<Sum>,
    /// The average result.
    #[schema(required, value_type = Option<f64>)]
    pub avg_pnl: Option<Sum>,
    /// Winning trades in percent of all whose result is known.
    #[schema(required, value_type = Option<f64>)]
    pub win_rate: Option<Sum>,
    /// The average result of the winning trades.
    #[schema(required, value_type = Option<f64>)]
    pub avg_win: Option<Sum>,
    /// The average result of the losing trades, below zero.
    #[schema(required, value_type = Option<f64>)]
    pub avg_loss: Option<Sum>,
    /// The results above zero together.
    #[schema(required, value_type = Option<f64>)]
    pub gross_profit: Option<Sum>,
    /// The results below zero together; not above zero.
    #[schema(required, value_type = Option<f64>)]
    pub gross_loss: Option<Sum>,
    /// The largest result above zero.
    #[schema(required, value_type = Option<f64>)]
    pub largest_win: Option<Sum>,
    /// The result furthest below zero.
    #[schema(required, value_type = Option<f64>)]
    pub largest_loss: Option<Sum>,
    /// Gross profit by gross loss; null without a loss, for which there is no number.
    #[schema(required, value_type = Option<f64>)]
    pub profit_factor: Option<Sum>,
    /// What a trade brings on average: win rate x average win + loss rate x average loss, which is the average result.
    #[schema(required, value_type = Option<f64>)]
    pub expectancy: Option<Sum>,
    /// The largest fall of the cumulated result from one trade to a later one, from zero at the beginning of the window, as an
    /// amount above zero; 0 if it never fell.
    #[schema(required, value_type = Option<f64>)]
    pub max_drawdown: Option<Sum>,
    /// The same in percent of the equity from which it fell: that of the last equity snapshot before the window, and the
    /// results until then. Null without such a snapshot.
    #[schema(required, value_type = Option<f64>)]
    pub max_drawdown_pct: Option<Sum>,
    /// Set when the ledger is known to lack some of what these figures are made of: all that arrived from this time on is in
    /// them (UTC, RFC 3339), of what arrived before some may be missing. Null when nothing is known to be missing.
    /// Where it is set and nothing at all is known of the window, counts are null too.
    #[schema(required, format = DateTime)]
    pub complete_from: Option<String>,
}

/// What came of the closed trades.
///
/// A trade counts for the trading day of its exit. Its result is what it gives as `pnl`, else (exit - entry) x quantity,
/// reversed for `downward` and `reverse_downward` (without a direction: for a quantity below zero).
///
/// # Errors
/// Faults of the path or the query, or the ledger cannot answer now.
#[utoipa::path(
    get,
    path = "/api/v1/trades/{profile_id}/performance",
    operation_id = "get_trade_performance",
    tag = "trades",
    summary = "How trades did",
    params(
        ("profile_id" = i64, Path, description = "The profile, as in the events' `profile_id`."),
        ("days" = Option<u32>, Query, minimum = 1, maximum = 365, description = "Trading days, the last of which is `as_of` (default 30)."),
        ("as_of" = Option<String>, Query, format = Date, description = "A date of the session's time zone (default: today's trading day).")
    ),
    responses(
        (status = 200, description = "The figures.", body = Performance, example = json!({
            "profile_id": 1, "days": 30, "from": "2025-10-20", "to": "2025-11-18", "total_trades": 5, "winning_trades": 3,
            "losing_trades": 2, "breakeven_trades": 0, "total_pnl": 24, "avg_pnl": 4.8, "win_rate": 60,
            "avg_win": 13.666666666667, "avg_loss": -8.5, "gross_profit": 41, "gross_loss": -17, "largest_win": 16,
            "largest_loss": -11, "profit_factor": 2.411764705882, "expectancy": 4.8, "max_drawdown": 11,
            "max_drawdown_pct": 0.109835247129, "complete_from": null
        })),
        errors::Query,
        errors::Unavailable,
    )
)]
pub async fn performance(request: HttpRequest, state: web::Data<State>) -> Result<HttpResponse, Problem> {
    let profile_id = profile_id(&request)?;
    let mut params = Params::of(&request)?;
    let window = Window::read(&mut params, &state, DEFAULT_DAYS);
    params.finish()?;
    let (tally, capital) = state.ledger.performance(profile_id, window.span).await?;
    let is_known = tally.known() > 0;
    let complete_from = complete_from(&state, window.span.start);
    // of an empty window that may have lost all there was, not even that it is empty is known
    let count = |count: u64| (tally.trades > 0 || complete_from.is_none()).then_some(count);
    Ok(HttpResponse::Ok().json(Performance {
        profile_id,
        days: window.days,
        from: window.from.to_string(),
        to: window.to.to_string(),
        total_trades: count(tally.trades),
        winning_trades: count(tally.wins),
        losing_trades: count(tally.losses),
        breakeven_trades: count(tally.ties),
        total_pnl: tally.pnl(),
        avg_pnl: tally.avg_pnl(),
        win_rate: tally.win_rate(),
        avg_win: tally.avg_win(),
        avg_loss: tally.avg_loss(),
        gross_profit: is_known.then_some(tally.gross_profit),
        gross_loss: is_known.then_some(tally.gross_loss),
        largest_win: tally.largest_win,
        largest_loss: tally.largest_loss,
        profit_factor: tally.profit_factor(),
        expectancy: tally.avg_pnl(),
        max_drawdown: tally.max_drawdown(),
        max_drawdown_pct: capital.and_then(|capital| tally.max_drawdown_pct(Sum::of(capital))),
        complete_from,
    }))
}
