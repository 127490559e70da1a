//! The composition root: starts the actors from the bottom up, serves, and stops everything in order.

mod analytics;
mod engines;
mod metrics;
mod risk;
mod risk_controls;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use actix::{Addr, Arbiter, System};
use actix_server::ServerHandle;
use actix_web::web;
use anyhow::Context as _;
use futures_util::future::join_all;
use parking_lot::Mutex;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::timeout;
use tracing_subscriber::EnvFilter;

use crate::actors::admission::Admission;
use crate::actors::artifact_publisher::Publisher;
use crate::actors::artifact_watcher::{self, ArtifactStatus, ArtifactWatcher};
use crate::actors::history::History;
use crate::actors::journal::{Checkpoint, CommitMeasures, Journal, Retention, SharedStatus};
use crate::actors::journal_reader::JournalReaderHandle;
use crate::actors::publisher::EventBusHandle;
use crate::actors::sse_fanout::{CutAll, EndAll, FanoutHandle, SseFanout};
use crate::actors::sse_session::{Hub, Limits};
use crate::actors::supervision::Panics;
use crate::config::Config;
use crate::domain::clock::{Clock, Timestamp};
use crate::domain::id::EventId;
use crate::domain::ring::{Ring, RingLimits};
use crate::http::state::{Integrity, State};
use crate::http::telemetry::engine_logs::Logs;
use crate::http::{metrics as exposition, server};
use crate::storage::sqlite::{self, Opened, Place};
use crate::storage::sqlite_reader::SqliteReader;
use crate::storage::{Durability, EventLog as _, EventReader, StorageError};

/// How the service ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    /// Every step of the shutdown was done in time.
    Clean,
    /// A step took too long, or a second signal came.
    Forced,
}

/// Sets up logs on stderr as `config` says. Later calls change nothing.
pub fn init_logs(config: &Config) {
    // the server's own steps are told by us, and a request that is no HTTP is no error of the service
    let filter = EnvFilter::try_new(format!("actix_server=warn,actix_http=off,{}", config.log.level)).unwrap_or_default();
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    // it only fails when logs are set up already
    let _ = if config.log.json {
        logs.json().flatten_event(true).try_init()
    } else {
        logs.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).try_init()
    };
}

/// Runs the service on this thread until a signal has stopped it; calls `ready` once it listens.
///
/// # Errors
/// It could not start.
pub fn serve(config: Config, ready: impl FnOnce(SocketAddr)) -> anyhow::Result<Stopped> {
    System::new().block_on(async move {
        let mut signals = Signals::listen()?;
        let app = App::start(config)?;
        ready(app.address);
        signals.next().await;
        tracing::info!("stopping; a second signal forces it");
        Ok(tokio::select! {
            stopped = app.stop() => stopped,
            () = signals.next() => Stopped::Forced,
        })
    })
}

/// The signals that end the service.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    /// Writing beyond a file size limit shall be an error of that write, not the end of the process.
    _file_size: Signal,
}

/// `SIGXFSZ`.
const FILE_SIZE: i32 = 25;

impl Signals {
    fn listen() -> anyhow::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            _file_size: signal(SignalKind::from_raw(FILE_SIZE))?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// A running service.
struct App {
    address: SocketAddr,
    state: web::Data<State>,
    server: ServerHandle,
    fanouts: Fanouts,
    journal: Addr<Journal>,
    stop_check: Arc<AtomicBool>,
    files: Addr<ArtifactWatcher>,
    arbiters: Vec<Arbiter>,
}

impl App {
    fn start(config: Config) -> anyhow::Result<Self> {
        let listener = server::listen(config.http.listen).with_context(|| {
            format!("cannot listen on {}; is another service there? try --listen 127.0.0.1:0", config.http.listen)
        })?;
        let address = listener.local_addr()?;
        match rlimit::increase_nofile_limit(u64::MAX) {
            Ok(files) => tracing::debug!(files, "raised the limit of open files"),
            Err(error) => tracing::warn!(%error, "cannot raise the limit of open files"),
        }

        let (clock, panics) = (system_clock(), Panics::default());
        let place = place(&config);
        let Opened { log, set_aside } =
            sqlite::open(&place, config.journal.durability, config.telemetry.dedup_window, clock.now())
                .context("cannot open the journal")?;
        let set_aside = set_aside.and_then(|path| Some(path.file_name()?.to_string_lossy().into_owned()));
        if let Some(file) = &set_aside {
            tracing::error!(file, "the journal was broken; it was set aside untouched, and a new one was started");
        }
        let stats = log.stats();
        let ring = Arc::new(Ring::new(config.telemetry.ring, stats.newest));
        let timeout = config.journal.query_timeout;
        if let Err(error) = fill(&ring, &place, config.telemetry.ring) {
            // older events are damaged; the check of the whole file will tell, and new ones can be taken
            tracing::error!(%error, "the newest events cannot be read from the journal");
        }

        // one thread for both: each waits for the other, so a second one would only have to be woken twice a commit
        let bus_thread = Arbiter::new();
        let status = SharedStatus::default();
        let retention = Retention {
            max_age: config.journal.max_age,
            max_bytes: config.journal.max_bytes,
            interval: config.journal.retention_interval,
        };
        let commits = Arc::<CommitMeasures>::default();
        let journal = Journal::start(
            &bus_thread.handle(),
            Box::new(log),
            retention,
            clock.clone(),
            panics.clone(),
            Arc::clone(&status),
            Arc::clone(&commits),
        );
        let bus = EventBusHandle::start(
            &bus_thread.handle(),
            stats.newest,
            clock.clone(),
            Arc::clone(&ring),
            journal.clone(),
            Admission::new(config.telemetry.queue_bytes / 1024, config.telemetry.admission_timeout),
            panics.clone(),
        );
        let open_reader = {
            let place = place.clone();
            move || SqliteReader::open(&place, timeout).map(|reader| Box::new(reader) as Box<dyn EventReader>)
        };
        let readers = JournalReaderHandle::start(config.journal.readers, timeout, Arc::new(open_reader), panics.clone());
        let history = History::new(ring, readers.clone(), clock.clone(), Arc::clone(&status));
        let engine_threads = (Arbiter::new(), Arbiter::new());
        let engines = engines::watch_engines(&config, &engine_threads, history.clone(), &bus, &clock, &panics);
        let complete_from = risk::complete_from(&status, set_aside.is_some(), clock.now());
        let risk = risk::start(&config, (&place, history.clone()), &bus, (&clock, &panics), complete_from);
        let files_thread = Arbiter::new();
        let artifacts = Arc::<ArtifactStatus>::default();
        // what the registry will not read again has to be published again, or a restart would forget a quiet engine's file
        let rebuild = i64::try_from(config.engines.rebuild.as_micros()).unwrap_or(i64::MAX);
        let remembered = EventId::first_at(Timestamp::from_micros(clock.now().micros().saturating_sub(rebuild)));
        let publisher = Publisher::new(&bus, history.clone(), remembered, config.telemetry.admission_timeout);
        let file_events = publisher.admission().clone();
        let shared = (Arc::clone(&artifacts), Arc::clone(engines.engines()));
        let files = engines::watch_files(&config, &files_thread, publisher, &clock, &panics, shared);
        let benchmarks_thread = Arbiter::new();
        let analytics = analytics::start(&config, &benchmarks_thread, &clock, &panics);
        let ledger_thread = Arbiter::new();
        let followed = (history.clone(), Arc::clone(&status));
        let ledger = analytics::start_ledger(&config, &ledger_thread, followed, &bus, (&clock, &panics));
        let metrics_thread = Arbiter::new();
        let metrics_registry = metrics::start(&config, &metrics_thread, history.clone(), &bus, &clock, &panics);
        let body_memory = Admission::new(config.http.body_memory / 1024, Duration::ZERO);
        let answer_memory = Admission::new(config.http.answer_memory / 1024, Duration::ZERO);
        let started_at = clock.now();
        let state = web::Data::new(State {
            started: Instant::now(),
            clock,
            ready: AtomicBool::new(true),
            closing: Arc::default(),
            bus,
            history,
            readers,
            journal: status,
            integrity: Mutex::new(Integrity::Checking),
            set_aside,
            engines,
            risk: risk.evaluator,
            risk_limits: risk.limits,
            kill_switch: risk.kill_switch,
            artifacts,
            var: analytics.var,
            benchmarks: analytics.benchmarks,
            session: analytics.session,
            ledger,
            metrics_registry,
            sse: Arc::default(),
            logs: Logs::new(&config, panics.clone()),
            panics,
            body_memory,
            answer_memory,
            started_at,
            ingest: Arc::default(),
            commits,
            file_events,
            scrapes: Admission::new(exposition::MAX_SCRAPES, exposition::SCRAPE_WAIT),
            config,
        });
        let stop_check = Arc::<AtomicBool>::default();
        check_integrity(place, state.clone(), Arc::clone(&stop_check));
        actix::spawn(give_memory_back());
        let fanouts = Fanouts::default();
        let server = server::build(listener, state.clone(), {
            let (state, fanouts) = (state.clone(), Arc::clone(&fanouts));
            move || start_fanout(&state, &fanouts)
        })?;
        let handle = server.handle();
        actix::spawn(server);
        tracing::info!(%address, events = stats.events, newest = %stats.newest, "plimsoll is listening");
        Ok(Self {
            address,
            state,
            server: handle,
            fanouts,
            journal,
            files,
            stop_check,
            arbiters: [files_thread, benchmarks_thread, ledger_thread, metrics_thread]
                .into_iter()
                .chain(risk.threads)
                .chain([engine_threads.1, engine_threads.0, bus_thread])
                .collect(),
        })
    }

    /// The shutdown, step by step, each with its own time.
    async fn stop(self) -> Stopped {
        let limit = self.state.config.http.shutdown_timeout;
        let mut forced = false;
        let mut step = |name: &str, in_time: bool| {
            if !in_time {
                tracing::warn!(step = name, "a step of the shutdown took too long and was forced");
            }
            forced |= !in_time;
        };
        self.state.ready.store(false, Ordering::Release);
        self.state.bus.stop_intake();
        self.stop_check.store(true, Ordering::Relaxed);
        self.files.do_send(artifact_watcher::Stop);

        let fanouts = self.fanouts.lock().clone();
        // all of them are told before any of them is waited for; a fan-out that is gone has no clients
        let told: Vec<_> = fanouts.iter().map(|fanout| fanout.send(EndAll)).collect();
        let ended = async {
            for all_gone in join_all(told).await.into_iter().flatten() {
                let _ = all_gone.await;
            }
        };
        if timeout(limit, ended).await.is_err() {
            // clients that take nothing get no farewell; that is their doing, not a failure of ours
            tracing::info!("cutting sse clients that did not take their last bytes");
            fanouts.iter().for_each(|fanout| fanout.do_send(CutAll));
        }
        self.state.closing.give();
        let stopped = timeout(limit, self.server.stop(true)).await.is_ok();
        // whoever still has a request under way loses it with the process
        step("http server", stopped);
        step("engines", timeout(limit, self.state.engines.stop()).await.is_ok());
        step("risk", timeout(limit, self.state.risk.stop()).await.is_ok());
        step("risk limits", timeout(limit, self.state.risk_limits.settle()).await.is_ok());
        step("kill switch", timeout(limit, self.state.kill_switch.settle()).await.is_ok());
        step("event bus", timeout(limit, self.state.bus.drain()).await.is_ok());
        step("ledger", timeout(limit, self.state.ledger.stop()).await.is_ok());
        step("journal", timeout(limit, self.journal.send(Checkpoint)).await.is_ok_and(|sent| sent.is_ok()));
        for arbiter in self.arbiters {
            arbiter.stop();
            let joined = tokio::task::spawn_blocking(move || arbiter.join());
            step("threads", timeout(limit, joined).await.is_ok());
        }
        tracing::info!(forced, "stopped");
        if forced { Stopped::Forced } else { Stopped::Clean }
    }
}

/// The fan-outs of all workers, as they start.
type Fanouts = Arc<Mutex<Vec<Addr<SseFanout>>>>;

/// Starts the fan-out of the HTTP worker whose thread this is.
fn start_fanout(state: &State, fanouts: &Fanouts) -> FanoutHandle {
    let sse = &state.config.sse;
    let limits = Limits {
        heartbeat: sse.heartbeat,
        retry: sse.retry,
        max_clients: sse.max_clients,
        chunk_bytes: sse.chunk_bytes,
        stall_timeout: sse.stall_timeout,
        max_lag_bytes: sse.max_lag_bytes,
        max_lag_age: sse.max_lag_age,
        close_grace: sse.close_grace,
    };
    let hub = Hub::new(Arc::clone(state.history.ring()), limits, Arc::clone(&state.sse), state.panics.clone(), fastrand::u64(..));
    let (handle, address) = SseFanout::start(hub, state.history.clone(), &state.bus, state.clock.clone());
    fanouts.lock().push(address);
    handle
}

/// The machine's clock.
fn system_clock() -> Clock {
    Clock::new(|| Timestamp::from_micros(chrono::Utc::now().timestamp_micros()))
}

fn place(config: &Config) -> Place {
    match config.journal.durability {
        Durability::Memory => Place::Memory(format!("plimsoll-{:016x}", fastrand::u64(..))),
        Durability::Fsync | Durability::Os => Place::File(config.artifacts.join("journal").join("journal.db")),
    }
}

/// Fills the ring with the journal's newest events, so that a restart is not seen by those who resume.
fn fill(ring: &Ring, place: &Place, limits: RingLimits) -> Result<(), StorageError> {
    // one more, whose id is the floor
    let mut events = SqliteReader::open(place, Duration::MAX)?.newest(limits.events + 1, limits.bytes)?;
    if events.is_empty() {
        return Ok(());
    }
    let floor = events.remove(0).id();
    ring.restore(floor, events.into_iter().map(Arc::new).collect());
    Ok(())
}

/// Reminds the allocator of what is free: it hands memory back to the system only when somebody asks for a large piece,
/// and after a burst nobody may. The piece is never written to, so it costs no memory.
async fn give_memory_back() {
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        drop(std::hint::black_box(Vec::<u8>::with_capacity(4 << 20)));
    }
}

/// Reads the whole journal once, beside everything else, until `stop` is set, and notes what it finds.
fn check_integrity(place: Place, state: web::Data<State>, stop: Arc<AtomicBool>) {
    std::thread::spawn(move || {
        let outcome = SqliteReader::open(&place, Duration::MAX).and_then(|mut reader| reader.integrity(stop));
        *state.integrity.lock() = match outcome {
            Ok(()) => Integrity::Sound,
            Err(StorageError::Broken(what)) => {
                tracing::error!(what, "the journal's file is damaged");
                Integrity::Broken(what)
            }
            Err(error) => {
                tracing::warn!(%error, "the journal's file could not be checked");
                Integrity::Unknown
            }
        };
    });
}
