//! Starting what is computed from files, VaR and its backtest and the benchmarks, and the ledger of trades.

use std::sync::Arc;

use actix::Arbiter;

use super::risk::session;
use crate::actors::admission::Admission;
use crate::actors::artifact_folder::Folder;
use crate::actors::benchmark_files;
use crate::actors::benchmark_recorder::{self, BenchmarkRecorderHandle};
use crate::actors::daily_files::DailyFiles;
use crate::actors::history::History;
use crate::actors::journal::SharedStatus;
use crate::actors::ledger_handle::{LedgerHandle, Readers};
use crate::actors::publisher::EventBusHandle;
use crate::actors::supervision::Panics;
use crate::actors::trade_ledger::{self, OpenLedger};
use crate::actors::var_calculator::{self, VarCalculatorHandle};
use crate::config::Config;
use crate::domain::clock::Clock;
use crate::domain::risk::daily_file;
use crate::domain::risk::session::Session;
use crate::storage::ledger::sqlite::{self, Opened};
use crate::storage::ledger::sqlite_reader::SqliteLedgerReader;
use crate::storage::ledger::{LedgerReader, LedgerWriter};
use crate::storage::sqlite::Place;
use crate::storage::{Durability, StorageError};

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

/// Starts the ledger on `thread`, which it may block, unless the configuration turns it off.
pub(super) fn start_ledger(
    config: &Config,
    thread: &Arbiter,
    (history, journal): (History, SharedStatus),
    bus: &EventBusHandle,
    (clock, panics): (&Clock, &Panics),
) -> LedgerHandle {
    let settings = &config.analytics;
    if !settings.enabled {
        return LedgerHandle::disabled();
    }
    let session = session(config);
    let place = match config.journal.durability {
        Durability::Memory => Place::Memory(format!("plimsoll-ledger-{:016x}", fastrand::u64(..))),
        Durability::Fsync | Durability::Os => Place::File(config.artifacts.join("ledger").join("ledger.db")),
    };
    let open: Box<OpenLedger> = {
        let (place, clock) = (place.clone(), clock.clone());
        Box::new(move || {
            let Opened { ledger, set_aside } = sqlite::open(&place, session, clock.now())?;
            let set_aside = set_aside.and_then(|path| Some(path.file_name()?.to_string_lossy().into_owned()));
            Ok((Box::new(ledger) as Box<dyn LedgerWriter>, set_aside))
        })
    };
    let around = trade_ledger::Surroundings {
        open,
        session,
        batch_size: settings.batch_size,
        flush_interval: settings.flush_interval,
        bus: bus.clone(),
        journal,
        panics: panics.clone(),
    };
    let timeout = settings.query_timeout;
    let open = move || -> Result<Box<dyn LedgerReader>, StorageError> {
        SqliteLedgerReader::open(&place, timeout).map(|reader| Box::new(reader) as Box<dyn LedgerReader>)
    };
    let readers = Readers { threads: settings.readers, queue: settings.queue, open: Arc::new(open) };
    LedgerHandle::start(&thread.handle(), history, around, readers)
}
