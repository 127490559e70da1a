//! Configuration: defaults, a YAML file, the environment and flags, in that order of strength, into one valid [`Config`].
//!
//! Every fault is reported at once, each with its path in the YAML.

mod analytics;
mod engines;
mod files;
mod logs;
mod metrics;
mod reader;
mod risk;
mod sections;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use analytics::Analytics;
pub use engines::{EngineConfig, Engines};
pub use files::{Benchmarks, Files, Session};
pub use logs::Logs;
pub use metrics::Metrics;
use reader::Reader;
pub use risk::Risk;

use crate::domain::envelope::Rules;
use crate::domain::ring::RingLimits;
use crate::storage::Durability;

/// Where the configuration is looked for when nothing else is said.
pub const DEFAULT_PATH: &str = "configs/dev.yaml";

/// What the command line says.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    /// `--config`: a file that must be there.
    pub config: Option<PathBuf>,
    /// `--listen`.
    pub listen: Option<String>,
    /// `--artifacts`.
    pub artifacts: Option<PathBuf>,
}

/// A valid configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// Folder of all data on disk.
    pub artifacts: PathBuf,
    /// The engines.
    pub engines: Engines,
    /// The files of engines.
    pub files: Files,
    /// The logs of engines.
    pub logs: Logs,
    /// The trading day.
    pub session: Session,
    /// Risk.
    pub risk: Risk,
    /// Market indices.
    pub benchmarks: Benchmarks,
    /// Trade analytics.
    pub analytics: Analytics,
    /// The metrics registry.
    pub metrics: Metrics,
    /// The HTTP server.
    pub http: Http,
    /// The service's own log.
    pub log: Log,
    /// What is accepted, and how much of it is kept at hand.
    pub telemetry: Telemetry,
    /// The journal.
    pub journal: Journal,
    /// The SSE streams.
    pub sse: Sse,
}

/// `http:`
#[derive(Debug, Clone)]
pub struct Http {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Host names, besides `localhost` and IP addresses, that a request may name.
    pub allowed_hosts: Vec<String>,
    /// Origins whose pages may use the service.
    pub cors_origins: Vec<String>,
    /// Worker threads.
    pub workers: usize,
    /// Connections per worker.
    pub max_connections: usize,
    /// How long an idle connection is kept.
    pub keep_alive: Duration,
    /// Time for a request's head.
    pub header_timeout: Duration,
    /// Time for a request's body; for NDJSON the longest pause in it.
    pub body_timeout: Duration,
    /// Bytes of all request bodies that are being buffered.
    pub body_memory: usize,
    /// A client that takes nothing of its answer for so long is cut.
    pub write_timeout: Duration,
    /// Bytes of all answers that are being sent.
    pub answer_memory: usize,
    /// Time for each step of a shutdown.
    pub shutdown_timeout: Duration,
}

/// `log:`
#[derive(Debug, Clone)]
pub struct Log {
    /// A level, or directives such as `info,plimsoll=debug`.
    pub level: String,
    /// One JSON object a line.
    pub json: bool,
}

/// `telemetry:`
#[derive(Debug, Clone)]
pub struct Telemetry {
    /// The ring of recent events.
    pub ring: RingLimits,
    /// What an event may be.
    pub rules: Rules,
    /// Largest body of one event or an array.
    pub max_body_bytes: usize,
    /// Largest NDJSON body; it is streamed.
    pub max_ndjson_bytes: u64,
    /// Most events of an array.
    pub max_batch_events: usize,
    /// How long a sender's `event_id` is remembered.
    pub dedup_window: Duration,
    /// Bytes of accepted events that wait for their commit.
    pub queue_bytes: usize,
    /// How long a post waits for room in that queue.
    pub admission_timeout: Duration,
}

/// `journal:`
#[derive(Debug, Clone)]
pub struct Journal {
    /// What an acknowledgement promises.
    pub durability: Durability,
    /// Older events are deleted.
    pub max_age: Duration,
    /// The oldest events are deleted when the journal grows beyond.
    pub max_bytes: u64,
    /// How often that is looked after.
    pub retention_interval: Duration,
    /// Threads that read.
    pub readers: usize,
    /// Longest query.
    pub query_timeout: Duration,
}

/// `sse:`
#[derive(Debug, Clone)]
pub struct Sse {
    /// A quiet stream shows this often that it lives.
    pub heartbeat: Duration,
    /// Shortest and longest time after which a client is told to reconnect.
    pub retry: (Duration, Duration),
    /// Most clients.
    pub max_clients: usize,
    /// Bytes that a client is handed at once.
    pub chunk_bytes: usize,
    /// Bytes that the kernel buffers for a client.
    pub send_buffer: usize,
    /// A client whose socket takes nothing for so long is cut.
    pub stall_timeout: Duration,
    /// A live client further behind than this is closed.
    pub max_lag_bytes: u64,
    /// A live client that has not caught up for so long is closed.
    pub max_lag_age: Duration,
    /// Time for a closed client to take its last bytes.
    pub close_grace: Duration,
}

/// Everything that is wrong with a configuration.
#[derive(Debug, thiserror::Error)]
#[error("the configuration is not valid:\n{}", .0.join("\n"))]
pub struct ConfigError(pub Vec<String>);

impl Config {
    /// Reads and validates; `env` is the process's environment or a part of it.
    ///
    /// # Errors
    /// All faults.
    ///
    /// ```
    /// use plimsoll::config::{Config, Flags};
    /// let env = [("PLIMSOLL_TELEMETRY__RING_EVENTS".to_owned(), "100".to_owned())];
    /// let config = Config::load(&Flags::default(), env).expect("valid");
    /// assert_eq!(config.telemetry.ring.events, 100);
    /// ```
    pub fn load(flags: &Flags, env: impl IntoIterator<Item = (String, String)>) -> Result<Self, ConfigError> {
        let text = match &flags.config {
            Some(path) => Some(std::fs::read_to_string(path).map_err(|error| (path.clone(), error))),
            // the default file may be missing: the defaults are the same
            None => std::fs::read_to_string(DEFAULT_PATH).ok().map(Ok),
        };
        let text = text
            .transpose()
            .map_err(|(path, error)| ConfigError(vec![format!("{}: cannot be read: {error}", path.display())]))?;
        let mut overrides: Vec<(String, String)> = env
            .into_iter()
            .filter_map(|(key, value)| {
                let path = key.strip_prefix("PLIMSOLL_")?.to_ascii_lowercase().replace("__", ".");
                // other names without a section are for the client commands, such as PLIMSOLL_URL
                (path.contains('.') || path == "artifacts").then_some((path, value))
            })
            .collect();
        overrides.extend(flags.listen.clone().map(|listen| ("http.listen".to_owned(), listen)));
        let mut config = Self::parse(text.as_deref().unwrap_or_default(), &overrides, flags.artifacts.clone())?;
        config.risk.beside(flags.config.as_deref().unwrap_or(Path::new(DEFAULT_PATH)));
        Ok(config)
    }

    fn parse(yaml: &str, overrides: &[(String, String)], artifacts: Option<PathBuf>) -> Result<Self, ConfigError> {
        let mut r = Reader::new(yaml, overrides);
        let artifacts_in_file = r.text("artifacts", "artifacts");
        let config = Self {
            artifacts: artifacts.unwrap_or_else(|| artifacts_in_file.into()),
            engines: Engines::read(&mut r),
            files: Files::read(&mut r),
            logs: Logs::read(&mut r),
            session: Session::read(&mut r),
            risk: Risk::read(&mut r),
            benchmarks: Benchmarks::read(&mut r),
            analytics: Analytics::read(&mut r),
            metrics: Metrics::read(&mut r),
            http: Http::read(&mut r),
            log: Log::read(&mut r),
            telemetry: Telemetry::read(&mut r),
            journal: Journal::read(&mut r),
            sse: Sse::read(&mut r),
        };
        config.check(&mut r);
        r.finish().map_err(ConfigError)?;
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(yaml: &str, overrides: &[(&str, &str)]) -> Result<Config, Vec<String>> {
        let overrides: Vec<_> = overrides.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Config::parse(yaml, &overrides, None).map_err(|error| error.0)
    }

    #[test]
    fn all_faults_are_told_at_once_with_their_paths() {
        let yaml = "http: {listen: nowhere, color: red}\nsse: {heartbeat: soon, retry_min: 9s}\ntelemetry: 7\nwhat: {}\n\
                    journal: {durability: maybe, readers: 0}";
        let faults = parse(yaml, &[("log.level", "[")]).expect_err("refused");
        let paths = [
            "http.listen",
            "http.color",
            "sse.heartbeat",
            "sse.retry_min",
            "telemetry",
            "what",
            "journal.durability",
            "journal.readers",
            "log.level",
        ];
        for path in paths {
            assert!(faults.iter().any(|fault| fault.starts_with(&format!("{path}:"))), "{path} in {faults:#?}");
        }
        assert_eq!(faults.len(), paths.len(), "{faults:#?}");
    }

    #[test]
    fn the_environment_wins_over_the_file_and_flags_win_over_both() {
        let config = parse("http: {listen: '127.0.0.1:1'}", &[("http.listen", "127.0.0.1:2"), ("http.listen", "127.0.0.1:3")]);
        assert_eq!(config.expect("valid").http.listen.port(), 3);
    }

    #[test]
    fn a_public_address_is_refused_unless_it_is_meant() {
        for public in ["0.0.0.0:8765", "[::]:8765", "192.0.2.1:80"] {
            let faults = parse("", &[("http.listen", public)]).expect_err("refused");
            assert!(faults[0].contains("http.allow_public"), "{faults:?}");
            assert!(parse("http: {allow_public: true}", &[("http.listen", public)]).is_ok());
        }
        assert!(parse("", &[("http.listen", "[::1]:8765")]).is_ok());
    }

    #[test]
    fn durations_and_sizes_have_units() {
        let config = parse("sse: {heartbeat: 1500ms, send_buffer: 8KiB}\njournal: {max_age: 2d, max_bytes: 1GiB}", &[]);
        let config = config.expect("valid");
        assert_eq!(config.sse.heartbeat, Duration::from_millis(1500));
        assert_eq!((config.sse.send_buffer, config.journal.max_bytes), (8192, 1 << 30));
        assert_eq!(config.journal.max_age, Duration::from_secs(172_800));
    }

    #[test]
    fn the_file_we_ship_is_complete_and_says_the_defaults() {
        let shipped = include_str!("../../configs/dev.yaml");
        let config = parse(shipped, &[]).expect("valid");
        let defaults = parse("", &[]).expect("valid");
        assert_eq!(format!("{config:?}"), format!("{defaults:?}"));
        for key in reader::keys_of(|r| {
            r.text("artifacts", "");
            Engines::read(r);
            Files::read(r);
            Logs::read(r);
            Session::read(r);
            Risk::read(r);
            Benchmarks::read(r);
            Analytics::read(r);
            Metrics::read(r);
            Http::read(r);
            Log::read(r);
            Telemetry::read(r);
            Journal::read(r);
            Sse::read(r);
        }) {
            let is_there = reader::paths_in(shipped).iter().any(|path| *path == key || path.starts_with(&format!("{key}.")));
            assert!(is_there, "{key} is not in configs/dev.yaml");
        }
    }
}
