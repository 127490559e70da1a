//! `files:` and `session:`.

use std::time::Duration;

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
    /// Of local times that are written without an offset.
    pub timezone: Tz,
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
        Self { timezone: r.parsed("session.timezone", Tz::Asia__Kolkata, "must be the name of a time zone such as Asia/Kolkata") }
    }
}
