//! One client's response: a stream that reads the ring from the client's cursor, or the journal where the ring is too short.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::Stream;

use super::history::{CatchUp, History};
use super::journal_reader::ReadError;
use super::sse_fanout::NAME;
use super::sse_session::{CloseReason, Hub, Session};
use crate::domain::clock::Clock;
use crate::domain::id::EventId;
use crate::domain::sse;

/// Where the streams of a thread's clients come from; one for all of them, so that each client is small.
pub(super) struct Source {
    pub(super) hub: Rc<Hub>,
    pub(super) history: History,
    pub(super) clock: Clock,
}

/// The stream of one client. Dropping it takes the client out of the count.
pub struct SseBody {
    source: Rc<Source>,
    /// `None` for a client that was turned away.
    session: Option<Rc<Session>>,
    /// What is to be sent before anything else.
    first: Option<Bytes>,
    catching_up: Option<CatchingUp>,
}

/// A question to the journal that is under way.
type CatchingUp = Pin<Box<dyn Future<Output = Result<CatchUp, ReadError>>>>;

enum Next {
    /// These, and the oldest event in them.
    Bytes(Bytes, Option<EventId>),
    Wait,
    /// Look again: something has changed.
    Again,
}

impl SseBody {
    /// The stream of `session`, which begins with `first`.
    pub(super) fn new(source: Rc<Source>, session: Option<Rc<Session>>, first: Vec<u8>) -> Self {
        Self { source, session, first: Some(Bytes::from(first)), catching_up: None }
    }

    fn next(&mut self, session: &Rc<Session>, cx: &mut Context<'_>) -> Next {
        if self.catching_up.is_some() {
            return self.next_from_journal(session, cx);
        }
        if !session.in_ring.get() && !self.enter_ring(session) {
            self.catch_up(session);
            return Next::Again;
        }
        let position = session.position.get();
        if position == self.source.hub.ring.head() {
            session.live.set(true);
            session.written.set(self.source.hub.ring.written());
            return Next::Wait;
        }
        let Some((bytes, read)) = self.source.hub.chunk(session, position) else {
            // the ring has moved on without this client, or was emptied
            session.in_ring.set(false);
            return Next::Again;
        };
        session.position.set(read.position);
        session.cursor.set(read.cursor);
        session.written.set(read.written);
        if bytes.is_empty() { Next::Again } else { Next::Bytes(bytes, read.oldest) }
    }

    /// Takes the client into the ring, if the ring has all that it lacks.
    fn enter_ring(&self, session: &Session) -> bool {
        let Some(position) = self.source.hub.ring.locate(session.cursor.get()) else { return false };
        session.position.set(position);
        session.in_ring.set(true);
        true
    }

    fn catch_up(&mut self, session: &Session) {
        let (history, cursor) = (self.source.history.clone(), session.cursor.get());
        let (filter, named) = (session.wish.filter.clone(), session.wish.named);
        let max_bytes = self.source.hub.limits.chunk_bytes;
        self.catching_up = Some(Box::pin(async move { history.catch_up(cursor, filter, named, max_bytes).await }));
    }

    fn next_from_journal(&mut self, session: &Rc<Session>, cx: &mut Context<'_>) -> Next {
        let Some(work) = &mut self.catching_up else { return Next::Again };
        let Poll::Ready(outcome) = work.as_mut().poll(cx) else { return Next::Wait };
        self.catching_up = None;
        match outcome {
            Ok(CatchUp { blocks, cursor, oldest, gap }) => {
                session.cursor.set(cursor);
                if gap {
                    self.source.hub.counters().gaps.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                }
                if blocks.is_empty() {
                    // nothing to deliver, but a position to tell, so that this need not be searched again
                    session.heartbeat_due.set(true);
                    return Next::Again;
                }
                Next::Bytes(Bytes::from(blocks), oldest)
            }
            Err(error) => {
                tracing::debug!(%error, "an sse client could not catch up from the journal; it is told to come back");
                self.source.hub.end(session, CloseReason::Journal);
                Next::Again
            }
        }
    }

    fn heartbeat(&self, session: &Session) -> Bytes {
        let cursor = session.cursor.get();
        Bytes::from(if session.heartbeat_event {
            sse::heartbeat_event(cursor, self.source.clock.now())
        } else {
            sse::heartbeat(cursor)
        })
    }
}

impl Stream for SseBody {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        let panics = this.source.hub.panics.clone();
        // a client whose stream panics loses its connection, and resumes by id
        panics.guard(NAME, || this.poll_blocks(cx)).unwrap_or(Poll::Ready(None))
    }
}

impl SseBody {
    fn poll_blocks(&mut self, cx: &mut Context<'_>) -> Poll<Option<<Self as Stream>::Item>> {
        let this = self;
        let session = this.session.clone();
        if let Some(session) = &session {
            session.polled();
        }
        if let Some(first) = this.first.take() {
            return Poll::Ready(Some(Ok(first)));
        }
        let Some(session) = session else { return Poll::Ready(None) };
        loop {
            if session.closing.get().is_some() {
                // one last word, then the end
                this.source.hub.close(&session);
                this.session = None;
                this.catching_up = None;
                return Poll::Ready(Some(Ok(Bytes::from(sse::farewell(this.source.hub.retry())))));
            }
            let bytes = match this.next(&session, cx) {
                Next::Again => continue,
                Next::Bytes(bytes, oldest) => {
                    this.source.hub.delivered(&session, oldest, this.source.clock.now());
                    bytes
                }
                Next::Wait if session.heartbeat_due.get() => this.heartbeat(&session),
                Next::Wait => {
                    session.waker.set(Some(cx.waker().clone()));
                    return Poll::Pending;
                }
            };
            session.heartbeat_due.set(false);
            session.sent_at.set(this.source.hub.now.get());
            return Poll::Ready(Some(Ok(bytes)));
        }
    }
}

impl Drop for SseBody {
    fn drop(&mut self) {
        if let Some(session) = self.session.take() {
            self.source.hub.close(&session);
        }
    }
}
