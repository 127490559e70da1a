//! `/api/risk/limits`: what must not be exceeded, who said so, and how it came to be.

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;
use serde_json::{Value, json};

use super::operator;
use crate::actors::risk_limits::LimitsView;
use crate::domain::risk::limits_change::Effective;
use crate::domain::risk::limits_patch::Patch;
use crate::http::openapi::errors;
use crate::http::openapi::risk_shapes::{LimitsBody, LimitsHistory, LimitsPatch};
use crate::http::problem::Problem;
use crate::http::state::State;

/// The answer: the limits flat, with where each comes from.
#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    limits: &'a Effective,
    updated_at: String,
    updated_by: Option<&'a str>,
    overrides_file: Value,
}

/// `GET /api/risk/limits`.
#[utoipa::path(
    get,
    path = "/api/risk/limits",
    operation_id = "get_risk_limits",
    tag = "risk",
    summary = "The limits in force, and where each comes from",
    responses((status = 200, description = "The limits", body = LimitsBody))
)]
pub async fn current(state: web::Data<State>) -> HttpResponse {
    let view = state.risk_limits.current().await;
    shown(&view)
}

/// `POST /api/risk/limits`: a partial object; `null` takes an override back. Answers the new limits when they are durable.
///
/// # Errors
/// See [`Problem`].
#[utoipa::path(
    post,
    path = "/api/risk/limits",
    operation_id = "change_risk_limits",
    tag = "risk",
    summary = "Change some limits",
    description = "Written down before it is answered, and remembered over restarts; the change is audited and published.",
    params(("X-Actor" = Option<String>, Header, pattern = "^[!-~]{1,64}$", description = "Who; the sender's address if absent", example = "alice")),
    request_body(content = LimitsPatch, description = "The limits to change"),
    responses((status = 200, description = "The new limits", body = LimitsBody), errors::Conflict, errors::Body)
)]
pub async fn change(request: HttpRequest, payload: web::Payload, state: web::Data<State>) -> Result<HttpResponse, Problem> {
    let (actor, body) = operator::receive(&request, payload, &state).await?;
    let patch = Patch::parse(&body).map_err(operator::refused)?;
    let view = state.risk_limits.change(patch, actor).await?;
    Ok(shown(&view))
}

/// `GET /api/risk/limits/history?limit=`: newest last.
///
/// # Errors
/// The query has faults.
#[utoipa::path(
    get,
    path = "/api/risk/limits/history",
    operation_id = "list_risk_limits_history",
    tag = "risk",
    summary = "Who changed the limits, when, and how",
    params(("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "Most lines; 100 unless given")),
    responses((status = 200, description = "The newest changes", body = LimitsHistory), errors::Query, errors::Unavailable)
)]
pub async fn history(request: HttpRequest, state: web::Data<State>) -> Result<HttpResponse, Problem> {
    operator::history(&request, state.risk_limits.recent(), &state)
}

fn shown(view: &LimitsView) -> HttpResponse {
    HttpResponse::Ok().json(Shown {
        limits: &view.effective,
        updated_at: view.updated_at.to_string(),
        updated_by: view.updated_by.as_deref(),
        overrides_file: file(view),
    })
}

fn file(view: &LimitsView) -> Value {
    match &view.fault {
        Some(fault) => json!({
            "status": fault.status,
            "detail": format!("{}; the last good limits stay in force until it is mended or moved away", fault.detail),
            "since": fault.since.to_string(),
        }),
        None => json!({ "status": if view.has_file { "ok" } else { "missing" }, "other_keys": view.other_keys }),
    }
}

/// How well the limits are kept.
pub fn health(state: &State) -> (&'static str, Value) {
    let view = state.risk_limits.view();
    let status = if view.fault.is_some() || view.failure.is_some() { "degraded" } else { "ok" };
    let body = json!({
        "status": status,
        "overrides_file": file(&view),
        "failure": view.failure,
        "postponed_events": view.postponed,
        "updated_at": view.updated_at.to_string(),
        "broken_history_lines": state.risk_limits.recent().read().broken,
    });
    (status, body)
}
