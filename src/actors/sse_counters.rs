//! What became of the streams' clients, counted over all workers.

use std::sync::atomic::{AtomicU64, AtomicUsize};

use crate::domain::histogram::Histogram;

/// Counts over all workers.
#[derive(Debug, Default)]
pub struct SseCounters {
    /// Clients that are connected now.
    pub clients: AtomicUsize,
    /// Clients that were ever connected.
    pub opened: AtomicU64,
    /// Clients turned away because there were too many.
    pub refused: AtomicU64,
    /// Closed for falling behind.
    pub slow: AtomicU64,
    /// Cut for taking nothing.
    pub stalled: AtomicU64,
    /// Closed because the journal could not be read for them.
    pub unread: AtomicU64,
    /// Ended because the service stops.
    pub shutdown: AtomicU64,
    /// Gone by themselves.
    pub left: AtomicU64,
    /// Gap notices sent.
    pub gaps: AtomicU64,
    /// From a chunk's oldest event's arrival until a live client's socket is given the chunk, in microseconds.
    pub delivery: Histogram,
}
