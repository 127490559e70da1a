//! The ledger, and the registry of what engines post.

use std::sync::atomic::{AtomicU64, Ordering};

use super::page::Page;
use crate::http::state::State;

pub(super) fn add(page: &mut Page, state: &State) {
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    if state.ledger.is_enabled() {
        let ledger = state.ledger.status();
        page.counter("plimsoll_ledger_entries_total", "Trades, signals, orders and the like that the ledger has written.")
            .count(&[], count(&ledger.written));
        page.counter("plimsoll_ledger_failures_total", "Times that the ledger could not be written.")
            .count(&[], count(&ledger.failed));
        page.gauge(
            "plimsoll_ledger_failing",
            "1 while the ledger cannot be written: questions about trades are answered with 503.",
        )
        .flag(&[], ledger.failure.lock().is_some());
        page.gauge("plimsoll_ledger_pending", "Entries that wait for the ledger's next transaction.")
            .size(&[], ledger.pending.load(Ordering::Relaxed));
    }
    let registry = &state.metrics_registry;
    let (usage, limits) = (registry.usage(), &state.config.metrics);
    page.counter("plimsoll_metrics_writes_total", "Writes of posted metrics that were taken.")
        .count(&[], count(&registry.counters().writes));
    page.counter("plimsoll_metrics_series_refused_total", "Writes of metrics that found no room for their series.")
        .count(&[], count(&registry.counters().series_refused));
    page.counter(
        "plimsoll_metrics_forgotten_total",
        "What was forgotten to make room for newer ones, by what: open cycles beyond 10,000, which are timed only if they \
         tell how long they took; fills beyond 20,000, which count again when they are told again.",
    )
    .count(&[("what", "cycles")], count(&registry.counters().cycles_forgotten))
    .count(&[("what", "fills")], count(&registry.counters().fills_forgotten));
    page.gauge("plimsoll_metrics_series", "Series of posted and predefined metrics.").size(&[], usage.series);
    page.gauge("plimsoll_metrics_memory_bytes", "Memory that posted metrics take.").size(&[], usage.bytes);
    page.gauge("plimsoll_metrics_memory_limit_bytes", "Memory that posted metrics may take.").size(&[], limits.memory);
}
