//! One file on disk as a producer of events: when it is read, when what it says is news, and when it counts as broken.
//!
//! Engines rewrite their files while we look. So content that cannot be understood is a suspicion at first; it is read
//! again when the file has rested, and only then reported.
//!
//! News is new content. A file that is touched, or put back as it was, says nothing new: neither while we run nor, because
//! the journal is asked, after a restart. Only a record that names no time at all has nothing but its file to prove that
//! somebody writes it: there a new file of the same content, moved into the place of the old one, counts as written anew.
//! The same bytes written in place cannot be told from a touch and do not.
//!
//! [`News::stamp`] is how fresh the content is. Content whose own time goes on from what we saw before was written since,
//! so the file's time is taken and the engine's clock trusted for nothing. At first sight, and for content that goes back
//! in time, as out of a backup, its own time is all that is known: it is no fresher than that, nor than the file.

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

impl Version {
    /// Whether the file may get another content without being seen to.
    #[must_use]
    pub fn is_fresh(self, now: Timestamp) -> bool {
        let (seconds, nanos) = self.changed;
        let changed = seconds.saturating_mul(1_000_000).saturating_add(nanos / 1000);
        now.micros().saturating_sub(changed) < COARSE
    }
}

/// An event that a file is to become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The event's type.
    pub event_type: &'static str,
    /// The text of a JSON object on one line.
    pub payload: String,
    /// When it was written by its own word, if it has one.
    pub said: Option<Timestamp>,
}

/// What was made of a file's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reading {
    /// An event.
    Event(Finding),
    /// It is good, and says nothing to anybody.
    Nothing,
    /// Nobody can tell yet.
    Unclear,
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
    /// Since when it is so, as far as that is proved.
    pub stamp: Timestamp,
    /// Whether the file's events are remembered since the start; if not, an earlier run may have published this one.
    pub remembered: bool,
}

/// What a file says; comparable within one run of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Content(u64);

impl Content {
    /// The content that became an event with this payload.
    #[must_use]
    pub fn of(payload: &str) -> Self {
        let mut hasher = DefaultHasher::new();
        payload.hash(&mut hasher);
        Self(hasher.finish())
    }
}

/// By which a published file is known again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// What it says.
    pub content: Content,
    said: Option<Timestamp>,
    modified: Timestamp,
    inode: u64,
}

impl Mark {
    /// Whether it says more than `old`.
    fn is_news_after(&self, old: &Self) -> bool {
        let is_new_file = self.inode != old.inode && self.modified > old.modified;
        self.content != old.content || (self.said.is_none() && is_new_file)
    }

    /// Since when it is so, if it is news after `old`.
    fn stamp(&self, old: Option<&Self>) -> Timestamp {
        match (self.said, old.map(|old| old.said)) {
            (None, _) => self.modified,
            (Some(said), Some(Some(before))) if said >= before => self.modified,
            // nobody writes of what is to come
            (Some(said), _) => said.min(self.modified),
        }
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
            Reading::Unclear => {
                self.version = None;
                return Step::Again(SETTLE);
            }
            Reading::Nothing => None,
            Reading::Event(finding) => Some(finding),
        };
        self.doubt = None;
        let Some(finding) = finding else { return Step::Rest };
        let content = Content::of(&finding.payload);
        let mark = Mark { content, said: finding.said, modified: version.modified, inode: version.inode };
        let old = self.published.as_ref();
        if old.is_some_and(|old| !mark.is_news_after(old)) {
            return Step::Rest;
        }
        Step::Publish(News { stamp: mark.stamp(old), finding, mark, remembered: old.is_some() })
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
#[path = "artifact_tests.rs"]
mod tests;
