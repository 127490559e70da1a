//! Following the bus: a cursor over the committed events, for actors that fold them into state.
//!
//! The events come from the ring, and from the journal where the ring is too short. An actor takes a bounded number of them
//! in a turn and then sends itself word to go on, so that its other messages come in between. One that is in no hurry rests
//! after it has taken all there is: to wake a thread for each of thousands of commits a second costs more than its work.

use std::sync::Arc;
use std::time::Duration;

use actix::fut::wrap_future;
use actix::{Actor, ActorFutureExt as _, Addr, AsyncContext as _, Context, Handler};
use tokio::sync::oneshot;

use super::history::History;
use super::wake::{Bell, RingMoved, Subscriber};
use crate::domain::event::Event;
use crate::domain::id::EventId;

/// Events of one turn.
const TURN: usize = 256;
/// How long to wait when the journal did not answer.
const RETRY: Duration = Duration::from_secs(1);
/// How long one rests that is in no hurry: much shorter than the ring is, even at full speed.
const REST: Duration = Duration::from_millis(2);

/// Where an actor is in the order of all events.
#[derive(Debug)]
pub struct Follower {
    history: History,
    cursor: EventId,
    bell: Bell,
    /// Whether the journal is being asked.
    is_reading: bool,
    is_hurried: bool,
    /// Whether the bell is hushed until a timer ends that.
    is_resting: bool,
    /// Who waits until an event is taken.
    waiting: Vec<(EventId, oneshot::Sender<()>)>,
}

/// An actor that follows the bus. It calls [`follow`] on each [`RingMoved`], and once when it has subscribed; for whoever
/// asks for what is committed, [`barrier`].
pub trait Follows: Actor<Context = Context<Self>> + Handler<RingMoved> {
    /// Its place.
    fn follower(&mut self) -> &mut Follower;

    /// Called before [`Follows::take`] when the events behind `cursor` came from the journal, which may have deleted some.
    fn read_behind(&mut self, _cursor: EventId) {}

    /// Takes the next events, oldest first; the place is behind them already.
    fn take(&mut self, events: Vec<Arc<Event>>, ctx: &mut Context<Self>);
}

impl Follower {
    /// Follows what comes after `cursor`, as soon as it comes.
    #[must_use]
    pub fn new(history: History, cursor: EventId) -> Self {
        let bell = Bell::default();
        Self { history, cursor, bell, is_reading: false, is_hurried: true, is_resting: false, waiting: Vec::new() }
    }

    /// Follows what comes after `cursor`, some milliseconds late while much comes; at once where somebody waits at a
    /// [barrier].
    #[must_use]
    pub fn unhurried(history: History, cursor: EventId) -> Self {
        Self { is_hurried: false, ..Self::new(history, cursor) }
    }

    /// What the bus is to be given, so that it rings.
    #[must_use]
    pub fn subscriber<A: Follows>(&self, actor: &Addr<A>) -> Subscriber {
        self.bell.subscriber(&actor.clone().recipient())
    }

    /// The last event that was taken.
    #[must_use]
    pub fn cursor(&self) -> EventId {
        self.cursor
    }

    /// Goes on behind `cursor` instead; false while the journal is being asked, whose answer would move it again.
    #[must_use]
    pub fn seek(&mut self, cursor: EventId) -> bool {
        if !self.is_reading {
            self.cursor = cursor;
        }
        !self.is_reading
    }

    /// Events that are not newer than this are in the journal or nowhere.
    #[must_use]
    pub fn floor(&self) -> EventId {
        self.history.ring().floor()
    }

    /// The newest event that there is.
    #[must_use]
    pub fn newest(&self) -> EventId {
        self.history.ring().newest()
    }

    fn wait(&mut self) -> oneshot::Receiver<()> {
        let (done, taken) = oneshot::channel();
        // who has given up waits no longer
        self.waiting.retain(|(_, waiter)| !waiter.is_closed());
        self.waiting.push((self.newest(), done));
        taken
    }

    fn tell_waiting(&mut self) {
        let cursor = self.cursor;
        for (_, waiter) in self.waiting.extract_if(.., |(id, _)| *id <= cursor) {
            // who has given up needs no answer
            let _ = waiter.send(());
        }
    }
}

/// Lets `actor` take what is new: one turn of it now, the rest by and by.
pub fn follow<A: Follows>(actor: &mut A, ctx: &mut Context<A>) {
    let follower = actor.follower();
    if follower.is_reading {
        return;
    }
    if !follower.is_resting {
        follower.bell.heard();
    }
    let Some(events) = follower.history.recent(follower.cursor, TURN) else {
        return read(actor, ctx);
    };
    let Some(last) = events.last().map(|event| event.id()) else { return follower.tell_waiting() };
    follower.cursor = last;
    let is_full = events.len() == TURN;
    if is_full {
        // through the mailbox, behind what is in it
        ctx.address().do_send(RingMoved);
    } else if !follower.is_hurried && !follower.is_resting {
        rest(follower, ctx);
    }
    actor.take(events, ctx);
    actor.follower().tell_waiting();
}

/// Lets `actor` take what is new; the answer is told when everything that is committed now was taken.
pub fn barrier<A: Follows>(actor: &mut A, ctx: &mut Context<A>) -> oneshot::Receiver<()> {
    let taken = actor.follower().wait();
    follow(actor, ctx);
    taken
}

fn rest<A: Follows>(follower: &mut Follower, ctx: &mut Context<A>) {
    follower.is_resting = true;
    // a message that was sent before is taken without an ear for the bell
    follower.bell.hush();
    ctx.run_later(REST, |actor, ctx| {
        actor.follower().is_resting = false;
        ctx.address().do_send(RingMoved);
    });
}

fn read<A: Follows>(actor: &mut A, ctx: &mut Context<A>) {
    let follower = actor.follower();
    follower.is_reading = true;
    let (history, cursor) = (follower.history.clone(), follower.cursor);
    let stored = async move { history.stored(cursor).await };
    ctx.spawn(wrap_future::<_, A>(stored).map(move |outcome, actor, ctx| {
        let follower = actor.follower();
        follower.is_reading = false;
        match outcome {
            Ok((events, read_until)) => {
                follower.cursor = read_until;
                ctx.address().do_send(RingMoved);
                actor.read_behind(cursor);
                actor.take(events, ctx);
                actor.follower().tell_waiting();
            }
            Err(error) => {
                tracing::warn!(%error, "cannot follow the events from the journal; trying again");
                ctx.run_later(RETRY, |_, ctx| ctx.address().do_send(RingMoved));
            }
        }
    }));
}
