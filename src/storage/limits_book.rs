//! The limits on disk: the overrides file, which others edit too, and the history of all changes.
//!
//! A change is written down as `limits_state.json`, then takes effect with the overrides file, then enters the history.
//! After a crash in between, a start finds the change in the first and, if it took effect, completes the history with it.
//! Whatever else is different from the history's last line was edited while nobody looked, and enters it as such.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::atomic_file;
use super::audit_log::{AuditLog, Recent};
use super::overrides_content::Content;
use crate::domain::clock::Timestamp;
use crate::domain::risk::limits::Limits;
use crate::domain::risk::limits_change::{Effective, LimitsChange};
use crate::domain::risk::limits_patch::Patch;
use crate::domain::risk::overrides::{Overrides, OverridesFile};

/// The file of the change that is under way, and of what has been announced.
const STATE: &str = "limits_state.json";
/// The history's file.
const HISTORY: &str = "limits_history.jsonl";
/// So often a change is tried again when somebody edits the file at the same moment.
const ATTEMPTS: usize = 3;

/// Where things are.
#[derive(Debug, Clone)]
pub struct Places {
    /// The overrides file.
    pub overrides: PathBuf,
    /// The folder of the history.
    pub folder: PathBuf,
}

/// Why the overrides file cannot be used; the last good limits stay in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileFault {
    /// `malformed` or `unreadable`.
    pub status: &'static str,
    /// What is wrong, for the operator.
    pub detail: String,
    /// Since when.
    pub since: Timestamp,
}

/// Why limits were not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// The overrides file has something in it that would be lost.
    #[error("the overrides file is {status}: {detail}")]
    File {
        /// In a word.
        status: &'static str,
        /// What exactly.
        detail: String,
    },
    /// The disk does not take it.
    #[error("it cannot be written down: {0}")]
    Disk(String),
    /// The limits are changed, but the disk may not keep that.
    #[error("it is in force, but a restart may forget it: {0}")]
    InForce(String),
}

impl From<io::Error> for ChangeError {
    fn from(error: io::Error) -> Self {
        Self::Disk(error.to_string())
    }
}

/// A change that is to be published: its number, its id, and the line of the history that is its payload.
#[derive(Debug, Clone)]
pub struct News {
    /// The change's number.
    pub seq: u64,
    /// By which a repetition is known.
    pub event_id: String,
    /// The payload.
    pub line: String,
}

impl News {
    fn of(change: &LimitsChange, line: String) -> Self {
        Self { seq: change.seq, event_id: change.event_id(), line }
    }
}

/// The limits, and all that is kept of them.
#[derive(Debug)]
pub struct LimitsBook {
    base: Limits,
    places: Places,
    history: AuditLog,
    /// The newest change, whether it is in the history yet or not.
    last: Option<LimitsChange>,
    effective: Effective,
    /// The overrides file as it was when it was last looked at.
    seen: Content,
    file: Result<OverridesFile, FileFault>,
    /// Changes that are not in the history yet, oldest first.
    unlogged: VecDeque<String>,
    /// Changes that nobody has taken to publish them yet, oldest first.
    news: Vec<News>,
    announced: u64,
    /// Why the history cannot be written or read.
    failure: Option<String>,
    /// Why the overrides file, as we wrote it, may not outlive a crash.
    unsynced: Option<String>,
    /// Puts a text in the overrides file's place.
    replace: fn(&Path, &[u8]) -> io::Result<()>,
}

/// The content of [`STATE`].
#[derive(Serialize, Deserialize)]
struct State<'a> {
    announced: u64,
    #[serde(borrow)]
    change: Option<&'a RawValue>,
}

impl LimitsBook {
    /// Reads what is there. What was changed since the history's last line is in [`news`](Self::take_news).
    #[must_use]
    pub fn open(base: Limits, places: Places, now: Timestamp) -> Self {
        let path = places.folder.join(HISTORY);
        let opened = AuditLog::open(path.clone(), |line| LimitsChange::parse(line).is_some());
        let failure = opened.as_ref().err().map(|error| format!("the history cannot be read: {error}"));
        let history = opened.unwrap_or_else(|_| AuditLog::unread(path));
        let last = history.last().and_then(|line| LimitsChange::parse(&line));
        let none = Effective::new(base.clone(), Overrides::default());
        let state = fs::read_to_string(places.folder.join(STATE)).unwrap_or_default();
        let state: Option<State<'_>> = serde_json::from_str(&state).ok();
        let mut book = Self {
            announced: state.as_ref().map_or(last.as_ref().map_or(0, |last| last.seq), |state| state.announced),
            seen: Content::settled(&places.overrides, None),
            effective: last.as_ref().map_or(none, |last| last.limits.clone()),
            file: Ok(OverridesFile::default()),
            unlogged: VecDeque::new(),
            news: Vec::new(),
            base,
            places,
            history,
            last,
            failure,
            unsynced: None,
            replace: atomic_file::replace,
        };
        book.recall();
        book.file = book.judge(now);
        if let Some(under_way) = state.and_then(|state| state.change) {
            book.complete(under_way.get());
        }
        book.adopt_file(now);
        book
    }

    /// Lets every change be news that has not been published, as far back as the history is at hand.
    pub fn recall(&mut self) {
        let recent = self.history.recent();
        let recent = recent.read();
        let lines = recent.lines.iter().map(|line| line.get()).chain(self.unlogged.iter().map(String::as_str));
        let news = lines.filter_map(|line| Some(News::of(&LimitsChange::parse(line)?, line.to_owned())));
        self.news = news.filter(|news| news.seq > self.announced).collect();
    }

    /// A change that was under way when the service ended: it counts if it reached the overrides file.
    fn complete(&mut self, line: &str) {
        let Some(change) = LimitsChange::parse(line) else { return };
        let is_logged = self.last.as_ref().is_some_and(|last| last.seq >= change.seq);
        let took_effect = self.file.as_ref().is_ok_and(|file| file.overrides() == change.limits.overrides());
        if !is_logged && took_effect {
            self.take(change, line.to_owned());
        }
    }

    /// What is in the overrides file, or why it cannot be used.
    fn judge(&self, now: Timestamp) -> Result<OverridesFile, FileFault> {
        let (status, detail) = match &self.seen {
            Content::Missing => return Ok(OverridesFile::default()),
            Content::Unreadable(detail) => ("unreadable", detail.clone()),
            Content::Bytes(bytes) => match OverridesFile::parse(bytes) {
                Ok(file) => return Ok(file),
                Err(detail) => ("malformed", detail),
            },
        };
        tracing::error!(status, detail, "the overrides file cannot be used; the last good limits stay in force");
        let since = self.file.as_ref().err().map_or(now, |fault| fault.since);
        Err(FileFault { status, detail, since })
    }

    /// Lets hold what the file says; if it cannot be used, the overrides stay what they were.
    fn adopt_file(&mut self, now: Timestamp) {
        let overrides = self.file.as_ref().map_or_else(|_| self.effective.overrides(), OverridesFile::overrides);
        let new = Effective::new(self.base.clone(), overrides);
        let change = LimitsChange::between(&self.effective, &new, None, self.last.as_ref(), now);
        self.effective = new;
        if let Some(change) = change {
            tracing::warn!(actor = change.actor, changes = change.changes.len(), "the limits were changed outside of the api");
            match serde_json::to_string(&change) {
                Ok(line) => {
                    // the file is changed already; a start after a crash would find that out again
                    let _ = self.save(Some(&line));
                    self.take(change, line);
                }
                Err(error) => self.failure = Some(error.to_string()),
            }
        }
    }

    /// Looks whether somebody edited the file; blocks.
    pub fn look(&mut self, now: Timestamp) {
        let content = Content::settled(&self.places.overrides, Some(&self.seen));
        if content != self.seen {
            self.seen = content;
            self.file = self.judge(now);
            self.adopt_file(now);
        }
        self.unsynced = self.unsynced.take().filter(|_| atomic_file::sync_folder(&self.overrides()).is_err());
        self.write_history();
    }

    /// Changes limits; blocks. `false` if nothing is different.
    ///
    /// # Errors
    /// See [`ChangeError`]; nothing was changed unless it says so.
    pub fn change(&mut self, patch: &Patch, actor: &str, now: Timestamp) -> Result<bool, ChangeError> {
        for _ in 0..ATTEMPTS {
            self.look(now);
            if !self.unlogged.is_empty() {
                return Err(ChangeError::Disk(self.failure.clone().unwrap_or_default()));
            }
            let file =
                self.file.as_ref().map_err(|fault| ChangeError::File { status: fault.status, detail: fault.detail.clone() })?;
            let overrides = file.overrides().with(patch);
            let new = Effective::new(self.base.clone(), overrides);
            let Some(change) = LimitsChange::between(&self.effective, &new, Some(actor), self.last.as_ref(), now) else {
                return self.unsynced.clone().map_or(Ok(false), |reason| Err(ChangeError::InForce(reason)));
            };
            let file = file.with(&overrides).map_err(|detail| ChangeError::File { status: "not ours alone", detail })?;
            let line = serde_json::to_string(&change).map_err(io::Error::from)?;
            self.save(Some(&line))?;
            if Content::read(&self.places.overrides) != self.seen {
                // somebody saved an edit at this very moment; theirs comes first
                continue;
            }
            let written = self.write_overrides(file.text());
            let text = Content::Bytes(file.text().as_bytes().to_vec());
            // whoever looks at the file goes by it, whatever became of the last sync
            if let Err(error) = &written
                && Content::read(&self.places.overrides) != text
            {
                return Err(ChangeError::Disk(error.to_string()));
            }
            self.seen = text;
            self.file = Ok(file);
            self.take(change, line);
            self.unsynced = written.err().map(|error| error.to_string());
            return self.unsynced.clone().map_or(Ok(true), |reason| Err(ChangeError::InForce(reason)));
        }
        Err(ChangeError::File { status: "being edited", detail: "it changed again and again meanwhile".to_owned() })
    }

    fn take(&mut self, change: LimitsChange, line: String) {
        self.effective = change.limits.clone();
        self.news.push(News::of(&change, line.clone()));
        self.unlogged.push_back(line);
        self.last = Some(change);
        self.write_history();
    }

    /// Adds to the history what is not in it yet; what cannot be added stays for the next time.
    fn write_history(&mut self) {
        while let Some(line) = self.unlogged.front() {
            let added = fs::create_dir_all(&self.places.folder).and_then(|()| self.history.append(line));
            match added {
                Ok(()) => drop(self.unlogged.pop_front()),
                Err(error) => {
                    tracing::error!(%error, "the history of the limits cannot be written");
                    self.failure = Some(format!("the history cannot be written: {error}"));
                    return;
                }
            }
            self.failure = None;
        }
    }

    /// Everything up to change `seq` has been published.
    pub fn announced(&mut self, seq: u64) {
        self.announced = self.announced.max(seq);
        // a change that is not in the history yet stays written down
        if let Err(error) = self.save(self.unlogged.back().map(String::as_str)) {
            // after a crash it would be announced again, and known by its id
            tracing::warn!(%error, "it cannot be noted which changes of limits were announced");
        }
    }

    fn save(&self, change: Option<&str>) -> io::Result<()> {
        let change = change.map(|line| RawValue::from_string(line.to_owned())).transpose()?;
        let state = State { announced: self.announced, change: change.as_deref() };
        fs::create_dir_all(&self.places.folder)?;
        atomic_file::replace(&self.places.folder.join(STATE), &serde_json::to_vec(&state)?)
    }

    /// Where the overrides file is; a link to it stays a link.
    fn overrides(&self) -> PathBuf {
        fs::canonicalize(&self.places.overrides).unwrap_or_else(|_| self.places.overrides.clone())
    }

    fn write_overrides(&self, text: &str) -> io::Result<()> {
        let path = self.overrides();
        fs::create_dir_all(path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")))?;
        (self.replace)(&path, text.as_bytes())
    }

    /// What is to be published, oldest first; each is given once.
    pub fn take_news(&mut self) -> Vec<News> {
        std::mem::take(&mut self.news)
    }

    /// The limits that hold.
    #[must_use]
    pub fn effective(&self) -> &Effective {
        &self.effective
    }

    /// The newest change.
    #[must_use]
    pub fn last(&self) -> Option<&LimitsChange> {
        self.last.as_ref()
    }

    /// Whether there is an overrides file.
    #[must_use]
    pub fn has_file(&self) -> bool {
        self.seen != Content::Missing
    }

    /// The overrides file, or why it cannot be used.
    ///
    /// # Errors
    /// It cannot be used.
    pub fn file(&self) -> Result<&OverridesFile, &FileFault> {
        self.file.as_ref()
    }

    /// Why the history is behind, or the overrides file may be.
    #[must_use]
    pub fn failure(&self) -> Option<&str> {
        self.failure.as_deref().or(self.unsynced.as_deref())
    }

    /// The newest lines of the history.
    #[must_use]
    pub fn recent(&self) -> Recent {
        self.history.recent()
    }
}

#[cfg(test)]
#[path = "limits_book_tests.rs"]
mod tests;
