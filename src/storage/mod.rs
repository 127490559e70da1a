//! What survives: the log of events, behind two traits so that another store can take its place.
//!
//! [`EventLog`] is written by one actor; any number of [`EventReader`]s read beside it. The embedded implementation is
//! [`sqlite`].

pub mod atomic_file;
pub mod audit_log;
pub mod kill_switch_file;
pub mod ledger;
pub mod limits_book;
pub mod line_file;
pub mod log_file;
pub mod log_follow;
pub mod log_mark;
pub mod log_reader;
pub mod log_rotation;
pub mod log_tail;
pub mod overrides_content;
pub mod query;
pub mod sqlite;
mod sqlite_insert;
pub mod sqlite_reader;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use compact_str::CompactString;

use crate::domain::clock::Timestamp;
use crate::domain::event::Event;
use crate::domain::filter::Filter;
use crate::domain::id::EventId;

/// Why the store could not do what it was asked to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StorageError {
    /// There is no room left.
    #[error("the disk is full: {0}")]
    Full(String),
    /// The query took longer than it may.
    #[error("the query took longer than {} ms", .0.as_millis())]
    TooSlow(Duration),
    /// The answer would be larger than it may.
    #[error("the answer would have more than {0} rows")]
    TooMany(usize),
    /// It is not known whether the batch will be found after a crash.
    #[error("the commit is in doubt: {0}")]
    InDoubt(String),
    /// The file is damaged; only a new start can help.
    #[error("the journal is damaged ({0}); restart the service to set it aside and begin a new one")]
    Broken(String),
    /// Anything else, such as an I/O error.
    #[error("{0}")]
    Failed(String),
}

/// What an acknowledgement promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Survives a power failure.
    Fsync,
    /// Survives a crash of the process.
    Os,
    /// Lives as long as the process; nothing is written to disk.
    Memory,
}

impl Durability {
    /// The word of the configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fsync => "fsync",
            Self::Os => "os",
            Self::Memory => "memory",
        }
    }
}

/// An event of a batch that was there already, known by its sender's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Duplicate {
    /// Its index in the batch.
    pub index: usize,
    /// The id of the first one.
    pub first: EventId,
}

/// What a log knows of itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LogStats {
    /// Events in the log.
    pub events: u64,
    /// Bytes of the pages that hold something, without the write-ahead log.
    pub bytes: u64,
    /// The newest id.
    pub newest: EventId,
    /// Events up to this id were deleted, or never were in this log.
    pub floor: EventId,
    /// Where the floor was when the log was made: nothing has been deleted while it still is.
    pub birth: EventId,
}

/// The log, as its one writer sees it.
pub trait EventLog: Send {
    /// Makes `batch` durable, all of it or nothing, and names those that were there already.
    ///
    /// # Errors
    /// Nothing of the batch is in the log, but for `InDoubt`.
    fn append(&mut self, batch: &[Arc<Event>]) -> Result<Vec<Duplicate>, StorageError>;

    /// Deletes a bounded batch of what is older than `expired` or over the size limit; false when there is nothing left to delete.
    ///
    /// # Errors
    /// Nothing was deleted.
    fn retain(&mut self, expired: EventId, max_bytes: u64) -> Result<bool, StorageError>;

    /// Tries whether the log can be written to.
    ///
    /// # Errors
    /// Why it cannot.
    fn probe(&mut self) -> Result<(), StorageError>;

    /// What the log knows of itself, as of the last write.
    fn stats(&self) -> LogStats;

    /// Writes back what is only in the log's own side files. The log stays usable.
    fn checkpoint(&mut self);
}

/// A stretch of the log to read: matching events with `after < id <= until`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range {
    /// Exclusive lower bound.
    pub after: EventId,
    /// Inclusive upper bound.
    pub until: EventId,
    /// Which events.
    pub filter: Filter,
    /// Whether the newest are wanted when not all fit.
    pub newest_first: bool,
    /// Most events.
    pub limit: usize,
    /// No further event once these bytes are reached.
    pub max_bytes: usize,
    /// Only ids are wanted: tails are left empty.
    pub ids_only: bool,
}

/// An event as the log keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its id.
    pub id: EventId,
    /// Its type.
    pub event_type: CompactString,
    /// Its JSON behind the id.
    pub tail: Vec<u8>,
}

/// A part of a range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The events, in the order that was asked for.
    pub events: Vec<Stored>,
    /// Up to where, in the order that was asked for, the range has been looked at; `None`: it has no further event.
    pub looked_at: Option<EventId>,
    /// The log's floor when the page was read.
    pub floor: EventId,
    /// The oldest event in the log when the page was read.
    pub oldest: Option<EventId>,
}

/// By what events are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupBy {
    /// The type.
    Type,
    /// The symbol.
    Symbol,
    /// The strategy.
    Strategy,
    /// The source.
    Source,
}

/// A count of events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Count {
    /// Start of the bucket.
    pub bucket: Timestamp,
    /// The value of the group; `None` where events have none, or are not grouped.
    pub group: Option<String>,
    /// Matching events.
    pub count: u64,
}

/// The log, as a reader sees it.
pub trait EventReader: Send {
    /// A page of `range`. A search that takes long stops in between and says how far it came.
    ///
    /// # Errors
    /// The store failed or took too long.
    fn page(&mut self, range: &Range) -> Result<Page, StorageError>;

    /// The newest events whole, oldest first: at most `count`, and no further one once `max_bytes` are reached.
    ///
    /// # Errors
    /// The store failed.
    fn newest(&mut self, count: usize, max_bytes: usize) -> Result<Vec<Event>, StorageError>;

    /// Events whole with `after < id <= until`, oldest first: at most `limit`, and no further one once `max_bytes` are
    /// reached. False when there are more.
    ///
    /// # Errors
    /// The store failed or took too long.
    fn events(
        &mut self,
        after: EventId,
        until: EventId,
        limit: usize,
        max_bytes: usize,
    ) -> Result<(Vec<Event>, bool), StorageError>;

    /// Counts of matching events per bucket of `bucket` seconds; the filter must have both times.
    ///
    /// # Errors
    /// The store failed, took too long or found too many groups.
    fn counts(&mut self, filter: &Filter, bucket: i64, group: Option<GroupBy>) -> Result<Vec<Count>, StorageError>;

    /// Checks the whole store for damage, until `stop` is set.
    ///
    /// # Errors
    /// `Broken`: what is; else it could not be checked.
    fn integrity(&mut self, stop: Arc<AtomicBool>) -> Result<(), StorageError>;
}

/// The same error without SQLite's text, which names the file: what is shown of errors has no paths of the host.
pub(crate) fn without_path(error: rusqlite::Error) -> rusqlite::Error {
    match error {
        rusqlite::Error::SqliteFailure(code, _) => rusqlite::Error::SqliteFailure(code, None),
        other => other,
    }
}
