//! A history of decisions: a file with one JSON object a line, each synced before it counts.
//!
//! A line that a crash cut off, or that somebody broke, is left as it is, skipped and counted; the next line begins on a
//! line of its own, so a broken one never hides a good one.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::RwLock;
use serde_json::value::RawValue;

use super::line_file;

/// So many lines are kept at hand: as many as one may ask for.
pub const KEPT: usize = 1_000;
/// From the end of a file that is larger, in bytes, no more is read.
const TAIL: u64 = 16 << 20;

/// The newest lines, oldest first, and how many were broken. Read by routes, written by the log alone.
pub type Recent = Arc<RwLock<Lines>>;

/// What is at hand of a history.
#[derive(Debug, Default)]
pub struct Lines {
    /// Good lines, oldest first, at most [`KEPT`].
    pub lines: VecDeque<Box<RawValue>>,
    /// Lines that were broken when the file was read.
    pub broken: u64,
}

/// The history.
#[derive(Debug)]
pub struct AuditLog {
    path: PathBuf,
    recent: Recent,
}

impl AuditLog {
    /// Reads the history at `path`, if there is one; lines that `is_good` refuses are counted as broken.
    ///
    /// # Errors
    /// It is there and cannot be read.
    pub fn open(path: PathBuf, is_good: impl Fn(&str) -> bool) -> io::Result<Self> {
        let recent = Recent::default();
        match tail(&path) {
            Ok(bytes) => read(&bytes, is_good, &mut recent.write()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        Ok(Self { path, recent })
    }

    /// A history of which nothing is known, since it cannot be read; it may still be possible to add to it.
    #[must_use]
    pub fn unread(path: PathBuf) -> Self {
        Self { path, recent: Recent::default() }
    }

    /// The newest lines, for whoever wants to read along.
    #[must_use]
    pub fn recent(&self) -> Recent {
        Arc::clone(&self.recent)
    }

    /// The text of the newest line.
    #[must_use]
    pub fn last(&self) -> Option<String> {
        self.recent.read().lines.back().map(|line| line.get().to_owned())
    }

    /// Adds a line, which is JSON, durably; blocks. The folder must exist.
    ///
    /// # Errors
    /// It could not be written; what was there is still there.
    pub fn append(&mut self, line: &str) -> io::Result<()> {
        let json = RawValue::from_string(line.to_owned())?;
        // a link to the history stays a link
        let path = fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        line_file::append(&path, format!("{line}\n").as_bytes(), u64::MAX)?;
        push(&mut self.recent.write().lines, json);
        Ok(())
    }
}

fn push(lines: &mut VecDeque<Box<RawValue>>, line: Box<RawValue>) {
    if lines.len() == KEPT {
        lines.pop_front();
    }
    lines.push_back(line);
}

fn read(bytes: &[u8], is_good: impl Fn(&str) -> bool, into: &mut Lines) {
    for line in bytes.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty()) {
        let good = std::str::from_utf8(line).ok().filter(|text| is_good(text));
        match good.and_then(|text| RawValue::from_string(text.to_owned()).ok()) {
            Some(json) => push(&mut into.lines, json),
            None => into.broken += 1,
        }
    }
}

fn tail(path: &Path) -> io::Result<Vec<u8>> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a file"));
    }
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let from = length.saturating_sub(TAIL);
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.take(TAIL).read_to_end(&mut bytes)?;
    if from > 0 {
        let first = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(0);
        bytes.drain(..first);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(path: &Path) -> AuditLog {
        AuditLog::open(path.to_owned(), |line| line.starts_with('{')).expect("opened")
    }

    fn lines(log: &AuditLog) -> Vec<String> {
        log.recent().read().lines.iter().map(|line| line.get().to_owned()).collect()
    }

    #[test]
    fn a_line_that_was_cut_off_is_counted_and_hides_none_before_or_after_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("history.jsonl");
        let mut log = open(&path);
        log.append(r#"{"n":1}"#).expect("added");
        fs::write(&path, b"{\"n\":1}\n\xff\xff\n[]\n\n{\"n\":2").expect("broken");
        let mut log = open(&path);
        assert_eq!((lines(&log), log.recent().read().broken), (vec![r#"{"n":1}"#.to_owned()], 3));
        log.append(r#"{"n":3}"#).expect("added");
        let log = open(&path);
        assert_eq!(lines(&log), [r#"{"n":1}"#, r#"{"n":3}"#]);
        assert_eq!((log.last().as_deref(), log.recent().read().broken), (Some(r#"{"n":3}"#), 3));
        assert!(fs::read(&path).expect("read").starts_with(b"{\"n\":1}\n\xff"), "what was there stays");
    }

    #[test]
    fn only_the_newest_lines_are_at_hand() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("history.jsonl");
        let text: String = (0..KEPT + 5).map(|n| format!("{{\"n\":{n}}}\n")).collect();
        fs::write(&path, text).expect("written");
        let kept = lines(&open(&path));
        assert_eq!((kept.len(), kept[0].as_str()), (KEPT, r#"{"n":5}"#));
    }

    #[test]
    fn a_link_to_a_history_stays_a_link() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, link) = (folder.path().join("elsewhere.jsonl"), folder.path().join("history.jsonl"));
        fs::write(&path, "").expect("written");
        std::os::unix::fs::symlink(&path, &link).expect("linked");
        open(&link).append(r#"{"n":1}"#).expect("added");
        assert_eq!((lines(&open(&path)).len(), link.is_symlink()), (1, true));
    }

    #[test]
    fn what_cannot_be_read_is_an_error_and_what_is_no_json_is_not_added() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(AuditLog::open(folder.path().to_owned(), |_| true).is_err());
        let mut log = open(&folder.path().join("history.jsonl"));
        assert!(log.append("{").is_err() && log.last().is_none());
    }
}
