//! `metrics:`: what engines post, and what follows from their events.

use super::reader::Reader;
use crate::domain::metrics::name::Prefix;

/// `metrics:`
#[derive(Debug, Clone)]
pub struct Metrics {
    /// Stands before each name in Prometheus text.
    pub prefix: Prefix,
    /// Most metrics beside the predefined ones.
    pub max_metrics: usize,
    /// Most series of one metric.
    pub max_series: usize,
    /// Bytes of all of them.
    pub memory: usize,
    /// Posts that may wait.
    pub queue: usize,
}

impl Metrics {
    pub(super) fn read(r: &mut Reader) -> Self {
        let default = Prefix::default();
        let prefix = Prefix::parse(&r.text("metrics.prefix", default.as_str())).unwrap_or_else(|expected| {
            r.fault("metrics.prefix", expected);
            default
        });
        Self {
            prefix,
            max_metrics: r.count("metrics.max_metrics", 500, 1..=100_000),
            max_series: r.count("metrics.max_series", 1_000, 1..=1_000_000),
            memory: r.size("metrics.memory", 32 << 20, 64 << 10),
            queue: r.count("metrics.queue", 64, 1..=100_000),
        }
    }
}
