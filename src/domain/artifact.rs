//! One file on disk as a producer of events: when it is read, when what it says is news, and when it counts as broken.
//!
//! Engines rewrite their files while we look. So content that cannot be understood is a suspicion at first; it is read
//! again when the file has rested, and only then reported.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

use super::clock::Timestamp;

/// A file that cannot be understood is judged when it has not changed for so long.
pub const SETTLE: Duration = Duration::from_millis(500);

/// A file that never rests is judged when it could not be understood for so long.
const PATIENCE: Duration = Duration::from_secs(5);

/// Clocks of file systems are coarse: content read so shortly after the file's time, in microseconds, may change once
/// more without being seen to.
const COARSE: i64 = 100_000;

/// All by which the system tells one state of a file from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version {
    /// When the content changed.
    pub modified: Timestamp,
    /// When anything about the file changed: seconds and nanoseconds.
    pub changed: (i64, i64),
    /// Bytes.
    pub len: u64,
    /// Which file it is.
    pub inode: u64,
}

/// An event that a file is to become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The event's type.
    pub event_type: &'static str,
    /// The text of a JSON object on one line.
    pub payload: String,
}

/// What was made of a file's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reading {
    /// An event.
    Event(Finding),
    /// It is good, and says nothing to anybody.
    Nothing,
    /// It cannot be understood, for this reason.
    Bad(String),
}

/// What to do about a file that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Nothing: the file is good, and known.
    Rest,
    /// Look again after this time.
    Again(Duration),
    /// Report it as broken.
    Report(String),
    /// Publish this, unless somebody did before us.
    Publish(News),
}

/// An event of a file, and the mark by which it is known again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct News {
    /// The event.
    pub finding: Finding,
    /// By which it is known again.
    pub mark: Mark,
    /// Whether the file's events are remembered since the start; if not, an earlier run may have published this one.
    pub remembered: bool,
}

/// The time and content of a published file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Mark {
    /// The event's timestamp.
    pub modified: Timestamp,
    digest: u64,
}

impl Mark {
    /// The mark of an event of this time with this payload; comparable within one run of the program.
    #[must_use]
    pub fn of(modified: Timestamp, payload: &str) -> Self {
        let mut hasher = DefaultHasher::new();
        payload.hash(&mut hasher);
        Self { modified, digest: hasher.finish() }
    }
}

/// A file that is being watched. Times are lengths since some start, so that the machine's clock may be set.
#[derive(Debug, Default)]
pub struct Artifact {
    /// What was read last.
    version: Option<Version>,
    /// Whether the same version may have got another content since.
    racy: bool,
    doubt: Option<Doubt>,
    published: Option<Mark>,
}

/// A file that cannot be understood.
#[derive(Debug, Clone, Copy)]
struct Doubt {
    /// Since when at all.
    first: Duration,
    /// Since when in this version.
    since: Duration,
    reported: bool,
}

impl Artifact {
    /// Whether a file that is seen to be in `version` at `now` has to be read.
    #[must_use]
    pub fn is_news(&self, version: &Version, now: Duration) -> bool {
        let is_due = self.doubt.is_some_and(|doubt| !doubt.reported && now >= doubt.since + SETTLE);
        self.version.as_ref() != Some(version) || self.racy || is_due
    }

    /// Notes that `version` was read at `now`, when the clock showed `time`, and says what to do.
    pub fn read(&mut self, version: Version, reading: Reading, now: Duration, time: Timestamp) -> Step {
        let has_rested = self.version == Some(version);
        self.version = Some(version);
        self.racy = time.micros().saturating_sub(version.modified.micros()).abs() < COARSE;
        let finding = match reading {
            Reading::Bad(reason) => return self.suspect(reason, has_rested, now),
            Reading::Nothing => None,
            Reading::Event(finding) => Some(finding),
        };
        self.doubt = None;
        let Some(finding) = finding else { return Step::Rest };
        let mark = Mark::of(version.modified, &finding.payload);
        if self.published == Some(mark) {
            return Step::Rest;
        }
        Step::Publish(News { finding, mark, remembered: self.published.is_some() })
    }

    fn suspect(&mut self, reason: String, has_rested: bool, now: Duration) -> Step {
        let doubt = self.doubt.get_or_insert(Doubt { first: now, since: now, reported: false });
        if !has_rested {
            doubt.since = now;
            // one that was broken stays so, but is judged anew
            doubt.reported = false;
        }
        let rests_at = doubt.since + SETTLE;
        if now < rests_at && now < doubt.first + PATIENCE {
            return Step::Again(rests_at - now);
        }
        doubt.reported = true;
        Step::Report(reason)
    }

    /// What it says is published, by us or before.
    pub fn published(&mut self, mark: Mark) {
        self.published = Some(mark);
    }

    /// What it says could not be published, or it is not known whether it was: it is read again.
    pub fn forget(&mut self) {
        self.version = None;
        self.published = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn version(n: i64) -> Version {
        Version { modified: Timestamp::from_micros(n * 1_000_000), changed: (n, 0), len: 1, inode: 1 }
    }

    fn event(payload: &str) -> Reading {
        Reading::Event(Finding { event_type: "engine_heartbeat", payload: payload.to_owned() })
    }

    fn bad() -> Reading {
        Reading::Bad("is empty".to_owned())
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// Long after every file's time.
    fn later() -> Timestamp {
        Timestamp::from_micros(1_000_000_000_000)
    }

    #[test]
    fn a_good_file_is_published_once_for_each_time_and_content() {
        let mut file = Artifact::default();
        let Step::Publish(news) = file.read(version(1), event("{}"), ms(0), later()) else { panic!("news") };
        assert!(!news.remembered, "an earlier run may have published it");
        file.published(news.mark);
        assert!(!file.is_news(&version(1), ms(9_000)));
        let replaced = Version { inode: 2, ..version(1) };
        assert!(file.is_news(&replaced, ms(9_000)));
        assert_eq!(file.read(replaced, event("{}"), ms(9_000), later()), Step::Rest, "the same time and content");
        let Step::Publish(news) = file.read(version(2), event("{}"), ms(9_001), later()) else { panic!("news") };
        assert!(news.remembered);
    }

    #[test]
    fn a_half_written_file_that_is_completed_is_never_reported() {
        let mut file = Artifact::default();
        assert_eq!(file.read(version(1), bad(), ms(0), later()), Step::Again(SETTLE));
        assert!(!file.is_news(&version(1), ms(499)), "it rests");
        assert_eq!(file.read(version(2), bad(), ms(400), later()), Step::Again(SETTLE), "it changed, so it is waited for anew");
        assert!(matches!(file.read(version(3), event("{}"), ms(800), later()), Step::Publish(_)));
    }

    #[test]
    fn a_file_that_rests_and_is_not_understood_is_reported_once_it_has_rested() {
        let mut file = Artifact::default();
        file.read(version(1), bad(), ms(0), later());
        assert!(file.is_news(&version(1), ms(500)));
        assert_eq!(file.read(version(1), bad(), ms(500), later()), Step::Report("is empty".to_owned()));
        assert!(!file.is_news(&version(1), ms(60_000)), "there is nothing new to see");
        assert_eq!(file.read(version(2), Reading::Nothing, ms(61_000), later()), Step::Rest);
    }

    #[test]
    fn a_file_that_never_rests_is_reported_after_a_while() {
        let mut file = Artifact::default();
        let steps = (0..60).map(|n| file.read(version(n), bad(), ms(u64::try_from(n).expect("small") * 100), later()));
        let reported = steps.map(|step| matches!(step, Step::Report(_))).collect::<Vec<_>>();
        assert_eq!(reported.iter().position(|reported| *reported), Some(50));
    }

    #[test]
    fn content_read_within_a_tick_of_the_files_clock_is_read_again() {
        let mut file = Artifact::default();
        let Step::Publish(news) = file.read(version(1), event("1"), ms(0), Timestamp::from_micros(1_000_500)) else { panic!() };
        file.published(news.mark);
        assert!(file.is_news(&version(1), ms(1)));
        assert!(matches!(file.read(version(1), event("2"), ms(1), later()), Step::Publish(_)), "same version, other content");
        assert!(!file.is_news(&version(1), ms(2)));
    }

    #[test]
    fn what_could_not_be_published_is_read_and_asked_for_again() {
        let mut file = Artifact::default();
        file.read(version(1), event("{}"), ms(0), later());
        file.forget();
        assert!(file.is_news(&version(1), ms(1)));
        let step = file.read(version(1), event("{}"), ms(1), later());
        assert!(matches!(step, Step::Publish(News { remembered: false, .. })), "{step:?}");
    }

    proptest! {
        #[test]
        fn a_file_whose_last_content_is_good_ends_with_that_content_published(
            states in prop::collection::vec((any::<bool>(), 0..3_u8, 1..900_u64), 1..30), last in 0..3_u8,
        ) {
            let (mut file, mut now, mut published) = (Artifact::default(), ms(0), None);
            let states = states.into_iter().chain([(true, last, 1)]);
            for (n, (is_good, content, wait)) in (1..).zip(states) {
                now += ms(wait);
                let reading = if is_good { event(&content.to_string()) } else { bad() };
                prop_assert!(file.is_news(&version(n), now));
                if let Step::Publish(news) = file.read(version(n), reading, now, later()) {
                    prop_assert_ne!(published, Some(news.mark), "published twice");
                    file.published(news.mark);
                    published = Some(news.mark);
                }
            }
            prop_assert_eq!(published.map(|mark| mark.digest), Some(Mark::of(later(), &last.to_string()).digest));
        }
    }
}
