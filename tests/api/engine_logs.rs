//! `GET /api/telemetry/engine_logs`: the end of a log, however large it is, and nothing outside of the log folder.

use std::fs::{self, File, OpenOptions};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};

use crate::harness::{App, Process, spawn_app};
use crate::http::PATIENCE;
use crate::ingest::faulty_fields;

pub const LOGS: &str = "/api/telemetry/engine_logs";

pub const TRACEBACK: &str =
    "Traceback (most recent call last):\n  File \"/srv/engine.py\", line 7, in run\n    go()\nTypeError: no";

impl App {
    /// Path of a file in the log folder.
    pub fn log_path(&self, name: &str) -> PathBuf {
        let folder = self.artifacts().join("logs");
        fs::create_dir_all(&folder).unwrap();
        folder.join(name)
    }

    /// Appends to a log.
    pub fn log(&self, name: &str, text: &str) {
        let file = OpenOptions::new().create(true).append(true).open(self.log_path(name));
        file.unwrap().write_all(text.as_bytes()).unwrap();
    }

    #[track_caller]
    fn logs(&self, query: &str) -> Value {
        self.get(&format!("{LOGS}?{query}")).expect(200)
    }
}

/// A line in the form of the field.
pub fn line(number: usize, level: &str) -> String {
    format!("2024-08-05 09:10:{:02} [{level}] engine.paper - number {number}", number % 60)
}

#[test]
fn the_last_records_come_newest_last_and_a_traceback_stays_with_its_line() {
    let app = spawn_app(&[]);
    app.log("fno_paper.log", &format!("{}\n{}\n{TRACEBACK}\n{}\n", line(1, "INFO"), line(2, "ERROR"), line(3, "INFO")));
    let answer = app.logs("engine=fno");
    assert_eq!((&answer["engine"], &answer["file"]), (&json!("fno"), &json!("fno_paper.log")));
    let second = format!("{}\n{TRACEBACK}", line(2, "ERROR"));
    assert_eq!(answer["lines"], json!([line(1, "INFO"), second, line(3, "INFO")]));
    assert_eq!(answer["truncated"], false);
    assert_eq!(app.logs("engine=fno&lines=2")["lines"], json!([second, line(3, "INFO")]));
    (0..200).for_each(|n| app.log("fno_paper.log", &format!("{}\n", line(n, "INFO"))));
    assert_eq!(app.logs("engine=fno")["lines"].as_array().unwrap().len(), 100);
    app.assert_unhurt();
}

#[test]
fn records_are_picked_by_level_and_text_in_every_form_of_the_field() {
    let app = spawn_app(&[]);
    let logs = [
        ("python", vec![line(1, "INFO"), format!("{}\n{TRACEBACK}", line(2, "WARNING")), line(3, "CRITICAL")]),
        (
            "comma",
            vec![
                "2025-11-18 09:15:00,123 [INFO] a: number 1".to_owned(),
                format!("2025-11-18 09:15:00,124 [WARNING] a: number 2\n{TRACEBACK}"),
                "2025-11-18 09:15:00,125 [ERROR] a: number 3".to_owned(),
            ],
        ),
        (
            "json",
            vec![
                r#"{"ts": "t", "level": "INFO", "logger": "a", "message": "number 1"}"#.to_owned(),
                r#"{"ts": "t", "level": "WARNING", "logger": "a", "message": "number 2", "exc_info": "Traceback\nTypeError: no"}"#.into(),
                r#"{"ts": "t", "level": "ERROR", "logger": "a", "message": "number 3", "exc_info": null}"#.to_owned(),
            ],
        ),
        (
            "tracing",
            vec![
                "2025-11-20T07:16:44.634Z  INFO a: number 1".to_owned(),
                format!("2025-11-20T07:16:44.634Z  WARN a: number 2\n{TRACEBACK}"),
                "2025-11-20T07:16:44.634Z ERROR a: number 3".to_owned(),
            ],
        ),
    ];
    for (engine, records) in logs {
        app.log(&format!("{engine}.log"), &format!("{}\n", records.join("\n")));
        let picked = |query: &str| app.logs(&format!("engine={engine}&{query}"))["lines"].clone();
        assert_eq!(picked(""), json!(records), "{engine}");
        assert_eq!(picked("level=warning"), json!(records[1..]), "{engine}");
        assert_eq!(picked("level=Error"), json!(records[2..]), "{engine}");
        assert_eq!(picked("q=TYPEerror"), json!(records[1..2]), "{engine}");
        assert_eq!(picked("q=number+1&level=debug&lines=1"), json!(records[..1]), "{engine}");
        assert_eq!(picked("q=nothing"), json!([]), "{engine}");
    }
}

#[test]
fn a_log_of_ten_gigabytes_answers_at_once_in_little_memory() {
    let app = spawn_app(&[]);
    let mut file = File::create(app.log_path("fno.log")).unwrap();
    file.set_len(10 << 30).unwrap();
    file.seek(SeekFrom::End(0)).unwrap();
    let tail: String = (0..20_000).map(|n| format!("{}\n", line(n, "INFO"))).collect();
    file.write_all(format!("\n{tail}").as_bytes()).unwrap();
    app.logs("engine=fno&lines=1");
    app.forget_peak();
    let before = app.memory();
    for (lines, limit) in [(100, Duration::from_millis(250)), (5000, Duration::from_millis(500))] {
        let asked = Instant::now();
        let answer = app.logs(&format!("engine=fno&lines={lines}"));
        let took = asked.elapsed();
        assert_eq!(answer["lines"].as_array().unwrap().len(), lines);
        assert_eq!(answer["lines"][lines - 1], line(19_999, "INFO"));
        assert!(took < limit, "{lines} lines took {took:?}");
    }
    let answer = app.logs("engine=fno&q=nowhere");
    assert_eq!((&answer["lines"], &answer["truncated"]), (&json!([]), &json!(true)), "and it says that it gave up");
    assert!(answer["scanned_bytes"].as_u64().unwrap() <= 65 << 20, "{answer}");
    let grown = app.peak_memory().saturating_sub(before);
    assert!(grown < 24 << 10, "grew by {grown} KiB");
}

#[test]
fn a_huge_line_is_cut_and_bytes_that_are_no_text_are_replaced() {
    let app = spawn_app(&[]);
    let mut log = format!("{} {}\n", line(1, "ERROR"), "x".repeat(20 << 20)).into_bytes();
    log.extend(b"2024-08-05 09:10:02 [INFO] a - \xff\x00\xfe\n");
    fs::write(app.log_path("fno.log"), log).unwrap();
    let answer = app.logs("engine=fno");
    let lines = answer["lines"].as_array().unwrap();
    assert!(lines[0].as_str().unwrap().starts_with(&line(1, "ERROR")) && lines[0].as_str().unwrap().len() < 100 << 10);
    assert!(lines[0].as_str().unwrap().ends_with(" more bytes)"));
    assert_eq!(lines[1], "2024-08-05 09:10:02 [INFO] a - \u{fffd}\u{0}\u{fffd}");
}

#[test]
fn no_name_and_no_link_leads_out_of_the_log_folder() {
    let app = spawn_app(&[]);
    app.log("fno.log", &format!("{}\n", line(1, "INFO")));
    for outside in [app.artifacts().join("secret.log"), app.folder().join("secret.log")] {
        fs::write(outside, "secret\n").unwrap();
    }
    for name in [
        "..",
        ".",
        "../secret",
        "..%2Fsecret",
        "%2e%2e%2fsecret",
        "..%5Csecret",
        "logs/fno",
        "%2Fetc%2Fpasswd",
        "/etc/passwd",
        "fno.log",
        "fno%00",
        "%00",
        "fno%0a",
        "fno*",
        "%2525",
        "%c3%a9",
        "a%20b",
        &"a".repeat(65),
        &"a".repeat(5000),
    ] {
        app.get(&format!("{LOGS}?engine={name}")).expect_problem(400);
        app.get(&format!("{LOGS}?engine={name}&follow=true")).expect_problem(400);
    }
    symlink("../secret.log", app.log_path("relative.log")).unwrap();
    symlink(app.folder().join("secret.log"), app.log_path("absolute.log")).unwrap();
    symlink("../../secret.log", app.log_path("hop")).unwrap();
    symlink("hop", app.log_path("twice.log")).unwrap();
    symlink("/proc/self/environ", app.log_path("proc.log")).unwrap();
    fs::create_dir(app.log_path("folder.log")).unwrap();
    let pipe = Command::new("mkfifo").arg(app.log_path("pipe.log")).status().unwrap();
    assert!(pipe.success());
    for name in ["relative", "absolute", "twice", "proc", "folder", "pipe", "nobody", "secret"] {
        let problem = app.get(&format!("{LOGS}?engine={name}")).expect_problem(404);
        assert!(!problem.to_string().contains(app.folder().to_str().unwrap()), "{problem}");
        app.get(&format!("{LOGS}?engine={name}&follow=true")).expect_problem(404);
    }
    assert_eq!(app.logs("engine=fno")["lines"], json!([line(1, "INFO")]));
    app.assert_unhurt();
}

#[test]
fn the_newest_log_of_the_engine_is_the_one() {
    let app = spawn_app(&[]);
    app.get(&format!("{LOGS}?engine=fno")).expect_problem(404);
    for (name, age) in [("fno_2024-08-05.log", 100), ("fno_2024-08-06.log", 10), ("fnord.log", 0), ("fno.txt", 0)] {
        app.log(name, &format!("{}\n", line(1, "INFO")));
        File::open(app.log_path(name)).unwrap().set_modified(SystemTime::now() - Duration::from_secs(age)).unwrap();
    }
    assert_eq!(app.logs("engine=fno")["file"], "fno_2024-08-06.log");
    for prefix in ["f", "fn", "fno_2024-08-0"] {
        app.get(&format!("{LOGS}?engine={prefix}")).expect_problem(404);
        app.get(&format!("{LOGS}?engine={prefix}&follow=true")).expect_problem(404);
    }
    app.log("fno_2024-08-05.log", &format!("{}\n", line(2, "INFO")));
    assert_eq!(app.logs("engine=fno")["file"], "fno_2024-08-05.log");
}

#[test]
fn the_log_that_the_configuration_names_is_taken_wherever_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("engine-output.txt");
    fs::write(&path, format!("{}\n", line(7, "INFO"))).unwrap();
    let app = spawn_app(&[("engines.by_name", &format!("{{fno: {{log: '{}'}}}}", path.display()))]);
    app.log("fno.log", &format!("{}\n", line(1, "INFO")));
    let answer = app.logs("engine=fno");
    assert_eq!((&answer["file"], &answer["lines"]), (&json!("engine-output.txt"), &json!([line(7, "INFO")])));
    fs::remove_file(&path).unwrap();
    app.get(&format!("{LOGS}?engine=fno")).expect_problem(404);
}

#[test]
fn a_log_is_read_within_the_bounds_of_the_configuration() {
    let app = spawn_app(&[("logs.record_bytes", "1KiB"), ("logs.answer_bytes", "64KiB"), ("logs.scan_bytes", "128KiB")]);
    app.log("fno.log", &format!("{} {}\n", line(1, "INFO"), "x".repeat(3000)));
    let lines = app.logs("engine=fno")["lines"].clone();
    assert_eq!(lines[0].as_str().map(str::len), Some(1024 + "… (2028 more bytes)".len()), "{lines}");
    let all: String = (0..10_000).map(|n| format!("{}\n", line(n, "INFO"))).collect();
    app.log("fno.log", &all);
    let answer = app.logs("engine=fno&lines=5000");
    let bytes: usize = answer["lines"].as_array().unwrap().iter().map(|line| line.as_str().unwrap().len()).sum();
    assert!(bytes <= 64 << 10 && answer["truncated"] == true, "{bytes}");
    let answer = app.logs("engine=fno&q=xxxx");
    assert_eq!((&answer["truncated"], &answer["scanned_bytes"]), (&json!(true), &json!(128 << 10)));
}

#[test]
fn faults_of_parameters_are_told_all_at_once() {
    let app = spawn_app(&[]);
    let problem = app.get(&format!("{LOGS}?lines=5001&level=loud&follow=perhaps")).expect_problem(422);
    assert_eq!(faulty_fields(&problem), ["level", "lines", "follow", "engine"]);
    for (field, value) in [("lines", "0"), ("lines", "-1"), ("lines", "many"), ("level", "5")] {
        let problem = app.get(&format!("{LOGS}?engine=fno&{field}={value}")).expect_problem(422);
        assert_eq!(faulty_fields(&problem), [field], "{value}");
    }
    let answer = app.post(LOGS, "application/json", b"{}");
    answer.expect_problem(405);
    assert_eq!(answer.header("allow"), Some("GET, HEAD"));
}

/// `plimsoll logs` with these arguments against `app`.
pub fn logs_command(app: &App, arguments: &[&str]) -> Process {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plimsoll"));
    command.arg("logs").args(arguments).args(["--url", &format!("http://{}", app.address)]);
    Process::start(command)
}

#[test]
fn the_command_shows_the_log_and_fails_with_the_reason() {
    let app = spawn_app(&[]);
    app.log("fno.log", &format!("{}\n{}\n{TRACEBACK}\n", line(1, "INFO"), line(2, "ERROR")));
    let process = logs_command(&app, &["fno", "--level", "error"]);
    let shown: Vec<String> = process.lines.iter().collect();
    assert_eq!(shown.join("\n"), format!("{}\n{TRACEBACK}", line(2, "ERROR")));
    let process = logs_command(&app, &["fno", "--json", "-n", "1"]);
    let shown: Vec<Value> = process.lines.iter().map(|line| serde_json::from_str(&line).unwrap()).collect();
    assert_eq!(shown, [json!({"line": format!("{}\n{TRACEBACK}", line(2, "ERROR"))})]);
    let mut process = logs_command(&app, &["nobody"]);
    assert_eq!(process.exit(PATIENCE).code(), Some(1));
    crate::harness::eventually("the reason is told", PATIENCE, || {
        process.log().contains("404") && process.log().contains("no log")
    });
}
