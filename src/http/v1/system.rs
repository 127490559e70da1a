//! `GET /api/v1/metrics/system/{profile_id}`: the health of an engine's scripts.

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;

use super::orders::latency_span;
use super::{always, answer_of, as_of, profile_id};
use crate::domain::analytics::system::ScriptStatus;
use crate::domain::money::Number;
use crate::http::openapi::errors;
use crate::http::problem::Problem;
use crate::http::query::Params;
use crate::http::state::State;
use crate::storage::ledger::KnownScript;

/// The health of a script: what its last `system_health` says, and how long its calls took. What is not known is null.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct SystemMetrics {
    /// Whose.
    pub profile_id: i64,
    /// The script.
    pub script_name: String,
    /// `healthy`, `degraded` or `error`; null for a script of which only latencies are known.
    #[schema(required)]
    pub status: Option<&'static str>,
    /// Average latency in milliseconds.
    #[schema(required)]
    pub api_latency_avg_ms: Option<f64>,
    /// 95th percentile by nearest rank, in milliseconds.
    #[schema(required)]
    pub api_latency_p95_ms: Option<f64>,
    /// 99th percentile by nearest rank, in milliseconds.
    #[schema(required)]
    pub api_latency_p99_ms: Option<f64>,
    /// How many latencies these figures are made of.
    pub latency_samples: u64,
    /// Calls that the API still allows.
    #[schema(required, value_type = Option<f64>)]
    pub rate_limit_remaining: Option<Number>,
    /// Calls that it allows in all.
    #[schema(required, value_type = Option<f64>)]
    pub rate_limit_limit: Option<Number>,
    /// Errors.
    #[schema(required, value_type = Option<f64>)]
    pub error_count: Option<Number>,
    /// Calls that failed.
    #[schema(required, value_type = Option<f64>)]
    pub api_error_count: Option<Number>,
    /// Warnings.
    #[schema(required, value_type = Option<f64>)]
    pub warning_count: Option<Number>,
    /// Load of the processor, in percent.
    #[schema(required, value_type = Option<f64>)]
    pub cpu_usage_pct: Option<Number>,
    /// Memory in use, in MB.
    #[schema(required, value_type = Option<f64>)]
    pub memory_usage_mb: Option<Number>,
    /// When it was last heard of, by health or latency: UTC, RFC 3339.
    #[schema(required, format = DateTime)]
    pub last_seen: Option<String>,
}

impl SystemMetrics {
    fn of(profile_id: i64, script: KnownScript) -> Self {
        let (status, figures) = script.health.unzip();
        let figures = figures.unwrap_or_default();
        let latency = script.latencies.figures();
        Self {
            profile_id,
            script_name: script.name.into(),
            status: status.map(ScriptStatus::as_str),
            api_latency_avg_ms: latency.map(|latency| latency.avg_ms),
            api_latency_p95_ms: latency.map(|latency| latency.p95_ms),
            api_latency_p99_ms: latency.map(|latency| latency.p99_ms),
            latency_samples: script.latencies.count(),
            rate_limit_remaining: figures.rate_limit_remaining.map(Number),
            rate_limit_limit: figures.rate_limit_limit.map(Number),
            error_count: figures.error_count.map(Number),
            api_error_count: figures.api_error_count.map(Number),
            warning_count: figures.warning_count.map(Number),
            cpu_usage_pct: figures.cpu_usage_pct.map(Number),
            memory_usage_mb: figures.memory_usage_mb.map(Number),
            last_seen: script.last_seen.map(|time| time.to_string()),
        }
    }
}

/// The health of an engine's scripts, by name.
///
/// Of each script that was heard of until the end of `as_of` its last `system_health` (the latest event time; ties by arrival):
/// what that one does not say is null. Latencies are those of the sliding window that ends now (`analytics.latency_window`),
/// or of the whole trading day `as_of` if that is not today; their percentiles are by nearest rank, as at
/// `/api/v1/metrics/orders/{profile_id}`. At most 1,000 scripts are told, those that were heard of last; `script_name` finds
/// any.
///
/// # Errors
/// Faults of the path or the query, or the ledger cannot answer now.
#[utoipa::path(
    get,
    path = "/api/v1/metrics/system/{profile_id}",
    operation_id = "list_script_metrics",
    tag = "trades",
    summary = "How scripts are, and their latencies",
    params(
        ("profile_id" = i64, Path, description = "The profile, as in the events' `profile_id`."),
        ("script_name" = Option<String>, Query, description = "Only this script (default: all)."),
        ("as_of" = Option<String>, Query, format = Date, description = "A date of the session's time zone (default: today's trading day).")
    ),
    responses(
        (status = 200, description = "The scripts; none if none is known.", headers(
            ("Complete-From" = String, description = "Only when the ledger is known to lack some of this: all that arrived from this time on is in it (UTC, RFC 3339).")
        ), body = Vec<SystemMetrics>, example = json!([{
            "profile_id": 1, "script_name": "order_monitor", "status": "healthy", "api_latency_avg_ms": 63.5,
            "api_latency_p95_ms": 240, "api_latency_p99_ms": 240, "latency_samples": 11, "rate_limit_remaining": 180,
            "rate_limit_limit": 200, "error_count": 2, "api_error_count": 2, "warning_count": 1, "cpu_usage_pct": null,
            "memory_usage_mb": null, "last_seen": "2025-11-18T07:55:41.345678Z"
        }])),
        errors::Query,
        errors::Unavailable,
    )
)]
pub async fn system(request: HttpRequest, state: web::Data<State>) -> Result<HttpResponse, Problem> {
    let profile_id = profile_id(&request)?;
    let mut params = Params::of(&request)?;
    let as_of = as_of(&mut params, &state);
    let script_name = params.text("script_name").map(str::to_owned);
    params.finish()?;
    let asked = latency_span(&state, as_of);
    let known = state.ledger.scripts(profile_id, script_name, state.session.day(as_of).end, asked).await?;
    let scripts: Vec<SystemMetrics> = known.into_iter().map(|script| SystemMetrics::of(profile_id, script)).collect();
    Ok(answer_of(&state, always()).json(scripts))
}
