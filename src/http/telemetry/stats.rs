//! `GET /api/telemetry/stats`.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use actix_web::{HttpResponse, web};
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::state::State;

/// What is in the ring and in the journal, and what was dropped.
#[derive(Debug, Serialize, ToSchema)]
struct Stats {
    /// Events in the ring.
    total_events: usize,
    /// Most events that it holds.
    buffer_size: usize,
    /// Bytes in it.
    buffer_bytes: usize,
    /// The types of the events in it, sorted.
    event_types: Vec<String>,
    /// How many of each type are in it.
    event_counts: BTreeMap<String, usize>,
    /// Events since the start.
    published_total: u64,
    /// Repeated posts since the start.
    duplicates_total: u64,
    /// The oldest event in it.
    #[schema(required, example = "1763452541345-0")]
    oldest_id: Option<String>,
    /// The newest event in it.
    #[schema(required, example = "1763452541399-2")]
    newest_id: Option<String>,
    /// Clients of the stream.
    subscribers: usize,
    /// How fast they come.
    events_per_second: f64,
    journal: JournalStats,
    dropped: Dropped,
}

/// What is in the journal.
#[derive(Debug, Serialize, ToSchema)]
struct JournalStats {
    /// Events in it.
    events: u64,
    /// Its size.
    bytes: u64,
    /// The newest event in it.
    newest_id: String,
    /// Events up to this one are gone.
    floor_id: String,
    /// Commits since the start.
    commits: u64,
}

/// What was refused or ended, since the start.
#[derive(Debug, Serialize, ToSchema)]
struct Dropped {
    /// Posts while the queue was full.
    refused_posts: u64,
    /// Posts while there was no memory for their bodies.
    refused_bodies: u64,
    /// Questions while there was no memory for their answers.
    refused_answers: u64,
    /// Questions while too many were waiting.
    refused_queries: u64,
    /// Events whose commit failed.
    failed_events: u64,
    /// Clients that were too far behind.
    slow_clients: u64,
    /// Clients that took nothing.
    stalled_clients: u64,
    /// Clients that were ended as the journal could not be read.
    clients_without_journal: u64,
    /// Clients that were one too many.
    refused_clients: u64,
    /// Gaps that clients were told of.
    gaps: u64,
}

/// What is in the ring and in the journal, and how fast it comes.
#[utoipa::path(
    get,
    path = "/api/telemetry/stats",
    operation_id = "get_stats",
    tag = "telemetry",
    summary = "What is in memory and in the journal, and what was dropped",
    responses((status = 200, description = "The counts", body = Stats))
)]
pub async fn stats(state: web::Data<State>) -> HttpResponse {
    let ring = state.history.ring().stats();
    let journal = state.journal.read().clone();
    let bus = state.bus.counters();
    let sse = &state.sse;
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let events_per_second = bus.rate.lock().per_second(state.clock.now());
    HttpResponse::Ok().json(Stats {
        total_events: ring.events,
        buffer_size: state.config.telemetry.ring.events,
        buffer_bytes: ring.bytes,
        event_types: ring.counts.keys().map(ToString::to_string).collect(),
        event_counts: ring.counts.iter().map(|(name, count)| (name.to_string(), *count)).collect(),
        published_total: count(&bus.published),
        duplicates_total: count(&bus.duplicates),
        oldest_id: ring.oldest.map(|id| id.to_string()),
        newest_id: ring.newest.map(|id| id.to_string()),
        subscribers: sse.clients.load(Ordering::Relaxed),
        events_per_second,
        journal: JournalStats {
            events: journal.log.events,
            bytes: journal.log.bytes,
            newest_id: journal.log.newest.to_string(),
            floor_id: journal.log.floor.to_string(),
            commits: journal.commits,
        },
        dropped: Dropped {
            refused_posts: state.bus.admission().refused(),
            refused_bodies: state.body_memory.refused(),
            refused_answers: state.answer_memory.refused(),
            refused_queries: state.readers.admission().refused(),
            failed_events: count(&bus.failed),
            slow_clients: count(&sse.slow),
            stalled_clients: count(&sse.stalled),
            clients_without_journal: count(&sse.unread),
            refused_clients: count(&sse.refused),
            gaps: count(&sse.gaps),
        },
    })
}
