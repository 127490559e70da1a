//! The embedded log: one SQLite file in WAL mode.
//!
//! A commit of many events costs one fsync of the write-ahead log; readers never wait for it.
//!
//! - `events`: one row an event; `body` is its JSON behind the id, the other columns serve filters.
//! - `event_ids`: the senders' own ids within the window in which a repeated post is known.
//! - `meta`: `floor` (events up to it were deleted or never here), `birth` (the first floor), `events` (how many there are).

use std::fs::{File, OpenOptions};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension as _, Transaction, TransactionBehavior, params};

use super::sqlite_insert::{self, Inserts};
use super::{Duplicate, Durability, EventLog, LogStats, StorageError};
use crate::domain::clock::Timestamp;
use crate::domain::event::Event;
use crate::domain::id::EventId;

/// The schema, one step a version; `user_version` counts the steps that were taken. Steps are only ever added.
const MIGRATIONS: &[&str] = &["
    create table events(
        id integer primary key, ts integer not null, type text not null, severity integer, profile_id integer,
        source text, symbol text, strategy text, body blob not null);
    create index by_type on events(type);
    create index by_ts on events(ts, type);
    create table event_ids(
        source text not null, event_id text not null, id integer not null, primary key(source, event_id)) without rowid;
    create index event_ids_by_id on event_ids(id);
    create table meta(key text primary key, value integer not null) without rowid;
    insert into meta values('floor', 0), ('birth', 0), ('events', 0);
"];

/// So many rows are deleted in one go: a few ms, between two commits.
const RETENTION_BATCH: i64 = 2_000;

/// Where the database is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A file.
    File(PathBuf),
    /// Memory of this process, under a name that its connections share.
    Memory(String),
}

impl Place {
    /// Opens one connection.
    ///
    /// # Errors
    /// SQLite's.
    pub fn connect(&self, flags: OpenFlags) -> rusqlite::Result<Connection> {
        let flags = flags | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
        let connection = match self {
            Self::File(path) => Connection::open_with_flags(path, flags).map_err(super::without_path)?,
            Self::Memory(name) => Connection::open_with_flags(format!("file:/{name}?vfs=memdb"), flags)?,
        };
        connection.busy_timeout(Duration::from_secs(5))?;
        connection.set_prepared_statement_cache_capacity(32);
        Ok(connection)
    }
}

/// The writer of the embedded log.
#[derive(Debug)]
pub struct SqliteLog {
    connection: Connection,
    stats: LogStats,
    page_size: u64,
    dedup_window: Duration,
    inserts: Inserts,
    /// Held as long as this process owns the file.
    _lock: Option<File>,
    /// The file, and which one it was when it was opened.
    file: Option<(PathBuf, FileId)>,
}

/// Device and inode: what a path must still lead to.
pub(super) type FileId = (u64, u64);

pub(super) fn file_id(path: &Path) -> std::io::Result<FileId> {
    std::fs::metadata(path).map(|file| (file.dev(), file.ino()))
}

/// The note beside a database whose damage was met at work: the next start sets it aside.
pub(super) fn damage_note(path: &Path) -> PathBuf {
    path.with_extension("damaged")
}

/// How the log was opened.
#[derive(Debug)]
pub struct Opened {
    /// The log.
    pub log: SqliteLog,
    /// A broken file that was found in its place and set aside.
    pub set_aside: Option<PathBuf>,
}

/// Opens the log, or makes a new one. A file that is no database or is broken is set aside, never written to or deleted.
///
/// # Errors
/// The folder cannot be written, or another process uses the log.
pub fn open(place: &Place, durability: Durability, dedup_window: Duration, now: Timestamp) -> Result<Opened, StorageError> {
    let lock = match place {
        Place::File(path) => Some(lock(path)?),
        Place::Memory(_) => None,
    };
    let load = || SqliteLog::load(connect(place, durability, now)?, dedup_window);
    let known_damage = matches!(place, Place::File(path) if damage_note(path).exists());
    let first = if known_damage { Err(StorageError::Broken("it was met at work".into())) } else { load() };
    let (mut log, set_aside) = match (first, place) {
        (Ok(log), _) => (log, None),
        (Err(StorageError::Broken(_)), Place::File(path)) => {
            let aside = set_aside(path, now)?;
            (load()?, Some(aside))
        }
        (Err(error), _) => return Err(error),
    };
    log._lock = lock;
    if let Place::File(path) = place {
        let id = file_id(path).map_err(|error| StorageError::Failed(format!("the journal's file is not there: {error}")))?;
        log.file = Some((path.clone(), id));
    }
    Ok(Opened { log, set_aside })
}

fn lock(path: &Path) -> Result<File, StorageError> {
    let said = |what: &str, error: &dyn std::fmt::Display| StorageError::Failed(format!("{what}: {error}"));
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|error| said("cannot make the journal's folder", &error))?;
    }
    let lock = OpenOptions::new().create(true).truncate(false).write(true).open(path.with_extension("lock"));
    let lock = lock.map_err(|error| said("cannot write in the journal's folder", &error))?;
    lock.try_lock().map_err(|_| StorageError::Failed("another process uses this journal".into()))?;
    Ok(lock)
}

fn connect(place: &Place, durability: Durability, now: Timestamp) -> Result<Connection, StorageError> {
    let mut connection = place.connect(OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE)?;
    connection.pragma_update(None, "page_size", 8192)?;
    connection.pragma_update(None, "auto_vacuum", "incremental")?;
    let (journal_mode, synchronous) = match durability {
        Durability::Fsync => ("wal", "full"),
        Durability::Os => ("wal", "normal"),
        Durability::Memory => ("memory", "off"),
    };
    connection.pragma_update_and_check(None, "journal_mode", journal_mode, |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", synchronous)?;
    // 32 MiB of log before it is written back; a burst's larger log is cut back to 64 MiB
    connection.pragma_update(None, "wal_autocheckpoint", 4096)?;
    connection.pragma_update(None, "journal_size_limit", 64 << 20)?;
    connection.pragma_update(None, "cache_size", -32_768)?;
    migrate(&mut connection, now)?;
    Ok(connection)
}

fn migrate(connection: &mut Connection, now: Timestamp) -> Result<(), StorageError> {
    let version: usize = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if version > MIGRATIONS.len() {
        return Err(StorageError::Failed(format!("the journal was made by a newer version (schema {version}); use that one")));
    }
    for (step, sql) in MIGRATIONS.iter().enumerate().skip(version) {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute_batch(sql)?;
        if step == 0 {
            // a cursor from before this log was made is of another one: its events are missing here
            set_meta(&transaction, "floor", EventId::first_at(now).to_sql())?;
            set_meta(&transaction, "birth", EventId::first_at(now).to_sql())?;
        }
        transaction.pragma_update(None, "user_version", step + 1)?;
        transaction.commit()?;
    }
    Ok(())
}

/// Renames a broken database and its side files, so that a new one can start in its place.
pub(super) fn set_aside(path: &Path, now: Timestamp) -> Result<PathBuf, StorageError> {
    let broken = |path: &Path| {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".broken-{}", now.millis()));
        PathBuf::from(name)
    };
    for side in ["-wal", "-shm", ""] {
        let mut name = path.as_os_str().to_owned();
        name.push(side);
        let from = PathBuf::from(name);
        if from.exists() {
            std::fs::rename(&from, broken(&from))
                .map_err(|error| StorageError::Failed(format!("cannot set the broken database aside: {error}")))?;
        }
    }
    // the note has done its work; if it stays, the new database is set aside once more and nothing is lost
    let _ = std::fs::remove_file(damage_note(path));
    Ok(broken(path))
}

impl SqliteLog {
    fn load(connection: Connection, dedup_window: Duration) -> Result<Self, StorageError> {
        let page_size = connection.pragma_query_value(None, "page_size", |row| row.get(0))?;
        let meta = |key: &str| {
            let sql = "select value from meta where key = ?";
            connection.query_row(sql, [key], |row| row.get::<_, i64>(0))
        };
        // the newest row whole: where the next ones go, nothing may be broken
        let newest = connection
            .query_row("select id, body from events order by id desc limit 1", [], |row| {
                row.get::<_, Vec<u8>>(1).and_then(|_| row.get::<_, i64>(0))
            })
            .optional()?;
        let floor = EventId::from_sql(meta("floor")?);
        let stats = LogStats {
            events: u64::try_from(meta("events")?).unwrap_or(0),
            bytes: used(&connection, page_size)?,
            newest: EventId::from_sql(newest.unwrap_or(0)).max(floor),
            floor,
            birth: EventId::from_sql(meta("birth")?),
        };
        Ok(Self { connection, stats, page_size, dedup_window, inserts: Inserts::default(), _lock: None, file: None })
    }

    /// Lets the file grow to so many pages only, as a full disk would.
    #[cfg(test)]
    pub(super) fn limit_pages(&mut self, pages: u32) {
        self.connection.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(())).expect("limited");
    }

    /// Whether the path still leads to the file that is written to: what goes into a deleted file is not durable.
    fn check_file(&self) -> Result<(), StorageError> {
        let Some((path, opened)) = &self.file else { return Ok(()) };
        if file_id(path).is_ok_and(|id| id == *opened) {
            return Ok(());
        }
        Err(StorageError::Failed(
            "its file was deleted or replaced; put it back, or restart the service to begin a new one".into(),
        ))
    }

    /// Notes damage for the next start.
    fn note_damage(&self, error: &StorageError) {
        if let (StorageError::Broken(_), Some((path, _))) = (error, &self.file)
            && let Err(error) =
                std::fs::write(damage_note(path), "met while the journal was written; the next start sets it aside\n")
        {
            tracing::error!(%error, "cannot note that the journal is damaged");
        }
    }

    /// About as many events as take `bytes`, within one batch of retention.
    fn events_in(&self, bytes: u64) -> i64 {
        let each = (self.stats.bytes / self.stats.events.max(1)).max(1);
        i64::try_from(bytes / each + 1).unwrap_or(i64::MAX).min(RETENTION_BATCH)
    }

    /// The first id whose sender's id still counts for an event with id `now`.
    fn window_start(&self, now: EventId) -> EventId {
        let window = i64::try_from(self.dedup_window.as_micros()).unwrap_or(i64::MAX);
        let now = i64::try_from(now.millis()).unwrap_or(i64::MAX).saturating_mul(1000);
        EventId::first_at(Timestamp::from_micros(now.saturating_sub(window)))
    }
}

/// Bytes of the pages that hold something.
fn used(connection: &Connection, page_size: u64) -> rusqlite::Result<u64> {
    let pages = |pragma: &str| connection.prepare_cached(pragma)?.query_row([], |row| row.get::<_, u64>(0));
    Ok(pages("pragma page_count")?.saturating_sub(pages("pragma freelist_count")?) * page_size)
}

fn set_meta(transaction: &Transaction<'_>, key: &str, value: i64) -> rusqlite::Result<()> {
    transaction.prepare_cached("update meta set value = ? where key = ?")?.execute(params![value, key]).map(drop)
}

impl SqliteLog {
    /// One transaction with all of `batch` that is not there yet.
    fn insert(&mut self, batch: &[Arc<Event>]) -> Result<Vec<Duplicate>, StorageError> {
        let mut stats = self.stats;
        let window = batch.first().map_or(EventId::ZERO, |event| self.window_start(event.id()));
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let inserted = sqlite_insert::insert(&transaction, &self.inserts, batch, window)?;
        stats.events += inserted.count;
        stats.newest = inserted.newest.unwrap_or(stats.newest);
        set_meta(&transaction, "events", i64::try_from(stats.events).unwrap_or(i64::MAX))?;
        stats.bytes = used(&transaction, self.page_size)?;
        transaction.commit().map_err(|error| match StorageError::from(error) {
            // what was written before the failure may be found after a crash
            StorageError::Failed(what) => StorageError::InDoubt(what),
            other => other,
        })?;
        self.stats = stats;
        Ok(inserted.duplicates)
    }
}

impl EventLog for SqliteLog {
    fn append(&mut self, batch: &[Arc<Event>]) -> Result<Vec<Duplicate>, StorageError> {
        self.check_file()?;
        self.insert(batch).inspect_err(|error| self.note_damage(error))
    }

    fn retain(&mut self, expired: EventId, max_bytes: u64) -> Result<bool, StorageError> {
        let window = self.window_start(self.stats.newest);
        let excess = self.stats.bytes.saturating_sub(max_bytes);
        let (cut, most) = if excess > 0 { (EventId::MAX, self.events_in(excess)) } else { (expired, RETENTION_BATCH) };
        let mut stats = self.stats;
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let sql = "select max(id) from (select id from events where id < ? order by id limit ?)";
        let last: Option<i64> = transaction.query_row(sql, params![cut.to_sql(), most], |row| row.get(0))?;
        let mut deleted = 0;
        if let Some(last) = last {
            deleted = transaction.execute("delete from events where id <= ?", [last])?;
            stats.floor = EventId::from_sql(last);
            stats.events = stats.events.saturating_sub(deleted as u64);
            set_meta(&transaction, "floor", last)?;
            set_meta(&transaction, "events", i64::try_from(stats.events).unwrap_or(i64::MAX))?;
        }
        // events that had to go for their size take their senders' ids along, however young these are
        let window = if excess > 0 { window.max(stats.floor) } else { window };
        let sql = "delete from event_ids where id in (select id from event_ids where id < ? order by id limit ?)";
        let forgotten = transaction.execute(sql, params![window.to_sql(), RETENTION_BATCH])?;
        stats.bytes = used(&transaction, self.page_size)?;
        transaction.commit()?;
        self.stats = stats;
        let more = deleted + forgotten > 0;
        if !more {
            // hands some of the free pages back to the file system, a few ms worth
            self.connection.pragma_update_and_check(None, "incremental_vacuum", 512, |_| Ok(())).optional()?;
        }
        Ok(more)
    }

    fn probe(&mut self) -> Result<(), StorageError> {
        self.check_file()?;
        // as large as a busy commit, so that it does not succeed where the next one fails
        self.connection
            .execute_batch(
                "begin immediate; drop table if exists room; create table room as select zeroblob(1048576) as bytes; commit;
             drop table room;",
            )
            .inspect_err(|_| {
                // without an open transaction there is nothing to roll back
                let _ = self.connection.execute_batch("rollback");
            })?;
        Ok(())
    }

    fn stats(&self) -> LogStats {
        self.stats
    }

    fn checkpoint(&mut self) {
        let done = self.connection.query_row("pragma wal_checkpoint(passive)", [], |_| Ok(()));
        if let Err(error) = done {
            tracing::warn!(%error, "the journal's write-ahead log was not written back");
        }
    }
}

impl From<rusqlite::Error> for StorageError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full(error.to_string()),
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => Self::Broken(error.to_string()),
            _ => Self::Failed(error.to_string()),
        }
    }
}
