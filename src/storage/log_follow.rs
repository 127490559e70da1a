//! Follows a log as it grows: through rotation (renamed, and a new file in its place, or a new file beside it) and truncation.
//!
//! A follower is a position in an open file, so a slow reader costs no memory and loses nothing of that file. What is promised:
//!
//! - Of a log that is rotated under numbers (`fno.log.1`, `fno.1.log`) every line is read, however quick the rotations are,
//!   for as long as their files are there when the reader comes to them; the numbers tell when one is not. Where other names
//!   are given, files are read in the order of their last changes, and one that is gone before it was seen cannot be noticed.
//! - Of a log that is copied and truncated every line is read that is in the copy.
//! - What is written late into a rotated file is read for as long as that is written to, and `linger` longer; of the last
//!   [`LATE_FILES`] files, and by a follower that was there at the rotation.
//! - Whoever may have missed something is told: [`News::Gap`].

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::time::Duration;

use tokio::time::Instant;

use super::log_file::{Identity, LogError, LogFile, LogPlace};
use super::log_mark::Mark;
pub use super::log_reader::Followed;
use super::log_reader::{LogReader, Look};
use super::log_rotation::{Family, Relation, Relative, Seen};
use super::log_tail::{self, TailLimits};
use crate::domain::log::filter::LogFilter;

/// How often a quiet log is looked at.
pub const INTERVAL: Duration = Duration::from_millis(250);
/// How often a quiet log's folder is looked through for a new file.
const LOOK: Duration = Duration::from_secs(1);
/// Most rotated files that are looked at for late lines.
pub const LATE_FILES: usize = 8;
/// Bytes of a file that tell whether it is a copy of another.
const FRONT: usize = 4096;
/// Most files in which a position is looked for.
const MOST_SEARCHED: usize = 32;

/// Where to start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// With the last so many records.
    Last(usize),
    /// Behind this mark; if no file has it, as `Lost`.
    After(Mark, usize),
    /// With the last so many records, since the position that was asked for is not known.
    Lost(usize),
}

/// Why records may be missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gap {
    /// No file has the position that was asked for.
    UnknownPosition,
    /// The log was rotated, and a file in between is gone or cannot be read.
    Rotated,
    /// The log was truncated or written anew, and no copy has what was in it.
    Truncated,
}

impl Gap {
    /// The word for it on the stream.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UnknownPosition => "unknown_position",
            Self::Rotated => "rotated",
            Self::Truncated => "truncated",
        }
    }
}

/// What a follower hears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// A record, or what came late to one.
    Record(Followed),
    /// Here records may be missing.
    Gap(Gap),
}

/// What a step found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What is new, oldest first.
    pub news: Vec<News>,
    /// Whether there may be more at once.
    pub more: bool,
}

/// Follows one log. Its methods block.
#[derive(Debug)]
pub struct LogFollower {
    place: LogPlace,
    filter: LogFilter,
    limits: TailLimits,
    linger: Duration,
    /// The log's name; the file that is read may have another by now.
    name: OsString,
    reader: LogReader,
    /// Files that were read to their ends, and since when nothing has come.
    late: VecDeque<(LogReader, Instant)>,
    seen: Seen,
    looked_at: Instant,
    is_lost: bool,
}

impl LogFollower {
    /// Opens the log of `place`. Rotated files are looked at for `linger` after their last line.
    ///
    /// # Errors
    /// There is none, or it cannot be read.
    pub fn open(
        place: LogPlace,
        filter: LogFilter,
        start: Start,
        limits: TailLimits,
        linger: Duration,
    ) -> Result<Self, LogError> {
        let mut log = place.open()?;
        let name = log.asked.clone();
        let family = Family::look(&place, &name)?.ok_or_else(|| io::Error::other("its folder changes too quickly"))?;
        let (Start::Last(count) | Start::After(_, count) | Start::Lost(count)) = start;
        let mut found = None;
        if let Start::After(mark, _) = start {
            if mark.is_in(&log.file)? {
                found = Some(mark.offset());
            } else if let Some(old) = holder_of(&place, &family, mark) {
                (log, found) = (old, Some(mark.offset()));
            }
        }
        let is_lost = found.is_none() && !matches!(start, Start::Last(_));
        let offset = match found {
            Some(offset) => offset,
            None => log_tail::start_of_last(&log.file, log.file.metadata()?.len(), count, &filter, limits)?,
        };
        let seen = family.up_to(log.identity);
        let reader = LogReader::open(log, filter.clone(), offset, limits)?;
        let (late, looked_at) = (VecDeque::new(), Instant::now());
        Ok(Self { place, filter, limits, linger, name, reader, late, seen, looked_at, is_lost })
    }

    /// Where it is: behind the last record that was handed out or passed over.
    #[must_use]
    pub fn mark(&self) -> Mark {
        self.reader.mark()
    }

    /// Whether the position that was asked for is not known, which the first step tells.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.is_lost
    }

    /// Reads what is new.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn step(&mut self) -> Result<Step, LogError> {
        let mut news = Vec::new();
        if std::mem::take(&mut self.is_lost) {
            news.push(News::Gap(Gap::UnknownPosition));
        }
        let mut records = Vec::new();
        let look = self.reader.look(&mut records)?;
        let more = match look {
            Look::More => true,
            Look::All => self.is_renewed(),
            Look::Rewritten => {
                if let Some(copy) = self.copy()? {
                    // the log is to be read after its copy
                    self.seen.files.remove(&self.reader.log().identity);
                    self.seen.files.insert(copy.identity);
                    self.reader.go_on_in(copy);
                } else {
                    self.reader.finish(&mut records);
                    news.extend(records.drain(..).map(News::Record));
                    news.push(News::Gap(Gap::Truncated));
                    self.reader.start_over()?;
                }
                true
            }
            Look::Nothing => match self.next()? {
                Some(next) => {
                    self.reader.finish(&mut records);
                    news.extend(records.drain(..).map(News::Record));
                    news.extend((!next.is_sure).then_some(News::Gap(Gap::Rotated)));
                    self.go_on_in(next)?;
                    true
                }
                None => {
                    self.reader.settle(&mut records);
                    false
                }
            },
        };
        news.extend(records.into_iter().map(News::Record));
        self.look_for_late_lines(&mut news);
        Ok(Step { news, more })
    }

    /// Whether another file has the log's name, and text.
    fn is_renewed(&self) -> bool {
        self.place.open_named(&self.name).is_ok_and(|log| {
            !self.seen.files.contains(&log.identity) && log.file.metadata().is_ok_and(|metadata| metadata.len() > 0)
        })
    }

    /// The file that goes on where this one has ended.
    fn next(&mut self) -> Result<Option<Next>, LogError> {
        let is_renewed = self.is_renewed();
        if !is_renewed && self.looked_at.elapsed() < LOOK {
            return Ok(None);
        }
        self.looked_at = Instant::now();
        let Some(mut family) = Family::look(&self.place, &self.name)? else { return Ok(None) };
        self.seen.keep(&family);
        let here = self.reader.log();
        // a link's file may have a name of its own
        let is_there = || self.place.open_named(&here.name).is_ok_and(|log| log.identity == here.identity);
        if family.find(here.identity).is_none() && is_there() {
            family.add_beside(here.name.clone(), here.identity);
        }
        let (mut seen, mut is_whole) = (self.seen.clone(), true);
        while let Some((next, is_sure)) = family.next(here.identity, &seen) {
            let log = self.place.open_named(&next.name);
            let Some(log) = log.ok().filter(|log| log.identity == next.identity) else {
                let there = self.place.files(|name| name == next.name)?;
                if !there.iter().any(|(_, metadata)| Identity::of(metadata) == next.identity) {
                    // rotated meanwhile
                    return Ok(None);
                }
                // a link out of the folder, or nothing that may be read
                is_whole &= next.relation == Relation::Beside;
                seen.files.insert(next.identity);
                continue;
            };
            let is_beside = matches!(next.relation, Relation::Beside | Relation::Named);
            if is_beside && has_same_front(&self.reader.log().file, &log.file)? {
                // somebody copies it
                seen.files.insert(next.identity);
                continue;
            }
            let was_renamed = family.find(here.identity).is_none_or(|at| at.relation != Relation::Same);
            let is_new_name = !is_renewed && (next.relation == Relation::Beside || is_beside && !was_renamed);
            return Ok(Some(Next { log, is_sure: is_sure && is_whole, is_new_name }));
        }
        Ok(None)
    }

    /// Another file that has all that was read of a log that was truncated.
    fn copy(&self) -> Result<Option<LogFile>, LogError> {
        let Some(family) = Family::look(&self.place, &self.name)? else { return Ok(None) };
        Ok(holder_of(&self.place, &family, self.reader.place()).filter(|log| log.identity != self.reader.log().identity))
    }

    fn go_on_in(&mut self, next: Next) -> Result<(), LogError> {
        let Next { log, is_new_name, .. } = next;
        self.seen.files.insert(log.identity);
        self.seen.names.insert(log.asked.clone());
        if is_new_name {
            self.name.clone_from(&log.asked);
        }
        let reader = LogReader::open(log, self.filter.clone(), 0, self.limits)?;
        let old = std::mem::replace(&mut self.reader, reader);
        self.late.push_back((old, Instant::now()));
        if self.late.len() > LATE_FILES {
            self.late.pop_front();
        }
        Ok(())
    }

    /// Reads what was written into files that are the log no more. Its mark is that of the log.
    fn look_for_late_lines(&mut self, news: &mut Vec<News>) {
        let (mark, linger) = (self.reader.mark(), self.linger);
        self.late.retain_mut(|(reader, quiet_since)| {
            let mut records = Vec::new();
            let look = reader.look(&mut records);
            match look {
                Ok(Look::More | Look::All) => *quiet_since = Instant::now(),
                Ok(Look::Nothing) => reader.settle(&mut records),
                Ok(Look::Rewritten) | Err(_) => return false,
            }
            news.extend(records.into_iter().map(|record| News::Record(Followed { mark, ..record })));
            quiet_since.elapsed() < linger
        });
    }
}

/// Where a log goes on.
struct Next {
    log: LogFile,
    /// Whether it is certain that nothing was in between.
    is_sure: bool,
    /// Whether the log has another name from here on.
    is_new_name: bool,
}

/// The file of `family`, other than the log itself, that has `mark`.
fn holder_of(place: &LogPlace, family: &Family, mark: Mark) -> Option<LogFile> {
    let may_have = |file: &&Relative| file.relation != Relation::Same && !file.is_packed && file.length >= mark.offset();
    let mut files: Vec<&Relative> = family.0.iter().filter(|_| mark.is_telling()).filter(may_have).collect();
    files.sort_by_key(|file| Reverse(file.modified));
    files.into_iter().take(MOST_SEARCHED).find_map(|file| {
        let log = place.open_named(&file.name).ok().filter(|log| log.identity == file.identity)?;
        mark.is_in(&log.file).is_ok_and(|is_in| is_in).then_some(log)
    })
}

/// Whether `other` begins as `log` does, as far as it goes.
fn has_same_front(log: &File, other: &File) -> io::Result<bool> {
    let front = log_tail::read(other, 0, FRONT)?;
    Ok(log_tail::read(log, 0, front.len())? == front)
}

#[cfg(test)]
mod tests;
