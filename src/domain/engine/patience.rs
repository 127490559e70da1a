//! When nobody may be called silent: while the service was not there, nobody could beat.
//!
//! It was not there before its start, and not while it was suspended: stopped by a signal, or with the machine. That is
//! seen from the clock, which then goes further from one look to the next than the time between looks explains.

use std::time::Duration;

use crate::domain::clock::Timestamp;

/// Looks come as often as this at least.
const MAX_INTERVAL: Duration = Duration::from_secs(1);
/// More often costs more than it tells.
const MIN_INTERVAL: Duration = Duration::from_millis(50);
/// A shorter absence is a busy machine.
const MIN_GAP: Duration = Duration::from_secs(1);

/// How long to wait for engines after the service was away.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    stale_after: Duration,
    looked: Timestamp,
    until: Timestamp,
}

impl Patience {
    /// Patience of a service that starts `now`: for `stale_after`.
    #[must_use]
    pub fn new(now: Timestamp, stale_after: Duration) -> Self {
        Self { stale_after, looked: now, until: now.after(stale_after) }
    }

    /// How often to look.
    #[must_use]
    pub fn interval(&self) -> Duration {
        (self.stale_after / 4).clamp(MIN_INTERVAL, MAX_INTERVAL)
    }

    /// Looks at the clock: it starts anew if the service was away. Whether it did.
    pub fn look(&mut self, now: Timestamp) -> bool {
        // an absence that is short beside the time that engines have leaves them enough of it
        let gap = (self.stale_after / 2).max(MIN_GAP);
        let was_away = now > self.looked.after(gap);
        if was_away {
            self.until = now.after(self.stale_after);
        }
        self.looked = now;
        was_away
    }

    /// Whether somebody may be called silent at `now`.
    #[must_use]
    pub fn is_over(&self, now: Timestamp) -> bool {
        now >= self.until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_micros(second * 1_000_000)
    }

    #[test]
    fn it_starts_anew_after_an_absence_and_not_while_one_looks() {
        let mut patience = Patience::new(at(0), Duration::from_secs(15));
        assert!((1..=60).all(|second| !patience.look(at(second))));
        assert!(patience.is_over(at(60)));
        assert!(!patience.look(at(66)), "too short to matter");
        assert!(patience.look(at(120)) && !patience.is_over(at(134)) && patience.is_over(at(135)));
        assert!(!patience.look(at(60)), "a clock that is set back is no absence");
    }
}
