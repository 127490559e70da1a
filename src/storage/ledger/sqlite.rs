//! The embedded ledger: one SQLite file in WAL mode beside the journal.
//!
//! It is not synced at each commit: what a power failure takes back takes the cursor along, and is folded again.

use std::path::PathBuf;

use rusqlite::{Connection, OpenFlags, OptionalExtension as _, Transaction, TransactionBehavior, params};

use super::buckets::Buckets;
use super::calendar::Era;
use super::dialect::PUT;
use super::equity::{self, Courses};
use super::latencies::Samples;
use super::migrations::{META, STEPS};
use super::orders::Orders;
use super::regroup::regroup;
use super::scripts::Scripts;
use super::{LedgerWriter, Missing, Span, signals, trades};
use crate::domain::analytics::entry::{Entry, Kind};
use crate::domain::clock::Timestamp;
use crate::domain::id::EventId;
use crate::domain::risk::session::Session;
use crate::storage::StorageError;
use crate::storage::sqlite::{FileId, Place, damage_note, file_id, set_aside};

/// The writer of the embedded ledger.
#[derive(Debug)]
pub struct SqliteLedger {
    connection: Connection,
    session: Session,
    era: Era,
    cursor: EventId,
    folded: EventId,
    missing: Missing,
    /// The file, and which one it was when it was opened.
    file: Option<(PathBuf, FileId)>,
}

/// How the ledger was opened.
#[derive(Debug)]
pub struct Opened {
    /// The ledger.
    pub ledger: SqliteLedger,
    /// A broken file that was found in its place and set aside.
    pub set_aside: Option<PathBuf>,
}

/// Opens the ledger, or makes a new one. A file that is no database or is broken is set aside, never written to or deleted.
///
/// # Errors
/// The folder cannot be written, or the file is of a newer version.
pub fn open(place: &Place, session: Session, now: Timestamp) -> Result<Opened, StorageError> {
    let known_damage = match place {
        Place::File(path) => {
            let folder = path.parent().map_or(Ok(()), std::fs::create_dir_all);
            folder.map_err(|error| StorageError::Failed(format!("cannot make the ledger's folder: {error}")))?;
            damage_note(path).exists()
        }
        Place::Memory(_) => false,
    };
    let first = if known_damage { Err(StorageError::Broken("it was met at work".into())) } else { load(place, session) };
    match (first, place) {
        (Ok(ledger), _) => Ok(Opened { ledger, set_aside: None }),
        (Err(StorageError::Broken(_)), Place::File(path)) => {
            let aside = set_aside(path, now)?;
            Ok(Opened { ledger: load(place, session)?, set_aside: Some(aside) })
        }
        (Err(error), _) => Err(error),
    }
}

fn load(place: &Place, session: Session) -> Result<SqliteLedger, StorageError> {
    let mut connection = place.connect(OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE)?;
    connection.set_prepared_statement_cache_capacity(64);
    connection.pragma_update(None, "page_size", 8192)?;
    let (journal_mode, synchronous) = match place {
        Place::File(_) => ("wal", "normal"),
        Place::Memory(_) => ("memory", "off"),
    };
    connection.pragma_update_and_check(None, "journal_mode", journal_mode, |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", synchronous)?;
    connection.pragma_update(None, "journal_size_limit", 64 << 20)?;
    connection.pragma_update(None, "cache_size", -16_384)?;
    migrate(&mut connection)?;
    fit_session(&mut connection, session)?;
    let era = era(&connection)?;
    let [cursor, folded] = [event(&connection, "cursor")?, event(&connection, "counted")?];
    let skipped = meta(&connection, "skipped")?.and_then(|text| text.parse().ok()).unwrap_or_default();
    let missing = Missing { until: event(&connection, "missing_until")?, skipped };
    let file = match place {
        Place::File(path) => {
            let id = file_id(path).map_err(|error| StorageError::Failed(format!("the ledger's file is not there: {error}")))?;
            Some((path.clone(), id))
        }
        Place::Memory(_) => None,
    };
    Ok(SqliteLedger { connection, session, era, cursor, folded, missing, file })
}

fn migrate(connection: &mut Connection) -> Result<(), StorageError> {
    connection.execute(META, [])?;
    let version: usize = meta(connection, "schema")?.and_then(|text| text.parse().ok()).unwrap_or(0);
    if version > STEPS.len() {
        return Err(StorageError::Failed(format!("the ledger was made by a newer version (schema {version}); use that one")));
    }
    for (step, statements) in STEPS.iter().enumerate().skip(version) {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for statement in *statements {
            transaction.execute(statement, [])?;
        }
        put_meta(&transaction, "schema", &(step + 1).to_string())?;
        transaction.commit()?;
    }
    Ok(())
}

/// Tells all aggregates anew if they are of another trading day than the configuration's.
fn fit_session(connection: &mut Connection, session: Session) -> Result<(), StorageError> {
    let wanted = session.to_string();
    let known = meta(connection, "session")?;
    if known.as_deref() == Some(wanted.as_str()) {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if let Some(known) = known {
        tracing::warn!(
            before = known,
            now = wanted,
            "the trading day was changed; the ledger tells its days anew, those of orders and health as far as the journal \
             reaches back; latencies of a day before the change stay together"
        );
        regroup(&transaction, session)?;
        put_meta(&transaction, "era", &(era(&transaction)?.0 + 1).to_string())?;
        transaction.execute("delete from dd_meta where name = 'cursor'", [])?;
    }
    put_meta(&transaction, "session", &wanted)?;
    transaction.commit()?;
    Ok(())
}

fn meta(connection: &Connection, name: &str) -> rusqlite::Result<Option<String>> {
    connection.query_row("select value from dd_meta where name = ?", [name], |row| row.get(0)).optional()
}

/// The event whose id is noted.
fn event(connection: &Connection, name: &str) -> rusqlite::Result<EventId> {
    Ok(EventId::from_u64(meta(connection, name)?.and_then(|text| text.parse().ok()).unwrap_or_default()))
}

fn era(connection: &Connection) -> rusqlite::Result<Era> {
    Ok(Era(meta(connection, "era")?.and_then(|text| text.parse().ok()).unwrap_or_default()))
}

fn put_meta(connection: &Connection, name: &str, value: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(&format!("{PUT} dd_meta(name, value) values(?, ?)"))?.execute(params![name, value]).map(drop)
}

/// A transaction of the ledger, and what it will write at its end.
pub(super) struct Batch<'a> {
    /// What is written is written in here.
    pub(super) transaction: &'a Transaction<'a>,
    /// The aggregates that the entries touch.
    pub(super) buckets: Buckets,
    /// The courses of equity that they touch.
    pub(super) courses: Courses,
    pub(super) orders: Orders,
    pub(super) samples: Samples,
    pub(super) scripts: Scripts,
    /// Latencies of events up to this are counted.
    pub(super) counted: EventId,
    /// The last event of the batch.
    pub(super) cursor: EventId,
}

impl<'a> Batch<'a> {
    pub(super) fn new(transaction: &'a Transaction<'a>, session: Session, era: Era) -> Self {
        Self {
            transaction,
            buckets: Buckets::new(session),
            courses: Courses::new(session),
            orders: Orders::new(session, era),
            samples: Samples::new(era),
            scripts: Scripts::new(era),
            counted: EventId::default(),
            cursor: EventId::default(),
        }
    }

    /// Writes what was touched.
    pub(super) fn finish(self) -> Result<(), StorageError> {
        self.buckets.write(self.transaction)?;
        self.courses.write(self.transaction)?;
        self.orders.write(self.transaction)?;
        self.samples.write(self.transaction, arrival(self.cursor))?;
        self.scripts.write(self.transaction)
    }

    /// Counts a row, and writes what was touched after each `stride` of them, so that it does not grow with the ledger.
    pub(super) fn write_after(&mut self, rows: &mut usize, stride: usize, session: Session) -> Result<(), StorageError> {
        *rows += 1;
        if !rows.is_multiple_of(stride) {
            return Ok(());
        }
        std::mem::replace(self, Self::new(self.transaction, session, Era::default())).finish()
    }
}

/// Writes one entry that is not there yet.
fn write_entry(batch: &mut Batch<'_>, entry: &Entry) -> Result<(), StorageError> {
    match &entry.kind {
        Kind::Trade(trade) => trades::write(batch, entry, trade),
        Kind::Signal(signal) => signals::write(batch, entry, signal),
        Kind::Equity(snapshot) => equity::write(batch, entry, snapshot),
        Kind::Order(_) | Kind::Latency(_) | Kind::Health(_) => count_entry(batch, entry),
    }
}

/// Counts one entry that is not kept itself.
fn count_entry(batch: &mut Batch<'_>, entry: &Entry) -> Result<(), StorageError> {
    let Some(profile_id) = entry.profile_id else { return Ok(()) };
    let Span { start: day, .. } = batch.buckets.calendar.day(entry.at);
    let moment = (entry.at, entry.id);
    let latency = match &entry.kind {
        Kind::Order(report) => {
            batch.orders.report(batch.transaction, profile_id, report, moment, day)?;
            report.latency.as_ref()
        }
        Kind::Latency(latency) => Some(latency),
        Kind::Health(health) => {
            batch.scripts.report(profile_id, health, moment, day);
            None
        }
        Kind::Trade(_) | Kind::Signal(_) | Kind::Equity(_) => None,
    };
    // a sample is not kept by the id of its event, so this is what makes it count once
    if let Some(latency) = latency.filter(|_| entry.id > batch.counted) {
        batch.samples.add(profile_id, latency.script_name.as_deref(), (entry.at, day), latency.micros);
        if let Some(name) = &latency.script_name {
            batch.scripts.hear(profile_id, name, entry.at);
        }
    }
    Ok(())
}

impl SqliteLedger {
    /// Lets the file grow to so many pages only, as a full disk would.
    #[cfg(test)]
    pub(super) fn limit_pages(&mut self, pages: u32) {
        self.connection.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(())).expect("limited");
    }

    /// Whether the path still leads to the file that is written to.
    fn check_file(&self) -> Result<(), StorageError> {
        let Some((path, opened)) = &self.file else { return Ok(()) };
        if file_id(path).is_ok_and(|id| id == *opened) {
            return Ok(());
        }
        Err(StorageError::Failed("its file was deleted or replaced".into()))
    }

    /// Notes damage, so that whoever opens the ledger next sets the file aside.
    fn note_damage(&self, error: &StorageError) {
        if let (StorageError::Broken(_), Some((path, _))) = (error, &self.file)
            && let Err(error) = std::fs::write(damage_note(path), "met while the ledger was written; it is set aside next\n")
        {
            tracing::error!(%error, "cannot note that the ledger is damaged");
        }
    }

    fn write_all(&mut self, entries: &[Entry], cursor: EventId) -> Result<(), StorageError> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        // other than the cursor it never goes back, and a commit that was reported as failed may have been done
        let counted = event(&transaction, "counted")?;
        let mut batch = Batch { counted, cursor, ..Batch::new(&transaction, self.session, self.era) };
        for entry in entries {
            write_entry(&mut batch, entry)?;
        }
        batch.finish()?;
        put_meta(&transaction, "cursor", &cursor.get().to_string())?;
        put_meta(&transaction, "counted", &cursor.max(counted).get().to_string())?;
        put_meta(&transaction, "missing_until", &self.missing.until.get().to_string())?;
        put_meta(&transaction, "skipped", &self.missing.skipped.to_string())?;
        transaction.commit()?;
        (self.cursor, self.folded) = (cursor, cursor.max(counted));
        Ok(())
    }
}

impl LedgerWriter for SqliteLedger {
    fn write(&mut self, entries: &[Entry], cursor: EventId) -> Result<(), StorageError> {
        self.check_file()?;
        self.write_all(entries, cursor).inspect_err(|error| self.note_damage(error))
    }

    fn cursor(&self) -> EventId {
        self.cursor
    }

    fn folded(&self) -> EventId {
        self.folded
    }

    fn check(&mut self) -> Result<(), StorageError> {
        self.check_file()
    }

    fn missing(&self) -> Missing {
        self.missing
    }

    fn note_missing(&mut self, missing: Missing) {
        self.missing = missing;
    }

    fn distrust(&mut self, damage: &StorageError) {
        self.note_damage(damage);
    }
}

/// When the event of this id arrived.
fn arrival(id: EventId) -> Timestamp {
    Timestamp::from_micros(i64::try_from(id.millis()).unwrap_or(i64::MAX).saturating_mul(1_000))
}

/// Whether `table` has a row of this event.
pub(super) fn has(connection: &Connection, table: &str, id: EventId) -> rusqlite::Result<bool> {
    connection.prepare_cached(&format!("select 1 from {table} where id = ?"))?.exists([id.to_sql()])
}
