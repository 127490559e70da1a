//! Log records that are JSON objects, one a line.

use std::fmt;

use serde::Deserialize;
use serde_json::Value;

use super::line::Level;

/// Bytes of a line that are searched for a key, when it is not read whole.
const FRONT: usize = 4096;

/// Keys one of which every logger writes.
const KEYS: [&[u8]; 6] = [b"\"level", b"\"severity\"", b"\"message\"", b"\"msg\"", b"\"ts\"", b"\"time"];

/// Whether `line` is such a record, whole or cut.
#[must_use]
pub fn is_record(line: &[u8]) -> bool {
    let front = line.get(..FRONT).unwrap_or(line);
    front.first() == Some(&b'{')
        && front.get(1..).is_some_and(|rest| rest.trim_ascii_start().starts_with(b"\""))
        && KEYS.iter().any(|key| find(front, key).is_some())
}

/// Its level.
#[must_use]
pub fn level(line: &[u8]) -> Option<Level> {
    match serde_json::from_slice::<Levels>(line) {
        Ok(Levels { level, levelname, severity }) => {
            [level, levelname, severity].iter().flatten().find_map(|value| Level::of_word(value.as_str()?.as_bytes()))
        }
        // a line that was cut has its level in front
        Err(_) => {
            let front = line.get(..FRONT).unwrap_or(line);
            let behind = front.get(find(front, b"\"level\"")? + 7..)?.trim_ascii_start();
            let word = behind.strip_prefix(b":")?.trim_ascii_start().strip_prefix(b"\"")?;
            Level::of_word(word.split(|byte| *byte == b'"').next()?)
        }
    }
}

fn find(bytes: &[u8], text: &[u8]) -> Option<usize> {
    let first = text.first()?;
    memchr::memchr_iter(*first, bytes).find(|at| bytes.get(*at..).is_some_and(|rest| rest.starts_with(text)))
}

#[derive(Deserialize)]
struct Levels {
    level: Option<Value>,
    levelname: Option<Value>,
    severity: Option<Value>,
}

/// What such a record says, for people. Loggers differ in the names of their fields; the first that is there counts.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Record {
    ts: Value,
    timestamp: Value,
    time: Value,
    asctime: Value,
    level: Value,
    levelname: Value,
    severity: Value,
    logger: Value,
    name: Value,
    target: Value,
    message: Value,
    msg: Value,
    fields: Value,
    exc_info: Value,
    exception: Value,
}

impl Record {
    /// Reads a record; `None` if it is no JSON object or says nothing.
    #[must_use]
    pub fn parse(line: &[u8]) -> Option<Self> {
        if line.first() != Some(&b'{') {
            return None;
        }
        let record: Self = serde_json::from_slice(line).ok()?;
        (!record.message().is_empty()).then_some(record)
    }

    /// When, as the record has it.
    #[must_use]
    pub fn time(&self) -> String {
        first([&self.ts, &self.timestamp, &self.time, &self.asctime])
    }

    /// Its level, as the record has it.
    #[must_use]
    pub fn level(&self) -> String {
        first([&self.level, &self.levelname, &self.severity])
    }

    /// Who wrote it.
    #[must_use]
    pub fn logger(&self) -> String {
        first([&self.logger, &self.name, &self.target])
    }

    /// What it says.
    #[must_use]
    pub fn message(&self) -> String {
        first([&self.message, &self.msg, self.fields.get("message").unwrap_or(&Value::Null)])
    }

    /// The traceback, if there is one.
    #[must_use]
    pub fn traceback(&self) -> String {
        first([&self.exc_info, &self.exception])
    }
}

fn first<const N: usize>(values: [&Value; N]) -> String {
    values.into_iter().find_map(text).unwrap_or_default()
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::Null | Value::Bool(_) => None,
        Value::String(text) if text.is_empty() => None,
        Value::String(text) => Some(text.clone()),
        Value::Array(lines) => Some(lines.iter().filter_map(text).collect::<Vec<_>>().join("\n")).filter(|text| !text.is_empty()),
        other => Some(other.to_string()),
    }
}

impl fmt::Display for Record {
    /// The layout of the text logs: `time [LEVEL] logger - message`, and the traceback below.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (text, open, close) in [(self.time(), "", " "), (self.level(), "[", "] "), (self.logger(), "", " - ")] {
            if !text.is_empty() {
                write!(f, "{open}{text}{close}")?;
            }
        }
        f.write_str(&self.message())?;
        let traceback = self.traceback();
        if traceback.is_empty() { Ok(()) } else { write!(f, "\n{}", traceback.trim_end()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_version_of_a_record_reads_like_a_line_of_text() {
        for (line, text) in [
            (
                r#"{"ts": "2024-08-05T03:40:00.001261+00:00", "level": "INFO", "logger": "core.a", "message": "started"}"#,
                "2024-08-05T03:40:00.001261+00:00 [INFO] core.a - started",
            ),
            (
                r#"{"ts": "t", "level": "WARNING", "logger": "e", "message": "m", "exc_info": "Traceback:\n  File\nTypeError: x\n"}"#,
                "t [WARNING] e - m\nTraceback:\n  File\nTypeError: x",
            ),
            (r#"{"ts": "t", "level": "INFO", "logger": "e", "message": "m", "exc_info": null}"#, "t [INFO] e - m"),
            (r#"{"ts": "t", "level": "INFO", "logger": "e", "message": "m", "exc_info": ["a", "b"]}"#, "t [INFO] e - m\na\nb"),
            (r#"{"timestamp":"t","level":"INFO","fields":{"message":"m"},"target":"x"}"#, "t [INFO] x - m"),
            (r#"{"levelname":"ERROR","msg":{"a":1},"more":2}"#, r#"[ERROR] {"a":1}"#),
        ] {
            assert!(is_record(line.as_bytes()), "{line}");
            assert_eq!(Record::parse(line.as_bytes()).expect("a record").to_string(), text, "{line}");
        }
    }

    #[test]
    fn the_level_of_a_cut_record_is_still_known() {
        assert_eq!(level(br#"{"ts": "t", "level": "ERROR", "message": "cut he"#), Some(Level::Error));
        assert_eq!(level(br#"{"severity":"warn","message":"m"}"#), Some(Level::Warning));
        assert_eq!(level(br#"{"level": 30, "msg": "m"}"#), None);
    }
}
