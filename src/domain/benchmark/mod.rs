//! A benchmark: the values of market indices at an instant.

pub mod file;

use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::Arc;

use chrono_tz::Tz;
use serde::de::IgnoredAny;

use crate::domain::clock::Timestamp;
use crate::domain::envelope::say;
use crate::domain::fault::FieldFault;
use crate::domain::payload::{Payload, unquote};

/// The field of the instant.
const TS: &str = "ts";
/// A point has at most so many indices.
const MAX_INDICES: usize = 100;
/// An index's name has at most so many bytes.
const MAX_NAME: usize = 64;
/// Bytes of a written point beside its values.
const FRAME: usize = 40;

/// The values at an instant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Point {
    /// The instant.
    pub ts: Timestamp,
    /// The values as the inside of a JSON object, such as `"nifty":24301.3,"finnifty":null`: order and number text are as
    /// they were written.
    values: Arc<str>,
}

impl Point {
    /// Reads the JSON of a point. A `ts` without an offset is `timezone`'s; one that is absent is `default_ts`, if that is
    /// given.
    ///
    /// # Errors
    /// All faults.
    ///
    /// ```
    /// use plimsoll::domain::benchmark::Point;
    /// let json = r#"{"ts": "2024-08-05T09:19:59.063529", "nifty": 24301.30, "finnifty": null}"#;
    /// let point = Point::parse(json, chrono_tz::Asia::Kolkata, None).expect("valid");
    /// assert_eq!(point.to_json(), r#"{"ts":"2024-08-05T03:49:59.063529Z","nifty":24301.30,"finnifty":null}"#);
    /// ```
    pub fn parse(json: &str, timezone: Tz, default_ts: Option<Timestamp>) -> Result<Self, Vec<FieldFault>> {
        let json = json.trim();
        let whole = |message: String| vec![FieldFault::new("benchmark", message)];
        serde_json::from_str::<IgnoredAny>(json).map_err(|error| whole(say(&error)))?;
        if !json.starts_with('{') {
            return Err(whole(r#"must be an object such as {"ts":"2024-08-05T03:49:59Z","nifty":24301.3}"#.to_owned()));
        }
        let fields = Payload::inspect(json, MAX_DEPTH).map_err(whole)?;
        let (mut faults, mut values, mut indices) = (Vec::new(), String::new(), 0);
        for (name, raw) in fields.fields().filter(|(name, _)| *name != TS) {
            indices += 1;
            if indices > MAX_INDICES {
                faults.push(FieldFault::new("benchmark", format!("must not have more than {MAX_INDICES} indices")));
                break;
            }
            if let Err(expected) = check(name, raw) {
                faults.push(FieldFault::new(name.chars().take(MAX_NAME).collect::<String>(), expected));
                continue;
            }
            push(&mut values, name, raw);
        }
        if indices == 0 {
            faults.push(FieldFault::new("benchmark", "must have at least one index beside ts, such as \"nifty\": 24301.3"));
        }
        let ts = match (fields.get(TS).filter(|raw| *raw != "null"), default_ts) {
            (None, Some(default)) => Ok(default),
            (None, None) => Err("is required".to_owned()),
            (Some(raw), _) => instant(unquote(raw), timezone),
        };
        match ts {
            Ok(ts) if faults.is_empty() => Ok(Self { ts, values: values.into() }),
            Ok(_) => Err(faults),
            Err(expected) => {
                faults.insert(0, FieldFault::new(TS, expected));
                Err(faults)
            }
        }
    }

    /// The values of both, at this one's instant; where both have one, that of `later` counts unless it is null.
    #[must_use]
    pub fn merged(&self, later: &Self) -> Self {
        let (ours, theirs) = (format!("{{{}}}", self.values), format!("{{{}}}", later.values));
        // both were read before
        let (Ok(ours), Ok(theirs)) = (Payload::inspect(&ours, MAX_DEPTH), Payload::inspect(&theirs, MAX_DEPTH)) else {
            return later.clone();
        };
        let newer = |name: &str| theirs.get(name).filter(|raw| *raw != "null");
        let kept = ours.fields().map(|(name, raw)| (name, newer(name).unwrap_or(raw)));
        let added = theirs.fields().filter(|(name, _)| ours.get(name).is_none());
        let mut values = String::new();
        for (name, raw) in kept.chain(added) {
            push(&mut values, name, raw);
        }
        Self { ts: self.ts, values: values.into() }
    }

    /// Appends the point's JSON to `out`.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"ts\":\"");
        self.ts.write(out);
        out.extend_from_slice(b"\",");
        out.extend_from_slice(self.values.as_bytes());
        out.push(b'}');
    }

    /// The point's JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut out = Vec::with_capacity(self.size());
        self.write(&mut out);
        // everything in it was text
        String::from_utf8(out).unwrap_or_default()
    }

    /// Bytes of its JSON, or a little more.
    #[must_use]
    pub fn size(&self) -> usize {
        FRAME + self.values.len()
    }
}

fn push(values: &mut String, name: &str, raw: &str) {
    let comma = if values.is_empty() { "" } else { "," };
    // a String takes every write, and a str always has a JSON form
    let _ = write!(values, "{comma}{}:{raw}", serde_json::to_string(name).unwrap_or_default());
}

/// A point is flat; a little depth lets the fault be told of the field.
const MAX_DEPTH: usize = 8;

fn check(name: &str, raw: &str) -> Result<(), &'static str> {
    if name.is_empty() || name.len() > MAX_NAME || name.chars().any(char::is_control) {
        return Err("is no name of an index: 1 to 64 bytes without control characters");
    }
    let is_number = raw.starts_with(|first: char| first == '-' || first.is_ascii_digit());
    if is_number || raw == "null" { Ok(()) } else { Err("must be a number or null") }
}

fn instant(text: Option<Cow<'_, str>>, timezone: Tz) -> Result<Timestamp, String> {
    const EXPECTED: &str = "must be an ISO 8601 time such as 2025-11-18T07:55:41.345678Z";
    let text = text.ok_or(EXPECTED)?;
    if let Ok(time) = Timestamp::parse(&text) {
        return Ok(time);
    }
    Timestamp::parse_local(&text, timezone)?.ok_or_else(|| EXPECTED.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono_tz::{Asia, Europe};
    use proptest::prelude::*;

    #[test]
    fn points_of_one_instant_have_the_values_of_both_and_the_later_ones_count() {
        let point = |values: &str| {
            Point::parse(&format!(r#"{{"ts":"2024-08-05T03:49:59Z",{values}}}"#), Asia::Kolkata, None).expect("valid")
        };
        let merged = point(r#""nifty":1.50,"finnifty":3"#).merged(&point(r#""banknifty":2,"nifty":4.0,"finnifty":null"#));
        assert_eq!(merged.to_json(), r#"{"ts":"2024-08-05T03:49:59.000000Z","nifty":4.0,"finnifty":3,"banknifty":2}"#);
    }

    fn faults(json: &str) -> Vec<String> {
        let faults = Point::parse(json, Asia::Kolkata, None).expect_err(json);
        faults.into_iter().map(|fault| format!("{}: {}", fault.field, fault.message)).collect()
    }

    #[test]
    fn times_with_an_offset_and_local_ones_are_the_same_instant() {
        for ts in [
            "2024-08-05T09:19:59.063529+05:30",
            "2024-08-05T03:49:59.063529Z",
            "2024-08-05T09:19:59.063529",
            "2024-08-05 09:19:59.063529",
        ] {
            let point = Point::parse(&format!(r#"{{"nifty":1,"ts":"{ts}"}}"#), Asia::Kolkata, None).expect(ts);
            assert_eq!(point.to_json(), r#"{"ts":"2024-08-05T03:49:59.063529Z","nifty":1}"#);
        }
        let gap = Point::parse(r#"{"nifty":1,"ts":"2024-03-31T02:30:00"}"#, Europe::Berlin, None).expect_err("no such time");
        assert!(gap[0].message.contains("Europe/Berlin"), "{gap:?}");
    }

    #[test]
    fn a_missing_time_is_now_where_there_is_a_now() {
        let now = Timestamp::from_micros(1_722_829_799_063_529);
        for json in [r#"{"nifty":1}"#, r#"{"ts":null,"nifty":1}"#] {
            assert_eq!(Point::parse(json, Asia::Kolkata, Some(now)).expect("valid").ts, now);
            assert_eq!(faults(json), ["ts: is required"]);
        }
    }

    #[test]
    fn all_faults_are_told_at_once() {
        let json = r#"{"ts":"yesterday","nifty":"24301","banknifty":true,"":1,"finnifty":[],"sensex":{"a":1},"ok":-1.5e3}"#;
        let faults = faults(json);
        for field in ["ts:", "nifty:", "banknifty:", ": ", "finnifty:", "sensex:"] {
            assert!(faults.iter().any(|fault| fault.starts_with(field)), "{field} in {faults:?}");
        }
        assert_eq!(faults.len(), 6, "{faults:?}");
    }

    #[test]
    fn what_is_no_point_at_all_is_refused() {
        let many: Vec<String> = (0..101).map(|index| format!("\"i{index}\":1")).collect();
        let many = format!(r#"{{"ts":"2024-08-05T03:49:59Z",{}}}"#, many.join(","));
        for json in [
            "",
            "7",
            "null",
            "[]",
            "{",
            "{}",
            r#"{"ts":"2024-08-05T03:49:59Z"}"#,
            r#"{"ts":5,"nifty":1}"#,
            r#"{"ts":"2024-08-05","nifty":1}"#,
            r#"{"ts":"2024-08-05T03:49:59Z","nifty":NaN}"#,
            r#"{"ts":"2024-08-05T03:49:59Z","nifty":1e999}"#,
            r#"{"ts":"2024-08-05T03:49:59Z","nifty":1,"nifty":2}"#,
            &many,
        ] {
            assert!(!faults(json).is_empty(), "{json}");
        }
    }

    proptest! {
        #[test]
        fn a_written_point_reads_back(micros in 0..4_102_444_800_000_000_i64, name in "[^\\p{C}]{1,16}", value in any::<f64>()) {
            let value = if value.is_finite() { format!("{value:?}") } else { "null".to_owned() };
            prop_assume!(name != TS);
            let ts = Timestamp::from_micros(micros);
            let json = format!(r#"{{"ts":"{ts}",{}:{value}}}"#, serde_json::to_string(&name).expect("text"));
            let point = Point::parse(&json, Asia::Kolkata, None).expect("valid");
            prop_assert_eq!(point.to_json(), &*json);
            prop_assert!(point.size() >= json.len());
        }

        #[test]
        fn no_text_is_a_reason_to_panic(text in any::<String>()) {
            let _ = Point::parse(&text, Asia::Kolkata, None);
        }
    }
}
