//! `GET /metrics`: the text, what is in it, and that the documentation names exactly that.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::json;

use crate::exposition::{Exposition, documented};
use crate::harness::{App, eventually, spawn_app};

/// What a service says that has been told of everything there is to know.
fn told() -> App {
    let app = spawn_app(&[("risk.starting_capital", "100000"), ("session.timezone", "UTC")]);
    let beat = app.post("/api/telemetry/engines/fno/heartbeat", "application/json", br#"{"status":"running","pid":1}"#);
    assert!(beat.head.status < 300, "{:?}", beat.head);
    app.publish(&snapshot(100_000, 0));
    app.publish(
        &json!({"type": "trade_filled", "source": "fno", "payload": {"symbol": "NIFTY", "side": "BUY", "qty": 1, "price": 10}}),
    );
    // what the predefined metrics of engines follow from
    let fno = |event_type: &str, payload: serde_json::Value| json!({"type": event_type, "source": "fno", "payload": payload});
    app.publish_many(&[
        fno("decision_made", json!({})),
        fno("error", json!({})),
        fno("cycle_end", json!({"duration_seconds": 0.25})),
        fno("api_latency", json!({"script_name": "order_monitor", "latency_ms": 120})),
    ]);
    app.publish(&json!({"type": "performance_update", "source": "fno", "profile_id": 1, "payload": {"metrics": {
        "equity": 100_000, "cash": 50_000, "open_positions": 1, "daily_pnl": -5,
    }}}));
    app
}

fn snapshot(equity: i64, realized: i64) -> serde_json::Value {
    json!({"type": "equity_snapshot", "source": "fno", "payload": {
        "account_equity": equity, "unrealized_pnl": 0, "realized_pnl": realized,
        "margin_used": 0, "margin_available": 0, "open_positions_count": 0,
    }})
}

fn scrape(app: &App) -> Exposition {
    let answer = app.get("/metrics");
    assert_eq!(answer.head.status, 200, "{}", String::from_utf8_lossy(&answer.body));
    Exposition::parse(std::str::from_utf8(&answer.body).expect("UTF-8"))
}

/// Scrapes until `holds`.
#[track_caller]
fn scrape_until(app: &App, what: &str, holds: impl Fn(&Exposition) -> bool) -> Exposition {
    let mut metrics = scrape(app);
    eventually(what, Duration::from_secs(15), || {
        metrics = scrape(app);
        holds(&metrics)
    });
    metrics
}

#[test]
fn every_documented_metric_exists_with_its_type_and_labels_and_no_other() {
    let app = told();
    let documented = documented();
    let metrics =
        scrape_until(&app, "everything is known", |metrics| documented.keys().all(|name| metrics.families.contains_key(name)));
    let shown: BTreeMap<_, _> =
        metrics.families.iter().map(|(name, family)| (name.clone(), (family.kind.clone(), family.labels()))).collect();
    for (name, family) in &documented {
        let (kind, labels) = shown.get(name).unwrap_or_else(|| panic!("{name} is documented, but not shown"));
        assert_eq!((kind, labels), (&family.kind, &family.labels), "{name}");
    }
    let undocumented: Vec<_> = shown.keys().filter(|name| !documented.contains_key(*name)).collect();
    assert!(undocumented.is_empty(), "docs/metrics.md lacks {undocumented:?}");
}

#[test]
fn the_text_is_of_the_format_that_scrapers_read_and_head_has_its_head() {
    let app = spawn_app(&[]);
    let answer = app.get("/metrics");
    assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    Exposition::parse(std::str::from_utf8(&answer.body).expect("UTF-8")).check();
    let mut connection = app.connect();
    connection.request("HEAD", "/metrics", &[("Connection", "close")], b"").expect("sent");
    let head = String::from_utf8(connection.until_closed().expect("a head")).expect("UTF-8");
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert!(head.to_ascii_lowercase().contains("content-type: text/plain; version=0.0.4; charset=utf-8\r\n"), "{head}");
    assert!(head.ends_with("\r\n\r\n"), "{head}");
    app.post("/metrics", "application/json", b"{}").expect_problem(405);
    app.assert_unhurt();
}

#[test]
fn events_are_counted_by_type_and_posts_by_what_became_of_them() {
    let app = spawn_app(&[]);
    let before = scrape(&app);
    assert_eq!(before.value("plimsoll_events_total", &[("type", "cycle_start")]), Some(0.0));
    assert_eq!(before.value("plimsoll_events_total", &[("type", "my.own-type")]), None, "it is not known yet");
    app.publish(&json!({"type": "CYCLE_START", "payload": {}}));
    app.publish(&json!({"type": "my.own-type", "payload": {}, "event_id": "1"}));
    app.publish(&json!({"type": "my.own-type", "payload": {}, "event_id": "1"}));
    app.publish_many(&[json!({"type": "cycle_start", "payload": {}}), json!({"type": "cycle_end", "payload": {}})]);
    app.ndjson("{\"type\":\"cycle_end\",\"payload\":{}}\n").expect(201);
    app.post_json("{").expect_problem(400);
    app.post_json(r#"{"type":"order_event","payload":{}}"#).expect_problem(422);
    app.post_json(r#"[{"type":"cycle_end","payload":{}},{"type":"!"},7]"#).expect(207);
    let long = format!(r#"{{"type":"cycle_end","payload":{{"x":"{}"}}}}"#, "x".repeat(300_000));
    app.post_json(&long).expect_problem(413);
    app.ndjson(&format!("{{\"type\":\"cycle_end\",\"payload\":{{}}}}\n{long}\n")).expect(207);
    let metrics = scrape(&app);
    let events = |event_type: &str| metrics.value("plimsoll_events_total", &[("type", event_type)]);
    assert_eq!(
        (events("cycle_start"), events("cycle_end"), events("my.own-type"), events("other")),
        (Some(2.0), Some(4.0), Some(1.0), Some(0.0))
    );
    assert_eq!(metrics.value("plimsoll_events_duplicate_total", &[]), Some(1.0));
    let rejected = |reason: &str| metrics.value("plimsoll_events_rejected_total", &[("reason", reason)]);
    assert_eq!((rejected("malformed"), rejected("unacceptable"), rejected("too_large")), (Some(2.0), Some(2.0), Some(2.0)));
    let posts = |form: &str| metrics.value("plimsoll_ingest_seconds_count", &[("form", form)]);
    assert_eq!((posts("one"), posts("array"), posts("ndjson")), (Some(3.0), Some(2.0), Some(2.0)), "those that were taken");
    let commits = metrics.value("plimsoll_journal_commit_seconds_count", &[]);
    assert_eq!(commits, metrics.value("plimsoll_journal_commits_total", &[]));
    assert_eq!(commits, metrics.value("plimsoll_journal_commit_events_count", &[]));
    assert_eq!(metrics.value("plimsoll_journal_commit_events_sum", &[]), Some(8.0), "the duplicate was in a commit too");
}

#[test]
fn types_that_engines_make_up_are_counted_in_bounded_series() {
    let app = spawn_app(&[]);
    let junk: Vec<_> = (0..1_000).map(|number| json!({"type": format!("junk_{number}"), "payload": {}})).collect();
    app.publish_many(&junk);
    app.publish(&json!({"type": "quote_stale", "payload": {}}));
    let metrics = scrape(&app);
    assert!(metrics.families["plimsoll_events_total"].samples.len() < 300);
    assert_eq!(metrics.value("plimsoll_events_total", &[("type", "other")]), Some(800.0));
    assert_eq!(metrics.value("plimsoll_events_total", &[("type", "quote_stale")]), Some(1.0));
    assert_eq!(metrics.sum("plimsoll_events_total"), 1_001.0);
}

#[test]
fn a_stream_is_counted_while_it_is_open_and_what_it_was_given_live() {
    let app = spawn_app(&[]);
    app.publish(&json!({"type": "cycle_start", "payload": {}}));
    let delivered = |metrics: &Exposition| metrics.value("plimsoll_delivery_seconds_count", &[]).expect("a count");
    {
        let mut stream = app.stream("replay=1");
        stream.block();
        stream.event();
        let metrics = scrape(&app);
        assert_eq!(metrics.value("plimsoll_sse_clients", &[]), Some(1.0));
        assert_eq!(delivered(&metrics), 0.0, "what was there before is not late");
        app.publish(&json!({"type": "cycle_end", "payload": {}}));
        stream.event();
        let metrics = scrape(&app);
        assert_eq!(delivered(&metrics), 1.0);
        let took = metrics.value("plimsoll_delivery_seconds_sum", &[]).expect("a sum");
        assert!(took >= 0.0, "{took}");
    }
    let metrics = scrape_until(&app, "the client is gone", |metrics| metrics.value("plimsoll_sse_clients", &[]) == Some(0.0));
    let closed = |reason: &str| metrics.value("plimsoll_sse_closed_total", &[("reason", reason)]);
    assert_eq!((closed("client"), closed("slow"), closed("stalled")), (Some(1.0), Some(0.0), Some(0.0)));
    assert_eq!(metrics.value("plimsoll_sse_opened_total", &[]), Some(1.0));
}

fn beat(app: &App, engine: &str) {
    let path = format!("/api/telemetry/engines/{engine}/heartbeat");
    assert!(app.post(&path, "application/json", br#"{"status":"running"}"#).head.status < 300);
}

/// Whether an engine is up, and whether it is stale.
fn up_and_stale(metrics: &Exposition, engine: &str) -> [Option<f64>; 2] {
    ["plimsoll_engine_up", "plimsoll_engine_stale"].map(|metric| metrics.value(metric, &[("engine", engine)]))
}

#[test]
fn an_engine_that_beats_is_up_until_it_says_that_it_stopped() {
    let app = spawn_app(&[("engines.stale_after", "1h"), ("engines.rest_after", "1h")]);
    beat(&app, "fno");
    assert_eq!(up_and_stale(&scrape(&app), "fno"), [Some(1.0), Some(0.0)]);
    assert!(app.post("/api/telemetry/engines/fno/stopped", "application/json", b"{}").head.status < 300);
    let metrics = scrape(&app);
    assert_eq!(up_and_stale(&metrics, "fno"), [Some(0.0), Some(0.0)]);
    let in_state = |state: &str| metrics.value("plimsoll_engines", &[("state", state)]);
    assert_eq!((in_state("stopped"), in_state("running")), (Some(1.0), Some(0.0)));
}

#[test]
fn an_engine_whose_beats_are_missing_is_stale_and_one_that_stopped_owes_none() {
    let app = spawn_app(&[("engines.stale_after", "1s")]);
    beat(&app, "silent");
    beat(&app, "done");
    assert!(app.post("/api/telemetry/engines/done/stopped", "application/json", b"{}").head.status < 300);
    let metrics = scrape_until(&app, "silence is seen", |metrics| up_and_stale(metrics, "silent") == [Some(0.0), Some(1.0)]);
    assert_eq!(up_and_stale(&metrics, "done"), [Some(0.0), Some(0.0)]);
    assert!(metrics.value("plimsoll_engine_heartbeat_age_seconds", &[("engine", "silent")]) > Some(1.0));
    let in_state = |state: &str| metrics.value("plimsoll_engines", &[("state", state)]);
    assert_eq!((in_state("stale"), in_state("stopped"), in_state("running")), (Some(1.0), Some(1.0), Some(0.0)));
}

#[test]
fn risk_is_absent_until_it_is_known_and_then_as_the_api_tells_it() {
    let app =
        spawn_app(&[("risk.max_daily_loss_abs", "1000"), ("risk.max_daily_drawdown_pct", "50"), ("session.timezone", "UTC")]);
    let rebuilt = |metrics: &Exposition| metrics.value("plimsoll_risk_rebuilding", &[]) == Some(0.0);
    let metrics = scrape_until(&app, "the day is read", rebuilt);
    let absent =
        ["plimsoll_risk_daily_pnl", "plimsoll_risk_equity", "plimsoll_risk_drawdown_ratio", "plimsoll_risk_limit_current"];
    for name in absent {
        assert!(!metrics.families.contains_key(name), "{name} is not known");
    }
    let loss = |metrics: &Exposition, state: &str| {
        metrics.value("plimsoll_risk_limit_state", &[("limit", "max_daily_loss"), ("state", state)])
    };
    assert_eq!(loss(&metrics, "unknown"), Some(1.0));
    assert_eq!(metrics.value("plimsoll_risk_new_positions_allowed", &[]), Some(0.0), "it fails closed");
    app.publish(&snapshot(100_000, 0));
    app.publish(&json!({"type": "equity_snapshot", "source": "fno", "payload": {
        "account_equity": 99_099.9, "unrealized_pnl": 0, "realized_pnl": -900.1,
        "margin_used": 0, "margin_available": 0, "open_positions_count": 0,
    }}));
    let metrics = scrape(&app);
    assert_eq!(metrics.value("plimsoll_risk_daily_pnl", &[]), Some(-900.1));
    assert_eq!(metrics.value("plimsoll_risk_equity", &[]), Some(99_099.9));
    assert_eq!(metrics.value("plimsoll_risk_drawdown_ratio", &[]), Some(0.009_001));
    let of_loss = [("limit", "max_daily_loss"), ("unit", "rupees")];
    assert_eq!(metrics.value("plimsoll_risk_limit_current", &of_loss), Some(900.1));
    assert_eq!(metrics.value("plimsoll_risk_limit", &of_loss), Some(1_000.0));
    assert_eq!(metrics.value("plimsoll_risk_limit_utilization_ratio", &[("limit", "max_daily_loss")]), Some(0.9001));
    assert_eq!((loss(&metrics, "warning"), loss(&metrics, "breached")), (Some(1.0), Some(0.0)));
    app.publish(&snapshot(98_000, -2_000));
    let metrics = scrape(&app);
    assert_eq!((loss(&metrics, "warning"), loss(&metrics, "breached")), (Some(0.0), Some(1.0)));
    assert_eq!(metrics.value("plimsoll_risk_limit_utilization_ratio", &[("limit", "max_daily_loss")]), Some(2.0));
}

#[test]
fn exactly_one_state_of_the_kill_switch_is_set() {
    let app = spawn_app(&[]);
    let states = |metrics: &Exposition| {
        ["active", "reducing", "halted"].map(|state| metrics.value("plimsoll_kill_switch_state", &[("state", state)]))
    };
    assert_eq!(states(&scrape(&app)), [Some(1.0), Some(0.0), Some(0.0)]);
    let order = br#"{"state":"halted","reason":"a test","actor":"me"}"#;
    app.post("/api/risk/kill-switch", "application/json", order).expect(200);
    assert_eq!(states(&scrape(&app)), [Some(0.0), Some(0.0), Some(1.0)]);
}

#[test]
fn every_queue_tells_its_use_its_limit_and_whom_it_refused() {
    let app = spawn_app(&[]);
    let metrics = scrape(&app);
    let queues = |name: &str| -> BTreeSet<String> {
        metrics.families[name].samples.iter().map(|sample| sample.labels["queue"].clone()).collect()
    };
    assert_eq!(queues("plimsoll_queue_used"), queues("plimsoll_queue_limit"));
    assert_eq!(queues("plimsoll_queue_used"), queues("plimsoll_queue_refused_total"));
    let events = [("queue", "events"), ("unit", "bytes")];
    assert_eq!(metrics.value("plimsoll_queue_limit", &events), Some(f64::from(64 << 20)));
    assert_eq!(metrics.value("plimsoll_queue_used", &[("queue", "metrics_pages"), ("unit", "requests")]), Some(1.0), "this one");
    for limit in &metrics.families["plimsoll_queue_limit"].samples {
        let labels: Vec<_> = limit.labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert!(metrics.value("plimsoll_queue_used", &labels).expect("a use") <= limit.value, "{labels:?}");
    }
}
