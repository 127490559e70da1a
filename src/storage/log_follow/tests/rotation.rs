//! Rotation: every scheme that the field uses, several at once, and what cannot be known.

use super::*;
use proptest::prelude::*;

impl World {
    /// Python's `RotatingFileHandler` with `kept` old files.
    fn rotate(&self, kept: usize) {
        let name = |n: usize| self.path(&format!("fno.log.{n}"));
        let _ = fs::remove_file(name(kept));
        for n in (1..kept).rev().filter(|n| name(*n).exists()) {
            fs::rename(name(n), name(n + 1)).unwrap();
        }
        fs::rename(self.path("fno.log"), name(1)).unwrap();
    }

    /// As logrotate's `copytruncate` does it.
    fn copy_and_truncate(&self, kept: usize) {
        let log = fs::read(self.path("fno.log")).unwrap();
        self.rotate(kept);
        fs::rename(self.path("fno.log.1"), self.path("fno.log")).unwrap();
        fs::write(self.path("fno.log.1"), log).unwrap();
        OpenOptions::new().write(true).open(self.path("fno.log")).unwrap().set_len(0).unwrap();
    }

    fn lines(&self, numbers: std::ops::Range<usize>) {
        numbers.for_each(|n| self.write(&line(n)));
    }
}

fn numbers(numbers: std::ops::Range<usize>) -> Vec<String> {
    numbers.map(|n| format!("{n:03}")).collect()
}

#[actix_web::test]
async fn several_rotations_at_once_lose_and_double_nothing() {
    let world = World::new();
    world.lines(0..3);
    world.rotate(9);
    world.lines(3..6);
    let mut follower = world.follow(LogFilter::default(), Start::Last(1));
    assert_eq!(news(&mut follower).await, ["005"]);
    for first in (6..30).step_by(4) {
        world.lines(first..first + 3);
        world.rotate(9);
        world.lines(first + 3..first + 4);
    }
    assert_eq!(news(&mut follower).await, numbers(6..30));
    world.lines(30..31);
    assert_eq!(news(&mut follower).await, ["030"]);
}

#[actix_web::test]
async fn a_file_that_was_deleted_before_it_could_be_read_is_told_of() {
    let world = World::new();
    world.lines(0..1);
    let mut follower = world.follow(LogFilter::default(), Start::Last(1));
    assert_eq!(news(&mut follower).await, ["000"]);
    for n in 1..5 {
        world.lines(n..n + 1);
        world.rotate(2);
    }
    world.lines(5..6);
    assert_eq!(news(&mut follower).await, ["001", "rotated", "003", "004", "005"]);
    world.rotate(9);
    world.lines(6..7);
    world.rotate(9);
    fs::remove_file(world.path("fno.log.1")).unwrap();
    world.lines(7..8);
    assert_eq!(news(&mut follower).await, ["rotated", "007"]);
    fs::remove_file(world.path("fno.log")).unwrap();
    world.lines(8..9);
    assert_eq!(news(&mut follower).await, ["rotated", "008"], "what was there in between nobody knows");
}

#[actix_web::test]
async fn a_file_that_was_packed_before_it_could_be_read_is_told_of_and_one_that_was_read_is_not() {
    let world = World::new();
    world.lines(0..1);
    let mut follower = world.follow(LogFilter::default(), Start::Last(1));
    assert_eq!(news(&mut follower).await, ["000"]);
    fs::write(world.path("fno.log.2.gz"), "an older one").unwrap();
    set_age(&world.path("fno.log.2.gz"), 100);
    world.rotate(1);
    world.lines(1..2);
    assert_eq!(news(&mut follower).await, ["001"]);
    fs::rename(world.path("fno.log.1"), world.path("fno.log.3")).unwrap();
    fs::rename(world.path("fno.log"), world.path("fno.log.2")).unwrap();
    fs::write(world.path("fno.log.1.gz"), "what nobody has read").unwrap();
    world.lines(2..3);
    assert_eq!(news(&mut follower).await, ["rotated", "002"]);
}

#[actix_web::test]
async fn numbers_that_count_up_and_dates_are_followed_too() {
    let world = World::new();
    world.lines(0..1);
    let mut follower = world.follow(LogFilter::default(), Start::Last(1));
    assert_eq!(news(&mut follower).await, ["000"]);
    for n in 1..4 {
        fs::rename(world.path("fno.log"), world.path(&format!("fno.{n}.log"))).unwrap();
        world.lines(n..n + 1);
        set_age(&world.path(&format!("fno.{n}.log")), 10 - n as u64);
    }
    assert_eq!(news(&mut follower).await, ["001", "002", "003"]);
    for n in 4..7 {
        fs::rename(world.path("fno.log"), world.path(&format!("fno.log.2024-08-0{n}"))).unwrap();
        world.lines(n..n + 1);
        set_age(&world.path(&format!("fno.log.2024-08-0{n}")), 10 - n as u64);
    }
    assert_eq!(news(&mut follower).await, ["004", "005", "006"]);
    assert_eq!(follower.name, "fno.log");
}

fn set_age(path: &Path, age: u64) {
    let time = std::time::SystemTime::now() - Duration::from_secs(age);
    fs::File::open(path).unwrap().set_modified(time).unwrap();
}

#[actix_web::test]
async fn copied_and_truncated_logs_lose_nothing_that_is_in_the_copy() {
    let world = World::new();
    world.lines(0..5);
    let mut follower = world.follow(LogFilter::default(), Start::Last(1));
    assert_eq!(news(&mut follower).await, ["004"]);
    world.copy_and_truncate(9);
    world.lines(5..10);
    assert_eq!(news(&mut follower).await, numbers(5..10));
    world.lines(10..12);
    world.copy_and_truncate(9);
    world.lines(12..15);
    world.copy_and_truncate(9);
    world.lines(15..16);
    assert_eq!(news(&mut follower).await, numbers(10..16), "not even of two at once");
}

#[actix_web::test]
async fn a_copy_beside_the_log_is_no_new_log() {
    let world = World::new();
    world.lines(0..5);
    let mut follower = world.follow(LogFilter::default(), Start::Last(1));
    assert_eq!(news(&mut follower).await, ["004"]);
    for name in ["fno_copy.log", "fno.log.1", "fno.log.bak", "fno-2024-08-05.log"] {
        fs::copy(world.path("fno.log"), world.path(name)).unwrap();
        fs::File::options().write(true).open(world.path(name)).unwrap().set_len(50).unwrap();
        assert_eq!(news(&mut follower).await, [""; 0], "{name}");
    }
    world.lines(5..6);
    assert_eq!(news(&mut follower).await, ["005"]);
}

#[actix_web::test]
async fn late_lines_of_a_rotated_file_are_delivered_until_it_was_quiet_for_a_while() {
    let world = World::new();
    world.lines(0..1);
    let mut follower = world.follow(LogFilter::default(), Start::Last(1));
    world.rotate(9);
    world.lines(1..2);
    assert_eq!(news(&mut follower).await, ["000", "001"]);
    let mark = follower.mark();
    append(&world.path("fno.log.1"), &line(2));
    assert_eq!(news(&mut follower).await, ["002"]);
    assert_eq!(follower.mark(), mark, "the position is that in the log");
    append(&world.path("fno.log.1"), "Traceback\n  003\n");
    world.lines(4..5);
    let mut both = news(&mut follower).await;
    both.sort_unstable();
    assert_eq!(both, ["+003", "004"]);
    tokio::time::advance(LINGER).await;
    assert_eq!(news(&mut follower).await, [""; 0]);
    append(&world.path("fno.log.1"), &line(5));
    assert_eq!(news(&mut follower).await, [""; 0], "nobody looks any more");
    assert!(follower.late.is_empty());
}

#[actix_web::test]
async fn who_comes_back_after_rotations_goes_on_in_the_old_file() {
    let world = World::new();
    world.lines(0..5);
    let mut follower = world.follow(LogFilter::default(), Start::Last(1));
    assert_eq!(news(&mut follower).await, ["004"]);
    let mark = follower.mark();
    world.lines(5..6);
    world.rotate(9);
    world.lines(6..7);
    world.rotate(9);
    world.lines(7..8);
    let mut back = world.follow(LogFilter::default(), Start::After(mark, 1));
    assert_eq!(news(&mut back).await, ["005", "006", "007"]);
    fs::remove_file(world.path("fno.log.2")).unwrap();
    let mut back = world.follow(LogFilter::default(), Start::After(mark, 1));
    assert_eq!(news(&mut back).await, ["unknown_position", "007"]);
}

#[actix_web::test]
async fn a_link_that_leads_to_another_file_is_a_rotation() {
    let world = World::new();
    append(&world.path("1.txt"), &line(0));
    std::os::unix::fs::symlink("1.txt", world.path("fno.log")).unwrap();
    let mut follower = world.follow(LogFilter::default(), Start::Last(1));
    append(&world.path("2.txt"), &line(1));
    fs::remove_file(world.path("fno.log")).unwrap();
    std::os::unix::fs::symlink("2.txt", world.path("fno.log")).unwrap();
    assert_eq!(news(&mut follower).await, ["000", "001"]);
}

#[derive(Debug, Clone)]
enum Deed {
    Write(usize),
    Rotate,
    Look,
    ComeBack,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn whatever_is_missing_is_told_and_nothing_comes_twice(
        deeds in proptest::collection::vec(
            prop_oneof![3 => (1..5usize).prop_map(Deed::Write), 2 => Just(Deed::Rotate), 1 => Just(Deed::Look), 1 => Just(Deed::ComeBack)],
            1..40,
        ),
        kept in 1..6usize,
        truncates: bool,
    ) {
        let (found, written) = actix_web::rt::System::new().block_on(async {
            let world = World::new();
            let mut written = 3;
            world.lines(0..written);
            let mut follower = world.follow(LogFilter::default(), Start::Last(3));
            let (mut found, mut position) = (news(&mut follower).await, follower.mark());
            for deed in deeds {
                match deed {
                    Deed::Write(count) => {
                        world.lines(written..written + count);
                        written += count;
                    }
                    Deed::Rotate if !world.path("fno.log").exists() => {}
                    Deed::Rotate if truncates => world.copy_and_truncate(kept),
                    Deed::Rotate => world.rotate(kept),
                    Deed::Look => found.extend(news(&mut follower).await),
                    Deed::ComeBack if !world.path("fno.log").exists() => {}
                    Deed::ComeBack => {
                        // who was not told yet that it is lost has its old position
                        position = if follower.is_lost() { position } else { follower.mark() };
                        follower = world.follow(LogFilter::default(), Start::After(position, 5000));
                    }
                }
            }
            world.lines(written..written + 1);
            found.extend(news(&mut follower).await);
            (found, written + 1)
        });
        let is_told = found.iter().any(|news| news.parse::<usize>().is_err());
        let records: Vec<usize> = found.iter().filter_map(|news| news.parse().ok()).collect();
        prop_assert!(records.is_sorted_by(|a, b| a < b), "{:?}", found);
        prop_assert!(is_told || records.len() == written, "{:?} of {}", found, written);
    }
}
