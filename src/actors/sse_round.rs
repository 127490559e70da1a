//! The round of the fan-out: news wake the clients slice by slice, so that nothing else waits behind all of them.
//!
//! A pass over 5,000 sockets takes tens of milliseconds, and tasks are polled in the order in which they were woken: a post
//! that arrives behind 5,000 woken clients is read when all of them are written to. A client reads up to the newest head
//! when it is polled, so news that come during a round are for the clients ahead of it at once, and the round goes on until
//! it has been to the others again; nobody waits for longer than one round.

use std::cell::Cell;
use std::rc::Rc;

use tokio::task::yield_now;
use tokio::time::Instant;

use super::sse_fanout::NAME;
use super::sse_session::Hub;
use super::wake::Bell;

/// So many clients are woken at once: some 0.3 ms of writes.
const SLICE: usize = 64;

/// How far the round is.
#[derive(Debug, Default)]
pub(super) struct Round {
    /// The key of the client that comes next.
    next: Cell<usize>,
    /// Clients that it has not been to since the ring moved.
    left: Cell<usize>,
    bell: Bell,
    /// Whether the bell was left unheard, since there was nobody to wake.
    is_unheard: Cell<bool>,
}

impl Round {
    /// What the bus rings.
    pub(super) fn bell(&self) -> &Bell {
        &self.bell
    }

    /// A client has joined, behind all others.
    pub(super) fn joined(&self) {
        if self.is_unheard.take() {
            // before the client reads its first head: what comes behind that one rings
            self.bell.heard();
        }
        // the round passes it too, and shall not end before it has been to those that it is for
        let left = self.left.get();
        self.left.set(if left > 0 { left + 1 } else { 0 });
    }
}

impl Hub {
    /// The ring has moved: the round goes on until it has been to every client. Without clients this is left unheard, so that
    /// the bus rings no more until one joins.
    pub fn news(self: &Rc<Self>) {
        if self.sessions.borrow().is_empty() {
            self.round.is_unheard.set(true);
            return;
        }
        self.round.bell.heard();
        let under_way = self.round.left.replace(self.sessions.borrow().len()) > 0;
        if under_way || !self.wake_slice() {
            return;
        }
        let hub = Rc::clone(self);
        actix::spawn(async move {
            loop {
                // the slice is polled, and whatever has arrived meanwhile
                yield_now().await;
                if !hub.wake_slice() {
                    return;
                }
            }
        });
    }

    /// Wakes the next clients; whether there are more.
    fn wake_slice(&self) -> bool {
        let left = self.panics.guard(NAME, || self.wake_next(self.round.left.get()));
        // if that panics, the next news begin a new round
        self.round.left.set(left.unwrap_or(0));
        self.round.left.get() > 0
    }

    /// Wakes the next of `left` clients; how many are left.
    fn wake_next(&self, left: usize) -> usize {
        self.now.set(Instant::now());
        let (sessions, next, head) = (self.sessions.borrow(), self.round.next.get(), self.ring.head());
        let (mut left, mut woken) = (left.min(sessions.len()), 0);
        for (key, session) in sessions.range(next..).chain(sessions.range(..next)) {
            if left == 0 || woken == SLICE {
                break;
            }
            left -= 1;
            self.round.next.set(key + 1);
            if session.position.get() < head || !session.in_ring.get() {
                self.wake(session);
                woken += 1;
            }
        }
        left
    }
}
