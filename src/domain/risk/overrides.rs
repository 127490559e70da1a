//! The overrides file: YAML that people and other tools edit too.
//!
//! Only our own keys are touched, line by line, so that comments, other keys and the order stay as they are. A file whose
//! form does not allow that (a flow mapping, a value on a line of its own) is written anew: other keys keep their values
//! and their order, comments are lost. Either way the outcome is read back before it is used.

use std::fmt;

use rust_decimal::Decimal;
use serde::de::{self, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_yaml::{Mapping, Value};

use super::limits::LimitKind;
use super::limits_patch::{Patch, decimal};

/// The largest file that is read, in bytes.
pub const MAX_BYTES: u64 = 1 << 20;

/// What stands at the top of a file that we begin.
const HEAD: &str = "# Limits that win over those of the configuration. Written by plimsoll; edits by hand are picked up.\n";

/// The limits that are overridden.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Overrides([Option<Decimal>; 5]);

impl Overrides {
    /// The overrides that `value` gives.
    #[must_use]
    pub fn from_fn(value: impl FnMut(LimitKind) -> Option<Decimal>) -> Self {
        Self(LimitKind::ALL.map(value))
    }

    /// The override of `kind`.
    #[must_use]
    pub fn get(&self, kind: LimitKind) -> Option<Decimal> {
        LimitKind::ALL.into_iter().zip(self.0).find(|(each, _)| *each == kind).and_then(|(_, value)| value)
    }

    /// These with `patch` over them.
    #[must_use]
    pub fn with(&self, patch: &Patch) -> Self {
        Self::from_fn(|kind| {
            let named = patch.values().find(|(named, _)| *named == kind);
            named.map_or(self.get(kind), |(_, value)| value)
        })
    }
}

/// The content of an overrides file.
#[derive(Debug, Clone, Default)]
pub struct OverridesFile {
    text: String,
    overrides: Overrides,
    /// What belongs to others, in its order.
    others: Mapping,
}

impl OverridesFile {
    /// Reads a file's content; one without anything in it overrides nothing.
    ///
    /// # Errors
    /// A sentence for the operator: everything that is wrong with it.
    ///
    /// ```
    /// use plimsoll::domain::risk::{limits::LimitKind, overrides::OverridesFile};
    /// let file = OverridesFile::parse(b"max_trades_per_day: 15\ntheirs: [1, 2]\n").expect("valid");
    /// assert_eq!(file.overrides().get(LimitKind::MaxTradesPerDay), Some(15.into()));
    /// ```
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(bytes).map_err(|error| format!("is not UTF-8: bad byte at {}", error.valid_up_to()))?;
        let text = text.trim_start_matches('\u{feff}');
        let mut others = match serde_yaml::from_str(text) {
            Ok(Value::Null) => Mapping::new(),
            Ok(Value::Mapping(mapping)) => mapping,
            Ok(_) => return Err("must be a mapping of limits to numbers".to_owned()),
            Err(error) => return Err(format!("is not valid YAML: {error}")),
        };
        let texts: Texts = if others.is_empty() { Texts::default() } else { serde_yaml::from_str(text).unwrap_or_default() };
        let mut faults = Vec::new();
        let overrides = Overrides::from_fn(|kind| {
            let value = others.shift_remove(kind.field()).filter(|value| !value.is_null())?;
            let exact = texts.0.iter().find(|(known, _)| *known == kind).and_then(|(_, text)| decimal(text));
            let read = match value {
                Value::Number(number) => exact
                    // written in another base, or beside a value that has no text
                    .or_else(|| decimal(&number.to_string()))
                    .ok_or("must be a number of at most 28 digits")
                    .and_then(|value| kind.check(value)),
                _ => Err("must be a number"),
            };
            read.map_err(|expected| faults.push(format!("{} {expected}", kind.field()))).ok()
        });
        if faults.is_empty() { Ok(Self { text: text.to_owned(), overrides, others }) } else { Err(faults.join("; ")) }
    }

    /// What it overrides.
    #[must_use]
    pub fn overrides(&self) -> Overrides {
        self.overrides
    }

    /// Its text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The keys that are no limits, long ones cut.
    pub fn other_keys(&self) -> impl Iterator<Item = String> {
        let name = |key: &Value| key.as_str().map_or_else(|| format!("{key:?}"), str::to_owned);
        self.others.keys().map(move |key| name(key).chars().take(64).collect())
    }

    /// The same file with these overrides.
    ///
    /// # Errors
    /// It has something in it that would be lost.
    pub fn with(&self, overrides: &Overrides) -> Result<Self, String> {
        let is_right = |file: &Self| {
            let same_order = file.others.iter().eq(self.others.iter());
            file.overrides == *overrides && same_order
        };
        [self.edited(overrides), self.rewritten(overrides)]
            .iter()
            .filter_map(|text| Self::parse(text.as_bytes()).ok())
            .find(is_right)
            .ok_or_else(|| "cannot be written without losing what others put into it".to_owned())
    }

    /// The text with the lines of our keys changed, taken out or added.
    fn edited(&self, overrides: &Overrides) -> String {
        let mut text = String::with_capacity(self.text.len() + 256);
        let end = if self.text.contains("\r\n") { "\r\n" } else { "\n" };
        let mut is_there = Vec::new();
        for line in self.text.split_inclusive('\n') {
            let Some((kind, rest)) = ours(line) else {
                text.push_str(line);
                continue;
            };
            is_there.push(kind);
            match overrides.get(kind) {
                Some(value) if self.overrides.get(kind) == Some(value) => text.push_str(line),
                Some(value) => {
                    let value_end = rest.find(" #").map_or(rest.len(), |at| rest.get(..at).unwrap_or_default().trim_end().len());
                    let comment = rest.get(value_end..).unwrap_or_default();
                    text.push_str(&format!("{}: {value}{}{end}", kind.field(), comment.trim_end()));
                }
                None => {}
            }
        }
        if text.is_empty() {
            text.push_str(HEAD);
        } else if !text.ends_with('\n') {
            text.push_str(end);
        }
        for kind in LimitKind::ALL.into_iter().filter(|kind| !is_there.contains(kind)) {
            if let Some(value) = overrides.get(kind) {
                text.push_str(&format!("{}: {value}{end}", kind.field()));
            }
        }
        text
    }

    /// A text made from what was read.
    fn rewritten(&self, overrides: &Overrides) -> String {
        let others = if self.others.is_empty() { None } else { serde_yaml::to_string(&self.others).ok() };
        let mut text = HEAD.to_owned() + &others.unwrap_or_default();
        for kind in LimitKind::ALL {
            if let Some(value) = overrides.get(kind) {
                text.push_str(&format!("{}: {value}\n", kind.field()));
            }
        }
        text
    }
}

/// The limit whose line this is, and what follows its colon.
fn ours(line: &str) -> Option<(LimitKind, &str)> {
    let (key, rest) = line.split_once(':')?;
    LimitKind::of_field(key.trim_end()).map(|kind| (kind, rest))
}

/// Our keys with the text of their scalars, whose digits a float would not all hold.
#[derive(Default)]
struct Texts(Vec<(LimitKind, String)>);

impl<'de> de::Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Ours;
        impl<'de> Visitor<'de> for Ours {
            type Value = Texts;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a mapping")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Texts, M::Error> {
                let mut texts = Vec::new();
                while let Some(key) = map.next_key::<Value>()? {
                    match key.as_str().and_then(LimitKind::of_field) {
                        Some(kind) => texts.push((kind, map.next_value::<String>()?)),
                        None => drop(map.next_value::<IgnoredAny>()?),
                    }
                }
                Ok(Texts(texts))
            }
        }
        deserializer.deserialize_map(Ours)
    }
}

#[cfg(test)]
#[path = "overrides_tests.rs"]
mod tests;
