//! The limits in force, and what became of them when somebody changed them: the lines of their history.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde::ser::{SerializeMap as _, SerializeStruct as _};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;

use super::limits::{LimitKind, Limits};
use super::limits_patch::decimal;
use super::operator::{CONFIG, FILE};
use super::overrides::Overrides;
use crate::domain::clock::Timestamp;

/// The limits that hold: the overrides over the base. Written flat, with `source`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effective {
    base: Limits,
    overrides: Overrides,
}

impl Effective {
    /// `overrides` over `base`.
    #[must_use]
    pub fn new(base: Limits, overrides: Overrides) -> Self {
        Self { base, overrides }
    }

    /// The value that holds for `kind`.
    #[must_use]
    pub fn get(&self, kind: LimitKind) -> Decimal {
        self.overrides.get(kind).unwrap_or_else(|| self.base.get(kind))
    }

    /// `override` or `base`.
    #[must_use]
    pub fn source(&self, kind: LimitKind) -> &'static str {
        if self.overrides.get(kind).is_some() { "override" } else { "base" }
    }

    /// All values that hold.
    #[must_use]
    pub fn limits(&self) -> Limits {
        Limits::from_fn(|kind| self.get(kind))
    }

    /// The overrides among them.
    #[must_use]
    pub fn overrides(&self) -> Overrides {
        self.overrides
    }

    /// What is different in `new`.
    #[must_use]
    pub fn changes(&self, new: &Self) -> Vec<FieldChange> {
        let differs = |kind: &LimitKind| self.get(*kind) != new.get(*kind) || self.source(*kind) != new.source(*kind);
        let change = |kind: LimitKind| FieldChange {
            field: kind.field().to_owned(),
            old: number(self.get(kind)),
            new: number(new.get(kind)),
            old_source: self.source(kind).to_owned(),
            source: new.source(kind).to_owned(),
        };
        LimitKind::ALL.into_iter().filter(differs).map(change).collect()
    }

    /// Reads what was written flat, as in a line of the history.
    fn parse(json: &str) -> Option<Self> {
        let fields: BTreeMap<&str, &RawValue> = serde_json::from_str(json).ok()?;
        let sources: BTreeMap<&str, &str> = serde_json::from_str(fields.get("source")?.get()).ok()?;
        let values: Vec<_> =
            LimitKind::ALL.into_iter().map(|kind| decimal(fields.get(kind.field())?.get())).collect::<Option<_>>()?;
        let value =
            |kind: LimitKind| LimitKind::ALL.into_iter().zip(&values).find(|(each, _)| *each == kind).map(|(_, value)| *value);
        let is_override = |kind: &LimitKind| sources.get(kind.field()) == Some(&"override");
        Some(Self {
            // of an overridden limit the base is not written, and nobody asks for it
            base: Limits::from_fn(|kind| value(kind).unwrap_or_default()),
            overrides: Overrides::from_fn(|kind| Some(kind).filter(is_override).and_then(value)),
        })
    }
}

impl Serialize for Effective {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(LimitKind::ALL.len() + 1))?;
        for kind in LimitKind::ALL {
            map.serialize_entry(kind.field(), &number(self.get(kind)))?;
        }
        map.serialize_entry("source", &Sources(self))?;
        map.end()
    }
}

struct Sources<'a>(&'a Effective);

impl Serialize for Sources<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(LimitKind::ALL.map(|kind| (kind.field(), self.0.source(kind))))
    }
}

/// A decimal as a JSON number that has all its digits.
#[must_use]
pub fn number(value: Decimal) -> Box<RawValue> {
    // a decimal's text is digits, a point and a sign, which is JSON
    RawValue::from_string(value.to_string()).unwrap_or_default()
}

/// One limit before and after.
#[derive(Debug, Clone, Serialize)]
pub struct FieldChange {
    /// Which.
    pub field: String,
    /// Its value before, as JSON.
    pub old: Box<RawValue>,
    /// Its value from then on, as JSON.
    pub new: Box<RawValue>,
    /// Where the old one came from.
    pub old_source: String,
    /// Where the new one comes from: `base` or `override`.
    pub source: String,
}

impl FieldChange {
    /// Whether only the configuration can have done this.
    fn is_of_config(&self) -> bool {
        self.old_source == self.source && self.source == "base"
    }
}

/// Somebody changed the limits: a line of the history, and the payload of `risk_limits_updated`.
#[derive(Debug, Clone)]
pub struct LimitsChange {
    /// Its number; each is one more than the one before.
    pub seq: u64,
    /// When; later than the one before.
    pub timestamp: Timestamp,
    /// Who: an operator, `file` or `config`.
    pub actor: String,
    /// What.
    pub changes: Vec<FieldChange>,
    /// The limits from then on.
    pub limits: Effective,
}

impl LimitsChange {
    /// The change from `old` to `new`, the next one after `last`; `None` if nothing is different. Without an operator it
    /// is the file's doing, or the configuration's if that alone can have done it.
    #[must_use]
    pub fn between(old: &Effective, new: &Effective, actor: Option<&str>, last: Option<&Self>, now: Timestamp) -> Option<Self> {
        let changes = old.changes(new);
        if changes.is_empty() {
            return None;
        }
        let by_config = changes.iter().all(FieldChange::is_of_config);
        let actor = actor.unwrap_or(if by_config { CONFIG } else { FILE });
        let earliest = last.map_or(now, |last| Timestamp::from_micros(last.timestamp.micros().saturating_add(1)));
        Some(Self {
            seq: last.map_or(0, |last| last.seq) + 1,
            timestamp: now.max(earliest),
            actor: actor.to_owned(),
            changes,
            limits: new.clone(),
        })
    }

    /// Reads a line of the history.
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        #[derive(Deserialize)]
        struct Line<'a> {
            seq: u64,
            timestamp: &'a str,
            actor: String,
            #[serde(borrow)]
            limits: &'a RawValue,
        }
        let line: Line<'_> = serde_json::from_str(line).ok()?;
        let limits = Effective::parse(line.limits.get())?;
        let timestamp = Timestamp::parse(line.timestamp).ok()?;
        // what it changed is written, and is not needed again
        Some(Self { seq: line.seq, timestamp, actor: line.actor, changes: Vec::new(), limits })
    }

    /// The id by which a repeated announcement is known.
    #[must_use]
    pub fn event_id(&self) -> String {
        format!("risk-limits-{}-{}", self.seq, self.timestamp)
    }
}

impl Serialize for LimitsChange {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut line = serializer.serialize_struct("LimitsChange", 5)?;
        line.serialize_field("timestamp", &self.timestamp.to_string())?;
        line.serialize_field("actor", &self.actor)?;
        line.serialize_field("changes", &self.changes)?;
        line.serialize_field("limits", &self.limits)?;
        line.serialize_field("seq", &self.seq)?;
        line.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn effective(base: i64, over: Option<&str>) -> Effective {
        let overrides = Overrides::from_fn(|kind| over.filter(|_| kind == LimitKind::MaxDailyLoss).and_then(decimal));
        Effective::new(Limits::from_fn(|_| Decimal::from(base)), overrides)
    }

    fn now() -> Timestamp {
        Timestamp::from_micros(0)
    }

    #[test]
    fn the_limits_are_flat_with_the_source_of_each_and_all_digits() {
        let json = serde_json::to_string(&effective(4, Some("123456789012345.123456789"))).expect("json");
        let expected = r#"{"max_daily_loss_rupees":123456789012345.123456789,"max_daily_drawdown_pct":4,"max_trades_per_day":4,"max_trades_per_symbol_per_day":4,"max_loss_streak":4,"source":{"max_daily_loss_rupees":"override","max_daily_drawdown_pct":"base","max_trades_per_day":"base","max_trades_per_symbol_per_day":"base","max_loss_streak":"base"}}"#;
        assert_eq!(json, expected);
        let read = Effective::parse(&json).expect("read back");
        assert!(read.changes(&effective(4, Some("123456789012345.123456789"))).is_empty());
    }

    #[test]
    fn a_line_of_the_history_says_who_when_and_what_and_reads_back() {
        let change =
            LimitsChange::between(&effective(4, None), &effective(4, Some("2.5")), Some("alice"), None, now()).expect("a change");
        let line = serde_json::to_string(&change).expect("json");
        assert!(
            line.starts_with(
                r#"{"timestamp":"1970-01-01T00:00:00.000000Z","actor":"alice","changes":[{"field":"max_daily_loss_rupees","old":4,"new":2.5,"old_source":"base","source":"override"}],"limits":{"#
            ),
            "{line}"
        );
        let read = LimitsChange::parse(&line).expect("read back");
        assert_eq!((read.seq, read.actor.as_str(), read.limits.get(LimitKind::MaxDailyLoss)), (1, "alice", Decimal::new(25, 1)));
        for broken in ["", "{}", "[]", "7", &line[..line.len() - 1], &line.replace("2.5,", "\"2.5\",")] {
            assert!(LimitsChange::parse(broken).is_none(), "{broken}");
        }
    }

    #[test]
    fn without_an_operator_it_was_the_file_or_the_configuration() {
        let of = |old, new| LimitsChange::between(&old, &new, None, None, now()).map(|change| change.actor);
        assert_eq!(of(effective(4, None), effective(4, Some("2"))).as_deref(), Some(FILE));
        assert_eq!(of(effective(4, None), effective(5, None)).as_deref(), Some(CONFIG));
        assert_eq!(of(effective(4, Some("2")), effective(4, Some("2"))), None);
        assert_eq!(of(effective(4, None), effective(4, Some("4"))).as_deref(), Some(FILE), "the source alone is a change too");
    }

    #[test]
    fn numbers_and_times_of_changes_strictly_increase() {
        let first = LimitsChange::between(&effective(4, None), &effective(5, None), None, None, now()).expect("a change");
        let second =
            LimitsChange::between(&effective(5, None), &effective(4, None), None, Some(&first), now()).expect("a change");
        assert!(second.timestamp > first.timestamp && second.seq == first.seq + 1 && second.event_id() != first.event_id());
    }
}
