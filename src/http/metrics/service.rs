//! The service itself: its version, its components, its panics.

use std::collections::BTreeMap;

use super::page::Page;
use crate::actors::{
    artifact_watcher, benchmark_recorder, engine_registry, engine_watcher, event_bus, journal, journal_reader, kill_switch,
    ledger_reader, metrics_registry, risk_evaluator, risk_limits, sse_fanout, trade_ledger, var_calculator,
};
use crate::http::health;
use crate::http::state::State;

/// Who may panic, so that the first panic is seen as a step from 0.
const ACTORS: &[&str] = &[
    artifact_watcher::NAME,
    benchmark_recorder::NAME,
    engine_registry::NAME,
    engine_watcher::NAME,
    event_bus::NAME,
    journal::NAME,
    journal_reader::NAME,
    kill_switch::NAME,
    ledger_reader::NAME,
    metrics_registry::NAME,
    risk_evaluator::NAME,
    risk_limits::NAME,
    sse_fanout::NAME,
    trade_ledger::NAME,
    var_calculator::NAME,
    super::NAME,
    "engine_logs",
    "http",
];

pub(super) fn add(page: &mut Page, state: &State) {
    page.gauge("plimsoll_build_info", "Always 1; the label says which version runs.")
        .flag(&[("version", env!("CARGO_PKG_VERSION"))], true);
    page.gauge("plimsoll_uptime_seconds", "Time since the start.").set(&[], state.started.elapsed().as_secs_f64());
    page.gauge("plimsoll_ready", "1 while events are taken, as /health/ready says.").flag(&[], state.is_ready());
    let family =
        page.gauge("plimsoll_component_ok", "1 while the component is ok; 0 while /health calls it degraded or failing.");
    for component in health::components(state) {
        family.flag(&[("component", component.name)], component.status == "ok");
    }
    let mut panics: BTreeMap<&str, u64> = ACTORS.iter().map(|actor| (*actor, 0)).collect();
    panics.extend(state.panics.counts());
    let family = page.counter(
        "plimsoll_actor_panics_total",
        "Panics that were contained, by actor; the actor went on with its next message, without a restart. Each is a bug.",
    );
    for (actor, count) in panics {
        family.count(&[("actor", actor)], count);
    }
}
