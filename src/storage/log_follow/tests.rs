//! A world of log files with a clock that stands still.

mod rotation;

use super::*;
use crate::domain::engine::EngineName;
use crate::domain::log::line::Level;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const LIMITS: TailLimits = TailLimits { scan: 64 << 20, answer: 8 << 20, record: 64 << 10 };
const LINGER: Duration = Duration::from_secs(60);

struct World {
    folder: TempDir,
}

impl World {
    fn new() -> Self {
        tokio::time::pause();
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, text: &str) {
        append(&self.path("fno.log"), text);
    }

    fn follow(&self, filter: LogFilter, start: Start) -> LogFollower {
        let place = LogPlace::new(EngineName::parse("fno").unwrap(), self.folder.path(), None);
        LogFollower::open(place, filter, start, LIMITS, LINGER).unwrap()
    }
}

fn append(path: &Path, text: &str) {
    OpenOptions::new().create(true).append(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
}

fn line(n: usize) -> String {
    format!("2024-08-05 09:10:00 [INFO] a - {n:03}\n")
}

/// What is new once everything has settled.
async fn all_news(follower: &mut LogFollower) -> Vec<News> {
    let mut news = Vec::new();
    for _ in 0..6 {
        while {
            let step = follower.step().unwrap();
            news.extend(step.news);
            step.more
        } {}
        tokio::time::advance(INTERVAL).await;
    }
    news
}

/// The same in short: the last letters of each record, a plus before what is continued, and the words for gaps.
async fn news(follower: &mut LogFollower) -> Vec<String> {
    let end = |text: &str| text.get(text.len() - 3..).unwrap().to_owned();
    let short = |news: News| match news {
        News::Record(record) => if record.continued { "+" } else { "" }.to_owned() + &end(&record.text),
        News::Gap(gap) => gap.as_str().to_owned(),
    };
    all_news(follower).await.into_iter().map(short).collect()
}

#[actix_web::test]
async fn a_follower_starts_with_the_last_records_and_goes_on_with_new_ones() {
    let world = World::new();
    (0..10).for_each(|n| world.write(&line(n)));
    let mut follower = world.follow(LogFilter::default(), Start::Last(2));
    assert_eq!(news(&mut follower).await, ["008", "009"]);
    world.write(&line(10));
    assert_eq!(news(&mut follower).await, ["010"]);
    world.write("2024-08-05 09:10:00 [ERROR] a - half");
    assert_eq!(news(&mut follower).await, [""; 0]);
    world.write(" a line\nTraceback (most recent call last):\n  File\nKeyError: 'xyz\n");
    assert_eq!(news(&mut follower).await, ["xyz"]);
    assert_eq!(news(&mut world.follow(LogFilter::default(), Start::Last(0))).await, [""; 0]);
}

#[actix_web::test]
async fn what_was_written_before_and_after_a_rotation_is_all_delivered() {
    let world = World::new();
    world.write(&line(0));
    let mut follower = world.follow(LogFilter::default(), Start::Last(5));
    assert_eq!(news(&mut follower).await, ["000"]);
    world.write(&line(1));
    fs::rename(world.path("fno.log"), world.path("fno.1.log")).unwrap();
    append(&world.path("fno.1.log"), &line(2));
    assert_eq!(news(&mut follower).await, ["001", "002"]);
    world.write("");
    append(&world.path("fno.1.log"), &line(3));
    assert_eq!(news(&mut follower).await, ["003"], "the writer has not gone on to the new file yet");
    world.write(&line(4));
    assert_eq!(news(&mut follower).await, ["004"]);
    append(&world.path("fno_2024-08-06.log"), &line(5));
    assert_eq!(news(&mut follower).await, ["005"], "a new file with a date in its name");
    assert_eq!(follower.reader.log().name, "fno_2024-08-06.log");
}

#[actix_web::test]
async fn a_truncated_file_is_read_from_its_front_even_if_it_has_grown_beyond() {
    let world = World::new();
    (0..3).for_each(|n| world.write(&line(n)));
    let mut follower = world.follow(LogFilter::default(), Start::Last(1));
    assert_eq!(news(&mut follower).await, ["002"]);
    fs::write(world.path("fno.log"), line(3)).unwrap();
    assert_eq!(news(&mut follower).await, ["truncated", "003"]);
    fs::write(world.path("fno.log"), (4..9).map(line).collect::<String>()).unwrap();
    assert_eq!(news(&mut follower).await, ["truncated", "004", "005", "006", "007", "008"]);
}

#[actix_web::test]
async fn a_reader_that_comes_back_with_its_mark_misses_and_doubles_nothing() {
    let world = World::new();
    (0..5).for_each(|n| world.write(&line(n)));
    let mut follower = world.follow(LogFilter::default(), Start::Last(3));
    let first = follower.step().unwrap().news;
    let Some(News::Record(first)) = first.first() else { panic!("{first:?}") };
    let mark: Mark = first.mark.to_string().parse().unwrap();
    world.write(&line(5));
    assert_eq!(news(&mut world.follow(LogFilter::default(), Start::After(mark, 1))).await, ["003", "004", "005"]);
    fs::write(world.path("fno.log"), (10..20).map(line).collect::<String>()).unwrap();
    let come_back = &mut world.follow(LogFilter::default(), Start::After(mark, 1));
    assert_eq!(news(come_back).await, ["unknown_position", "019"], "another file");
    let nowhere = &mut world.follow(LogFilter::default(), Start::Lost(1));
    assert_eq!(news(nowhere).await, ["unknown_position", "019"]);
}

#[actix_web::test]
async fn a_filter_passes_over_records_and_a_huge_line_is_cut() {
    let world = World::new();
    world.write(&line(0));
    let filter = LogFilter { text: Some("b -".into()), ..LogFilter::default() };
    let mut follower = world.follow(filter, Start::Last(5));
    let before = follower.mark();
    world.write(&line(1));
    assert_eq!(news(&mut follower).await, [""; 0]);
    assert_ne!(follower.mark(), before);
    world.write(&format!("2024-08-05 09:10:00 [INFO] b - {}\n", "x".repeat(1 << 20)));
    assert_eq!(news(&mut follower).await, ["es)"]);
}

#[actix_web::test]
async fn what_comes_late_to_a_record_goes_where_the_record_went() {
    let world = World::new();
    let errors = LogFilter { at_least: Some(Level::Error), ..LogFilter::default() };
    world.write(&line(0));
    let mut follower = world.follow(errors.clone(), Start::Last(1));
    world.write("2024-08-05 09:10:00 [ERROR] a - 001\n");
    assert_eq!(news(&mut follower).await, ["001"]);
    world.write("Traceback (most recent call last):\n  File 002\n");
    assert_eq!(news(&mut follower).await, ["+002"]);
    let mark = follower.mark();
    world.write("KeyError: 003\n");
    assert_eq!(news(&mut follower).await, ["+003"]);
    assert_eq!(news(&mut world.follow(errors, Start::After(mark, 1))).await, ["+003"], "over a lost connection too");
    world.write(&line(4));
    assert_eq!(news(&mut follower).await, [""; 0]);
    world.write("TypeError: 005\n");
    assert_eq!(news(&mut follower).await, [""; 0], "it belongs to what is not asked for");
    let typed = LogFilter { text: Some("typeerror".into()), ..LogFilter::default() };
    let mut follower = world.follow(typed, Start::Last(1));
    assert_eq!(news(&mut follower).await, ["005"]);
    world.write(&line(6));
    assert_eq!(news(&mut follower).await, [""; 0]);
    world.write("TypeError: 007\n");
    let found = all_news(&mut follower).await;
    let [News::Record(record)] = &found[..] else { panic!("{found:?}") };
    assert_eq!((record.text.as_str(), record.continued), ("2024-08-05 09:10:00 [INFO] a - 006\nTypeError: 007", false));
}

#[actix_web::test]
async fn a_line_that_is_half_written_when_following_begins_comes_whole() {
    let world = World::new();
    world.write(&line(0));
    world.write("2024-08-05 09:10:00 [INFO] a - h");
    let mut follower = world.follow(LogFilter::default(), Start::Last(0));
    world.write("alf\n");
    let found = all_news(&mut follower).await;
    let [News::Record(record)] = &found[..] else { panic!("{found:?}") };
    assert_eq!(record.text, "2024-08-05 09:10:00 [INFO] a - half");
}
