use std::collections::BTreeMap;

use rust_decimal::Decimal;
use tempfile::TempDir;

use super::*;
use crate::domain::risk::limits::LimitKind;

fn now() -> Timestamp {
    Timestamp::from_micros(1_763_452_541_000_000)
}

fn base() -> Limits {
    Limits::from_fn(|_| Decimal::from(50))
}

/// A folder of its own.
struct Desk(TempDir);

impl Desk {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn overrides(&self) -> PathBuf {
        self.0.path().join("configs").join("overrides.yaml")
    }

    fn risk(&self, file: &str) -> PathBuf {
        self.0.path().join("risk").join(file)
    }

    fn write(&self, text: &str) {
        fs::create_dir_all(self.overrides().parent().expect("a folder")).expect("made");
        fs::write(self.overrides(), text).expect("written");
    }

    fn open(&self) -> LimitsBook {
        self.open_with(base())
    }

    fn open_with(&self, base: Limits) -> LimitsBook {
        LimitsBook::open(base, Places { overrides: self.overrides(), folder: self.0.path().join("risk") }, now())
    }

    /// Actor and number of each line of the history.
    fn history(&self) -> Vec<(String, u64)> {
        let text = fs::read_to_string(self.risk(HISTORY)).unwrap_or_default();
        text.lines().filter_map(LimitsChange::parse).map(|change| (change.actor, change.seq)).collect()
    }

    /// Every file, by its path.
    fn snapshot(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let files = ["risk", "configs"].iter().filter_map(|folder| fs::read_dir(self.0.path().join(folder)).ok()).flatten();
        files.filter_map(Result::ok).map(|file| (file.path(), fs::read(file.path()).expect("read"))).collect()
    }

    /// Puts the folder back to how it was.
    fn restore(&self, files: &BTreeMap<PathBuf, Vec<u8>>) {
        for path in self.snapshot().keys().filter(|path| !files.contains_key(*path)) {
            fs::remove_file(path).expect("removed");
        }
        for (path, bytes) in files {
            fs::write(path, bytes).expect("written");
        }
    }
}

fn patch(json: &str) -> Patch {
    Patch::parse(json).expect("valid")
}

fn trades(book: &LimitsBook) -> Decimal {
    book.effective().get(LimitKind::MaxTradesPerDay)
}

fn set(book: &mut LimitsBook, value: u32) {
    let done = book.change(&patch(&format!(r#"{{"max_trades_per_day":{value}}}"#)), "alice", now());
    assert_eq!(done, Ok(true));
}

#[test]
fn a_change_is_in_the_file_in_the_history_and_there_after_a_restart() {
    let desk = Desk::new();
    let mut book = desk.open();
    set(&mut book, 15);
    assert!(fs::read_to_string(desk.overrides()).expect("written").contains("max_trades_per_day: 15\n"));
    assert_eq!(book.change(&patch(r#"{"max_trades_per_day":15.0}"#), "bob", now()), Ok(false), "nothing is different");
    assert_eq!(desk.history(), [("alice".to_owned(), 1)]);
    assert_eq!(book.take_news().len(), 1);
    let again = desk.open();
    assert_eq!((trades(&again), again.effective().source(LimitKind::MaxTradesPerDay)), (Decimal::from(15), "override"));
    assert_eq!(again.last().map(|last| last.actor.as_str()), Some("alice"));
}

#[test]
fn after_a_crash_at_any_step_file_and_history_agree_and_know_who_did_it() {
    // each step of a change leaves the folder as it is found here: the steps before it done, those after it not
    let desk = Desk::new();
    set(&mut desk.open(), 15);
    let before = desk.snapshot();
    set(&mut desk.open(), 7);
    let after = desk.snapshot();
    let order = [desk.risk(STATE), desk.overrides(), desk.risk(HISTORY)];
    for done in 0..=order.len() {
        let mut files = before.clone();
        for path in order.iter().take(done) {
            files.insert(path.clone(), after[path].clone());
        }
        desk.restore(&files);
        let mut book = desk.open();
        let expected = if done >= 2 { 7 } else { 15 };
        assert_eq!(trades(&book), Decimal::from(expected), "after {done} steps");
        let mut history = vec![("alice".to_owned(), 1)];
        history.extend((done >= 2).then(|| ("alice".to_owned(), 2)));
        assert_eq!(desk.history(), history, "after {done} steps");
        assert_eq!(book.last().map(|last| last.seq), history.last().map(|(_, seq)| *seq));
        // nothing had been announced, so all of it is news; a repetition is known by its id
        assert_eq!(book.take_news().len(), history.len(), "after {done} steps");
        book.announced(2);
        assert_eq!(desk.open().take_news().len(), 0);
        assert_eq!(desk.history().len(), history.len(), "a further start adds nothing");
    }
}

#[test]
fn edits_by_hand_are_picked_up_and_audited_whether_the_service_runs_or_not() {
    let desk = Desk::new();
    let mut book = desk.open();
    desk.write("max_trades_per_day: 9\n");
    book.look(now());
    assert_eq!((trades(&book), desk.history()), (Decimal::from(9), vec![("file".to_owned(), 1)]));
    desk.write("max_trades_per_day: 8\n# and more\n");
    let mut book = desk.open();
    assert_eq!((trades(&book), desk.history().len(), book.last().map(|last| last.seq)), (Decimal::from(8), 2, Some(2)));
    desk.write("max_trades_per_day: 8\n");
    book.look(now());
    assert_eq!(desk.history().len(), 2, "a comment is no change");
    fs::remove_file(desk.overrides()).expect("removed");
    book.look(now());
    assert_eq!((trades(&book), book.has_file(), desk.history().len()), (Decimal::from(50), false, 3));
}

#[test]
fn a_change_of_the_base_is_the_configurations() {
    let desk = Desk::new();
    set(&mut desk.open(), 15);
    let book = desk.open_with(Limits::from_fn(|_| Decimal::from(60)));
    assert_eq!(desk.history(), [("alice".to_owned(), 1), ("config".to_owned(), 2)]);
    assert_eq!((trades(&book), book.effective().get(LimitKind::MaxLossStreak)), (Decimal::from(15), Decimal::from(60)));
}

#[test]
fn a_bad_file_keeps_the_last_good_limits_over_a_restart_and_is_never_written_over() {
    let desk = Desk::new();
    set(&mut desk.open(), 15);
    let mut book = desk.open();
    for bad in ["max_trades_per_day: [", "max_trades_per_day: many\n", "- 1\n", "max_trades_per_day: -1\n"] {
        desk.write(bad);
        book.look(now());
        assert_eq!((trades(&book), book.file().err().map(|fault| fault.status)), (Decimal::from(15), Some("malformed")));
        let refused = book.change(&patch(r#"{"max_trades_per_day":3}"#), "alice", now());
        assert!(matches!(refused, Err(ChangeError::File { status: "malformed", .. })), "{refused:?}");
        assert_eq!(fs::read_to_string(desk.overrides()).expect("there"), bad);
        book = desk.open();
        assert_eq!(trades(&book), Decimal::from(15), "after a restart");
    }
    assert_eq!(desk.history().len(), 1);
    desk.write("max_trades_per_day: 4\n");
    book.look(now());
    assert_eq!((trades(&book), book.file().is_ok()), (Decimal::from(4), true));
}

#[test]
fn a_folder_or_a_huge_file_in_its_place_is_unreadable_and_the_base_holds_when_nothing_else_is_known() {
    let desk = Desk::new();
    fs::create_dir_all(desk.overrides()).expect("made");
    let book = desk.open();
    assert_eq!((trades(&book), book.file().err().map(|fault| fault.status)), (Decimal::from(50), Some("unreadable")));
    let desk = Desk::new();
    desk.write(&"# comment\n".repeat(200_000));
    assert_eq!(desk.open().file().err().map(|fault| fault.status), Some("unreadable"));
}

#[test]
fn what_the_disk_does_not_take_changes_nothing_and_what_it_takes_late_is_not_forgotten() {
    let desk = Desk::new();
    let mut book = desk.open();
    // a file where the folder belongs
    fs::write(desk.0.path().join("risk"), "in the way").expect("written");
    let refused = book.change(&patch(r#"{"max_trades_per_day":3}"#), "alice", now());
    assert!(matches!(refused, Err(ChangeError::Disk(_))), "{refused:?}");
    assert!((trades(&book), desk.overrides().exists()) == (Decimal::from(50), false));
    // somebody's edit holds at once, and enters the history when there is room for it
    desk.write("max_trades_per_day: 9\n");
    book.look(now());
    assert!(trades(&book) == Decimal::from(9) && book.failure().is_some() && desk.history().is_empty());
    fs::remove_file(desk.0.path().join("risk")).expect("removed");
    book.look(now());
    assert!(book.failure().is_none() && desk.history() == [("file".to_owned(), 1)]);
    set(&mut book, 3);
}

#[test]
fn what_others_put_into_the_file_stays_and_a_link_stays_a_link() {
    let desk = Desk::new();
    desk.write("# desk 7\nother: {a: 1}\n");
    let target = desk.0.path().join("target.yaml");
    fs::rename(desk.overrides(), &target).expect("moved");
    std::os::unix::fs::symlink(&target, desk.overrides()).expect("linked");
    set(&mut desk.open(), 15);
    assert_eq!(fs::read_to_string(&target).expect("there"), "# desk 7\nother: {a: 1}\nmax_trades_per_day: 15\n");
    assert!(fs::symlink_metadata(desk.overrides()).expect("there").is_symlink());
}

#[test]
fn a_change_that_took_the_files_place_but_could_not_be_synced_is_the_operators_and_said_to_be_in_force() {
    let desk = Desk::new();
    let mut book = desk.open();
    book.replace = |path, bytes| atomic_file::replace(path, bytes).and(Err(io::ErrorKind::StorageFull.into()));
    let done = book.change(&patch(r#"{"max_trades_per_day":15}"#), "alice", now());
    assert!(matches!(done, Err(ChangeError::InForce(_))) && book.failure().is_some(), "{done:?}");
    let again = book.change(&patch(r#"{"max_trades_per_day":15}"#), "alice", now());
    assert_eq!((again, book.failure()), (Ok(false), None), "by now it is synced");
    assert_eq!((trades(&book), desk.history()), (Decimal::from(15), vec![("alice".to_owned(), 1)]));
    assert_eq!(book.take_news().len(), 1);
    book.replace = |_, _| Err(io::ErrorKind::StorageFull.into());
    let refused = book.change(&patch(r#"{"max_trades_per_day":7}"#), "alice", now());
    assert!(matches!(refused, Err(ChangeError::Disk(_))), "{refused:?}");
    book.look(now());
    assert_eq!((trades(&book), desk.history().len()), (Decimal::from(15), 1));
}

#[test]
fn what_is_not_announced_can_be_recalled_whether_it_is_in_the_history_or_not() {
    let desk = Desk::new();
    let mut book = desk.open();
    set(&mut book, 15);
    set(&mut book, 7);
    fs::remove_dir_all(desk.0.path().join("risk")).expect("removed");
    fs::write(desk.0.path().join("risk"), "in the way").expect("written");
    desk.write("max_trades_per_day: 9\n");
    book.look(now());
    book.announced(1);
    book.take_news();
    book.recall();
    assert_eq!(book.take_news().iter().map(|news| news.seq).collect::<Vec<_>>(), [2, 3]);
}
