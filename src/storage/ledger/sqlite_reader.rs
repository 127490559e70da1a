//! Reading the embedded ledger, on connections of its own beside the writer.

use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags};

use super::{EquityKnown, KeptTrade, LedgerReader, Scope, Span, Traded, buckets, equity, trades};
use super::{KnownScript, LatencySpan, latencies, orders, scripts};
use crate::domain::analytics::latency::Latencies;
use crate::domain::analytics::order::OrderCounts;
use crate::domain::clock::Timestamp;
use crate::storage::StorageError;
use crate::storage::sqlite::Place;

/// The progress handler looks at the clock after so many steps of SQLite's machine.
const STEPS: i32 = 10_000;
/// Longer than any question may take.
const A_DAY: Duration = Duration::from_secs(86_400);

/// One connection that reads.
#[derive(Debug)]
pub struct SqliteLedgerReader {
    connection: Connection,
    timeout: Duration,
}

impl SqliteLedgerReader {
    /// Opens a connection whose questions may take `timeout`.
    ///
    /// # Errors
    /// SQLite's.
    pub fn open(place: &Place, timeout: Duration) -> Result<Self, StorageError> {
        let connection = place.connect(OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        connection.pragma_update(None, "cache_size", -8_192)?;
        Ok(Self { connection, timeout })
    }

    /// Runs `query` on one state of the database, for at most the timeout.
    fn within<T>(&mut self, query: impl FnOnce(&Connection) -> Result<T, StorageError>) -> Result<T, StorageError> {
        let deadline = Instant::now() + self.timeout.min(A_DAY);
        self.connection.progress_handler(STEPS, Some(move || Instant::now() > deadline))?;
        let transaction = self.connection.transaction()?;
        query(&transaction).map_err(|error| if Instant::now() > deadline { StorageError::TooSlow(self.timeout) } else { error })
    }
}

impl LedgerReader for SqliteLedgerReader {
    fn trades(
        &mut self,
        profile_id: i64,
        span: Span,
        symbol: Option<&str>,
        limit: usize,
    ) -> Result<Vec<KeptTrade>, StorageError> {
        self.within(|connection| trades::list(connection, profile_id, span, symbol, limit))
    }

    fn traded(&mut self, profile_id: i64, days: Span, scope: Scope) -> Result<Traded, StorageError> {
        self.within(|connection| buckets::traded(connection, profile_id, days, scope))
    }

    fn equity(&mut self, profile_id: i64, end: Timestamp) -> Result<EquityKnown, StorageError> {
        self.within(|connection| equity::known(connection, profile_id, end))
    }

    fn orders(&mut self, profile_id: i64, days: Span) -> Result<OrderCounts, StorageError> {
        self.within(|connection| orders::counted(connection, profile_id, days))
    }

    fn latencies(&mut self, profile_id: i64, script: Option<&str>, asked: LatencySpan) -> Result<Latencies, StorageError> {
        self.within(|connection| latencies::merged(connection, profile_id, script, asked))
    }

    fn scripts(
        &mut self,
        profile_id: i64,
        script: Option<&str>,
        end: Timestamp,
        asked: LatencySpan,
    ) -> Result<Vec<KnownScript>, StorageError> {
        self.within(|connection| scripts::known(connection, profile_id, script, end, asked))
    }
}
