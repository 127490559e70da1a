//! What survives: the log of events, behind two traits so that another store can take its place.
//!
//! [`EventLog`] is written by one actor; any number of [`EventReader`]s read beside it. The embedded implementation is
//! [`sqlite`].

pub mod query;
pub mod sqlite;
pub mod sqlite_reader;
#[cfg(test)]
mod tests;

use std::sync::Arc;

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
    #[error("the query took longer than {0} s")]
    TooSlow(u64),
    /// The answer would be larger than it may.
    #[error("the answer would have more than {0} rows")]
    TooMany(usize),
    /// Anything else: an I/O error, a broken file.
    #[error("{0}")]
    Failed(String),
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
    /// Bytes that it takes on disk.
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
    /// Nothing of the batch is in the log.
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
    /// Whether the range has no further event.
    pub complete: bool,
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
    /// A page of `range`.
    ///
    /// # Errors
    /// The store failed or took too long.
    fn page(&mut self, range: &Range) -> Result<Page, StorageError>;

    /// The newest `count` events whole, oldest first.
    ///
    /// # Errors
    /// The store failed or took too long.
    fn newest(&mut self, count: usize) -> Result<Vec<Event>, StorageError>;

    /// Counts of matching events per bucket of `bucket` seconds; the filter must have both times.
    ///
    /// # Errors
    /// The store failed, took too long or found too many groups.
    fn counts(&mut self, filter: &Filter, bucket: i64, group: Option<GroupBy>) -> Result<Vec<Count>, StorageError>;

    /// Checks the whole store for damage.
    ///
    /// # Errors
    /// What is broken.
    fn integrity(&mut self) -> Result<(), StorageError>;
}
