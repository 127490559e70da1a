//! One change of a metric, as an engine posts it.

use super::histogram::Buckets;
use super::labels::Labels;
use super::name::{Kind, MetricName, Prefix};
use crate::domain::fault::FieldFault;
use crate::domain::payload::{Payload, unquote};

/// The longest help text, in characters.
const MAX_HELP: usize = 512;
/// A metric is flat, but for its labels and buckets; a little depth lets a fault be told of the field.
const MAX_DEPTH: usize = 8;
/// So much of an unknown field's name is told.
const SHOWN: usize = 64;
const FIELDS: [&str; 7] = ["name", "kind", "value", "labels", "help", "buckets", "op"];

/// What is done to a series.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Change {
    /// A counter rises by this; not below zero.
    Add(f64),
    /// A gauge is this.
    Set(f64),
    /// A gauge moves by this.
    Move(f64),
    /// A histogram observes this.
    Observe(f64),
}

impl Change {
    /// Of what kind of metric it is.
    #[must_use]
    pub fn kind(self) -> Kind {
        match self {
            Self::Add(_) => Kind::Counter,
            Self::Set(_) | Self::Move(_) => Kind::Gauge,
            Self::Observe(_) => Kind::Histogram,
        }
    }
}

/// One change of one series.
#[derive(Debug, Clone, PartialEq)]
pub struct Write {
    /// Of which metric.
    pub name: MetricName,
    /// Of which series.
    pub labels: Labels,
    /// What.
    pub change: Change,
    /// What the metric means; the first text that is given holds.
    pub help: Option<String>,
    /// The bounds of a histogram, if they were named.
    pub buckets: Option<Buckets>,
}

impl Write {
    /// Reads one item of a post: the text of a JSON value.
    ///
    /// # Errors
    /// All its faults.
    ///
    /// ```
    /// use plimsoll::domain::metrics::name::Prefix;
    /// use plimsoll::domain::metrics::write::{Change, Write};
    /// let prefix = Prefix::parse("live_trading").expect("a prefix");
    /// let write = Write::parse(r#"{"name":"margin","kind":"gauge","op":"dec","value":2.5}"#, &prefix).expect("good");
    /// assert_eq!(write.change, Change::Move(-2.5));
    /// ```
    pub fn parse(json: &str, prefix: &Prefix) -> Result<Self, Vec<FieldFault>> {
        let one = |message: String| vec![FieldFault::new("metric", message)];
        if !json.starts_with('{') {
            return Err(one("must be an object".into()));
        }
        Item { fields: Payload::inspect(json, MAX_DEPTH).map_err(one)?, faults: Vec::new() }.read(prefix)
    }
}

struct Item<'a> {
    fields: Payload<'a>,
    faults: Vec<FieldFault>,
}

impl<'a> Item<'a> {
    fn read(mut self, prefix: &Prefix) -> Result<Write, Vec<FieldFault>> {
        let unknown: Vec<String> = self
            .fields
            .fields()
            .filter(|(name, _)| !FIELDS.contains(name))
            .map(|(name, _)| name.chars().take(SHOWN).collect())
            .collect();
        for name in unknown {
            self.fault(&name, "is not a field of a metric");
        }
        let name = self.required("name", |raw| {
            let text = unquote(raw).ok_or("must be a text")?;
            MetricName::parse(&text, prefix)
        });
        let kind = self.required("kind", kind);
        let value = self.required("value", number);
        let labels = match self.field("labels").map(Labels::parse) {
            None => Some(Labels::default()),
            Some(Ok(labels)) => Some(labels),
            Some(Err(faults)) => {
                self.faults.extend(faults);
                None
            }
        };
        let help = self.optional("help", help).flatten();
        let buckets = self.optional("buckets", buckets).flatten();
        let op = self.optional("op", |raw| unquote(raw).ok_or("must be set, inc or dec"));
        if kind.is_some_and(|kind| kind != Kind::Histogram) && buckets.is_some() {
            self.fault("buckets", "belong to a histogram");
        }
        let change = match (kind, value, op.as_deref()) {
            (Some(Kind::Counter), Some(value), None) if value < 0.0 => {
                self.fault("value", "must not be below zero: a counter only rises");
                None
            }
            (Some(Kind::Counter), Some(value), None) => Some(Change::Add(value)),
            (Some(Kind::Histogram), Some(value), None) => Some(Change::Observe(value)),
            (Some(Kind::Gauge), Some(value), None | Some("set")) => Some(Change::Set(value)),
            (Some(Kind::Gauge), Some(value), Some("inc")) => Some(Change::Move(value)),
            (Some(Kind::Gauge), Some(value), Some("dec")) => Some(Change::Move(-value)),
            (Some(Kind::Gauge), _, Some(_)) => {
                self.known_op(op.as_deref());
                None
            }
            (Some(_), _, Some(_)) => {
                self.fault("op", "belongs to a gauge");
                None
            }
            _ => None,
        };
        match (name, labels, change) {
            (Some(name), Some(labels), Some(change)) if self.faults.is_empty() => {
                Ok(Write { name, labels, change, help, buckets })
            }
            _ => Err(self.faults),
        }
    }

    fn known_op(&mut self, op: Option<&str>) {
        if !matches!(op, Some("set" | "inc" | "dec")) {
            self.fault("op", "must be set, inc or dec");
        }
    }

    fn fault(&mut self, field: &str, expected: &str) {
        self.faults.push(FieldFault::new(field, expected));
    }

    /// A field that is there; `null` is as good as none.
    fn field(&self, name: &str) -> Option<&'a str> {
        self.fields.get(name).filter(|raw| *raw != "null")
    }

    fn optional<T>(&mut self, name: &str, read: impl FnOnce(&'a str) -> Result<T, &'static str>) -> Option<T> {
        match read(self.field(name)?) {
            Ok(value) => Some(value),
            Err(expected) => {
                self.fault(name, expected);
                None
            }
        }
    }

    fn required<T>(&mut self, name: &str, read: impl FnOnce(&'a str) -> Result<T, &'static str>) -> Option<T> {
        if self.field(name).is_none() {
            self.fault(name, "is required");
        }
        self.optional(name, read)
    }
}

fn kind(raw: &str) -> Result<Kind, &'static str> {
    let text = unquote(raw).unwrap_or_default();
    Kind::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or("must be counter, gauge or histogram")
}

fn number(raw: &str) -> Result<f64, &'static str> {
    if !raw.starts_with(|c: char| c == '-' || c.is_ascii_digit()) {
        return Err("must be a number");
    }
    raw.parse().ok().filter(|number: &f64| number.is_finite()).ok_or("must be a finite number")
}

fn help(raw: &str) -> Result<Option<String>, &'static str> {
    let text = unquote(raw).ok_or("must be a text")?;
    if text.contains('\0') || text.chars().take(MAX_HELP + 1).count() > MAX_HELP {
        return Err("must be at most 512 characters long, and hold no NUL");
    }
    Ok((!text.trim().is_empty()).then(|| text.into_owned()))
}

/// An empty list is as good as none.
fn buckets(raw: &str) -> Result<Option<Buckets>, &'static str> {
    let bounds: Vec<f64> = serde_json::from_str(raw).map_err(|_| "must be a list of numbers, such as [0.1, 0.5, 1]")?;
    if bounds.is_empty() { Ok(None) } else { Buckets::new(&bounds).map(Some) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Result<Write, Vec<String>> {
        let prefix = Prefix::parse("live_trading").expect("a prefix");
        Write::parse(json, &prefix).map_err(|faults| faults.into_iter().map(|fault| fault.field).collect())
    }

    #[test]
    fn the_contracts_own_example_is_taken_for_each_kind() {
        let item = |kind: &str| format!(r#"{{"name":"x","kind":"{kind}","value":1,"labels":{{}},"help":"h","buckets":[]}}"#);
        let change = |kind: &str| parse(&item(kind)).expect("good").change;
        assert_eq!(["counter", "gauge", "histogram"].map(change), [Change::Add(1.0), Change::Set(1.0), Change::Observe(1.0)]);
        let nulls = r#"{"name":"x","kind":"gauge","value":1,"labels":null,"help":null,"buckets":null,"op":null}"#;
        assert_eq!(parse(nulls).expect("good").help, None);
    }

    #[test]
    fn all_faults_of_an_item_are_told_at_once() {
        let bad = r#"{"name":"a b","kind":"meter","value":"1","labels":{"le":"x"},"help":7,"buckets":{},"op":5,"color":1}"#;
        assert_eq!(parse(bad).expect_err("refused"), ["color", "name", "kind", "value", "labels.le", "help", "buckets", "op"]);
        assert_eq!(parse("{}").expect_err("refused"), ["name", "kind", "value"]);
        for bad in [
            "7",
            "null",
            "[]",
            r#"{"name":"x","kind":"gauge","value":1e999}"#,
            r#"{"name":"x","name":"x","kind":"gauge","value":1}"#,
        ] {
            assert_eq!(parse(bad).expect_err("refused"), ["metric"], "{bad}");
        }
    }

    #[test]
    fn what_does_not_belong_to_the_kind_is_refused() {
        let fault = |rest: &str| parse(&format!(r#"{{"name":"x",{rest}}}"#)).expect_err(rest);
        assert_eq!(fault(r#""kind":"counter","value":-0.1"#), ["value"]);
        assert_eq!(fault(r#""kind":"counter","value":1,"op":"inc""#), ["op"]);
        assert_eq!(fault(r#""kind":"histogram","value":1,"op":"set""#), ["op"]);
        assert_eq!(fault(r#""kind":"gauge","value":1,"op":"add""#), ["op"]);
        assert_eq!(fault(r#""kind":"gauge","value":1,"buckets":[1]"#), ["buckets"]);
        assert_eq!(fault(r#""kind":"histogram","value":1,"buckets":[1,"2"]"#), ["buckets"]);
        assert_eq!(fault(r#""kind":"Counter","value":true"#), ["kind", "value"]);
    }
}
