//! How many events a second there are now.

use super::clock::Timestamp;

/// Events in each of the last seconds.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rate {
    second: i64,
    /// The current second's events, then those of the seconds before it.
    counts: [u64; RATE_SECONDS + 1],
}

/// Whole seconds over which the rate is averaged.
const RATE_SECONDS: usize = 5;

impl Rate {
    /// Counts `events` that happened `now`.
    pub fn count(&mut self, now: Timestamp, events: u64) {
        self.turn(now);
        if let Some(current) = self.counts.first_mut() {
            *current += events;
        }
    }

    /// Events a second, averaged over the last whole seconds.
    pub fn per_second(&mut self, now: Timestamp) -> f64 {
        self.turn(now);
        let whole: u64 = self.counts.iter().skip(1).sum();
        whole as f64 / RATE_SECONDS as f64
    }

    fn turn(&mut self, now: Timestamp) {
        let second = now.micros().div_euclid(1_000_000);
        if second < self.second - RATE_SECONDS as i64 {
            // the clock was set back: what was counted by it before says nothing now
            *self = Self { second, ..Self::default() };
        }
        let passed = usize::try_from(second.saturating_sub(self.second)).unwrap_or(0).min(self.counts.len());
        self.counts.rotate_right(passed);
        self.counts.iter_mut().take(passed).for_each(|count| *count = 0);
        self.second = self.second.max(second);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_that_of_the_last_whole_seconds() {
        let at = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000);
        let mut rate = Rate::default();
        rate.count(at(100), 50);
        assert_eq!(rate.per_second(at(100)), 0.0, "the current second is not over");
        rate.count(at(101), 50);
        assert_eq!(rate.per_second(at(102)), 20.0);
        assert_eq!(rate.per_second(at(99)), 20.0, "a clock that steps back a little changes nothing");
        assert_eq!(rate.per_second(at(106)), 10.0);
        assert_eq!(rate.per_second(at(200)), 0.0);
        rate.count(at(50), 5);
        assert_eq!(rate.per_second(at(51)), 1.0, "one that is set back starts again");
    }
}
