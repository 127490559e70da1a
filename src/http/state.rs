//! What every route may use: handles of actors, read models and the configuration.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::actors::admission::Admission;
use crate::actors::artifact_watcher::ArtifactStatus;
use crate::actors::benchmark_recorder::BenchmarkRecorderHandle;
use crate::actors::engine_reader::EngineRegistryHandle;
use crate::actors::history::History;
use crate::actors::journal::{self, CommitMeasures};
use crate::actors::journal_reader::JournalReaderHandle;
use crate::actors::kill_switch::KillSwitchHandle;
use crate::actors::ledger_handle::LedgerHandle;
use crate::actors::metrics_registry::MetricsRegistryHandle;
use crate::actors::publisher::EventBusHandle;
use crate::actors::risk_handle::RiskHandle;
use crate::actors::risk_limits::RiskLimitsHandle;
use crate::actors::sse_session::SseCounters;
use crate::actors::supervision::Panics;
use crate::actors::var_calculator::VarCalculatorHandle;
use crate::config::Config;
use crate::domain::clock::{Clock, Timestamp};
use crate::domain::risk::session::Session;
use crate::http::telemetry::engine_logs::Logs;
use crate::http::telemetry::ingest_measures::IngestMeasures;

/// Shared by all workers.
#[derive(Debug)]
pub struct State {
    /// The configuration.
    pub config: Config,
    /// The time.
    pub clock: Clock,
    /// When the service started.
    pub started: Instant,
    /// Whether it takes new work.
    pub ready: AtomicBool,
    /// Set when idle connections are to be closed.
    pub closing: Arc<Closing>,
    /// Publishes.
    pub bus: EventBusHandle,
    /// Ring and journal.
    pub history: History,
    /// Queries of the journal alone.
    pub readers: JournalReaderHandle,
    /// The journal's status.
    pub journal: journal::SharedStatus,
    /// What the check of the whole journal found.
    pub integrity: Mutex<Integrity>,
    /// Name of a broken journal that was set aside at the start.
    pub set_aside: Option<String>,
    /// The engines.
    pub engines: EngineRegistryHandle,
    /// Risk.
    pub risk: RiskHandle,
    /// The files of engines.
    pub artifacts: Arc<ArtifactStatus>,
    /// Computes VaR.
    pub var: VarCalculatorHandle,
    /// Records and reads benchmarks.
    pub benchmarks: BenchmarkRecorderHandle,
    /// What engines post, and what follows from their events.
    pub metrics_registry: MetricsRegistryHandle,
    /// The trading day.
    pub session: Session,
    /// The ledger of trades.
    pub ledger: LedgerHandle,
    /// The limits.
    pub risk_limits: RiskLimitsHandle,
    /// The kill switch.
    pub kill_switch: KillSwitchHandle,
    /// The streams' counts.
    pub sse: Arc<SseCounters>,
    /// Contained panics.
    pub panics: Panics,
    /// The logs of the engines.
    pub logs: Logs,
    /// Memory for request bodies, in KiB.
    pub body_memory: Admission,
    /// Memory for answers, in KiB.
    pub answer_memory: Admission,
    /// When the service started, by the clock.
    pub started_at: Timestamp,
    /// How posts of events go.
    pub ingest: Arc<IngestMeasures>,
    /// How commits go.
    pub commits: Arc<CommitMeasures>,
    /// The queue of what the files of engines tell, in KiB.
    pub file_events: Admission,
    /// Pages of metrics that are made at once.
    pub scrapes: Admission,
}

/// The signal that requests which wait shall be answered, and idle connections shall close.
#[derive(Debug, Default)]
pub struct Closing {
    given: AtomicBool,
    news: Notify,
}

impl Closing {
    /// Gives the signal, once and for all.
    pub fn give(&self) {
        self.given.store(true, Ordering::SeqCst);
        self.news.notify_waiters();
    }

    /// Waits for it.
    pub async fn given(self: Arc<Self>) {
        // from here on the waiter hears of it, so looking afterwards misses nothing
        let news = self.news.notified();
        if !self.given.load(Ordering::SeqCst) {
            news.await;
        }
    }
}

/// How far the check of the journal's file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Integrity {
    /// Not done yet.
    Checking,
    /// Nothing is broken.
    Sound,
    /// This is broken.
    Broken(String),
    /// It could not be checked.
    Unknown,
}

impl State {
    /// Whether the service can take events.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        let journal_gone = self.bus.counters().journal_gone.load(Ordering::Acquire);
        self.ready.load(Ordering::Acquire) && !journal_gone && self.journal.read().failure.is_none()
    }
}
