//! `runtime_metrics.json`: two writers of that name, told apart by their keys, become one payload.
//!
//! Nested: `equity{starting_capital, current_equity, realized_pnl, ...}`, `overall{total_trades, ...}`, `per_symbol`. Flat: the
//! same figures at the top, with an `equity_curve`. Neither's `max_drawdown` is used. Of the curve the day's largest fall is
//! kept; a nested file has none, so the falls from its starting capital to its lowest and from its highest to its current
//! equity stand in for it. Nothing in the file says that they happened today: the shape is trusted to be the day's own, so
//! bounds of a lifetime would be taken for a drawdown of the day.

use std::collections::BTreeMap;

use compact_str::CompactString;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::equity::Series;
use super::session::Session;
use crate::domain::clock::Timestamp;
use crate::domain::money::{Number, amount, percent};
use crate::domain::payload::{Payload, unquote};

/// The file's name.
pub const FILE: &str = "runtime_metrics.json";
/// The largest file that is read, in bytes: a flat one has a point of its curve for each minute or second of the day.
pub const MAX_BYTES: u64 = 16 << 20;
/// Most symbols that are told on.
const MAX_SYMBOLS: usize = 2_000;
/// Deeper files are nobody's.
const MAX_DEPTH: usize = 16;

/// The payload of the event.
#[derive(Debug, Default, Serialize)]
struct Normal {
    shape: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    asof: Option<String>,
    #[serde(flatten)]
    figures: BTreeMap<&'static str, Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    total_trades: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    loss_streak: Option<u64>,
    per_symbol: BTreeMap<CompactString, u64>,
    file: &'static str,
}

/// A point of the curve.
#[derive(Deserialize)]
struct Point<'a> {
    timestamp: String,
    #[serde(borrow)]
    equity: &'a RawValue,
}

/// The figures that are taken over as they are.
const FIGURES: [&str; 7] =
    ["starting_capital", "current_equity", "realized_pnl", "unrealized_pnl", "daily_pnl", "max_equity", "min_equity"];

/// Reads the file; local times are those of `session`.
///
/// # Errors
/// A sentence for the operator: why it cannot be used.
///
/// ```
/// use plimsoll::domain::risk::{runtime_metrics::parse, session::Session};
/// let session = Session::new(chrono_tz::Asia::Kolkata, chrono::NaiveTime::MIN);
/// let file = br#"{"asof": "2024-08-23T13:05:07", "equity": {"realized_pnl": -1514.75}, "overall": {"total_trades": 9}}"#;
/// let payload = parse(file, &session).expect("nested");
/// assert!(payload.contains(r#""realized_pnl":-1514.75"#) && payload.contains(r#""asof":"2024-08-23T07:35:07.000000Z""#));
/// ```
pub fn parse(bytes: &[u8], session: &Session) -> Result<String, String> {
    let top = Payload::of_file(bytes, MAX_DEPTH)?;
    let inner = top.get("equity").filter(|raw| raw.starts_with('{')).map(|raw| Payload::inspect(raw, MAX_DEPTH)).transpose()?;
    let overall = object(&top, "overall")?;
    let shape = if inner.is_some() || overall.is_some() { "nested" } else { "flat" };
    let money = inner.as_ref().unwrap_or(&top);
    let mut figures = BTreeMap::new();
    for name in FIGURES {
        figures.extend(figure(money, name)?.map(|value| (name, Number(value))));
    }
    if shape == "nested"
        && !figures.contains_key("realized_pnl")
        && let Some(net) = overall.as_ref().map(|overall| figure(overall, "net_pnl")).transpose()?.flatten()
    {
        figures.insert("realized_pnl", Number(net));
    }
    if figures.is_empty() && overall.is_none() {
        return Err("has neither the flat nor the nested figures".to_owned());
    }
    let asof = match top.get("asof").filter(|raw| *raw != "null") {
        Some(raw) => Some(instant(&unquote(raw).ok_or("asof: must be text")?, session).ok_or("asof: must be a time")?),
        None => None,
    };
    if let Some((peak, trough)) = curve(&top, asof, session)? {
        // the curve tells more than the bounds, which may be of more than the day
        figures.remove("max_equity");
        figures.remove("min_equity");
        figures.extend([("curve_peak", Number(peak)), ("curve_trough", Number(trough))]);
    }
    let of = |name: &str| match overall.as_ref().map_or(Ok(None), |overall| count(overall, name))? {
        None => count(&top, name),
        known => Ok(known),
    };
    let normal = Normal {
        shape,
        asof: asof.map(|asof| asof.to_string()),
        figures,
        total_trades: of("total_trades")?,
        loss_streak: of("loss_streak")?,
        per_symbol: per_symbol(&top)?,
        file: FILE,
    };
    serde_json::to_string(&normal).map_err(|error| error.to_string())
}

fn object<'a>(payload: &Payload<'a>, name: &str) -> Result<Option<Payload<'a>>, String> {
    match payload.get(name).filter(|raw| *raw != "null") {
        Some(raw) if raw.starts_with('{') => Payload::inspect(raw, MAX_DEPTH).map(Some),
        Some(_) => Err(format!("{name}: must be an object")),
        None => Ok(None),
    }
}

fn figure(payload: &Payload<'_>, name: &str) -> Result<Option<Decimal>, String> {
    let raw = payload.get(name).filter(|raw| *raw != "null");
    raw.map(|raw| amount(raw).ok_or_else(|| format!("{name}: must be a number of at most 10^15"))).transpose()
}

fn count(payload: &Payload<'_>, name: &str) -> Result<Option<u64>, String> {
    let raw = payload.get(name).filter(|raw| *raw != "null");
    raw.map(|raw| raw.parse().map_err(|_| format!("{name}: must be a whole number"))).transpose()
}

fn per_symbol(top: &Payload<'_>) -> Result<BTreeMap<CompactString, u64>, String> {
    let Some(symbols) = object(top, "per_symbol")? else { return Ok(BTreeMap::new()) };
    let mut counts = BTreeMap::new();
    for (symbol, raw) in symbols.fields().take(MAX_SYMBOLS) {
        let inside = |fault: String| format!("per_symbol.{symbol}: {fault}");
        if !raw.starts_with('{') {
            return Err(inside("must be an object".to_owned()));
        }
        let each = Payload::inspect(raw, MAX_DEPTH).map_err(inside)?;
        let trades = count(&each, "trades").and_then(|trades| Ok(trades.or(count(&each, "total_trades")?)));
        counts.extend(trades.map_err(inside)?.map(|trades| (symbol.into(), trades)));
    }
    Ok(counts)
}

/// The largest fall of the curve's points of the file's day: from, to.
fn curve(top: &Payload<'_>, asof: Option<Timestamp>, session: &Session) -> Result<Option<(Decimal, Decimal)>, String> {
    let Some(raw) = top.get("equity_curve").filter(|raw| *raw != "null") else { return Ok(None) };
    let points: Vec<Point<'_>> = serde_json::from_str(raw).map_err(|_| "equity_curve: must be a list of timestamp and equity")?;
    let mut times = Vec::with_capacity(points.len());
    for point in &points {
        let at = instant(&point.timestamp, session).ok_or("equity_curve: every timestamp must be a time")?;
        let equity = amount(point.equity.get()).ok_or("equity_curve: every equity must be a number")?;
        times.push((at, equity));
    }
    times.sort_by_key(|(at, _)| *at);
    let Some(newest) = asof.or(times.last().map(|(at, _)| *at)) else { return Ok(None) };
    let day = session.day_of(newest);
    let mut today = times.into_iter().filter(|(at, _)| day.contains(*at)).map(|(_, equity)| equity);
    let Some(first) = today.next() else { return Ok(None) };
    let mut worst = (first, first);
    let mut series = Series::new(first);
    for equity in today.chain(figure(top, "current_equity")?) {
        series.push(equity);
        if percent(series.peak - equity, series.peak) > percent(worst.0 - worst.1, worst.0) {
            worst = (series.peak, equity);
        }
    }
    Ok(Some(worst))
}

/// A time with an offset, or a local one.
fn instant(text: &str, session: &Session) -> Option<Timestamp> {
    Timestamp::parse(text).ok().or_else(|| Timestamp::parse_local(text, session.timezone()).ok().flatten())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session() -> Session {
        Session::new(chrono_tz::Asia::Kolkata, chrono::NaiveTime::MIN)
    }

    fn read(text: &str) -> serde_json::Value {
        serde_json::from_str(&parse(text.as_bytes(), &session()).expect("usable")).expect("json")
    }

    #[test]
    fn the_flat_shape_gives_the_largest_fall_of_its_curve_of_the_day() {
        let point = |at: &str, equity: i64| format!(r#"{{"timestamp":"{at}","equity":{equity}}}"#);
        let points = [
            point("2024-08-22T09:00:00+00:00", 900),
            point("2024-08-23T04:00:00+00:00", 100),
            point("2024-08-23T04:01:00+00:00", 120),
            point("2024-08-23T04:02:00+00:00", 90),
            point("2024-08-23T04:03:00+00:00", 130),
        ];
        let text = format!(
            r#"{{"asof":"2024-08-23T10:00:00+00:00","mode":"paper","starting_capital":100,"current_equity":125,"realized_pnl":-1.50,
            "daily_pnl":-1.5,"max_equity":900,"min_equity":1,"max_drawdown":0.9,"pnl_per_symbol":{{"N":-1.5}},"equity_curve":[{}]}}"#,
            points.join(",")
        );
        let read = read(&text);
        assert_eq!(read["shape"], "flat");
        assert_eq!((read["curve_peak"].as_i64(), read["curve_trough"].as_i64()), (Some(120), Some(90)));
        assert!(read.get("max_equity").is_none() && read.get("max_drawdown").is_none(), "{read}");
        assert_eq!(read["asof"], "2024-08-23T10:00:00.000000Z");
    }

    #[test]
    fn the_nested_shape_gives_its_bounds_and_counts() {
        let read = read(
            r#"{"asof":"2024-08-23T13:05:07.003402","equity":{"starting_capital":5000000.0,"current_equity":4998485.25,"max_equity":5000000.0,
            "min_equity":4998481.45,"max_drawdown":1518.55},"overall":{"total_trades":9,"loss_streak":null,"net_pnl":-1514.75},"loss_streak":3,
            "per_symbol":{"N":{"trades":6},"B":{"total_trades":3},"X":{}}}"#,
        );
        assert_eq!((read["total_trades"].as_u64(), read["loss_streak"].as_u64()), (Some(9), Some(3)));
        assert_eq!(read["per_symbol"].to_string(), r#"{"B":3,"N":6}"#);
        assert_eq!(read["realized_pnl"].as_f64(), Some(-1514.75), "the net result, where the equity does not tell");
        assert_eq!(read["min_equity"].as_f64(), Some(4998481.45));
    }

    #[test]
    fn a_wrong_type_is_a_reason_and_never_a_zero() {
        for (text, reason) in [
            ("", "is empty"),
            ("[]", "must be an object"),
            ("{", "is not valid JSON"),
            ("{}", "has neither"),
            (r#"{"realized_pnl":"7"}"#, "realized_pnl: must be a number"),
            (r#"{"equity":{"current_equity":true}}"#, "current_equity: must be a number"),
            (r#"{"overall":[]}"#, "overall: must be an object"),
            (r#"{"overall":{"total_trades":1.5}}"#, "total_trades: must be a whole number"),
            (r#"{"daily_pnl":1,"asof":"soon"}"#, "asof: must be a time"),
            (r#"{"daily_pnl":1,"per_symbol":{"N":6}}"#, "per_symbol.N: must be an object"),
            (r#"{"daily_pnl":1,"equity_curve":[{"timestamp":"x","equity":1}]}"#, "equity_curve: every timestamp"),
            (r#"{"daily_pnl":1,"daily_pnl":2}"#, "repeated"),
        ] {
            let found = parse(text.as_bytes(), &session()).expect_err(text);
            assert!(found.contains(reason), "{text}: {found}");
        }
    }
}
