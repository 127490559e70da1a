//! Files that engines leave in `artifacts/telemetry`: they become events, and broken ones are shown in `/health`.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::harness::{App, Settings, eventually, spawn_app};

const PATIENCE: Duration = Duration::from_secs(20);
const HEARTBEATS: &str = "event_type=engine_heartbeat";

/// As engines in the field write them.
const FNO: &str = r#"{"name": "fno", "mode": "paper", "pid": 6837, "status": "stopped", "started_at": "2024-08-23T09:14:50.032514", "last_heartbeat": "2024-08-23T15:29:59.067206", "loop_tick": 375, "universe_size": 2, "open_positions": 2, "last_error": null}"#;
const EQUITY: &str = r#"{"name": "equity", "mode": "paper", "pid": 9829, "status": "error", "started_at": "2024-08-23T13:05:07", "last_heartbeat": "2024-08-23T13:05:07.000273", "loop_tick": 412, "universe_size": 50, "open_positions": 1, "last_error": "LTP feed: connection reset"}"#;
const OPTIONS: &str = r#"{"name": "options", "mode": "paper", "pid": 9829, "status": "running", "started_at": "2024-08-23T13:05:07.000687", "last_heartbeat": "2024-08-23T13:05:07.000776", "loop_tick": 77, "universe_size": 3, "open_positions": 0, "last_error": null}"#;

/// A service whose folder of engine files is there.
fn spawn(settings: Settings<'_>) -> App {
    let app = spawn_app(settings);
    fs::create_dir_all(folder(&app)).unwrap();
    app
}

fn folder(app: &App) -> PathBuf {
    app.artifacts().join("telemetry")
}

/// Writes a file as careful engines do: aside, then moved into its place.
fn put(app: &App, file: &str, text: impl AsRef<[u8]>) {
    let aside = app.folder().join(format!("{file}.tmp"));
    fs::write(&aside, text).unwrap();
    fs::rename(aside, folder(app).join(file)).unwrap();
}

fn set_time(path: &Path, seconds: u64) {
    let file = fs::File::options().write(true).open(path).unwrap();
    file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)).unwrap();
}

fn beat(name: &str, tick: usize) -> String {
    json!({"name": name, "status": "running", "loop_tick": tick}).to_string()
}

/// The payloads of all heartbeats, oldest first, once there are so many.
#[track_caller]
fn heartbeats(app: &App, count: usize) -> Vec<Value> {
    eventually("the heartbeats are there", PATIENCE, || app.all_ids(HEARTBEATS).len() >= count);
    let events = app.all_events(HEARTBEATS);
    assert_eq!(events.len(), count, "{events:#?}");
    events.into_iter().map(|event| event["payload"].clone()).collect()
}

#[track_caller]
fn broken_within(app: &App, files: &[&str]) -> Vec<Value> {
    let broken = || app.health()["components"]["artifacts"]["broken"].as_array().unwrap().clone();
    eventually("the broken files are shown", PATIENCE, || {
        broken().iter().map(|fault| fault["file"].as_str().unwrap().to_owned()).collect::<Vec<_>>() == files
    });
    broken()
}

/// Healthy, and no actor panicked.
#[track_caller]
fn assert_well(app: &App) {
    let health = app.health();
    assert_eq!(health["status"], "ok", "{health}");
    assert!(!app.process.log().contains("panic"), "{}", app.process.log());
}

#[test]
fn the_files_of_engines_in_the_field_become_heartbeats_without_loss() {
    let app = spawn(&[]);
    for (file, text) in [("fno_engine.json", FNO), ("equity_engine.json", EQUITY), ("options_engine.json", OPTIONS)] {
        put(&app, file, text);
        set_time(&folder(&app).join(file), 1_724_407_200);
    }
    eventually("all three beat", PATIENCE, || app.all_ids(HEARTBEATS).len() == 3);
    let events = app.all_events(HEARTBEATS);
    assert!(events.iter().all(|event| event["source"] == "plimsoll"), "{events:#?}");
    for (text, started_at, last_heartbeat) in [
        (FNO, "2024-08-23T03:44:50.032514Z", "2024-08-23T09:59:59.067206Z"),
        (EQUITY, "2024-08-23T07:35:07.000000Z", "2024-08-23T07:35:07.000273Z"),
        (OPTIONS, "2024-08-23T07:35:07.000687Z", "2024-08-23T07:35:07.000776Z"),
    ] {
        let mut expected: Value = serde_json::from_str(text).unwrap();
        expected["started_at"] = started_at.into();
        expected["last_heartbeat"] = last_heartbeat.into();
        expected["file"] = format!("{}_engine.json", expected["name"].as_str().unwrap()).into();
        let found = events.iter().rfind(|event| event["payload"]["name"] == expected["name"]).unwrap();
        assert_eq!(found["payload"], expected);
        assert!(
            found["timestamp"].as_str().unwrap() <= "2024-08-23T16:00:00Z",
            "no fresher than it says, whenever it was put here"
        );
        assert_ne!(app.engine(expected["name"].as_str().unwrap())["state"], "running");
    }
    assert_eq!(app.health()["components"]["artifacts"]["status"], "ok");
}

#[test]
fn a_change_is_told_at_once_and_not_only_by_polling() {
    let mut app = spawn(&[("files.poll_interval", "1h")]);
    // the folder was made while the service ran: without a poll only a restart sees it
    assert_eq!(app.terminate(), Some(0));
    app.restart();
    let mut stream = app.stream(HEARTBEATS);
    stream.block();
    put(&app, "fno_engine.json", beat("fno", 1));
    assert_eq!(stream.event().json()["payload"]["loop_tick"], 1);
    // written in place
    fs::write(folder(&app).join("fno_engine.json"), beat("fno", 2)).unwrap();
    assert_eq!(stream.event().json()["payload"]["loop_tick"], 2);
}

#[test]
fn polling_finds_what_the_system_does_not_tell() {
    let app = spawn(&[("files.poll_interval", "50ms")]);
    put(&app, "fno_engine.json", beat("fno", 1));
    heartbeats(&app, 1);
    // a second name for a file is no write
    fs::write(app.folder().join("aside"), beat("equity", 7)).unwrap();
    fs::hard_link(app.folder().join("aside"), folder(&app).join("equity_engine.json")).unwrap();
    assert_eq!(heartbeats(&app, 2)[1]["loop_tick"], 7);
}

#[test]
fn a_half_written_file_is_read_when_it_is_complete_and_is_never_reported() {
    let app = spawn(&[]);
    let path = folder(&app).join("fno_engine.json");
    let mut stream = app.stream(HEARTBEATS);
    stream.block();
    for tick in 0..20 {
        let text = beat("fno", tick);
        fs::write(&path, &text[..text.len() / 2]).unwrap();
        fs::write(&path, text).unwrap();
        assert_eq!(stream.event().json()["payload"]["loop_tick"], tick);
    }
    assert_eq!(app.health()["components"]["artifacts"]["broken"], json!([]));
    assert!(!app.process.log().contains("not understood"), "{}", app.process.log());
}

#[test]
fn broken_files_are_shown_with_the_reason_and_hide_no_good_one() {
    let app = spawn(&[("files.poll_interval", "100ms")]);
    let secret = app.folder().join("secret");
    fs::write(&secret, beat("link", 1)).unwrap();
    put(&app, "a_half_engine.json", r#"{"name": "a_half", "pi"#);
    put(&app, "b_empty_engine.json", "");
    put(&app, "c_text_engine.json", b"\xff\xfe not json");
    put(&app, "d_types_engine.json", r#"{"pid": "many", "status": "dancing", "loop_tick": []}"#);
    put(&app, "e_huge_engine.json", vec![b' '; (1 << 20) + 1]);
    put(&app, "f_other_engine.json", beat("fno", 1));
    put(&app, "g space_engine.json", "{}");
    put(&app, "h_nan_engine.json", r#"{"loop_tick": NaN}"#);
    put(&app, "i_deep_engine.json", format!(r#"{{"x":{}1{}}}"#, "[".repeat(100), "]".repeat(100)));
    std::os::unix::fs::symlink(&secret, folder(&app).join("link_engine.json")).unwrap();
    put(&app, "fno_engine.json", FNO);
    put(&app, "zeta_engine.json", beat("zeta", 1));
    // what lies there at the start is known by our own file: this one comes later
    assert_eq!(app.get("/api/telemetry/engines").json()["rebuilding"], Value::Null);
    put(&app, "not_ours_engine.json", r#"{"name":"not_ours","status":"running","written_by":"plimsoll"}"#);
    let names: Vec<_> = heartbeats(&app, 2).into_iter().map(|beat| beat["name"].clone()).collect();
    assert!(names.contains(&json!("fno")) && names.contains(&json!("zeta")), "{names:?}");

    let expected = [
        ("a_half_engine.json", "is not valid JSON"),
        ("b_empty_engine.json", "is empty"),
        ("c_text_engine.json", "is not UTF-8"),
        ("d_types_engine.json", "pid: "),
        ("e_huge_engine.json", "is larger than 1048576 bytes"),
        ("f_other_engine.json", "name: must be f_other"),
        ("g space_engine.json", "the name before _engine.json must be"),
        ("h_nan_engine.json", "is not valid JSON"),
        ("i_deep_engine.json", "64"),
        ("link_engine.json", "is a link that leads out of the folder"),
        ("not_ours_engine.json", "says that plimsoll wrote it"),
    ];
    let broken = broken_within(&app, &expected.map(|(file, _)| file));
    for (fault, (file, reason)) in broken.iter().zip(expected) {
        assert!(fault["reason"].as_str().unwrap().contains(reason), "{file}: {fault}");
    }
    let types = broken[3]["reason"].as_str().unwrap();
    assert!(types.contains("status: ") && types.contains("loop_tick: "), "{types}");
    let health = app.get("/health").expect(200);
    assert_eq!((&health["status"], &health["components"]["artifacts"]["status"]), (&json!("degraded"), &json!("degraded")));
    let host_path = app.folder().display().to_string();
    assert!(!health.to_string().contains(&host_path), "{health}");
    assert_eq!(app.get("/health/ready").status(), 200, "engines can still post");

    for (file, _) in expected.iter().filter(|(file, _)| *file != "d_types_engine.json") {
        fs::remove_file(folder(&app).join(file)).unwrap();
    }
    put(&app, "d_types_engine.json", beat("d_types", 1));
    broken_within(&app, &[]);
    assert_eq!(heartbeats(&app, 3)[2]["name"], "d_types");
    assert_well(&app);
}

#[test]
fn the_folder_may_be_missing_deleted_and_made_again() {
    let app = spawn_app(&[("files.poll_interval", "50ms")]);
    assert_eq!(app.health()["status"], "ok", "without the folder");
    for round in 0..5 {
        fs::create_dir_all(folder(&app)).unwrap();
        put(&app, "fno_engine.json", beat("fno", round));
        assert_eq!(heartbeats(&app, 2 * round + 1)[2 * round]["loop_tick"], round);
        put(&app, "bad_engine.json", "");
        broken_within(&app, &["bad_engine.json"]);
        if round % 2 == 0 {
            fs::remove_dir_all(folder(&app)).unwrap();
        } else {
            fs::rename(folder(&app), app.artifacts().join(format!("old-{round}"))).unwrap();
        }
        // at once, so that nobody sees it missing
        fs::create_dir(folder(&app)).unwrap();
        put(&app, "fno_engine.json", beat("fno", 100 + round));
        assert_eq!(heartbeats(&app, 2 * round + 2)[2 * round + 1]["loop_tick"], 100 + round);
        broken_within(&app, &[]);
        fs::remove_dir_all(folder(&app)).unwrap();
    }
    assert!(broken_within(&app, &["telemetry"])[0]["reason"].as_str().unwrap().starts_with("is gone"));
    fs::create_dir(folder(&app)).unwrap();
    broken_within(&app, &[]);
    assert_well(&app);
}

#[test]
fn a_dead_engine_does_not_live_because_its_file_is_touched_or_put_back() {
    let mut app = spawn(&[("files.poll_interval", "50ms")]);
    let record = |tick: u64, time: &str| {
        json!({"name": "fno", "status": "running", "loop_tick": tick, "last_heartbeat": time}).to_string()
    };
    let (old, last) = (record(1, "2024-08-23T15:29:54"), record(2, "2024-08-23T15:29:59"));
    let path = folder(&app).join("fno_engine.json");
    put(&app, "fno_engine.json", &last);
    heartbeats(&app, 1);
    fs::File::options().write(true).open(&path).unwrap().set_modified(SystemTime::now()).unwrap();
    put(&app, "fno_engine.json", &last);
    assert_eq!(app.terminate(), Some(0));
    put(&app, "fno_engine.json", &last);
    app.restart();
    put(&app, "fno_engine.json", &old);
    let ticks: Vec<_> = heartbeats(&app, 2).iter().map(|beat| beat["loop_tick"].clone()).collect();
    assert_eq!(ticks, [2, 1], "the others were no news");
    let engine = app.engine("fno");
    assert_eq!(
        (&engine["state"], &engine["last_heartbeat"]),
        (&json!("stale"), &json!("2024-08-23T09:59:59.000000Z")),
        "{engine}"
    );
    // a local time of a machine that runs in another zone: alive when it goes on
    let beat = |tick: u64| {
        let time = chrono::Utc::now().format("%Y-%m-%dT%H:%M:%S%.6f").to_string();
        json!({"name": "other", "status": "running", "loop_tick": tick, "last_heartbeat": time}).to_string()
    };
    put(&app, "other_engine.json", beat(1));
    heartbeats(&app, 3);
    assert_eq!(app.engine("other")["state"], "stale");
    put(&app, "other_engine.json", beat(2));
    heartbeats(&app, 4);
    assert_eq!(app.engine("other")["state"], "running");
    // its clock is years behind, but it goes on
    put(&app, "fno_engine.json", record(3, "2024-08-23T15:30:04"));
    heartbeats(&app, 5);
    assert_eq!(app.engine("fno")["state"], "running");
}

#[test]
fn a_restart_publishes_no_file_again_that_has_not_changed() {
    let mut app = spawn(&[("files.poll_interval", "50ms"), ("telemetry.ring_events", "5")]);
    for n in 0..20 {
        put(&app, &format!("e{n:02}_engine.json"), beat(&format!("e{n:02}"), n));
    }
    heartbeats(&app, 20);
    for kill in [false, true] {
        if kill {
            app.kill9()
        } else {
            assert_eq!(app.terminate(), Some(0))
        }
        put(&app, "e07_engine.json", beat("e07", 1_000 + usize::from(kill)));
        app.restart();
        let expected = 21 + usize::from(kill);
        assert_eq!(heartbeats(&app, expected)[expected - 1]["loop_tick"], 1_000 + usize::from(kill));
        eventually("all files were looked at", PATIENCE, || app.health()["components"]["artifacts"]["files"] == 20);
    }
    // a beat that comes after all of them were looked at, and that everything before it would precede
    put(&app, "e00_engine.json", beat("e00", 2_000));
    assert_eq!(heartbeats(&app, 23)[22]["loop_tick"], 2_000);
}

#[test]
fn two_thousand_engines_beat_through_files() {
    let app = spawn(&[]);
    for round in 0..2 {
        for n in 0..2_000 {
            put(&app, &format!("engine-{n}_engine.json"), beat(&format!("engine-{n}"), round));
        }
        eventually("all of them are told", PATIENCE, || {
            let last = app.all_events(HEARTBEATS);
            let told = last.iter().filter(|event| event["payload"]["loop_tick"] == round);
            told.map(|event| event["payload"]["name"].to_string()).collect::<std::collections::HashSet<_>>().len() == 2_000
        });
    }
    let health = app.health();
    assert_eq!((&health["status"], &health["components"]["artifacts"]["files"]), (&json!("ok"), &json!(2_000)), "{health}");
}

#[test]
fn a_wrong_time_zone_or_interval_is_a_fault_of_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let settings = [("session.timezone", "Mars/Olympus"), ("files.poll_interval", "often"), ("files.max", "0")];
    let config = crate::harness::write_config(folder.path(), &settings);
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_plimsoll"));
    command.arg("--config").arg(config);
    let mut process = crate::harness::Process::start(command);
    assert_eq!(process.exit(PATIENCE).code(), Some(2));
    for (path, _) in settings {
        assert!(process.log().contains(&format!("{path}: must be")), "{path} in {}", process.log());
    }
}
