//! `GET /api/risk/var` and `/api/risk/var/backtest` over daily files.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::harness::{App, Settings, eventually, spawn_app};
use crate::http::{Connection, PATIENCE};
use crate::ingest::faulty_fields;

/// `overall.net_pnl` of real days, as an engine wrote it.
const DAYS: [(&str, &str); 21] = [
    ("2024-07-25", "-6495.9500000001135"),
    ("2024-07-26", "765.6999999999389"),
    ("2024-07-29", "-26173.700000000063"),
    ("2024-07-30", "-10478.80000000009"),
    ("2024-07-31", "-14398.050000000305"),
    ("2024-08-01", "-6776.600000000133"),
    ("2024-08-02", "12907.949999999932"),
    ("2024-08-05", "5489.300000000007"),
    ("2024-08-06", "-16012.349999999824"),
    ("2024-08-07", "-16615.74999999993"),
    ("2024-08-08", "-3027.150000000118"),
    ("2024-08-09", "-4419.84999999962"),
    ("2024-08-12", "-15145.199999999928"),
    ("2024-08-13", "19877.500000000455"),
    ("2024-08-14", "314.5499999998028"),
    ("2024-08-16", "41161.44999999968"),
    ("2024-08-19", "-6061.199999999866"),
    ("2024-08-20", "-15103.350000000104"),
    ("2024-08-21", "-9573.199999999855"),
    ("2024-08-22", "-2929.199999999855"),
    ("2024-08-23", "-1514.7499999999673"),
];

fn folder(app: &App) -> PathBuf {
    app.artifacts().join("analytics/daily")
}

fn put(app: &App, date: &str, text: &str) {
    fs::write(folder(app).join(format!("{date}-metrics.json")), text).unwrap();
}

/// A service with the files of those days.
fn spawn(settings: Settings<'_>) -> App {
    let app = spawn_app(settings);
    fs::create_dir_all(folder(&app)).unwrap();
    for (date, pnl) in DAYS {
        let text = format!(
            r#"{{"asof":"{date}T15:29:59.022767","mode":"","equity":{{"starting_capital":5000000.0,"realized_pnl":1.0}},"overall":{{"net_pnl":{pnl}}}}}"#
        );
        put(&app, date, &text);
    }
    app
}

fn var(app: &App, query: &str) -> Value {
    app.get(&format!("/api/risk/var?as_of=2024-08-23&{query}")).expect(200)
}

#[track_caller]
fn assert_near(value: &Value, expected: f64) {
    let value = value.as_f64().unwrap_or_else(|| panic!("{value} is no number"));
    assert!((value - expected).abs() <= 1e-8 * expected.abs(), "{value} is not {expected}");
}

#[test]
fn var_of_real_days_agrees_with_numpy_and_has_the_shape_of_the_contract() {
    let app = spawn(&[]);
    let answer = var(&app, "");
    let keys: Vec<&str> = answer.as_object().unwrap().keys().map(String::as_str).collect();
    let expected = [
        "var",
        "es",
        "var_pct",
        "observations",
        "days",
        "confidence",
        "method",
        "quantile",
        "percentile",
        "worst_loss",
        "best_gain",
        "from",
        "to",
        "interval",
        "warnings",
    ];
    assert_eq!(keys, expected);
    // numpy 2: np.sort(x)[1]
    assert_near(&answer["var"], 16_615.749_999_999_93);
    assert_near(&answer["percentile"], -16_615.749_999_999_93);
    assert_near(&answer["var_pct"], 0.332_314_999_999_998_6);
    // -(x[0] + 0.05 * x[1]) / 1.05 with x = np.sort(x)
    assert_near(&answer["es"], 25_718.559_523_809_578);
    assert_near(&answer["worst_loss"], 26_173.700_000_000_063);
    assert_near(&answer["best_gain"], 41_161.449_999_999_68);
    assert_eq!((&answer["observations"], &answer["days"], &answer["confidence"]), (&json!(21), &json!(30), &json!(0.95)));
    assert_eq!((&answer["method"], &answer["quantile"]), (&json!("historical"), &json!("order")));
    assert_eq!((&answer["from"], &answer["to"]), (&json!("2024-07-25"), &json!("2024-08-23")));
    assert_eq!((&answer["interval"]["level"], &answer["warnings"]), (&json!(0.95), &json!([])));
    // np.percentile(x, 5, method='weibull'), and -(mean - 1.6448536269514722 * std(ddof=1))
    assert_near(&var(&app, "quantile=weibull")["var"], 25_217.905_000_000_05);
    let normal = var(&app, "method=normal&quantile=linear");
    assert_near(&normal["var"], 27_575.615_172_064_69);
    assert_eq!(normal["quantile"], json!(null));
    assert!(normal["warnings"][0].as_str().unwrap().contains("quantile"), "{normal}");
}

#[test]
fn the_confidence_is_taken_as_it_is_written() {
    let app = spawn(&[]);
    for (text, number) in [("0.9", "0.9"), ("0.90", "0.9"), ("9.5e-1", "0.95"), ("0.99", "0.99"), ("0.5", "0.5")] {
        let answer = app.get(&format!("/api/risk/var?as_of=2024-08-23&confidence={text}"));
        assert!(answer.text().contains(&format!("\"confidence\":{number},")), "{}", answer.text());
    }
    assert!(!var(&app, "confidence=0.99")["warnings"].as_array().unwrap().is_empty(), "21 days are too few");
}

#[test]
fn all_faults_of_a_question_are_told_at_once() {
    let app = spawn_app(&[]);
    let bad = "days=0&confidence=0.999&method=foo&quantile=bar&horizon_days=0&drift=perhaps&as_of=2024-02-30";
    let problem = app.get(&format!("/api/risk/var?{bad}")).expect_problem(422);
    let mut fields = faulty_fields(&problem);
    fields.sort_unstable();
    assert_eq!(fields, ["as_of", "confidence", "days", "drift", "horizon_days", "method", "quantile"]);
    for query in [
        "days=366",
        "days=-1",
        "days=1.5",
        "days=x",
        "confidence=nan",
        "confidence=inf",
        "confidence=95",
        "confidence=-0.95",
        "confidence=0.49",
        "confidence=1e999",
        "confidence=0,95",
        "as_of=today",
        "as_of=2024-8-23",
        "as_of=2024-08-23T00:00:00Z",
        "horizon_days=366",
        "method=Historical",
    ] {
        let problem = app.get(&format!("/api/risk/var?{query}")).expect_problem(422);
        assert_eq!(faulty_fields(&problem), [query.split('=').next().unwrap()], "{query}");
    }
    let problem = app.get("/api/risk/var/backtest?days=10001&window=1").expect_problem(422);
    assert_eq!(faulty_fields(&problem), ["days", "window"]);
    assert_eq!(app.post("/api/risk/var", "application/json", b"{}").status(), 405);
}

#[test]
fn nothing_to_compute_from_is_said_and_is_no_error() {
    let app = spawn_app(&[]);
    let answer = app.get("/api/risk/var").expect(200);
    for field in ["var", "es", "var_pct", "percentile", "worst_loss", "best_gain", "from", "to"] {
        assert_eq!(answer[field], json!(null), "{field} in {answer}");
    }
    assert!(answer["reason"].is_string() && answer["observations"] == 0, "{answer}");
    assert!(answer["warnings"].to_string().contains("not there"), "{answer}");
    assert!(answer["warnings"].as_array().unwrap().contains(&answer["reason"]), "{answer}");
    let done = app.get("/api/risk/var/backtest").expect(200);
    assert_eq!((&done["forecasts"], &done["exception_dates"]), (&json!(0), &json!([])), "{done}");
}

#[test]
fn bad_files_are_left_out_named_and_shown_in_health_and_hide_nothing() {
    let app = spawn(&[]);
    let good = var(&app, "");
    for (date, text) in [
        ("2024-08-10", "{\"overall\":{\"net_pnl\":-99999"),
        ("2024-08-11", r#"{"overall":{"net_pnl":NaN}}"#),
        ("2024-08-17", r#"{"overall":{"net_pnl":"-99999"}}"#),
        ("2024-08-18", r#"{"overall":{"net_pnl":1e400}}"#),
        ("2024-08-15", "[]"),
        ("2024-07-27", ""),
    ] {
        put(&app, date, text);
    }
    fs::write(folder(&app).join("2024-02-30-metrics.json"), "nobody's").unwrap();
    std::os::unix::fs::symlink("/etc/passwd", folder(&app).join("2024-08-03-metrics.json")).unwrap();
    let answer = var(&app, "");
    let warnings: Vec<&str> = answer["warnings"].as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect();
    assert_eq!(warnings.len(), 7, "{warnings:#?}");
    for date in ["2024-07-27", "2024-08-03", "2024-08-10", "2024-08-11", "2024-08-15", "2024-08-17", "2024-08-18"] {
        assert!(warnings.iter().any(|warning| warning.starts_with(&format!("{date}-metrics.json"))), "{date} in {warnings:?}");
    }
    assert!(!warnings.iter().any(|warning| warning.contains('/')), "{warnings:?}");
    assert_eq!((&answer["var"], &answer["observations"]), (&good["var"], &good["observations"]));
    let broken = || app.health()["components"]["artifacts"]["broken_files"].clone();
    eventually("they are in /health", PATIENCE, || broken() == 7);
}

#[test]
fn a_file_changed_a_moment_ago_is_seen() {
    let app = spawn(&[]);
    for loss in 0..50 {
        put(&app, "2024-08-23", &format!(r#"{{"overall":{{"net_pnl":-{}}}}}"#, 30_000 + loss));
        assert_near(&var(&app, "")["worst_loss"], f64::from(30_000 + loss));
    }
    fs::remove_file(folder(&app).join("2024-08-23-metrics.json")).unwrap();
    assert_eq!(var(&app, "")["observations"], 20);
    assert_eq!(var(&app, "")["observations"], 20);
    assert!(app.health()["components"]["var"]["recalled"].as_u64() > Some(0));
}

#[test]
fn the_capital_is_that_of_the_newest_file_else_the_configured_else_unknown() {
    for (configured, expected) in [("0", json!(null)), ("100", json!(30.0))] {
        let app = spawn_app(&[("risk.starting_capital", configured)]);
        fs::create_dir_all(folder(&app)).unwrap();
        put(&app, "2024-08-22", r#"{"overall":{"net_pnl":-30}}"#);
        assert_eq!(var(&app, "")["var_pct"], expected);
        put(&app, "2024-08-20", r#"{"overall":{"net_pnl":1},"equity":{"starting_capital":500}}"#);
        put(&app, "2024-08-21", r#"{"overall":{"net_pnl":1},"equity":{"starting_capital":1000}}"#);
        assert_eq!(var(&app, "")["var_pct"], 3.0);
    }
}

#[test]
fn running_totals_are_taken_apart() {
    let app = spawn_app(&[("risk.daily_metrics", "cumulative")]);
    fs::create_dir_all(folder(&app)).unwrap();
    for (date, total) in [("2024-08-19", "100"), ("2024-08-20", "90.5"), ("2024-08-23", "120.25")] {
        put(&app, date, &format!(r#"{{"equity":{{"realized_pnl":{total}}}}}"#));
    }
    let answer = var(&app, "days=4");
    assert_eq!((&answer["observations"], &answer["var"], &answer["best_gain"]), (&json!(2), &json!(9.5), &json!(29.75)));
    assert!(var(&app, "")["warnings"].to_string().contains("2024-08-19"));
    put(&app, "2024-08-22", r#"{"overall":{"net_pnl":-9.5},"written_by":"plimsoll"}"#);
    let answer = var(&app, "days=4");
    assert_eq!((&answer["observations"], &answer["worst_loss"], &answer["best_gain"]), (&json!(3), &json!(9.5), &json!(39.25)));
}

#[test]
fn the_backtest_names_the_days_that_lost_more_than_was_forecast() {
    let app = spawn(&[]);
    let done = app.get("/api/risk/var/backtest?as_of=2024-08-23&window=5&confidence=0.8").expect(200);
    // numpy 2: x[i] < np.sort(x[i - 5:i])[1]
    assert_eq!(done["exception_dates"], json!(["2024-08-06", "2024-08-07", "2024-08-19", "2024-08-20", "2024-08-21"]));
    assert_eq!((&done["forecasts"], &done["exceptions"]), (&json!(16), &json!(5)));
    assert_near(&done["expected"], 3.2);
    for path in [
        "/kupiec/lr",
        "/kupiec/p_value",
        "/christoffersen/n00",
        "/christoffersen/n01",
        "/christoffersen/n10",
        "/christoffersen/n11",
        "/christoffersen/independence/lr",
        "/christoffersen/independence/p_value",
        "/christoffersen/conditional_coverage/lr",
        "/christoffersen/conditional_coverage/p_value",
        "/traffic_light/zone",
        "/traffic_light/exceptions",
        "/traffic_light/observations",
        "/traffic_light/cumulative_probability",
    ] {
        assert!(done.pointer(path).is_some(), "{path} in {done}");
    }
    let too_long = app.get("/api/risk/var/backtest?as_of=2024-08-23").expect(200);
    assert_eq!(too_long["warnings"], json!(["21 days leave none to forecast after a window of 250"]));
}

#[test]
fn without_a_date_the_window_ends_with_the_trading_day() {
    let app = spawn(&[]);
    let kolkata = chrono::FixedOffset::east_opt(19_800).unwrap();
    let today = chrono::Utc::now().with_timezone(&kolkata).date_naive();
    put(&app, &today.to_string(), r#"{"overall":{"net_pnl":-30}}"#);
    put(&app, &(today + chrono::Days::new(3)).to_string(), r#"{"overall":{"net_pnl":-40}}"#);
    let answer = app.get("/api/risk/var?days=2").expect(200);
    assert_eq!((&answer["observations"], &answer["var"], &answer["to"]), (&json!(1), &json!(30.0), &json!(today.to_string())));
}

#[test]
fn questions_beyond_the_queue_are_told_to_come_back() {
    let app = spawn(&[("risk.var_queue", "1")]);
    let answers: Vec<u16> = std::thread::scope(|scope| {
        let ask = |days: usize| {
            let address = app.address;
            let target = format!("/api/risk/var/backtest?as_of=2024-08-23&window=5&days={days}");
            scope.spawn(move || Connection::open(address).unwrap().exchange("GET", &target, &[], b"").unwrap())
        };
        let tasks: Vec<_> = (30..60).map(ask).collect();
        let answers = tasks.into_iter().map(|task| task.join().unwrap());
        answers
            .map(|answer| {
                if answer.status() != 200 {
                    answer.expect_problem(503);
                    assert!(answer.header("retry-after").is_some());
                }
                answer.status()
            })
            .collect()
    });
    assert!(answers.contains(&200));
    assert_eq!(app.get("/api/risk/var?as_of=2024-08-23").status(), 200);
}
