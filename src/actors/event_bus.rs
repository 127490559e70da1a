//! The event bus: one total order. It gives ids, hands groups of events to the journal, and delivers what was committed.
//!
//! While one group is being committed the next one gathers in the inbox, so the size of a commit follows the load and no
//! event waits for a timer. An event enters the ring only when it is committed: nobody sees what a crash could take back.
//!
//! The bus has nothing to do during a commit, nor the journal while it delivers, so they share a thread. What arrives while a
//! group is delivered makes the next one larger.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use actix::fut::wrap_future;
use actix::{Actor, ActorFutureExt as _, Addr, AsyncContext as _, Context, Handler, MailboxError, Message, MessageResult};
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::bus_inbox::{Inbox, Publish};
use super::journal::{Append, Journal};
use super::publisher::{PublishError, Published, Receipt};
use super::supervision::Panics;
use super::wake::Subscriber;
use crate::domain::clock::Clock;
use crate::domain::event::Event;
use crate::domain::id::{EventId, IdSequence};
use crate::domain::rate::Rate;
use crate::domain::ring::Ring;
use crate::domain::type_counts::TypeCounts;
use crate::storage::{Duplicate, StorageError};

/// The bus's name in logs and `/health`.
pub const NAME: &str = "event_bus";

/// A commit takes at most so many events, unless one batch has more: the first of them does not wait for too long, and a ring
/// of the usual size holds two commits, so that whoever reads the one during the next does not need the journal.
const MAX_GROUP: usize = 2_048;

/// Counters that routes read.
#[derive(Debug, Default)]
pub struct BusCounters {
    /// Events committed and delivered since the start.
    pub published: AtomicU64,
    /// Events that were posted before.
    pub duplicates: AtomicU64,
    /// Events that the journal did not take.
    pub failed: AtomicU64,
    /// Whether the journal's actor is dead: a bug, and the end of service.
    pub journal_gone: AtomicBool,
    /// Events committed in the last seconds.
    pub rate: Mutex<Rate>,
    /// Events committed since the start, by type.
    pub types: Mutex<TypeCounts>,
}

/// The actor.
pub struct EventBus {
    ids: IdSequence,
    clock: Clock,
    ring: Arc<Ring>,
    journal: Addr<Journal>,
    subscribers: Vec<Subscriber>,
    inbox: Inbox,
    /// Batches that were taken from it and wait for the next commit.
    waiting: Vec<Job>,
    /// Whether a commit is under way.
    committing: bool,
    stopping: bool,
    /// Who waits for the last commit.
    drained: Vec<oneshot::Sender<()>>,
    counters: Arc<BusCounters>,
    panics: Panics,
}

/// A batch on its way to the journal.
struct Job {
    events: Vec<Arc<Event>>,
    reply: oneshot::Sender<Published>,
    _permit: OwnedSemaphorePermit,
}

/// There is something in the inbox.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub(super) struct Gather;

/// Tell this subscriber when the ring moves.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct Subscribe(pub(super) Subscriber);

/// Empty the ring; the journal stays.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub(super) struct ClearRing;

/// Refuse new events, and answer when those that were taken are committed.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "oneshot::Receiver<()>")]
pub(super) struct Drain;

impl EventBus {
    /// A bus whose ids go on behind `last`.
    pub(super) fn new(
        last: EventId,
        clock: Clock,
        ring: Arc<Ring>,
        journal: Addr<Journal>,
        inbox: Inbox,
        counters: Arc<BusCounters>,
        panics: Panics,
    ) -> Self {
        Self {
            ids: IdSequence::after(last),
            clock,
            ring,
            journal,
            subscribers: Vec::new(),
            inbox,
            waiting: Vec::new(),
            committing: false,
            stopping: false,
            drained: Vec::new(),
            counters,
            panics,
        }
    }

    /// Takes what waits in the inbox; false when that was nothing.
    fn gather(&mut self) -> bool {
        let batches = self.inbox.take();
        let some = !batches.is_empty();
        for publish in batches {
            // a panic drops the reply, which the sender learns as `Unknown`; ids only ever moved ahead
            let _ = self.panics.clone().guard(NAME, || self.accept(publish));
        }
        some
    }

    fn accept(&mut self, publish: Publish) {
        let Publish { drafts, reply, permit } = publish;
        if self.stopping {
            // a sender that is gone needs no answer, here and below
            let _ = reply.send(Err(PublishError::Stopping));
            return;
        }
        let now = self.clock.now();
        let events = drafts.into_iter().map(|draft| Arc::new(draft.stamp(self.ids.next(now)))).collect();
        self.waiting.push(Job { events, reply, _permit: permit });
    }

    /// Hands the next group to the journal, if it is free.
    fn commit_next(&mut self, ctx: &mut Context<Self>) {
        if self.committing {
            return;
        }
        // without a commit, whose end looks again, the inbox has to be left empty
        while self.gather() && self.waiting.is_empty() {}
        if self.waiting.is_empty() {
            return;
        }
        let mut events = 0;
        let jobs = self.waiting.iter().take_while(|job| {
            let fits = events == 0 || events + job.events.len() <= MAX_GROUP;
            events += job.events.len();
            fits
        });
        let count = jobs.count();
        let group: Vec<Job> = self.waiting.drain(..count).collect();
        let events = group.iter().flat_map(|job| job.events.iter().cloned()).collect();
        self.committing = true;
        let append = Append { events, handed_over: Instant::now() };
        let commit = wrap_future::<_, Self>(self.journal.send(append));
        ctx.spawn(commit.map(move |outcome, bus, ctx| {
            bus.committing = false;
            let newest = group.last().and_then(|job| job.events.last()).map(|event| event.id());
            let delivered = bus.panics.clone().guard(NAME, || bus.deliver(group, outcome));
            if let (Err(_), Some(newest)) = (delivered, newest) {
                // the ring may lack what was committed, so everybody goes on from the journal
                bus.ring.forget(newest);
                bus.wake();
            }
            bus.commit_next(ctx);
            bus.tell_if_drained();
        }));
    }

    /// Puts what was committed into the ring, wakes the subscribers and answers the senders.
    fn deliver(&mut self, group: Vec<Job>, outcome: Result<Result<Vec<Duplicate>, StorageError>, MailboxError>) {
        let duplicates = match outcome {
            Ok(Ok(duplicates)) => duplicates,
            Ok(Err(StorageError::InDoubt(_))) => return self.refuse(group, &PublishError::Unknown),
            Ok(Err(error)) => return self.refuse(group, &PublishError::Journal(error)),
            Err(_) => {
                self.counters.journal_gone.store(true, Ordering::Release);
                return self.refuse(group, &PublishError::Unknown);
            }
        };
        #[cfg(test)]
        assert!(
            !group.iter().any(|job| job.events.iter().any(|event| event.header().event_type == "undeliverable")),
            "on purpose"
        );
        let mut duplicates = duplicates.into_iter().peekable();
        let mut index = 0;
        let mut fresh = Vec::new();
        let mut answers = Vec::with_capacity(group.len());
        for job in group {
            let mut receipts = Vec::with_capacity(job.events.len());
            for event in job.events {
                let duplicate = duplicates.next_if(|duplicate| duplicate.index == index);
                index += 1;
                receipts.push(match duplicate {
                    Some(Duplicate { first, .. }) => Receipt { id: first, duplicate: true },
                    None => {
                        let id = event.id();
                        fresh.push(event);
                        Receipt { id, duplicate: false }
                    }
                });
            }
            answers.push((job.reply, receipts));
        }
        self.counters.published.fetch_add(fresh.len() as u64, Ordering::Relaxed);
        self.counters.rate.lock().count(self.clock.now(), fresh.len() as u64);
        self.counters.types.lock().count(fresh.iter().map(|event| &event.header().event_type));
        self.counters.duplicates.fetch_add((index - fresh.len()) as u64, Ordering::Relaxed);
        self.ring.append(fresh);
        self.wake();
        for (reply, receipts) in answers {
            let _ = reply.send(Ok(receipts));
        }
    }

    fn refuse(&self, group: Vec<Job>, error: &PublishError) {
        for job in group {
            self.counters.failed.fetch_add(job.events.len() as u64, Ordering::Relaxed);
            let _ = job.reply.send(Err(error.clone()));
        }
    }

    /// Tells who waits for the last commit that it is done and delivered.
    fn tell_if_drained(&mut self) {
        if !self.committing && self.waiting.is_empty() {
            for waiter in self.drained.drain(..) {
                // who no longer waits need not know
                let _ = waiter.send(());
            }
        }
    }

    fn wake(&mut self) {
        self.subscribers.retain(Subscriber::ring);
    }
}

impl Actor for EventBus {
    type Context = Context<Self>;
}

impl Drop for EventBus {
    fn drop(&mut self) {
        self.inbox.close();
    }
}

impl Handler<Gather> for EventBus {
    type Result = ();

    fn handle(&mut self, _: Gather, ctx: &mut Self::Context) {
        self.commit_next(ctx);
    }
}

impl Handler<Subscribe> for EventBus {
    type Result = ();

    fn handle(&mut self, Subscribe(subscriber): Subscribe, _: &mut Self::Context) {
        // it may have missed what was committed since it looked
        if subscriber.ring() {
            self.subscribers.push(subscriber);
        }
    }
}

impl Handler<ClearRing> for EventBus {
    type Result = ();

    fn handle(&mut self, _: ClearRing, _: &mut Self::Context) {
        // if this panics the ring is as it was, or empty; either is whole
        let _ = self.panics.clone().guard(NAME, || {
            self.ring.clear();
            self.wake();
        });
    }
}

impl Handler<Drain> for EventBus {
    type Result = MessageResult<Drain>;

    fn handle(&mut self, _: Drain, ctx: &mut Self::Context) -> Self::Result {
        // what was handed over before is still published
        self.gather();
        self.stopping = true;
        let (done, waiter) = oneshot::channel();
        self.drained.push(done);
        self.commit_next(ctx);
        self.tell_if_drained();
        MessageResult(waiter)
    }
}
