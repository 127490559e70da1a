//! The ring and the journal.

use std::sync::atomic::Ordering;

use super::page::{MICROS, Page};
use crate::http::state::{Integrity, State};

pub(super) fn add(page: &mut Page, state: &State) {
    let (events, bytes) = state.history.ring().size();
    let limits = state.config.telemetry.ring;
    page.gauge("plimsoll_ring_events", "Recent events in memory.").size(&[], events);
    page.gauge("plimsoll_ring_events_limit", "Events that the ring holds at most; older ones come from the journal.")
        .size(&[], limits.events);
    page.gauge("plimsoll_ring_bytes", "Bytes of the events in memory.").size(&[], bytes);
    page.gauge("plimsoll_ring_bytes_limit", "Bytes that the ring holds at most.").size(&[], limits.bytes);

    let journal = state.journal.read().clone();
    let commits = &state.commits;
    page.gauge("plimsoll_journal_events", "Events in the journal.").count(&[], journal.log.events);
    page.gauge("plimsoll_journal_bytes", "Bytes of what the journal holds; its file may be larger, as room of deleted events is used again, and has a write-ahead log.").count(&[], journal.log.bytes);
    page.gauge("plimsoll_journal_bytes_limit", "Bytes beyond which the oldest events are deleted.")
        .count(&[], state.config.journal.max_bytes);
    page.gauge("plimsoll_journal_failing", "1 while the journal cannot be written: posts are answered with 503.")
        .flag(&[], journal.failure.is_some());
    let damaged = match &*state.integrity.lock() {
        _ if journal.damaged => Some(1.0),
        Integrity::Broken(_) => Some(1.0),
        Integrity::Sound => Some(0.0),
        Integrity::Checking | Integrity::Unknown => None,
    };
    page.gauge("plimsoll_journal_damaged", "1 when the journal's file is damaged; absent while it has not been checked.")
        .known(&[], damaged);
    page.gauge("plimsoll_journal_set_aside", "1 when this start found a broken journal, and began a new one.")
        .flag(&[], state.set_aside.is_some());
    page.counter("plimsoll_journal_commits_total", "Group commits since the start.").count(&[], journal.commits);
    page.counter("plimsoll_journal_commits_failed_total", "Group commits that failed.")
        .count(&[], commits.failed.load(Ordering::Relaxed));
    page.histogram(
        "plimsoll_journal_commit_seconds",
        "A group commit, from when it is handed to the journal until it is durable.",
    )
    .observed(&[], &commits.waits, MICROS);
    page.histogram("plimsoll_journal_commit_events", "Events of a group commit.").observed(&[], &commits.sizes, 1.0);
}
