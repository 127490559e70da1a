//! Filters as SQL. Values are always bound, never written into the text.

use rusqlite::types::Value;

use super::Range;
use crate::domain::event::Severity;
use crate::domain::filter::Filter;

/// Conditions joined by `and`, and the values of their `?`.
#[derive(Debug, Default)]
pub struct Conditions {
    text: String,
    values: Vec<Value>,
}

impl Conditions {
    /// Adds one condition with the value of its one `?`.
    pub fn and(&mut self, condition: &str, value: impl Into<Value>) {
        self.raw(condition);
        self.values.push(value.into());
    }

    fn raw(&mut self, condition: &str) {
        if !self.text.is_empty() {
            self.text.push_str(" and ");
        }
        self.text.push_str(condition);
    }

    /// `column` is one of `wanted`, if anything is wanted.
    fn among<T: ToString>(&mut self, column: &str, wanted: &[T]) {
        if wanted.is_empty() {
            return;
        }
        let marks = vec!["?"; wanted.len()].join(",");
        self.raw(&format!("{column} in ({marks})"));
        self.values.extend(wanted.iter().map(|value| Value::from(value.to_string())));
    }

    /// The text for a `where`, and its values.
    #[must_use]
    pub fn finish(self) -> (String, Vec<Value>) {
        let text = if self.text.is_empty() { "true".to_owned() } else { self.text };
        (text, self.values)
    }
}

/// The filter but for its types and times, which choose the index and so are written by the caller.
pub fn columns(filter: &Filter, conditions: &mut Conditions) {
    conditions.among("symbol", &filter.symbols);
    conditions.among("strategy", &filter.strategies);
    conditions.among("source", &filter.sources);
    if let Some(profile_id) = filter.profile_id {
        conditions.and("profile_id = ?", profile_id);
    }
    if let Some(least) = filter.severity {
        conditions.and("coalesce(severity, 1) >= ?", severity_rank(least));
    }
}

/// The filter's types; `+` keeps the column from choosing an index.
pub fn types(filter: &Filter, conditions: &mut Conditions) {
    conditions.among("+type", &filter.event_types);
}

/// The filter's times on `column`.
pub fn times(filter: &Filter, column: &str, conditions: &mut Conditions) {
    if let Some(since) = filter.since {
        conditions.and(&format!("{column} >= ?"), since.micros());
    }
    if let Some(until) = filter.until {
        conditions.and(&format!("{column} < ?"), until.micros());
    }
}

/// The range's ids.
pub fn ids(range: &Range, conditions: &mut Conditions) {
    conditions.and("id > ?", range.after.to_sql());
    conditions.and("id <= ?", range.until.to_sql());
}

/// A severity as the tables hold it: 0 (debug) to 4 (critical).
#[must_use]
pub fn severity_rank(severity: Severity) -> i64 {
    Severity::ALL.iter().position(|each| *each == severity).and_then(|rank| i64::try_from(rank).ok()).unwrap_or(1)
}
