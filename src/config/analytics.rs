//! `analytics:`

use std::time::Duration;

use super::reader::Reader;

/// From one slice to as many as are kept.
const LATENCY_WINDOW: std::ops::RangeInclusive<Duration> = Duration::from_secs(300)..=Duration::from_secs(86_400);

/// `analytics:`: the ledger of trades, and what is answered from it.
#[derive(Debug, Clone)]
pub struct Analytics {
    /// Whether there is a ledger.
    pub enabled: bool,
    /// So many entries are written at once.
    pub batch_size: usize,
    /// Entries do not wait longer for others.
    pub flush_interval: Duration,
    /// Threads that answer questions.
    pub readers: usize,
    /// Questions that may wait for them.
    pub queue: usize,
    /// Longest question.
    pub query_timeout: Duration,
    /// The latencies of so long are told when nothing else is asked for.
    pub latency_window: Duration,
}

impl Analytics {
    pub(super) fn read(r: &mut Reader) -> Self {
        let latency_window = r.duration("analytics.latency_window", Duration::from_secs(3_600));
        if !LATENCY_WINDOW.contains(&latency_window) {
            r.fault("analytics.latency_window", "must be from 5m to 24h");
        }
        Self {
            enabled: r.flag("analytics.enabled", true),
            batch_size: r.count("analytics.batch_size", 500, 1..=100_000),
            flush_interval: r.duration("analytics.flush_interval", Duration::from_secs(1)),
            readers: r.count("analytics.readers", 2, 1..=64),
            queue: r.count("analytics.queue", 64, 1..=100_000),
            query_timeout: r.duration("analytics.query_timeout", Duration::from_secs(5)),
            latency_window,
        }
    }
}
