//! How an engine is judged, and what is published about it.

use std::time::Duration;

use serde::Serialize;

use crate::domain::event::Severity;

/// By what engines are judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// A beat older than this is not fresh.
    pub stale_after: Duration,
    /// A symbol without news for longer than this is stale.
    pub symbol_silence: Duration,
}

/// What Plimsoll judges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Beats, and says that it is starting.
    Starting,
    /// Beats, and says that it is running.
    Running,
    /// Beats, and says that it is degraded.
    Degraded,
    /// Does not beat, though it should.
    Stale,
    /// Said that it stopped.
    Stopped,
    /// Said that it failed.
    Error,
}

/// What is to be announced, because the last announcement is no longer true.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The engine went silent.
    Stale,
    /// It is back.
    Recovered,
}

/// An event for Plimsoll to publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Its type.
    pub event_type: &'static str,
    /// How much it matters.
    pub severity: Severity,
    /// Its payload.
    pub payload: String,
    /// By which it is known when it is published twice.
    pub event_id: Option<String>,
}
