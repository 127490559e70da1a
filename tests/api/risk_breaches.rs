//! Breaches: raised, told on the stream, cleared; the same after a kill, and nothing told twice.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::harness::{App, eventually, spawn_app, spawn_app_on_a_stable_port};
use crate::http::PATIENCE;
use crate::risk_status::{rebuilt, stated, trade};

#[track_caller]
fn breaches(app: &App) -> Vec<Value> {
    app.get("/api/risk/breaches").expect(200).as_array().expect("an array").clone()
}

/// What was told of breaches and warnings, oldest first.
fn findings(app: &App) -> Vec<Value> {
    app.all_events(
        "source=plimsoll&event_type=risk_breach,risk_breach_cleared,daily_loss_warning,drawdown_warning,position_limit_warning",
    )
}

#[track_caller]
fn await_findings(app: &App, types: &[&str]) {
    let told = || findings(app).iter().map(|event| event["type"].as_str().expect("a type").to_owned()).collect::<Vec<_>>();
    eventually("the findings are told", PATIENCE, || told() == types);
}

#[test]
fn a_breach_is_told_on_the_stream_and_ends_with_its_cause() {
    let app = spawn_app(&[("risk.max_daily_loss_abs", "1000"), ("risk.max_daily_drawdown_pct", "90")]);
    rebuilt(&app);
    let mut stream = app.stream("event_type=risk_breach,risk_breach_cleared,daily_loss_warning");
    stream.block();
    app.publish(&stated(-850.0, 0.0));
    let warning = stream.event();
    assert_eq!(
        (warning.json()["type"].as_str(), warning.json()["payload"]["utilization_pct"].as_f64()),
        (Some("daily_loss_warning"), Some(85.0))
    );
    app.publish(&stated(-600.0, -400.5));
    let raised = stream.event();
    let (raised, current) = (raised.json(), breaches(&app));
    assert_eq!((raised["type"].as_str(), raised["severity"].as_str()), (Some("risk_breach"), Some("critical")));
    assert_eq!(current.len(), 1);
    let breach = &current[0];
    assert_eq!(breach, &raised["payload"]);
    assert_eq!((&breach["type"], &breach["current"], &breach["limit"]), (&json!("max_daily_loss"), &json!(1000.5), &json!(1000)));
    assert_eq!(
        (&breach["unit"], &breach["symbol"], &breach["utilization_pct"]),
        (&json!("rupees"), &Value::Null, &json!(100.05))
    );
    app.publish(&stated(-1010.0, 0.0));
    let grown = breaches(&app);
    assert_eq!((&grown[0]["current"], &grown[0]["since"]), (&json!(1010), &breach["since"]), "the newest figure, the same since");
    app.publish(&stated(-1000.0, 0.0));
    let cleared = stream.event();
    assert_eq!(
        (cleared.json()["type"].as_str(), &cleared.json()["payload"]["since"]),
        (Some("risk_breach_cleared"), &breach["since"])
    );
    assert_eq!(breaches(&app), Vec::<Value>::new());
}

#[test]
fn after_a_kill_the_breaches_are_the_same_and_nothing_is_told_twice() {
    let settings =
        [("risk.max_daily_loss_abs", "1000"), ("risk.max_trades_per_symbol_per_day", "2"), ("risk.max_daily_drawdown_pct", "90")];
    let mut app = spawn_app_on_a_stable_port(&settings);
    rebuilt(&app);
    app.publish(&stated(-1500.0, 0.0));
    app.publish_many(&[trade("NIFTY", 1.0), trade("NIFTY", 1.0), trade("NIFTY", 1.0)]);
    await_findings(&app, &["risk_breach", "position_limit_warning", "risk_breach"]);
    let (before, told) = (breaches(&app), findings(&app));
    assert_eq!(before.len(), 2);
    for _ in 0..2 {
        app.kill9();
        app.restart();
        rebuilt(&app);
        assert_eq!(breaches(&app), before);
    }
    // findings keep their order, so what is told before this one is told by now
    app.publish(&stated(-10.0, 0.0));
    await_findings(&app, &["risk_breach", "position_limit_warning", "risk_breach", "risk_breach_cleared"]);
    let after = findings(&app);
    assert_eq!(&after[..3], &told[..]);
    assert_eq!(after[3]["payload"]["since"], before[0]["since"]);
}

#[test]
fn a_kill_at_any_moment_leaves_a_story_that_fits_the_breaches() {
    let rounds = std::env::var("PLIMSOLL_CRASH_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(4);
    let mut app = spawn_app_on_a_stable_port(&[("risk.max_daily_loss_abs", "1000"), ("risk.max_daily_drawdown_pct", "90")]);
    rebuilt(&app);
    for round in 0..rounds {
        // the last of these findings may or may not have reached the journal
        for loss in [1_200.0, 500.0, 1_400.0, 0.0, 3_000.0].into_iter().take(1 + round % 5) {
            app.publish(&stated(-loss, 0.0));
        }
        app.kill9();
        app.restart();
        rebuilt(&app);
    }
    app.publish(&stated(-9_000.0, 0.0));
    let current = breaches(&app);
    eventually("the last step is told", PATIENCE, || {
        findings(&app).last().is_some_and(|event| event["payload"]["current"] == 9_000)
    });
    let story: Vec<String> = findings(&app)
        .iter()
        .map(|event| format!("{} {} {}", event["type"], event["payload"]["current"], event["payload"]["since"]))
        .collect();
    let mut open = BTreeMap::new();
    let mut ids = Vec::new();
    for event in findings(&app) {
        let (told, since) = (&event["payload"], event["payload"]["since"].clone());
        ids.push(event["event_id"].to_string());
        let kind = told["type"].as_str().expect("a type").to_owned();
        match event["type"].as_str() {
            Some("risk_breach") => {
                assert!(open.insert(kind, since.clone()).is_none_or(|before| before == since), "{event}\n{story:#?}")
            }
            Some("risk_breach_cleared") => assert_eq!(open.remove(&kind), Some(since), "{event}\n{story:#?}"),
            _ => {}
        }
    }
    assert_eq!(open.get("max_daily_loss"), Some(&current[0]["since"]));
    let count = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), count, "each was told once");
}
