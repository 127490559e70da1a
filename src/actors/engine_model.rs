//! The engines as routes and watchers read them, without waiting on a mailbox. Records are written by the registry alone.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};

use dashmap::DashMap;

use crate::domain::engine::{Engine, EngineName};

/// The engines as others may read them, and the counters of those who watch them.
#[derive(Debug, Default)]
pub struct EngineModel {
    /// Every engine that gave a sign of life.
    pub engines: DashMap<EngineName, Engine>,
    /// Whether the records are complete: what the journal tells was taken.
    pub is_rebuilt: AtomicBool,
    /// Health events of engines whose name no engine may have.
    pub misnamed: AtomicU64,
    /// Watchers at work.
    pub watchers: AtomicUsize,
    /// Beats of engines beyond `engines.max`.
    pub ignored: AtomicU64,
    /// Ticks published.
    pub ticks: AtomicU64,
    /// Ticks that the bus did not take in time.
    pub ticks_lost: AtomicU64,
    /// Files that could not be written.
    pub files_failed: AtomicU64,
}
