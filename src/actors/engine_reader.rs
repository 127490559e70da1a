//! What routes ask of the registry: the engines, once it has taken what was acknowledged before.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use actix::{Addr, ArbiterHandle};
use tokio::time::timeout;

use super::admission::Admission;
use super::engine_model::EngineModel;
use super::engine_registry::{EngineRegistry, Settings, Stop, Sync};
use super::engine_watcher::Watch;
use super::history::History;
use crate::domain::engine::EngineName;

/// How long a reader waits for the registry to have taken what was acknowledged before.
const SYNC_WAIT: Duration = Duration::from_millis(250);
/// How long it waits for what cannot be answered well otherwise.
const LONG_WAIT: Duration = Duration::from_secs(2);

/// Reads the engines.
#[derive(Debug, Clone)]
pub struct EngineRegistryHandle {
    registry: Addr<EngineRegistry>,
    engines: Arc<EngineModel>,
    max: usize,
    queue: Admission,
}

impl EngineRegistryHandle {
    /// Starts the registry on `arbiter`, and its watchers on `watchers`.
    #[must_use]
    pub fn start(arbiter: &ArbiterHandle, watchers: &ArbiterHandle, history: History, watch: Watch, settings: Settings) -> Self {
        let (engines, max, queue) = (Arc::clone(&watch.engines), settings.max, watch.bus.admission().clone());
        Self { registry: EngineRegistry::start(arbiter, watchers, history, watch, settings), engines, max, queue }
    }

    /// The engines, after waiting a moment for what was acknowledged before this call, and longer while they are being
    /// rebuilt after a start; they may be incomplete even then, and [`EngineModel::is_rebuilt`] says so.
    pub async fn current(&self) -> &EngineModel {
        let wait = if self.engines.is_rebuilt.load(Ordering::Acquire) { SYNC_WAIT } else { LONG_WAIT };
        // it is a courtesy: under load the records are told as they are
        let _ = timeout(wait, self.synced()).await;
        &self.engines
    }

    /// Whether an engine of this name is known, by what was acknowledged before this call; `None` if that cannot be told
    /// in time.
    pub async fn knows(&self, name: &EngineName) -> Option<bool> {
        let is_known = || self.engines.engines.contains_key(name);
        if is_known() {
            return Some(true);
        }
        timeout(LONG_WAIT, self.synced()).await.ok().map(|()| is_known())
    }

    /// Returns when everything that is committed now was taken.
    pub async fn synced(&self) {
        if let Ok(taken) = self.registry.send(Sync).await {
            // a registry that is gone knows no more than it knew
            let _ = taken.await;
        }
    }

    /// Ends the watchers and the registry; the records stay as they are.
    pub async fn stop(&self) {
        // one that is gone has ended
        let _ = self.registry.send(Stop).await;
    }

    /// The engines as they are.
    #[must_use]
    pub fn engines(&self) -> &Arc<EngineModel> {
        &self.engines
    }

    /// The queue of ticks and announcements before the bus, in KiB.
    #[must_use]
    pub fn admission(&self) -> &Admission {
        &self.queue
    }

    /// Whether a beat of `name` would be of one engine too many.
    #[must_use]
    pub fn is_full_for(&self, name: &EngineName) -> bool {
        self.engines.engines.len() >= self.max && !self.engines.engines.contains_key(name)
    }
}
