//! The ledger's file: when it is broken, gone, or on a full disk.

use super::sqlite::{Opened, open};
use super::tests::{always, closed, kolkata, opened, reader, trade};
use super::*;
use crate::domain::analytics::trade::BREAKOUT;
use crate::storage::sqlite::Place;

#[test]
fn a_file_that_is_no_database_is_set_aside_untouched() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("ledger.db");
    std::fs::write(&path, [b'?'; 20_000]).expect("written");
    let Opened { ledger, set_aside } = open(&Place::File(path), kolkata(), Timestamp::from_micros(7)).expect("opened");
    assert_eq!(ledger.cursor(), EventId::ZERO);
    assert_eq!(std::fs::read(set_aside.expect("set aside")).expect("there"), [b'?'; 20_000]);
}

#[test]
fn a_deleted_file_and_damage_that_was_met_are_found_out() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("ledger.db");
    let place = Place::File(path.clone());
    let mut ledger = opened(&place, kolkata());
    assert_eq!(ledger.check(), Ok(()));
    ledger.distrust(&StorageError::Broken("a page".into()));
    drop(ledger);
    let Opened { mut ledger, set_aside } = open(&place, kolkata(), Timestamp::from_micros(7)).expect("opened");
    assert!(set_aside.is_some());
    std::fs::remove_file(path).expect("deleted");
    assert!(ledger.check().is_err());
    assert!(ledger.write(&[], EventId::ZERO).is_err());
}

#[test]
fn a_full_disk_takes_nothing_of_the_batch_and_the_ledger_goes_on_when_there_is_room() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = Place::File(folder.path().join("ledger.db"));
    let mut ledger = opened(&place, kolkata());
    ledger.write(&[closed(1, trade("A", BREAKOUT, Some(1), 0))], EventId::from_u64(1)).expect("written");
    let many: Vec<Entry> =
        (2..20_000).map(|id| closed(id, trade("A", BREAKOUT, Some(1), i64::try_from(id).expect("small")))).collect();
    ledger.limit_pages(64);
    for _ in 0..2 {
        let refused = ledger.write(&many, EventId::from_u64(20_000));
        assert!(matches!(refused, Err(StorageError::Full(_))), "{refused:?}");
        assert_eq!((ledger.cursor(), ledger.folded()), (EventId::from_u64(1), EventId::from_u64(1)));
    }
    assert_eq!(reader(&place).traded(1, always(), Scope::All).expect("read").tally.trades, 1);
    ledger.limit_pages(u32::MAX);
    ledger.write(&many, EventId::from_u64(20_000)).expect("there is room again");
    assert_eq!(reader(&place).traded(1, always(), Scope::All).expect("read").tally.trades, 19_999);
    drop(ledger);
    let Opened { ledger, set_aside } = open(&place, kolkata(), Timestamp::from_micros(7)).expect("opened");
    assert_eq!((ledger.cursor(), set_aside), (EventId::from_u64(20_000), None), "a full disk is no damage");
}
