//! `/api/risk/kill-switch`: whether engines may trade. Engines may wait here for a change.

use std::sync::Arc;
use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;
use serde_json::{Value, json};

use super::operator;
use crate::actors::kill_switch::SwitchView;
use crate::domain::risk::kill_switch_order::KillSwitchOrder;
use crate::http::problem::Problem;
use crate::http::query::Params;
use crate::http::state::State;

/// Longest wait for a change, in seconds.
const MAX_WAIT: usize = 60;

/// The answer. `previous` and `timestamp` are the history's.
#[derive(Serialize)]
struct Shown<'a> {
    state: &'static str,
    reason: &'a str,
    actor: &'a str,
    since: String,
    seq: u64,
    updated_at: String,
    /// Whether a restart will find it as it is.
    persisted: bool,
}

/// `GET /api/risk/kill-switch`; `?wait=30&since=...` answers when the state is not that of `since` any more, at the latest
/// after `wait` seconds.
///
/// # Errors
/// The query has faults, or too many wait already.
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
    let waiters = state.kill_switch.waiters();
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
