//! `/health`: component by component.

use std::sync::atomic::Ordering;

use actix_web::{HttpResponse, Responder, web};
use serde_json::{Map, Value, json};

use super::problem::Problem;
use super::state::{Integrity, State};

/// `GET /health`.
pub async fn health(state: web::Data<State>) -> HttpResponse {
    let panics: Map<String, Value> =
        state.panics.counts().into_iter().map(|(actor, count)| (actor.to_owned(), count.into())).collect();
    let queue = state.bus.admission();
    let sse = &state.sse;
    let (journal_status, journal) = journal(&state);
    let stopping = !state.ready.load(Ordering::Acquire);
    let actors = if panics.is_empty() { "ok" } else { "degraded" };
    let status = match (journal_status, stopping) {
        ("failing", _) | (_, true) => "failing",
        ("ok", _) if actors == "ok" => "ok",
        _ => "degraded",
    };
    let body = json!({
        "status": status,
        "version": env!("CARGO_PKG_VERSION"),
        "uptime_seconds": state.started.elapsed().as_secs(),
        "components": {
            "journal": journal,
            "event_bus": {
                "status": if stopping { "failing" } else { "ok" },
                "queue_kib": queue.used(),
                "queue_capacity_kib": queue.capacity(),
                "refused": queue.refused(),
            },
            "sse": { "status": "ok", "clients": sse.clients.load(Ordering::Relaxed), "max_clients": state.config.sse.max_clients },
            "actors": { "status": actors, "panics": panics },
        },
    });
    if status == "failing" { HttpResponse::ServiceUnavailable() } else { HttpResponse::Ok() }.json(body)
}

fn journal(state: &State) -> (&'static str, Value) {
    let journal = state.journal.read().clone();
    let integrity = match &*state.integrity.lock() {
        Integrity::Checking => "checking".to_owned(),
        Integrity::Sound => "ok".to_owned(),
        Integrity::Broken(what) => format!("broken: {what}"),
        Integrity::Unknown => "not checked".to_owned(),
    };
    let sound = !integrity.starts_with("broken") && state.set_aside.is_none();
    let status = match (&journal.failure, sound) {
        (Some(_), _) => "failing",
        (None, true) => "ok",
        (None, false) => "degraded",
    };
    let body = json!({
        "status": status,
        "durability": state.config.journal.durability.as_str(),
        "failure": journal.failure,
        "integrity": integrity,
        "set_aside": state.set_aside,
        "events": journal.log.events,
        "bytes": journal.log.bytes,
    });
    (status, body)
}

/// `GET /health/live`: the process answers.
pub async fn live() -> impl Responder {
    web::Json(json!({ "status": "ok" }))
}

/// `GET /health/ready`: the service takes events.
///
/// # Errors
/// It does not.
pub async fn ready(state: web::Data<State>) -> Result<impl Responder, Problem> {
    if state.is_ready() {
        return Ok(web::Json(json!({ "status": "ok" })));
    }
    let detail = if state.ready.load(Ordering::Acquire) { "the journal cannot be written" } else { "the service is stopping" };
    Err(Problem::Unavailable { detail: detail.into(), retry_after: 1 })
}
