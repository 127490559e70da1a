//! `/api/risk/limits`: what must not be exceeded, who said so, and how it came to be.

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;
use serde_json::{Value, json};

use super::operator;
use crate::actors::risk_limits::LimitsView;
use crate::domain::risk::limits_change::Effective;
use crate::domain::risk::limits_patch::Patch;
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
pub async fn current(state: web::Data<State>) -> HttpResponse {
    let view = state.risk_limits.current().await;
    shown(&view)
}

/// `POST /api/risk/limits`: a partial object; `null` takes an override back. Answers the new limits when they are durable.
///
/// # Errors
/// See [`Problem`].
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
