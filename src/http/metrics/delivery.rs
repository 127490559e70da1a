//! Events out: the streams.

use std::sync::atomic::{AtomicU64, Ordering};

use super::page::{MICROS, Page};
use crate::http::state::State;

pub(super) fn add(page: &mut Page, state: &State) {
    let sse = &state.sse;
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    page.gauge("plimsoll_sse_clients", "Streams that are open.").size(&[], sse.clients.load(Ordering::Relaxed));
    page.gauge("plimsoll_sse_clients_limit", "Streams that may be open.").size(&[], state.config.sse.max_clients);
    page.counter("plimsoll_sse_opened_total", "Streams that were ever opened.").count(&[], count(&sse.opened));
    page.counter("plimsoll_sse_refused_total", "Clients told to come back, since there were too many or the service stops.")
        .count(&[], count(&sse.refused));
    page.counter(
        "plimsoll_sse_closed_total",
        "Streams that ended, by reason: client (it left), slow (it fell behind), stalled (it took nothing), journal (which \
         could not be read for it), shutdown.",
    )
    .count(&[("reason", "client")], count(&sse.left))
    .count(&[("reason", "slow")], count(&sse.slow))
    .count(&[("reason", "stalled")], count(&sse.stalled))
    .count(&[("reason", "journal")], count(&sse.unread))
    .count(&[("reason", "shutdown")], count(&sse.shutdown));
    page.counter("plimsoll_sse_gaps_total", "Notices of events that could no longer be delivered.").count(&[], count(&sse.gaps));
    page.histogram(
        "plimsoll_delivery_seconds",
        "From an event's arrival until it is handed to a live stream's socket: one observation a chunk, of its oldest event, \
         up to 1 ms too long since ids are milliseconds. What a client catches up on when it comes is not counted.",
    )
    .observed(&[], &sse.delivery, MICROS);
}
