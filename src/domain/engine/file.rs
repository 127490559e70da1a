//! From the bytes of an engine's file to the payload of a heartbeat, or to the reason why they are none.
//!
//! An engine that does not speak HTTP leaves its record in `{name}_engine.json` and writes it anew on each beat.

use std::fmt::Write as _;

use chrono_tz::Tz;

use super::{EngineName, PLIMSOLL, Said, Update};
use crate::domain::clock::Timestamp;
use crate::domain::envelope::Rules;
use crate::domain::payload::{Payload, unquote};

/// The largest file that is read, in bytes.
pub const MAX_BYTES: u64 = 1 << 20;

/// How the file's name goes on behind the engine's.
pub const SUFFIX: &str = "_engine.json";
/// The fields that hold times.
const TIMES: [&str; 2] = ["started_at", "last_heartbeat"];
/// So many faults of one file are told.
const MAX_FAULTS: usize = 8;

/// What an engine's file says.
#[derive(Debug, Clone)]
pub struct EngineFile {
    /// The record.
    pub update: Update,
    /// When it was written by its own word, its `last_heartbeat`.
    pub said: Option<Timestamp>,
    /// The record as it was written, on one line: order, number text and unknown fields are kept, local times are told
    /// in UTC, and `file` is added.
    pub payload: String,
}

/// Whether `file` is named like an engine's file. Hidden ones are somebody's drafts.
#[must_use]
pub fn is_engine_file(file: &str) -> bool {
    file.ends_with(SUFFIX) && !file.starts_with('.')
}

/// Reads the content of `file`; times without an offset are `timezone`'s. `None`: Plimsoll wrote it itself.
///
/// # Errors
/// A sentence for the operator: why this is no engine's record.
///
/// ```
/// use plimsoll::domain::{engine::file, envelope::Rules};
/// let rules = Rules { max_event_bytes: 262_144, max_depth: 64, accept_unknown_types: true };
/// let text = br#"{"name": "fno", "status": "running", "last_heartbeat": "2024-08-23T15:29:59.067206"}"#;
/// let file = file::parse("fno_engine.json", text, chrono_tz::Asia::Kolkata, &rules).expect("valid").expect("an engine's");
/// assert!(file.payload.contains(r#""last_heartbeat":"2024-08-23T09:59:59.067206Z","file":"fno_engine.json""#));
/// ```
pub fn parse(file: &str, bytes: &[u8], timezone: Tz, rules: &Rules) -> Result<Option<EngineFile>, String> {
    let stem = file.strip_suffix(SUFFIX).unwrap_or(file);
    let name = EngineName::parse(stem).map_err(|expected| format!("the name before {SUFFIX} {expected}"))?;
    let record = Payload::of_file(bytes, rules.max_depth)?;
    if record.text("written_by").as_deref() == Some(PLIMSOLL) {
        return Ok(None);
    }
    let payload = payload(file, stem, &record, timezone)?;
    if payload.len() > rules.max_event_bytes {
        return Err(format!("is longer than an event may be, {} bytes", rules.max_event_bytes));
    }
    let update = Update::parse(&payload, Some(&name)).map_err(|faults| {
        let told: Vec<_> = faults.iter().take(MAX_FAULTS).map(|fault| format!("{}: {}", fault.field, fault.message)).collect();
        told.join("; ")
    })?;
    let said = update.last_heartbeat.as_ref().and_then(Said::instant);
    Ok(Some(EngineFile { update, said, payload }))
}

/// The record as an event's payload.
fn payload(file: &str, name: &str, record: &Payload<'_>, timezone: Tz) -> Result<String, String> {
    let mut out = String::from("{");
    if record.get("name").is_none_or(|raw| raw == "null") {
        push(&mut out, "name", &quote(name));
    }
    for (key, raw) in record.fields() {
        let is_said_by_us = key == "file" || (key == "name" && raw == "null");
        if is_said_by_us {
            continue;
        }
        let text = if TIMES.contains(&key) { unquote(raw) } else { None };
        // what is no time is judged with the other fields
        let local = text.map_or(Ok(None), |text| Timestamp::parse_local(&text, timezone));
        match local.map_err(|reason| format!("{key}: {reason}"))? {
            Some(time) => push(&mut out, key, &quote(&time.to_string())),
            None => push(&mut out, key, raw),
        }
    }
    push(&mut out, "file", &quote(file));
    out.push('}');
    // what is left of line ends is white space between tokens
    Ok(out.replace(['\n', '\r'], " "))
}

fn push(out: &mut String, key: &str, raw: &str) {
    if out.len() > 1 {
        out.push(',');
    }
    // a String takes every write
    let _ = write!(out, "{}:{raw}", quote(key));
}

fn quote(text: &str) -> String {
    // a str always has a JSON form
    serde_json::to_string(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::Status;
    use super::*;
    use chrono_tz::{Asia, Europe};

    const RULES: Rules = Rules { max_event_bytes: 4096, max_depth: 64, accept_unknown_types: true };

    fn read(file: &str, text: impl AsRef<[u8]>) -> Result<Option<EngineFile>, String> {
        parse(file, text.as_ref(), Asia::Kolkata, &RULES)
    }

    fn payload(text: &str) -> String {
        read("fno_engine.json", text).expect("valid").expect("an engine's").payload
    }

    fn reason(text: impl AsRef<[u8]>) -> String {
        read("fno_engine.json", text).expect_err("no record")
    }

    #[test]
    fn the_files_of_engines_in_the_field_are_read_without_loss() {
        let fno = r#"{"name": "fno", "mode": "paper", "pid": 6837, "status": "stopped", "started_at": "2024-08-23T09:14:50.032514", "last_heartbeat": "2024-08-23T15:29:59.067206", "loop_tick": 375, "universe_size": 2, "open_positions": 2, "last_error": null}"#;
        let file = read("fno_engine.json", fno).expect("valid").expect("an engine's");
        assert_eq!(
            file.payload,
            r#"{"name":"fno","mode":"paper","pid":6837,"status":"stopped","started_at":"2024-08-23T03:44:50.032514Z","last_heartbeat":"2024-08-23T09:59:59.067206Z","loop_tick":375,"universe_size":2,"open_positions":2,"last_error":null,"file":"fno_engine.json"}"#
        );
        let said = file.said.expect("a time");
        assert_eq!(said.to_string(), "2024-08-23T09:59:59.067206Z");
        let update = file.update;
        assert_eq!((update.mode.as_deref(), update.pid, update.status), (Some("paper"), Some(6837), Some(Status::Stopped)));
        assert_eq!((update.loop_tick, update.universe_size, update.open_positions), (Some(375), Some(2), Some(2)));
        assert_eq!(update.last_error, Some(None));
        let equity = r#"{"name": "equity", "mode": "paper", "pid": 9829, "status": "error", "started_at": "2024-08-23T13:05:07", "last_heartbeat": "2024-08-23T13:05:07.000273", "loop_tick": 412, "universe_size": 50, "open_positions": 1, "last_error": "LTP feed: connection reset"}"#;
        let update = read("equity_engine.json", equity).expect("valid").expect("an engine's").update;
        assert_eq!(update.last_error, Some(Some("LTP feed: connection reset".into())));
    }

    #[test]
    fn what_nobody_knows_is_kept_as_it_was_written_on_one_line() {
        let text = "\u{feff}{\r\n  \"pid\": 7.0,\n  \"more\": {\n    \"x\": 1.50,\n    \"text\": \"a\\nb\"\n  },\n  \"file\": \"mine\"\n}\n";
        let payload = payload(text);
        assert_eq!(
            payload,
            r#"{"name":"fno","pid":7.0,"more":{     "x": 1.50,     "text": "a\nb"   },"file":"fno_engine.json"}"#
        );
    }

    #[test]
    fn local_times_are_the_zones_and_times_with_an_offset_are_left_as_they_are() {
        let of = |time: &str| payload(&format!(r#"{{"started_at":"{time}"}}"#));
        for same in ["2024-08-23T09:14:50", "2024-08-23 09:14:50.000", "2024-08-23T09:14:50.000000"] {
            assert!(of(same).contains(r#""started_at":"2024-08-23T03:44:50.000000Z""#), "{same}");
        }
        assert!(of("2024-08-23T09:14:50+05:30").contains(r#""2024-08-23T09:14:50+05:30""#));
        let berlin =
            |time: &str| parse("a_engine.json", format!(r#"{{"started_at":"{time}"}}"#).as_bytes(), Europe::Berlin, &RULES);
        let twice = berlin("2024-10-27T02:30:00").expect("valid").expect("an engine's").payload;
        assert!(twice.contains("2024-10-27T00:30:00.000000Z"), "{twice}");
        assert!(berlin("2024-03-31T02:30:00").expect_err("skipped by the clocks").starts_with("started_at: "));
    }

    #[test]
    fn what_is_no_record_is_refused_with_the_reason() {
        for (bad, expected) in [
            ("", "is empty"),
            (" \n", "is empty"),
            ("{\"name\": \"fno\", \"pi", "is not valid JSON"),
            ("name: fno", "is not valid JSON"),
            ("{} {}", "is not valid JSON"),
            (r#"{"loop_tick": NaN}"#, "is not valid JSON"),
            (r#"{"loop_tick": 1e999}"#, "number"),
            (r#"{"pid": 1, "pid": 2}"#, "is repeated"),
            ("[]", "must be an object"),
            ("null", "must be an object"),
            (r#"{"name": "equity"}"#, "name: must be fno"),
            (r#"{"name": 7}"#, "name: "),
            (r#"{"status": "dancing"}"#, "status: must be one of"),
            (r#"{"last_heartbeat": "soon"}"#, "last_heartbeat: must be"),
        ] {
            let reason = reason(bad);
            assert!(reason.contains(expected), "{bad:?}: {reason}");
        }
        assert_eq!(reason(b"{\"name\":\"\xff\"}"), "is not UTF-8: bad byte at 9");
        assert!(reason("[".repeat(2000)).contains("is not valid JSON"));
        assert!(reason(format!(r#"{{"x":"{}"}}"#, "x".repeat(5000))).contains("4096 bytes"));
    }

    #[test]
    fn all_wrong_types_are_told_at_once() {
        let reason = reason(r#"{"pid": "x", "status": 7, "loop_tick": [], "last_error": {}}"#);
        for field in ["pid: ", "status: ", "loop_tick: ", "last_error: "] {
            assert!(reason.contains(field), "{field} in {reason}");
        }
    }

    #[test]
    fn files_that_plimsoll_wrote_itself_are_nobodys_beats() {
        assert!(
            read("fno_engine.json", r#"{"name":"fno","status":"running","written_by":"plimsoll"}"#).expect("valid").is_none()
        );
        assert!(read("fno_engine.json", r#"{"name":"fno","written_by":"me"}"#).expect("valid").is_some());
    }

    #[test]
    fn names_of_files_are_names_of_engines() {
        assert!(is_engine_file("fno_engine.json") && is_engine_file("a b_engine.json"));
        for other in ["fno.json", "fno_engine.json.tmp", ".fno_engine.json", "fno_engine.jsonl"] {
            assert!(!is_engine_file(other), "{other}");
        }
        for bad in ["_engine.json", "a b_engine.json", "plimsoll_engine.json"] {
            let reason = read(bad, "{}").expect_err("no name");
            assert!(reason.starts_with("the name before _engine.json must"), "{bad}: {reason}");
        }
    }
}
