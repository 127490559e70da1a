//! Reads one log file as it grows, record by record.

use std::io;
use std::time::Duration;

use tokio::time::Instant;

use super::log_file::LogFile;
use super::log_mark::{self, Mark, PRINT};
use super::log_tail::{self, TailLimits, lines};
use crate::domain::log::filter::LogFilter;
use crate::domain::log::line::{Grouping, head};
use crate::domain::log::record::{OpenRecord, Part, extend};

/// A record is handed out when nothing was added for so long.
const SETTLED: Duration = Duration::from_millis(200);
/// Bytes read in one step.
const STEP: usize = 256 << 10;

/// A record or what came late to one, and the mark behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Followed {
    /// Its text.
    pub text: String,
    /// Whether it goes on with a record that was handed out before.
    pub continued: bool,
    /// To come back with.
    pub mark: Mark,
}

/// What a look at the file found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// Text, and there may be more at once.
    More,
    /// Text, all of it.
    All,
    /// Nothing new.
    Nothing,
    /// What was read before is not there any more.
    Rewritten,
}

/// One file, and how far it was read. Its methods block.
#[derive(Debug)]
pub(super) struct LogReader {
    log: LogFile,
    filter: LogFilter,
    limits: TailLimits,
    /// Everything before was read.
    offset: u64,
    /// The last bytes before `offset`.
    print: Vec<u8>,
    known_form: bool,
    grouping: Grouping,
    /// The record that may still grow.
    record: OpenRecord,
    /// Read, but the line has no end yet.
    partial: Vec<u8>,
    partial_cut: u64,
    grown_at: Instant,
    /// Behind the last whole line.
    line_mark: Mark,
    /// Behind the last record that was handed out or passed over.
    mark: Mark,
}

impl LogReader {
    /// Begins at `offset`. What is written there may belong to the record before, so that one is looked at too.
    pub(super) fn open(log: LogFile, filter: LogFilter, offset: u64, limits: TailLimits) -> io::Result<Self> {
        let mut reader = Self {
            log,
            filter,
            limits,
            offset: 0,
            print: Vec::new(),
            known_form: false,
            grouping: Grouping::new(false),
            record: OpenRecord::new(limits.record),
            partial: Vec::new(),
            partial_cut: 0,
            grown_at: Instant::now(),
            line_mark: Mark::new(0, &[]),
            mark: Mark::new(0, &[]),
        };
        let offset = reader.start_of_line(offset)?;
        reader.seek(offset)?;
        reader.know_record_before()?;
        Ok(reader)
    }

    /// The file.
    pub(super) fn log(&self) -> &LogFile {
        &self.log
    }

    /// Behind the last record that was handed out or passed over.
    pub(super) fn mark(&self) -> Mark {
        self.mark
    }

    /// Where it is: behind all that was read.
    pub(super) fn place(&self) -> Mark {
        Mark::new(self.offset, &self.print)
    }

    /// Reads on.
    pub(super) fn look(&mut self, records: &mut Vec<Followed>) -> io::Result<Look> {
        let before = self.print.len();
        let from = self.offset - before as u64;
        let mut bytes = log_tail::read(&self.log.file, from, before + STEP)?;
        if !bytes.starts_with(&self.print) {
            // shorter than it was, or written anew from its front
            return Ok(Look::Rewritten);
        }
        let new = bytes.split_off(before);
        if new.is_empty() {
            return Ok(Look::Nothing);
        }
        self.grown_at = Instant::now();
        self.take(&new, records);
        Ok(if new.len() == STEP { Look::More } else { Look::All })
    }

    /// Hands out what has not grown for a while.
    pub(super) fn settle(&mut self, records: &mut Vec<Followed>) {
        if self.partial.is_empty() && self.grown_at.elapsed() >= SETTLED {
            self.mark = self.line_mark;
            let part = self.record.part(&self.filter);
            self.hand_out(part, records);
        }
    }

    /// Hands out all there is: the file has most likely come to its end.
    pub(super) fn finish(&mut self, records: &mut Vec<Followed>) {
        let partial = std::mem::take(&mut self.partial);
        if !partial.is_empty() {
            if self.grouping.begins(&partial) {
                self.end_record(records);
            }
            self.record.add(&partial, std::mem::take(&mut self.partial_cut));
        }
        self.mark = self.line_mark;
        let part = self.record.part(&self.filter);
        self.hand_out(part, records);
    }

    /// Reads the file from its front.
    pub(super) fn start_over(&mut self) -> io::Result<()> {
        self.seek(0)
    }

    /// Goes on in `copy`, which has all that was read.
    pub(super) fn go_on_in(&mut self, copy: LogFile) {
        self.log = copy;
    }

    /// Goes on from `offset`, with nothing at hand.
    fn seek(&mut self, offset: u64) -> io::Result<()> {
        self.known_form = log_tail::has_known_form(&self.log.file, self.log.file.metadata()?.len())?;
        self.offset = offset;
        self.print = log_mark::print(&self.log.file, offset)?;
        self.grouping = Grouping::new(self.known_form);
        self.record = OpenRecord::new(self.limits.record);
        (self.partial, self.partial_cut) = (Vec::new(), 0);
        self.line_mark = Mark::new(offset, &self.print);
        self.mark = self.line_mark;
        self.grown_at = Instant::now();
        Ok(())
    }

    /// Where the line begins that `offset` is in; `offset` itself in a line that is too long.
    fn start_of_line(&self, offset: u64) -> io::Result<u64> {
        let count = self.limits.record.min(usize::try_from(offset).unwrap_or(self.limits.record));
        let from = offset - count as u64;
        let before = log_tail::read(&self.log.file, from, count)?;
        Ok(match memchr::memrchr(b'\n', &before) {
            Some(at) => from + at as u64 + 1,
            None if from == 0 => 0,
            None => offset,
        })
    }

    /// Takes the record that ends here as handed out, if it is asked for: only what is added to it is news.
    fn know_record_before(&mut self) -> io::Result<()> {
        let start = log_tail::start_of_last(&self.log.file, self.offset, 1, &LogFilter::default(), self.limits)?;
        let size = self.offset - start;
        let count = self.limits.record.min(usize::try_from(size).unwrap_or(self.limits.record));
        let bytes = log_tail::read(&self.log.file, start, count)?;
        for line in lines(&bytes) {
            self.grouping.begins(bytes.get(line).unwrap_or_default());
        }
        self.record.add(&bytes, size - count as u64);
        let _ = self.record.part(&self.filter);
        Ok(())
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
                self.partial_cut += extend(&mut self.partial, text, self.limits.record);
                return;
            }
            let mut partial = std::mem::take(&mut self.partial);
            let cut = std::mem::take(&mut self.partial_cut) + extend(&mut partial, text, self.limits.record);
            if self.grouping.begins(&partial) {
                self.end_record(records);
            }
            self.advance(text);
            self.advance(b"\n");
            self.line_mark = Mark::new(self.offset, &self.print);
            partial.push(b'\n');
            self.record.add(&partial, cut);
        }
    }

    fn end_record(&mut self, records: &mut Vec<Followed>) {
        self.mark = self.line_mark;
        let part = self.record.end(&self.filter);
        self.hand_out(part, records);
    }

    fn hand_out(&self, part: Option<Part>, records: &mut Vec<Followed>) {
        records.extend(part.map(|Part { text, continued }| Followed { text, continued, mark: self.mark }));
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
