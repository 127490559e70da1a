//! The ledger when its database fails: a full disk, damage that a reader meets, and a journal that does not wait for it.

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix::{Actor as _, Addr};
use chrono::NaiveTime;
use futures_util::future::{Either, select};

use super::super::ledger_handle::{LedgerError, LedgerStatus};
use super::super::trade_ledger::{Distrust, Surroundings, Sync, TradeLedger};
use super::world::{LIMITS, RULES, World};
use crate::domain::analytics::entry::Entry;
use crate::domain::clock::Timestamp;
use crate::domain::envelope::parse;
use crate::domain::id::EventId;
use crate::domain::risk::session::Session;
use crate::storage::StorageError;
use crate::storage::ledger::sqlite::open;
use crate::storage::ledger::sqlite_reader::SqliteLedgerReader;
use crate::storage::ledger::{LedgerReader as _, LedgerWriter, Missing, Scope, Span};
use crate::storage::sqlite::Place;

/// The real writer, on a disk that is full when it is told so.
struct Writer {
    inner: Box<dyn LedgerWriter>,
    is_full: Arc<AtomicBool>,
}

impl LedgerWriter for Writer {
    fn write(&mut self, entries: &[Entry], cursor: EventId) -> Result<(), StorageError> {
        if self.is_full.load(Ordering::SeqCst) {
            return Err(StorageError::Full("no room".into()));
        }
        self.inner.write(entries, cursor)
    }
    fn cursor(&self) -> EventId {
        self.inner.cursor()
    }
    fn folded(&self) -> EventId {
        self.inner.folded()
    }
    fn check(&mut self) -> Result<(), StorageError> {
        self.inner.check()
    }
    fn missing(&self) -> Missing {
        self.inner.missing()
    }
    fn note_missing(&mut self, missing: Missing) {
        self.inner.note_missing(missing);
    }
    fn distrust(&mut self, damage: &StorageError) {
        self.inner.distrust(damage);
    }
}

struct Ledger {
    world: World,
    actor: Addr<TradeLedger>,
    status: Arc<LedgerStatus>,
    is_full: Arc<AtomicBool>,
    path: PathBuf,
    _folder: tempfile::TempDir,
}

/// Waits without letting the paused time run: threads that are not paused may have to answer.
async fn awake<T>(future: impl Future<Output = T>) -> T {
    let busy = async {
        loop {
            tokio::task::yield_now().await;
        }
    };
    match select(Box::pin(future), Box::pin(busy)).await {
        Either::Left((done, _)) => done,
        Either::Right(((), _)) => unreachable!("it never ends"),
    }
}

impl Ledger {
    fn start(ring_events: usize) -> Self {
        let world = World::new(ring_events, LIMITS);
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ledger.db");
        let (is_full, status) = (Arc::<AtomicBool>::default(), Arc::<LedgerStatus>::default());
        let session = Session::new(chrono_tz::Tz::UTC, NaiveTime::MIN);
        let (place, disk) = (Place::File(path.clone()), Arc::clone(&is_full));
        let around = Surroundings {
            open: Box::new(move || {
                let opened = open(&place, session, Timestamp::from_micros(7))?;
                let name = opened.set_aside.and_then(|file| Some(file.file_name()?.to_string_lossy().into_owned()));
                Ok((Box::new(Writer { inner: Box::new(opened.ledger), is_full: Arc::clone(&disk) }) as _, name))
            }),
            session,
            batch_size: 1_000,
            flush_interval: Duration::from_secs(1),
            bus: world.bus.clone(),
            journal: world.journal.clone(),
            panics: world.panics.clone(),
        };
        let actor = TradeLedger::new(world.history.clone(), around, Arc::clone(&status)).start();
        Self { world, actor, status, is_full, path, _folder: folder }
    }

    /// Closes `count` trades.
    async fn trade(&self, count: usize) {
        let now = Timestamp::from_micros(self.world.hand.fetch_add(1_000_000, Ordering::SeqCst));
        let trade = r#"{"type":"trade_closed","profile_id":1,"payload":{"symbol":"SPY","trade_type":"breakout","entry_price":1,
            "exit_price":2,"quantity":1,"pnl":1,"entry_time":"2025-11-18T09:00:00","exit_time":"2025-11-18T10:00:00"}}"#;
        let drafts = (0..count).map(|_| parse(trade.as_bytes(), &RULES, now).expect("a trade")).collect();
        self.world.bus.publish(drafts).await.expect("published");
    }

    /// Waits until the ledger has what is there, or says that it fails.
    async fn sync(&self) -> Result<(), LedgerError> {
        awake(async { self.actor.send(Sync).await.expect("it lives").await.expect("an answer").map(drop) }).await
    }

    fn trades(&self) -> u64 {
        let mut reader = SqliteLedgerReader::open(&Place::File(self.path.clone()), Duration::from_secs(5)).expect("a reader");
        let always = Span { start: Timestamp::from_micros(i64::MIN), end: Timestamp::from_micros(i64::MAX) };
        reader.traded(1, always, Scope::All).expect("read").tally.trades
    }
}

#[actix_web::test]
async fn a_full_disk_is_said_so_and_what_was_posted_meanwhile_is_folded_once_there_is_room() {
    tokio::time::pause();
    let ledger = Ledger::start(100);
    ledger.trade(3).await;
    assert_eq!(ledger.sync().await, Ok(()));
    ledger.is_full.store(true, Ordering::SeqCst);
    ledger.trade(2).await;
    assert_eq!(ledger.sync().await, Err(LedgerError::Failing));
    assert!(ledger.status.failure.lock().as_deref().is_some_and(|reason| reason.contains("no room")));
    ledger.trade(2).await;
    // it tries again, and fails again
    ledger.world.pass(Duration::from_secs(5)).await;
    assert!(ledger.status.failed.load(Ordering::SeqCst) >= 5);
    assert_eq!((ledger.sync().await, ledger.trades()), (Err(LedgerError::Failing), 3));

    ledger.is_full.store(false, Ordering::SeqCst);
    ledger.world.pass(Duration::from_secs(2)).await;
    assert_eq!((ledger.sync().await, ledger.trades()), (Ok(()), 7));
    assert_eq!(*ledger.status.failure.lock(), None);
    assert_eq!(*ledger.status.missing.lock(), Missing::default());
    assert!(ledger.status.set_aside.lock().is_none(), "a full disk is no damage");
}

#[actix_web::test]
async fn damage_that_a_reader_meets_sets_the_file_aside_and_a_new_one_is_made_of_the_journal() {
    tokio::time::pause();
    // the ring does not have it all
    let ledger = Ledger::start(2);
    ledger.trade(5).await;
    assert_eq!((ledger.sync().await, ledger.trades()), (Ok(()), 5));
    let opening = ledger.status.opening.load(Ordering::SeqCst);
    ledger.actor.send(Distrust { opening, what: "a page".into() }).await.expect("it lives");
    assert_eq!(ledger.sync().await, Err(LedgerError::Failing), "nothing is told of it any more");
    assert!(ledger.status.failure.lock().as_deref().is_some_and(|reason| reason.contains("damaged: a page")));
    ledger.world.pass(Duration::from_secs(2)).await;
    assert_eq!((ledger.sync().await, ledger.trades()), (Ok(()), 5));
    assert_eq!(ledger.status.opening.load(Ordering::SeqCst), opening + 2, "one is over, and readers take the new file");
    let aside = ledger.status.set_aside.lock().clone().expect("set aside");
    assert!(ledger.path.with_file_name(aside).exists());
    ledger.trade(1).await;
    assert_eq!((ledger.sync().await, ledger.trades()), (Ok(()), 6));
    ledger.world.pass(Duration::from_secs(3)).await;
    assert_eq!(ledger.status.opening.load(Ordering::SeqCst), opening + 2, "once is enough");
}

#[actix_web::test]
async fn what_the_journal_deleted_while_the_ledger_failed_is_said_to_be_missed() {
    tokio::time::pause();
    let ledger = Ledger::start(2);
    ledger.trade(3).await;
    assert_eq!(ledger.sync().await, Ok(()));
    ledger.is_full.store(true, Ordering::SeqCst);
    ledger.trade(4).await;
    assert_eq!(ledger.sync().await, Err(LedgerError::Failing));
    // three days later; the journal keeps one
    ledger.world.hand.fetch_add(3 * 86_400_000_000, Ordering::SeqCst);
    ledger.trade(4).await;
    tokio::time::advance(Duration::from_secs(86_400)).await;
    ledger.world.pass(Duration::from_secs(2)).await;
    let floor = ledger.world.journal.read().log.floor;
    assert!(floor > EventId::ZERO, "it has deleted them");

    ledger.is_full.store(false, Ordering::SeqCst);
    ledger.world.pass(Duration::from_secs(2)).await;
    assert_eq!((ledger.sync().await, ledger.trades()), (Ok(()), 7), "three, and the last four");
    assert_eq!(*ledger.status.missing.lock(), Missing { until: floor, skipped: 0 });
}

#[actix_web::test]
async fn what_the_ring_still_has_is_not_missed_though_the_journal_deleted_it() {
    tokio::time::pause();
    let ledger = Ledger::start(100);
    ledger.trade(3).await;
    assert_eq!(ledger.sync().await, Ok(()));
    ledger.is_full.store(true, Ordering::SeqCst);
    ledger.trade(4).await;
    assert_eq!(ledger.sync().await, Err(LedgerError::Failing));
    ledger.world.hand.fetch_add(3 * 86_400_000_000, Ordering::SeqCst);
    tokio::time::advance(Duration::from_secs(86_400)).await;
    ledger.world.pass(Duration::from_secs(2)).await;
    assert!(ledger.world.journal.read().log.floor > EventId::ZERO, "it has deleted them");
    ledger.is_full.store(false, Ordering::SeqCst);
    ledger.world.pass(Duration::from_secs(2)).await;
    assert_eq!((ledger.sync().await, ledger.trades()), (Ok(()), 7));
    assert_eq!(*ledger.status.missing.lock(), Missing::default());
}
