//! How an engine is judged, and what is published about it.

use std::time::Duration;

use serde::Serialize;

use super::Engine;
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = EngineState)]
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

impl State {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Starting, Self::Running, Self::Degraded, Self::Stale, Self::Stopped, Self::Error];

    /// Its word in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Degraded => "degraded",
            Self::Stale => "stale",
            Self::Stopped => "stopped",
            Self::Error => "error",
        }
    }

    /// Whether the engine works: it beats, and does not say that it failed.
    #[must_use]
    pub fn is_up(self) -> bool {
        matches!(self, Self::Starting | Self::Running | Self::Degraded)
    }
}

impl Engine {
    /// How often another process was seen under its name.
    #[must_use]
    pub fn restarts(&self) -> u64 {
        self.restarts
    }
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
