//! The embedded log against a model: a plain list of events.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::sqlite::{Opened, Place, open};
use super::sqlite_reader::SqliteReader;
use super::*;
use crate::domain::event::{Draft, Header};
use crate::domain::filter::tests::{filter, header};

const WINDOW: Duration = Duration::from_secs(3600);

fn memory() -> Place {
    Place::Memory(format!("test-{}", fastrand::u64(..)))
}

fn opened(place: &Place, durability: Durability) -> Opened {
    open(place, durability, WINDOW, Timestamp::from_micros(0)).expect("the log opens")
}

fn reader(place: &Place) -> SqliteReader {
    SqliteReader::open(place, Duration::from_secs(5)).expect("a reader opens")
}

fn event(id: u64, header: Header) -> Arc<Event> {
    Arc::new(Draft::new(header, "{}").stamp(EventId::from_u64(id)))
}

fn named(event_id: &str, source: &str) -> Header {
    Header {
        event_type: "a".into(),
        timestamp: Timestamp::from_micros(7),
        source: Some(source.into()),
        severity: None,
        profile_id: None,
        event_id: Some(event_id.into()),
        symbol: None,
        strategy: None,
    }
}

#[test]
fn a_type_that_is_named_twice_is_found_once() {
    let place = memory();
    let mut log = opened(&place, Durability::Memory).log;
    log.append(&[event(1, named("1", "fno"))]).expect("appended");
    let filter = Filter { event_types: vec!["a".into(), "a".into()], ..Filter::default() };
    let range = Range {
        after: EventId::ZERO,
        until: EventId::MAX,
        filter,
        newest_first: true,
        limit: 10,
        max_bytes: usize::MAX,
        ids_only: false,
    };
    assert_eq!(reader(&place).page(&range).expect("a page").events.len(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_page_of_any_filter_is_what_a_plain_list_gives(
        headers in proptest::collection::vec(header(), 0..60), filter in filter(), bounds in (0_u64..70, 0_u64..70),
        newest_first in any::<bool>(), limit in 1_usize..20,
    ) {
        let place = memory();
        let mut log = opened(&place, Durability::Memory).log;
        let events: Vec<_> = headers.iter().zip(1..).map(|(header, id)| event(id, header.clone())).collect();
        log.append(&events).expect("appended");

        let range = Range {
            after: EventId::from_u64(bounds.0), until: EventId::from_u64(bounds.1), filter: filter.clone(), newest_first, limit,
            max_bytes: usize::MAX, ids_only: false,
        };
        let mut expected: Vec<_> = events.iter()
            .filter(|e| e.id() > range.after && e.id() <= range.until && filter.matches(e.header()))
            .map(|e| (e.id(), e.tail().as_bytes().to_vec())).collect();
        if newest_first {
            expected.reverse();
        }
        let more = expected.len() > limit;
        expected.truncate(limit);

        let page = reader(&place).page(&range).expect("a page");
        let got: Vec<_> = page.events.into_iter().map(|stored| (stored.id, stored.tail)).collect();
        prop_assert_eq!(got, expected);
        prop_assert!(page.looked_at.is_some() >= more, "more is said to be there when it is");
    }

    #[test]
    fn counts_per_bucket_are_those_of_a_plain_list(
        headers in proptest::collection::vec(header(), 0..60), filter in filter(), shift in -3_i64..3,
    ) {
        let place = memory();
        let mut log = opened(&place, Durability::Memory).log;
        let shifted = |mut header: Header| {
            header.timestamp = Timestamp::from_micros((header.timestamp.micros() + shift) * 1_000_000);
            header
        };
        let events: Vec<_> = headers.into_iter().zip(1..).map(|(header, id)| event(id, shifted(header))).collect();
        log.append(&events).expect("appended");
        let scale = |time: Option<Timestamp>, default| Some(Timestamp::from_micros(time.map_or(default, Timestamp::micros) * 1_000_000));
        let filter = Filter { since: scale(filter.since, -10), until: scale(filter.until, 100), ..filter };

        let mut expected: BTreeMap<(i64, Option<String>), u64> = BTreeMap::new();
        for event in events.iter().filter(|e| filter.matches(e.header())) {
            let bucket = event.header().timestamp.micros().div_euclid(7_000_000) * 7_000_000;
            *expected.entry((bucket, event.header().symbol.as_ref().map(ToString::to_string))).or_default() += 1;
        }
        let counts = reader(&place).counts(&filter, 7, Some(GroupBy::Symbol)).expect("counts");
        let got: BTreeMap<_, _> = counts.into_iter().map(|c| ((c.bucket.micros(), c.group), c.count)).collect();
        prop_assert_eq!(got, expected);
    }

    #[test]
    fn events_read_back_whole(headers in proptest::collection::vec(header(), 1..20), last in 1_usize..30) {
        let place = memory();
        let mut log = opened(&place, Durability::Memory).log;
        let events: Vec<_> = headers.into_iter().zip(1..).map(|(header, id)| event(id, header)).collect();
        log.append(&events).expect("appended");
        let kept: Vec<_> = events.iter().rev().take(last).rev().collect();
        let read = reader(&place).newest(last, usize::MAX).expect("read");
        prop_assert_eq!(read.len(), kept.len());
        for (read, kept) in read.iter().zip(kept) {
            prop_assert_eq!(read.header(), kept.header());
            prop_assert_eq!(read.block(true), kept.block(true));
        }
    }
}

proptest! {
    /// Statements take one row or many, so batches are of any size about theirs.
    #[test]
    fn of_a_batch_of_any_size_each_event_is_there_once(ids in proptest::collection::vec(proptest::option::of(0_u32..100), 1..300)) {
        let place = memory();
        let mut log = opened(&place, Durability::Memory).log;
        let header = |id: Option<u32>| Header { event_id: id.map(|id| id.to_string().into()), ..named("", "s") };
        let batch: Vec<_> = ids.iter().zip(1..).map(|(id, n)| event(n, header(*id))).collect();
        let mut first = std::collections::HashMap::new();
        let (mut fresh, mut repeated) = (Vec::new(), Vec::new());
        for (index, (id, event)) in ids.iter().zip(&batch).enumerate() {
            match id.and_then(|id| first.get(&id).copied()) {
                Some(first) => repeated.push(Duplicate { index, first }),
                None => fresh.push(event.json().to_owned()),
            }
            id.map(|id| first.entry(id).or_insert_with(|| event.id()));
        }
        prop_assert_eq!(log.append(&batch), Ok(repeated));
        prop_assert_eq!(log.stats().events, fresh.len() as u64);
        let (read, _) = reader(&place).events(EventId::ZERO, EventId::MAX, 1_000, usize::MAX).expect("read");
        prop_assert_eq!(read.iter().map(|event| event.json().to_owned()).collect::<Vec<_>>(), fresh);
    }
}

#[test]
fn a_senders_own_id_is_known_within_the_window_per_source_and_over_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = Place::File(folder.path().join("journal.db"));
    let hour = 3_600_000_u64 << 20;
    let first = event(2 * hour, named("x-1", "fno"));
    {
        let mut log = opened(&place, Durability::Os).log;
        assert_eq!(log.append(&[first.clone(), event(2 * hour + 1, named("x-1", "other"))]), Ok(vec![]));
        let twice = [event(2 * hour + 2, named("x-2", "fno")), event(2 * hour + 3, named("x-2", "fno"))];
        let duplicate = Duplicate { index: 1, first: EventId::from_u64(2 * hour + 2) };
        assert_eq!(log.append(&twice), Ok(vec![duplicate]), "within one batch too");
    }
    let mut log = opened(&place, Durability::Os).log;
    assert_eq!(log.stats().events, 3);
    let again = log.append(&[event(2 * hour + 9, named("x-1", "fno"))]);
    assert_eq!(again, Ok(vec![Duplicate { index: 0, first: first.id() }]));
    assert_eq!(log.append(&[event(3 * hour + (9 << 20), named("x-1", "fno"))]), Ok(vec![]), "the window is over");
    assert_eq!(log.stats().events, 4);
}

#[test]
fn retention_deletes_the_oldest_and_remembers_how_far() {
    let place = memory();
    let mut log = opened(&place, Durability::Memory).log;
    let events: Vec<_> = (1..=5000).map(|id| event(id << 20, named(&id.to_string(), "s"))).collect();
    log.append(&events).expect("appended");
    while log.retain(EventId::from_u64(4001 << 20), u64::MAX).expect("retained") {}
    let stats = log.stats();
    assert_eq!((stats.events, stats.floor), (1000, EventId::from_u64(4000 << 20)));
    while log.retain(EventId::ZERO, 0).expect("retained") {}
    assert_eq!(log.stats().events, 0);
    assert_eq!(log.stats().newest, EventId::from_u64(5000 << 20), "ids go on behind what was deleted");
}

#[test]
fn a_broken_file_is_set_aside_untouched_and_a_new_log_starts() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("journal.db");
    std::fs::write(&path, b"this is no database, but somebody may still want it").expect("written");
    let opened = opened(&Place::File(path), Durability::Fsync);
    let aside = opened.set_aside.expect("set aside");
    assert!(std::fs::read(aside).expect("kept").starts_with(b"this is no database"));
    assert_eq!(opened.log.stats().events, 0);
}

#[test]
fn two_writers_of_one_file_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = Place::File(folder.path().join("journal.db"));
    let _first = opened(&place, Durability::Fsync);
    let second = open(&place, Durability::Fsync, WINDOW, Timestamp::from_micros(0));
    assert!(second.expect_err("refused").to_string().contains("another process"));
}

#[test]
fn a_full_disk_takes_nothing_of_the_batch_and_the_log_goes_on_when_there_is_room() {
    let place = memory();
    let mut log = opened(&place, Durability::Memory).log;
    log.limit_pages(64);
    let large =
        |id: u64| event(id, Header { source: None, event_id: None, symbol: Some("x".repeat(100_000).into()), ..named("", "") });
    let batch: Vec<_> = (1..50).map(large).collect();
    assert!(matches!(log.append(&batch), Err(StorageError::Full(_))));
    assert!(log.probe().is_err());
    assert_eq!(log.stats().events, 0);
    log.limit_pages(u32::MAX);
    log.probe().expect("there is room again");
    log.append(&batch).expect("appended");
    assert_eq!(reader(&place).newest(100, usize::MAX).expect("read").len(), 49);
}

#[test]
fn a_search_without_patience_says_how_far_it_came_and_ends_in_the_end() {
    let place = memory();
    let mut log = opened(&place, Durability::Memory).log;
    let header = |id: u64| Header {
        symbol: Some(if id.is_multiple_of(1000) { "rare" } else { "common" }.into()),
        event_id: None,
        ..named("", "s")
    };
    let events: Vec<_> = (1..=5000).map(|id| event(id, header(id))).collect();
    log.append(&events).expect("appended");
    for newest_first in [false, true] {
        let mut hurried = SqliteReader::open(&place, Duration::from_nanos(2)).expect("a reader opens");
        hurried.never_interrupt();
        let filter = Filter { symbols: vec!["rare".into()], ..Filter::default() };
        let mut range = Range {
            after: EventId::ZERO,
            until: EventId::MAX,
            filter,
            newest_first,
            limit: 100,
            max_bytes: usize::MAX,
            ids_only: true,
        };
        let (mut found, mut pages) = (Vec::new(), 0);
        loop {
            let page = hurried.page(&range).expect("a page");
            found.extend(page.events.iter().map(|event| event.id.get()));
            pages += 1;
            let Some(looked_at) = page.looked_at else { break };
            if newest_first { range.until = looked_at.before() } else { range.after = looked_at }
        }
        found.sort_unstable();
        assert_eq!(found, [1000, 2000, 3000, 4000, 5000]);
        assert!(pages > 5, "{pages} pages");
    }
}

#[test]
fn senders_ids_do_not_outlive_events_that_had_to_go_for_their_size() {
    let place = memory();
    let mut log = opened(&place, Durability::Memory).log;
    let events: Vec<_> = (1..=20_000).map(|id| event(id << 20, named(&format!("engine-{id}"), "source"))).collect();
    log.append(&events).expect("appended");
    let half = log.stats().bytes / 2;
    while log.retain(EventId::ZERO, half).expect("retained") {}
    let stats = log.stats();
    assert!(stats.bytes <= half, "{} of {half} bytes", stats.bytes);
    assert!(stats.events > 5_000, "{} events are left", stats.events);
}

#[test]
fn a_log_of_a_newer_version_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("journal.db");
    let place = Place::File(path.clone());
    drop(opened(&place, Durability::Fsync));
    let raw = rusqlite::Connection::open(&path).expect("opened");
    raw.pragma_update(None, "user_version", 99).expect("set");
    drop(raw);
    let error = open(&place, Durability::Fsync, WINDOW, Timestamp::from_micros(0)).expect_err("refused");
    assert!(error.to_string().contains("newer version"), "{error}");
    assert!(path.exists());
}

#[test]
fn damage_where_the_next_events_go_sets_the_log_aside() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("journal.db");
    let place = Place::File(path.clone());
    let mut log = opened(&place, Durability::Os).log;
    let events: Vec<_> = (1..=2_000).map(|id| event(id << 20, named(&id.to_string(), "s"))).collect();
    log.append(&events).expect("appended");
    drop(log);
    let mut bytes = std::fs::read(&path).expect("read");
    let intact = 3 * 8192;
    bytes.iter_mut().skip(intact).for_each(|byte| *byte = 0xA5);
    std::fs::write(&path, &bytes).expect("damaged");
    let opened = opened(&place, Durability::Os);
    assert!(std::fs::read(opened.set_aside.expect("set aside")).expect("kept").ends_with(&[0xA5; 64]));
}

#[test]
fn what_goes_into_a_deleted_file_is_refused_until_the_file_is_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("journal.db");
    let mut log = opened(&Place::File(path.clone()), Durability::Os).log;
    log.append(&[event(1 << 20, named("a", "s"))]).expect("appended");
    let elsewhere = folder.path().join("elsewhere.db");
    std::fs::rename(&path, &elsewhere).expect("moved");
    assert!(log.append(&[event(2 << 20, named("b", "s"))]).is_err());
    assert!(log.probe().is_err());
    std::fs::rename(&elsewhere, &path).expect("moved back");
    log.probe().expect("it is the same file");
    log.append(&[event(3 << 20, named("c", "s"))]).expect("appended");
    assert_eq!(log.stats().events, 2);
}

#[test]
fn damage_that_is_met_at_work_sets_the_log_aside_at_the_next_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("journal.db");
    let place = Place::File(path.clone());
    drop(opened(&place, Durability::Os));
    let raw = rusqlite::Connection::open(&path).expect("opened");
    let sql = "select rootpage from sqlite_schema where name = 'by_type'";
    let page: usize = raw.query_row(sql, [], |row| row.get(0)).expect("its page");
    raw.query_row("pragma wal_checkpoint(truncate)", [], |_| Ok(())).expect("written back");
    drop(raw);
    let mut bytes = std::fs::read(&path).expect("read");
    bytes.iter_mut().skip((page - 1) * 8192).take(8192).for_each(|byte| *byte = 0xA5);
    std::fs::write(&path, &bytes).expect("damaged");
    let mut log = opened(&place, Durability::Os).log;
    let refused = log.append(&[event(1 << 50, named("a", "s"))]);
    assert!(matches!(refused, Err(StorageError::Broken(_))), "{refused:?}");
    drop(log);
    let mut again = opened(&place, Durability::Os);
    assert!(again.set_aside.is_some());
    again.log.append(&[event(1 << 50, named("a", "s"))]).expect("appended");
    drop(again);
    assert!(opened(&place, Durability::Os).set_aside.is_none(), "once is enough");
}
