//! The words in which engines speak of themselves: names, statuses, kinds and times.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;

use chrono_tz::Tz;
use compact_str::CompactString;
use serde::{Serialize, Serializer};
use utoipa::ToSchema;

use crate::domain::clock::Timestamp;

pub use crate::domain::envelope::OWN_SOURCE as PLIMSOLL;

/// The name of an engine: 1 to 64 of `[A-Za-z0-9_-]`, so it is safe in a path and in a file name.
///
/// ```
/// use plimsoll::domain::engine::EngineName;
/// assert_eq!(EngineName::parse("fno").expect("a name").as_str(), "fno");
/// assert!(EngineName::parse("../etc").is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EngineName(CompactString);

impl EngineName {
    /// Reads a name.
    ///
    /// # Errors
    /// Says what a name must look like.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
        if !(1..=64).contains(&text.len()) || !text.bytes().all(fits) {
            return Err("must be 1 to 64 of A-Z, a-z, 0-9, _ and -");
        }
        if text == PLIMSOLL {
            return Err("must not be plimsoll, the source of the service's own events");
        }
        Ok(Self(text.into()))
    }

    /// The name of an engine that has not told it.
    pub(super) fn unknown() -> Self {
        Self(CompactString::default())
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for EngineName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EngineName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What an engine last said of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = EngineStatus)]
pub enum Status {
    /// Not at work yet.
    Starting,
    /// At work.
    Running,
    /// At work, but not as it should be.
    Degraded,
    /// Ended on purpose.
    Stopped,
    /// Failed.
    Error,
}

impl Status {
    /// The word of the contract.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Degraded => "degraded",
            Self::Stopped => "stopped",
            Self::Error => "error",
        }
    }

    /// The status that the free text of an `engine_health` or `mde_status` event means; engines in the field say
    /// `active` or `healthy` too. A word that nobody knows is no sign of health: it counts as degraded.
    #[must_use]
    pub fn of_health(text: &str) -> Option<Self> {
        let said = text.trim().to_ascii_lowercase();
        match said.as_str() {
            "active" | "healthy" | "ok" | "idle" => Some(Self::Running),
            "failed" | "unhealthy" | "dead" | "crashed" | "down" | "critical" | "halted" => Some(Self::Error),
            "shutdown" | "exited" | "offline" => Some(Self::Stopped),
            other => other.parse().ok().or(Some(Self::Degraded)),
        }
    }
}

impl FromStr for Status {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let all = [Self::Starting, Self::Running, Self::Degraded, Self::Stopped, Self::Error];
        let found = all.into_iter().find(|status| status.as_str().eq_ignore_ascii_case(text));
        found.ok_or("must be one of starting, running, degraded, stopped, error")
    }
}

/// What an engine is for; it decides how often its watcher ticks, and what that publishes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = EngineKind)]
pub enum Kind {
    /// Candles and quotes.
    MarketData,
    /// Signals.
    Strategy,
    /// Orders.
    Execution,
    /// Which symbols are traded.
    Universe,
    /// Anything else.
    Other,
}

impl Kind {
    /// All kinds by their words.
    pub const WORDS: [&'static str; 5] = ["market_data", "strategy", "execution", "universe", "other"];

    /// The word of the contract.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MarketData => "market_data",
            Self::Strategy => "strategy",
            Self::Execution => "execution",
            Self::Universe => "universe",
            Self::Other => "other",
        }
    }
}

impl FromStr for Kind {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let all = [Self::MarketData, Self::Strategy, Self::Execution, Self::Universe, Self::Other];
        let found = all.into_iter().find(|kind| kind.as_str().eq_ignore_ascii_case(text));
        found.ok_or("must be one of market_data, strategy, execution, universe, other")
    }
}

/// A time as an engine said it: shown in UTC if it had an offset, else untouched; trusted for nothing.
#[derive(Debug, Clone)]
pub struct Said {
    text: CompactString,
    /// The instant; without an offset, as if it were UTC.
    wall: Timestamp,
    has_offset: bool,
}

/// The same instant, however it is written. Beside one with an offset, a time without is in some zone, and zones differ
/// by quarters of an hour.
impl PartialEq for Said {
    fn eq(&self, other: &Self) -> bool {
        if self.has_offset == other.has_offset {
            return self.wall == other.wall;
        }
        let apart = (self.wall.micros() - other.wall.micros()).abs();
        apart % QUARTER == 0 && apart <= 60 * QUARTER
    }
}

impl Eq for Said {}

/// A quarter of an hour, in microseconds.
const QUARTER: i64 = 900_000_000;

impl Said {
    /// Reads an ISO 8601 time, with or without an offset.
    ///
    /// # Errors
    /// Says what is expected.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if let Ok(wall) = Timestamp::parse(text) {
            return Ok(Self { text: wall.to_string().into(), wall, has_offset: true });
        }
        let wall = Timestamp::parse_local(text, Tz::UTC).ok().flatten();
        let wall = wall.ok_or("must be an ISO 8601 time such as 2025-11-18T07:55:41.345678Z")?;
        Ok(Self { text: text.into(), wall, has_offset: false })
    }

    /// An instant of ours in place of one that was not said.
    #[must_use]
    pub fn by_us(at: Timestamp) -> Self {
        Self { text: at.to_string().into(), wall: at, has_offset: true }
    }

    /// The instant, if it was said with an offset.
    #[must_use]
    pub fn instant(&self) -> Option<Timestamp> {
        self.has_offset.then_some(self.wall)
    }

    /// Seconds by which it is ahead of `at`. A time without an offset is in a zone that nobody told, and zones differ
    /// by quarters of an hour: only what is left of them is known. `None` if that says nothing.
    #[must_use]
    pub fn ahead_of(&self, at: Timestamp) -> Option<f64> {
        let ahead = self.wall.micros() - at.micros();
        let ahead = match self.has_offset {
            true => ahead,
            // no zone is further than 14 hours from UTC
            false if ahead.abs() > 60 * QUARTER => return None,
            false => (ahead + QUARTER / 2).rem_euclid(QUARTER) - QUARTER / 2,
        };
        #[expect(clippy::cast_precision_loss, reason = "microseconds within centuries")]
        let seconds = ahead as f64 / 1e6;
        Some(seconds)
    }
}

impl Serialize for Said {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skew_is_told_exactly_with_an_offset_and_up_to_quarters_of_an_hour_without() {
        let at = Timestamp::parse("2025-11-18T07:55:41Z").expect("a time");
        let ahead = |text: &str| Said::parse(text).expect("a time").ahead_of(at);
        assert_eq!(ahead("2025-11-18T13:25:43.5+05:30"), Some(2.5));
        assert_eq!(ahead("2025-11-18T13:25:39"), Some(-2.0), "local time in Kolkata");
        assert_eq!(ahead("2024-11-18 07:55:41"), None);
        assert_eq!(ahead("2024-11-18T07:55:41Z"), Some(-31_536_000.0));
    }

    #[test]
    fn names_that_leave_their_folder_or_pass_for_the_service_are_refused() {
        for bad in ["", "a/b", "..", "a.b", "a b", "é", "plimsoll", &"x".repeat(65)] {
            assert!(EngineName::parse(bad).is_err(), "{bad:?}");
        }
        assert!(EngineName::parse(&"x".repeat(64)).is_ok());
    }
}
