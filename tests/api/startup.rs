//! Starting: addresses that are refused, faults of the configuration, and which source of a setting wins.

use std::process::Command;
use std::time::Duration;

use crate::harness::{Process, Settings, spawn_app, write_config};
use crate::http::Connection;

/// Runs the binary to its end, which must come, and gives the exit code and what it said on stderr.
#[track_caller]
fn run(settings: Settings<'_>, arguments: &[&str], environment: &[(&str, &str)]) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_plimsoll"));
    command.arg("serve").arg("--config").arg(write_config(folder.path(), settings));
    command.arg("--artifacts").arg(folder.path().join("artifacts"));
    command.args(arguments).envs(environment.iter().copied());
    if !arguments.contains(&"--listen") {
        command.args(["--listen", "127.0.0.1:0"]);
    }
    let mut process = start_with_environment(command, environment);
    let code = process.exit(Duration::from_secs(10)).code();
    (code, process.log())
}

/// `Process::start` keeps the variables of the test run away from the service; these come back.
fn start_with_environment(command: Command, environment: &[(&str, &str)]) -> Process {
    let mut outer = Command::new("env");
    outer.args(environment.iter().map(|(name, value)| format!("{name}={value}")));
    outer.arg(command.get_program()).args(command.get_args());
    Process::start(outer)
}

#[test]
fn a_public_address_is_refused_with_exit_code_2_and_a_clear_message() {
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0", "8.8.8.8:80"] {
        let (code, said) = run(&[], &["--listen", address], &[]);
        assert_eq!(code, Some(2), "{address}: {said}");
        assert!(said.contains("allow_public"), "{address}: {said}");
    }
    let (code, said) =
        run(&[("http.listen", "0.0.0.0:0")], &["--listen", "0.0.0.0:0"], &[("PLIMSOLL_HTTP__LISTEN", "0.0.0.0:0")]);
    assert_eq!(code, Some(2), "{said}");
}

#[test]
fn all_faults_of_the_config_are_told_at_once_with_their_yaml_path() {
    let (code, said) = run(
        &[
            ("telemetry.ring_events", "-5"),
            ("telemetry.unknown_types", "maybe"),
            ("sse.heartbeat", "soon"),
            ("journal.durability", "prayer"),
            ("log.level", "loud"),
            ("http.colour", "red"),
        ],
        &[],
        &[("PLIMSOLL_SSE__CHUNK_BYTES", "much")],
    );
    assert_eq!(code, Some(2), "{said}");
    for path in [
        "telemetry.ring_events",
        "telemetry.unknown_types",
        "sse.heartbeat",
        "journal.durability",
        "log.level",
        "http.colour",
        "sse.chunk_bytes",
    ] {
        assert!(said.contains(path), "{path} is not named in {said}");
    }
}

#[test]
fn a_config_file_that_says_nothing_is_a_good_one() {
    for text in ["", "{}\n", "# all as it comes\n", "http: {}\nsse:\n"] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.yaml");
        std::fs::write(&path, text).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_plimsoll"));
        command.args(["--listen", "127.0.0.1:0", "--config"]).arg(path);
        command.arg("--artifacts").arg(folder.path().join("artifacts"));
        let process = Process::start(command);
        let ready = process.lines.recv_timeout(Duration::from_secs(10));
        assert!(ready.is_ok(), "{text:?}: {}", process.log());
    }
}

#[test]
fn wrong_usage_ends_with_exit_code_2() {
    for arguments in
        [&["--bogus"][..], &["--listen"], &["--listen", "nowhere"], &["--config", "/nonexistent/plimsoll.yaml"], &["surprise"]]
    {
        let mut command = Command::new(env!("CARGO_BIN_EXE_plimsoll"));
        command.arg("serve").args(arguments);
        let mut process = Process::start(command);
        assert_eq!(process.exit(Duration::from_secs(10)).code(), Some(2), "{arguments:?}: {}", process.log());
    }
}

#[test]
fn a_port_that_is_taken_ends_with_exit_code_1() {
    let app = spawn_app(&[]);
    let (code, said) = run(&[], &["--listen", &app.address.to_string()], &[]);
    assert_eq!(code, Some(1), "{said}");
    assert!(!said.contains("panicked"), "{said}");
}

#[test]
fn a_second_service_on_the_same_artifacts_does_not_write_into_the_first_ones_journal() {
    let app = spawn_app(&[]);
    app.publish(&crate::samples::tick(0));
    let artifacts = app.artifacts().display().to_string();
    let mut command = Command::new(env!("CARGO_BIN_EXE_plimsoll"));
    command.args(["serve", "--listen", "127.0.0.1:0", "--artifacts", &artifacts, "--config"]);
    command.arg(app.folder().join("config.yaml"));
    let mut second = Process::start(command);
    assert_eq!(second.exit(Duration::from_secs(15)).code(), Some(1), "{}", second.log());
    app.assert_unhurt();
}

#[test]
fn the_environment_wins_over_the_file_and_a_flag_over_both() {
    let folder = tempfile::tempdir().unwrap();
    let config = write_config(
        folder.path(),
        &[("telemetry.ring_events", "111"), ("http.listen", "127.0.0.1:1"), ("sse.max_clients", "7")],
    );
    let mut command = Command::new(env!("CARGO_BIN_EXE_plimsoll"));
    command.arg("--config").arg(config).args(["--listen", "127.0.0.1:0", "--artifacts"]).arg(folder.path().join("artifacts"));
    let environment = [("PLIMSOLL_TELEMETRY__RING_EVENTS", "222"), ("PLIMSOLL_HTTP__LISTEN", "127.0.0.1:2")];
    let process = start_with_environment(command, &environment);
    let line = process.lines.recv_timeout(Duration::from_secs(10)).expect("a ready line, also without the word serve");
    let address = line.rsplit("http://").next().unwrap().parse().unwrap();
    let stats = Connection::open(address).unwrap().exchange("GET", "/api/telemetry/stats", &[], b"").unwrap().expect(200);
    assert_eq!(stats["buffer_size"], 222);
}

#[test]
fn logs_go_to_stderr_and_are_json_when_asked() {
    let mut app = spawn_app(&[("log.format", "json"), ("log.level", "debug")]);
    app.publish(&crate::samples::tick(0));
    assert_eq!(app.terminate(), Some(0));
    let log = app.process.log();
    assert!(!log.is_empty());
    for line in log.lines() {
        let record: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line:?}"));
        assert!(record.is_object());
    }
    assert!(app.process.lines.try_recv().is_err(), "one line on stdout and no more");
}
