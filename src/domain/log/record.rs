//! The last record of a growing log. It is handed out once nothing was added for a while, without knowing whether it is whole;
//! what is added afterwards belongs to it still, and follows it wherever it went.

use super::filter::LogFilter;

/// A record, or what was added to it after it was handed out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Its lines.
    pub text: String,
    /// Whether it goes on with the record that was handed out before.
    pub continued: bool,
}

/// A record under way.
#[derive(Debug, Clone)]
pub struct OpenRecord {
    /// Most bytes that are held.
    most: usize,
    /// What was not handed out: no more than `most`.
    bytes: Vec<u8>,
    /// Bytes beyond.
    cut: u64,
    /// Whether its front was handed out.
    continued: bool,
    /// Whether something was added since the filter was asked.
    grown: bool,
}

impl OpenRecord {
    /// One without any line, which will hold `most` bytes.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self { most, bytes: Vec::new(), cut: 0, continued: false, grown: false }
    }

    /// Adds `line`, behind which `cut` bytes are missing.
    pub fn add(&mut self, line: &[u8], cut: u64) {
        self.cut += cut + extend(&mut self.bytes, line, self.most);
        self.grown = true;
    }

    /// What is there and was not handed out, if `filter` takes the record. One that is not taken yet may be with what comes.
    pub fn part(&mut self, filter: &LogFilter) -> Option<Part> {
        let asked = std::mem::take(&mut self.grown) && (self.cut > 0 || !self.bytes.trim_ascii().is_empty());
        if !asked || !self.continued && !filter.takes(&self.bytes) {
            return None;
        }
        let text = text(&std::mem::take(&mut self.bytes), std::mem::take(&mut self.cut));
        Some(Part { text, continued: std::mem::replace(&mut self.continued, true) })
    }

    /// The same for the last time: another record begins.
    pub fn end(&mut self, filter: &LogFilter) -> Option<Part> {
        let part = self.part(filter);
        *self = Self::new(self.most);
        part
    }
}

/// Adds to `held` as much of `bytes` as it may hold, and answers how much that is not.
pub fn extend(held: &mut Vec<u8>, bytes: &[u8], most: usize) -> u64 {
    let room = bytes.len().min(most.saturating_sub(held.len()));
    held.extend_from_slice(bytes.get(..room).unwrap_or_default());
    (bytes.len() - room) as u64
}

/// A record as text: what is no UTF-8 is replaced, `cut` says how many bytes are missing.
#[must_use]
pub fn text(record: &[u8], cut: u64) -> String {
    let mut text = String::from_utf8_lossy(record).into_owned();
    if text.contains('\r') {
        text = text.replace("\r\n", "\n");
    }
    text.truncate(text.trim_end_matches(['\n', '\r', ' ']).len());
    if cut > 0 {
        text.push_str(&format!("… ({cut} more bytes)"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::log::line::Level;

    fn filter(least: Option<Level>, text: Option<&str>) -> LogFilter {
        LogFilter { at_least: least, text: text.map(str::to_owned) }
    }

    fn part(text: &str, continued: bool) -> Option<Part> {
        Some(Part { text: text.to_owned(), continued })
    }

    const FAILED: &[u8] = b"2024-08-05 09:29:59 [ERROR] e - failed\n";

    #[test]
    fn what_comes_late_follows_a_record_that_was_handed_out() {
        let errors = filter(Some(Level::Error), None);
        let mut record = OpenRecord::new(100);
        record.add(FAILED, 0);
        assert_eq!(record.part(&errors), part("2024-08-05 09:29:59 [ERROR] e - failed", false));
        assert_eq!(record.part(&errors), None);
        record.add(b"Traceback (most recent call last):\n", 0);
        record.add(b"  File\n", 0);
        assert_eq!(record.part(&errors), part("Traceback (most recent call last):\n  File", true));
        record.add(b"\n", 0);
        assert_eq!(record.part(&errors), None, "nothing to show");
        record.add(b"TypeError: no\n", 0);
        assert_eq!(record.end(&errors), part("\nTypeError: no", true));
        record.add(b"2024-08-05 09:30:00 [INFO] e - next\n", 0);
        assert_eq!(record.end(&errors), None);
    }

    #[test]
    fn what_comes_late_can_make_a_record_one_that_is_asked_for() {
        let mut record = OpenRecord::new(100);
        let typed = filter(None, Some("typeerror"));
        record.add(FAILED, 0);
        assert_eq!(record.part(&typed), None);
        record.add(b"TypeError: no\n", 0);
        assert_eq!(record.part(&typed), part("2024-08-05 09:29:59 [ERROR] e - failed\nTypeError: no", false));
        let (mut record, errors) = (OpenRecord::new(100), filter(Some(Level::Error), None));
        record.add(b"no form at all\n", 0);
        assert_eq!(record.part(&errors), None);
        record.add(b"Traceback (most recent call last):\n", 0);
        assert_eq!(record.end(&errors), part("no form at all\nTraceback (most recent call last):", false));
    }

    #[test]
    fn no_more_is_held_than_may_be_and_what_is_missing_is_counted() {
        let mut record = OpenRecord::new(4);
        record.add(b"abcdef\n", 2);
        assert_eq!(record.part(&filter(None, None)), part("abcd… (5 more bytes)", false));
        record.add(b"ghi\n", 0);
        assert_eq!(record.end(&filter(None, None)), part("ghi", true));
    }
}
