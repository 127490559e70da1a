//! The kill switch: the one place that says whether engines may trade.
//!
//! What makes trading stricter takes effect at once and is written down then; what makes it freer is written down first,
//! and does not happen if that fails. It lives on a thread of its own, so that nothing else keeps it waiting.

use std::collections::VecDeque;
use std::time::Duration;

use actix::fut::wrap_future;
use actix::{Actor, ActorFutureExt as _, Addr, ArbiterHandle, AsyncContext as _, Context, Handler, Message, Recipient};
use tokio::sync::{OwnedSemaphorePermit, oneshot, watch};
use tokio::time::timeout;

use super::admission::{Admission, Full};
use super::announcements::Announcements;
use super::publisher::EventBusHandle;
use super::supervision::Panics;
use crate::domain::clock::{Clock, Timestamp};
use crate::domain::engine::Notice;
use crate::domain::event::Severity;
use crate::domain::risk::kill_switch::{Position, Switch, TradingState};
use crate::storage::audit_log::Recent;
use crate::storage::kill_switch_file::{Found, KillSwitchFile};

/// The actor's name in logs and `/health`.
pub const NAME: &str = "kill_switch";
/// How often what could not be written or published is tried again.
const RETRY_EVERY: Duration = Duration::from_secs(1);
/// So long the answer to an order waits for its event, which is published in any case.
const EVENT_WAIT: Duration = Duration::from_secs(1);
/// Orders that may wait.
const QUEUE: usize = 64;

/// Makes trading no freer than `to`; a state that is as strict already stays as it is.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct Trip {
    /// Reducing or halted.
    pub to: TradingState,
    /// Why, for people.
    pub reason: String,
    /// Who: an engine's name, or `risk_evaluator`.
    pub actor: String,
    /// What distinguishes this cause from others, such as a breach's type and `since`, or an event's id: a cause that has
    /// been taken once, and after which an operator re-armed trading, does not trip again.
    pub cause: String,
}

/// The switch as others see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SwitchView {
    /// How it stands.
    pub position: Position,
    /// Why it is not on disk as it stands.
    pub failure: Option<String>,
    /// Why its state was not certain at the start, until an operator sets it.
    pub lost: Option<String>,
    /// How many events had to wait in the history, since the bus took nothing.
    pub postponed: u64,
}

/// The actor.
pub struct KillSwitch {
    switch: Switch,
    file: KillSwitchFile,
    /// Up to which number changes have been published.
    announced: u64,
    announcements: Announcements,
    is_unsaved: bool,
    /// Positions that are not in the history yet, oldest first.
    unlogged: VecDeque<Position>,
    lost: Option<String>,
    failure: Option<String>,
    view: watch::Sender<SwitchView>,
    clock: Clock,
    panics: Panics,
}

/// An operator's order.
#[derive(Message)]
#[rtype(result = "()")]
struct Order {
    to: TradingState,
    reason: String,
    actor: String,
    reply: oneshot::Sender<Result<Ordered, OrderError>>,
    _permit: OwnedSemaphorePermit,
}

/// How the switch stands after an order, and when its event is out.
struct Ordered {
    view: SwitchView,
    announced: oneshot::Receiver<()>,
}

/// Everything that was sent before is done.
#[derive(Message)]
#[rtype(result = "()")]
struct Settle;

/// Why an order did not do all it should.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OrderError {
    /// Too many orders wait.
    #[error("too many orders are waiting")]
    Busy,
    /// Trading would be freer, and that cannot be written down: nothing was changed.
    #[error("it cannot be written down: {0}")]
    NotWritten(String),
    /// Trading is stricter at once, but that cannot be written down: a restart may forget it.
    #[error("it is in force, but cannot be written down: {0}")]
    OnlyInMemory(String),
    /// An internal error hid what became of it.
    #[error("it is not known what became of the order")]
    Unknown,
}

impl From<Full> for OrderError {
    fn from(_: Full) -> Self {
        Self::Busy
    }
}

/// Shows, orders, and waits for changes.
#[derive(Debug, Clone)]
pub struct KillSwitchHandle {
    actor: Addr<KillSwitch>,
    view: watch::Receiver<SwitchView>,
    recent: Recent,
    orders: Admission,
    waiters: Admission,
}

impl KillSwitchHandle {
    /// Starts the actor on `arbiter` with what was `found` on disk; `max_waiters` may wait for changes.
    #[must_use]
    pub fn start(
        arbiter: &ArbiterHandle,
        found: Found,
        max_waiters: usize,
        bus: EventBusHandle,
        clock: Clock,
        panics: Panics,
    ) -> Self {
        let recent = found.file.history().recent();
        let position = found.switch.position().clone();
        let view = SwitchView { position, failure: None, lost: found.lost.clone(), postponed: 0 };
        let (sender, view) = watch::channel(view);
        let switch = KillSwitch {
            unlogged: found.is_unlogged.then(|| found.switch.position().clone()).into_iter().collect(),
            switch: found.switch,
            file: found.file,
            announced: found.announced,
            announcements: Announcements::new(bus),
            is_unsaved: found.is_unsaved,
            lost: found.lost,
            failure: None,
            view: sender,
            clock,
            panics,
        };
        let actor = KillSwitch::start_in_arbiter(arbiter, |_| switch);
        let orders = Admission::new(QUEUE, Duration::ZERO);
        Self { actor, view, recent, orders, waiters: Admission::new(max_waiters, Duration::ZERO) }
    }

    /// How it stands.
    #[must_use]
    pub fn current(&self) -> SwitchView {
        self.view.borrow().clone()
    }

    /// How it stands once that is not the state of `since` any more, or when nobody waits any longer.
    ///
    /// # Errors
    /// Too many wait already.
    pub async fn changed(&self, since: Option<Timestamp>) -> Result<SwitchView, Full> {
        let mut view = self.view.clone();
        let since = since.unwrap_or_else(|| view.borrow_and_update().position.since);
        let current = view.borrow_and_update().clone();
        if current.position.since != since {
            return Ok(current);
        }
        let _permit = self.waiters.try_enter(1)?;
        // without the actor nothing changes any more
        let changed = view.wait_for(|view| view.position.since != since).await.map(|view| view.clone());
        Ok(changed.unwrap_or(current))
    }

    /// An operator's order. Once this waits, it is done even if nobody waits for it.
    ///
    /// # Errors
    /// See [`OrderError`].
    pub async fn order(&self, to: TradingState, reason: String, actor: String) -> Result<SwitchView, OrderError> {
        let permit = self.orders.enter(1).await?;
        let (reply, answer) = oneshot::channel();
        self.actor.do_send(Order { to, reason, actor, reply, _permit: permit });
        let ordered = answer.await.map_err(|_| OrderError::Unknown)??;
        let _ = timeout(EVENT_WAIT, ordered.announced).await;
        Ok(ordered.view)
    }

    /// Where the evaluator sends what demands stricter trading.
    #[must_use]
    pub fn trips(&self) -> Recipient<Trip> {
        self.actor.clone().recipient()
    }

    /// The newest lines of the history.
    #[must_use]
    pub fn recent(&self) -> &Recent {
        &self.recent
    }

    /// Those who wait for a change, and the queue of orders.
    #[must_use]
    pub fn queues(&self) -> [&Admission; 2] {
        [&self.waiters, &self.orders]
    }

    /// Returns when everything that was asked for before is done.
    pub async fn settle(&self) {
        // an actor that is gone has nothing left to do
        let _ = self.actor.send(Settle).await;
    }
}

impl KillSwitch {
    /// Lets `next` hold from now on, for everybody who looks.
    fn enter(&mut self, next: Switch) {
        let position = next.position().clone();
        tracing::warn!(
            state = position.state.as_str(),
            actor = position.actor,
            reason = position.reason,
            "the kill switch was set"
        );
        self.switch = next;
        self.is_unsaved = true;
        self.unlogged.push_back(position);
        self.show();
    }

    fn show(&self) {
        let (position, postponed) = (self.switch.position().clone(), self.announcements.postponed());
        let view = SwitchView { position, failure: self.failure.clone(), lost: self.lost.clone(), postponed };
        self.view.send_if_modified(|shown| {
            *shown != view && {
                *shown = view;
                true
            }
        });
    }

    /// Writes down what is not on disk yet, and tells the bus what it does not know yet.
    fn catch_up(&mut self, ctx: &mut Context<Self>) {
        let panics = self.panics.clone();
        let written = panics.guard(NAME, || self.write());
        let failure = written.unwrap_or_else(|error| Err(error.to_string())).err();
        if let Some(failure) = failure.as_ref().filter(|_| self.failure.is_none()) {
            tracing::error!(failure, "the kill switch cannot be written down");
        }
        self.failure = failure;
        self.show();
        self.announce(ctx);
    }

    fn write(&mut self) -> Result<(), String> {
        if self.is_unsaved {
            self.file.save(&self.switch, self.announced).map_err(|error| format!("its state cannot be written: {error}"))?;
            self.is_unsaved = false;
        }
        while let Some(position) = self.unlogged.front() {
            self.file.log(position).map_err(|error| format!("its history cannot be written: {error}"))?;
            self.unlogged.pop_front();
        }
        Ok(())
    }

    fn order(&mut self, order: &Order, ctx: &mut Context<Self>) -> Result<(), OrderError> {
        let Order { to, reason, actor, .. } = order;
        let Some(next) = self.switch.order(*to, reason, actor, self.clock.now()) else {
            self.catch_up(ctx);
            return self.failure.clone().filter(|_| self.is_unsaved).map_or(Ok(()), |why| Err(OrderError::OnlyInMemory(why)));
        };
        if next.position().state <= self.switch.position().state {
            if let Err(error) = self.file.save(&next, self.announced) {
                // what the disk holds now is not known: what holds is written again
                self.is_unsaved = true;
                self.failure = Some(format!("its state cannot be written: {error}"));
                self.show();
                return Err(OrderError::NotWritten(error.to_string()));
            }
            self.lost = None;
            self.tell(next.position());
            self.enter(next);
            self.is_unsaved = false;
            self.catch_up(ctx);
            return Ok(());
        }
        self.lost = None;
        self.tighten(next, ctx);
        self.failure.clone().filter(|_| self.is_unsaved).map_or(Ok(()), |why| Err(OrderError::OnlyInMemory(why)))
    }

    fn tighten(&mut self, next: Switch, ctx: &mut Context<Self>) {
        self.tell(next.position());
        self.enter(next);
        self.catch_up(ctx);
    }

    /// Queues the event of a position.
    fn tell(&mut self, position: &Position) {
        let severity = match position.state {
            TradingState::Active => Severity::Info,
            TradingState::Reducing => Severity::Warning,
            TradingState::Halted => Severity::Critical,
        };
        // text and numbers always have a JSON form
        let payload = serde_json::to_string(position).unwrap_or_default();
        let notice = Notice { event_type: "kill_switch_triggered", severity, event_id: Some(position.event_id()), payload };
        self.announcements.add(position.seq, notice, position.timestamp);
    }

    fn announce(&mut self, ctx: &mut Context<Self>) {
        let Some((seq, published)) = self.announcements.begin() else { return };
        ctx.spawn(wrap_future::<_, Self>(published).map(move |is_published, switch, ctx| {
            switch.announcements.end(seq, is_published);
            if is_published {
                switch.announced = switch.announced.max(seq);
                switch.is_unsaved = true;
                if switch.announcements.resume() {
                    switch.recall();
                }
                switch.catch_up(ctx);
            }
        }));
    }

    /// Queues the events of all positions that have not been published, as far back as the history is at hand.
    fn recall(&mut self) {
        let positions = self.file.since(self.announced).into_iter().chain(self.unlogged.iter().cloned());
        for position in positions.filter(|position| position.seq > self.announced).collect::<Vec<_>>() {
            self.tell(&position);
        }
    }
}

impl Actor for KillSwitch {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.recall();
        self.catch_up(ctx);
        ctx.run_interval(RETRY_EVERY, Self::catch_up);
    }
}

impl Handler<Trip> for KillSwitch {
    type Result = ();

    fn handle(&mut self, trip: Trip, ctx: &mut Self::Context) {
        let (panics, now) = (self.panics.clone(), self.clock.now());
        let Trip { to, reason, actor, cause } = trip;
        let newest = self.switch.causes().last().map(str::to_owned);
        let next = panics.guard(NAME, || self.switch.trip(to, &reason, &actor, &cause, now));
        // a cause that changes nothing is written down with the next tick
        self.is_unsaved |= newest.as_deref() != self.switch.causes().last();
        if let Ok(Some(next)) = next {
            self.tighten(next, ctx);
        }
    }
}

impl Handler<Order> for KillSwitch {
    type Result = ();

    fn handle(&mut self, order: Order, ctx: &mut Self::Context) {
        let panics = self.panics.clone();
        let Ok(outcome) = panics.guard(NAME, || self.order(&order, ctx)) else { return };
        let (tried, announced) = oneshot::channel();
        self.announcements.listen(tried);
        let view = self.view.borrow().clone();
        // the order is carried out, whoever waits for the answer
        let _ = order.reply.send(outcome.map(|()| Ordered { view, announced }));
    }
}

impl Handler<Settle> for KillSwitch {
    type Result = ();

    fn handle(&mut self, _: Settle, ctx: &mut Self::Context) {
        self.catch_up(ctx);
    }
}
