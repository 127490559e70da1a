//! Reads a recording line by line, and makes each line an event that can be posted again.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use chrono::{DateTime, Utc};

use super::documents;
use super::fields::{Fields, Object, unquoted};

/// A recording on disk, NDJSON, gzipped or not.
pub struct Recording {
    lines: Box<dyn BufRead>,
    consumed: Arc<AtomicU64>,
    /// Bytes of the file.
    pub size: u64,
    number: u64,
}

impl Recording {
    /// Opens the file; whether it is gzipped is seen from its first bytes.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        if metadata.is_dir() {
            return Err(io::Error::new(io::ErrorKind::IsADirectory, "is a folder"));
        }
        let consumed = Arc::new(AtomicU64::new(0));
        let mut counted = BufReader::with_capacity(8 << 10, Counted { file, consumed: consumed.clone() });
        let gzipped = counted.fill_buf()?.starts_with(&[0x1f, 0x8b]);
        let lines: Box<dyn BufRead> = if gzipped {
            Box::new(BufReader::with_capacity(256 << 10, flate2::bufread::MultiGzDecoder::new(counted)))
        } else {
            Box::new(counted)
        };
        Ok(Self { lines, consumed, size: metadata.len(), number: 0 })
    }

    /// Puts the next line that is not blank into `line` and answers its number, from 1.
    pub fn next_line(&mut self, line: &mut Vec<u8>) -> io::Result<Option<u64>> {
        loop {
            line.clear();
            let more = documents::read_line(&mut self.lines, line);
            self.number += 1;
            let number = self.number;
            if !more.map_err(|error| io::Error::new(error.kind(), format!("line {number}: {error}")))? {
                return Ok(None);
            }
            if number == 1 && line.starts_with(b"\xef\xbb\xbf") {
                line.drain(..3);
            }
            if !line.trim_ascii().is_empty() {
                return Ok(Some(number));
            }
        }
    }

    /// Bytes of the file read so far.
    pub fn consumed(&self) -> u64 {
        self.consumed.load(Ordering::Relaxed)
    }
}

struct Counted {
    file: File,
    consumed: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.consumed.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

/// What lines get before they are posted.
#[derive(Debug)]
pub struct Additions {
    /// The first part of event ids.
    label: String,
    /// The source of events that name none.
    source: Option<String>,
}

impl Additions {
    /// Additions whose event ids begin with `label`.
    pub fn new(label: String, source: Option<String>) -> Self {
        Self { label, source }
    }

    /// Adds `line` as an event to `out` and answers when it happened.
    ///
    /// A top-level `id` is taken off: ids are given by the service. A line that is no object is passed on as it is,
    /// for the service to refuse.
    pub fn apply(&self, line: &[u8], number: u64, out: &mut Vec<u8>) -> Option<DateTime<Utc>> {
        let Some(fields) = Fields::parse(line) else {
            out.extend(line.iter().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte }));
            return None;
        };
        let has = |name| fields.get(name).is_some_and(|json| json != "null");
        let mut event = Object::new();
        for (key, json) in fields.iter().filter(|(key, _)| *key != "id") {
            let replaced =
                (key == "event_id" && !has("event_id")) || (key == "source" && !has("source") && self.source.is_some());
            if !replaced {
                event = event.raw(key, json);
            }
        }
        if let (Some(source), false) = (&self.source, has("source")) {
            event = event.text("source", source);
        }
        if !has("event_id") {
            event = event.text("event_id", &format!("{}:{number}:{:016x}", self.label, fingerprint(line)));
        }
        out.extend_from_slice(event.finish().as_bytes());
        let time = fields.get("timestamp").and_then(unquoted)?;
        DateTime::parse_from_rfc3339(&time).ok().map(|time| time.with_timezone(&Utc))
    }
}

/// The file's name without `.gz`, so that a packed recording and an unpacked one are the same; an id has its limits.
pub fn label(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    name.chars().take(80).map(|c| if c.is_ascii_graphic() { c } else { '_' }).collect()
}

/// FNV-1a: the same on every machine and in every version, which a hasher of the standard library does not promise.
fn fingerprint(line: &[u8]) -> u64 {
    line.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn apply(additions: &Additions, line: &str, number: u64) -> (String, Option<DateTime<Utc>>) {
        let mut out = Vec::new();
        let time = additions.apply(line.as_bytes(), number, &mut out);
        (String::from_utf8(out).expect("text"), time)
    }

    #[test]
    fn the_id_of_an_export_is_taken_off_and_an_event_id_is_put_on() {
        let additions = Additions::new(label(Path::new("/tmp/a b.ndjson.gz")), Some("fno".into()));
        let line = r#"{"id":"5-0","type":"x","timestamp":"2024-08-05T09:15:00+05:30","payload":{"id":1.50}}"#;
        let (event, time) = apply(&additions, line, 12);
        let id = format!("a_b.ndjson:12:{:016x}", fingerprint(line.as_bytes()));
        assert_eq!(
            event,
            r#"{"type":"x","timestamp":"2024-08-05T09:15:00+05:30","payload":{"id":1.50},"source":"fno","event_id":"#.to_owned()
                + &format!("\"{id}\"}}")
        );
        assert_eq!(time.map(|time| time.to_rfc3339()), Some("2024-08-05T03:45:00+00:00".to_owned()));
    }

    #[test]
    fn what_a_line_says_about_itself_stands() {
        let additions = Additions::new("f".into(), Some("mine".into()));
        let line = r#"{"type":"x","source":"theirs","event_id":"e","payload":{}}"#;
        assert_eq!(apply(&additions, line, 1).0, line);
        let (event, _) = apply(&additions, r#"{"type":"x","source":null,"event_id":null}"#, 1);
        assert!(event.starts_with(r#"{"type":"x","source":"mine","event_id":"f:1:"#), "{event}");
    }

    #[test]
    fn event_ids_differ_by_line_and_by_content_and_fit_the_limit() {
        let additions = Additions::new(label(Path::new(&"é".repeat(500))), None);
        let id = |line: &str, number| {
            let (event, _) = apply(&additions, line, number);
            Fields::parse(event.as_bytes()).and_then(|fields| fields.get("event_id").and_then(unquoted)).expect("an id")
        };
        let ids = [id("{\"a\":1}", 1), id("{\"a\":1}", 2), id("{\"a\":2}", 1), id("{\"a\":1}", u64::MAX)];
        assert_eq!(ids.iter().collect::<std::collections::HashSet<_>>().len(), ids.len());
        assert!(ids.iter().all(|id| id.len() <= 128), "{ids:?}");
    }

    #[test]
    fn a_line_that_is_no_object_is_left_to_the_service() {
        let additions = Additions::new("f".into(), None);
        assert_eq!(apply(&additions, "[1,\r2", 3), ("[1, 2".to_owned(), None));
    }

    #[test]
    fn packed_and_plain_files_give_the_same_lines_with_their_numbers() {
        let folder = tempfile::tempdir().expect("a folder");
        let text = "\u{feff}{\"a\":1}\n\n  \r\n{\"b\":2}\r\n{\"c\":3}";
        let plain = folder.path().join("plain");
        std::fs::write(&plain, text).expect("written");
        let packed = folder.path().join("packed");
        let mut gz = flate2::write::GzEncoder::new(File::create(&packed).expect("created"), flate2::Compression::fast());
        gz.write_all(text.as_bytes()).and_then(|()| gz.finish()).expect("written");
        for path in [plain, packed] {
            let mut recording = Recording::open(&path).expect("opened");
            let (mut line, mut lines) = (Vec::new(), Vec::new());
            while let Some(number) = recording.next_line(&mut line).expect("read") {
                lines.push((number, String::from_utf8(line.clone()).expect("text")));
            }
            assert_eq!(lines, [(1, "{\"a\":1}".into()), (4, "{\"b\":2}".into()), (5, "{\"c\":3}".into())]);
            assert_eq!(recording.consumed(), recording.size);
        }
    }
}
