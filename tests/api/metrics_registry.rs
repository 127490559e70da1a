//! `/api/metrics`: what engines post, and what their events change.

use serde_json::{Value, json};

use crate::harness::{App, spawn_app};
use crate::http::{Connection, JSON, NDJSON};
use crate::ingest::faulty_fields;

const METRICS: &str = "/api/metrics";

fn post(app: &App, body: &Value) -> Value {
    app.post(METRICS, JSON, body.to_string().as_bytes()).expect(200)
}

fn refuse(app: &App, body: &str, status: u16) -> Value {
    app.post(METRICS, JSON, body.as_bytes()).expect_problem(status)
}

/// The series of a metric.
fn series(app: &App, name: &str) -> Vec<Value> {
    let listing = app.get(&format!("{METRICS}?name={name}")).expect(200);
    listing["metrics"][0]["series"].as_array().cloned().unwrap_or_default()
}

/// The series of a metric with these labels, or null.
fn one(app: &App, name: &str, labels: &Value) -> Value {
    series(app, name).into_iter().find(|series| series["labels"] == *labels).unwrap_or_default()
}

fn value(app: &App, name: &str, labels: &Value) -> Option<f64> {
    one(app, name, labels)["value"].as_f64()
}

#[test]
fn each_kind_is_made_by_its_first_post_and_goes_on_from_there() {
    let app = spawn_app(&[]);
    let labels = json!({"side": "BUY", "note": "a=1,b=\"2\"\\\n"});
    let batch = json!({"metrics": [
        {"name": "lots", "kind": "counter", "value": 1.5, "labels": labels, "help": "Lots", "buckets": []},
        {"name": "live_trading_lots", "kind": "counter", "value": 2, "labels": {"note": labels["note"], "side": "BUY"}},
        {"name": "margin", "kind": "gauge", "value": 10},
        {"name": "margin", "kind": "gauge", "value": 4, "op": "dec"},
        {"name": "margin", "kind": "gauge", "value": 1, "op": "inc"},
        {"name": "took_seconds", "kind": "histogram", "value": 0.005},
        {"name": "took_seconds", "kind": "histogram", "value": 99},
    ]});
    assert_eq!(post(&app, &batch), json!({"accepted": 7, "refused": []}));
    assert_eq!(post(&app, &json!({"name": "margin", "kind": "gauge", "value": -1})), json!({"accepted": 1, "refused": []}));
    assert_eq!(series(&app, "lots"), [json!({"labels": labels, "value": 3.5})]);
    assert_eq!(value(&app, "margin", &json!({})), Some(-1.0));
    let took = one(&app, "took_seconds", &json!({}));
    let bounds: Vec<f64> = took["buckets"].as_array().unwrap().iter().map(|bucket| bucket["le"].as_f64().unwrap()).collect();
    assert_eq!(bounds, [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0]);
    assert!(took["buckets"].as_array().unwrap().iter().all(|bucket| bucket["count"] == 1), "{took}");
    assert_eq!((&took["count"], &took["sum"]), (&json!(2), &json!(99.005)));
}

#[test]
fn the_listing_is_sorted_and_a_metric_is_found_by_each_of_its_names() {
    let app = spawn_app(&[("metrics.prefix", "desk_")]);
    post(&app, &json!({"name": "zeta_count", "kind": "gauge", "value": 1}));
    let listing = app.get(METRICS).expect(200);
    assert_eq!(listing["prefix"], "desk");
    let names: Vec<&str> = listing["metrics"].as_array().unwrap().iter().map(|metric| metric["name"].as_str().unwrap()).collect();
    let predefined = [
        "cash_balance_usd",
        "cycle_duration_seconds",
        "cycles_total",
        "daily_pnl_usd",
        "decisions_total",
        "errors_total",
        "order_latency_seconds",
        "portfolio_value_usd",
        "positions_count",
        "trades_total",
        "trades_value_usd",
        "zeta_count",
    ];
    assert_eq!(names, predefined);
    for name in ["zeta_count", "desk_zeta_count", "desk_zeta", "zeta"] {
        let found = app.get(&format!("{METRICS}?name={name}")).expect(200);
        let expected = json!([{"name": "zeta_count", "prometheus_name": "desk_zeta", "kind": "gauge", "help": null,
            "series": [{"labels": {}, "value": 1.0}]}]);
        assert_eq!(found["metrics"], expected, "{name}");
    }
    assert_eq!(app.get(&format!("{METRICS}?name=nothing")).expect(200)["metrics"], json!([]));
    app.connect().exchange("DELETE", METRICS, &[("Connection", "close")], b"").unwrap().expect_problem(405);
}

#[test]
fn a_batch_with_a_fault_changes_nothing_and_all_faults_are_told() {
    let app = spawn_app(&[]);
    let good = r#"{"name":"a","kind":"counter","value":1}"#;
    let batch = format!(
        r#"{{"metrics":[{good},{{"name":"a b","kind":"meter"}},7,{{"name":"b","kind":"gauge","value":1e999}},
           {{"name":"c","kind":"counter","value":-1,"colour":"red","labels":{{"le":"1","ok":"x"}}}}]}}"#
    );
    let problem = refuse(&app, &batch, 422);
    let mut faults: Vec<(u64, &str)> = Vec::new();
    for error in problem["errors"].as_array().unwrap() {
        faults.push((error["index"].as_u64().unwrap(), error["field"].as_str().unwrap()));
    }
    let expected =
        [(1, "name"), (1, "kind"), (1, "value"), (2, "metric"), (3, "metric"), (4, "colour"), (4, "labels.le"), (4, "value")];
    assert_eq!(faults, expected, "{problem}");
    let conflict = format!(
        r#"{{"metrics":[{good},{{"name":"a","kind":"gauge","value":1}},{{"name":"trades","kind":"counter","value":1}}]}}"#
    );
    let problem = refuse(&app, &conflict, 422);
    assert_eq!(faulty_fields(&problem), ["kind", "name"]);
    assert_eq!(problem["errors"][0]["index"], 1);
    assert_eq!(series(&app, "a"), Vec::<Value>::new());
    let problem = refuse(&app, r#"{"name":"x","kind":"gauge","value":"NaN"}"#, 422);
    assert!(problem["errors"][0].get("index").is_none(), "{problem}");
    for body in
        ["7", "null", "[]", "{}", r#"[{"name":"x","kind":"gauge","value":1}]"#, r#"{"metrics":{}}"#, r#"{"metrics":null}"#]
    {
        refuse(&app, body, 422);
    }
    for body in [
        format!(r#"{{"metrics":[{good}],"more":1}}"#),
        format!(r#"{{"metrics":[{good}],"metrics":[{good}]}}"#),
        format!(r#"{{"metrics":[{{"name":"x","kind":"gauge","value":1e999}}],"metrics":[{good}]}}"#),
        r#"{"name":"plimsoll_x","kind":"gauge","value":1}"#.to_owned(),
        r#"{"name":"x","kind":"gauge","value":1,"labels":{"a":"\ud800"}}"#.to_owned(),
    ] {
        refuse(&app, &body, 422);
    }
    for body in ["", "{", r#"{"metrics":[]}"#, r#"{"metrics":[1,]}"#, r#"{"name":"x","kind":"gauge","value":NaN}"#] {
        refuse(&app, body, 400);
    }
    app.post(METRICS, JSON, b"\xff").expect_problem(400);
    app.post(METRICS, NDJSON, good.as_bytes()).expect_problem(415);
    refuse(&app, &json!({"metrics": vec![json!(1); 10_001]}).to_string(), 413);
    refuse(&app, &format!(r#"{{"name":"{}"}}"#, "a".repeat(5 << 20)), 413);
    assert_eq!(series(&app, "a"), Vec::<Value>::new());
    app.assert_unhurt();
}

#[test]
fn a_counter_never_becomes_infinite() {
    let app = spawn_app(&[]);
    let huge = json!({"name": "a", "kind": "counter", "value": f64::MAX});
    post(&app, &huge);
    assert_eq!(faulty_fields(&refuse(&app, &huge.to_string(), 422)), ["value"]);
    assert_eq!(value(&app, "a", &json!({})), Some(f64::MAX));
}

#[test]
fn series_are_capped_and_what_finds_no_room_is_named_and_counted() {
    let app = spawn_app(&[("metrics.max_series", "3"), ("metrics.max_metrics", "1")]);
    let item = |n: usize| json!({"name": "a", "kind": "counter", "value": 1, "labels": {"n": n.to_string()}});
    let answer = post(&app, &json!({"metrics": (0..5).map(item).collect::<Vec<_>>()}));
    assert_eq!(answer["accepted"], 3);
    let refused: Vec<_> = answer["refused"].as_array().unwrap().iter().map(|each| (&each["index"], &each["field"])).collect();
    assert_eq!(refused, [(&json!(3), &json!("labels")), (&json!(4), &json!("labels"))]);
    assert_eq!(faulty_fields(&refuse(&app, &item(9).to_string(), 422)), ["labels"]);
    assert_eq!(faulty_fields(&refuse(&app, r#"{"name":"b","kind":"gauge","value":1}"#, 422)), ["name"]);
    post(&app, &item(0));
    let metrics = app.health()["components"]["metrics"].clone();
    assert_eq!((&metrics["series_refused"], &metrics["writes"], &metrics["status"]), (&json!(4), &json!(4), &json!("ok")));
    // sources beyond the cap are counted together
    let errors: Vec<Value> = (0..5).map(|n| json!({"type": "error", "source": format!("e{n}"), "payload": {}})).collect();
    app.publish_many(&errors);
    let counted = series(&app, "errors_total");
    let sum: f64 = counted.iter().map(|series| series["value"].as_f64().unwrap()).sum();
    assert_eq!((counted.len(), sum), (4, 5.0), "{counted:?}");
    assert_eq!(value(&app, "errors_total", &json!({"source": "other"})), Some(3.0));
}

#[test]
fn an_event_has_changed_its_metrics_once_it_is_acknowledged() {
    let app = spawn_app(&[]);
    let none = json!({});
    assert_eq!(["trades_total", "cycles_total", "errors_total"].map(|name| value(&app, name, &none)), [Some(0.0); 3]);
    assert_eq!(series(&app, "portfolio_value_usd"), Vec::<Value>::new(), "nobody has told it");
    for n in 1..=20 {
        app.publish(
            &json!({"type": "trade_filled", "payload": {"symbol": "NIFTY", "side": "BUY", "qty": 2, "price": 10.25, "n": n}}),
        );
        assert_eq!(value(&app, "trades_total", &none), Some(f64::from(n)));
    }
    assert_eq!(value(&app, "trades_value_usd", &none), Some(410.0));
    let fno = json!({"source": "fno"});
    app.publish(&json!({"type": "cycle_start", "source": "fno", "timestamp": "2025-11-18T07:00:00Z", "payload": {}}));
    app.publish(&json!({"type": "cycle_end", "source": "fno", "timestamp": "2025-11-18T07:00:00.200Z", "payload": {}}));
    assert_eq!(one(&app, "cycle_duration_seconds", &fno)["sum"], 0.2);
    assert_eq!(value(&app, "cycles_total", &fno), Some(1.0));
    app.publish(&json!({"type": "api_latency", "payload": {"script_name": "order_monitor", "latency_ms": 120}}));
    assert_eq!(one(&app, "order_latency_seconds", &none)["sum"], 0.12);
}

#[test]
fn a_restart_forgets_what_was_counted_and_knows_what_was_told_last() {
    let mut app = spawn_app(&[]);
    let (none, account) = (json!({}), json!({"source": "dd", "profile_id": "7"}));
    let order = json!({"type": "order_event", "payload": {"order_id": "A", "symbol": "N", "side": "BUY", "status": "filled", "qty": 1, "price": 5}});
    app.publish(&order);
    let snapshot = json!({"account_equity": 1e6, "unrealized_pnl": -1.5, "realized_pnl": 3, "margin_used": 1, "margin_available": 2,
        "open_positions_count": 0});
    app.publish(&json!({"type": "equity_snapshot", "source": "dd", "profile_id": 7, "payload": snapshot}));
    post(&app, &json!({"name": "posted", "kind": "gauge", "value": 1}));
    let known = |app: &App| {
        ["portfolio_value_usd", "cash_balance_usd", "positions_count", "daily_pnl_usd"].map(|name| value(app, name, &account))
    };
    let expected = [Some(1e6), Some(2.0), Some(0.0), Some(1.5)];
    assert_eq!((known(&app), value(&app, "trades_total", &none)), (expected, Some(1.0)));
    app.kill9();
    app.restart();
    assert_eq!((known(&app), value(&app, "trades_total", &none)), (expected, Some(0.0)));
    assert_eq!(series(&app, "posted"), Vec::<Value>::new());
    app.publish(&json!({"type": "trade_filled", "payload": {"order_id": "A"}}));
    app.publish(&order);
    assert_eq!(value(&app, "trades_total", &none), Some(0.0), "it was counted before");
}

#[test]
fn posts_at_once_are_all_counted() {
    let app = spawn_app(&[]);
    std::thread::scope(|scope| {
        for client in 0..8 {
            let address = app.address;
            scope.spawn(move || {
                let mut connection = Connection::open(address).unwrap();
                let items: Vec<Value> = (0..50)
                    .map(|n| json!({"name": "a", "kind": "counter", "value": 1, "labels": {"n": (n % 5).to_string(), "client": client.to_string()}}))
                    .collect();
                let body = json!({"metrics": items}).to_string();
                for _ in 0..20 {
                    connection.post(METRICS, JSON, body.as_bytes()).unwrap().expect(200);
                }
            });
        }
    });
    let counted = series(&app, "a");
    assert_eq!(counted.len(), 8 * 5);
    assert!(counted.iter().all(|series| series["value"] == 200.0), "{counted:?}");
}
