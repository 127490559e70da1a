use super::*;
use proptest::prelude::*;

fn version(n: i64) -> Version {
    Version { modified: Timestamp::from_micros(n * 1_000_000), changed: (n, 0), len: 1, inode: 1 }
}

fn event(payload: &str) -> Reading {
    Reading::Event(Finding { event_type: "engine_heartbeat", payload: payload.to_owned(), said: None })
}

/// Content that says that it was written at `second`.
fn dated(payload: &str, second: i64) -> Reading {
    let said = Some(Timestamp::from_micros(second * 1_000_000));
    Reading::Event(Finding { event_type: "engine_heartbeat", payload: payload.to_owned(), said })
}

/// Reads it, and publishes what is news; gives the second since when it is so.
fn published(file: &mut Artifact, version: Version, reading: Reading) -> Option<i64> {
    let Step::Publish(news) = file.read(version, reading, ms(0), later()) else { return None };
    file.published(news.mark);
    Some(news.stamp.micros() / 1_000_000)
}

fn bad() -> Reading {
    Reading::Bad("is empty".to_owned())
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Long after every file's time.
fn later() -> Timestamp {
    Timestamp::from_micros(1_000_000_000_000)
}

#[test]
fn a_good_file_is_published_once_for_each_content() {
    let mut file = Artifact::default();
    let Step::Publish(news) = file.read(version(1), event("{}"), ms(0), later()) else { panic!("news") };
    assert!(!news.remembered, "an earlier run may have published it");
    file.published(news.mark);
    assert!(!file.is_news(&version(1), ms(9_000)));
    let replaced = Version { inode: 2, ..version(1) };
    assert!(file.is_news(&replaced, ms(9_000)));
    assert_eq!(file.read(replaced, event("{}"), ms(9_000), later()), Step::Rest, "the same time and content");
    let Step::Publish(news) = file.read(version(2), event("{1}"), ms(9_001), later()) else { panic!("news") };
    assert!(news.remembered);
}

#[test]
fn a_file_that_is_touched_or_put_back_as_it_was_is_no_news() {
    let mut file = Artifact::default();
    assert_eq!(published(&mut file, version(100), dated("a", 99)), Some(99));
    assert_eq!(published(&mut file, version(200), dated("a", 99)), None, "touched");
    let restored = Version { inode: 7, ..version(300) };
    assert_eq!(published(&mut file, restored, dated("a", 99)), None, "restored");
}

#[test]
fn content_is_as_fresh_as_its_file_only_if_its_own_time_went_on() {
    let mut file = Artifact::default();
    assert_eq!(published(&mut file, version(500), dated("a", 99)), Some(99), "at first sight");
    // a clock that is behind is no fault of the engine
    assert_eq!(published(&mut file, version(505), dated("b", 104)), Some(505));
    assert_eq!(published(&mut file, version(510), dated("c", 104)), Some(510), "its time is coarse");
    assert_eq!(published(&mut file, version(900), dated("a", 99)), Some(99), "out of a backup");
    assert_eq!(published(&mut file, version(901), dated("d", 9_999)), Some(901), "a clock that is ahead");
    assert_eq!(published(&mut Artifact::default(), version(500), dated("a", 9_999)), Some(500));
}

#[test]
fn a_record_without_a_time_is_written_anew_by_a_new_file_and_not_by_a_touch() {
    let mut file = Artifact::default();
    assert_eq!(published(&mut file, version(100), event("a")), Some(100));
    assert_eq!(published(&mut file, version(200), event("a")), None, "touched");
    assert_eq!(published(&mut file, Version { inode: 2, ..version(300) }, event("a")), Some(300));
    assert_eq!(published(&mut file, Version { inode: 3, ..version(200) }, event("a")), None, "an older file");
}

#[test]
fn a_half_written_file_that_is_completed_is_never_reported() {
    let mut file = Artifact::default();
    assert_eq!(file.read(version(1), bad(), ms(0), later()), Step::Again(SETTLE));
    assert!(!file.is_news(&version(1), ms(499)), "it rests");
    assert_eq!(file.read(version(2), bad(), ms(400), later()), Step::Again(SETTLE), "it changed, so it is waited for anew");
    assert!(matches!(file.read(version(3), event("{}"), ms(800), later()), Step::Publish(_)));
}

#[test]
fn a_file_that_rests_and_is_not_understood_is_reported_once_it_has_rested() {
    let mut file = Artifact::default();
    file.read(version(1), bad(), ms(0), later());
    assert!(file.is_news(&version(1), ms(500)));
    assert_eq!(file.read(version(1), bad(), ms(500), later()), Step::Report("is empty".to_owned()));
    assert!(!file.is_news(&version(1), ms(60_000)), "there is nothing new to see");
    assert_eq!(file.read(version(2), Reading::Nothing, ms(61_000), later()), Step::Rest);
}

#[test]
fn a_file_that_nobody_can_tell_of_yet_is_read_again() {
    let mut file = Artifact::default();
    assert_eq!(file.read(version(1), Reading::Unclear, ms(0), later()), Step::Again(SETTLE));
    assert!(file.is_news(&version(1), ms(500)));
    assert_eq!(file.read(version(1), Reading::Nothing, ms(500), later()), Step::Rest);
    assert!(!file.is_news(&version(1), ms(501)));
}

#[test]
fn a_file_that_never_rests_is_reported_after_a_while() {
    let mut file = Artifact::default();
    let steps = (0..60).map(|n| file.read(version(n), bad(), ms(u64::try_from(n).expect("small") * 100), later()));
    let reported = steps.map(|step| matches!(step, Step::Report(_))).collect::<Vec<_>>();
    assert_eq!(reported.iter().position(|reported| *reported), Some(50));
}

#[test]
fn content_read_within_a_tick_of_the_files_clock_is_read_again() {
    let mut file = Artifact::default();
    let Step::Publish(news) = file.read(version(1), event("1"), ms(0), Timestamp::from_micros(1_000_500)) else { panic!() };
    file.published(news.mark);
    assert!(file.is_news(&version(1), ms(1)));
    assert!(matches!(file.read(version(1), event("2"), ms(1), later()), Step::Publish(_)), "same version, other content");
    assert!(!file.is_news(&version(1), ms(2)));
}

#[test]
fn what_could_not_be_published_is_read_and_asked_for_again() {
    let mut file = Artifact::default();
    file.read(version(1), event("{}"), ms(0), later());
    file.forget();
    assert!(file.is_news(&version(1), ms(1)));
    let step = file.read(version(1), event("{}"), ms(1), later());
    assert!(matches!(step, Step::Publish(News { remembered: false, .. })), "{step:?}");
}

proptest! {
    #[test]
    fn a_file_whose_last_content_is_good_ends_with_that_content_published(
        states in prop::collection::vec((any::<bool>(), 0..3_u8, 1..900_u64), 1..30), last in 0..3_u8,
    ) {
        let (mut file, mut now, mut published) = (Artifact::default(), ms(0), None);
        let states = states.into_iter().chain([(true, last, 1)]);
        for (n, (is_good, content, wait)) in (1..).zip(states) {
            now += ms(wait);
            let reading = if is_good { event(&content.to_string()) } else { bad() };
            prop_assert!(file.is_news(&version(n), now));
            if let Step::Publish(news) = file.read(version(n), reading, now, later()) {
                prop_assert_ne!(published, Some(news.mark.content), "published twice");
                file.published(news.mark);
                published = Some(news.mark.content);
            }
        }
        prop_assert_eq!(published, Some(Content::of(&last.to_string())));
    }
}
