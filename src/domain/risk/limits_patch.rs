//! What somebody wants the limits to be: some values, and overrides to be taken back.

use std::fmt;

use rust_decimal::Decimal;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::limits::LimitKind;
use super::operator::{broken, object};
use crate::domain::envelope::say;
use crate::domain::fault::FieldFault;

/// So many faults are told; more would only help to flood us.
const MAX_FAULTS: usize = 32;

/// A change of some limits; at least one, each once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patch(Vec<(LimitKind, Option<Decimal>)>);

impl Patch {
    /// Reads a partial object of limits: a number sets an override, `null` takes it back.
    ///
    /// # Errors
    /// All faults at once; one without a field when it is no JSON object at all.
    ///
    /// ```
    /// use plimsoll::domain::risk::limits_patch::Patch;
    /// assert!(Patch::parse(r#"{"max_trades_per_day": 15, "max_loss_streak": null}"#).is_ok());
    /// let faults = Patch::parse(r#"{"max_trades_per_day": -1, "max_trades": 7}"#).expect_err("two faults");
    /// assert_eq!(faults.len(), 2);
    /// ```
    pub fn parse(json: &str) -> Result<Self, Vec<FieldFault>> {
        let Fields(fields) = serde_json::from_str(object(json)?).map_err(|error| broken(say(&error)))?;
        let (mut values, mut faults) = (Vec::new(), Vec::new());
        for (index, (field, raw)) in fields.iter().enumerate() {
            let is_again = fields.iter().take(index).any(|(earlier, _)| earlier == field);
            let read = match LimitKind::of_field(field) {
                _ if is_again => Err("is given twice"),
                None => Err("is not a limit"),
                Some(kind) => value(kind, raw.get()).map(|value| values.push((kind, value))),
            };
            faults.extend(read.err().map(|message| FieldFault::new(field.chars().take(64).collect::<String>(), message)));
            if faults.len() == MAX_FAULTS {
                break;
            }
        }
        if fields.is_empty() {
            faults.push(FieldFault::new("limits", "must name at least one limit"));
        }
        if faults.is_empty() { Ok(Self(values)) } else { Err(faults) }
    }

    /// The limits that it names; `None` takes an override back.
    pub fn values(&self) -> impl Iterator<Item = (LimitKind, Option<Decimal>)> {
        self.0.iter().copied()
    }
}

fn value(kind: LimitKind, raw: &str) -> Result<Option<Decimal>, &'static str> {
    if raw == "null" {
        return Ok(None);
    }
    if !raw.starts_with(|c: char| c == '-' || c.is_ascii_digit()) {
        return Err("must be a number, or null to take the override back");
    }
    kind.check(decimal(raw).ok_or("must be a number of at most 28 digits")?).map(Some)
}

/// The number that `text` says, exactly; `None` for one that has more digits than a decimal holds, and for no number.
#[must_use]
pub fn decimal(text: &str) -> Option<Decimal> {
    let (digits, _) = text.split_once(['e', 'E']).unwrap_or((text, ""));
    let exact = Decimal::from_str_exact(digits).ok()?;
    if digits.len() == text.len() { Some(exact) } else { Decimal::from_scientific(text).ok() }
}

/// The fields of an object as they were written, repeated ones too.
struct Fields<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> de::Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn faults(json: &str) -> Vec<(String, String)> {
        Patch::parse(json).expect_err("refused").into_iter().map(|fault| (fault.field, fault.message)).collect()
    }

    #[test]
    fn every_fault_is_told_at_once_by_the_name_that_was_sent() {
        let found = faults(
            r#"{"max_daily_loss_rupees":"5","max_daily_drawdown_pct":101,"max_trades_per_day":1.5,
            "max_trades_per_symbol_per_day":true,"max_loss_streak":0,"max_trades":3,"max_loss_streak":4}"#,
        );
        let fields: Vec<_> = found.iter().map(|(field, _)| field.as_str()).collect();
        let sent = [
            "max_daily_loss_rupees",
            "max_daily_drawdown_pct",
            "max_trades_per_day",
            "max_trades_per_symbol_per_day",
            "max_loss_streak",
            "max_trades",
            "max_loss_streak",
        ];
        assert_eq!(fields, sent);
        assert_eq!(found[6].1, "is given twice");
        assert_eq!(faults("{}").len(), 1);
    }

    #[test]
    fn no_value_but_a_positive_number_that_is_held_exactly_is_taken() {
        let long = format!("0.{}1", "0".repeat(40));
        for bad in
            ["1e999", "-1", "0", "-0", "0.0", "1e-999", "\"5\"", "true", "[]", "{}", "1e16", "\"NaN\"", &"9".repeat(400), &long]
        {
            assert_eq!(faults(&format!(r#"{{"max_daily_loss_rupees":{bad}}}"#)).len(), 1, "{bad}");
        }
        for good in ["1", "1.0", "1e3", "1E+3", "0.0001", "1000000000000000", "12345678901234.123456789"] {
            assert!(Patch::parse(&format!(r#"{{"max_daily_loss_rupees":{good}}}"#)).is_ok(), "{good}");
        }
        let whole = Patch::parse(r#"{"max_trades_per_day":15.0}"#).expect("a whole number");
        assert_eq!(whole.values().collect::<Vec<_>>(), [(LimitKind::MaxTradesPerDay, Some(Decimal::from(15)))]);
    }

    #[test]
    fn what_is_no_object_is_one_fault_without_a_field() {
        for bad in ["", "[]", "7", "null", r#"{"max_loss_streak":NaN}"#, r#"{"max_loss_streak":3} x"#, "{"] {
            let found = faults(bad);
            assert_eq!((found.len(), found[0].0.as_str()), (1, ""), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn a_decimal_is_exactly_the_text_it_was_read_from(units in 1_i64..1_000_000_000_000_000, scale in 0_u32..12) {
            let written = Decimal::new(units, scale);
            prop_assert_eq!(decimal(&written.to_string()), Some(written));
            prop_assert_eq!(decimal(&format!("{units}e-{scale}")), Some(written));
        }

        #[test]
        fn no_text_makes_it_panic(text in ".{0,40}") {
            let _ = decimal(&text);
            let _ = Patch::parse(&text);
            let _ = Patch::parse(&format!(r#"{{"max_loss_streak":{text}}}"#));
        }
    }
}
