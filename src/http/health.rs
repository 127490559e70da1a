//! `/health`: component by component.

use std::sync::atomic::{AtomicU64, Ordering};

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
    let (artifacts_status, artifacts) = artifacts(&state);
    let (engines_status, engines) = engines(&state);
    let (risk_status, risk) = risk(&state);
    let stopping = !state.ready.load(Ordering::Acquire);
    let actors = if panics.is_empty() { "ok" } else { "degraded" };
    let status = match (journal_status, stopping) {
        ("failing", _) | (_, true) => "failing",
        ("ok", _) if actors == "ok" && artifacts_status == "ok" && engines_status == "ok" && risk_status == "ok" => "ok",
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
            "engines": engines,
            "artifacts": artifacts,
            "risk": risk,
            "actors": { "status": actors, "panics": panics },
        },
    });
    if status == "failing" { HttpResponse::ServiceUnavailable() } else { HttpResponse::Ok() }.json(body)
}

/// How well engines are watched; how they are themselves is no matter of the service's health.
fn engines(state: &State) -> (&'static str, Value) {
    let engines = state.engines.engines();
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let is_rebuilt = engines.is_rebuilt.load(Ordering::Acquire);
    let status = if count(&engines.ignored) == 0 { "ok" } else { "degraded" };
    let body = json!({
        "status": status,
        "known": engines.engines.len(),
        "max": state.config.engines.max,
        "watchers": engines.watchers.load(Ordering::Relaxed),
        "rebuilding": !is_rebuilt,
        "ignored_beats": count(&engines.ignored),
        "ticks": count(&engines.ticks),
        "ticks_lost": count(&engines.ticks_lost),
        "files_failed": count(&engines.files_failed),
    });
    (status, body)
}

/// How well risk is evaluated; what is breached is no matter of the service's health.
fn risk(state: &State) -> (&'static str, Value) {
    let counters = state.risk.counters();
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let (waiting, files) = (counters.waiting.load(Ordering::Relaxed), counters.files_waiting.load(Ordering::Relaxed));
    let status = if files == 0 && count(&counters.lost) == 0 { "ok" } else { "degraded" };
    let body = json!({
        "status": status,
        "rebuilding": !counters.is_rebuilt.load(Ordering::Acquire),
        "findings_published": count(&counters.published),
        "findings_waiting": waiting,
        "findings_refused": count(&counters.refused),
        "findings_lost": count(&counters.lost),
        "day_files_waiting": files,
        "day_files_failed": count(&counters.files_failed),
    });
    (status, body)
}

/// So many broken files are named.
const MAX_NAMED: usize = 100;

fn artifacts(state: &State) -> (&'static str, Value) {
    let artifacts = &state.artifacts;
    let mut broken: Vec<_> = artifacts.broken.iter().map(|entry| (entry.key().clone(), entry.value().clone())).collect();
    broken.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
    let is_cut = artifacts.is_cut.load(Ordering::Relaxed);
    let status = if broken.is_empty() && !is_cut { "ok" } else { "degraded" };
    let count = broken.len();
    let named = broken.into_iter().take(MAX_NAMED);
    let body = json!({
        "status": status,
        "files": artifacts.files.load(Ordering::Relaxed),
        "max_files": state.config.files.max,
        "has_more_files": is_cut,
        "published": artifacts.published.load(Ordering::Relaxed),
        "broken_files": count,
        "broken": named.map(|(file, fault)| json!({ "file": file, "reason": fault.reason, "since": fault.since.to_string() }))
            .collect::<Vec<_>>(),
    });
    (status, body)
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
