//! Starting the metrics registry.

use actix::Arbiter;

use super::risk::session;
use crate::actors::admission::Admission;
use crate::actors::history::History;
use crate::actors::metrics_registry::{MetricsRegistryHandle, Settings};
use crate::actors::publisher::EventBusHandle;
use crate::actors::supervision::Panics;
use crate::config::Config;
use crate::domain::clock::Clock;
use crate::domain::id::EventId;
use crate::domain::metrics::registry::Limits;

/// Starts the registry on `thread`; it hears the trading day's events again, so that its gauges are known.
pub(super) fn start(
    config: &Config,
    thread: &Arbiter,
    history: History,
    bus: &EventBusHandle,
    clock: &Clock,
    panics: &Panics,
) -> MetricsRegistryHandle {
    let metrics = &config.metrics;
    let session = session(config);
    let settings = Settings {
        prefix: metrics.prefix.clone(),
        limits: Limits { metrics: metrics.max_metrics, series: metrics.max_series, memory: metrics.memory },
        session,
        queue: Admission::new(metrics.queue, config.telemetry.admission_timeout),
        cursor: EventId::first_at(session.day_of(clock.now()).start).before(),
    };
    MetricsRegistryHandle::start(&thread.handle(), settings, history, bus.clone(), panics.clone())
}
