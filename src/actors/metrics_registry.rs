//! The metrics registry: takes what engines post, and follows the events for the predefined metrics.
//!
//! One writer, so a batch is taken whole and the answer says what became of it; readers take a cheap copy and wait for
//! nobody. It is all in memory. At a start the day's events are heard again for the gauges, and for which fills were told
//! already; counters and histograms begin anew, as Prometheus expects of a process that was restarted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use actix::{Actor, Addr, ArbiterHandle, AsyncContext as _, Context, Handler, Message, MessageResult};
use parking_lot::RwLock;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::admission::Admission;
use super::follower::{Follower, Follows, barrier, follow};
use super::history::History;
use super::publisher::EventBusHandle;
use super::supervision::Panics;
use super::wake::RingMoved;
use crate::domain::event::Event;
use crate::domain::fault::FieldFault;
use crate::domain::id::EventId;
use crate::domain::metrics::heard::Heard;
use crate::domain::metrics::labels::Labels;
use crate::domain::metrics::name::Prefix;
use crate::domain::metrics::registry::{Limits, Refused, Registry, Taken, Usage};
use crate::domain::metrics::write::{Change, Write};
use crate::domain::risk::session::Session;

/// The registry's name in logs and `/health`.
pub const NAME: &str = "metrics_registry";

/// How long a reader waits for the registry to have heard what was acknowledged before.
const SYNC_WAIT: Duration = Duration::from_millis(250);
/// Readers that wait for that at once.
const MAX_WAITING: usize = 64;

/// How to work.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What stands before each name in Prometheus text.
    pub prefix: Prefix,
    /// How much there may be.
    pub limits: Limits,
    /// The trading day.
    pub session: Session,
    /// Posts that may wait, and for how long.
    pub queue: Admission,
    /// Behind which event the trading day begins.
    pub cursor: EventId,
}

/// Counters of the registry.
#[derive(Debug, Default)]
pub struct MetricsCounters {
    /// Posted changes that were made.
    pub writes: AtomicU64,
    /// Changes whose series, or metric, found no room.
    pub series_refused: AtomicU64,
    /// Cycles that were forgotten before they ended, to make room for newer ones.
    pub cycles_forgotten: AtomicU64,
    /// Fills that were forgotten, so that they count again if they are told again.
    pub fills_forgotten: AtomicU64,
    /// Whether the day's events were heard.
    pub is_rebuilt: AtomicBool,
}

/// Why a post was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MetricsError {
    /// Something in it is wrong: what, by its place in the batch.
    #[error("the metrics do not fit those that are there")]
    Faults(Vec<(usize, FieldFault)>),
    /// Too many posts are waiting.
    #[error("too many posts of metrics are waiting")]
    Busy,
    /// The registry failed inside.
    #[error("it is not known whether the metrics were taken")]
    Lost,
}

/// The actor.
pub struct MetricsRegistry {
    follower: Follower,
    heard: Heard,
    registry: Arc<RwLock<Registry>>,
    bus: EventBusHandle,
    counters: Arc<MetricsCounters>,
    panics: Panics,
    /// The newest event of the time before this start.
    until: EventId,
}

/// Make these changes, all or, when one is wrong, none.
#[derive(Debug, Message)]
#[rtype(result = "Result<Taken, MetricsError>")]
struct Post(Vec<Write>, OwnedSemaphorePermit);

/// Answer when everything that is committed now was heard.
#[derive(Debug, Message)]
#[rtype(result = "oneshot::Receiver<()>")]
struct Sync(Arc<OwnedSemaphorePermit>);

impl MetricsRegistry {
    fn hear(&mut self, event: &Event) {
        let is_over = event.id() <= self.until;
        for write in self.heard.take(event) {
            // what was counted before the start is not counted again
            if !is_over || matches!(write.change, Change::Set(_)) {
                self.record(write);
            }
        }
        let (cycles, fills) = self.heard.forgotten();
        self.counters.cycles_forgotten.store(cycles, Ordering::Relaxed);
        self.counters.fills_forgotten.store(fills, Ordering::Relaxed);
    }

    fn record(&mut self, write: Write) {
        let mut registry = self.registry.write();
        match registry.record(write.clone(), true) {
            Ok(()) => {}
            Err(Refused::NoRoom(_)) => {
                self.counters.series_refused.fetch_add(1, Ordering::Relaxed);
                // a sum stays right when its parts are too many; a gauge of several would mean nothing
                if matches!(write.change, Change::Set(_) | Change::Move(_)) {
                    self.heard.forget(write);
                } else {
                    let _ = registry.record(Write { labels: Labels::of_the_rest(), ..write }, false);
                }
            }
            Err(Refused::Fault(fault)) => {
                tracing::warn!(metric = %write.name, %fault.message, "a figure of an event was left out")
            }
        }
    }

    fn note_rebuilt(&self) {
        if self.follower.cursor() >= self.until {
            self.counters.is_rebuilt.store(true, Ordering::Release);
        }
    }
}

impl Follows for MetricsRegistry {
    fn follower(&mut self) -> &mut Follower {
        &mut self.follower
    }

    fn take(&mut self, events: Vec<Arc<Event>>, _: &mut Context<Self>) {
        let panics = self.panics.clone();
        for event in &events {
            // what a panic leaves out is counted there
            let _ = panics.guard(NAME, || self.hear(event));
        }
        self.note_rebuilt();
    }
}

impl Actor for MetricsRegistry {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.bus.subscribe(self.follower.subscriber(&ctx.address()));
        ctx.address().do_send(RingMoved);
        self.note_rebuilt();
    }
}

impl Handler<RingMoved> for MetricsRegistry {
    type Result = ();

    fn handle(&mut self, _: RingMoved, ctx: &mut Self::Context) {
        let panics = self.panics.clone();
        let _ = panics.guard(NAME, || follow(self, ctx));
        // a journal that was cut meanwhile may have nothing to take
        self.note_rebuilt();
    }
}

impl Handler<Post> for MetricsRegistry {
    type Result = Result<Taken, MetricsError>;

    fn handle(&mut self, Post(writes, _permit): Post, _: &mut Self::Context) -> Self::Result {
        let taken = self.panics.guard(NAME, || self.registry.write().take(writes)).map_err(|_| MetricsError::Lost)?;
        let taken = taken.map_err(MetricsError::Faults)?;
        self.counters.writes.fetch_add(taken.accepted as u64, Ordering::Relaxed);
        self.counters.series_refused.fetch_add(taken.refused.len() as u64, Ordering::Relaxed);
        Ok(taken)
    }
}

impl Handler<Sync> for MetricsRegistry {
    type Result = MessageResult<Sync>;

    fn handle(&mut self, Sync(_permit): Sync, ctx: &mut Self::Context) -> Self::Result {
        let panics = self.panics.clone();
        // who asks a question that is a bug's undoing hears at once that nobody will answer
        MessageResult(panics.guard(NAME, || barrier(self, ctx)).unwrap_or_else(|_| oneshot::channel().1))
    }
}

/// Posts and reads.
#[derive(Debug, Clone)]
pub struct MetricsRegistryHandle {
    actor: Addr<MetricsRegistry>,
    registry: Arc<RwLock<Registry>>,
    queue: Admission,
    readers: Admission,
    counters: Arc<MetricsCounters>,
}

impl MetricsRegistryHandle {
    /// Starts the registry on `arbiter`.
    #[must_use]
    pub fn start(arbiter: &ArbiterHandle, settings: Settings, history: History, bus: EventBusHandle, panics: Panics) -> Self {
        let Settings { prefix, limits, session, queue, cursor } = settings;
        let registry = Arc::new(RwLock::new(Registry::new(prefix, limits)));
        let counters = Arc::<MetricsCounters>::default();
        let until = history.ring().newest();
        let actor = MetricsRegistry {
            // ids go on behind the newest one even when the clock was set back
            follower: Follower::unhurried(history, cursor.min(until)),
            heard: Heard::new(session),
            registry: Arc::clone(&registry),
            bus,
            counters: Arc::clone(&counters),
            panics,
            until,
        };
        let actor = MetricsRegistry::start_in_arbiter(arbiter, |_| actor);
        Self { actor, registry, queue, readers: Admission::new(MAX_WAITING, Duration::ZERO), counters }
    }

    /// Makes these changes: all of them but for those that find no room, or none when anything is wrong.
    ///
    /// # Errors
    /// See [`MetricsError`].
    pub async fn post(&self, writes: Vec<Write>) -> Result<Taken, MetricsError> {
        let permit = self.queue.enter(1).await.map_err(|_| MetricsError::Busy)?;
        self.actor.send(Post(writes, permit)).await.map_err(|_| MetricsError::Lost)?
    }

    /// All metrics as they are, with what was acknowledged before this call.
    pub async fn snapshot(&self) -> Registry {
        // it is a courtesy: under load the metrics are told as they are
        let _ = tokio::time::timeout(SYNC_WAIT, self.synced()).await;
        self.registry.read().clone()
    }

    /// Returns when everything that is committed now was heard.
    pub async fn synced(&self) {
        // held until the answer is there or nobody waits for it: so many may wait, not only so many messages
        let Ok(permit) = self.readers.enter(1).await.map(Arc::new) else { return };
        if let Ok(heard) = self.actor.send(Sync(Arc::clone(&permit))).await {
            // a registry that is gone knows no more than it knew
            let _ = heard.await;
        }
    }

    /// What stands before each name in Prometheus text.
    #[must_use]
    pub fn prefix(&self) -> Prefix {
        self.registry.read().prefix().clone()
    }

    /// How much there is.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.registry.read().usage()
    }

    /// Whether the registry runs.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.actor.connected()
    }

    /// The queue of posts.
    #[must_use]
    pub fn admission(&self) -> &Admission {
        &self.queue
    }

    /// The counters.
    #[must_use]
    pub fn counters(&self) -> &MetricsCounters {
        &self.counters
    }
}
