//! From the bytes of a request to a valid event, or to all that is wrong with them.

use std::borrow::Cow;
use std::fmt;

use compact_str::CompactString;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::clock::Timestamp;
use super::event::{Draft, Header, event_type};
use super::fault::FieldFault;
use super::payload::{Payload, unquote};
use super::schema;

/// What the configuration accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Largest event, in bytes of its JSON.
    pub max_event_bytes: usize,
    /// Deepest nesting of a payload.
    pub max_depth: usize,
    /// Whether types that the schema does not know are accepted.
    pub accept_unknown_types: bool,
}

/// Why an event was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// No JSON object of the expected form.
    Malformed(String),
    /// Well-formed, but these fields are not acceptable.
    Unacceptable(Vec<FieldFault>),
    /// Longer than this many bytes.
    TooLarge(usize),
}

impl Refusal {
    /// The refusal as faults of fields, for an answer that lists many events.
    #[must_use]
    pub fn into_faults(self) -> Vec<FieldFault> {
        match self {
            Self::Malformed(message) => vec![FieldFault::new("", message)],
            Self::Unacceptable(faults) => faults,
            Self::TooLarge(limit) => vec![FieldFault::new("", format!("must be at most {limit} bytes long"))],
        }
    }
}

/// Parses, validates and encodes one event that arrived at `now`.
///
/// # Errors
/// Everything that is wrong with it.
///
/// ```
/// use plimsoll::domain::{clock::Timestamp, envelope::{Rules, parse}};
/// let rules = Rules { max_event_bytes: 262_144, max_depth: 64, accept_unknown_types: true };
/// let draft = parse(br#"{"type":"CYCLE_START","payload":{}}"#, &rules, Timestamp::from_micros(0));
/// assert_eq!(draft.expect("valid").header().event_type, "cycle_start");
/// ```
pub fn parse(json: &[u8], rules: &Rules, now: Timestamp) -> Result<Draft, Refusal> {
    if json.len() > rules.max_event_bytes {
        return Err(Refusal::TooLarge(rules.max_event_bytes));
    }
    let text = std::str::from_utf8(json)
        .map_err(|error| Refusal::Malformed(format!("is not UTF-8: bad byte at {}", error.valid_up_to())))?;
    let envelope: Envelope<'_> = serde_json::from_str(text).map_err(|error| Refusal::Malformed(say(&error)))?;
    envelope.validate(rules, now)
}

/// A JSON error in a sentence for the sender.
#[must_use]
pub fn say(error: &serde_json::Error) -> String {
    if error.is_data() { error.to_string() } else { format!("is not valid JSON: {error}") }
}

/// The envelope's fields as raw JSON, under the names of the contract.
#[derive(Default)]
struct Envelope<'a> {
    event_type: Option<&'a RawValue>,
    timestamp: Option<&'a RawValue>,
    source: Option<&'a RawValue>,
    severity: Option<&'a RawValue>,
    profile_id: Option<&'a RawValue>,
    event_id: Option<&'a RawValue>,
    payload: Option<&'a RawValue>,
    faults: Vec<FieldFault>,
}

/// The source of events that the service publishes itself; nobody else may speak in its name.
pub const OWN_SOURCE: &str = "plimsoll";

/// So many faults of one event are told; more would only help to flood us.
const MAX_FAULTS: usize = 32;

impl<'a> Envelope<'a> {
    fn validate(mut self, rules: &Rules, now: Timestamp) -> Result<Draft, Refusal> {
        let faults = &mut self.faults;
        let event_type = field(self.event_type, "type", faults, |text| event_type(text).map_err(Cow::from));
        if self.event_type.is_none() {
            faults.push(FieldFault::new("type", "is required"));
        }
        let timestamp = field(self.timestamp, "timestamp", faults, |text| Timestamp::parse(text).map_err(Cow::from));
        let source = field(self.source, "source", faults, |text| match name(text) {
            Ok(source) if source.eq_ignore_ascii_case(OWN_SOURCE) => {
                Err("is taken: it marks what plimsoll itself publishes".into())
            }
            other => other,
        });
        let severity = field(self.severity, "severity", faults, |text| text.parse().map_err(Cow::from));
        let event_id = field(self.event_id, "event_id", faults, name);
        let profile_id = present(self.profile_id).and_then(|raw| {
            // some languages write every number with a fraction
            let parsed = raw.strip_suffix(".0").unwrap_or(raw).parse::<i64>().ok();
            if parsed.is_none() {
                faults.push(FieldFault::new("profile_id", "must be an integer"));
            }
            parsed
        });

        let json = self.payload.map(RawValue::get);
        let payload = match json {
            None => Err("is required".to_owned()),
            Some(raw) if !raw.starts_with('{') => Err("must be an object".to_owned()),
            Some(raw) => Payload::inspect(raw, rules.max_depth),
        };
        match (payload, json, event_type) {
            (Ok(payload), Some(json), Some(event_type)) => {
                if !schema::check(&event_type, &payload, faults) && !rules.accept_unknown_types {
                    faults.push(FieldFault::new("type", format!("{event_type} is not a known event type")));
                }
                if faults.is_empty() {
                    let (symbol, strategy) = schema::labels(&payload);
                    let header = Header {
                        event_type,
                        timestamp: timestamp.unwrap_or(now),
                        source,
                        severity,
                        profile_id,
                        event_id,
                        symbol: symbol.map(CompactString::from),
                        strategy: strategy.map(CompactString::from),
                    };
                    return Ok(Draft::new(header, json));
                }
            }
            (Err(message), ..) => faults.push(FieldFault::new("payload", message)),
            _ => {}
        }
        faults.truncate(MAX_FAULTS);
        Err(Refusal::Unacceptable(self.faults))
    }
}

/// The raw value of an optional field, null being as good as absent.
fn present(raw: Option<&RawValue>) -> Option<&str> {
    raw.map(RawValue::get).filter(|raw| *raw != "null")
}

/// Reads an optional text field with `read`, noting a fault.
fn field<T>(
    raw: Option<&RawValue>,
    name: &str,
    faults: &mut Vec<FieldFault>,
    read: impl FnOnce(&str) -> Result<T, Cow<'static, str>>,
) -> Option<T> {
    // `type` is required, so its null is a fault; for the others null is absent
    let raw = if name == "type" { raw.map(RawValue::get) } else { present(raw) }?;
    let value = unquote(raw).map_or(Err(Cow::from("must be text")), |text| read(&text));
    value.map_err(|message| faults.push(FieldFault::new(name, message))).ok()
}

/// A source or an event id: 1 to 128 characters.
fn name(text: &str) -> Result<CompactString, Cow<'static, str>> {
    let fits = !text.is_empty() && text.chars().take(129).count() <= 128;
    if fits { Ok(text.into()) } else { Err("must be 1 to 128 characters long".into()) }
}

impl<'de: 'a, 'a> de::Deserialize<'de> for Envelope<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EnvelopeVisitor)
    }
}

struct EnvelopeVisitor;

impl<'de> Visitor<'de> for EnvelopeVisitor {
    type Value = Envelope<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an event: an object with type and payload")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Envelope<'de>, M::Error> {
        let mut envelope = Envelope::default();
        while let Some(key) = map.next_key::<Key<'de>>()? {
            let value: &'de RawValue = map.next_value()?;
            let slot = match key.0.as_ref() {
                "type" | "event_type" => &mut envelope.event_type,
                "timestamp" => &mut envelope.timestamp,
                "source" => &mut envelope.source,
                "severity" => &mut envelope.severity,
                "profile_id" => &mut envelope.profile_id,
                "event_id" => &mut envelope.event_id,
                "payload" | "data" => &mut envelope.payload,
                other => {
                    if envelope.faults.len() < MAX_FAULTS {
                        envelope.faults.push(unknown(other));
                    }
                    continue;
                }
            };
            if slot.replace(value).is_some() && envelope.faults.len() < MAX_FAULTS {
                let message = match key.0.as_ref() {
                    "type" | "event_type" => "is given twice (type and event_type are the same field)",
                    "payload" | "data" => "is given twice (payload and data are the same field)",
                    _ => "is given twice",
                };
                envelope.faults.push(FieldFault::new(key.0.as_ref(), message));
            }
        }
        Ok(envelope)
    }
}

fn unknown(field: &str) -> FieldFault {
    let shown: String = field.chars().take(64).collect();
    let message = match field {
        "id" => "is given by plimsoll; a sender's own id goes into event_id",
        _ => "is not a field of an event; put it into payload",
    };
    FieldFault::new(shown, message)
}

/// A key, borrowed where it can be.
struct Key<'a>(Cow<'a, str>);

impl<'de> de::Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyVisitor;
        impl<'de> Visitor<'de> for KeyVisitor {
            type Value = Key<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(KeyVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::event::Severity;
    use crate::domain::id::EventId;

    const RULES: Rules = Rules { max_event_bytes: 4096, max_depth: 64, accept_unknown_types: true };

    fn parsed(json: &str) -> Result<Draft, Refusal> {
        parse(json.as_bytes(), &RULES, Timestamp::from_micros(1_000_000))
    }

    fn faults(json: &str) -> Vec<String> {
        match parsed(json) {
            Err(Refusal::Unacceptable(faults)) => faults.into_iter().map(|fault| fault.field).collect(),
            other => panic!("expected faults, got {other:?}"),
        }
    }

    #[test]
    fn the_contracts_example_is_taken_whole() {
        let draft = parsed(
            r#"{"type":"order_event","timestamp":"2025-11-18T07:55:41.345678Z","source":"fno","severity":"info",
            "profile_id":1,"event_id":"fno-000123","payload":{"order_id":"PAPER-1","symbol":"NIFTY","side":"BUY","status":"filled","qty":50,"price":19755.0}}"#,
        )
        .expect("valid");
        let header = draft.header();
        assert_eq!(header.symbol.as_deref(), Some("NIFTY"));
        assert_eq!((header.severity, header.profile_id), (Some(Severity::Info), Some(1)));
        let event = draft.stamp(EventId::ZERO);
        assert!(event.payload().ends_with(r#""price":19755.0}"#), "number text is untouched: {}", event.payload());
    }

    #[test]
    fn the_other_spellings_and_defaults_work() {
        let draft = parsed(r#"{"event_type":"MY.Type-1","data":{ "x" : 1 },"source":null}"#).expect("valid");
        assert_eq!(draft.header().event_type, "my.type-1");
        let whole = parsed(r#"{"type":"a","payload":{},"profile_id":-7.0}"#).expect("valid");
        assert_eq!(whole.header().profile_id, Some(-7));
        assert_eq!(draft.header().timestamp, Timestamp::from_micros(1_000_000));
        assert_eq!(draft.stamp(EventId::ZERO).payload(), r#"{ "x" : 1 }"#);
    }

    #[test]
    fn every_fault_is_told_at_once() {
        let found = faults(
            r#"{"id":"1-0","typ":"x","timestamp":"now","source":"","severity":"bad","profile_id":1.5,"event_id":7,"payload":[]}"#,
        );
        let all = ["id", "typ", "type", "timestamp", "source", "severity", "event_id", "profile_id", "payload"];
        assert_eq!(found, all);
    }

    #[test]
    fn a_field_given_twice_is_refused_under_either_name() {
        assert_eq!(faults(r#"{"type":"a","event_type":"a","payload":{}}"#), ["event_type"]);
        assert_eq!(faults(r#"{"type":"a","payload":{},"data":{}}"#), ["data"]);
        assert_eq!(faults(r#"{"type":"a","source":"x","source":"x","payload":{}}"#), ["source"]);
        assert_eq!(faults(r#"{"type":"a","payload":{"k":1,"k":1}}"#), ["payload"]);
    }

    #[test]
    fn what_is_no_json_object_is_malformed() {
        for bad in ["", "{", "[]", "7", r#"{"type":"a","payload":{"x":NaN}}"#, r#"{"type":"a","payload":{}} x"#, "{\"a\":\"\n\"}"]
        {
            assert!(matches!(parsed(bad), Err(Refusal::Malformed(_))), "{bad}");
        }
        assert!(matches!(parse(b"{\"type\":\"\xff\"}", &RULES, Timestamp::from_micros(0)), Err(Refusal::Malformed(_))));
        let deep = "[".repeat(4000);
        assert!(matches!(parsed(&deep), Err(Refusal::Malformed(_))));
    }

    #[test]
    fn size_unknown_types_and_infinite_numbers_are_bounded() {
        let large = format!(r#"{{"type":"a","payload":{{"x":"{}"}}}}"#, "x".repeat(5000));
        assert!(matches!(parsed(&large), Err(Refusal::TooLarge(4096))));
        let strict = Rules { accept_unknown_types: false, ..RULES };
        let refused = parse(br#"{"type":"mine","payload":{}}"#, &strict, Timestamp::from_micros(0));
        assert!(matches!(refused, Err(Refusal::Unacceptable(_))));
        assert_eq!(faults(r#"{"type":"a","payload":{"x":1e999}}"#), ["payload"]);
    }
}
