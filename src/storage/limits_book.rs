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
            seen: Content::read(&places.overrides),
            effective: last.as_ref().map_or(none, |last| last.limits.clone()),
            file: Ok(OverridesFile::default()),
            unlogged: VecDeque::new(),
            news: Vec::new(),
            base,
            places,
            history,
            last,
            failure,
        };
        book.news = book.unannounced();
        book.file = book.judge(now);
        if let Some(under_way) = state.and_then(|state| state.change) {
            book.complete(under_way.get());
        }
        book.adopt_file(now);
        book
    }

    /// Lines of the history that were not published before the service ended.
    fn unannounced(&self) -> Vec<News> {
        let recent = self.history.recent();
        let lines = &recent.read().lines;
        let changes = lines.iter().filter_map(|line| Some((LimitsChange::parse(line.get())?, line)));
        changes
            .filter(|(change, _)| change.seq > self.announced)
            .map(|(change, line)| News::of(&change, line.get().to_owned()))
            .collect()
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
        let content = Content::settled(&self.places.overrides, &self.seen);
        if content != self.seen {
            self.seen = content;
            self.file = self.judge(now);
            self.adopt_file(now);
        }
        self.write_history();
    }

    /// Changes limits; blocks. `false` if nothing is different.
    ///
    /// # Errors
    /// See [`ChangeError`]; nothing was changed.
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
                return Ok(false);
            };
            let file = file.with(&overrides).map_err(|detail| ChangeError::File { status: "not ours alone", detail })?;
            let line = serde_json::to_string(&change).map_err(io::Error::from)?;
            self.save(Some(&line))?;
            if Content::read(&self.places.overrides) != self.seen {
                // somebody saved an edit at this very moment; theirs comes first
                continue;
            }
            self.write_overrides(file.text())?;
            self.seen = Content::Bytes(file.text().as_bytes().to_vec());
            self.file = Ok(file);
            self.effective = new;
            self.take(change, line);
            return Ok(true);
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

    fn write_overrides(&self, text: &str) -> io::Result<()> {
        let path = &self.places.overrides;
        // a link to the file stays a link
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.clone());
        fs::create_dir_all(path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")))?;
        atomic_file::replace(&path, text.as_bytes())
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

    /// Why the history is behind.
    #[must_use]
    pub fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
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
