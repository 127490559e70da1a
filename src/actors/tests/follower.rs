//! Followers: who is in no hurry is woken seldom, and behind nobody who asks.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, Addr, Context, Handler, Message, MessageResult};
use tokio::sync::oneshot;

use super::super::follower::{Follower, Follows, barrier, follow};
use super::super::wake::RingMoved;
use super::world::{LIMITS, World};
use crate::domain::event::Event;
use crate::domain::id::EventId;

/// What a listener took, a turn each.
type Turns = Rc<RefCell<Vec<Vec<EventId>>>>;

struct Listener {
    follower: Follower,
    turns: Turns,
}

#[derive(Message)]
#[rtype(result = "oneshot::Receiver<()>")]
struct Ask;

impl Actor for Listener {
    type Context = Context<Self>;
}

impl Follows for Listener {
    fn follower(&mut self) -> &mut Follower {
        &mut self.follower
    }

    fn take(&mut self, events: Vec<Arc<Event>>, _: &mut Context<Self>) {
        self.turns.borrow_mut().push(events.iter().map(|event| event.id()).collect());
    }
}

impl Handler<RingMoved> for Listener {
    type Result = ();

    fn handle(&mut self, _: RingMoved, ctx: &mut Self::Context) {
        follow(self, ctx);
    }
}

impl Handler<Ask> for Listener {
    type Result = MessageResult<Ask>;

    fn handle(&mut self, _: Ask, ctx: &mut Self::Context) -> Self::Result {
        MessageResult(barrier(self, ctx))
    }
}

fn listen(world: &World, make: impl FnOnce(super::super::history::History, EventId) -> Follower) -> (Addr<Listener>, Turns) {
    let follower = make(world.history.clone(), world.ring.newest());
    let turns = Turns::default();
    let listener = Listener { follower, turns: Rc::clone(&turns) };
    let address = Listener::create(|ctx| {
        world.bus.subscribe(listener.follower.subscriber(&actix::AsyncContext::address(ctx)));
        listener
    });
    (address, turns)
}

/// How many events each turn had, once all that can be done without time has been done.
async fn sizes(world: &World, turns: &Turns) -> Vec<usize> {
    world.settle().await;
    turns.borrow().iter().map(Vec::len).collect()
}

#[actix_web::test]
async fn who_is_in_no_hurry_takes_what_comes_during_a_rest_at_its_end() {
    tokio::time::pause();
    let world = World::new(1_000, LIMITS);
    let (_hurried, at_once) = listen(&world, Follower::new);
    let (_unhurried, later) = listen(&world, Follower::unhurried);
    for n in 0..4 {
        world.publish(n..n + 1).await;
    }
    assert_eq!(sizes(&world, &at_once).await, [1, 1, 1, 1]);
    assert_eq!(sizes(&world, &later).await, [1], "the first is taken at once");
    tokio::time::advance(Duration::from_millis(5)).await;
    assert_eq!(sizes(&world, &later).await, [1, 3]);
    tokio::time::advance(Duration::from_millis(5)).await;
    world.settle().await;
    world.publish(4..5).await;
    assert_eq!(sizes(&world, &later).await, [1, 3, 1], "a rest without news is the last one");
    assert_eq!(later.borrow().concat(), at_once.borrow().concat());
}

#[actix_web::test]
async fn who_asks_waits_for_no_rest() {
    tokio::time::pause();
    let world = World::new(1_000, LIMITS);
    let (listener, turns) = listen(&world, Follower::unhurried);
    world.publish(0..1).await;
    assert_eq!(sizes(&world, &turns).await, [1]);
    world.publish(1..3).await;
    listener.send(Ask).await.expect("it lives").await.expect("answered");
    assert_eq!(turns.borrow().concat().len(), 3);
    // what is there is told at once, too
    listener.send(Ask).await.expect("it lives").await.expect("answered");
    // more than a turn
    world.publish(3..1_000).await;
    listener.send(Ask).await.expect("it lives").await.expect("answered");
    assert_eq!(turns.borrow().concat().len(), 1_000);
}
