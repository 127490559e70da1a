//! `/health`: component by component.

use std::sync::atomic::{AtomicU64, Ordering};

use actix_web::{HttpResponse, Responder, web};
use serde_json::{Map, Value, json};

use super::ledger;
use super::openapi::errors;
use super::openapi::shapes::{Health, Passing};
use super::problem::Problem;
use super::risk;
use super::state::{Integrity, State};
use crate::actors::benchmark_files::Faults;

/// `GET /health`.
#[utoipa::path(
    get,
    path = "/health",
    operation_id = "get_health",
    tag = "service",
    summary = "How the service is, component by component",
    responses(
        (status = 200, description = "It takes events; `degraded` when something is wrong", body = Health),
        (status = 503, description = "It takes none: `failing`", body = Health),
    )
)]
pub async fn health(state: web::Data<State>) -> HttpResponse {
    let (status, body) = report(&state);
    if status == "failing" { HttpResponse::ServiceUnavailable() } else { HttpResponse::Ok() }.json(body)
}

/// One part of the service.
pub(super) struct Component {
    /// Its name.
    pub name: &'static str,
    /// ok, degraded or failing.
    pub status: &'static str,
    /// All that there is to say of it.
    body: Value,
}

/// How the service is, and each of its components.
pub(super) fn report(state: &State) -> (&'static str, Value) {
    let components = components(state);
    let takes_none = |component: &Component| matches!(component.name, "journal" | "event_bus") && component.status == "failing";
    let status = if components.iter().any(takes_none) {
        "failing"
    } else if components.iter().all(|component| component.status == "ok") {
        "ok"
    } else {
        "degraded"
    };
    let components: Map<String, Value> = components.into_iter().map(|each| (each.name.to_owned(), each.body)).collect();
    let body = json!({
        "status": status,
        "version": env!("CARGO_PKG_VERSION"),
        "uptime_seconds": state.started.elapsed().as_secs(),
        "components": components,
    });
    (status, body)
}

/// How each of them is.
pub(super) fn components(state: &State) -> Vec<Component> {
    let all = [
        ("journal", journal(state)),
        ("event_bus", event_bus(state)),
        ("sse", sse(state)),
        ("engines", engines(state)),
        ("artifacts", artifacts(state)),
        ("logs", ("ok", logs(state))),
        ("benchmarks", benchmarks(state)),
        ("metrics", metrics(state)),
        ("var", ("ok", var(state))),
        ("risk_limits", risk::limits::health(state)),
        ("kill_switch", risk::kill_switch::health(state)),
        ("risk", evaluator(state)),
        ("ledger", ledger::health(state)),
        ("actors", actors(state)),
    ];
    all.into_iter().map(|(name, (status, body))| Component { name, status, body }).collect()
}

fn event_bus(state: &State) -> (&'static str, Value) {
    let queue = state.bus.admission();
    let status = if state.ready.load(Ordering::Acquire) { "ok" } else { "failing" };
    let body = json!({
        "status": status,
        "queue_kib": queue.used(),
        "queue_capacity_kib": queue.capacity(),
        "refused": queue.refused(),
    });
    (status, body)
}

fn sse(state: &State) -> (&'static str, Value) {
    let clients = state.sse.clients.load(Ordering::Relaxed);
    ("ok", json!({ "status": "ok", "clients": clients, "max_clients": state.config.sse.max_clients }))
}

fn actors(state: &State) -> (&'static str, Value) {
    let panics: Map<String, Value> =
        state.panics.counts().into_iter().map(|(actor, count)| (actor.to_owned(), count.into())).collect();
    let status = if panics.is_empty() { "ok" } else { "degraded" };
    (status, json!({ "status": status, "panics": panics }))
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
        "misnamed_beats": count(&engines.misnamed),
        "ticks": count(&engines.ticks),
        "ticks_lost": count(&engines.ticks_lost),
        "files_failed": count(&engines.files_failed),
    });
    (status, body)
}

/// How well risk is evaluated; what is breached is no matter of the service's health.
fn evaluator(state: &State) -> (&'static str, Value) {
    let counters = state.risk.counters();
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let (waiting, files) = (counters.waiting.load(Ordering::Relaxed), counters.files_waiting.load(Ordering::Relaxed));
    let (running, rebuilding) = (state.risk.is_running(), !counters.is_rebuilt.load(Ordering::Acquire));
    let incomplete = counters.is_hurt.load(Ordering::Relaxed);
    let is_well = running && !rebuilding && !incomplete && files == 0;
    let status = if is_well && count(&counters.lost) + count(&counters.files_lost) == 0 { "ok" } else { "degraded" };
    let queue = state.risk.admission();
    let body = json!({
        "status": status,
        "running": running,
        "rebuilding": rebuilding,
        "incomplete": incomplete,
        "queue": queue.used(),
        "queue_capacity": queue.capacity(),
        "refused": queue.refused(),
        "findings_published": count(&counters.published),
        "findings_waiting": waiting,
        "findings_refused": count(&counters.refused),
        "findings_lost": count(&counters.lost),
        "day_files_waiting": files,
        "day_files_failed": count(&counters.files_failed),
        "day_files_lost": count(&counters.files_lost),
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

/// Who reads the logs of engines; to be refused is the reader's trouble, not the service's.
fn logs(state: &State) -> Value {
    let (reads, followers) = (&state.logs.reads, &state.logs.followers);
    json!({
        "status": "ok",
        "reads": reads.used(),
        "max_reads": reads.capacity(),
        "refused_reads": reads.refused(),
        "followers": followers.used(),
        "max_followers": followers.capacity(),
        "refused_followers": followers.refused(),
    })
}

fn benchmarks(state: &State) -> (&'static str, Value) {
    let recorder = state.benchmarks.status();
    let Faults { files, bad_lines, broken } = recorder.faults.lock().clone();
    let status = if broken.is_empty() { "ok" } else { "degraded" };
    let queue = state.benchmarks.admission();
    let named = broken.iter().take(MAX_NAMED);
    let body = json!({
        "status": status,
        "files": files,
        "bad_lines": bad_lines,
        "broken_files": broken.len(),
        "broken": named.map(|(file, reason)| json!({ "file": file, "reason": reason })).collect::<Vec<_>>(),
        "recorded": recorder.recorded.load(Ordering::Relaxed),
        "failed_posts": recorder.failed.load(Ordering::Relaxed),
        "queue": queue.used(),
        "queue_capacity": queue.capacity(),
        "refused": queue.refused(),
    });
    (status, body)
}

/// The metrics registry; that a series found no room is its engine's trouble, not the service's.
fn metrics(state: &State) -> (&'static str, Value) {
    let (registry, limits) = (&state.metrics_registry, &state.config.metrics);
    let (usage, counters, queue) = (registry.usage(), registry.counters(), registry.admission());
    let status = if registry.is_running() { "ok" } else { "degraded" };
    let body = json!({
        "status": status,
        "running": registry.is_running(),
        "rebuilding": !counters.is_rebuilt.load(Ordering::Acquire),
        "metrics": usage.metrics,
        "max_metrics": limits.max_metrics,
        "series": usage.series,
        "max_series": limits.max_series,
        "bytes": usage.bytes,
        "max_bytes": limits.memory,
        "series_refused": counters.series_refused.load(Ordering::Relaxed),
        "writes": counters.writes.load(Ordering::Relaxed),
        "queue": queue.used(),
        "queue_capacity": queue.capacity(),
        "refused": queue.refused(),
    });
    (status, body)
}

fn var(state: &State) -> Value {
    let (queue, counters) = (state.var.admission(), state.var.counters());
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    json!({
        "status": "ok",
        "queue": queue.used(),
        "queue_capacity": queue.capacity(),
        "refused": state.var.refused(),
        "computed": count(&counters.computed),
        "recalled": count(&counters.recalled),
        "joined": count(&counters.joined),
        "dropped": count(&counters.dropped),
    })
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
#[utoipa::path(
    get,
    path = "/health/live",
    operation_id = "get_liveness",
    tag = "service",
    summary = "The process answers",
    responses((status = 200, description = "It does", body = Passing))
)]
pub async fn live() -> impl Responder {
    web::Json(json!({ "status": "ok" }))
}

/// `GET /health/ready`: the service takes events.
///
/// # Errors
/// It does not.
#[utoipa::path(
    get,
    path = "/health/ready",
    operation_id = "get_readiness",
    tag = "service",
    summary = "The service takes events",
    responses((status = 200, description = "It does", body = Passing), errors::Unavailable)
)]
pub async fn ready(state: web::Data<State>) -> Result<impl Responder, Problem> {
    if state.is_ready() {
        return Ok(web::Json(json!({ "status": "ok" })));
    }
    let detail = if state.ready.load(Ordering::Acquire) { "the journal cannot be written" } else { "the service is stopping" };
    Err(Problem::Unavailable { detail: detail.into(), retry_after: 1 })
}
