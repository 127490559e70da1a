//! Event ids: one number that is time order, resume cursor and range query at once.

use std::fmt;
use std::str::FromStr;

use super::clock::Timestamp;

/// `unix_ms << 20 | sequence in that millisecond`, written `"<ms>-<seq>"` as Redis streams do.
///
/// ```
/// use plimsoll::domain::id::EventId;
/// let id: EventId = "1763452541345-7".parse().expect("an id");
/// assert_eq!(id.to_string(), "1763452541345-7");
/// assert!(id > "1763452541345".parse().expect("a bare millisecond is its first id"));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct EventId(u64);

const SEQUENCE_BITS: u32 = 20;
const SEQUENCE_MASK: u64 = (1 << SEQUENCE_BITS) - 1;
/// Highest millisecond that leaves the id within 63 bits (SQLite integers are signed): the year 2248.
const MAX_MS: u64 = (1 << 43) - 1;

impl EventId {
    /// Before every event: a cursor that means "from the beginning".
    pub const ZERO: Self = Self(0);
    /// After every event.
    pub const MAX: Self = Self(i64::MAX as u64);

    /// The id as the number it is.
    #[must_use]
    pub fn get(self) -> u64 {
        self.0
    }

    /// The id of this number.
    #[must_use]
    pub fn from_u64(raw: u64) -> Self {
        Self(raw)
    }

    /// As SQLite stores it.
    #[must_use]
    pub fn to_sql(self) -> i64 {
        i64::try_from(self.0).unwrap_or(i64::MAX)
    }

    /// As SQLite returns it.
    #[must_use]
    pub fn from_sql(raw: i64) -> Self {
        Self(u64::try_from(raw).unwrap_or(0))
    }

    /// The first id that an event arriving at `time` can have.
    #[must_use]
    pub fn first_at(time: Timestamp) -> Self {
        Self(time.millis().min(MAX_MS) << SEQUENCE_BITS)
    }

    /// Milliseconds since 1970 at which the event arrived.
    #[must_use]
    pub fn millis(self) -> u64 {
        self.0 >> SEQUENCE_BITS
    }

    /// The id right before this one; `ZERO` has none.
    #[must_use]
    pub fn before(self) -> Self {
        Self(self.0.saturating_sub(1))
    }

    /// Appends the text form to `out`.
    pub fn write(self, out: &mut Vec<u8>) {
        let mut digits = itoa::Buffer::new();
        out.extend_from_slice(digits.format(self.millis()).as_bytes());
        out.push(b'-');
        out.extend_from_slice(digits.format(self.0 & SEQUENCE_MASK).as_bytes());
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.millis(), self.0 & SEQUENCE_MASK)
    }
}

/// Why a text is no event id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be an event id such as 1763452541345-0")]
pub struct BadEventId;

impl FromStr for EventId {
    type Err = BadEventId;

    fn from_str(text: &str) -> Result<Self, BadEventId> {
        let number = |digits: &str, max: u64| {
            let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
            digits.parse::<u64>().ok().filter(|n| plain && *n <= max).ok_or(BadEventId)
        };
        let (ms, seq) = text.split_once('-').unwrap_or((text, "0"));
        Ok(Self(number(ms, MAX_MS)? << SEQUENCE_BITS | number(seq, SEQUENCE_MASK)?))
    }
}

/// Gives ids that strictly increase, whatever the clock does.
#[derive(Debug)]
pub struct IdSequence {
    last: EventId,
}

impl IdSequence {
    /// Continues after `last`, the newest id that was ever given.
    #[must_use]
    pub fn after(last: EventId) -> Self {
        Self { last }
    }

    /// The id of an event that arrives `now`: its millisecond if that is ahead, else the next number.
    pub fn next(&mut self, now: Timestamp) -> EventId {
        self.last = EventId::first_at(now).max(EventId(self.last.0 + 1));
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_id_is_written_as_it_is_shown(id in any::<u64>()) {
            let mut text = Vec::new();
            EventId::from_u64(id).write(&mut text);
            prop_assert_eq!(text, EventId::from_u64(id).to_string().into_bytes());
        }

        #[test]
        fn ids_strictly_increase_across_restarts_and_clock_steps(
            times in proptest::collection::vec((0_i64..4_000_000_000_000_000, any::<bool>()), 1..200),
        ) {
            let mut sequence = IdSequence::after(EventId::ZERO);
            let mut last = EventId::ZERO;
            for (micros, restart) in times {
                if restart {
                    sequence = IdSequence::after(last);
                }
                let id = sequence.next(Timestamp::from_micros(micros));
                prop_assert!(id > last);
                last = id;
            }
        }

        #[test]
        fn an_id_reads_back_from_its_text_in_the_same_order(a in 0..EventId::MAX.get(), b in 0..EventId::MAX.get()) {
            let (a, b) = (EventId(a), EventId(b));
            let reread = |id: EventId| id.to_string().parse::<EventId>();
            prop_assert_eq!(reread(a), Ok(a));
            prop_assert_eq!(a.cmp(&b), reread(a).expect("read").cmp(&reread(b).expect("read")));
        }
    }

    #[test]
    fn a_full_millisecond_runs_over_into_the_next() {
        let mut sequence = IdSequence::after(EventId(5 << SEQUENCE_BITS | SEQUENCE_MASK));
        assert_eq!(sequence.next(Timestamp::from_micros(5_000)).to_string(), "6-0");
    }

    #[test]
    fn what_is_no_id_is_refused() {
        for text in ["", "-", "abc", "1-", "-1", "1-2-3", "+1-0", "1-1048576", "99999999999999999999-0", " 1-0"] {
            assert_eq!(text.parse::<EventId>(), Err(BadEventId), "{text:?}");
        }
    }
}
