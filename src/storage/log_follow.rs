//! Follows a log as it grows: through rotation (renamed, and a new file in its place, or a new file beside it) and truncation.
//!
//! A follower is a position in an open file, so a slow reader costs no memory and loses nothing: the old file stays open until
//! all of it was read. Only files that come and go within [`INTERVAL`] are not seen.

use std::collections::HashSet;
use std::ffi::OsString;
use std::io;
use std::time::Duration;

use tokio::time::Instant;

use super::log_file::{Identity, LogError, LogFile, LogPlace};
use super::log_mark::{self, Mark, PRINT};
use super::log_tail::{self, MAX_RECORD, TailLimits, lines};
use crate::domain::log_filter::LogFilter;
use crate::domain::log_line::{Grouping, head};

/// How often a quiet log is looked at.
pub const INTERVAL: Duration = Duration::from_millis(250);
/// A record is whole when nothing was added for so long.
const SETTLED: Duration = Duration::from_millis(200);
/// How often a quiet log's folder is looked through for a new file.
const LOOK: Duration = Duration::from_secs(1);
/// Bytes read in one step.
const STEP: usize = 256 << 10;

/// Where to start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// With the last so many records.
    Last(usize),
    /// Behind this mark, if the log still has it; else with the last so many records.
    After(Mark, usize),
}

/// A record, and the mark behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Followed {
    /// Its text.
    pub text: String,
    /// To come back with.
    pub mark: Mark,
}

/// What a step found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// New records, oldest first.
    pub records: Vec<Followed>,
    /// Whether there may be more at once.
    pub more: bool,
}

/// Follows one log. Its methods block.
#[derive(Debug)]
pub struct LogFollower {
    place: LogPlace,
    filter: LogFilter,
    log: LogFile,
    /// Files that were read, or were there before and are of no interest.
    seen: HashSet<Identity>,
    known: HashSet<OsString>,
    /// Everything before was read.
    offset: u64,
    /// The last bytes before `offset`.
    print: Vec<u8>,
    known_form: bool,
    grouping: Grouping,
    /// The record that may still grow: its bytes without those beyond the longest, and how many those are.
    open: Vec<u8>,
    cut: u64,
    /// Read, but the line has no end yet.
    partial: Vec<u8>,
    partial_cut: u64,
    grown_at: Instant,
    /// Behind the last whole line.
    line_mark: Mark,
    /// Behind the last record that was handed out or passed over.
    mark: Mark,
    looked_at: Instant,
}

impl LogFollower {
    /// Opens the log of `place`.
    ///
    /// # Errors
    /// There is none, or it cannot be read.
    pub fn open(place: LogPlace, filter: LogFilter, start: Start, limits: TailLimits) -> Result<Self, LogError> {
        let log = place.open()?;
        let end = log.file.metadata()?.len();
        let offset = match start {
            Start::After(mark, _) if mark.is_in(&log.file, end)? => mark.offset(),
            Start::After(_, count) | Start::Last(count) => log_tail::start_of_last(&log.file, end, count, &filter, limits)?,
        };
        let known_form = log_tail::has_known_form(&log.file, end)?;
        let known = place.candidates()?.into_iter().collect();
        let mut follower = Self {
            place,
            filter,
            seen: HashSet::from([log.identity]),
            known,
            log,
            offset: 0,
            print: Vec::new(),
            known_form,
            grouping: Grouping::new(known_form),
            open: Vec::new(),
            cut: 0,
            partial: Vec::new(),
            partial_cut: 0,
            grown_at: Instant::now(),
            line_mark: Mark::new(0, &[]),
            mark: Mark::new(0, &[]),
            looked_at: Instant::now(),
        };
        follower.seek(offset)?;
        Ok(follower)
    }

    /// Where it is: behind the last record that was handed out or passed over.
    #[must_use]
    pub fn mark(&self) -> Mark {
        self.mark
    }

    /// Reads what is new.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn step(&mut self) -> Result<Step, LogError> {
        let mut records = Vec::new();
        let before = self.print.len();
        let from = self.offset - before as u64;
        let mut bytes = log_tail::read(&self.log.file, from, before + STEP)?;
        if !bytes.starts_with(&self.print) {
            // shorter than it was, or written anew from its front
            self.finish(&mut records);
            self.seek(0)?;
            return Ok(Step { records, more: true });
        }
        let new = bytes.split_off(before);
        if !new.is_empty() {
            self.grown_at = Instant::now();
            self.take(&new, &mut records);
            return Ok(Step { records, more: new.len() == STEP || self.renewed().is_some() });
        }
        if let Some(next) = self.next_log() {
            self.finish(&mut records);
            self.seen.insert(next.identity);
            self.known.extend(self.place.candidates()?);
            self.log = next;
            self.known_form = log_tail::has_known_form(&self.log.file, self.log.file.metadata()?.len())?;
            self.seek(0)?;
            return Ok(Step { records, more: true });
        }
        if self.partial.is_empty() && self.grown_at.elapsed() >= SETTLED {
            self.close_record(&mut records);
        }
        Ok(Step { records, more: false })
    }

    /// Goes on from `offset`, with nothing at hand.
    fn seek(&mut self, offset: u64) -> io::Result<()> {
        self.offset = offset;
        self.print = log_mark::print(&self.log.file, offset)?;
        self.grouping = Grouping::new(self.known_form);
        (self.open, self.cut, self.partial, self.partial_cut) = (Vec::new(), 0, Vec::new(), 0);
        self.line_mark = Mark::new(offset, &self.print);
        self.mark = self.line_mark;
        self.grown_at = Instant::now();
        Ok(())
    }

    /// The file that has taken the log's place, once something was written to it.
    fn next_log(&mut self) -> Option<LogFile> {
        // the same name first; then a name that was not there before, for logs with a date in their names
        let renewed = self.renewed();
        if renewed.is_some() {
            return renewed;
        }
        if self.looked_at.elapsed() < LOOK {
            return None;
        }
        self.looked_at = Instant::now();
        let is_next = |log: &LogFile| !self.seen.contains(&log.identity) && has_text(log);
        let names = self.place.candidates().ok()?;
        names.iter().filter(|name| !self.known.contains(*name)).find_map(|name| self.place.open_named(name).ok().filter(is_next))
    }

    /// The file that has taken the log's place under its name.
    fn renewed(&self) -> Option<LogFile> {
        self.place.open_named(&self.log.name).ok().filter(|log| log.identity != self.log.identity && has_text(log))
    }

    /// Takes new bytes, and hands out the records that are whole with them.
    fn take(&mut self, new: &[u8], records: &mut Vec<Followed>) {
        if !self.known_form && lines(new).any(|line| head(new.get(line).unwrap_or_default()).is_some()) {
            self.known_form = true;
            self.grouping = Grouping::new(true);
        }
        for line in lines(new) {
            let whole = line.end < new.len();
            let text = new.get(line.clone()).unwrap_or_default();
            if !whole {
                self.advance(text);
                self.partial_cut += extend(&mut self.partial, text);
                return;
            }
            let mut partial = std::mem::take(&mut self.partial);
            let cut = std::mem::take(&mut self.partial_cut) + extend(&mut partial, text);
            if self.grouping.begins(&partial) {
                self.close_record(records);
            }
            self.advance(text);
            self.advance(b"\n");
            self.line_mark = Mark::new(self.offset, &self.print);
            partial.push(b'\n');
            self.cut += cut + extend(&mut self.open, &partial);
        }
    }

    /// Hands out the open record, if it is asked for.
    fn close_record(&mut self, records: &mut Vec<Followed>) {
        let (record, cut) = (std::mem::take(&mut self.open), std::mem::take(&mut self.cut));
        if record.is_empty() {
            return;
        }
        self.mark = self.line_mark;
        if !record.trim_ascii().is_empty() && self.filter.takes(&record) {
            records.push(Followed { text: log_tail::text(&record, cut), mark: self.mark });
        }
    }

    /// The file ends here for good.
    fn finish(&mut self, records: &mut Vec<Followed>) {
        let partial = std::mem::take(&mut self.partial);
        if !partial.is_empty() {
            if self.grouping.begins(&partial) {
                self.close_record(records);
            }
            self.cut += std::mem::take(&mut self.partial_cut) + extend(&mut self.open, &partial);
        }
        self.close_record(records);
    }

    /// Moves on over `bytes`.
    fn advance(&mut self, bytes: &[u8]) {
        self.offset += bytes.len() as u64;
        let kept = bytes.get(bytes.len().saturating_sub(PRINT)..).unwrap_or_default();
        let surplus = (self.print.len() + kept.len()).saturating_sub(PRINT);
        self.print.drain(..surplus);
        self.print.extend_from_slice(kept);
    }
}

fn has_text(log: &LogFile) -> bool {
    log.file.metadata().is_ok_and(|metadata| metadata.len() > 0)
}

/// Adds to a record what it may still hold, and answers how much it may not.
fn extend(record: &mut Vec<u8>, bytes: &[u8]) -> u64 {
    let room = bytes.len().min(MAX_RECORD.saturating_sub(record.len()));
    record.extend_from_slice(bytes.get(..room).unwrap_or_default());
    (bytes.len() - room) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::engine::EngineName;
    use std::fs::{self, OpenOptions};
    use std::io::Write as _;
    use std::path::{Path, PathBuf};
    use tempfile::TempDir;

    struct World {
        folder: TempDir,
    }

    impl World {
        fn new() -> Self {
            tokio::time::pause();
            Self { folder: tempfile::tempdir().unwrap() }
        }

        fn path(&self, name: &str) -> PathBuf {
            self.folder.path().join(name)
        }

        fn write(&self, text: &str) {
            append(&self.path("fno.log"), text);
        }

        fn follow(&self, filter: LogFilter, start: Start) -> LogFollower {
            let place = LogPlace::new(EngineName::parse("fno").unwrap(), self.folder.path(), None);
            LogFollower::open(place, filter, start, TailLimits::default()).unwrap()
        }
    }

    fn append(path: &Path, text: &str) {
        OpenOptions::new().create(true).append(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
    }

    fn line(n: usize) -> String {
        format!("2024-08-05 09:10:00 [INFO] a - {n:03}\n")
    }

    /// What is new once everything has settled: the last letters of each record.
    async fn news(follower: &mut LogFollower) -> Vec<String> {
        let mut news = Vec::new();
        for _ in 0..6 {
            while {
                let step = follower.step().unwrap();
                news.extend(step.records.into_iter().map(|record| record.text));
                step.more
            } {}
            tokio::time::advance(INTERVAL).await;
        }
        news.iter().map(|text| text.get(text.len() - 3..).unwrap().to_owned()).collect()
    }

    #[actix_web::test]
    async fn a_follower_starts_with_the_last_records_and_goes_on_with_new_ones() {
        let world = World::new();
        (0..10).for_each(|n| world.write(&line(n)));
        let mut follower = world.follow(LogFilter::default(), Start::Last(2));
        assert_eq!(news(&mut follower).await, ["008", "009"]);
        world.write(&line(10));
        assert_eq!(news(&mut follower).await, ["010"]);
        world.write("2024-08-05 09:10:00 [ERROR] a - half");
        assert_eq!(news(&mut follower).await, [""; 0]);
        world.write(" a line\nTraceback (most recent call last):\n  File\nKeyError: 'xyz\n");
        assert_eq!(news(&mut follower).await, ["xyz"]);
        assert_eq!(news(&mut world.follow(LogFilter::default(), Start::Last(0))).await, [""; 0]);
    }

    #[actix_web::test]
    async fn what_was_written_before_and_after_a_rotation_is_all_delivered() {
        let world = World::new();
        world.write(&line(0));
        let mut follower = world.follow(LogFilter::default(), Start::Last(5));
        assert_eq!(news(&mut follower).await, ["000"]);
        world.write(&line(1));
        fs::rename(world.path("fno.log"), world.path("fno.1.log")).unwrap();
        append(&world.path("fno.1.log"), &line(2));
        assert_eq!(news(&mut follower).await, ["001", "002"]);
        world.write("");
        append(&world.path("fno.1.log"), &line(3));
        assert_eq!(news(&mut follower).await, ["003"], "the writer has not gone on to the new file yet");
        world.write(&line(4));
        assert_eq!(news(&mut follower).await, ["004"]);
        append(&world.path("fno_2024-08-06.log"), &line(5));
        assert_eq!(news(&mut follower).await, ["005"], "a new file with a date in its name");
        assert_eq!(follower.log.name, "fno_2024-08-06.log");
    }

    #[actix_web::test]
    async fn a_truncated_file_is_read_from_its_front_even_if_it_has_grown_beyond() {
        let world = World::new();
        (0..3).for_each(|n| world.write(&line(n)));
        let mut follower = world.follow(LogFilter::default(), Start::Last(1));
        assert_eq!(news(&mut follower).await, ["002"]);
        fs::write(world.path("fno.log"), line(3)).unwrap();
        assert_eq!(news(&mut follower).await, ["003"]);
        fs::write(world.path("fno.log"), (4..9).map(line).collect::<String>()).unwrap();
        assert_eq!(news(&mut follower).await, ["004", "005", "006", "007", "008"]);
    }

    #[actix_web::test]
    async fn a_reader_that_comes_back_with_its_mark_misses_and_doubles_nothing() {
        let world = World::new();
        (0..5).for_each(|n| world.write(&line(n)));
        let mut follower = world.follow(LogFilter::default(), Start::Last(3));
        let first = follower.step().unwrap().records;
        let mark: Mark = first.first().unwrap().mark.to_string().parse().unwrap();
        world.write(&line(5));
        assert_eq!(news(&mut world.follow(LogFilter::default(), Start::After(mark, 1))).await, ["003", "004", "005"]);
        fs::write(world.path("fno.log"), (10..20).map(line).collect::<String>()).unwrap();
        assert_eq!(news(&mut world.follow(LogFilter::default(), Start::After(mark, 1))).await, ["019"], "another file");
    }

    #[actix_web::test]
    async fn a_filter_passes_over_records_and_a_huge_line_is_cut() {
        let world = World::new();
        world.write(&line(0));
        let filter = LogFilter { text: Some("b -".into()), ..LogFilter::default() };
        let mut follower = world.follow(filter, Start::Last(5));
        let before = follower.mark();
        world.write(&line(1));
        assert_eq!(news(&mut follower).await, [""; 0]);
        assert_ne!(follower.mark(), before);
        world.write(&format!("2024-08-05 09:10:00 [INFO] b - {}\n", "x".repeat(1 << 20)));
        assert_eq!(news(&mut follower).await, ["es)"]);
    }
}
