//! The trade ledger: folds the events of the bus into the tables that trade analytics are answered from.
//!
//! It follows the bus, so the journal is its queue. Entries are written in batches, each with the id of the last event that
//! was folded: a restart goes on exactly there, and a new ledger is made from all that the journal has. When the database
//! fails, what was not written is let go, and folded again from the cursor once it can be opened and written.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use actix::{Actor, ActorContext as _, AsyncContext as _, Context, Handler, Message, MessageResult};
use tokio::sync::oneshot;

use super::follower::{Follower, Follows, follow};
use super::history::History;
use super::journal::SharedStatus;
use super::ledger_handle::{LedgerError, LedgerStatus};
use super::publisher::EventBusHandle;
use super::supervision::Panics;
use super::wake::RingMoved;
use crate::domain::analytics::entry::Entry;
use crate::domain::event::Event;
use crate::domain::id::EventId;
use crate::domain::risk::session::Session;
use crate::storage::StorageError;
use crate::storage::ledger::{LedgerWriter, Missing};

/// The ledger's name in logs and `/health`.
pub const NAME: &str = "trade_ledger";

/// How often one tries whether a failed database works again.
const RETRY: Duration = Duration::from_secs(1);

/// A ledger that was opened, and the name of a broken file that was set aside for it.
pub type Opened = (Box<dyn LedgerWriter>, Option<String>);

/// How the ledger is opened, or made; called on the ledger's own thread.
pub type OpenLedger = dyn Fn() -> Result<Opened, StorageError> + Send;

/// What the ledger works with.
pub struct Surroundings {
    /// How its database is opened.
    pub open: Box<OpenLedger>,
    /// The trading day.
    pub session: Session,
    /// So many entries are written at once.
    pub batch_size: usize,
    /// Entries are not kept waiting for longer.
    pub flush_interval: Duration,
    /// Whose events are followed.
    pub bus: EventBusHandle,
    /// The journal's status.
    pub journal: SharedStatus,
    /// Contained panics.
    pub panics: Panics,
}

/// Who waits for everything up to an event to be readable.
type Waiter = (EventId, oneshot::Sender<Result<u64, LedgerError>>);

/// The actor.
pub struct TradeLedger {
    follower: Follower,
    around: Surroundings,
    /// None while the database fails.
    writer: Option<Box<dyn LedgerWriter>>,
    /// Entries of events up to the follower's cursor that are not written.
    pending: Vec<Entry>,
    /// What was in the journal when the ledger was opened is folded once this is.
    until: EventId,
    waiting: Vec<Waiter>,
    status: Arc<LedgerStatus>,
}

/// Answer when everything that is committed now can be read, with the opening that it can be read of.
#[derive(Debug, Message)]
#[rtype(result = "oneshot::Receiver<Result<u64, LedgerError>>")]
pub(super) struct Sync;

/// The database of `opening` is damaged: set it aside and begin a new one.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct Distrust {
    pub(super) opening: u64,
    pub(super) what: String,
}

/// Write what is at hand, and end.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct Stop;

/// Look whether the database is still there, and write what waits.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct Check;

/// Try to open the database again.
#[derive(Debug, Message)]
#[rtype(result = "()")]
struct Reopen;

impl TradeLedger {
    pub(super) fn new(history: History, around: Surroundings, status: Arc<LedgerStatus>) -> Self {
        Self {
            follower: Follower::unhurried(history, EventId::ZERO),
            around,
            writer: None,
            pending: Vec::new(),
            until: EventId::MAX,
            waiting: Vec::new(),
            status,
        }
    }

    /// Opens the database and goes on behind its cursor; tries again later when it cannot.
    fn open(&mut self, ctx: &mut Context<Self>) {
        let panics = self.around.panics.clone();
        let opened = panics.guard(NAME, || (self.around.open)()).unwrap_or_else(|contained| Err(failed(contained)));
        let begun = opened.and_then(|(mut writer, set_aside)| {
            if let Some(file) = set_aside {
                tracing::error!(file, "the ledger was broken; it was set aside untouched, and a new one is made of the journal");
                *self.status.set_aside.lock() = Some(file);
            }
            let newest = self.follower.newest();
            // a journal that was renewed may go on before the ledger's cursor
            let cursor = writer.cursor().min(newest);
            // a cursor that was set back says nothing of what was folded before
            let missing = self.with_hole(writer.missing(), writer.folded().min(newest));
            writer.note_missing(missing);
            // what can be opened may still not take anything
            writer.write(&[], cursor)?;
            Ok((writer, cursor, newest))
        });
        match begun {
            Ok((writer, cursor, newest)) if self.follower.seek(cursor) => self.begin(writer, cursor, newest, ctx),
            // the journal is still being asked for what is not wanted any more
            Ok(_) => self.retry(ctx),
            Err(error) => self.fail(&error, ctx),
        }
    }

    fn begin(&mut self, writer: Box<dyn LedgerWriter>, cursor: EventId, newest: EventId, ctx: &mut Context<Self>) {
        *self.status.missing.lock() = writer.missing();
        self.writer = Some(writer);
        self.until = newest;
        self.status.opening.fetch_add(1, Ordering::Release);
        self.status.is_rebuilt.store(cursor >= newest, Ordering::Release);
        if self.status.failure.lock().take().is_some() {
            tracing::info!("the ledger can be written again");
        }
        if cursor < newest {
            tracing::info!(%cursor, until = %newest, "the ledger folds what the journal has beyond it");
        }
        ctx.address().do_send(RingMoved);
    }

    /// What is missing where all up to `folded` was folded: also what the journal has deleted behind that.
    fn with_hole(&self, missing: Missing, folded: EventId) -> Missing {
        let log = self.around.journal.read().log;
        let gone = log.floor.min(self.follower.floor());
        // before a log was made nothing arrived in it
        if gone <= log.birth.max(folded).max(missing.until) {
            return missing;
        }
        tracing::error!(%folded, until = %gone, "the journal has deleted events that the ledger had not folded");
        Missing { until: gone, ..missing }
    }

    /// Notes what is missing, and has it written with the next entries.
    fn note_missing(&mut self, change: impl FnOnce(&Self, Missing) -> Missing) {
        let Some(before) = self.writer.as_ref().map(|writer| writer.missing()) else { return };
        let missing = change(self, before);
        if let Some(writer) = &mut self.writer {
            writer.note_missing(missing);
        }
        *self.status.missing.lock() = missing;
    }

    /// Lets go of what was not written, and tries again later.
    fn fail(&mut self, error: &StorageError, ctx: &mut Context<Self>) {
        let reason = match error {
            StorageError::Broken(what) => format!("its file is damaged: {what}"),
            other => other.to_string(),
        };
        self.status.failed.fetch_add(1, Ordering::Relaxed);
        if self.status.failure.lock().replace(reason.clone()).is_none() {
            tracing::error!(error = reason, "the ledger cannot be written; its questions are answered with 503 until it can");
        }
        if self.writer.take().is_some() {
            // what was read of it so far is still true, but nobody may open the file any more
            self.status.opening.fetch_add(1, Ordering::Release);
        }
        self.pending.clear();
        self.status.pending.store(0, Ordering::Relaxed);
        for (_, waiter) in self.waiting.drain(..) {
            // a reader that is gone needs no answer, here and below
            let _ = waiter.send(Err(LedgerError::Failing));
        }
        self.retry(ctx);
    }

    fn retry(&self, ctx: &mut Context<Self>) {
        ctx.run_later(RETRY, |_, ctx| ctx.address().do_send(Reopen));
    }

    /// Writes what waits, and tells who waited for it.
    fn flush(&mut self, ctx: &mut Context<Self>) {
        let Some(writer) = &mut self.writer else { return };
        let cursor = self.follower.cursor();
        let (entries, panics) = (std::mem::take(&mut self.pending), self.around.panics.clone());
        if !entries.is_empty() || writer.cursor() != cursor {
            let nobodys = entries.iter().filter(|entry| entry.profile_id.is_none()).count() as u64;
            let written = panics.guard(NAME, || writer.write(&entries, cursor));
            if let Err(error) = written.unwrap_or_else(|contained| Err(failed(contained))) {
                return self.fail(&error, ctx);
            }
            self.status.written.fetch_add(entries.len() as u64, Ordering::Relaxed);
            self.status.without_profile.fetch_add(nobodys, Ordering::Relaxed);
            self.status.batches.fetch_add(1, Ordering::Relaxed);
        }
        self.status.pending.store(0, Ordering::Relaxed);
        if cursor >= self.until && !self.status.is_rebuilt.swap(true, Ordering::AcqRel) {
            tracing::info!(%cursor, "the ledger has folded what the journal has");
        }
        let opening = self.status.opening.load(Ordering::Acquire);
        for (_, waiter) in self.waiting.extract_if(.., |(id, waiter)| *id <= cursor || waiter.is_closed()) {
            let _ = waiter.send(Ok(opening));
        }
    }

    /// Takes what the ring has beyond the cursor.
    fn take_what_is_near(&mut self, ctx: &mut Context<Self>) {
        let panics = self.around.panics.clone();
        while self.writer.is_some() {
            let before = self.follower.cursor();
            // where the journal would have to be asked, the cursor stays
            if panics.guard(NAME, || follow(self, ctx)).is_err() || self.follower.cursor() == before {
                return;
            }
        }
    }

    /// Whether what was followed is to be written now.
    fn is_due(&self) -> bool {
        let cursor = self.follower.cursor();
        let is_awaited = self.waiting.iter().any(|(id, _)| *id <= cursor);
        let ends_rebuild = cursor >= self.until && !self.status.is_rebuilt.load(Ordering::Acquire);
        self.pending.len() >= self.around.batch_size || is_awaited || ends_rebuild
    }
}

fn failed(error: impl std::fmt::Display) -> StorageError {
    StorageError::Failed(error.to_string())
}

impl Follows for TradeLedger {
    fn follower(&mut self) -> &mut Follower {
        &mut self.follower
    }

    fn read_behind(&mut self, cursor: EventId) {
        let folded = self.writer.as_ref().map_or(cursor, |writer| writer.folded().max(cursor));
        self.note_missing(|ledger, missing| ledger.with_hole(missing, folded));
    }

    fn take(&mut self, events: Vec<Arc<Event>>, ctx: &mut Context<Self>) {
        if self.writer.is_none() {
            // they are followed again once there is a database
            return;
        }
        let panics = self.around.panics.clone();
        for event in events {
            match panics.guard(NAME, || Entry::of(&event, &self.around.session)) {
                Ok(entry) => self.pending.extend(entry),
                Err(_) => self.note_missing(|_, missing| Missing { until: event.id(), skipped: missing.skipped + 1 }),
            }
        }
        self.status.pending.store(self.pending.len(), Ordering::Relaxed);
        if self.is_due() {
            self.flush(ctx);
        }
    }
}

impl Actor for TradeLedger {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.around.bus.subscribe(self.follower.subscriber(&ctx.address()));
        self.open(ctx);
        ctx.run_interval(self.around.flush_interval, |_, ctx| ctx.address().do_send(Check));
    }
}

impl Handler<RingMoved> for TradeLedger {
    type Result = ();

    fn handle(&mut self, _: RingMoved, ctx: &mut Self::Context) {
        // while there is no database the bell is left ringing: opening one follows on
        if self.writer.is_some() {
            let panics = self.around.panics.clone();
            let _ = panics.guard(NAME, || follow(self, ctx));
        }
    }
}

impl Handler<Check> for TradeLedger {
    type Result = ();

    fn handle(&mut self, _: Check, ctx: &mut Self::Context) {
        let Some(writer) = &mut self.writer else { return };
        match writer.check() {
            Ok(()) => self.flush(ctx),
            Err(error) => self.fail(&error, ctx),
        }
    }
}

impl Handler<Reopen> for TradeLedger {
    type Result = ();

    fn handle(&mut self, _: Reopen, ctx: &mut Self::Context) {
        if self.writer.is_none() {
            self.open(ctx);
        }
    }
}

impl Handler<Distrust> for TradeLedger {
    type Result = ();

    fn handle(&mut self, Distrust { opening, what }: Distrust, ctx: &mut Self::Context) {
        // of a file that is not in use any more nothing is to be said
        if self.status.opening.load(Ordering::Acquire) != opening {
            return;
        }
        let Some(writer) = &mut self.writer else { return };
        let error = StorageError::Broken(what);
        writer.distrust(&error);
        self.fail(&error, ctx);
    }
}

impl Handler<Sync> for TradeLedger {
    type Result = MessageResult<Sync>;

    fn handle(&mut self, _: Sync, ctx: &mut Self::Context) -> Self::Result {
        let (done, readable) = oneshot::channel();
        if self.writer.is_none() {
            let _ = done.send(Err(LedgerError::Failing));
            return MessageResult(readable);
        }
        // who has given up waits no longer
        self.waiting.retain(|(_, waiter)| !waiter.is_closed());
        self.waiting.push((self.follower.newest().max(self.until), done));
        let panics = self.around.panics.clone();
        let _ = panics.guard(NAME, || follow(self, ctx));
        if self.is_due() {
            self.flush(ctx);
        }
        MessageResult(readable)
    }
}

impl Handler<Stop> for TradeLedger {
    type Result = ();

    fn handle(&mut self, _: Stop, ctx: &mut Self::Context) {
        // one that is near takes the rest; what a rebuild has left, the next start folds
        if self.status.is_rebuilt.load(Ordering::Acquire) {
            self.take_what_is_near(ctx);
        }
        self.flush(ctx);
        ctx.stop();
    }
}
