//! `GET /api/v1/metrics/equity/{profile_id}`: the account's equity, and its largest fall.

use actix_web::{HttpRequest, HttpResponse, web};
use rust_decimal::Decimal;
use serde::Serialize;

use super::{always, as_of, complete_from, profile_id};
use crate::domain::analytics::equity::Recovery;
use crate::domain::analytics::sum::Sum;
use crate::domain::money::Number;
use crate::http::openapi::errors;
use crate::http::problem::Problem;
use crate::http::query::Params;
use crate::http::state::State;

/// The account's equity. Amounts are in its currency; what is not known is null, and so is an amount of more than 10^15. Amounts
/// are counted in whole multiples of 10^-12.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct EquityMetrics {
    /// Whose.
    pub profile_id: i64,
    /// The last trading day whose snapshots count.
    #[schema(format = Date)]
    pub as_of: String,
    /// When the latest snapshot was taken: UTC, RFC 3339.
    #[schema(required, format = DateTime)]
    pub snapshot_time: Option<String>,
    /// Equity by the latest snapshot; null for one beyond what is counted with.
    #[schema(required, value_type = Option<f64>)]
    pub current_equity: Option<Number>,
    /// Realised and unrealised P&L together.
    #[schema(required, value_type = Option<f64>)]
    pub total_pnl: Option<Sum>,
    /// P&L of open positions.
    #[schema(required, value_type = Option<f64>)]
    pub unrealized_pnl: Option<Number>,
    /// P&L of closed positions.
    #[schema(required, value_type = Option<f64>)]
    pub realized_pnl: Option<Number>,
    /// Margin that is bound.
    #[schema(required, value_type = Option<f64>)]
    pub margin_used: Option<Number>,
    /// Margin that is free.
    #[schema(required, value_type = Option<f64>)]
    pub margin_available: Option<Number>,
    /// Bound margin in percent of bound and free margin together; above 100 when the free margin is below zero.
    #[schema(required, value_type = Option<f64>)]
    pub margin_utilization_pct: Option<Sum>,
    /// Open positions.
    #[schema(required, value_type = Option<f64>)]
    pub open_positions_count: Option<Number>,
    /// The largest fall of equity from one snapshot to a later one, as an amount above zero; 0 if it never fell.
    #[schema(required, value_type = Option<f64>)]
    pub max_drawdown: Option<Sum>,
    /// The same in percent of the equity from which it fell.
    #[schema(required, value_type = Option<f64>)]
    pub max_drawdown_pct: Option<Sum>,
    /// `drawdown`: equity is below the peak from which the largest fall began. `recovered`: it is at or above that peak, but
    /// not at a new one. `new_peak`: it is the highest there was, above that peak, or it never fell. Null while the current equity
    /// is not known.
    #[schema(required)]
    pub recovery_status: Option<Recovery>,
    /// Set when the ledger is known to lack some of what these figures are made of: all that arrived from this time on is in
    /// them (UTC, RFC 3339), of what arrived before some may be missing. Null when nothing is known to be missing.
    #[schema(required, format = DateTime)]
    pub complete_from: Option<String>,
}

/// The account's equity and its largest fall.
///
/// From all equity snapshots up to the end of the trading day `as_of`, in the order of their events' times (of equal times, in
/// the order of arrival).
///
/// # Errors
/// Faults of the path or the query, or the ledger cannot answer now.
#[utoipa::path(
    get,
    path = "/api/v1/metrics/equity/{profile_id}",
    operation_id = "get_equity_metrics",
    tag = "trades",
    summary = "Equity, margin and drawdown",
    params(
        ("profile_id" = i64, Path, description = "The profile, as in the events' `profile_id`."),
        ("as_of" = Option<String>, Query, format = Date, description = "A date of the session's time zone (default: today's trading day).")
    ),
    responses(
        (status = 200, description = "The figures.", body = EquityMetrics, example = json!({
            "profile_id": 1, "as_of": "2025-11-18", "snapshot_time": "2025-11-18T07:55:41.000000Z", "current_equity": 105000,
            "total_pnl": 234.56, "unrealized_pnl": 123.45, "realized_pnl": 111.11, "margin_used": 4520,
            "margin_available": 5480, "margin_utilization_pct": 45.2, "open_positions_count": 3, "max_drawdown": 50000,
            "max_drawdown_pct": 50, "recovery_status": "recovered", "complete_from": null
        })),
        errors::Query,
        errors::Unavailable,
    )
)]
pub async fn equity(request: HttpRequest, state: web::Data<State>) -> Result<HttpResponse, Problem> {
    let profile_id = profile_id(&request)?;
    let mut params = Params::of(&request)?;
    let as_of = as_of(&mut params, &state);
    params.finish()?;
    let known = state.ledger.equity(profile_id, state.session.day(as_of).end).await?;
    let (time, latest) = known.latest.unzip();
    let number = |amount: Option<Option<Decimal>>| amount.flatten().map(Number);
    Ok(HttpResponse::Ok().json(EquityMetrics {
        profile_id,
        as_of: as_of.to_string(),
        snapshot_time: time.map(|time| time.to_string()),
        current_equity: number(latest.map(|latest| latest.account_equity)),
        total_pnl: latest.and_then(|latest| latest.total_pnl()),
        unrealized_pnl: number(latest.map(|latest| latest.unrealized_pnl)),
        realized_pnl: number(latest.map(|latest| latest.realized_pnl)),
        margin_used: number(latest.map(|latest| latest.margin_used)),
        margin_available: number(latest.map(|latest| latest.margin_available)),
        margin_utilization_pct: latest.and_then(|latest| latest.margin_utilization_pct()),
        open_positions_count: number(latest.map(|latest| latest.open_positions)),
        max_drawdown: known.course.map(|course| course.fall),
        max_drawdown_pct: known.course.and_then(|course| course.fall_pct()),
        // where the latest equity is not known, neither is where it stands
        recovery_status: known
            .course
            .filter(|_| latest.is_some_and(|latest| latest.account_equity.is_some()))
            .map(|course| course.recovery()),
        complete_from: complete_from(&state, always()),
    }))
}
