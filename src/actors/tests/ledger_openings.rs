//! Questions and complaints about a file that is not the ledger's any more, and the end of a ledger that is not done.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use actix::Arbiter;
use chrono::NaiveTime;
use parking_lot::Mutex;

use super::super::history::History;
use super::super::journal_reader::JournalReaderHandle;
use super::super::ledger_handle::{LedgerError, LedgerHandle, Readers};
use super::super::trade_ledger::Surroundings;
use super::world::{LIMITS, World, manual};
use crate::domain::clock::Timestamp;
use crate::domain::risk::session::Session;
use crate::storage::StorageError;
use crate::storage::ledger::sqlite::open;
use crate::storage::ledger::sqlite_reader::SqliteLedgerReader;
use crate::storage::ledger::{LedgerReader, Scope, Span};
use crate::storage::sqlite::Place;

struct Ledger {
    world: World,
    handle: LedgerHandle,
    folder: tempfile::TempDir,
}

impl Ledger {
    fn start(world: World, history: History) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let place = Place::File(folder.path().join("ledger.db"));
        let session = Session::new(chrono_tz::Tz::UTC, NaiveTime::MIN);
        let read = place.clone();
        let around = Surroundings {
            open: Box::new(move || {
                let opened = open(&place, session, Timestamp::from_micros(7))?;
                let name = opened.set_aside.map(|file| file.to_string_lossy().into_owned());
                Ok((Box::new(opened.ledger) as _, name))
            }),
            session,
            batch_size: 1_000,
            flush_interval: Duration::from_secs(1),
            bus: world.bus.clone(),
            journal: world.journal.clone(),
            panics: world.panics.clone(),
        };
        let opened = move || -> Result<Box<dyn LedgerReader>, StorageError> {
            Ok(Box::new(SqliteLedgerReader::open(&read, Duration::from_secs(5))?))
        };
        let readers = Readers { threads: 1, queue: 10, open: Arc::new(opened) };
        let handle = LedgerHandle::start(&Arbiter::current(), history, around, readers);
        Self { world, handle, folder }
    }

    /// Asks, and has the reader wait for a word before it answers `answer`; gives what says the word, once the reader waits.
    async fn hold(&self, answer: Result<(), StorageError>) -> (tokio::task::JoinHandle<Result<(), LedgerError>>, Sender<()>) {
        let ((word, said), (begun, begins)) = (channel::<()>(), channel::<()>());
        let handle = self.handle.clone();
        let asked = async move {
            let work = move |_: &mut dyn LedgerReader| {
                let _ = begun.send(());
                let _ = said.recv();
                answer
            };
            handle.ask(work).await
        };
        let asked = actix::spawn(asked);
        // without letting the paused time run
        while begins.try_recv().is_err() {
            tokio::task::yield_now().await;
        }
        (asked, word)
    }

    fn opening(&self) -> u64 {
        self.handle.status().opening.load(Ordering::SeqCst)
    }
}

fn always() -> Span {
    Span { start: Timestamp::from_micros(i64::MIN), end: Timestamp::from_micros(i64::MAX) }
}

#[actix_web::test]
async fn a_question_of_one_file_is_not_answered_from_another_which_its_complaint_leaves_alone() {
    tokio::time::pause();
    let world = World::new(100, LIMITS);
    let history = world.history.clone();
    let ledger = Ledger::start(world, history);
    ledger.world.settle().await;
    assert_eq!(ledger.opening(), 1);
    let (complaint, word) = ledger.hold(Err(StorageError::Broken("a page of the old file".into()))).await;
    let handle = ledger.handle.clone();
    let question = actix::spawn(async move { handle.ask(|ledger| ledger.traded(1, always(), Scope::All)).await });
    ledger.world.settle().await;
    // somebody moves the file away: the ledger begins a new one
    let path = ledger.folder.path().join("ledger.db");
    for side in ["", "-wal", "-shm"] {
        let file = path.with_file_name(format!("ledger.db{side}"));
        std::fs::rename(&file, file.with_extension(format!("old{side}"))).expect("renamed");
    }
    ledger.world.pass(Duration::from_secs(4)).await;
    let reopened = ledger.opening();
    assert_eq!((reopened, ledger.handle.status().failed.load(Ordering::SeqCst)), (3, 1));
    word.send(()).expect("it waits");
    assert_eq!(question.await.expect("asked"), Err(LedgerError::Rebuilding));
    let complaint = complaint.await.expect("asked");
    assert!(matches!(complaint, Err(LedgerError::Storage(StorageError::Broken(_)))), "{complaint:?}");
    ledger.world.pass(Duration::from_secs(4)).await;
    assert_eq!((ledger.opening(), ledger.handle.status().set_aside.lock().clone()), (reopened, None), "the new file is sound");
}

#[actix_web::test]
async fn a_ledger_that_is_being_rebuilt_ends_at_once() {
    tokio::time::pause();
    let world = World::new(2, LIMITS);
    world.publish(0..5).await;
    // a journal that does not answer
    let (word, said): (Sender<()>, Receiver<()>) = channel();
    let said = Mutex::new(said);
    let stalled = move || {
        let _ = said.lock().recv();
        Err(StorageError::Failed("no journal".into()))
    };
    let readers = JournalReaderHandle::start(1, Duration::from_secs(3_600), Arc::new(stalled), world.panics.clone());
    let clock = manual(Arc::clone(&world.hand));
    let history = History::new(Arc::clone(&world.ring), readers, clock, world.journal.clone());
    let ledger = Ledger::start(world, history);
    ledger.world.settle().await;
    assert!(!ledger.handle.status().is_rebuilt.load(Ordering::SeqCst));
    tokio::time::timeout(Duration::from_secs(60), ledger.handle.stop()).await.expect("it ends");
    drop(word);
}
