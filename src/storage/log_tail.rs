//! The last records of a log, read backwards block by block: the memory and time it takes do not depend on the file's size.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;

use crate::domain::log::filter::LogFilter;
use crate::domain::log::line::{Grouping, head};
use crate::domain::log::record::text;

/// Bytes read at once.
pub const BLOCK: usize = 64 << 10;

/// How much work one question may be.
#[derive(Debug, Clone, Copy)]
pub struct TailLimits {
    /// Most bytes that are read.
    pub scan: u64,
    /// Most bytes of the answer.
    pub answer: usize,
    /// Most bytes of a record; longer ones are cut.
    pub record: usize,
}

/// The last records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tail {
    /// Oldest first.
    pub records: Vec<String>,
    /// Bytes that were read for it.
    pub scanned: u64,
    /// Whether a limit ended the search: there may be more records of the kind asked for.
    pub limited: bool,
}

/// The last `count` records that `filter` takes.
///
/// # Errors
/// The file cannot be read.
pub fn tail(file: &File, count: usize, filter: &LogFilter, limits: TailLimits) -> io::Result<Tail> {
    let (mut records, mut bytes) = (Vec::new(), 0);
    let end = file.metadata()?.len();
    let found = backwards(file, end, limits, |record, cut, _| {
        if filter.takes(record) {
            let text = text(record, cut);
            bytes += text.len();
            if bytes > limits.answer {
                return Go::TooMuch;
            }
            records.push(text);
        }
        if records.len() < count { Go::On } else { Go::Enough }
    })?;
    records.reverse();
    Ok(Tail { records, scanned: found.scanned, limited: found.limited })
}

/// Where in `file` the last `count` records begin that `filter` takes; the file is looked at up to `end`.
///
/// # Errors
/// The file cannot be read.
pub fn start_of_last(file: &File, end: u64, count: usize, filter: &LogFilter, limits: TailLimits) -> io::Result<u64> {
    let (mut start, mut left) = (end, count);
    backwards(file, end, limits, |record, _, at| {
        if left > 0 && filter.takes(record) {
            start = at;
            left -= 1;
        }
        if left > 0 { Go::On } else { Go::Enough }
    })?;
    Ok(start)
}

/// Whether lines of the log are of a known form, by a look at its front and at its end.
///
/// # Errors
/// The file cannot be read.
pub fn has_known_form(file: &File, end: u64) -> io::Result<bool> {
    let known = |at: u64| -> io::Result<bool> {
        let block = read(file, at, BLOCK.min(usize::try_from(end - at).unwrap_or(BLOCK)))?;
        Ok(lines(&block).any(|line| head(block.get(line).unwrap_or_default()).is_some()))
    };
    Ok(known(end.saturating_sub(BLOCK as u64))? || known(0)?)
}

/// Reads up to `count` bytes at `at`.
///
/// # Errors
/// The file cannot be read.
pub fn read(file: &File, at: u64, count: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; count];
    let mut filled = 0;
    while let Some(room) = bytes.get_mut(filled..).filter(|room| !room.is_empty()) {
        match file.read_at(room, at + filled as u64) {
            Ok(0) => break,
            Ok(more) => filled += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

/// Whether to look for more.
enum Go {
    On,
    Enough,
    TooMuch,
}

struct Found {
    scanned: u64,
    limited: bool,
}

/// Hands the records before `end` to `each`, newest first: the bytes that it may have, how many are missing, and where the
/// record begins.
fn backwards(file: &File, end: u64, limits: TailLimits, mut each: impl FnMut(&[u8], u64, u64) -> Go) -> io::Result<Found> {
    let known_form = has_known_form(file, end)?;
    let mut found = Found { scanned: 0, limited: false };
    // the window is the file from `at` on, up to the end of the record whose beginning is looked for
    let (mut at, mut window) = (end, Vec::new());
    // bytes of that record behind the window
    let mut cut = 0;
    while at > 0 {
        if found.scanned >= limits.scan {
            found.limited = true;
            break;
        }
        let size = BLOCK.min(usize::try_from(at).unwrap_or(BLOCK));
        at -= size as u64;
        let mut block = read(file, at, size)?;
        if block.len() < size {
            // truncated under our eyes: what was there is gone
            break;
        }
        found.scanned += size as u64;
        block.append(&mut window);
        window = block;
        for begin in beginnings(&window, at == 0, known_form).into_iter().rev() {
            let record = window.get(begin..).unwrap_or_default();
            let shown = record.get(..limits.record).unwrap_or(record);
            let missing = cut + (record.len() - shown.len()) as u64;
            let go = if record.trim_ascii().is_empty() { Go::On } else { each(shown, missing, at + begin as u64) };
            match go {
                Go::On => {}
                Go::Enough => return Ok(found),
                Go::TooMuch => {
                    found.limited = true;
                    return Ok(found);
                }
            }
            window.truncate(begin);
            cut = 0;
        }
        if window.len() > limits.record {
            cut += (window.len() - limits.record) as u64;
            window.truncate(limits.record);
        }
    }
    Ok(found)
}

/// Where records begin in `window`, as far as that can be told: its first line is only whole at the file's front, and whether
/// the second begins a record may depend on it; what is left open here is seen again with the next block.
fn beginnings(window: &[u8], is_front: bool, known_form: bool) -> Vec<usize> {
    let mut grouping = Grouping::new(known_form);
    let mut begins = Vec::new();
    for (number, line) in lines(window).enumerate() {
        if number == 0 && !is_front {
            grouping.pass_unseen();
        } else if grouping.begins(window.get(line.clone()).unwrap_or_default()) || number == 0 {
            begins.push(line.start);
        }
    }
    begins
}

/// The lines of `bytes`, without their ends.
pub(super) fn lines(bytes: &[u8]) -> impl Iterator<Item = Range<usize>> + '_ {
    let mut start = 0;
    std::iter::from_fn(move || {
        let rest = bytes.get(start..).filter(|rest| !rest.is_empty())?;
        let length = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        let line = start..start + length;
        start += length + 1;
        Some(line)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write as _;

    const MAX_RECORD: usize = 64 << 10;
    const LIMITS: TailLimits = TailLimits { scan: 64 << 20, answer: 8 << 20, record: MAX_RECORD };

    fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    fn last(bytes: &[u8], count: usize) -> Vec<String> {
        tail(&file(bytes), count, &LogFilter::default(), LIMITS).unwrap().records
    }

    #[test]
    fn the_last_records_come_newest_last_with_their_tracebacks() {
        let log =
            b"2024-08-05 09:00:00 [INFO] a - one\n2024-08-05 09:00:01 [WARNING] a - two\nTraceback (most recent call last):\n  \
            File \"x\"\nTypeError: no\n2024-08-05 09:00:02 [INFO] a - three\r\n";
        let records = last(log, 2);
        assert_eq!(records.len(), 2);
        assert!(records[0].ends_with("two\nTraceback (most recent call last):\n  File \"x\"\nTypeError: no"), "{records:?}");
        assert_eq!(records[1], "2024-08-05 09:00:02 [INFO] a - three");
        assert_eq!(last(log, 100).len(), 3);
        assert_eq!(last(b"", 5), [""; 0]);
        assert_eq!(last(b"\n\n \n", 5), [""; 0]);
    }

    #[test]
    fn an_unfinished_last_line_and_invalid_utf8_are_shown() {
        assert_eq!(last(b"one\ntwo \xff\xfe\nthr", 2), ["two \u{fffd}\u{fffd}", "thr"]);
    }

    #[test]
    fn a_huge_line_is_cut_and_says_so_and_those_around_it_are_whole() {
        let mut log = b"2024-08-05 09:00:00 [INFO] a - before\n2024-08-05 09:00:01 [ERROR] a - ".to_vec();
        log.extend(vec![b'x'; 3_000_000]);
        log.extend(b"\n2024-08-05 09:00:02 [INFO] a - after\n");
        let records = last(&log, 3);
        assert_eq!(
            (records[0].as_str(), records[2].as_str()),
            ("2024-08-05 09:00:00 [INFO] a - before", "2024-08-05 09:00:02 [INFO] a - after")
        );
        assert!(records[1].starts_with("2024-08-05 09:00:01 [ERROR] a - xxx"));
        let missing = 3_000_000 + 32 + 1 - MAX_RECORD;
        assert!(records[1].ends_with(&format!("… ({missing} more bytes)")), "{missing} {}", &records[1][MAX_RECORD - 10..]);
    }

    #[test]
    fn a_rare_filter_gives_up_after_its_limit_and_says_so() {
        let mut log = b"2024-08-05 09:00:00 [ERROR] a - rare\n".to_vec();
        (0..20_000).for_each(|n| log.extend(format!("2024-08-05 09:00:01 [INFO] a - {n}\n").bytes()));
        let filter = LogFilter { text: Some("RARE".into()), ..LogFilter::default() };
        let file = file(&log);
        let found = tail(&file, 1, &filter, LIMITS).unwrap();
        assert_eq!((found.records.len(), found.limited, found.scanned), (1, false, log.len() as u64));
        let found = tail(&file, 1, &filter, TailLimits { scan: 100_000, answer: 1000, ..LIMITS }).unwrap();
        assert_eq!((found.records.len(), found.limited, found.scanned), (0, true, 2 * BLOCK as u64));
        let found = tail(&file, 100, &LogFilter::default(), TailLimits { scan: 100_000, answer: 1000, ..LIMITS }).unwrap();
        assert!(found.limited && found.records.len() < 40);
        assert!(found.records.last().unwrap().ends_with("19999"));
    }

    /// What a reading from the front gives.
    fn naive(bytes: &[u8], known_form: bool) -> Vec<String> {
        let mut grouping = Grouping::new(known_form);
        let mut records: Vec<Vec<u8>> = Vec::new();
        for line in lines(bytes) {
            let line = &bytes[line];
            match (grouping.begins(line), records.last_mut()) {
                (false, Some(record)) => record.extend([b"\n", line].concat()),
                _ => records.push(line.to_vec()),
            }
        }
        records.iter().filter(|record| !record.trim_ascii().is_empty()).map(|record| text(record, 0)).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn reading_backwards_gives_what_reading_forwards_gives(
            parts in proptest::collection::vec((0..6u8, 0..30_000usize), 1..40),
            count in 1..50usize,
            heads: bool,
        ) {
            let mut log = Vec::new();
            for (kind, size) in parts {
                let line = match kind {
                    0 if heads => "2024-08-05 09:00:00 [INFO] a - ".to_owned() + &"x".repeat(size),
                    1 => "  indented ".to_owned() + &"y".repeat(size),
                    2 => "ValueError: no".to_owned(),
                    3 => "Traceback (most recent call last):".to_owned(),
                    4 => String::new(),
                    _ => "plain ".to_owned() + &"z".repeat(size),
                };
                log.extend(line.bytes());
                log.push(b'\n');
            }
            let known = has_known_form(&file(&log), log.len() as u64).unwrap();
            let all = naive(&log, known);
            // longer records are cut, which is another test
            prop_assume!(all.iter().all(|record| record.len() < MAX_RECORD - 10));
            let got = last(&log, count);
            prop_assert_eq!(&got[..], &all[all.len().saturating_sub(count)..]);
        }
    }
}
