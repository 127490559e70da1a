//! `/api/risk/kill-switch`: whether engines may trade. Engines may wait here for a change.

use std::sync::Arc;
use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::operator;
use crate::actors::kill_switch::SwitchView;
use crate::domain::risk::kill_switch::TradingState;
use crate::domain::risk::kill_switch_order::KillSwitchOrder;
use crate::http::openapi::errors;
use crate::http::openapi::risk_shapes::{KillSwitchCommand, KillSwitchHistory};
use crate::http::problem::Problem;
use crate::http::query::Params;
use crate::http::state::State;

/// Longest wait for a change, in seconds.
const MAX_WAIT: usize = 60;

/// The answer. `previous` and `timestamp` are the history's.
#[derive(Serialize, ToSchema)]
#[schema(as = KillSwitch, example = json!({
    "state": "halted", "reason": "fat finger", "actor": "alice", "since": "2025-11-18T07:55:41.345678Z", "seq": 3,
    "updated_at": "2025-11-18T07:55:41.345678Z", "persisted": true
}))]
struct Shown<'a> {
    /// What engines may do.
    #[schema(value_type = TradingState)]
    state: &'static str,
    /// Why.
    reason: &'a str,
    /// Who moved it.
    actor: &'a str,
    /// Since when this state holds.
    #[schema(format = DateTime)]
    since: String,
    /// Its number; 0 when nobody has touched it.
    seq: u64,
    /// When somebody last said something about it.
    #[schema(format = DateTime)]
    updated_at: String,
    /// Whether a restart will find it as it is.
    persisted: bool,
}

/// `GET /api/risk/kill-switch`; `?wait=30&since=...` answers when the state is not that of `since` any more, at the latest
/// after `wait` seconds.
///
/// # Errors
/// The query has faults, or too many wait already.
#[utoipa::path(
    get,
    path = "/api/risk/kill-switch",
    operation_id = "get_kill_switch",
    tag = "risk",
    summary = "Whether engines may trade; an engine may wait here for a change",
    params(
        ("wait" = Option<u32>, Query, minimum = 0, maximum = 60, description = "Seconds to wait for a change; none unless given"),
        ("since" = Option<String>, Query, format = DateTime, description = "Wait until the state is not that of this time any more"),
    ),
    responses((status = 200, description = "The kill switch", body = Shown<'_>), errors::Query, errors::Unavailable)
)]
pub async fn current(request: HttpRequest, state: web::Data<State>) -> Result<HttpResponse, Problem> {
    let mut params = Params::of(&request)?;
    let wait = params.number("wait", 0..=MAX_WAIT).unwrap_or(0);
    let since = params.time("since");
    params.finish()?;
    if wait == 0 {
        return Ok(shown(&state.kill_switch.current()));
    }
    let longest = Duration::from_secs(wait as u64);
    let view = tokio::select! {
        changed = state.kill_switch.changed(since) => changed.map_err(|_| too_many())?,
        () = tokio::time::sleep(longest) => state.kill_switch.current(),
        // whoever waits shall not hold up a stop
        () = Arc::clone(&state.closing).given() => state.kill_switch.current(),
    };
    Ok(shown(&view))
}

fn too_many() -> Problem {
    let detail = "as many clients wait for the kill switch as risk.kill_switch_waiters allows; ask without wait".to_owned();
    Problem::Unavailable { detail, retry_after: 1 }
}

/// `POST /api/risk/kill-switch`: an operator's order. Answered when it is durable.
///
/// # Errors
/// See [`Problem`].
#[utoipa::path(
    post,
    path = "/api/risk/kill-switch",
    operation_id = "move_kill_switch",
    tag = "risk",
    summary = "An operator's order",
    description = "Only an operator re-arms the switch. Answered when it is durable.",
    params(("X-Actor" = Option<String>, Header, pattern = "^[!-~]{1,64}$", description = "Who, unless the body says it; the sender's address if absent", example = "alice")),
    request_body(content = KillSwitchCommand, description = "The order"),
    responses((status = 200, description = "The kill switch as it stands now", body = Shown<'_>), errors::Body)
)]
pub async fn order(request: HttpRequest, payload: web::Payload, state: web::Data<State>) -> Result<HttpResponse, Problem> {
    let (actor, body) = operator::receive(&request, payload, &state).await?;
    let order = KillSwitchOrder::parse(&body).map_err(operator::refused)?;
    let view = state.kill_switch.order(order.state, order.reason, order.actor.unwrap_or(actor)).await?;
    Ok(shown(&view))
}

/// `GET /api/risk/kill-switch/history?limit=`: newest last.
///
/// # Errors
/// The query has faults.
#[utoipa::path(
    get,
    path = "/api/risk/kill-switch/history",
    operation_id = "list_kill_switch_history",
    tag = "risk",
    summary = "Who moved the kill switch, when, and why",
    params(("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "Most lines; 100 unless given")),
    responses((status = 200, description = "The newest moves", body = KillSwitchHistory), errors::Query, errors::Unavailable)
)]
pub async fn history(request: HttpRequest, state: web::Data<State>) -> Result<HttpResponse, Problem> {
    operator::history(&request, state.kill_switch.recent(), &state)
}

fn shown(view: &SwitchView) -> HttpResponse {
    let position = &view.position;
    HttpResponse::Ok().json(Shown {
        state: position.state.as_str(),
        reason: &position.reason,
        actor: &position.actor,
        since: position.since.to_string(),
        seq: position.seq,
        updated_at: position.timestamp.to_string(),
        persisted: view.failure.is_none(),
    })
}

/// How well the switch is kept; how it stands is no matter of the service's health.
pub fn health(state: &State) -> (&'static str, Value) {
    let view = state.kill_switch.current();
    let status = if view.failure.is_some() || view.lost.is_some() { "degraded" } else { "ok" };
    let [waiters, _] = state.kill_switch.queues();
    let body = json!({
        "status": status,
        "state": view.position.state.as_str(),
        "failure": view.failure,
        "postponed_events": view.postponed,
        "lost": view.lost,
        "waiters": waiters.used(),
        "max_waiters": waiters.capacity(),
        "refused": waiters.refused(),
        "broken_history_lines": state.kill_switch.recent().read().broken,
    });
    (status, body)
}
