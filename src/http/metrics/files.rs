//! What is read from disk: the files of engines, and the benchmarks.

use std::sync::atomic::{AtomicU64, Ordering};

use super::page::Page;
use crate::http::state::State;

pub(super) fn add(page: &mut Page, state: &State) {
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let artifacts = &state.artifacts;
    page.gauge("plimsoll_artifact_files", "Files of engines that are watched.")
        .size(&[], artifacts.files.load(Ordering::Relaxed));
    page.gauge("plimsoll_artifact_files_limit", "Files of engines that may be watched.").size(&[], state.config.files.max);
    page.gauge("plimsoll_artifact_files_broken", "Files of engines that cannot be read.").size(&[], artifacts.broken.len());
    page.counter("plimsoll_artifact_events_total", "Events published from files of engines.")
        .count(&[], count(&artifacts.published));
    let benchmarks = state.benchmarks.status();
    page.counter("plimsoll_benchmark_points_total", "Points of benchmarks recorded.").count(&[], count(&benchmarks.recorded));
    page.counter("plimsoll_benchmark_posts_failed_total", "Posts of benchmarks that could not be written.")
        .count(&[], count(&benchmarks.failed));
    let broken = benchmarks.faults.lock().broken.len();
    page.gauge("plimsoll_benchmark_files_broken", "Files of benchmarks that cannot be read.").size(&[], broken);
}
