//! Many clients: what an idle one costs, and what happens at the limit of open files.

use std::process::Command;
use std::time::Duration;

use crate::harness::{Process, STREAM, eventually, number_from_env, spawn_app, write_config};
use crate::http::{Connection, PATIENCE};
use crate::samples::tick;
use crate::sse::Stream;

#[test]
fn an_idle_client_costs_at_most_12_kib() {
    let clients = number_from_env("PLIMSOLL_IDLE_CLIENTS", 1500);
    let app = spawn_app(&[("sse.heartbeat", "2s")]);
    let mut warm: Vec<_> = (0..50).map(|_| app.stream("")).collect();
    warm.iter_mut().for_each(|stream| drop(stream.block()));
    let before = app.memory();
    let mut streams: Vec<_> = (0..clients).map(|_| app.stream("event_type=never")).collect();
    streams.iter_mut().for_each(|stream| drop(stream.block()));
    assert_eq!(app.subscribers(), clients as u64 + 50);
    streams.iter_mut().for_each(|stream| assert_eq!(stream.block().comments.len(), 1, "a heartbeat"));
    let each = (app.memory() - before) as f64 / clients as f64;
    println!("{clients} idle clients cost {each:.1} KiB each");
    assert!(each <= 12.0, "{each:.1} KiB for each of {clients} idle clients");
    // the last question's own connection may still be closing
    eventually("nothing but clients", PATIENCE, || app.sockets() == clients as u64 + 50);
    let id = app.publish(&tick(0));
    warm.iter_mut().for_each(|stream| assert_eq!(stream.event().id(), id));
    drop(streams);
    eventually("all are gone", PATIENCE, || app.subscribers() == 50);
}

#[test]
fn the_limit_of_open_files_is_raised_and_survived() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new("prlimit");
    command.args(["--nofile=64:160", env!("CARGO_BIN_EXE_plimsoll"), "serve", "--listen", "127.0.0.1:0", "--config"]);
    command.arg(write_config(folder.path(), &[("http.workers", "1"), ("sse.heartbeat", "200ms")]));
    command.arg("--artifacts").arg(folder.path().join("artifacts"));
    let process = Process::start(command);
    let line = process.lines.recv_timeout(PATIENCE).expect("a ready line");
    let address = line.rsplit("http://").next().unwrap().parse().unwrap();
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", process.child.id())).unwrap();
    let files = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    assert_eq!(files.split_whitespace().nth(3), Some("160"), "the soft limit is raised to the hard one: {files}");

    // More clients than there can be files: some are served, the others wait or are told to come again.
    let waiting: Vec<Connection> = (0..200)
        .map(|_| {
            let mut connection = Connection::open(address).expect("a place in the backlog");
            connection.request("GET", STREAM, &[], b"").unwrap();
            connection
        })
        .collect();
    drop(waiting);
    let mut later = Stream::open(address, STREAM, &[]).expect("served once there is room");
    later.block();
    let mut connection = Connection::open(address).unwrap();
    connection.exchange("GET", "/health", &[], b"").unwrap().expect(200);
    eventually("the others are gone", Duration::from_secs(10), || {
        let stats = connection.exchange("GET", "/api/telemetry/stats", &[], b"").unwrap().expect(200);
        stats["subscribers"] == 1
    });
    assert!(!process.log().contains("panicked"), "{}", process.log());
}
