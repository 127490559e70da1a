//! Events in: how many of which type, how long posts take, what was refused.

use std::sync::atomic::Ordering;

use super::page::{MICROS, Page};
use crate::http::state::State;

pub(super) fn add(page: &mut Page, state: &State) {
    let bus = state.bus.counters();
    let types = bus.types.lock().all();
    let family = page.counter(
        "plimsoll_events_total",
        "Events committed since the start, by type. Beyond 200 types that Plimsoll does not know the rest is type other.",
    );
    for (event_type, count) in &types {
        family.count(&[("type", event_type)], *count);
    }
    page.counter("plimsoll_events_duplicate_total", "Events that were posted before, by their event_id; committed once.")
        .count(&[], bus.duplicates.load(Ordering::Relaxed));
    page.counter(
        "plimsoll_events_failed_total",
        "Events that the journal did not take, each try of Plimsoll's own announcements too; who posted one was told.",
    )
    .count(&[], bus.failed.load(Ordering::Relaxed));
    let ingest = &state.ingest;
    page.counter("plimsoll_events_rejected_total", "Posted events refused for what they are, by reason.")
        .count(&[("reason", "malformed")], ingest.malformed.load(Ordering::Relaxed))
        .count(&[("reason", "unacceptable")], ingest.unacceptable.load(Ordering::Relaxed))
        .count(&[("reason", "too_large")], ingest.too_large.load(Ordering::Relaxed));
    page.histogram(
        "plimsoll_ingest_seconds",
        "From a post's head until its events are durable and it is answered, of posts that were taken, by form. \
         An NDJSON body counts for as long as its sender streams it.",
    )
    .observed(&[("form", "one")], &ingest.one, MICROS)
    .observed(&[("form", "array")], &ingest.array, MICROS)
    .observed(&[("form", "ndjson")], &ingest.ndjson, MICROS);
}
