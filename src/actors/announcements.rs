//! What an actor has to tell the bus, in order, until the bus has taken it: the queue of whoever may not lose an event of
//! its own, and keeps a history from which it can tell again what found no room here.

use std::collections::VecDeque;
use std::future::Future;

use tokio::sync::oneshot;

use super::engine_watcher::draft;
use super::publisher::EventBusHandle;
use crate::domain::clock::Timestamp;
use crate::domain::engine::Notice;
use crate::domain::event::Draft;

/// So many may wait; each is a decision of somebody, of which there are a few a day.
const MOST: usize = 1_000;

/// The queue.
#[derive(Debug)]
pub struct Announcements {
    bus: EventBusHandle,
    /// Number and event, oldest first.
    waiting: VecDeque<(u64, Draft)>,
    /// Those who want to know when their number has been tried.
    listeners: Vec<(u64, oneshot::Sender<()>)>,
    is_under_way: bool,
    /// Whether something found no room; what comes behind it has to wait for it.
    is_behind: bool,
    postponed: u64,
}

impl Announcements {
    /// An empty queue before `bus`.
    #[must_use]
    pub fn new(bus: EventBusHandle) -> Self {
        let (waiting, listeners) = (VecDeque::new(), Vec::new());
        Self { bus, waiting, listeners, is_under_way: false, is_behind: false, postponed: 0 }
    }

    /// How often something found no room.
    #[must_use]
    pub fn postponed(&self) -> u64 {
        self.postponed
    }

    /// Adds number `seq`, which happened at `time`. When the queue is full it is left out, and so is all behind it until
    /// [`resume`](Self::resume).
    pub fn add(&mut self, seq: u64, notice: Notice, time: Timestamp) {
        if self.is_behind || self.waiting.len() == MOST {
            self.is_behind = true;
            self.postponed += 1;
            tracing::error!(seq, event_type = notice.event_type, "the bus takes nothing: announced from the history later");
            return;
        }
        self.waiting.push_back((seq, draft(notice, time)));
    }

    /// Whether there is room again for what was left out; then all that is not published has to be added from the history.
    #[must_use]
    pub fn resume(&mut self) -> bool {
        let resumes = self.is_behind && self.waiting.is_empty();
        self.is_behind &= !resumes;
        resumes
    }

    /// Tells `listener` when everything up to now has been published, or could not be.
    pub fn listen(&mut self, listener: oneshot::Sender<()>) {
        match self.waiting.back() {
            Some((seq, _)) => self.listeners.push((*seq, listener)),
            // whoever does not wait any more need not be told
            None => drop(listener.send(())),
        }
    }

    /// Starts to publish all that waits; `None` if nothing does, or it is being done. Gives the newest number.
    pub fn begin(&mut self) -> Option<(u64, impl Future<Output = bool> + use<>)> {
        let (seq, _) = self.waiting.back().filter(|_| !self.is_under_way)?;
        self.is_under_way = true;
        let (bus, drafts) = (self.bus.clone(), self.waiting.iter().map(|(_, draft)| draft.clone()).collect());
        Some((*seq, async move { bus.publish(drafts).await.is_ok() }))
    }

    /// What was begun up to number `seq` has ended; if it failed it waits for the next time.
    pub fn end(&mut self, seq: u64, published: bool) {
        self.is_under_way = false;
        if published {
            self.waiting.retain(|(waiting, _)| *waiting > seq);
        }
        for (_, listener) in self.listeners.extract_if(.., |(number, _)| *number <= seq) {
            let _ = listener.send(());
        }
    }
}
