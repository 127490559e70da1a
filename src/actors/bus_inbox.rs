//! What waits before the bus while a commit is under way.
//!
//! A commit takes as long as dozens of posts need to arrive. If each were a message of its own, each would have to wake the
//! bus's thread; so it is told of the first one only, and takes the others along.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::publisher::Published;
use crate::domain::event::Draft;

/// A batch that is to be published. Who drops it leaves its sender in doubt, and says so.
#[derive(Debug)]
pub(super) struct Publish {
    pub(super) drafts: Vec<Draft>,
    pub(super) reply: oneshot::Sender<Published>,
    pub(super) permit: OwnedSemaphorePermit,
}

/// The batches, in order of arrival; shared by the bus and all who publish. Its bound is that of the permits.
#[derive(Debug, Clone, Default)]
pub(super) struct Inbox(Arc<Mutex<Waiting>>);

#[derive(Debug, Default)]
struct Waiting {
    batches: Vec<Publish>,
    /// Whether the bus knows that it has to look.
    is_told: bool,
    /// Whether nobody will look any more.
    is_closed: bool,
}

impl Inbox {
    /// Adds a batch; whether the bus has to be told.
    pub(super) fn push(&self, publish: Publish) -> bool {
        let mut waiting = self.0.lock();
        if waiting.is_closed {
            return false;
        }
        waiting.batches.push(publish);
        !std::mem::replace(&mut waiting.is_told, true)
    }

    /// All that waits. Only when it is nothing, the bus is told of the next one.
    pub(super) fn take(&self) -> Vec<Publish> {
        let mut waiting = self.0.lock();
        waiting.is_told = !waiting.batches.is_empty();
        std::mem::take(&mut waiting.batches)
    }

    /// The bus is gone.
    pub(super) fn close(&self) {
        let mut waiting = self.0.lock();
        waiting.is_closed = true;
        waiting.batches.clear();
    }
}
