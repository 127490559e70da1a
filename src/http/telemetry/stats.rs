//! `GET /api/telemetry/stats`.

use std::sync::atomic::Ordering;

use actix_web::{HttpResponse, web};
use serde_json::{Map, Value, json};

use crate::http::state::State;

/// What is in the ring and in the journal, and how fast it comes.
pub async fn stats(state: web::Data<State>) -> HttpResponse {
    let ring = state.history.ring().stats();
    let journal = state.journal.read().clone();
    let bus = state.bus.counters();
    let sse = &state.sse;
    let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    let counts: Map<String, Value> = ring.counts.iter().map(|(name, count)| (name.to_string(), (*count).into())).collect();
    let events_per_second = bus.rate.lock().per_second(state.clock.now());
    HttpResponse::Ok().json(json!({
        "total_events": ring.events,
        "buffer_size": state.config.telemetry.ring.events,
        "buffer_bytes": ring.bytes,
        "event_types": ring.counts.keys().map(ToString::to_string).collect::<Vec<_>>(),
        "event_counts": counts,
        "published_total": count(&bus.published),
        "duplicates_total": count(&bus.duplicates),
        "oldest_id": ring.oldest.map(|id| id.to_string()),
        "newest_id": ring.newest.map(|id| id.to_string()),
        "subscribers": sse.clients.load(Ordering::Relaxed),
        "events_per_second": events_per_second,
        "journal": {
            "events": journal.log.events,
            "bytes": journal.log.bytes,
            "newest_id": journal.log.newest.to_string(),
            "floor_id": journal.log.floor.to_string(),
            "commits": journal.commits,
        },
        "dropped": {
            "refused_posts": state.bus.admission().refused(),
            "refused_bodies": state.body_memory.refused(),
            "refused_answers": state.answer_memory.refused(),
            "refused_queries": state.readers.admission().refused(),
            "failed_events": count(&bus.failed),
            "slow_clients": count(&sse.slow),
            "stalled_clients": count(&sse.stalled),
            "clients_without_journal": count(&sse.unread),
            "refused_clients": count(&sse.refused),
            "gaps": count(&sse.gaps),
        },
    }))
}
