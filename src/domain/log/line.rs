//! The log lines that engines in the field write: where a record begins and how serious it is.
//!
//! Known forms: a date and time followed by a level (Python's logging in its usual layouts, loguru, tracing), a level
//! followed by a colon (Python's default), and JSON objects, one a line. Everything works on bytes, since logs are not
//! always UTF-8.

use std::ops::Range;
use std::str::FromStr;

use super::json;

/// How serious a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Finer than debug.
    Trace,
    /// For developers.
    Debug,
    /// Normal.
    Info,
    /// Look at this.
    Warning,
    /// Something failed.
    Error,
    /// Something that matters failed.
    Critical,
}

impl Level {
    const WORDS: [(&'static str, Self); 12] = [
        ("trace", Self::Trace),
        ("debug", Self::Debug),
        ("info", Self::Info),
        ("notice", Self::Info),
        ("success", Self::Info),
        ("warning", Self::Warning),
        ("warn", Self::Warning),
        ("error", Self::Error),
        ("err", Self::Error),
        ("critical", Self::Critical),
        ("crit", Self::Critical),
        ("fatal", Self::Critical),
    ];

    /// The level that a log calls `word`, in any case.
    #[must_use]
    pub fn of_word(word: &[u8]) -> Option<Self> {
        Self::WORDS.iter().find(|(known, _)| word.eq_ignore_ascii_case(known.as_bytes())).map(|(_, level)| *level)
    }
}

impl FromStr for Level {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::of_word(text.as_bytes()).ok_or("must be trace, debug, info, warning, error or critical")
    }
}

/// What the first line of a record says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Head {
    /// Its level, if it names one.
    pub level: Option<Level>,
    /// Where in the line the level's word stands; not known for JSON.
    pub word: Option<Range<usize>>,
}

/// Reads `line` as the first line of a record; `None` for one of an unknown form, which is most often a part of the record
/// before it.
///
/// ```
/// use plimsoll::domain::log::line::{Level, head};
/// assert_eq!(head(b"2025-11-18 09:15:00,123 [ERROR] broker: refused").unwrap().level, Some(Level::Error));
/// assert_eq!(head(b"  File \"engine.py\", line 7, in run"), None);
/// ```
#[must_use]
pub fn head(line: &[u8]) -> Option<Head> {
    if json::is_record(line) {
        return Some(Head { level: json::level(line), word: None });
    }
    let mut scan = Scan { line, at: 0 };
    scan.blanks();
    if scan.time() {
        let word = scan.level();
        return Some(Head { level: word.clone().and_then(|at| Level::of_word(line.get(at)?)), word });
    }
    let word = scan.bare_level()?;
    Some(Head { level: Level::of_word(line.get(word.clone())?), word: Some(word) })
}

/// The level of a whole record; one of an unknown form with a traceback is an error.
#[must_use]
pub fn level(record: &[u8]) -> Option<Level> {
    let first = record.get(..memchr::memchr(b'\n', record).unwrap_or(record.len())).unwrap_or_default();
    match head(first) {
        Some(head) => head.level,
        None => record.split(|byte| *byte == b'\n').any(|line| line.starts_with(TRACEBACK)).then_some(Level::Error),
    }
}

const TRACEBACK: &[u8] = b"Traceback (most recent call last)";

/// Lines that belong to a traceback without being indented.
const IN_TRACEBACKS: [&[u8]; 4] =
    [TRACEBACK, b"During handling of the above exception", b"The above exception was the direct cause", b"Caused by:"];

/// Tells, line by line, where records begin.
///
/// In a log of a known form every other line goes with the record before it. In any other log a line is a record of its
/// own, unless it is blank, indented or a part of a traceback.
#[derive(Debug, Clone)]
pub struct Grouping {
    known_form: bool,
    /// Whether the line before was indented.
    indented: bool,
}

impl Grouping {
    /// For a log whose lines are of a known form, or not.
    #[must_use]
    pub fn new(known_form: bool) -> Self {
        Self { known_form, indented: false }
    }

    /// Passes a line of which the front is not seen. The next one then begins a record only if it does behind any line.
    pub fn pass_unseen(&mut self) {
        self.indented = true;
    }

    /// Whether `line` begins a record; lines come in order.
    pub fn begins(&mut self, line: &[u8]) -> bool {
        let after_indented = std::mem::replace(&mut self.indented, line.first().is_some_and(|byte| b" \t".contains(byte)));
        if head(line).is_some() {
            return true;
        }
        if self.known_form || self.indented || line.trim_ascii().is_empty() {
            return false;
        }
        let in_traceback = IN_TRACEBACKS.iter().any(|text| line.starts_with(text));
        !(in_traceback || after_indented && is_exception(line))
    }
}

/// Whether `line` looks like the last one of a traceback: `ValueError: text`, `engine.errors.Refused`.
fn is_exception(line: &[u8]) -> bool {
    let name =
        line.iter().position(|byte| *byte == b':' || *byte == b'\r').map_or(line, |end| line.get(..end).unwrap_or_default());
    let in_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"_.".contains(byte);
    name.first().is_some_and(u8::is_ascii_alphabetic) && name.iter().all(in_name)
}

/// Reads a line from its start.
struct Scan<'a> {
    line: &'a [u8],
    at: usize,
}

/// Most words between the time and the level: `time - name - thread - LEVEL - message`.
const MOST_WORDS: usize = 6;

impl<'a> Scan<'a> {
    fn rest(&self) -> &'a [u8] {
        self.line.get(self.at..).unwrap_or_default()
    }

    fn take(&mut self, bytes: &[u8]) -> bool {
        let taken = self.rest().first().is_some_and(|byte| bytes.contains(byte));
        self.at += usize::from(taken);
        taken
    }

    /// Passes blanks and colours.
    fn blanks(&mut self) {
        loop {
            if self.rest().starts_with(b"\x1b[") {
                self.at += self.rest().iter().position(|byte| *byte == b'm').map_or(2, |end| end + 1);
            } else if !self.take(b" \t") {
                return;
            }
        }
    }

    /// Passes digits and marks as `form` has them: `d` is a digit.
    fn form(&mut self, form: &[u8]) -> bool {
        let rest = self.rest();
        let fits = rest.len() >= form.len()
            && form.iter().zip(rest).all(|(form, byte)| if *form == b'd' { byte.is_ascii_digit() } else { form == byte });
        if fits {
            self.at += form.len();
        }
        fits
    }

    /// Passes a time with or without a date.
    fn time(&mut self) -> bool {
        let start = self.at;
        self.take(b"[");
        if self.form(b"dddd-dd-dd") || self.form(b"dddd/dd/dd") {
            self.take(b"T ");
        }
        if !self.form(b"dd:dd:dd") {
            self.at = start;
            return false;
        }
        if self.take(b".,") {
            while self.take(b"0123456789") {}
        }
        if !self.take(b"Z") && self.rest().first().is_some_and(|byte| b"+-".contains(byte)) {
            let _ = [&b"+dd:dd"[..], b"-dd:dd", b"+dddd", b"-dddd"].into_iter().any(|form| self.form(form));
        }
        self.take(b"]");
        true
    }

    /// The next word, or what stands in brackets.
    fn word(&mut self) -> Option<Range<usize>> {
        self.blanks();
        let rest = self.rest();
        let end = match rest.first()? {
            b'[' => rest.iter().position(|byte| *byte == b']').map(|end| end + 1),
            _ => rest.iter().position(|byte| b" \t\r\x1b".contains(byte)),
        };
        let start = self.at;
        self.at += end.unwrap_or(rest.len());
        Some(start..self.at)
    }

    /// Where the level stands behind a time: the first word, or one behind names that are set off by brackets or dashes.
    fn level(&mut self) -> Option<Range<usize>> {
        for _ in 0..MOST_WORDS {
            let word = self.word()?;
            let text = self.line.get(word.clone())?;
            let bare = trimmed(self.line, word);
            let name = self.line.get(bare.clone())?;
            if Level::of_word(name).is_some() && (text.starts_with(b"[") || name.iter().all(u8::is_ascii_uppercase)) {
                return Some(bare);
            }
            let set_off = name.is_empty() || text.starts_with(b"[") || {
                self.blanks();
                self.rest().first().is_some_and(|byte| b"-|".contains(byte))
            };
            if !set_off {
                return None;
            }
        }
        None
    }

    /// Where the level stands in a line that begins with it and a colon: `WARNING:broker:late`, `INFO:     started`.
    fn bare_level(&mut self) -> Option<Range<usize>> {
        let end = self.at + self.rest().iter().take(10).position(|byte| *byte == b':')?;
        let word = self.line.get(self.at..end)?;
        let is_level = word.iter().all(u8::is_ascii_uppercase) && Level::of_word(word).is_some();
        is_level.then_some(self.at..end)
    }
}

/// A word's place without the marks around it.
fn trimmed(line: &[u8], mut word: Range<usize>) -> Range<usize> {
    let mark = |at: usize| line.get(at).is_some_and(|byte| b"[](){}<>|:-, \t".contains(byte));
    while word.start < word.end && mark(word.start) {
        word.start += 1;
    }
    while word.start < word.end && mark(word.end - 1) {
        word.end -= 1;
    }
    word
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_forms_of_the_field_are_recognised_with_their_levels() {
        for (line, level) in [
            ("2025-11-18 09:15:00,123 [INFO] name: message", Level::Info),
            ("2024-08-05 09:10:00 [WARNING] core.engine_bootstrap - late", Level::Warning),
            ("2025-11-20T07:16:44.634Z  INFO target: ERROR in the message", Level::Info),
            ("2025-11-20T07:16:44.634567+05:30 ERROR target: message", Level::Error),
            (
                "\u{1b}[2m2025-11-20T07:16:44.634Z\u{1b}[0m \u{1b}[31mERROR\u{1b}[0m \u{1b}[2mtarget\u{1b}[0m: message",
                Level::Error,
            ),
            ("2025-11-18 09:15:00,123 - name - CRITICAL - message", Level::Critical),
            ("2025-11-18 09:15:00.123 | DEBUG    | module:run:12 - message", Level::Debug),
            ("[2025-11-18 09:15:00] [fno] [ error ] message", Level::Error),
            ("09:15:00 FATAL message", Level::Critical),
            ("WARNING:root:message", Level::Warning),
            ("INFO:     started", Level::Info),
            (r#"{"ts": "2024-08-05T03:40:00.001261+00:00", "level": "ERROR", "logger": "a", "message": "b"}"#, Level::Error),
        ] {
            assert_eq!(head(line.as_bytes()).and_then(|head| head.level), Some(level), "{line}");
        }
    }

    #[test]
    fn a_time_without_a_level_begins_a_record_and_other_lines_do_not() {
        assert_eq!(head(b"2025-11-18 09:15:00 the broker said ERROR"), Some(Head::default()));
        for line in [
            "",
            "  File \"a.py\", line 1",
            "TypeError: no",
            "2025-11-18",
            "Traceback (most recent call last):",
            "{",
            "{\"a\": 1}",
        ] {
            assert_eq!(head(line.as_bytes()), None, "{line}");
        }
    }

    fn records(known_form: bool, text: &str) -> Vec<Vec<&str>> {
        let mut grouping = Grouping::new(known_form);
        let mut records: Vec<Vec<&str>> = Vec::new();
        for line in text.lines() {
            match records.last_mut() {
                Some(record) if !grouping.begins(line.as_bytes()) => record.push(line),
                _ => records.push(vec![line]),
            }
        }
        records
    }

    #[test]
    fn a_traceback_stays_with_its_line() {
        let text = "2024-08-05 09:29:59 [WARNING] e - Failed\nTraceback (most recent call last):\n  File \"a\", line 1, in b\n    \
                    c()\n    ~^~\nTypeError: no\nand a note\n\n2024-08-05 09:30:00 [INFO] e - next";
        assert_eq!(records(true, text).iter().map(Vec::len).collect::<Vec<_>>(), [8, 1]);
    }

    #[test]
    fn in_a_log_of_no_known_form_lines_stand_alone_but_tracebacks_hold_together() {
        let text = "started\nworking\nTraceback (most recent call last):\n  File \"a\"\nValueError: x\n\nDuring handling of the above \
                    exception, another exception occurred:\n\nworking again";
        assert_eq!(records(false, text).iter().map(Vec::len).collect::<Vec<_>>(), [1, 7, 1]);
        assert_eq!(level(b"failed\nTraceback (most recent call last):\n  File"), Some(Level::Error));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(line: Vec<u8>) {
            let _ = head(&line);
            let _ = Grouping::new(false).begins(&line);
        }
    }
}
