//! The sections of the configuration: each key with its default and its bounds.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tracing_subscriber::filter::LevelFilter;

use super::reader::Reader;
use super::{Config, Http, Journal, Log, Sse, Telemetry};
use crate::domain::envelope::Rules;
use crate::domain::ring::RingLimits;
use crate::storage::Durability;

/// What one answer may take: see `actors::history`.
const LARGEST_ANSWER: usize = 32 << 20;

impl Config {
    /// What must hold between values.
    pub(super) fn check(&self, r: &mut Reader) {
        let Self { http, telemetry, sse, logs, .. } = self;
        let mut at_least = |path: &str, value: usize, other: &str, least: usize| {
            if value < least {
                r.fault(path, format!("must not be less than {other} ({least} bytes)"));
            }
        };
        at_least(
            "telemetry.max_body_bytes",
            telemetry.max_body_bytes,
            "telemetry.max_event_bytes",
            telemetry.rules.max_event_bytes,
        );
        at_least("telemetry.queue_bytes", telemetry.queue_bytes, "telemetry.max_body_bytes", telemetry.max_body_bytes);
        at_least("http.body_memory", http.body_memory, "telemetry.max_body_bytes", telemetry.max_body_bytes);
        at_least("http.answer_memory", http.answer_memory, "the largest answer", LARGEST_ANSWER);
        // in JSON a byte may take six
        at_least("http.answer_memory", http.answer_memory, "six times logs.answer_bytes", logs.limits.answer.saturating_mul(6));
        at_least("logs.answer_bytes", logs.limits.answer, "logs.record_bytes", logs.limits.record);
        if sse.retry.0 > sse.retry.1 {
            r.fault("sse.retry_min", "must not be longer than sse.retry_max");
        }
    }
}

impl Http {
    pub(super) fn read(r: &mut Reader) -> Self {
        let allow_public = r.flag("http.allow_public", false);
        let default = SocketAddr::new(IpAddr::from([127, 0, 0, 1]), 8765);
        let listen = r.parsed("http.listen", default, "must be an address and port such as 127.0.0.1:8765");
        if !listen.ip().is_loopback() && !allow_public {
            r.fault(
                "http.listen",
                format!(
                    "{listen} can be reached from other machines, and nobody is asked who they are; \
                     listen on 127.0.0.1, or set http.allow_public: true if you mean it"
                ),
            );
        }
        let workers = r.count("http.workers", 0, 0..=1024);
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        Self {
            listen,
            allowed_hosts: r.texts("http.allowed_hosts"),
            cors_origins: cors_origins(r),
            workers: if workers == 0 { cores } else { workers },
            max_connections: r.count("http.max_connections", 25_000, 1..=10_000_000),
            keep_alive: r.duration("http.keep_alive", Duration::from_secs(75)),
            header_timeout: r.duration("http.header_timeout", Duration::from_secs(5)),
            body_timeout: r.duration("http.body_timeout", Duration::from_secs(30)),
            body_memory: r.size("http.body_memory", 256 << 20, 1 << 20),
            write_timeout: r.duration("http.write_timeout", Duration::from_secs(30)),
            answer_memory: r.size("http.answer_memory", 256 << 20, 1 << 20),
            shutdown_timeout: r.duration("http.shutdown_timeout", Duration::from_secs(5)),
        }
    }
}

fn cors_origins(r: &mut Reader) -> Vec<String> {
    let mut origins = r.texts_or("http.cors_origins", &["http://localhost:3000", "http://localhost:3001"]);
    origins.retain(|origin| !origin.is_empty());
    origins.iter_mut().for_each(|origin| *origin = origin.trim_end_matches('/').to_ascii_lowercase());
    for origin in origins.iter().filter(|origin| !is_origin(origin)) {
        // any page could change the limits, since nobody is asked who they are
        let each = "name each origin as scheme://host or scheme://host:port; `*` is not taken";
        r.fault("http.cors_origins", format!("{origin:?} is not an origin; {each}"));
    }
    origins
}

fn is_origin(text: &str) -> bool {
    let Some((scheme, host)) = text.split_once("://") else { return false };
    let is_word = |b: u8| b.is_ascii_alphanumeric() || b"-._~:[]".contains(&b);
    !scheme.is_empty()
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
        && !host.is_empty()
        && host.bytes().all(is_word)
}

impl Log {
    pub(super) fn read(r: &mut Reader) -> Self {
        let level = r.text("log.level", "info");
        let known = |level: &str| level.parse::<LevelFilter>().is_ok();
        if !level.split(',').all(|directive| known(directive.rsplit('=').next().unwrap_or_default())) {
            r.fault("log.level", "must be error, warn, info, debug, trace, or directives such as info,plimsoll=debug");
        }
        Self { level, json: r.one_of("log.format", &["human", "json"]) == "json" }
    }
}

impl Telemetry {
    pub(super) fn read(r: &mut Reader) -> Self {
        let max_event_bytes = r.size("telemetry.max_event_bytes", 256 << 10, 64);
        let max_body_bytes = r.size("telemetry.max_body_bytes", 16 << 20, 64);
        let queue_bytes = r.size("telemetry.queue_bytes", 64 << 20, 1 << 20);
        Self {
            ring: RingLimits {
                events: r.count("telemetry.ring_events", 5_000, 1..=10_000_000),
                bytes: r.size("telemetry.ring_bytes", 64 << 20, 1 << 10),
            },
            rules: Rules {
                max_event_bytes,
                max_depth: r.count("telemetry.max_depth", 64, 1..=120),
                accept_unknown_types: r.one_of("telemetry.unknown_types", &["accept", "reject"]) == "accept",
            },
            max_body_bytes,
            max_ndjson_bytes: r.size("telemetry.max_ndjson_bytes", 1 << 30, 64) as u64,
            max_batch_events: r.count("telemetry.max_batch_events", 10_000, 1..=1_000_000),
            dedup_window: r.duration("telemetry.dedup_window", Duration::from_secs(86_400)),
            queue_bytes,
            admission_timeout: r.duration("telemetry.admission_timeout", Duration::from_millis(250)),
        }
    }
}

impl Journal {
    pub(super) fn read(r: &mut Reader) -> Self {
        Self {
            durability: match r.one_of("journal.durability", &["fsync", "os", "memory"]) {
                "os" => Durability::Os,
                "memory" => Durability::Memory,
                _ => Durability::Fsync,
            },
            max_age: r.duration("journal.max_age", Duration::from_secs(30 * 86_400)),
            max_bytes: r.size("journal.max_bytes", 8 << 30, 1 << 16) as u64,
            retention_interval: r.duration("journal.retention_interval", Duration::from_secs(60)),
            readers: r.count("journal.readers", 2, 1..=64),
            query_timeout: r.duration("journal.query_timeout", Duration::from_secs(5)),
        }
    }
}

impl Sse {
    pub(super) fn read(r: &mut Reader) -> Self {
        let retry_min = r.duration("sse.retry_min", Duration::from_secs(1));
        let retry_max = r.duration("sse.retry_max", Duration::from_secs(5));
        Self {
            heartbeat: r.duration("sse.heartbeat", Duration::from_secs(15)),
            retry: (retry_min, retry_max),
            max_clients: r.count("sse.max_clients", 50_000, 1..=10_000_000),
            chunk_bytes: r.size("sse.chunk_bytes", 128 << 10, 1 << 10),
            send_buffer: r.size("sse.send_buffer", 64 << 10, 4 << 10),
            stall_timeout: r.duration("sse.stall_timeout", Duration::from_secs(30)),
            max_lag_bytes: r.size("sse.max_lag_bytes", 64 << 20, 1 << 10) as u64,
            max_lag_age: r.duration("sse.max_lag_age", Duration::from_secs(60)),
            close_grace: r.duration("sse.close_grace", Duration::from_secs(1)),
        }
    }
}
