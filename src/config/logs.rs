//! `logs:`

use std::time::Duration;

use super::reader::Reader;
use crate::storage::log_tail::TailLimits;

/// `logs:`: how the logs of engines are read.
#[derive(Debug, Clone)]
pub struct Logs {
    /// Logs that are read at once.
    pub reads: usize,
    /// How long a reader waits for its turn.
    pub read_wait: Duration,
    /// Most followers.
    pub max_followers: usize,
    /// How long a rotated file is looked at after its last line.
    pub linger: Duration,
    /// The work of one question.
    pub limits: TailLimits,
}

impl Logs {
    pub(super) fn read(r: &mut Reader) -> Self {
        Self {
            reads: r.count("logs.reads", 4, 1..=256),
            read_wait: r.duration("logs.read_wait", Duration::from_secs(5)),
            max_followers: r.count("logs.max_followers", 64, 1..=10_000),
            linger: r.duration("logs.linger", Duration::from_secs(60)),
            limits: TailLimits {
                scan: r.size("logs.scan_bytes", 64 << 20, 64 << 10) as u64,
                answer: r.size("logs.answer_bytes", 8 << 20, 64 << 10),
                record: r.size("logs.record_bytes", 64 << 10, 1 << 10),
            },
        }
    }
}
