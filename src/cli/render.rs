//! One event as one readable line.

use chrono::{DateTime, Local, Utc};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::fields::{Fields, unquoted};
use super::terminal::{Paint, harmless};

/// How lines look.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    /// With colours.
    pub colour: bool,
    /// Times in UTC, else local.
    pub utc: bool,
}

/// The parts of an event that a person wants to see.
#[derive(Debug, Deserialize)]
struct Seen<'a> {
    #[serde(rename = "type")]
    kind: String,
    timestamp: Option<String>,
    severity: Option<String>,
    source: Option<String>,
    #[serde(borrow)]
    payload: Option<&'a RawValue>,
}

/// What to show first of a payload, and how.
#[derive(Debug, Clone, Copy)]
enum Show {
    /// The value says what it is.
    Bare(&'static str),
    /// A price, with an @ before it.
    At(&'static str),
    /// `key=value`.
    Named(&'static str),
    /// The fields of an object, as `key=value` each.
    Within(&'static str),
}

use Show::{At, Bare, Named, Within};

/// The most telling fields of each type, most telling first; all others follow in their order.
fn telling(kind: &str) -> &'static [Show] {
    match kind {
        "signal_event" => &[Bare("signal"), At("price"), Bare("strategy_name"), Named("confidence"), Named("reason")],
        "indicator_event" => &[Bare("timeframe"), Within("indicators")],
        "order_event" | "trade_submitted" | "trade_filled" | "trade_rejected" => {
            &[Bare("status"), Bare("side"), Bare("qty"), Bare("quantity"), At("price"), Named("reason"), Named("order_id")]
        }
        "position_event" => {
            &[Bare("position_size"), At("entry_price"), Named("unrealized_pnl"), Named("realized_pnl"), Named("equity")]
        }
        "engine_health" | "mde_status" => &[Bare("engine_name"), Bare("mde_name"), Bare("status"), Within("metrics")],
        "decision_trace" => &[Bare("decision"), Bare("strategy_name"), Within("trace_data")],
        "universe_scan" => &[Bare("scan_type"), Named("universe_size"), Within("summary")],
        "universe_summary" => &[Bare("universe_type"), Within("summary")],
        "performance_update" => &[Within("metrics")],
        "engine_heartbeat" => &[Bare("name"), Bare("status"), Bare("mode"), Named("loop_tick"), Named("last_error")],
        "engine_stale" | "engine_recovered" => &[Bare("name"), Bare("state"), Named("heartbeat_age_seconds"), Named("last_beat")],
        "breakout_signal" => &[Bare("direction"), At("close_price"), Named("bar_strength")],
        "trade_closed" => &[Bare("trade_type"), Named("pnl"), Named("quantity"), Named("entry_price"), Named("exit_price")],
        "equity_snapshot" => &[Named("account_equity"), Named("unrealized_pnl"), Named("realized_pnl")],
        "api_latency" => &[Bare("script_name"), Named("latency_ms"), Named("endpoint")],
        "system_health" => &[Bare("script_name"), Bare("status"), Named("error_count"), Named("warning_count")],
        "stream_gap" => &[Bare("reason"), Named("requested"), Named("oldest"), Named("newest")],
        _ => &[Bare("message"), Bare("reason"), Named("limit"), Named("current")],
    }
}

/// Fields that tell a person nothing that the columns do not.
const DULL: [&str; 5] = ["symbol", "pid", "started_at", "last_heartbeat", "asof"];
/// Fields shown at most; a line has an end.
const MOST: usize = 14;
/// Characters of one value shown at most.
const LONGEST: usize = 80;

/// The line of `event`, which is the JSON of the stream; text that is no event is shown as it is.
pub fn line(event: &str, look: Look) -> String {
    let Ok(seen) = serde_json::from_str::<Seen<'_>>(event) else { return harmless(event) };
    let payload = seen.payload.and_then(|raw| Fields::parse(raw.get().as_bytes())).unwrap_or_default();
    let symbol = payload.get("symbol").and_then(unquoted).unwrap_or_default();
    let severity = seen.severity.as_deref().unwrap_or("info");
    let mut line = String::with_capacity(160);
    let mut column = |paint: Paint, text: &str, width: usize| {
        paint.add(&mut line, &format!("{:<width$}", harmless(text)), look.colour);
        line.push(' ');
    };
    column(Paint::Dim, &time(seen.timestamp.as_deref(), look.utc), 12);
    column(severity_paint(severity), &severity.to_uppercase(), 8);
    column(Paint::Bold, &seen.kind, 18);
    column(Paint::Dim, seen.source.as_deref().unwrap_or("-"), 10);
    column(Paint::Cyan, if symbol.is_empty() { "-" } else { &symbol }, 10);
    for (at, Part { key, value, paint }) in parts(&seen.kind, &payload).into_iter().take(MOST).enumerate() {
        if at > 0 {
            line.push(' ');
        }
        if let Some(key) = key {
            Paint::Dim.add(&mut line, &format!("{}=", harmless(&key)), look.colour);
        }
        paint.add(&mut line, &harmless(&value), look.colour);
    }
    line.truncate(line.trim_end().len());
    line
}

/// Whether this is no event, but the notice that events are missing.
pub fn is_gap(event: &str) -> bool {
    event.contains("\"stream_gap\"") && serde_json::from_str::<Seen<'_>>(event).is_ok_and(|seen| seen.kind == "stream_gap")
}

/// What a `stream_gap` means, for a person.
pub fn gap(event: &str) -> String {
    let payload = serde_json::from_str::<Seen<'_>>(event).ok().and_then(|seen| seen.payload);
    let fields = payload.and_then(|raw| Fields::parse(raw.get().as_bytes())).unwrap_or_default();
    let text = |name| fields.get(name).map(shown).unwrap_or_else(|| "?".to_owned());
    harmless(&format!(
        "events are missing here: asked for those after {}, the oldest kept is {} ({})",
        text("requested"),
        text("oldest"),
        text("reason")
    ))
}

fn time(timestamp: Option<&str>, utc: bool) -> String {
    const FORMAT: &str = "%H:%M:%S%.3f";
    match timestamp.and_then(|text| DateTime::parse_from_rfc3339(text).ok()) {
        Some(time) if utc => time.with_timezone(&Utc).format(FORMAT).to_string(),
        Some(time) => time.with_timezone(&Local).format(FORMAT).to_string(),
        None => timestamp.unwrap_or("-").to_owned(),
    }
}

struct Part {
    key: Option<String>,
    value: String,
    paint: Paint,
}

fn parts(kind: &str, payload: &Fields<'_>) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut used = DULL.to_vec();
    for show in telling(kind) {
        let (Bare(name) | At(name) | Named(name) | Within(name)) = *show;
        let Some(json) = payload.get(name).filter(|json| *json != "null") else { continue };
        used.push(name);
        let paint = paint(name, json);
        match show {
            Bare(_) => parts.push(Part { key: None, value: shown(json), paint }),
            At(_) => parts.push(Part { key: None, value: format!("@ {}", shown(json)), paint }),
            Named(_) => parts.push(Part { key: Some(name.to_owned()), value: shown(json), paint }),
            Within(_) => within(json, &mut parts),
        }
    }
    let rest = payload.iter().filter(|(name, json)| !used.contains(name) && *json != "null");
    parts.extend(rest.map(|(name, json)| Part { key: Some(name.to_owned()), value: shown(json), paint: paint(name, json) }));
    parts
}

fn within(json: &str, parts: &mut Vec<Part>) {
    let fields = Fields::parse(json.as_bytes()).unwrap_or_default();
    let fields = fields.iter().filter(|(name, json)| *json != "null" && !DULL.contains(name));
    parts.extend(fields.map(|(name, json)| Part { key: Some(name.to_owned()), value: shown(json), paint: paint(name, json) }));
}

/// A value as a person reads it: text without quotes, numbers without noise, containers by their size.
fn shown(json: &str) -> String {
    match json.bytes().next() {
        Some(b'"') => {
            let text = unquoted(json).unwrap_or_else(|| json.to_owned());
            match text.char_indices().nth(LONGEST) {
                Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
                None => text,
            }
        }
        Some(b'{') => format!("{{{}}}", Fields::parse(json.as_bytes()).map_or(0, |fields| fields.len())),
        Some(b'[') => list(serde_json::from_str(json).unwrap_or_default()),
        _ => number(json),
    }
}

/// A short list as it is, a long one by its size.
fn list(items: Vec<&RawValue>) -> String {
    let short = items.iter().map(|item| item.get().len()).sum::<usize>() <= LONGEST / 2;
    if short && !items.iter().any(|item| item.get().starts_with(['{', '['])) {
        let items: Vec<_> = items.iter().map(|item| shown(item.get())).collect();
        format!("[{}]", items.join(","))
    } else {
        format!("[{}]", items.len())
    }
}

/// Rounds only what is longer than anyone reads; `--json` has the digits.
fn number(json: &str) -> String {
    let decimals = json.split_once('.').map_or(0, |(_, decimals)| decimals.len());
    match json.parse::<f64>() {
        Ok(value) if decimals > 4 => format!("{value:.*}", if value.abs() >= 100.0 { 2 } else { 4 }),
        _ => json.to_owned(),
    }
}

fn severity_paint(severity: &str) -> Paint {
    match severity {
        "debug" => Paint::Dim,
        "warning" => Paint::Yellow,
        "error" => Paint::Red,
        "critical" => Paint::Alarm,
        _ => Paint::Green,
    }
}

fn paint(name: &str, json: &str) -> Paint {
    let word = unquoted(json).unwrap_or_default().to_lowercase();
    match word.as_str() {
        "filled" | "buy" | "healthy" | "upward" | "converted" => Paint::Green,
        "rejected" | "sell" | "error" | "critical" | "halted" | "downward" => Paint::Red,
        "cancelled" | "expired" | "degraded" | "stale" | "exit" | "partially_filled" => Paint::Yellow,
        _ if name.ends_with("pnl") => match json.parse::<f64>() {
            Ok(value) if value > 0.0 => Paint::Green,
            Ok(value) if value < 0.0 => Paint::Red,
            _ => Paint::Plain,
        },
        _ => Paint::Plain,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Look = Look { colour: false, utc: true };

    #[test]
    fn an_order_reads_as_a_sentence() {
        let event = r#"{"id":"1-0","type":"order_event","timestamp":"2025-11-18T07:55:41.345678Z","source":"fno","severity":"info",
            "payload":{"order_id":"PAPER-1","symbol":"NIFTY","side":"BUY","status":"filled","qty":50,"price":19755.0,"strategy":"ORB"}}"#;
        assert_eq!(
            line(event, PLAIN),
            "07:55:41.345 INFO     order_event        fno        NIFTY      \
             filled BUY 50 @ 19755.0 order_id=PAPER-1 strategy=ORB"
        );
    }

    #[test]
    fn nested_metrics_are_spread_and_numbers_rounded() {
        let event = r#"{"type":"indicator_event","timestamp":"2024-08-05T03:45:59Z","payload":
            {"symbol":"NIFTY","timeframe":"1m","indicators":{"ema9":24639.551453048378,"rsi14":6.712862491277406,"n":1.5},"x":["a",2],"xs":[{},{}],"y":{"a":1},"z":null}}"#;
        assert_eq!(
            line(event, PLAIN),
            "03:45:59.000 INFO     indicator_event    -          NIFTY      \
             1m ema9=24639.55 rsi14=6.7129 n=1.5 x=[a,2] xs=[2] y={1}"
        );
    }

    #[test]
    fn colours_are_by_severity_and_outcome_and_absent_when_not_wanted() {
        let event = r#"{"type":"order_event","severity":"error","payload":{"status":"REJECTED","pnl":-5.0}}"#;
        let coloured = line(event, Look { colour: true, utc: true });
        for painted in ["\x1b[31mERROR   \x1b[0m", "\x1b[31mREJECTED\x1b[0m", "\x1b[31m-5.0\x1b[0m"] {
            assert!(coloured.contains(painted), "{coloured:?}");
        }
        assert!(!line(event, PLAIN).contains('\x1b'));
    }

    #[test]
    fn nothing_an_engine_sends_reaches_the_terminal_raw() {
        let event = "{\"type\":\"a\",\"source\":\"\\u001b[31m\",\"payload\":{\"\\u001bk\":\"\\u001b]0;owned\\u0007\",\"symbol\":\"\\r\"}}";
        for text in [line(event, PLAIN), line("not json \x1b[2J", PLAIN), gap(event)] {
            assert!(!text.chars().any(char::is_control), "{text:?}");
        }
    }

    #[test]
    fn a_gap_is_told_in_words() {
        let event = r#"{"type":"stream_gap","payload":{"requested":"5-0","oldest":"9-0","newest":"12-0","reason":"retention"}}"#;
        assert!(is_gap(event));
        assert_eq!(gap(event), "events are missing here: asked for those after 5-0, the oldest kept is 9-0 (retention)");
    }
}
