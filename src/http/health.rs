//! `/health`: component by component.

use std::sync::atomic::{AtomicU64, Ordering};

use actix_web::{HttpResponse, Responder, web};
use serde_json::{Map, Value, json};

use super::problem::Problem;
use super::risk;
use super::state::{Integrity, State};
use crate::actors::benchmark_files::Faults;

/// `GET /health`.
pub async fn health(state: web::Data<State>) -> HttpResponse {
    let panics: Map<String, Value> =
        state.panics.counts().into_iter().map(|(actor, count)| (actor.to_owned(), count.into())).collect();
    let queue = state.bus.admission();
    let sse = &state.sse;
    let (journal_status, journal) = journal(&state);
    let (artifacts_status, artifacts) = artifacts(&state);
    let (engines_status, engines) = engines(&state);
    let (benchmarks_status, benchmarks) = benchmarks(&state);
    let (risk_status, risk_figures) = evaluator(&state);
    let (limits_status, risk_limits) = risk::limits::health(&state);
    let (switch_status, kill_switch) = risk::kill_switch::health(&state);
    let all_ok = [artifacts_status, engines_status, benchmarks_status, risk_status, limits_status, switch_status]
        .iter()
        .all(|status| *status == "ok");
    let stopping = !state.ready.load(Ordering::Acquire);
    let actors = if panics.is_empty() { "ok" } else { "degraded" };
    let status = match (journal_status, stopping) {
        ("failing", _) | (_, true) => "failing",
        ("ok", _) if actors == "ok" && all_ok => "ok",
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
            "logs": logs(&state),
            "benchmarks": benchmarks,
            "var": var(&state),
            "risk_limits": risk_limits,
            "kill_switch": kill_switch,
            "risk": risk_figures,
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
