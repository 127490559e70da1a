//! The engines, and those who watch them.

use std::sync::atomic::{AtomicU64, Ordering};

use super::page::Page;
use crate::domain::engine::{EngineName, State as EngineState};
use crate::http::state::State;

/// One engine as it is judged now.
struct Judged {
    name: EngineName,
    state: EngineState,
    age: Option<f64>,
    restarts: u64,
}

pub(super) fn add(page: &mut Page, state: &State) {
    let model = state.engines.engines();
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let is_rebuilt = model.is_rebuilt.load(Ordering::Acquire);
    page.gauge(
        "plimsoll_engines_rebuilding",
        "1 while engines are read from the journal after a start; till then they are absent.",
    )
    .flag(&[], !is_rebuilt);
    if is_rebuilt {
        add_engines(page, state);
    }
    page.gauge("plimsoll_engines_limit", "Engines that there may be.").size(&[], state.config.engines.max);
    page.gauge("plimsoll_engine_watchers", "Watchers at work, one for each engine that is not at rest.")
        .size(&[], model.watchers.load(Ordering::Relaxed));
    page.counter("plimsoll_engine_ticks_total", "Ticks published for engines.").count(&[], count(&model.ticks));
    page.counter("plimsoll_engine_ticks_lost_total", "Ticks that found no room before the bus.")
        .count(&[], count(&model.ticks_lost));
    page.counter("plimsoll_engine_beats_ignored_total", "Beats that count for no engine: too_many engines, or a bad_name.")
        .count(&[("reason", "too_many")], count(&model.ignored))
        .count(&[("reason", "bad_name")], count(&model.misnamed));
    page.counter("plimsoll_engine_files_failed_total", "Times that an engine's file could not be written.")
        .count(&[], count(&model.files_failed));
}

fn add_engines(page: &mut Page, state: &State) {
    let (now, stale_after) = (state.clock.now(), state.config.engines.stale_after);
    let engines = state.engines.engines().engines.iter();
    let judge = engines.map(|engine| Judged {
        name: engine.key().clone(),
        state: engine.state(now, stale_after),
        age: engine.last_beat().map(|_| engine.age(now).as_secs_f64()),
        restarts: engine.restarts(),
    });
    let mut engines: Vec<Judged> = judge.collect();
    engines.sort_unstable_by(|one, other| one.name.cmp(&other.name));

    let family = page.gauge("plimsoll_engines", "Engines by state.");
    for state in EngineState::ALL {
        let count = engines.iter().filter(|engine| engine.state == state).count();
        family.size(&[("state", state.as_str())], count);
    }
    let family = page.gauge("plimsoll_engine_up", "1 while the engine beats and does not say that it failed or stopped.");
    for engine in &engines {
        family.flag(&[("engine", engine.name.as_str())], engine.state.is_up());
    }
    let family = page.gauge("plimsoll_engine_stale", "1 while the engine does not beat, though it did not say that it stopped.");
    for engine in &engines {
        family.flag(&[("engine", engine.name.as_str())], engine.state == EngineState::Stale);
    }
    let family = page.gauge("plimsoll_engine_heartbeat_age_seconds", "Time since the engine's last sign of life.");
    for engine in &engines {
        family.known(&[("engine", engine.name.as_str())], engine.age);
    }
    let family = page.counter("plimsoll_engine_restarts_total", "Times that another process was seen under the engine's name.");
    for engine in &engines {
        family.count(&[("engine", engine.name.as_str())], engine.restarts);
    }
}
