//! A JSON object as its fields in their order, each value as the text it was written in.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The fields of one object, in order; a repeated key stays repeated.
#[derive(Debug, Default)]
pub struct Fields<'a>(Vec<(String, &'a RawValue)>);

impl<'a> Fields<'a> {
    /// Reads the text of one object.
    pub fn parse(json: &'a [u8]) -> Option<Self> {
        serde_json::from_slice(json).ok()
    }

    /// The JSON text of field `name`.
    pub fn get(&self, name: &str) -> Option<&'a str> {
        self.iter().find(|(key, _)| *key == name).map(|(_, value)| value)
    }

    /// Names and JSON texts, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &'a str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.get()))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Fields<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

/// Writes an object field by field, in the order given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object(String);

impl Object {
    /// An object without fields.
    pub fn new() -> Self {
        Self("{".to_owned())
    }

    /// Adds a field whose value is JSON text.
    pub fn raw(mut self, key: &str, json: &str) -> Self {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        self.0.push_str(&quoted(key));
        self.0.push(':');
        self.0.push_str(json);
        self
    }

    /// Adds a text.
    pub fn text(self, key: &str, value: &str) -> Self {
        self.raw(key, &quoted(value))
    }

    /// Adds a text if there is one.
    pub fn maybe(self, key: &str, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.text(key, value),
            None => self,
        }
    }

    /// Adds a whole number.
    pub fn int(self, key: &str, value: i64) -> Self {
        self.raw(key, &value.to_string())
    }

    /// Adds a number; one that is not finite has no JSON and becomes null.
    pub fn number(self, key: &str, value: f64) -> Self {
        let json = if value.is_finite() { format!("{value:?}") } else { "null".to_owned() };
        self.raw(key, &json)
    }

    /// Adds another object.
    pub fn object(self, key: &str, value: Self) -> Self {
        self.raw(key, &value.finish())
    }

    /// The JSON text.
    pub fn finish(mut self) -> String {
        self.0.push('}');
        self.0
    }
}

/// `text` as a JSON string.
pub fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The text of a JSON string; `None` for any other value.
pub fn unquoted(json: &str) -> Option<String> {
    if json.starts_with('"') { serde_json::from_str(json).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_number_texts_and_repeated_keys_survive() {
        let text = r#"{"z":1.50,"a":{"deep": [1e3]},"z":"é\n"}"#;
        let fields = Fields::parse(text.as_bytes()).expect("an object");
        let seen: Vec<_> = fields.iter().collect();
        assert_eq!(seen, [("z", "1.50"), ("a", r#"{"deep": [1e3]}"#), ("z", r#""é\n""#)]);
        assert!(Fields::parse(b"[1]").is_none() && Fields::parse(b"{\"a\":1} x").is_none());
    }

    #[test]
    fn what_is_written_is_json_in_the_order_given() {
        let inner = Object::new().int("n", -1);
        let text = Object::new().text("t\"", "a\nb").number("x", 2.0).object("o", inner).maybe("none", None).finish();
        assert_eq!(text, r#"{"t\"":"a\nb","x":2.0,"o":{"n":-1}}"#);
        assert_eq!(Object::new().finish(), "{}");
        assert_eq!(Object::new().number("x", f64::NAN).finish(), r#"{"x":null}"#);
    }
}
