//! The handle of the event bus: the one way to publish, and what may become of what is published.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use actix::{Actor as _, Addr, ArbiterHandle};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::admission::Admission;
use super::bus_inbox::{Inbox, Publish};
use super::event_bus::{BusCounters, ClearRing, Drain, EventBus, Gather, Subscribe};
use super::journal::Journal;
use super::supervision::Panics;
use super::wake::Subscriber;
use crate::domain::clock::Clock;
use crate::domain::event::Draft;
use crate::domain::id::EventId;
use crate::domain::ring::Ring;
use crate::storage::StorageError;

/// What became of one event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    /// Its id; that of the first one if it was posted before.
    pub id: EventId,
    /// Whether it was posted before.
    pub duplicate: bool,
}

/// Why events were not taken. None of the batch is in the journal, but for `Unknown`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// The queue stayed full.
    #[error("too many events are waiting to be journalled")]
    Full,
    /// The service is stopping.
    #[error("the service is stopping")]
    Stopping,
    /// The journal cannot be written.
    #[error("the journal cannot be written")]
    Journal(StorageError),
    /// An internal error hid what became of them.
    #[error("it is not known whether the events were journalled")]
    Unknown,
}

/// What became of a batch, event by event.
pub type Published = Result<Vec<Receipt>, PublishError>;

/// Publishes, subscribes and asks.
#[derive(Debug, Clone)]
pub struct EventBusHandle {
    bus: Addr<EventBus>,
    inbox: Inbox,
    admission: Admission,
    stopping: Arc<AtomicBool>,
    counters: Arc<BusCounters>,
}

impl EventBusHandle {
    /// Starts the bus on `arbiter`; ids go on behind `last`. The units of `queue` are KiB.
    #[must_use]
    pub fn start(
        arbiter: &ArbiterHandle,
        last: EventId,
        clock: Clock,
        ring: Arc<Ring>,
        journal: Addr<Journal>,
        queue: Admission,
        panics: Panics,
    ) -> Self {
        let counters = Arc::<BusCounters>::default();
        let inbox = Inbox::default();
        let bus = EventBus::new(last, clock, ring, journal, inbox.clone(), Arc::clone(&counters), panics);
        let bus = EventBus::start_in_arbiter(arbiter, |_| bus);
        Self { bus, inbox, admission: queue, stopping: Arc::default(), counters }
    }

    /// Waits for room, hands the batch to the bus, and returns what will become of it. Once this has returned, the
    /// events are published even if nobody waits for the answer.
    ///
    /// # Errors
    /// The queue stayed full, or the service is stopping.
    pub async fn offer(&self, drafts: Vec<Draft>) -> Result<Pending, PublishError> {
        let room = self.room(drafts.iter().map(Draft::size).sum()).await?;
        Ok(self.send(drafts, room))
    }

    /// Publishes a batch and waits until it is durable.
    ///
    /// # Errors
    /// See [`PublishError`].
    pub async fn publish(&self, drafts: Vec<Draft>) -> Published {
        self.offer(drafts).await?.published().await
    }

    /// Waits for room for `bytes` of events that are still to be parsed.
    ///
    /// # Errors
    /// The queue stayed full, or the service is stopping.
    pub async fn room(&self, bytes: usize) -> Result<Room, PublishError> {
        if self.stopping.load(Ordering::Acquire) {
            return Err(PublishError::Stopping);
        }
        self.admission.enter(bytes / 1024 + 1).await.map(Room).map_err(|_| PublishError::Full)
    }

    /// Hands the batch to the bus, in the `room` that was made for it.
    #[must_use]
    pub fn send(&self, drafts: Vec<Draft>, Room(permit): Room) -> Pending {
        let (reply, answer) = oneshot::channel();
        if self.inbox.push(Publish { drafts, reply, permit }) {
            self.bus.do_send(Gather);
        }
        Pending(answer)
    }

    /// Tells `subscriber` from now on.
    pub fn subscribe(&self, subscriber: Subscriber) {
        self.bus.do_send(Subscribe(subscriber));
    }

    /// Empties the ring.
    ///
    /// # Errors
    /// The bus is gone.
    pub async fn clear_ring(&self) -> Result<(), PublishError> {
        self.bus.send(ClearRing).await.map_err(|_| PublishError::Stopping)
    }

    /// Refuses new events from now on.
    pub fn stop_intake(&self) {
        self.stopping.store(true, Ordering::Release);
    }

    /// Refuses new events and returns when those that were taken are committed.
    pub async fn drain(&self) {
        self.stop_intake();
        if let Ok(drained) = self.bus.send(Drain).await {
            // a bus that is gone has nothing to commit
            let _ = drained.await;
        }
    }

    /// The same bus behind a queue of its own, for events that must not wait behind those of others. Units are KiB.
    #[must_use]
    pub fn with_queue(&self, queue: Admission) -> Self {
        Self { admission: queue, ..self.clone() }
    }

    /// The queue before the journal, in KiB.
    #[must_use]
    pub fn admission(&self) -> &Admission {
        &self.admission
    }

    /// The counters.
    #[must_use]
    pub fn counters(&self) -> &BusCounters {
        &self.counters
    }
}

/// Room in the queue.
#[derive(Debug)]
pub struct Room(OwnedSemaphorePermit);

/// A batch that the bus has taken.
#[derive(Debug)]
pub struct Pending(oneshot::Receiver<Published>);

impl Pending {
    /// Waits until the batch is durable, or is not going to be.
    ///
    /// # Errors
    /// See [`PublishError`].
    pub async fn published(self) -> Published {
        self.0.await.unwrap_or(Err(PublishError::Unknown))
    }
}
