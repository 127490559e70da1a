//! The ledger over restarts, kill -9, a failing database, and when it is off.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{App, eventually, spawn_app};
use crate::ledger::{UTC, five, get, snapshot, trade};

const WITHIN: Duration = Duration::from_secs(15);

fn file(app: &App) -> PathBuf {
    app.artifacts().join("ledger/ledger.db")
}

/// All that the ledger is asked.
fn figures(app: &App) -> Vec<Value> {
    let paths = ["metrics/breakout/1", "metrics/equity/1", "trades/1/performance", "trades/1"];
    paths.map(|path| get(app, &format!("{path}?as_of=2025-11-18"))).to_vec()
}

fn post_all(app: &App) {
    app.publish_many(&five());
    app.publish_many(&[snapshot(1, 100.0, "2025-11-18T01:00:00Z"), snapshot(1, 90.0, "2025-11-18T02:00:00Z")]);
}

#[test]
fn a_restart_and_a_lost_or_broken_file_change_no_figure() {
    let mut app = spawn_app(UTC);
    post_all(&app);
    let before = figures(&app);
    assert_eq!(app.terminate(), Some(0));
    app.restart();
    assert_eq!(figures(&app), before);
    assert_eq!(app.health()["components"]["ledger"]["status"], "ok");

    app.kill9();
    std::fs::remove_dir_all(app.artifacts().join("ledger")).unwrap();
    app.restart();
    assert_eq!(figures(&app), before, "made of the journal");

    app.kill9();
    for side in ["ledger.db-wal", "ledger.db-shm"] {
        let _ = std::fs::remove_file(file(&app).with_file_name(side));
    }
    std::fs::write(file(&app), vec![b'?'; 50_000]).unwrap();
    app.restart();
    assert_eq!(figures(&app), before, "made of the journal");
    let ledger = app.health()["components"]["ledger"].clone();
    assert_eq!(ledger["status"], "degraded", "{ledger}");
    let aside = file(&app).with_file_name(ledger["set_aside"].as_str().expect("a name"));
    assert_eq!(std::fs::read(aside).unwrap(), vec![b'?'; 50_000], "untouched");
}

#[test]
fn kill_9_loses_and_doubles_no_trade() {
    let mut app = spawn_app(&[("session.timezone", "UTC"), ("analytics.flush_interval", "20ms"), ("analytics.batch_size", "7")]);
    let mut total = 0;
    for round in 0..4 {
        for _ in 0..=round {
            let trades: Vec<_> = (0..50).map(|n| trade(&format!("S{n}"), ("09:00:00", "10:00:00"), json!({"pnl": 1}))).collect();
            app.publish_many(&trades);
            total += 50;
        }
        app.kill9();
        app.restart();
        let performance = get(&app, "trades/1/performance?as_of=2025-11-18");
        assert_eq!((&performance["total_trades"], &performance["total_pnl"]), (&json!(total), &json!(total)), "round {round}");
    }
}

#[test]
fn a_ledger_that_outlived_its_journal_goes_on() {
    let mut app = spawn_app(UTC);
    post_all(&app);
    figures(&app);
    assert_eq!(app.terminate(), Some(0));
    std::fs::remove_dir_all(app.artifacts().join("journal")).unwrap();
    app.restart();
    app.publish(&trade("SPY", ("05:00:00", "06:00:00"), json!({"pnl": 100})));
    let performance = get(&app, "trades/1/performance?as_of=2025-11-18");
    assert_eq!((&performance["total_trades"], &performance["total_pnl"]), (&json!(6), &json!(136)));
}

#[test]
fn a_database_that_fails_is_said_so_and_comes_back_by_itself() {
    let app = spawn_app(&[("session.timezone", "UTC"), ("analytics.flush_interval", "50ms")]);
    post_all(&app);
    let before = figures(&app);
    std::fs::remove_file(file(&app)).unwrap();
    std::fs::create_dir(file(&app)).unwrap();
    eventually("it is noticed", WITHIN, || app.get("/api/v1/trades/1").status() == 503);
    // it is opened again and again, and fails each time
    app.publish(&trade("SPY", ("05:00:00", "06:00:00"), json!({"pnl": 100})));
    let answer = app.get("/api/v1/metrics/breakout/1");
    let problem = answer.expect_problem(503);
    assert!(answer.header("retry-after").is_some());
    assert!(!problem.to_string().contains(app.folder().to_str().unwrap()), "no path of the host in {problem}");
    let health = app.get("/health").expect(200);
    assert_eq!((&health["status"], &health["components"]["ledger"]["status"]), (&json!("degraded"), &json!("failing")));
    assert!(health["components"]["ledger"]["failure"].is_string(), "{health}");
    assert_eq!(app.get("/health/ready").status(), 200, "events are taken");

    std::fs::remove_dir(file(&app)).unwrap();
    eventually("it comes back", WITHIN, || app.get("/api/v1/trades/1").status() == 200);
    let after = figures(&app);
    assert_eq!(after[1], before[1]);
    assert_eq!(after[2]["total_trades"], 6, "what was posted meanwhile is in it");
    assert_eq!(app.health()["status"], "ok");
}

#[test]
fn a_ledger_that_is_off_says_which_key_turns_it_on() {
    let app = spawn_app(&[("analytics.enabled", "false")]);
    post_all(&app);
    for path in ["metrics/breakout/1", "metrics/equity/1", "trades/1", "trades/1/performance"] {
        let problem = app.get(&format!("/api/v1/{path}")).expect_problem(503);
        assert!(problem["detail"].as_str().unwrap().contains("analytics.enabled"), "{problem}");
    }
    assert_eq!(app.health()["status"], "ok");
    assert!(!file(&app).exists());
}

#[test]
fn a_ledger_in_memory_answers_too() {
    let app = spawn_app(&[("session.timezone", "UTC"), ("journal.durability", "memory")]);
    post_all(&app);
    assert_eq!(get(&app, "trades/1/performance?as_of=2025-11-18")["total_pnl"], 36);
    assert!(!file(&app).exists());
}

#[test]
fn another_time_zone_regroups_what_is_there() {
    let mut app = spawn_app(UTC);
    app.publish(&trade("A", ("20:00:00", "20:30:00"), json!({"pnl": 1})));
    let count = |app: &App, day: &str| get(app, &format!("trades/1/performance?days=1&as_of={day}"))["total_trades"].clone();
    assert_eq!(count(&app, "2025-11-18"), 1);
    assert_eq!(app.terminate(), Some(0));
    let config = app.folder().join("config.yaml");
    let text = std::fs::read_to_string(&config).unwrap().replace("timezone: UTC", "timezone: UTC\n  roll_time: \"20:15\"");
    std::fs::write(&config, text).unwrap();
    app.restart();
    assert_eq!((count(&app, "2025-11-18"), count(&app, "2025-11-19")), (json!(0), json!(1)));
}

/// Waits until the journal has deleted all it had.
fn purge(app: &App) {
    eventually("the journal is purged", WITHIN, || app.stats()["journal"]["events"] == 0);
}

#[test]
fn what_neither_ledger_nor_journal_has_is_never_answered_as_if_there_was_nothing() {
    let settings = [("session.timezone", "UTC"), ("journal.max_age", "1s"), ("journal.retention_interval", "100ms")];
    let mut app = spawn_app(&settings);
    post_all(&app);
    let before = figures(&app);
    assert_eq!(before[2]["complete_from"], Value::Null, "a new installation lacks nothing");
    purge(&app);
    assert_eq!(app.terminate(), Some(0));
    app.restart();
    assert_eq!(
        (figures(&app), &app.health()["components"]["ledger"]["status"]),
        (before, &json!("ok")),
        "it outlives the journal"
    );

    assert_eq!(app.terminate(), Some(0));
    std::fs::remove_dir_all(app.artifacts().join("ledger")).unwrap();
    app.restart();
    let check = |app: &App| {
        let after = figures(app);
        assert!(after[..3].iter().all(|answer| answer["complete_from"].is_string()), "{after:?}");
        assert_eq!((&after[0]["total_trades"], &after[2]["total_trades"]), (&Value::Null, &Value::Null));
        let orders = get(app, "metrics/orders/1");
        assert_eq!((&orders["total_orders"], &orders["complete_from"]), (&Value::Null, &after[2]["complete_from"]));
        let list = app.get("/api/v1/trades/1?as_of=2025-11-18");
        assert_eq!(list.header("complete-from"), after[2]["complete_from"].as_str());
        let ledger = app.health()["components"]["ledger"].clone();
        assert_eq!((&ledger["status"], &ledger["complete_from"]), (&json!("degraded"), &after[2]["complete_from"]), "{ledger}");
        assert!(ledger["missed_until"].is_string(), "{ledger}");
    };
    check(&app);
    app.kill9();
    app.restart();
    check(&app);
    app.publish(&trade("SPY", ("05:00:00", "06:00:00"), json!({"pnl": 100})));
    let performance = get(&app, "trades/1/performance?as_of=2025-11-18");
    assert_eq!((&performance["total_trades"], &performance["losing_trades"]), (&json!(1), &json!(0)));
    assert!(performance["complete_from"].is_string(), "{performance}");
    let later = get(&app, "trades/1/performance?days=1&as_of=2200-01-01");
    assert_eq!((&later["total_trades"], &later["complete_from"]), (&json!(0), &Value::Null), "its window lacks nothing");
}

#[test]
fn damage_that_a_question_meets_is_answered_503_and_the_file_is_set_aside_and_made_anew() {
    let mut app = spawn_app(UTC);
    post_all(&app);
    let before = figures(&app);
    assert_eq!(app.terminate(), Some(0));
    // of a table that no start looks into
    let raw = rusqlite::Connection::open(file(&app)).unwrap();
    let page: u64 =
        raw.query_row("select rootpage from sqlite_schema where name = 'dd_trades_by_exit'", [], |row| row.get(0)).unwrap();
    raw.query_row("pragma wal_checkpoint(truncate)", [], |_| Ok(())).unwrap();
    drop(raw);
    let mut bytes = std::fs::read(file(&app)).unwrap();
    let place = usize::try_from((page - 1) * 8192).unwrap();
    bytes[place..place + 8192].fill(0xA5);
    std::fs::write(file(&app), bytes).unwrap();
    app.restart();
    app.get("/api/v1/trades/1?as_of=2025-11-18").expect_problem(503);
    eventually("it is made anew", WITHIN, || app.get("/api/v1/trades/1?as_of=2025-11-18").status() == 200);
    assert_eq!(figures(&app), before);
    let ledger = app.health()["components"]["ledger"].clone();
    assert_eq!((&ledger["status"], &ledger["failure"]), (&json!("degraded"), &Value::Null), "{ledger}");
    assert!(file(&app).with_file_name(ledger["set_aside"].as_str().expect("a name")).exists());
}
