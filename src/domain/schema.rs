//! The event types that Plimsoll knows, and what their payloads must hold.

use std::borrow::Cow;

use super::clock::Timestamp;
use super::fault::FieldFault;
use super::payload::{Payload, unquote};

/// What the value of a payload field must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A string that is not empty.
    Text,
    /// A string that is not empty, or an integer: identifiers differ between brokers.
    Label,
    /// A number.
    Number,
    /// A number from 0 to 1.
    Unit,
    /// An object.
    Object,
    /// An array.
    Array,
    /// An ISO 8601 time, with or without an offset.
    Time,
    /// One of these words, in any case.
    OneOf(&'static [&'static str]),
    /// The name of an engine.
    EngineName,
}

/// The longest text that a checked field may hold, in bytes.
const MAX_TEXT: usize = 1024;
/// The longest symbol or strategy name, in bytes.
const MAX_NAME: usize = 128;

struct Schema {
    required: &'static [(&'static str, Kind)],
    /// Checked when present and not null.
    optional: &'static [(&'static str, Kind)],
}

const SIGNALS: &[&str] = &["buy", "sell", "exit", "hold"];
const ORDER_STATES: &[&str] =
    &["created", "submitted", "filled", "partially_filled", "rejected", "cancelled", "canceled", "expired", "converted"];
const DIRECTIONS: &[&str] = &["upward", "downward", "reverse_upward", "reverse_downward"];
const TRADE_TYPES: &[&str] = &["breakout", "equity_close", "stop_loss", "choppy_day_close"];
const ENGINE_STATES: &[&str] = &["starting", "running", "degraded", "stopped", "error"];
const HEALTH_STATES: &[&str] = &["healthy", "degraded", "error"];

use Kind::{Array, EngineName, Label, Number, Object, OneOf, Text, Time, Unit};

const NOTHING: Schema = Schema { required: &[], optional: &[] };

/// The types that are known, and the schema of each.
const SCHEMAS: &[(&str, Schema)] = &[
    (
        "signal_event",
        Schema {
            required: &[("symbol", Text), ("strategy_name", Text), ("signal", OneOf(SIGNALS))],
            optional: &[("confidence", Number), ("reason", Text), ("timeframe", Label)],
        },
    ),
    (
        "indicator_event",
        Schema { required: &[("symbol", Text), ("timeframe", Label), ("indicators", Object)], optional: &[("strategy", Text)] },
    ),
    (
        "order_event",
        Schema {
            required: &[("order_id", Label), ("symbol", Text), ("side", Text), ("status", OneOf(ORDER_STATES))],
            optional: &[
                ("qty", Number),
                ("quantity", Number),
                ("price", Number),
                ("remaining_qty", Number),
                ("strategy", Text),
                ("order_type", Text),
                ("mode", Text),
                ("reason", Text),
                ("slippage", Number),
                ("api_latency_ms", Number),
            ],
        },
    ),
    (
        "position_event",
        Schema {
            required: &[("symbol", Text), ("position_size", Number)],
            optional: &[
                ("entry_price", Number),
                ("strategy", Text),
                ("unrealized_pnl", Number),
                ("realized_pnl", Number),
                ("positions", Array),
                ("equity", Number),
                ("total_notional", Number),
            ],
        },
    ),
    ("engine_health", Schema { required: &[("engine_name", Text), ("status", Text), ("metrics", Object)], optional: &[] }),
    (
        "decision_trace",
        Schema {
            required: &[("strategy_name", Text), ("symbol", Text), ("decision", Text), ("trace_data", Object)],
            optional: &[],
        },
    ),
    ("universe_scan", Schema { required: &[("scan_type", Text), ("universe_size", Number), ("summary", Object)], optional: &[] }),
    ("universe_summary", Schema { required: &[("universe_type", Text), ("summary", Object)], optional: &[] }),
    ("performance_update", Schema { required: &[("metrics", Object)], optional: &[] }),
    ("mde_status", Schema { required: &[("mde_name", Text), ("status", Text), ("metrics", Object)], optional: &[] }),
    (
        "engine_heartbeat",
        Schema {
            required: &[("name", EngineName)],
            optional: &[
                ("mode", Text),
                ("pid", Number),
                ("status", OneOf(ENGINE_STATES)),
                ("started_at", Time),
                ("last_heartbeat", Time),
                ("loop_tick", Number),
                ("universe_size", Number),
                ("open_positions", Number),
                ("kind", Text),
            ],
        },
    ),
    (
        "breakout_signal",
        Schema {
            required: &[
                ("symbol", Text),
                ("direction", OneOf(DIRECTIONS)),
                ("bar_strength", Unit),
                ("close_price", Number),
                ("candle_size", Number),
                ("volume", Number),
            ],
            optional: &[],
        },
    ),
    (
        "trade_closed",
        Schema {
            required: &[
                ("symbol", Text),
                ("trade_type", OneOf(TRADE_TYPES)),
                ("entry_price", Number),
                ("exit_price", Number),
                ("quantity", Number),
                ("entry_time", Time),
                ("exit_time", Time),
            ],
            optional: &[
                ("pnl", Number),
                ("slippage", Number),
                ("bar_strength", Unit),
                ("direction", OneOf(DIRECTIONS)),
                ("exit_reason", Text),
            ],
        },
    ),
    (
        "equity_snapshot",
        Schema {
            required: &[
                ("account_equity", Number),
                ("unrealized_pnl", Number),
                ("realized_pnl", Number),
                ("margin_used", Number),
                ("margin_available", Number),
                ("open_positions_count", Number),
            ],
            optional: &[],
        },
    ),
    ("api_latency", Schema { required: &[("script_name", Text), ("latency_ms", Number)], optional: &[("endpoint", Text)] }),
    (
        "system_health",
        Schema {
            required: &[("script_name", Text), ("status", OneOf(HEALTH_STATES))],
            optional: &[
                ("api_rate_limit_remaining", Number),
                ("api_rate_limit_limit", Number),
                ("api_error_count", Number),
                ("cpu_usage_pct", Number),
                ("memory_usage_mb", Number),
                ("error_count", Number),
                ("warning_count", Number),
            ],
        },
    ),
    ("cycle_start", NOTHING),
    ("cycle_end", NOTHING),
    ("trade_submitted", NOTHING),
    ("trade_filled", NOTHING),
    ("trade_rejected", NOTHING),
    ("decision_made", NOTHING),
    ("kill_switch_triggered", NOTHING),
    ("daily_loss_warning", NOTHING),
    ("drawdown_warning", NOTHING),
    ("position_limit_warning", NOTHING),
    ("engine_start", NOTHING),
    ("engine_stop", NOTHING),
    ("error", NOTHING),
    ("connection_lost", NOTHING),
    ("connection_restored", NOTHING),
    ("quote_stale", NOTHING),
    ("data_error", NOTHING),
];

/// The types that have a schema.
pub fn known() -> impl Iterator<Item = &'static str> {
    SCHEMAS.iter().map(|(name, _)| *name)
}

fn schema(event_type: &str) -> Option<&'static Schema> {
    SCHEMAS.iter().find(|(name, _)| *name == event_type).map(|(_, schema)| schema)
}

/// Appends to `faults` what is wrong with `payload` as one of `event_type`; false when the type is not known.
pub fn check(event_type: &str, payload: &Payload<'_>, faults: &mut Vec<FieldFault>) -> bool {
    let Some(schema) = schema(event_type) else { return false };
    let mut check = |name: &str, kind: Kind, value: Option<&str>| {
        let verdict = value.map_or(Err(Cow::Borrowed("is required")), |raw| judge(name, kind, raw));
        if let Err(message) = verdict {
            faults.push(FieldFault::new(format!("payload.{name}"), message));
        }
    };
    for (name, kind) in schema.required {
        check(name, *kind, payload.get(name));
    }
    for (name, kind) in schema.optional {
        if let value @ Some(raw) = payload.get(name)
            && raw != "null"
            // an empty optional text says as little as null, and engines do send it
            && !(raw == "\"\"" && *kind == Text)
        {
            check(name, *kind, value);
        }
    }
    true
}

/// The payload's symbol and strategy, by which clients filter.
#[must_use]
pub fn labels<'a>(payload: &Payload<'a>) -> (Option<Cow<'a, str>>, Option<Cow<'a, str>>) {
    let name = |field| payload.text(field).filter(|text| !text.is_empty() && text.len() <= MAX_NAME);
    (name("symbol"), name("strategy_name").or_else(|| name("strategy")))
}

fn judge(name: &str, kind: Kind, raw: &str) -> Result<(), Cow<'static, str>> {
    let is_number = raw.starts_with(|c: char| c == '-' || c.is_ascii_digit());
    let text = unquote(raw);
    let max = if matches!(name, "symbol" | "strategy" | "strategy_name") { MAX_NAME } else { MAX_TEXT };
    let is_text = text.as_ref().is_some_and(|text| !text.is_empty() && text.len() <= max);
    let text = text.unwrap_or_default();
    let (fits, expected): (bool, Cow<'static, str>) = match kind {
        Text => (is_text, format!("must be text of 1 to {max} bytes").into()),
        Label => {
            let is_integer = is_number && raw.bytes().all(|b| b == b'-' || b.is_ascii_digit());
            (is_text || is_integer, format!("must be text of 1 to {max} bytes, or an integer").into())
        }
        Number => (is_number, "must be a number".into()),
        Unit => {
            let inside = raw.parse::<f64>().is_ok_and(|x| (0.0..=1.0).contains(&x));
            (is_number && inside, "must be a number from 0 to 1".into())
        }
        Object => (raw.starts_with('{'), "must be an object".into()),
        Array => (raw.starts_with('['), "must be an array".into()),
        Time => (is_time(&text), "must be an ISO 8601 time such as 2025-11-18T07:55:41.345678Z".into()),
        OneOf(words) => {
            let known = words.iter().any(|word| word.eq_ignore_ascii_case(&text));
            (known, format!("must be one of {}", words.join(", ")).into())
        }
        EngineName => (is_engine_name(&text), "must be 1 to 64 of A-Z, a-z, 0-9, _ and -".into()),
    };
    if fits { Ok(()) } else { Err(expected) }
}

fn is_time(text: &str) -> bool {
    let naive = |format| chrono::NaiveDateTime::parse_from_str(text, format).is_ok();
    Timestamp::parse(text).is_ok() || naive("%Y-%m-%dT%H:%M:%S%.f") || naive("%Y-%m-%d %H:%M:%S%.f")
}

fn is_engine_name(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(event_type: &str, payload: &str) -> Vec<String> {
        let payload = Payload::inspect(payload, 64).expect("acceptable");
        let mut faults = Vec::new();
        check(event_type, &payload, &mut faults);
        faults.into_iter().map(|fault| fault.field).collect()
    }

    #[test]
    fn all_faults_of_a_payload_are_named_at_once() {
        let found = faults("order_event", r#"{"order_id":1.5,"side":"BUY","status":"lost","qty":"fifty"}"#);
        assert_eq!(found, ["payload.order_id", "payload.symbol", "payload.status", "payload.qty"]);
    }

    #[test]
    fn a_status_counts_in_any_case_and_null_options_are_as_good_as_absent() {
        let order = r#"{"order_id":7,"symbol":"NIFTY","side":"BUY","status":"FILLED","price":null,"reason":""}"#;
        assert_eq!(faults("order_event", order), [""; 0]);
    }

    #[test]
    fn bar_strength_is_a_share() {
        let signal = |strength: &str| {
            format!(
                r#"{{"symbol":"N","direction":"upward","bar_strength":{strength},"close_price":1,"candle_size":1,"volume":0}}"#
            )
        };
        assert_eq!(faults("breakout_signal", &signal("0.75")), [""; 0]);
        for bad in ["1.01", "-0.1", "\"0.5\"", "null"] {
            assert_eq!(faults("breakout_signal", &signal(bad)), ["payload.bar_strength"], "{bad}");
        }
    }

    #[test]
    fn an_unknown_type_is_said_to_be_unknown() {
        let payload = Payload::inspect("{}", 64).expect("acceptable");
        assert!(!check("my_own_type", &payload, &mut Vec::new()));
        assert!(check("cycle_start", &payload, &mut Vec::new()));
    }

    #[test]
    fn every_type_has_one_schema() {
        let distinct: std::collections::BTreeSet<_> = known().collect();
        assert_eq!(distinct.len(), known().count());
    }

    #[test]
    fn the_strategy_is_known_by_either_name() {
        let strategy = |json| {
            let payload = Payload::inspect(json, 64).expect("acceptable");
            labels(&payload).1.map(|name| name.into_owned())
        };
        assert_eq!(strategy(r#"{"strategy":"A"}"#).as_deref(), Some("A"));
        assert_eq!(strategy(r#"{"strategy_name":"B","strategy":"A"}"#).as_deref(), Some("B"));
        assert_eq!(strategy(r#"{"strategy":7}"#), None);
    }
}
