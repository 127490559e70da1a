//! Starting what watches the engines: their registry and watchers, and the files that they leave on disk.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use actix::{Addr, Arbiter};

use crate::actors::admission::Admission;
use crate::actors::artifact_publisher::Publisher;
use crate::actors::artifact_table::{daily_files, engine_files, runtime_figures};
use crate::actors::artifact_watcher::{self, ArtifactStatus, ArtifactWatcher};
use crate::actors::engine_model::EngineModel;
use crate::actors::engine_reader::EngineRegistryHandle;
use crate::actors::engine_registry;
use crate::actors::engine_watcher::{Ticks, Watch};
use crate::actors::history::History;
use crate::actors::publisher::EventBusHandle;
use crate::actors::supervision::Panics;
use crate::config::Config;
use crate::domain::clock::Clock;
use crate::domain::engine;

/// Starts to watch the engines: the registry on the first thread, the watchers on the second, which does nothing else.
pub(super) fn watch_engines(
    config: &Config,
    threads: &(Arbiter, Arbiter),
    history: History,
    bus: &EventBusHandle,
    clock: &Clock,
    panics: &Panics,
) -> EngineRegistryHandle {
    let engines = &config.engines;
    let by_name = || engines.by_name.iter();
    let ticks = Ticks {
        market_data: engines.tick.0,
        other: engines.tick.1,
        by_name: by_name().filter_map(|(name, engine)| Some((name.clone(), engine.tick?))).collect(),
    };
    let watch = Watch {
        engines: Arc::default(),
        ticks,
        limits: engine::Limits { stale_after: engines.stale_after, symbol_silence: engines.symbol_silence },
        rest_after: engines.rest_after,
        // a tick shall not wait behind the posts of a full queue
        bus: bus.with_queue(Admission::new(engines.queue_bytes / 1024, config.telemetry.admission_timeout)),
        clock: clock.clone(),
        panics: panics.clone(),
    };
    let settings = engine_registry::Settings {
        max: engines.max,
        rebuild: engines.rebuild,
        kinds: by_name().filter_map(|(name, engine)| Some((name.clone(), engine.kind?))).collect(),
        folder: config.artifacts.join("telemetry"),
    };
    EngineRegistryHandle::start(&threads.0.handle(), &threads.1.handle(), history, watch, settings)
}

/// Starts to watch what engines leave on disk.
pub(super) fn watch_files(
    config: &Config,
    thread: &Arbiter,
    publisher: Publisher,
    clock: &Clock,
    panics: &Panics,
    (status, model): (Arc<ArtifactStatus>, Arc<EngineModel>),
) -> Addr<ArtifactWatcher> {
    let is_ours = move |name: &str| model.is_rebuilt.load(Ordering::Acquire).then(|| model.engines.contains_key(name));
    let watches = vec![
        engine_files(&config.artifacts, config.session.timezone, config.telemetry.rules, Box::new(is_ours)),
        daily_files(&config.artifacts),
        runtime_figures(&config.artifacts, super::risk::session(config)),
    ];
    let settings =
        artifact_watcher::Settings { poll_interval: config.files.poll_interval, max_files: config.files.max, listen: true };
    ArtifactWatcher::start(&thread.handle(), watches, settings, publisher, clock.clone(), panics.clone(), status)
}
