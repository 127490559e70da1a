//! Starting what is computed from files: VaR and its backtest, and the benchmarks.

use actix::Arbiter;

use super::risk::session;
use crate::actors::admission::Admission;
use crate::actors::artifact_folder::Folder;
use crate::actors::benchmark_files;
use crate::actors::benchmark_recorder::{self, BenchmarkRecorderHandle};
use crate::actors::daily_files::DailyFiles;
use crate::actors::supervision::Panics;
use crate::actors::var_calculator::{self, VarCalculatorHandle};
use crate::config::Config;
use crate::domain::clock::Clock;
use crate::domain::risk::daily_file;
use crate::domain::risk::session::Session;

/// Bytes of one answer with benchmarks: more than a year of minutes.
const LARGEST_ANSWER: usize = 32 << 20;

/// What routes ask.
pub(super) struct Analytics {
    /// Computes VaR.
    pub(super) var: VarCalculatorHandle,
    /// Records and reads benchmarks.
    pub(super) benchmarks: BenchmarkRecorderHandle,
    /// The trading day.
    pub(super) session: Session,
}

/// Starts the VaR calculator on threads of its own, and the benchmark recorder on `thread`, which may wait for the disk.
pub(super) fn start(config: &Config, thread: &Arbiter, clock: &Clock, panics: &Panics) -> Analytics {
    let session = session(config);
    let daily = Folder::new(config.artifacts.join("analytics").join("daily"), daily_file::MAX_BYTES);
    let daily = DailyFiles::new(daily, config.risk.cumulative_daily_metrics, clock.clone());
    let settings =
        var_calculator::Settings { threads: config.risk.var_threads, queue: config.risk.var_queue, cache: config.risk.var_cache };
    let var = VarCalculatorHandle::start(settings, daily, panics.clone());
    let settings = benchmark_recorder::Settings {
        folder: config.artifacts.join("benchmarks"),
        max_file_bytes: config.benchmarks.max_file_bytes as u64,
        limits: benchmark_files::Limits { files: config.files.max, memory: config.benchmarks.memory, answer: LARGEST_ANSWER },
        poll_interval: config.files.poll_interval,
        queue: Admission::new(config.benchmarks.queue, config.telemetry.admission_timeout),
        session,
    };
    let benchmarks = BenchmarkRecorderHandle::start(&thread.handle(), settings, clock.clone(), panics.clone());
    Analytics { var, benchmarks, session }
}
