//! What an engine says of itself in one beat: a partial record, read from JSON with all its faults at once.

use serde_json::value::RawValue;

use super::terms::{EngineName, Kind, Said, Status};
use crate::domain::envelope::say;
use crate::domain::fault::FieldFault;
use crate::domain::payload::{Payload, unquote};

/// Deepest nesting of a record.
const MAX_DEPTH: usize = 64;
/// Longest `mode`, in bytes.
const MAX_MODE: usize = 128;
/// What is kept of `last_error`, in bytes.
const MAX_ERROR: usize = 2_048;
/// Largest number that every reader of JSON holds exactly.
const MAX_COUNT: u64 = (1 << 53) - 1;

/// A partial record: what one beat says. All but the name may be missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Update {
    /// Who beats.
    pub name: EngineName,
    /// How it trades, such as `paper`.
    pub mode: Option<String>,
    /// Its process.
    pub pid: Option<u64>,
    /// How it says it is.
    pub status: Option<Status>,
    /// When it started, by its own clock.
    pub started_at: Option<Said>,
    /// When it beat, by its own clock.
    pub last_heartbeat: Option<Said>,
    /// Turns of its main loop.
    pub loop_tick: Option<u64>,
    /// Symbols that it looks at.
    pub universe_size: Option<u64>,
    /// Positions that it holds.
    pub open_positions: Option<u64>,
    /// What last went wrong; `Some(None)` clears it.
    pub last_error: Option<Option<String>>,
    /// What it is for.
    pub kind: Option<Kind>,
}

impl Update {
    /// A beat of `name` that says nothing else.
    #[must_use]
    pub fn empty(name: EngineName) -> Self {
        Self {
            name,
            mode: None,
            pid: None,
            status: None,
            started_at: None,
            last_heartbeat: None,
            loop_tick: None,
            universe_size: None,
            open_positions: None,
            last_error: None,
            kind: None,
        }
    }

    /// Reads a partial record of the engine `name`, or of the one that it names itself. Null is as good as absent, but
    /// for `last_error`, which it clears; unknown fields are allowed and left out.
    ///
    /// # Errors
    /// All faults at once; one without a field when it is no JSON object at all.
    ///
    /// ```
    /// use plimsoll::domain::engine::{Status, Update};
    /// let update = Update::parse(r#"{"name":"fno","status":"running","loop_tick":7}"#, None).expect("valid");
    /// assert_eq!((update.status, update.loop_tick, update.pid), (Some(Status::Running), Some(7), None));
    /// ```
    pub fn parse(json: &str, name: Option<&EngineName>) -> Result<Self, Vec<FieldFault>> {
        match Self::read(json, name) {
            (Some(update), faults) if faults.is_empty() => Ok(update),
            (_, faults) => Err(faults),
        }
    }

    /// The same, but takes what is good of a record that has faults. `None` if it is not known whose it is.
    #[must_use]
    pub fn read(json: &str, name: Option<&EngineName>) -> (Option<Self>, Vec<FieldFault>) {
        let broken = |message: String| (None, vec![FieldFault::new("", message)]);
        let json = match serde_json::from_str::<&RawValue>(json) {
            Ok(value) if value.get().starts_with('{') => value.get(),
            Ok(_) => return broken("must be an object".to_owned()),
            Err(error) => return broken(say(&error)),
        };
        match Payload::inspect(json, MAX_DEPTH) {
            Ok(payload) => Self::of(&payload, name),
            Err(message) => broken(message),
        }
    }

    /// The record in the fields of an object.
    #[must_use]
    pub fn of(payload: &Payload<'_>, name: Option<&EngineName>) -> (Option<Self>, Vec<FieldFault>) {
        let mut fields = Fields { payload, faults: Vec::new() };
        let said = fields.text("name", EngineName::parse);
        let name = match (name, said) {
            (Some(name), Some(said)) if *name != said => {
                fields.fault("name", &format!("must be {name}, as this is the record of that engine"));
                Some(name.clone())
            }
            (Some(name), _) => Some(name.clone()),
            (None, said) => {
                if said.is_none() && fields.faults.is_empty() {
                    fields.fault("name", "is required");
                }
                said
            }
        };
        let fill = |update: Self, fields: &mut Fields<'_, '_>| Self {
            mode: fields.text("mode", mode).flatten(),
            pid: fields.count("pid", u64::from(u32::MAX)),
            status: fields.text("status", str::parse),
            started_at: fields.text("started_at", Said::parse),
            last_heartbeat: fields.text("last_heartbeat", Said::parse),
            loop_tick: fields.count("loop_tick", MAX_COUNT),
            universe_size: fields.count("universe_size", MAX_COUNT),
            open_positions: fields.count("open_positions", MAX_COUNT),
            last_error: fields.last_error(),
            kind: fields.text("kind", str::parse),
            ..update
        };
        // without a name the other faults are told all the same
        let placeholder = EngineName::unknown();
        let is_known = name.is_some();
        let update = fill(Self::empty(name.unwrap_or(placeholder)), &mut fields);
        (is_known.then_some(update), fields.faults)
    }
}

fn mode(text: &str) -> Result<Option<String>, &'static str> {
    if text.len() > MAX_MODE {
        return Err("must be at most 128 bytes long");
    }
    Ok((!text.is_empty()).then(|| text.to_owned()))
}

/// Fields being read, and what is wrong with them.
struct Fields<'p, 'a> {
    payload: &'p Payload<'a>,
    faults: Vec<FieldFault>,
}

impl<'a> Fields<'_, 'a> {
    fn fault(&mut self, field: &str, message: &str) {
        self.faults.push(FieldFault::new(field, message));
    }

    fn present(&self, field: &str) -> Option<&'a str> {
        self.payload.get(field).filter(|raw| *raw != "null")
    }

    fn text<T>(&mut self, field: &str, read: impl FnOnce(&str) -> Result<T, &'static str>) -> Option<T> {
        let raw = self.present(field)?;
        let value = unquote(raw).map_or(Err("must be text"), |text| read(&text));
        value.map_err(|message| self.fault(field, message)).ok()
    }

    fn count(&mut self, field: &str, max: u64) -> Option<u64> {
        let raw = self.present(field)?;
        let whole = raw.parse::<u64>().ok().or_else(|| {
            // some languages write every number with a fraction
            let number = raw.parse::<f64>().ok().filter(|n| n.fract() == 0.0 && (0.0..=9.0e15).contains(n))?;
            format!("{number:.0}").parse().ok()
        });
        let fits = whole.filter(|n| *n <= max);
        if fits.is_none() {
            self.fault(field, &format!("must be a whole number from 0 to {max}"));
        }
        fits
    }

    fn last_error(&mut self) -> Option<Option<String>> {
        let raw = self.payload.get("last_error")?;
        if raw == "null" {
            return Some(None);
        }
        let Some(text) = unquote(raw) else {
            self.fault("last_error", "must be text or null");
            return None;
        };
        // a traceback is worth less than the beat that carries it
        let end = text.char_indices().map(|(at, c)| at + c.len_utf8()).take_while(|end| *end <= MAX_ERROR).last().unwrap_or(0);
        Some(text.get(..end).filter(|kept| !kept.is_empty()).map(str::to_owned))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(json: &str) -> Vec<String> {
        Update::parse(json, None).expect_err("refused").into_iter().map(|fault| fault.field).collect()
    }

    #[test]
    fn a_record_as_an_engine_in_the_field_writes_it_is_read_without_loss() {
        let json = r#"{"name": "equity", "mode": "paper", "pid": 9829, "status": "error", "started_at": "2024-08-23T13:05:07",
            "last_heartbeat": "2024-08-23T13:05:07.000273", "loop_tick": 412, "universe_size": 50, "open_positions": 1,
            "last_error": "LTP feed: connection reset"}"#;
        let update = Update::parse(json, None).expect("valid");
        assert_eq!((update.name.as_str(), update.mode.as_deref(), update.pid), ("equity", Some("paper"), Some(9829)));
        assert_eq!((update.status, update.loop_tick), (Some(Status::Error), Some(412)));
        assert_eq!((update.universe_size, update.open_positions), (Some(50), Some(1)));
        assert_eq!(update.last_error, Some(Some("LTP feed: connection reset".into())));
        assert_eq!(serde_json::to_string(&update.last_heartbeat).expect("text"), r#""2024-08-23T13:05:07.000273""#);
    }

    #[test]
    fn every_fault_is_told_at_once() {
        let json = r#"{"name":"a/b","mode":7,"pid":-1,"status":"dancing","started_at":"soon","last_heartbeat":1,"loop_tick":1.5,
            "universe_size":"2","open_positions":1e300,"last_error":[],"kind":"boat","more":{}}"#;
        let all = [
            "name",
            "mode",
            "pid",
            "status",
            "started_at",
            "last_heartbeat",
            "loop_tick",
            "universe_size",
            "open_positions",
            "last_error",
            "kind",
        ];
        assert_eq!(faults(json), all);
        assert_eq!(faults("{}"), ["name"]);
    }

    #[test]
    fn what_is_no_object_or_holds_what_no_number_is_has_one_fault_without_a_field() {
        for bad in ["", "[]", "7", "{", r#"{"name":"a","x":1e999}"#, r#"{"name":"a","x":NaN}"#, r#"{"name":"a","name":"a"}"#] {
            assert_eq!(faults(bad), [""], "{bad}");
        }
    }

    #[test]
    fn null_is_absent_but_clears_the_last_error() {
        let name = EngineName::parse("fno").expect("a name");
        let update = Update::parse(r#"{"pid":null,"status":null,"last_error":null}"#, Some(&name)).expect("valid");
        assert_eq!(update, Update { last_error: Some(None), ..Update::empty(name.clone()) });
        assert!(Update::parse(r#"{"name":"equity"}"#, Some(&name)).is_err(), "another engine's record");
    }

    #[test]
    fn a_long_error_is_cut_between_characters() {
        let json = format!(r#"{{"name":"a","last_error":"{}"}}"#, "é".repeat(5_000));
        let update = Update::parse(&json, None).expect("valid");
        assert_eq!(update.last_error.flatten().map(|text| text.len()), Some(MAX_ERROR));
    }
}
