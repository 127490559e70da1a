//! One pass over a payload that is known to be JSON: its depth, its numbers, its keys, and where its top-level fields are.

use std::borrow::Cow;
use std::collections::HashSet;

use serde_json::value::RawValue;

use super::envelope::say;

/// The top-level fields of a payload object, as raw JSON text.
#[derive(Debug, Default)]
pub struct Payload<'a> {
    fields: Vec<(Cow<'a, str>, &'a str)>,
}

impl<'a> Payload<'a> {
    /// The raw JSON of field `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&'a str> {
        self.fields.iter().find(|(key, _)| key == name).map(|(_, value)| *value)
    }

    /// The top-level fields as raw JSON, in the order in which they were written.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &'a str)> {
        self.fields.iter().map(|(key, value)| (key.as_ref(), *value))
    }

    /// The text of field `name`, if it is a string (`None` too for one that is no valid Unicode text).
    #[must_use]
    pub fn text(&self, name: &str) -> Option<Cow<'a, str>> {
        unquote(self.get(name)?)
    }

    /// The object that a file holds. A byte order mark, by which some editors mark their UTF-8, is no part of it.
    ///
    /// # Errors
    /// A sentence for the operator: why it is no object, or those of [`Payload::inspect`].
    ///
    /// ```
    /// use plimsoll::domain::payload::Payload;
    /// let file = Payload::of_file(b"\xef\xbb\xbf{\"pnl\": -12.50}\n", 8).expect("an object");
    /// assert_eq!(file.get("pnl"), Some("-12.50"));
    /// ```
    pub fn of_file(bytes: &'a [u8], max_depth: usize) -> Result<Self, String> {
        let text = std::str::from_utf8(bytes).map_err(|error| format!("is not UTF-8: bad byte at {}", error.valid_up_to()))?;
        let text = text.trim_start_matches('\u{feff}').trim();
        if text.is_empty() {
            return Err("is empty".to_owned());
        }
        let json = serde_json::from_str::<&RawValue>(text).map_err(|error| say(&error))?.get();
        if json.starts_with('{') { Self::inspect(json, max_depth) } else { Err("must be an object".to_owned()) }
    }

    /// Walks `json`, the text of an object that a JSON parser has accepted.
    ///
    /// # Errors
    /// A sentence for the sender: nested deeper than `max_depth`, a number that no finite f64 holds, or a repeated key.
    pub fn inspect(json: &'a str, max_depth: usize) -> Result<Self, String> {
        Walk { json, at: 0, open: Vec::new(), keys: Vec::new(), payload: Self::default(), field: None }.run(max_depth)
    }
}

/// The text of a JSON string, borrowed where nothing is escaped.
#[must_use]
pub fn unquote(raw: &str) -> Option<Cow<'_, str>> {
    let inner = raw.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') { serde_json::from_str(raw).ok().map(Cow::Owned) } else { Some(Cow::Borrowed(inner)) }
}

/// An object or array that is being walked.
struct Open {
    is_object: bool,
    /// Where its keys begin in `Walk::keys`.
    first_key: usize,
}

struct Walk<'a> {
    json: &'a str,
    at: usize,
    open: Vec<Open>,
    /// The keys of all open objects, innermost last.
    keys: Vec<Cow<'a, str>>,
    payload: Payload<'a>,
    /// The top-level field that is being walked, and where its value starts.
    field: Option<(Cow<'a, str>, usize)>,
}

/// Up to this many keys a linear look is faster than hashing.
const FEW_KEYS: usize = 32;

impl<'a> Walk<'a> {
    fn run(mut self, max_depth: usize) -> Result<Payload<'a>, String> {
        let bytes = self.json.as_bytes();
        let mut key_next = false;
        // objects with many keys: the keys seen, by the depth of the object
        let mut many: Vec<(usize, HashSet<Cow<'a, str>>)> = Vec::new();
        while let Some(&byte) = bytes.get(self.at) {
            match byte {
                b'"' => {
                    let raw = self.string();
                    if key_next {
                        key_next = false;
                        let key = unquote(raw).ok_or("a key is no valid Unicode text")?;
                        self.key(key, &mut many)?;
                    }
                }
                b'{' | b'[' => {
                    if self.open.len() >= max_depth {
                        return Err(format!("must not be nested deeper than {max_depth} levels"));
                    }
                    key_next = byte == b'{';
                    self.open.push(Open { is_object: key_next, first_key: self.keys.len() });
                    self.at += 1;
                }
                b'}' | b']' => {
                    if self.open.len() == 1 {
                        self.end_field();
                    }
                    many.pop_if(|(depth, _)| *depth == self.open.len());
                    if let Some(closed) = self.open.pop() {
                        self.keys.truncate(closed.first_key);
                    }
                    key_next = false;
                    self.at += 1;
                }
                b',' => {
                    if self.open.len() == 1 {
                        self.end_field();
                    }
                    key_next = self.open.last().is_some_and(|open| open.is_object);
                    self.at += 1;
                }
                b'-' | b'0'..=b'9' => self.number()?,
                // white space, colons, true, false, null
                _ => self.at += 1,
            }
        }
        Ok(self.payload)
    }

    /// Steps over the string at `self.at`.
    fn string(&mut self) -> &'a str {
        let start = self.at;
        self.at += 1;
        let rest = |at: usize| self.json.as_bytes().get(at..).unwrap_or_default();
        while let Some(found) = memchr::memchr2(b'"', b'\\', rest(self.at)) {
            self.at += found;
            if rest(self.at).first() == Some(&b'"') {
                self.at += 1;
                break;
            }
            self.at += 2;
        }
        self.json.get(start..self.at).unwrap_or_default()
    }

    fn number(&mut self) -> Result<(), String> {
        let rest = self.json.get(self.at..).unwrap_or_default();
        let end = rest.bytes().position(|b| !matches!(b, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-'));
        let text = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
        let may_overflow = text.len() > 300 || text.bytes().any(|b| matches!(b, b'e' | b'E'));
        if may_overflow && !text.parse::<f64>().is_ok_and(f64::is_finite) {
            let shown: String = text.chars().take(40).collect();
            return Err(format!("the number {shown} is not finite"));
        }
        self.at += text.len().max(1);
        Ok(())
    }

    fn key(&mut self, key: Cow<'a, str>, many: &mut Vec<(usize, HashSet<Cow<'a, str>>)>) -> Result<(), String> {
        let depth = self.open.len();
        let first = self.open.last().map_or(0, |open| open.first_key);
        let siblings = self.keys.get(first..).unwrap_or_default();
        let repeated = if siblings.len() < FEW_KEYS {
            siblings.contains(&key)
        } else {
            if many.last().is_none_or(|(at, _)| *at != depth) {
                many.push((depth, siblings.iter().cloned().collect()));
            }
            many.last_mut().is_some_and(|(_, seen)| !seen.insert(key.clone()))
        };
        if repeated {
            let shown: String = key.chars().take(64).collect();
            return Err(format!("the key {shown:?} is repeated"));
        }
        if depth == 1 {
            self.field = Some((key.clone(), self.at));
        }
        self.keys.push(key);
        Ok(())
    }

    /// The value of the current top-level field ends here.
    fn end_field(&mut self) {
        if let Some((key, start)) = self.field.take() {
            let value = self.json.get(start..self.at).unwrap_or_default();
            let value = value.trim_start().trim_start_matches(':').trim();
            self.payload.fields.push((key, value));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            any::<f64>().prop_map(|x| if x.is_finite() { x.into() } else { 0.into() }),
            "\\PC*".prop_map(serde_json::Value::from),
            ".*".prop_map(serde_json::Value::from),
        ];
        leaf.prop_recursive(4, 64, 8, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
                proptest::collection::btree_map(".{0,8}", inner, 0..50)
                    .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn every_top_level_field_is_found_with_its_value(
            map in proptest::collection::btree_map(".{0,8}", json(), 0..50), pretty in any::<bool>(),
        ) {
            let object = serde_json::Value::Object(map.clone().into_iter().collect());
            let text = if pretty { format!("{object:#}") } else { object.to_string() };
            let payload = Payload::inspect(&text, 64).expect("acceptable");
            prop_assert_eq!(payload.fields.len(), map.len());
            for (key, value) in &map {
                let raw = payload.get(key).expect("present");
                // both through the parser, whose floats may differ in the last bit from what was written
                let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).expect("json");
                prop_assert_eq!(read(raw), read(&value.to_string()));
            }
        }
    }

    #[test]
    fn a_repeated_key_is_refused_at_every_level_even_when_escaped_or_among_many() {
        let many: String = (0..100).map(|n| format!("\"k{n}\":0,")).collect();
        for text in [r#"{"a":1,"a":2}"#, r#"{"a":{"b":1,"b":1}}"#, r#"{"a":1,"\u0061":2}"#, &format!("{{{many}\"k7\":1}}")] {
            assert!(Payload::inspect(text, 64).expect_err("refused").contains("repeated"), "{text}");
        }
        assert!(Payload::inspect(r#"{"a":{"x":1},"b":{"x":1},"x":[{"a":1},{"a":1}]}"#, 64).is_ok());
    }

    #[test]
    fn a_number_beyond_f64_is_refused_and_a_long_one_is_not() {
        for text in [r#"{"a":1e999}"#, r#"{"a":[-1E400]}"#, &format!("{{\"a\":1{}}}", "0".repeat(400))] {
            assert!(Payload::inspect(text, 64).expect_err("refused").contains("not finite"), "{text}");
        }
        let exact = format!(r#"{{"a":0.{}1,"b":"1e999","c":1e-999,"d":1e308}}"#, "0".repeat(400));
        assert!(Payload::inspect(&exact, 64).is_ok());
    }

    #[test]
    fn depth_is_bounded() {
        let nest = |n: usize| format!("{{\"a\":{}{}}}", "[".repeat(n), "]".repeat(n));
        assert!(Payload::inspect(&nest(63), 64).is_ok());
        assert!(Payload::inspect(&nest(64), 64).expect_err("refused").contains("deeper"));
    }
}
