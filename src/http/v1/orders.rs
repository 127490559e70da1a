//! `GET /api/v1/metrics/orders/{profile_id}`: what became of orders, and how long their calls took.

use actix_web::{HttpRequest, HttpResponse, web};
use chrono::NaiveDate;
use serde::Serialize;

use super::{always, as_of, complete_from, first_date, profile_id};
use crate::domain::analytics::sum::Sum;
use crate::http::openapi::errors;
use crate::http::problem::Problem;
use crate::http::query::Params;
use crate::http::state::State;
use crate::storage::ledger::{LatencySpan, Span};

/// What became of orders, each counted once, by its last status. What is not known is null.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct OrderMetrics {
    /// Whose.
    pub profile_id: i64,
    /// Whose latencies; null for all of the profile.
    #[schema(required)]
    pub script_name: Option<String>,
    /// Trading days asked for; null for all there are.
    #[schema(required)]
    pub days: Option<u32>,
    /// The last trading day of which anything counts.
    #[schema(format = Date)]
    pub as_of: String,
    /// Orders: the sum of the six that follow.
    #[schema(required)]
    pub total_orders: Option<i64>,
    /// Those that are filled.
    #[schema(required)]
    pub filled_orders: Option<i64>,
    /// Those that were cancelled, perhaps after a part was filled.
    #[schema(required)]
    pub canceled_orders: Option<i64>,
    /// Those that were rejected.
    #[schema(required)]
    pub rejected_orders: Option<i64>,
    /// Those whose time was over.
    #[schema(required)]
    pub expired_orders: Option<i64>,
    /// Those of which a part is filled and the rest works.
    #[schema(required)]
    pub partially_filled_orders: Option<i64>,
    /// Those that are created, submitted or converted, and of which nothing is known to be filled.
    #[schema(required)]
    pub open_orders: Option<i64>,
    /// Those that are or were limit orders, whatever became of them.
    #[schema(required)]
    pub limit_orders: Option<i64>,
    /// Limit orders that became market orders: by the status `converted`, or by an `order_type` that went from limit to market.
    #[schema(required)]
    pub converted_orders: Option<i64>,
    /// Converted orders in percent of limit orders; null without a limit order.
    #[schema(required, value_type = Option<f64>)]
    pub conversion_rate: Option<Sum>,
    /// Average of the latencies, in milliseconds.
    #[schema(required)]
    pub avg_api_latency_ms: Option<f64>,
    /// Their 95th percentile by nearest rank, in milliseconds.
    #[schema(required)]
    pub p95_api_latency_ms: Option<f64>,
    /// Their 99th percentile by nearest rank, in milliseconds.
    #[schema(required)]
    pub p99_api_latency_ms: Option<f64>,
    /// How many latencies these figures are made of.
    pub latency_samples: u64,
    /// How many of them were longer than a day, and count as a day.
    pub latency_clamped: u64,
    /// The latencies are those from this time: UTC, RFC 3339.
    #[schema(format = DateTime)]
    pub latency_from: String,
    /// Until right before this time.
    #[schema(format = DateTime)]
    pub latency_until: String,
    /// Set when the ledger is known to lack some of what these figures are made of: all that arrived from this time on is in
    /// them (UTC, RFC 3339), of what arrived before some may be missing. Null when nothing is known to be missing.
    /// Where it is set and nothing at all is known of the window, counts are null too.
    #[schema(required, format = DateTime)]
    pub complete_from: Option<String>,
}

/// What became of orders, and how long their calls took.
///
/// An order is what has the same profile, source and `order_id`. Its last status is that of the latest event time; of one
/// instant an end (filled, cancelled, rejected, expired) comes after what is no end, then the later arrival. Counted are
/// the orders whose first report is of the `days` trading days that end with `as_of` (of all days, without `days`), as they
/// were at the end of `as_of`.
///
/// Latencies are those of `api_latency` events and the `api_latency_ms` of orders; `script_name` leaves those of one
/// script, and changes nothing about the counts. They are taken from a sliding window that ends now
/// (`analytics.latency_window`, an hour by default, sliding by 5 minutes); with `days`, or an `as_of` that is not today, from
/// those whole trading days. Percentiles are by nearest rank, the smallest sample such that at least 95 (99) percent of all
/// are at or below it, from an HDR histogram of whole microseconds with 3 significant digits: not below the exact
/// value in whole microseconds, and above it by less than a thousandth.
///
/// # Errors
/// Faults of the path or the query, or the ledger cannot answer now.
#[utoipa::path(
    get,
    path = "/api/v1/metrics/orders/{profile_id}",
    operation_id = "get_order_metrics",
    tag = "trades",
    summary = "Orders by their last status, and latencies",
    params(
        ("profile_id" = i64, Path, description = "The profile, as in the events' `profile_id`."),
        ("script_name" = Option<String>, Query, description = "Whose latencies (default: all of the profile, its orders' too)."),
        ("days" = Option<u32>, Query, minimum = 1, maximum = 365, description = "Trading days, the last of which is `as_of` (default: all until then)."),
        ("as_of" = Option<String>, Query, format = Date, description = "A date of the session's time zone (default: today's trading day).")
    ),
    responses(
        (status = 200, description = "The figures.", body = OrderMetrics, example = json!({
            "profile_id": 1, "script_name": "order_monitor", "days": null, "as_of": "2025-11-18", "total_orders": 8,
            "filled_orders": 5, "canceled_orders": 1, "rejected_orders": 1, "expired_orders": 0, "partially_filled_orders": 0,
            "open_orders": 1, "limit_orders": 4, "converted_orders": 1, "conversion_rate": 25, "avg_api_latency_ms": 63.5,
            "p95_api_latency_ms": 240, "p99_api_latency_ms": 240, "latency_samples": 11, "latency_clamped": 0,
            "latency_from": "2025-11-18T06:55:00.000000Z", "latency_until": "2025-11-18T08:00:00.000000Z",
            "complete_from": null
        })),
        errors::Query,
        errors::Unavailable,
    )
)]
pub async fn orders(request: HttpRequest, state: web::Data<State>) -> Result<HttpResponse, Problem> {
    let profile_id = profile_id(&request)?;
    let mut params = Params::of(&request)?;
    let days = params.number("days", 1..=365);
    let as_of = as_of(&mut params, &state);
    let script_name = params.text("script_name").map(str::to_owned);
    params.finish()?;
    let start = days.map_or_else(always, |days| state.session.start_of(first_date(as_of, days)));
    let span = Span { start, end: state.session.day(as_of).end };
    let asked = if days.is_some() { LatencySpan::days(span) } else { latency_span(&state, as_of) };
    let (counts, latencies) = state.ledger.orders(profile_id, span, script_name.clone(), asked).await?;
    let figures = latencies.figures();
    let complete_from = complete_from(&state, span.start);
    // of an empty window that may have lost all there was, not even that it is empty is known
    let count = |count: i64| (counts.total > 0 || complete_from.is_none()).then_some(count);
    Ok(HttpResponse::Ok().json(OrderMetrics {
        profile_id,
        script_name,
        days: days.and_then(|days| u32::try_from(days).ok()),
        as_of: as_of.to_string(),
        total_orders: count(counts.total),
        filled_orders: count(counts.filled),
        canceled_orders: count(counts.canceled),
        rejected_orders: count(counts.rejected),
        expired_orders: count(counts.expired),
        partially_filled_orders: count(counts.partially_filled),
        open_orders: count(counts.open),
        limit_orders: count(counts.limit),
        converted_orders: count(counts.converted),
        conversion_rate: counts.conversion_rate(),
        avg_api_latency_ms: figures.map(|figures| figures.avg_ms),
        p95_api_latency_ms: figures.map(|figures| figures.p95_ms),
        p99_api_latency_ms: figures.map(|figures| figures.p99_ms),
        latency_samples: latencies.count(),
        latency_clamped: latencies.clamped(),
        latency_from: asked.span().start.to_string(),
        latency_until: asked.span().end.to_string(),
        complete_from,
    }))
}

/// The latencies that belong to `as_of`: today the sliding window, on any other day the whole of it.
pub(super) fn latency_span(state: &State, as_of: NaiveDate) -> LatencySpan {
    let now = state.clock.now();
    if state.session.date_of(now) == as_of {
        return LatencySpan::sliding(now, state.config.analytics.latency_window);
    }
    let day = state.session.day(as_of);
    LatencySpan::days(Span { start: day.start, end: day.end })
}
