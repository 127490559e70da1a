//! When each event of a recording is due.

use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, Utc};

/// How fast a recording is replayed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Speed {
    /// This many times as fast as it was recorded.
    Times(f64),
    /// As fast as the service takes it.
    Max,
}

impl FromStr for Speed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "max" {
            return Ok(Self::Max);
        }
        match text.strip_suffix('x').unwrap_or(text).parse() {
            Ok(times) if f64::is_finite(times) && times > 0.0 => Ok(Self::Times(times)),
            _ => Err("must be a number above 0, such as 1 or 60, or max".to_owned()),
        }
    }
}

/// Turns timestamps into times since the start of the replay.
#[derive(Debug)]
pub struct Pace {
    speed: Speed,
    /// Longer silences, such as nights, are cut to this.
    max_gap: Option<Duration>,
    last: Option<DateTime<Utc>>,
    due: Duration,
}

impl Pace {
    /// A pace with silences cut to `max_gap` of replay time.
    pub fn new(speed: Speed, max_gap: Option<Duration>) -> Self {
        Self { speed, max_gap, last: None, due: Duration::ZERO }
    }

    /// When the event of `time` is due. One without a time, or with one before its predecessor's, is due with it.
    pub fn due(&mut self, time: Option<DateTime<Utc>>) -> Duration {
        let (Speed::Times(times), Some(time)) = (self.speed, time) else { return self.due };
        let gap = self.last.map_or(Duration::ZERO, |last| (time - last).to_std().unwrap_or_default());
        let gap = Duration::try_from_secs_f64(gap.as_secs_f64() / times).unwrap_or(Duration::MAX);
        self.due = self.due.saturating_add(self.max_gap.map_or(gap, |max| gap.min(max)));
        self.last = self.last.max(Some(time));
        self.due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dues(speed: &str, max_gap: Option<u64>, times: &[&str]) -> Vec<u128> {
        let mut pace = Pace::new(speed.parse().expect("a speed"), max_gap.map(Duration::from_millis));
        let time = |text: &&str| format!("2024-08-05T{text}Z").parse().ok();
        times.iter().map(|text| pace.due(time(text)).as_millis()).collect()
    }

    #[test]
    fn spacing_is_kept_and_divided_by_the_speed() {
        let times = ["09:15:00", "09:15:01.5", "09:15:01.5", "09:16:00"];
        assert_eq!(dues("1", None, &times), [0, 1500, 1500, 60_000]);
        assert_eq!(dues("10x", None, &times), [0, 150, 150, 6000]);
        assert_eq!(dues("0.5", None, &times), [0, 3000, 3000, 120_000]);
        assert_eq!(dues("max", None, &times), [0, 0, 0, 0]);
    }

    #[test]
    fn a_long_silence_is_cut() {
        assert_eq!(dues("1", Some(2000), &["09:15:00", "15:30:00", "15:30:01"]), [0, 2000, 3000]);
    }

    #[test]
    fn events_out_of_order_or_without_a_time_neither_wait_nor_stretch_the_rest() {
        assert_eq!(dues("1", None, &["09:15:10", "09:15:05", "nonsense", "09:15:12"]), [0, 0, 0, 2000]);
    }

    #[test]
    fn a_speed_is_above_zero() {
        for text in ["0", "-1", "NaN", "inf", "fast", ""] {
            assert!(text.parse::<Speed>().is_err(), "{text}");
        }
    }
}
