//! The SSE fan-out: one actor on each HTTP worker's thread. It is told that the ring moved, wakes its clients, and holds
//! them to the limits from outside of their response streams, since those are not polled while a socket takes nothing.

use std::rc::Rc;
use std::time::Duration;

use actix::{Actor, Addr, AsyncContext as _, Context, Handler, Message, MessageResult};
use tokio::sync::oneshot;

use super::history::History;
use super::journal_reader::ReadError;
use super::publisher::EventBusHandle;
use super::sse_body::{Source, SseBody};
use super::sse_session::{Connection, Hub, Limits, Wish};
use super::wake::RingMoved;
use crate::domain::clock::{Clock, Timestamp};
use crate::domain::id::EventId;
use crate::domain::sse::{self, Gap, GapReason};

/// The fan-out's name in logs and `/health`.
pub const NAME: &str = "sse_fanout";

/// The actor.
pub struct SseFanout {
    hub: Rc<Hub>,
}

/// End all streams cleanly and admit no more; answered when the last client is gone.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "oneshot::Receiver<()>")]
pub struct EndAll;

/// Cut the clients that are left.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct CutAll;

/// Where a client starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// With what comes.
    Now,
    /// With the last so many matching events.
    Replay(usize),
    /// Behind this event.
    After(EventId),
    /// With what arrived at this time or later.
    Since(Timestamp),
    /// Behind an event whose id is not one of ours: with what comes, and a notice.
    Unknown(String),
}

/// What a client asks for.
#[derive(Debug)]
pub struct Subscription {
    /// Which events, in which form.
    pub wish: Wish,
    /// Heartbeats as events instead of comments.
    pub heartbeat_event: bool,
    /// Where to start.
    pub start: Start,
}

/// The thread's own way to its clients; it cannot leave the thread.
#[derive(Clone)]
pub struct FanoutHandle(Rc<Source>);

impl SseFanout {
    /// Starts the actor on the current thread, for the clients of `hub`.
    #[must_use]
    pub fn start(hub: Hub, history: History, bus: &EventBusHandle, clock: Clock) -> (FanoutHandle, Addr<Self>) {
        let hub = Rc::new(hub);
        let address = Actor::start(Self { hub: Rc::clone(&hub) });
        bus.subscribe(hub.round.bell().subscriber(&address.clone().recipient()));
        (FanoutHandle(Rc::new(Source { hub, history, clock })), address)
    }

    /// Often enough to keep every limit of the configuration.
    fn tick(&self) -> Duration {
        let Limits { heartbeat, stall_timeout, max_lag_age, close_grace, .. } = self.hub.limits;
        let shortest = heartbeat.min(stall_timeout).min(max_lag_age).min(close_grace);
        (shortest / 4).clamp(Duration::from_millis(10), Duration::from_secs(1))
    }
}

impl Actor for SseFanout {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.run_interval(self.tick(), |fanout, _| {
            // the next tick does what this one left undone
            let _ = fanout.hub.panics.guard(NAME, || fanout.hub.sweep());
        });
    }
}

impl Handler<RingMoved> for SseFanout {
    type Result = ();

    fn handle(&mut self, _: RingMoved, _: &mut Self::Context) {
        self.hub.news();
    }
}

impl Handler<EndAll> for SseFanout {
    type Result = MessageResult<EndAll>;

    fn handle(&mut self, _: EndAll, _: &mut Self::Context) -> Self::Result {
        let (done, all_gone) = oneshot::channel();
        // if this panics, its sender hears at once that nobody will tell
        let _ = self.hub.panics.guard(NAME, || self.hub.end_all(done));
        MessageResult(all_gone)
    }
}

impl Handler<CutAll> for SseFanout {
    type Result = ();

    fn handle(&mut self, _: CutAll, _: &mut Self::Context) {
        let _ = self.hub.panics.guard(NAME, || self.hub.cut_all());
    }
}

impl FanoutHandle {
    /// Opens a stream; `connection` is the client's. A client that cannot be served is told
    /// when to come back, in the only form that a browser understands: a stream that ends at once.
    pub async fn open(&self, subscription: Subscription, connection: Rc<dyn Connection>) -> SseBody {
        let Subscription { wish, heartbeat_event, start } = subscription;
        let Source { hub, clock, .. } = self.0.as_ref();
        let Ok(cursor) = self.cursor(&wish, &start).await else {
            connection.released();
            return self.body(None, sse::farewell(hub.retry()));
        };
        let newest = hub.ring.newest();
        let lost = match start {
            Start::After(cursor) if cursor > newest => Some((cursor.to_string(), GapReason::AheadOfLog)),
            Start::Unknown(text) => Some((text, GapReason::UnknownId)),
            _ => None,
        };
        let from = cursor.min(newest);
        let Some(session) = hub.open(wish, heartbeat_event, from, Rc::clone(&connection)) else {
            connection.released();
            return self.body(None, sse::farewell(hub.retry()));
        };
        let mut first = sse::head(hub.retry(), from);
        if heartbeat_event {
            // some clients forget the id of a block without data
            first.extend(sse::heartbeat_event(from, clock.now()));
        }
        if let Some((requested, reason)) = lost {
            let gap = Gap { requested, oldest: newest, newest, reason };
            first.extend(gap.block(from, clock.now()));
            hub.counters().gaps.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
        self.body(Some(session), first)
    }

    async fn cursor(&self, wish: &Wish, start: &Start) -> Result<EventId, ReadError> {
        match *start {
            Start::Now => Ok(self.0.hub.ring.newest()),
            Start::Replay(count) => self.0.history.replay_cursor(&wish.filter, count).await,
            Start::After(cursor) => Ok(cursor),
            Start::Since(time) => Ok(self.0.history.since_cursor(time)),
            Start::Unknown(_) => Ok(self.0.hub.ring.newest()),
        }
    }

    fn body(&self, session: Option<Rc<super::sse_session::Session>>, first: Vec<u8>) -> SseBody {
        SseBody::new(Rc::clone(&self.0), session, first)
    }
}
