//! `GET /api/telemetry/engine_logs?follow=true`: a log as it grows, through rotation, truncation, restarts and slow clients.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::engine_logs::{LOGS, TRACEBACK, line, logs_command};
use crate::harness::{App, eventually, spawn_app, spawn_app_on_a_stable_port};
use crate::http::{Connection, PATIENCE};
use crate::sse::{Block, Next, Stream};

fn follow(app: &App, query: &str, headers: &[(&str, &str)]) -> Stream {
    let stream = Stream::open(app.address, &format!("{LOGS}?follow=true&engine=fno&{query}"), headers).unwrap();
    assert_eq!(stream.head.status, 200);
    assert!(stream.head.header("content-type").unwrap().starts_with("text/event-stream"));
    stream
}

/// The next block with data.
fn data(stream: &mut Stream) -> Block {
    loop {
        // a log has no order of ids: another file may be a shorter one
        stream.cursor = None;
        let block = stream.block();
        if block.data.is_some() {
            return block;
        }
    }
}

/// The next records.
fn records(stream: &mut Stream, count: usize) -> Vec<String> {
    let record = |stream: &mut Stream| {
        let block = data(stream);
        assert!(block.id.is_some(), "{block:?}");
        assert!(block.json().get("continued").is_none(), "{block:?}");
        block.json()["line"].as_str().expect("a line").to_owned()
    };
    (0..count).map(|_| record(stream)).collect()
}

#[track_caller]
fn expect_gap(stream: &mut Stream, reason: &str) {
    assert_eq!(data(stream).json(), json!({"type": "log_gap", "payload": {"reason": reason}}));
}

fn write(app: &App, numbers: std::ops::Range<usize>) {
    app.log("fno.log", &numbers.map(|n| line(n, "INFO") + "\n").collect::<String>());
}

fn lines(numbers: std::ops::Range<usize>) -> Vec<String> {
    numbers.map(|n| line(n, "INFO")).collect()
}

#[test]
fn a_follower_starts_with_the_last_records_and_gets_each_new_one_as_one_block() {
    let app = spawn_app(&[("sse.heartbeat", "100ms")]);
    write(&app, 0..10);
    let mut stream = follow(&app, "lines=3", &[]);
    let head = stream.block();
    assert!(head.retry.is_some() && head.data.is_none(), "{head:?}");
    assert_eq!(records(&mut stream, 3), lines(7..10));
    let with_traceback = format!("{}\n{TRACEBACK}", line(10, "ERROR"));
    app.log("fno.log", &format!("{with_traceback}\n{}\n", line(11, "INFO")));
    assert_eq!(records(&mut stream, 2), [with_traceback, line(11, "INFO")]);
    let quiet = stream.block();
    assert!(quiet.data.is_none() && !quiet.comments.is_empty(), "a heartbeat and not {quiet:?}");
    app.log("fno.log", "2024-08-05 09:11:00 [INFO] half a");
    assert!(stream.block().data.is_none());
    app.log("fno.log", " line\n");
    assert_eq!(records(&mut stream, 1), ["2024-08-05 09:11:00 [INFO] half a line"]);
}

#[test]
fn a_follower_gets_what_it_asks_for_and_nothing_else() {
    let app = spawn_app(&[]);
    (0..50).for_each(|n| app.log("fno.log", &format!("{}\n", line(n, if n % 10 == 0 { "ERROR" } else { "INFO" }))));
    let mut stream = follow(&app, "lines=2&level=error&q=NUMBER", &[]);
    assert_eq!(records(&mut stream, 2), [line(30, "ERROR"), line(40, "ERROR")]);
    app.log("fno.log", &format!("{}\n{}\n", line(51, "INFO"), line(52, "CRITICAL")));
    assert_eq!(records(&mut stream, 1), [line(52, "CRITICAL")]);
}

#[test]
fn rotation_and_truncation_lose_and_double_nothing() {
    let app = spawn_app(&[]);
    write(&app, 0..3);
    let mut stream = follow(&app, "lines=1", &[]);
    assert_eq!(records(&mut stream, 1), lines(2..3));
    write(&app, 3..5);
    fs::rename(app.log_path("fno.log"), app.log_path("fno.log.1")).unwrap();
    app.log("fno.log.1", &format!("{}\n", line(5, "INFO")));
    write(&app, 6..9);
    assert_eq!(records(&mut stream, 6), lines(3..9));
    // as logrotate's copytruncate does it
    fs::copy(app.log_path("fno.log"), app.log_path("fno.log.2")).unwrap();
    fs::File::options().write(true).open(app.log_path("fno.log")).unwrap().set_len(0).unwrap();
    write(&app, 9..10);
    assert_eq!(records(&mut stream, 1), lines(9..10));
    fs::remove_file(app.log_path("fno.log")).unwrap();
    write(&app, 10..200);
    expect_gap(&mut stream, "rotated");
    assert_eq!(records(&mut stream, 190), lines(10..200));
    fs::rename(app.log_path("fno.log"), app.log_path("fno_old.log")).unwrap();
    app.log("fno_new.log", &format!("{}\n", line(200, "INFO")));
    assert_eq!(records(&mut stream, 1), lines(200..201), "a new name");
}

#[test]
fn a_client_that_comes_back_with_its_last_id_misses_and_doubles_nothing() {
    let app = spawn_app(&[]);
    write(&app, 0..5);
    let mut stream = follow(&app, "lines=2", &[]);
    assert_eq!(records(&mut stream, 2), lines(3..5));
    let id = stream.cursor.clone().unwrap();
    drop(stream);
    write(&app, 5..8);
    let mut stream = follow(&app, "lines=1", &[("Last-Event-ID", &id)]);
    assert_eq!(records(&mut stream, 3), lines(5..8));
    let mut stream = follow(&app, "lines=1", &[("Last-Event-ID", "what some other service told it")]);
    assert_eq!(stream.block().id, None, "who is not told yet has no new position");
    expect_gap(&mut stream, "unknown_position");
    assert_eq!(records(&mut stream, 1), lines(7..8));
    fs::remove_file(app.log_path("fno.log")).unwrap();
    write(&app, 8..10);
    let mut stream = follow(&app, "lines=1", &[("Last-Event-ID", &id)]);
    expect_gap(&mut stream, "unknown_position");
    assert_eq!(records(&mut stream, 2), lines(8..10), "all of another file is new");
}

#[test]
fn quick_rotations_lose_nothing_and_what_may_be_lost_is_told() {
    let app = spawn_app(&[]);
    let numbered = |n: usize| app.log_path(&format!("fno.log.{n}"));
    let rotate = |kept: usize| {
        (1..kept).rev().filter(|n| numbered(*n).exists()).for_each(|n| fs::rename(numbered(n), numbered(n + 1)).unwrap());
        fs::rename(app.log_path("fno.log"), numbered(1)).unwrap();
    };
    write(&app, 0..1);
    let mut stream = follow(&app, "lines=1", &[]);
    assert_eq!(records(&mut stream, 1), lines(0..1));
    for n in 1..9 {
        write(&app, n..n + 1);
        rotate(20);
    }
    write(&app, 9..10);
    app.log("fno.log.1", &format!("{}\n", line(10, "INFO")));
    let mut found = records(&mut stream, 10);
    found.sort_unstable();
    assert_eq!(found, lines(1..11), "and neither does a late line");
    fs::File::options().write(true).open(app.log_path("fno.log")).unwrap().set_len(0).unwrap();
    expect_gap(&mut stream, "truncated");
    write(&app, 11..12);
    assert_eq!(records(&mut stream, 1), lines(11..12));
}

#[test]
fn a_traceback_that_comes_late_goes_where_its_record_went() {
    let app = spawn_app(&[]);
    let error = line(1, "ERROR");
    app.log("fno.log", &format!("{}\n{error}\n", line(0, "INFO")));
    let mut errors = follow(&app, "level=error", &[]);
    let mut typed = follow(&app, "q=typeerror", &[]);
    let mut criticals = follow(&app, "level=critical", &[]);
    assert_eq!(records(&mut errors, 1), [error.as_str()]);
    app.log("fno.log", &format!("{TRACEBACK}\n"));
    assert_eq!(data(&mut errors).json(), json!({"line": TRACEBACK, "continued": true}));
    assert_eq!(records(&mut typed, 1), [format!("{error}\n{TRACEBACK}")], "whole, since it is asked for only now");
    app.log("fno.log", &format!("{}\n", line(2, "CRITICAL")));
    assert_eq!(records(&mut criticals, 1), [line(2, "CRITICAL")]);
    let command = logs_command(&app, &["fno", "-f", "--json", "--lines", "1"]);
    let next = || serde_json::from_str::<Value>(&command.lines.recv_timeout(PATIENCE).expect("a line")).unwrap();
    assert_eq!(next(), json!({"line": line(2, "CRITICAL")}));
    app.log("fno.log", "KeyError: 'late'\n");
    assert_eq!(next(), json!({"line": "KeyError: 'late'", "continued": true}));
}

#[test]
fn followers_end_cleanly_at_a_shutdown() {
    let mut app = spawn_app(&[]);
    write(&app, 0..3);
    let mut streams: Vec<Stream> = (0..10).map(|_| follow(&app, "", &[])).collect();
    streams.iter_mut().for_each(|stream| drop(records(stream, 3)));
    let asked = Instant::now();
    assert_eq!(app.terminate(), Some(0), "{}", app.process.log());
    assert!(asked.elapsed() < Duration::from_secs(4), "took {:?}", asked.elapsed());
    for stream in &mut streams {
        let blocks = stream.rest();
        let last = blocks.last().expect("a last word");
        assert!(last.retry.is_some() && last.data.is_none(), "{last:?}");
    }
}

#[test]
fn a_follower_that_takes_nothing_is_cut_and_one_that_goes_is_forgotten() {
    let app = spawn_app(&[("sse.stall_timeout", "300ms"), ("sse.send_buffer", "4KiB"), ("sse.close_grace", "200ms")]);
    let text = "x".repeat(10_000);
    (0..1000).for_each(|n| app.log("fno.log", &format!("{} {text}\n", line(n, "INFO"))));
    let mut stalled = Connection::open_narrow(app.address).unwrap();
    stalled.request("GET", &format!("{LOGS}?engine=fno&follow=true&lines=1000"), &[], b"").unwrap();
    let mut reader = follow(&app, "lines=1000", &[]);
    assert_eq!(records(&mut reader, 1000).len(), 1000);
    drop(reader);
    eventually("both are gone", Duration::from_secs(8), || app.sockets() == 0);
    assert!(app.process.log().contains("cutting a log follower"), "{}", app.process.log());
    app.assert_unhurt();
}

#[test]
fn one_follower_too_many_gets_a_retry_and_a_clean_end_until_there_is_room() {
    let app = spawn_app(&[("logs.max_followers", "3")]);
    write(&app, 0..1);
    let mut streams: Vec<Stream> = (0..3).map(|_| follow(&app, "", &[])).collect();
    streams.iter_mut().for_each(|stream| drop(records(stream, 1)));
    let blocks = follow(&app, "", &[]).rest();
    assert!(blocks.iter().any(|block| block.retry.is_some()) && blocks.iter().all(|block| block.data.is_none()), "{blocks:?}");
    let logs = app.health()["components"]["logs"].clone();
    let counts = ["followers", "max_followers", "refused_followers", "refused_reads"].map(|key| logs[key].clone());
    assert_eq!(counts, [3, 3, 1, 0].map(Value::from), "{logs}");
    drop(streams);
    eventually(
        "there is room",
        PATIENCE,
        || matches!(follow(&app, "", &[]).next(Duration::from_secs(2)), Next::Block(block) if block.id.is_some()),
    );
    let pid = app.pid();
    let open = || {
        let files = Command::new("sh").args(["-c", &format!("ls -l /proc/{pid}/fd | grep -c fno.log")]).output().unwrap();
        String::from_utf8(files.stdout).unwrap().trim().to_owned()
    };
    eventually("the files of those who left are closed", PATIENCE, || open() == "0");
}

#[test]
fn the_command_goes_on_by_itself_when_the_service_restarts() {
    let mut app = spawn_app_on_a_stable_port(&[("sse.retry_min", "100ms"), ("sse.retry_max", "200ms")]);
    write(&app, 0..3);
    let command = logs_command(&app, &["fno", "-f", "--lines", "2"]);
    let next =
        |count: usize| -> Vec<String> { (0..count).map(|_| command.lines.recv_timeout(PATIENCE).expect("a line")).collect() };
    assert_eq!(next(2), lines(1..3));
    assert_eq!(app.terminate(), Some(0));
    write(&app, 3..6);
    app.restart();
    assert_eq!(next(3), lines(3..6));
    write(&app, 6..7);
    assert_eq!(next(1), lines(6..7));
}
