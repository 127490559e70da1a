//! `files:`, `session:` and `benchmarks:`.

use std::time::Duration;

use chrono::NaiveTime;
use chrono_tz::Tz;

use super::reader::Reader;

/// `files:`: what engines leave on disk.
#[derive(Debug, Clone)]
pub struct Files {
    /// How often the folders are looked through, whatever the system tells of changes.
    pub poll_interval: Duration,
    /// Most files looked at in a folder.
    pub max: usize,
}

/// `session:`: the trading day.
#[derive(Debug, Clone)]
pub struct Session {
    /// Of local times that are written without an offset, and of the trading day.
    pub timezone: Tz,
    /// The local time at which a trading day begins.
    pub roll_time: NaiveTime,
}

/// `benchmarks:`: market indices.
#[derive(Debug, Clone)]
pub struct Benchmarks {
    /// Requests that may wait for the disk.
    pub queue: usize,
    /// The largest file that is read or written, in bytes.
    pub max_file_bytes: usize,
    /// Bytes of points that are kept in memory.
    pub memory: usize,
}

impl Files {
    pub(super) fn read(r: &mut Reader) -> Self {
        Self {
            poll_interval: r.duration("files.poll_interval", Duration::from_secs(2)),
            max: r.count("files.max", 10_000, 1..=1_000_000),
        }
    }
}

impl Session {
    pub(super) fn read(r: &mut Reader) -> Self {
        let expected = "must be a time of day such as \"00:00\" or \"17:30\", in quotes";
        let roll_time = r.text("session.roll_time", "00:00");
        let roll_time = NaiveTime::parse_from_str(&roll_time, "%H:%M").unwrap_or_else(|_| {
            r.fault("session.roll_time", expected);
            NaiveTime::MIN
        });
        Self {
            timezone: r.parsed("session.timezone", Tz::Asia__Kolkata, "must be the name of a time zone such as Asia/Kolkata"),
            roll_time,
        }
    }
}

impl Benchmarks {
    pub(super) fn read(r: &mut Reader) -> Self {
        Self {
            queue: r.count("benchmarks.queue", 64, 1..=100_000),
            max_file_bytes: r.size("benchmarks.max_file_bytes", 16 << 20, 4 << 10),
            memory: r.size("benchmarks.memory", 32 << 20, 4 << 10),
        }
    }
}
