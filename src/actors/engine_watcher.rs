//! The watcher of one engine. It ticks by the engine's kind, publishes what is known, and tells the registry when what was
//! announced is no longer true.
//!
//! It reads the registry's read model and nothing else, and judges by timestamps, never by counting ticks. All watchers
//! share a thread that does nothing but this, so ticks stay regular whatever the bus has to do.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use actix::fut::wrap_future;
use actix::{
    Actor, ActorContext as _, ActorFutureExt as _, Addr, ArbiterHandle, AsyncContext as _, Context, Handler, Message, Recipient,
};
use tokio::time::Instant;

use super::engine_model::EngineModel;
use super::engine_registry::Judge;
use super::publisher::EventBusHandle;
use super::supervision::Panics;
use crate::domain::clock::{Clock, Timestamp};
use crate::domain::engine::{EngineName, Kind, Limits, Notice, PLIMSOLL, State};
use crate::domain::event::{Draft, Header};

/// The watchers' name in logs and `/health`.
pub const NAME: &str = "engine_watcher";

/// How often watchers tick.
#[derive(Debug, Clone)]
pub struct Ticks {
    /// For market data engines.
    pub market_data: Duration,
    /// For all others.
    pub other: Duration,
    /// For these engines, whatever their kind.
    pub by_name: HashMap<String, Duration>,
}

impl Ticks {
    /// The time between two ticks of an engine.
    #[must_use]
    pub fn of(&self, name: &EngineName, kind: Kind) -> Duration {
        let by_kind = if kind == Kind::MarketData { self.market_data } else { self.other };
        self.by_name.get(name.as_str()).copied().unwrap_or(by_kind)
    }
}

/// What all watchers share.
pub struct Watch {
    /// The engines, read only.
    pub engines: Arc<EngineModel>,
    /// How often.
    pub ticks: Ticks,
    /// By what they are judged.
    pub limits: Limits,
    /// An engine that is silent for so long is watched no more until it beats again.
    pub rest_after: Duration,
    /// Where ticks are published.
    pub bus: EventBusHandle,
    /// The time.
    pub clock: Clock,
    /// Contained panics.
    pub panics: Panics,
}

/// The actor.
pub struct EngineWatcher {
    name: EngineName,
    watch: Arc<Watch>,
    registry: Recipient<Judge>,
    /// When the next tick is due.
    due: Instant,
    /// Whether the last tick is not published yet.
    publishing: bool,
}

/// The engine has stopped: watch it no more.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct Rest;

/// What one look at the engine gave.
struct Look {
    notice: Notice,
    judge: bool,
    rest: bool,
    interval: Duration,
}

impl EngineWatcher {
    /// Starts the watcher of `name` on `arbiter`; its first tick comes after `first`.
    pub fn start(
        arbiter: &ArbiterHandle,
        name: EngineName,
        watch: Arc<Watch>,
        registry: Recipient<Judge>,
        first: Duration,
    ) -> Addr<Self> {
        let due = Instant::now() + first;
        Self::start_in_arbiter(arbiter, move |_| Self { name, watch, registry, due, publishing: false })
    }

    fn look(&self) -> Option<Look> {
        let Watch { engines, ticks, limits, rest_after, clock, .. } = &*self.watch;
        let engine = engines.engines.get(&self.name)?;
        let now = clock.now();
        let is_stale = engine.state(now, limits.stale_after) == State::Stale;
        Some(Look {
            notice: engine.tick(now, *limits),
            judge: engine.verdict(now, limits.stale_after).is_some(),
            rest: is_stale && engine.is_announced() && engine.age(now) > *rest_after,
            interval: ticks.of(&self.name, engine.kind()),
        })
    }

    fn tick(&mut self, ctx: &mut Context<Self>) {
        let panics = self.watch.panics.clone();
        let look = panics.guard(NAME, || self.look());
        let Ok(Some(look)) = look else {
            // an engine that nobody knows any more; after a panic the registry starts another one
            return ctx.stop();
        };
        if look.judge {
            self.registry.do_send(Judge(self.name.clone()));
        }
        if look.rest {
            return ctx.stop();
        }
        self.publish(look.notice, ctx);
        // by the schedule, not by the time of this tick; what was missed is not made up for
        let now = Instant::now();
        self.due += look.interval;
        if self.due <= now {
            self.due = now + look.interval;
        }
        ctx.run_later(self.due.duration_since(now), Self::tick);
    }

    fn publish(&mut self, notice: Notice, ctx: &mut Context<Self>) {
        let counters = Arc::clone(&self.watch.engines);
        if self.publishing {
            // the bus is not done with the last one: a queue of ticks would only tell what was
            counters.ticks_lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.publishing = true;
        let bus = self.watch.bus.clone();
        let draft = draft(notice, self.watch.clock.now());
        let published = async move { bus.publish(vec![draft]).await };
        ctx.spawn(wrap_future::<_, Self>(published).map(move |outcome, watcher, _| {
            watcher.publishing = false;
            let counter = if outcome.is_ok() { &counters.ticks } else { &counters.ticks_lost };
            counter.fetch_add(1, Ordering::Relaxed);
        }));
    }
}

/// The event of a notice.
#[must_use]
pub fn draft(notice: Notice, now: Timestamp) -> Draft {
    let header = Header {
        event_type: notice.event_type.into(),
        timestamp: now,
        source: Some(PLIMSOLL.into()),
        severity: Some(notice.severity),
        profile_id: None,
        event_id: notice.event_id.map(Into::into),
        symbol: None,
        strategy: None,
    };
    Draft::new(header, &notice.payload)
}

impl Actor for EngineWatcher {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.watch.engines.watchers.fetch_add(1, Ordering::Relaxed);
        ctx.run_later(self.due.saturating_duration_since(Instant::now()), Self::tick);
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        self.watch.engines.watchers.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Handler<Rest> for EngineWatcher {
    type Result = ();

    fn handle(&mut self, _: Rest, ctx: &mut Self::Context) {
        ctx.stop();
    }
}
