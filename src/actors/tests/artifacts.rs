//! The artifact watcher over a real folder, with paused time and polling alone: what the system tells is for the
//! black-box tests.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

use actix::Addr;
use serde_json::Value;
use tempfile::TempDir;

use super::super::artifact_folder::Folder;
use super::super::artifact_publisher::Publisher;
use super::super::artifact_table::{IsOurs, Watch, engine_files};
use super::super::artifact_watcher::{ArtifactStatus, ArtifactWatcher, Settings, Stop};
use super::super::history::EventQuery;
use super::world::{LIMITS, RULES, World};
use crate::domain::artifact::{Finding, Reading};
use crate::domain::filter::Filter;
use crate::domain::id::EventId;

const SETTINGS: Settings = Settings { poll_interval: Duration::from_secs(2), max_files: 100, listen: false };

/// A world with a folder in it.
struct Desk {
    world: World,
    artifacts: TempDir,
}

/// One run of the watcher.
struct Run {
    status: Arc<ArtifactStatus>,
    watcher: Addr<ArtifactWatcher>,
}

impl Desk {
    fn new() -> Self {
        tokio::time::pause();
        let artifacts = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(artifacts.path().join("telemetry")).expect("a folder");
        Self { world: World::new(1_000, LIMITS), artifacts }
    }

    fn folder(&self) -> std::path::PathBuf {
        self.artifacts.path().join("telemetry")
    }

    fn write(&self, file: &str, text: &str) {
        std::fs::write(self.folder().join(file), text).expect("written");
    }

    /// Writes a file whose time is `seconds` after 2025-11-18T07:00:00Z.
    fn write_at(&self, file: &str, text: &str, seconds: u64) {
        self.write(file, text);
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_763_449_200 + seconds);
        let file = std::fs::File::options().write(true).open(self.folder().join(file)).expect("opened");
        file.set_modified(time).expect("a time");
    }

    fn run(&self) -> Run {
        self.run_with(vec![engine_files(self.artifacts.path(), chrono_tz::Asia::Kolkata, RULES, ours())], SETTINGS)
    }

    fn run_with(&self, watches: Vec<Watch>, settings: Settings) -> Run {
        let status = Arc::<ArtifactStatus>::default();
        let publisher = Publisher::new(&self.world.bus, self.world.history.clone(), EventId::ZERO, Duration::from_millis(250));
        let clock = super::world::manual(Arc::clone(&self.world.hand));
        let (here, panics) = (actix::Arbiter::current(), self.world.panics.clone());
        let watcher = ArtifactWatcher::start(&here, watches, settings, publisher, clock, panics, Arc::clone(&status));
        Run { status, watcher }
    }

    /// All events, oldest first.
    async fn events(&self) -> Vec<Value> {
        let query = EventQuery {
            filter: Filter::default(),
            after: EventId::ZERO,
            before: EventId::MAX,
            oldest_first: true,
            limit: 1_000,
        };
        let page = self.world.history.query(query).await.expect("answered");
        let json = page.events.iter().map(|event| {
            let mut json = Vec::new();
            event.write_json(&mut json);
            serde_json::from_slice(&json).expect("json")
        });
        json.collect()
    }
}

impl Run {
    fn published(&self) -> u64 {
        self.status.published.load(Ordering::Relaxed)
    }

    fn broken(&self) -> Vec<(String, String)> {
        let mut broken: Vec<_> =
            self.status.broken.iter().map(|entry| (entry.key().clone(), entry.value().reason.clone())).collect();
        broken.sort_unstable();
        broken
    }

    fn broken_files(&self) -> Vec<String> {
        self.broken().into_iter().map(|(file, _)| file).collect()
    }
}

/// Lets paused time go on until this is so.
async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "never: {what}");
        tokio::time::advance(Duration::from_millis(10)).await;
        tokio::task::yield_now().await;
    }
}

/// Of the engines whose files the service may have written, only this one is known.
fn ours() -> Box<IsOurs> {
    Box::new(|name| Some(name == "known"))
}

fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

#[actix_web::test]
async fn a_file_becomes_one_event_with_the_files_time_until_it_changes() {
    let desk = Desk::new();
    desk.write_at("fno_engine.json", r#"{"name":"fno","status":"running","last_heartbeat":"2025-11-18T12:30:00"}"#, 0);
    let run = desk.run();
    until("the file is published", || run.published() == 1).await;
    desk.world.pass(Duration::from_secs(20)).await;
    let events = desk.events().await;
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!((&events[0]["type"], &events[0]["source"]), (&"engine_heartbeat".into(), &"plimsoll".into()));
    assert_eq!(events[0]["timestamp"], "2025-11-18T07:00:00.000000Z");
    assert_eq!(
        events[0]["payload"].to_string(),
        r#"{"name":"fno","status":"running","last_heartbeat":"2025-11-18T07:00:00.000000Z","file":"fno_engine.json"}"#
    );
    desk.write_at("fno_engine.json", r#"{"name":"fno","status":"running"}"#, 5);
    until("the change is published", || run.published() == 2).await;
    assert_eq!(desk.events().await[1]["timestamp"], "2025-11-18T07:00:05.000000Z");
    desk.write_at("fno_engine.json", r#"{"name":"fno","status":"running"}"#, 900);
    desk.world.pass(Duration::from_secs(20)).await;
    assert_eq!(run.published(), 2, "a touch is no change");
    assert!(desk.world.panics.counts().is_empty());
}

#[actix_web::test]
async fn a_file_that_is_not_understood_is_reported_when_it_has_rested_for_half_a_second() {
    let desk = Desk::new();
    desk.write("fno_engine.json", r#"{"name":"fn"#);
    let run = desk.run();
    until("it is seen", || run.status.files.load(Ordering::Relaxed) == 1).await;
    let seen = tokio::time::Instant::now();
    assert_eq!(run.broken(), []);
    until("it is reported", || !run.broken().is_empty()).await;
    let rested = seen.elapsed();
    assert!((480..=550).contains(&rested.as_millis()), "{rested:?}");
    let broken = run.broken();
    assert!(broken[0].0 == "fno_engine.json" && broken[0].1.starts_with("is not valid JSON"), "{broken:?}");
    desk.write("fno_engine.json", r#"{"name":"fno"}"#);
    until("the whole file is published", || run.published() == 1).await;
    assert_eq!(run.broken(), []);
}

#[actix_web::test]
async fn a_half_written_file_that_is_completed_within_half_a_second_is_not_reported() {
    let desk = Desk::new();
    desk.write("fno_engine.json", "");
    let run = desk.run();
    desk.world.pass(Duration::from_millis(250)).await;
    desk.write("fno_engine.json", r#"{"name":"fno"}"#);
    until("the whole file is published", || {
        assert_eq!(run.broken(), []);
        run.published() == 1
    })
    .await;
}

#[actix_web::test]
async fn broken_files_hide_no_good_one_and_are_forgotten_when_they_are_gone() {
    let desk = Desk::new();
    desk.write("a_engine.json", "not json");
    desk.write("b_engine.json", r#"{"name":"b"}"#);
    desk.write("c_engine.json", r#"{"pid":"x"}"#);
    desk.write("d_engine.json", &format!(r#"{{"x":"{}"}}"#, "x".repeat(1 << 20)));
    std::fs::create_dir(desk.folder().join("e_engine.json")).expect("a folder");
    desk.write("z_engine.json", r#"{"name":"z"}"#);
    desk.write("notes.txt", "not ours");
    let run = desk.run();
    until("the good ones are published", || run.published() == 2).await;
    let all = ["a_engine.json", "c_engine.json", "d_engine.json", "e_engine.json"];
    until("the broken ones are reported", || run.broken_files() == all).await;
    let broken = run.broken();
    assert!(broken[1].1.starts_with("pid: "), "{broken:?}");
    assert_eq!((broken[2].1.as_str(), broken[3].1.as_str()), ("is larger than 1048576 bytes", "is not a file"));
    std::fs::remove_file(desk.folder().join("a_engine.json")).expect("removed");
    until("one is gone", || run.broken_files() == all[1..]).await;
    std::fs::remove_dir_all(desk.folder()).expect("removed");
    until("all are gone but the folder", || run.broken_files() == ["telemetry"]).await;
    assert_eq!(run.status.files.load(Ordering::Relaxed), 0);
    std::fs::create_dir(desk.folder()).expect("a folder");
    desk.write("n_engine.json", r#"{"name":"n"}"#);
    until("the new folder is watched", || run.published() == 3).await;
    assert_eq!(run.broken(), []);
}

#[actix_web::test]
async fn a_folder_that_is_a_file_is_reported_until_it_is_a_folder() {
    let desk = Desk::new();
    std::fs::remove_dir(desk.folder()).expect("removed");
    let run = desk.run();
    desk.world.pass(Duration::from_secs(4)).await;
    assert_eq!(run.broken(), [], "a missing folder is no fault");
    std::fs::write(desk.folder(), "").expect("written");
    until("it is reported", || run.broken() == [("telemetry".to_owned(), "cannot be read: not a directory".to_owned())]).await;
    std::fs::remove_file(desk.folder()).expect("removed");
    until("it is well again", || run.broken().is_empty()).await;
}

#[actix_web::test]
async fn a_restart_publishes_only_what_has_changed_meanwhile() {
    let desk = Desk::new();
    for name in ["a", "b", "c"] {
        // many files may have the same time
        desk.write_at(&format!("{name}_engine.json"), &format!(r#"{{"name":"{name}","status":"running"}}"#), 0);
    }
    let first = desk.run();
    until("all are published", || first.published() == 3).await;
    first.watcher.send(Stop).await.expect("stopped");
    desk.world.bus.clear_ring().await.expect("cleared");
    desk.write_at("b_engine.json", r#"{"name":"b","status":"stopped"}"#, 0);
    std::fs::remove_file(desk.folder().join("c_engine.json")).expect("removed");
    desk.write_at("c_engine.json", r#"{"name":"c","status":"running"}"#, 900);
    let second = desk.run();
    until("what changed is published", || second.published() == 1).await;
    desk.world.pass(Duration::from_secs(10)).await;
    let files: Vec<_> = desk.events().await.into_iter().map(|event| event["payload"]["name"].clone()).collect();
    let (mut earlier, mut later) = (files[..3].to_vec(), files[3..].to_vec());
    earlier.sort_by_key(Value::to_string);
    later.sort_by_key(Value::to_string);
    assert_eq!((earlier, later), (vec!["a".into(), "b".into(), "c".into()], vec!["b".into()]), "c was only put back");
}

#[actix_web::test]
async fn a_file_that_is_put_back_is_no_beat_of_that_time() {
    let desk = Desk::new();
    let record = |tick: u64, time: &str| format!(r#"{{"name":"fno","loop_tick":{tick},"last_heartbeat":"2025-11-18T{time}"}}"#);
    desk.write_at("fno_engine.json", &record(1, "12:30:00"), 5);
    let run = desk.run();
    until("it is published", || run.published() == 1).await;
    desk.write_at("fno_engine.json", &record(2, "12:30:05"), 10);
    until("it beats", || run.published() == 2).await;
    std::fs::remove_file(desk.folder().join("fno_engine.json")).expect("removed");
    until("it is gone", || run.status.files.load(Ordering::Relaxed) == 0).await;
    desk.write_at("fno_engine.json", &record(2, "12:30:05"), 500);
    desk.world.pass(Duration::from_secs(6)).await;
    assert_eq!(run.published(), 2, "the same");
    desk.write_at("fno_engine.json", &record(1, "12:30:00"), 600);
    until("the older one is published", || run.published() == 3).await;
    let stamps: Vec<_> = desk.events().await.into_iter().map(|event| event["timestamp"].clone()).collect();
    // 07:00 in UTC
    let expected = ["2025-11-18T07:00:00.000000Z", "2025-11-18T07:00:10.000000Z", "2025-11-18T07:00:00.000000Z"];
    assert_eq!(stamps, expected, "no fresher than it says, but for the beat that was seen");
}

#[actix_web::test]
async fn a_file_that_the_service_did_not_write_though_it_says_so_is_shown() {
    let desk = Desk::new();
    for name in ["known", "stranger"] {
        desk.write(&format!("{name}_engine.json"), &format!(r#"{{"name":"{name}","written_by":"plimsoll"}}"#));
    }
    let run = desk.run();
    until("it is shown", || run.broken_files() == ["stranger_engine.json"]).await;
    assert!(run.broken()[0].1.starts_with("says that plimsoll wrote it"), "{:?}", run.broken());
    assert_eq!(run.published(), 0);
}

#[actix_web::test]
async fn what_the_journal_cannot_take_is_published_when_it_can() {
    let desk = Desk::new();
    desk.world.fail.store(true, Ordering::SeqCst);
    desk.write("fno_engine.json", r#"{"name":"fno"}"#);
    let run = desk.run();
    desk.world.pass(Duration::from_secs(6)).await;
    assert_eq!((run.published(), run.broken()), (0, vec![]));
    desk.world.fail.store(false, Ordering::SeqCst);
    until("it is published", || run.published() == 1).await;
    assert_eq!(desk.events().await.len(), 1);
}

#[actix_web::test]
async fn beats_in_files_do_not_wait_behind_posts_that_fill_their_queue() {
    let desk = Desk::new();
    let _full = desk.world.bus.admission().enter(usize::MAX).await.expect("all of it");
    desk.write("fno_engine.json", r#"{"name":"fno"}"#);
    let run = desk.run();
    until("it is published", || run.published() == 1).await;
}

#[actix_web::test]
async fn more_files_than_the_configuration_allows_are_left_alone_and_said_to_be() {
    let desk = Desk::new();
    for n in 0..30 {
        desk.write(&format!("e{n:02}_engine.json"), "{}");
    }
    let watches = vec![engine_files(desk.artifacts.path(), chrono_tz::UTC, RULES, ours())];
    let run = desk.run_with(watches, Settings { max_files: 10, ..SETTINGS });
    until("the first ten are published", || run.published() == 10).await;
    desk.world.pass(Duration::from_secs(6)).await;
    assert_eq!((run.published(), run.status.files.load(Ordering::Relaxed)), (10, 10));
    assert!(run.status.is_cut.load(Ordering::Relaxed));
    for n in 10..30 {
        std::fs::remove_file(desk.folder().join(format!("e{n:02}_engine.json"))).expect("removed");
    }
    until("all fit", || !run.status.is_cut.load(Ordering::Relaxed)).await;
}

#[actix_web::test]
async fn links_are_followed_inside_the_folder_only_and_pipes_are_not_waited_for() {
    let desk = Desk::new();
    let outside = desk.artifacts.path().join("outside_engine.json");
    std::fs::write(&outside, r#"{"last_error":"secret"}"#).expect("written");
    let link = |to: &Path, name: &str| std::os::unix::fs::symlink(to, desk.folder().join(name)).expect("linked");
    link(&outside, "out_engine.json");
    link(Path::new("../outside_engine.json"), "up_engine.json");
    link(Path::new("nowhere"), "gone_engine.json");
    link(Path::new("loop_engine.json"), "loop_engine.json");
    desk.write("v7.json", r#"{"pid":7}"#);
    link(Path::new("v7.json"), "in_engine.json");
    let made = std::process::Command::new("mkfifo").arg(desk.folder().join("pipe_engine.json")).status().expect("made");
    assert!(made.success() && exists(&desk.folder().join("pipe_engine.json")));
    let run = desk.run();
    until("the link inside is published", || run.published() == 1).await;
    until("the others are reported", || run.broken().len() == 5).await;
    let events = desk.events().await;
    assert_eq!(events[0]["payload"].to_string(), r#"{"name":"in","pid":7,"file":"in_engine.json"}"#);
    assert_eq!(events.len(), 1);
    assert!(run.broken().iter().all(|(_, reason)| !reason.contains('/') && !reason.contains("secret")), "{:?}", run.broken());
}

#[actix_web::test]
async fn other_kinds_of_files_are_a_row_in_the_table_and_a_panic_over_one_of_them_is_its_fault_alone() {
    let desk = Desk::new();
    let daily = Watch {
        name: "analytics",
        folder: Folder::new(desk.artifacts.path().join("analytics"), 1_000),
        matches: |file| file.ends_with(".json"),
        read: Box::new(|file, bytes| {
            assert_ne!(file, "bad.json", "on purpose");
            Reading::Event(Finding {
                event_type: "daily_metrics",
                payload: format!(r#"{{"file":"{file}","bytes":{}}}"#, bytes.len()),
                said: None,
            })
        }),
    };
    std::fs::create_dir(desk.artifacts.path().join("analytics")).expect("a folder");
    for file in ["bad.json", "good.json"] {
        std::fs::write(desk.artifacts.path().join("analytics").join(file), "{}").expect("written");
    }
    desk.write("fno_engine.json", "{}");
    let watches = vec![engine_files(desk.artifacts.path(), chrono_tz::UTC, RULES, ours()), daily];
    let run = desk.run_with(watches, SETTINGS);
    until("both folders are published", || run.published() == 2).await;
    until("the fault is told", || run.broken_files() == ["bad.json"]).await;
    desk.world.pass(Duration::from_secs(10)).await;
    assert_eq!(desk.world.panics.counts(), [("artifact_watcher", 2)], "at the first look and when it had rested");
}
