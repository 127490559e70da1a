//! A file of benchmarks: one a line (`*.jsonl`), or one array (`*.json`). What cannot be understood is counted and hides
//! nothing else.

use chrono_tz::Tz;

use super::Point;
use crate::domain::clock::Timestamp;

/// The name of the file of a trading day begins with this; the day, and `.jsonl`, follow.
pub const DAY_PREFIX: &str = "benchmarks_";

/// What a file says.
#[derive(Debug, Default)]
pub struct Content {
    /// The good points, as they follow in the file.
    pub points: Vec<Point>,
    /// Lines, or items of the array, that are no points.
    pub bad_lines: u64,
    /// What is wrong with the first of them, or with the file, for the operator.
    pub reason: Option<String>,
}

impl Content {
    fn take(&mut self, text: &str, place: &str, timezone: Tz) {
        match Point::parse(text, timezone, None) {
            Ok(point) => self.points.push(point),
            Err(faults) => {
                self.bad_lines += 1;
                let fault = faults.first().map(|fault| format!("{place}: {} {}", fault.field, fault.message));
                self.reason = self.reason.take().or(fault);
            }
        }
    }

    /// First and last instant.
    #[must_use]
    pub fn span(&self) -> Option<(Timestamp, Timestamp)> {
        let times = || self.points.iter().map(|point| point.ts);
        times().min().zip(times().max())
    }
}

/// Whether `file` is named like a file of benchmarks. Hidden ones are somebody's drafts.
#[must_use]
pub fn is_benchmark_file(file: &str) -> bool {
    !file.starts_with('.') && (is_lines(file) || file.ends_with(".json"))
}

fn is_lines(file: &str) -> bool {
    file.ends_with(".jsonl")
}

/// Reads the content of `file`; times without an offset are `timezone`'s. While a file `grows`, a last line without an end
/// is not judged: the rest of it is on its way.
#[must_use]
pub fn read(file: &str, bytes: &[u8], timezone: Tz, grows: bool) -> Content {
    // what is no text is no JSON either, and its line is counted
    let text = String::from_utf8_lossy(bytes);
    let text = text.trim_start_matches('\u{feff}');
    if is_lines(file) { read_lines(text, timezone, grows) } else { read_array(text, timezone) }
}

fn read_lines(text: &str, timezone: Tz, grows: bool) -> Content {
    let mut content = Content::default();
    let whole = text.rfind('\n').map_or(0, |end| end + 1);
    let (lines, rest) = text.split_at_checked(whole).unwrap_or((text, ""));
    for (index, line) in lines.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        content.take(line, &format!("line {}", index + 1), timezone);
    }
    let is_whole = !rest.trim().is_empty() && (!grows || Point::parse(rest, timezone, None).is_ok());
    if is_whole {
        content.take(rest, "the last line", timezone);
    }
    content
}

/// Takes the array apart by its brackets, so that one item which is no JSON, or an end that is missing, hides no other item.
fn read_array(text: &str, timezone: Tz) -> Content {
    let mut content = Content::default();
    let Some(items) = text.trim().strip_prefix('[') else {
        content.reason = Some("is not an array of benchmarks".to_owned());
        return content;
    };
    let (mut start, mut depth, mut index, mut in_text, mut escaped) = (0, 0_usize, 0, false, false);
    for (at, byte) in items.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            _ if in_text => {}
            b'{' | b'[' => depth += 1,
            b',' | b']' if depth == 0 => {
                let item = items.get(start..at).unwrap_or_default().trim();
                let is_empty_array = index == 0 && byte == b']' && item.is_empty();
                if !is_empty_array {
                    content.take(item, &format!("item {index}"), timezone);
                }
                (start, index) = (at + 1, index + 1);
                if byte == b']' {
                    if !items.get(start..).unwrap_or_default().trim().is_empty() {
                        content.reason = content.reason.take().or(Some("goes on behind its array".to_owned()));
                    }
                    return content;
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    // an item that is whole counts although the array is not
    let rest = items.get(start..).unwrap_or_default();
    content.points.extend(Point::parse(rest, timezone, None));
    content.reason = Some("is cut off".to_owned());
    content
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono_tz::Asia;
    use proptest::prelude::*;

    const ONE: &str = r#"{"ts": "2024-08-19T09:19:59.013785+05:30", "nifty": 24612.0, "banknifty": 50646.15, "finnifty": null}"#;
    const TWO: &str =
        "{\n\"ts\": \"2024-08-19T09:24:59.015797+05:30\",\n\"nifty\": 24597.4,\n\"banknifty\": 50617.9,\n\"finnifty\": null\n}";

    fn seen(file: &str, text: impl AsRef<[u8]>) -> (usize, u64, Option<String>) {
        let content = read(file, text.as_ref(), Asia::Kolkata, false);
        (content.points.len(), content.bad_lines, content.reason)
    }

    #[test]
    fn both_formats_of_the_field_are_read() {
        assert_eq!(seen("benchmarks_2024-08-19.jsonl", format!("{ONE}\r\n\n{ONE}")), (2, 0, None));
        assert_eq!(seen("benchmarks.json", format!("[\n{ONE},\n{TWO}\n]\n")), (2, 0, None));
        assert_eq!(seen("benchmarks.json", "[]"), (0, 0, None));
        assert_eq!(seen("benchmarks.jsonl", ""), (0, 0, None));
        let content = read("b.json", format!("[{TWO},{ONE}]").as_bytes(), Asia::Kolkata, false);
        let (first, last) = content.span().expect("points");
        assert_eq!(
            (first.to_string(), last.to_string()),
            ("2024-08-19T03:49:59.013785Z".to_owned(), "2024-08-19T03:54:59.015797Z".to_owned())
        );
    }

    #[test]
    fn bad_lines_are_counted_and_hide_nothing() {
        let lines = format!("{ONE}\nnonsense\n{{\"ts\":\"?\",\"nifty\":1}}\n[1]\n{ONE}\n{{\"ts\":\"2024-08-19T09:2");
        assert_eq!(seen("b.jsonl", &lines).0, 2);
        assert_eq!(seen("b.jsonl", &lines).1, 4);
        assert!(seen("b.jsonl", &lines).2.expect("a reason").starts_with("line 2: "));
        let mut bytes = format!("{ONE}\n").into_bytes();
        bytes.extend_from_slice(b"\xff\xfe\n");
        bytes.extend_from_slice(ONE.as_bytes());
        assert_eq!(seen("b.jsonl", &bytes).0, 2);
    }

    #[test]
    fn an_array_that_is_damaged_gives_what_is_good_in_it() {
        let nan = r#"{"ts":"2024-08-19T09:19:59","nifty":NaN,"name":"a ] b \" , }"}"#;
        let (points, bad, reason) = seen("b.json", format!("[{ONE},{nan},7,,{TWO}]"));
        assert_eq!((points, bad), (2, 3));
        assert!(reason.expect("a reason").starts_with("item 1: "));
        assert_eq!(seen("b.json", format!("[{ONE},{TWO}")), (2, 0, Some("is cut off".to_owned())));
        assert_eq!(seen("b.json", format!("[{ONE},{{\"ts\":\"2024")), (1, 0, Some("is cut off".to_owned())));
        assert_eq!(seen("b.json", format!("[{ONE}]]")), (1, 0, Some("goes on behind its array".to_owned())));
        assert_eq!(seen("b.json", ONE), (0, 0, Some("is not an array of benchmarks".to_owned())));
    }

    #[test]
    fn a_line_that_is_being_written_is_not_judged() {
        let half = format!("{ONE}\n{{\"ts\":\"2024-08-19T09:2");
        let content = read("b.jsonl", half.as_bytes(), Asia::Kolkata, true);
        assert_eq!((content.points.len(), content.bad_lines, content.reason), (1, 0, None));
        assert_eq!(read("b.jsonl", ONE.as_bytes(), Asia::Kolkata, true).points.len(), 1);
    }

    proptest! {
        #[test]
        fn every_line_is_a_point_or_counted(lines in proptest::collection::vec(prop_oneof![Just(ONE.to_owned()), "[a-z{}\\[\\]\",:0-9]{1,30}"], 0..20)) {
            let content = read("b.jsonl", lines.join("\n").as_bytes(), Asia::Kolkata, false);
            prop_assert_eq!(content.points.len() + usize::try_from(content.bad_lines).expect("small"), lines.len());
        }

        #[test]
        fn no_bytes_are_a_reason_to_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), name in "b.(json|jsonl)") {
            let _ = read(&name, &bytes, Asia::Kolkata, true);
            let mut array = b"[".to_vec();
            array.extend(bytes);
            let _ = read(&name, &array, Asia::Kolkata, false);
        }
    }
}
