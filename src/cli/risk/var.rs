//! `plimsoll risk var` and `plimsoll risk backtest`.

use serde_json::Value;

use super::table::{self, Cell, at, items, number, text};
use super::{get, show};
use crate::cli::Exit;
use crate::cli::client::Target;
use crate::cli::terminal::{self, Out, Paint, harmless};

const PATH: &str = "/api/risk/var";
const BACKTEST: &str = "/api/risk/var/backtest";
/// Every method, in the order of the table.
const METHODS: [&str; 6] = ["historical", "normal", "cornish_fisher", "ewma", "age_weighted", "filtered_historical"];
/// The word for one row a method.
const ALL: &str = "all";

/// Of what, and how.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A method, or all of them
    #[arg(long, value_name = "NAME")]
    method: Option<String>,
    /// Days of history
    #[arg(long, value_name = "N")]
    days: Option<u32>,
    /// Such as 0.95
    #[arg(long, value_name = "C")]
    confidence: Option<String>,
    /// Which quantile the historical methods take: order, inverse_cdf, linear or weibull
    #[arg(long, value_name = "Q")]
    quantile: Option<String>,
    /// The last day of the history, such as 2024-08-23; today if it is not given
    #[arg(long, value_name = "DATE")]
    as_of: Option<String>,
    /// Days ahead
    #[arg(long, value_name = "N")]
    horizon_days: Option<u32>,
    /// Let the mean grow with the horizon
    #[arg(long)]
    drift: bool,
    #[command(flatten)]
    target: Target,
}

/// Of what, and how.
#[derive(Debug, clap::Args)]
pub struct BacktestArgs {
    /// Days of history; the first forecast comes after a window of them
    #[arg(long, value_name = "N")]
    days: Option<u32>,
    /// Days before each forecast
    #[arg(long, value_name = "N")]
    window: Option<u32>,
    /// Such as 0.95
    #[arg(long, value_name = "C")]
    confidence: Option<String>,
    /// A method
    #[arg(long, value_name = "NAME")]
    method: Option<String>,
    /// Which quantile the historical methods take
    #[arg(long, value_name = "Q")]
    quantile: Option<String>,
    /// The last day of the history
    #[arg(long, value_name = "DATE")]
    as_of: Option<String>,
    #[command(flatten)]
    target: Target,
}

fn query(given: &[(&str, Option<String>)]) -> Vec<(String, String)> {
    given.iter().filter_map(|(key, value)| Some(((*key).to_owned(), value.clone()?))).collect()
}

/// Shows value at risk.
pub fn run(args: &Args) -> anyhow::Result<Exit> {
    let client = args.target.client()?;
    let mut out = Out::new();
    let asked = |method: Option<&str>| {
        // only these methods have quantiles to choose from
        let has_quantile = method.is_none_or(|method| method.ends_with("historical")) || args.method.as_deref() != Some(ALL);
        query(&[
            ("method", method.map(str::to_owned)),
            ("days", args.days.map(|days| days.to_string())),
            ("confidence", args.confidence.clone()),
            ("quantile", args.quantile.clone().filter(|_| has_quantile)),
            ("as_of", args.as_of.clone()),
            ("horizon_days", args.horizon_days.map(|days| days.to_string())),
            ("drift", args.drift.then(|| "true".to_owned())),
        ])
    };
    if args.method.as_deref() != Some(ALL) {
        let answer = get(&client, PATH, &asked(args.method.as_deref()))?;
        show(&mut out, &answer, args.target.json, |body, colour| lines(std::slice::from_ref(body), colour))?;
        return Ok(Exit::Clean);
    }
    let (mut bodies, mut exit) = (Vec::new(), Exit::Clean);
    for method in METHODS {
        match get(&client, PATH, &asked(Some(method))) {
            Ok(answer) if args.target.json => out.line(std::str::from_utf8(&answer.body)?.trim_end())?,
            Ok(answer) => bodies.push(serde_json::from_slice(&answer.body)?),
            // a method may refuse what another one takes
            Err(error) => {
                terminal::complain(&format!("{method}: {error:#}"));
                exit = Exit::Failed;
            }
        }
    }
    if !bodies.is_empty() {
        lines(&bodies, out.colour).iter().try_for_each(|line| out.clipped(line))?;
    }
    Ok(exit)
}

fn lines(bodies: &[Value], colour: bool) -> Vec<String> {
    let rows = bodies.iter().map(|body| {
        let interval = at(body, "interval");
        let method = match at(body, "quantile").as_str() {
            Some(quantile) => format!("{} ({quantile})", text(body, "method")),
            None => text(body, "method"),
        };
        vec![
            Cell::text(method).painted(Paint::Bold),
            Cell::number(at(body, "var")),
            Cell::number(at(body, "es")),
            Cell::number(at(body, "var_pct")),
            Cell::right(format!("{} .. {}", number(at(interval, "lower")), number(at(interval, "upper")))),
            Cell::number(at(body, "observations")),
        ]
    });
    let mut lines = table::lines(&["METHOD", "VAR", "ES", "VAR %", "INTERVAL", "DAYS"], rows.collect(), colour);
    if let Some(body) = bodies.first() {
        let (from, to) = (text(body, "from"), text(body, "to"));
        lines.push(format!("confidence {}, from {from} to {to}; losses are positive", number(at(body, "confidence"))));
    }
    let mut warnings: Vec<&str> = bodies.iter().flat_map(|body| items(body, "warnings")).filter_map(Value::as_str).collect();
    warnings.extend(bodies.iter().filter_map(|body| at(body, "reason").as_str()));
    let mut told = Vec::new();
    for warning in warnings {
        if !told.contains(&warning) {
            told.push(warning);
            let mut line = String::new();
            Paint::Yellow.add(&mut line, &harmless(warning), colour);
            lines.push(line);
        }
    }
    lines
}

/// Shows how the forecasts have done.
pub fn backtest(args: &BacktestArgs) -> anyhow::Result<Exit> {
    let asked = query(&[
        ("days", args.days.map(|days| days.to_string())),
        ("window", args.window.map(|window| window.to_string())),
        ("confidence", args.confidence.clone()),
        ("method", args.method.clone()),
        ("quantile", args.quantile.clone()),
        ("as_of", args.as_of.clone()),
    ]);
    let answer = get(&args.target.client()?, BACKTEST, &asked)?;
    show(&mut Out::new(), &answer, args.target.json, backtest_lines)?;
    Ok(Exit::Clean)
}

fn backtest_lines(body: &Value, colour: bool) -> Vec<String> {
    let christoffersen = at(body, "christoffersen");
    let test = |name: &str, test: &Value| {
        vec![Cell::text(name).painted(Paint::Bold), Cell::number(at(test, "lr")), Cell::number(at(test, "p_value"))]
    };
    let rows = vec![
        test("kupiec: as many as expected", at(body, "kupiec")),
        test("christoffersen: independent", at(christoffersen, "independence")),
        test("christoffersen: both", at(christoffersen, "conditional_coverage")),
    ];
    let light = at(body, "traffic_light");
    let zone = text(light, "zone");
    let mut said = format!(
        "{} exceptions in {} forecasts, {} expected; traffic light ",
        number(at(body, "exceptions")),
        number(at(body, "forecasts")),
        number(at(body, "expected")),
    );
    let paint = match zone.as_str() {
        "green" => Paint::Green,
        "yellow" => Paint::Yellow,
        "red" => Paint::Alarm,
        _ => Paint::Plain,
    };
    paint.add(&mut said, &zone, colour);
    let mut lines = vec![said];
    lines.extend(table::lines(&["TEST", "LR", "P"], rows, colour));
    let warnings = items(body, "warnings").iter().chain(body.get("reason")).filter_map(Value::as_str);
    lines.extend(warnings.map(harmless));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_method_is_a_row_and_a_warning_is_told_once() {
        let body = |method: &str| {
            json!({"var": 1234.5, "es": 2000, "var_pct": 1.2, "observations": 30, "confidence": 0.95, "method": method,
                "from": "2026-10-01", "to": "2026-11-01", "interval": {"level": 0.95, "lower": 1000, "upper": null},
                "warnings": ["too few days"]})
        };
        let expected = [
            "METHOD          VAR     ES  VAR %    INTERVAL  DAYS",
            "historical  1,234.5  2,000    1.2  1,000 .. -    30",
            "normal      1,234.5  2,000    1.2  1,000 .. -    30",
            "confidence 0.95, from 2026-10-01 to 2026-11-01; losses are positive",
            "too few days",
        ];
        assert_eq!(lines(&[body("historical"), body("normal")], false), expected);
        let nothing = json!({"var": null, "reason": "there are no daily files"});
        assert_eq!(lines(&[nothing], false).last().map(String::as_str), Some("there are no daily files"));
    }

    #[test]
    fn a_backtest_reads_as_a_sentence_and_a_table() {
        let body = json!({"forecasts": 1043, "exceptions": 57, "expected": 52.15, "kupiec": {"lr": 0.46147, "p_value": 0.5},
            "christoffersen": {"independence": {"lr": 0.25866, "p_value": 0.61}, "conditional_coverage": {"lr": 0.72013, "p_value": null}},
            "traffic_light": {"zone": "green"}});
        let shown = backtest_lines(&body, false);
        assert_eq!(shown[0], "57 exceptions in 1,043 forecasts, 52.15 expected; traffic light green");
        assert!(shown[4].starts_with("christoffersen: both") && shown[4].ends_with('-'), "{shown:?}");
        assert_eq!(backtest_lines(&json!({}), false).len(), 5);
    }
}
