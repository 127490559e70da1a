//! The health of an engine's scripts, as they report it.
//!
//! The last `system_health` of a script is the one with the latest event time, ties by id. What that one does not say is not
//! known: nothing is carried over from an earlier one.

use compact_str::CompactString;
use rust_decimal::Decimal;

use super::entry::{Fields, Kind};

/// How a script says it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScriptStatus {
    /// All is well.
    Healthy,
    /// It works, but not as it should.
    Degraded,
    /// It does not.
    Error,
}

impl ScriptStatus {
    /// All of them, best first.
    pub const ALL: [Self; 3] = [Self::Healthy, Self::Degraded, Self::Error];

    /// The word of the contract.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Error => "error",
        }
    }

    /// Reads the word, in any case.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str().eq_ignore_ascii_case(word))
    }
}

/// The figures of a `system_health`; what it did not say, or said as nothing that can be a figure, is `None`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ScriptFigures {
    /// Calls that the API still allows.
    pub rate_limit_remaining: Option<Decimal>,
    /// Calls that it allows in all.
    pub rate_limit_limit: Option<Decimal>,
    /// Calls that failed.
    pub api_error_count: Option<Decimal>,
    /// In percent.
    pub cpu_usage_pct: Option<Decimal>,
    /// In MB.
    pub memory_usage_mb: Option<Decimal>,
    /// Errors.
    pub error_count: Option<Decimal>,
    /// Warnings.
    pub warning_count: Option<Decimal>,
}

/// One `system_health`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptHealth {
    /// The script.
    pub script_name: CompactString,
    /// How it is.
    pub status: ScriptStatus,
    /// Its figures.
    pub figures: ScriptFigures,
}

impl ScriptHealth {
    /// What the event says; `None` if it names no script or no known status.
    pub(super) fn read(fields: &Fields<'_>) -> Option<Kind> {
        Some(Kind::Health(Box::new(Self {
            script_name: fields.text("script_name")?.into(),
            status: ScriptStatus::parse(&fields.text("status")?)?,
            figures: ScriptFigures {
                rate_limit_remaining: fields.amount("api_rate_limit_remaining"),
                rate_limit_limit: fields.amount("api_rate_limit_limit"),
                api_error_count: fields.amount("api_error_count"),
                cpu_usage_pct: fields.amount("cpu_usage_pct"),
                memory_usage_mb: fields.amount("memory_usage_mb"),
                error_count: fields.amount("error_count"),
                warning_count: fields.amount("warning_count"),
            },
        })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::analytics::order::tests::entry;

    fn read(payload: &str) -> Option<ScriptHealth> {
        match entry("system_health", (7, 5), None, payload)?.kind {
            Kind::Health(health) => Some(*health),
            other => panic!("no health: {other:?}"),
        }
    }

    #[test]
    fn figures_are_read_exactly_and_what_is_not_said_is_not_known() {
        let said = r#"{"script_name":"order_monitor","status":"DEGRADED","api_rate_limit_remaining":180,"api_rate_limit_limit":200,
            "cpu_usage_pct":12.5,"memory_usage_mb":null,"error_count":0}"#;
        let health = read(said).expect("health");
        assert_eq!(health.script_name, "order_monitor");
        assert_eq!(health.status, ScriptStatus::Degraded);
        let expected = ScriptFigures {
            rate_limit_remaining: Some(Decimal::from(180)),
            rate_limit_limit: Some(Decimal::from(200)),
            cpu_usage_pct: Some(Decimal::new(125, 1)),
            error_count: Some(Decimal::ZERO),
            ..ScriptFigures::default()
        };
        assert_eq!(health.figures, expected);
    }

    #[test]
    fn a_number_that_can_be_no_figure_is_not_known_and_hides_nothing_else() {
        let health = read(r#"{"script_name":"s","status":"error","error_count":1e300,"warning_count":3}"#).expect("health");
        assert_eq!((health.figures.error_count, health.figures.warning_count), (None, Some(Decimal::from(3))));
    }

    #[test]
    fn names_may_be_long_and_of_any_script() {
        for name in ["मुंबई \\\"monitor\\\" 🚢".to_owned(), "x".repeat(1024)] {
            let said = format!(r#"{{"script_name":"{name}","status":"healthy"}}"#);
            assert_eq!(read(&said).expect("health").script_name, name.replace('\\', ""));
        }
    }

    #[test]
    fn without_a_name_or_a_known_status_nothing_is_said() {
        assert_eq!(read(r#"{"script_name":"","status":"healthy"}"#), None);
        assert_eq!(read(r#"{"script_name":"s","status":"fine"}"#), None);
    }
}
