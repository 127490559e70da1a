//! One client's response: a stream that reads the ring from the client's cursor, or the journal where the ring is too short.
//!
//! What comes from the ring goes to the socket as it is, shared by all who are handed the same. Everything else is yielded,
//! and so are blocks of the ring while something that was yielded is still on its way.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::Stream;

use super::history::{CatchUp, History};
use super::journal_reader::ReadError;
use super::sse_chunk::Chunk;
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

/// So many chunks are read before other clients' turn comes.
const MOST_CHUNKS: usize = 4;

/// Bytes that are yielded at once, at most: actix-http frees a buffer that has grown beyond 128 KiB at each write.
pub const MOST_YIELDED: usize = 64 << 10;

/// A question to the journal that is under way.
type CatchingUp = Pin<Box<dyn Future<Output = Result<CatchUp, ReadError>>>>;

enum Next {
    /// From the ring.
    Chunk(Chunk),
    /// From the journal, and the oldest event in them.
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
        let Some(chunk) = self.source.hub.chunk(session, position) else {
            // the ring has moved on without this client, or was emptied
            session.in_ring.set(false);
            return Next::Again;
        };
        session.position.set(chunk.read.position);
        session.cursor.set(chunk.read.cursor);
        session.written.set(chunk.read.written);
        Next::Chunk(chunk)
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
        let max_bytes = self.source.hub.limits.chunk_bytes.min(MOST_YIELDED);
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

    fn poll_blocks(&mut self, cx: &mut Context<'_>) -> Poll<Option<<Self as Stream>::Item>> {
        let Some(session) = self.session.clone() else { return Poll::Ready(self.first.take().map(Ok)) };
        match session.connection.flush(cx) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(_)) => return FAILED,
            Poll::Pending => return Poll::Pending,
        }
        session.polled();
        if let Some(first) = self.first.take() {
            return self.hand(&session, first);
        }
        let mut chunks = 0;
        loop {
            if session.closing.get().is_some() {
                // one last word, then the end
                self.source.hub.close(&session);
                self.session = None;
                self.catching_up = None;
                return self.hand(&session, Bytes::from(sse::farewell(self.source.hub.retry())));
            }
            if chunks == MOST_CHUNKS {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            match self.next(&session, cx) {
                Next::Again => {}
                Next::Chunk(chunk) => {
                    chunks += 1;
                    let Some(framed) = chunk.framed() else { continue };
                    self.source.hub.delivered(&session, chunk.read.oldest, self.source.clock.now());
                    match session.connection.send(framed, cx) {
                        None => return self.hand(&session, chunk.blocks()),
                        Some(Poll::Ready(Err(_))) => return FAILED,
                        Some(sent) => {
                            session.handed(&self.source.hub);
                            if sent.is_pending() {
                                return Poll::Pending;
                            }
                        }
                    }
                }
                Next::Bytes(bytes, oldest) => {
                    self.source.hub.delivered(&session, oldest, self.source.clock.now());
                    return self.hand(&session, bytes);
                }
                Next::Wait if session.heartbeat_due.get() => return self.hand(&session, self.heartbeat(&session)),
                Next::Wait => {
                    session.waker.set(Some(cx.waker().clone()));
                    return Poll::Pending;
                }
            }
        }
    }

    /// Yields `bytes`.
    fn hand(&self, session: &Session, bytes: Bytes) -> Poll<Option<<Self as Stream>::Item>> {
        session.handed(&self.source.hub);
        session.connection.buffered();
        Poll::Ready(Some(Ok(bytes)))
    }
}

/// The socket has failed: whoever writes the end of the response meets the same failure.
const FAILED: Poll<Option<<SseBody as Stream>::Item>> = Poll::Ready(None);

impl Stream for SseBody {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        let panics = this.source.hub.panics.clone();
        // a client whose stream panics loses its connection, and resumes by id
        panics.guard(NAME, || this.poll_blocks(cx)).unwrap_or(Poll::Ready(None))
    }
}

impl Drop for SseBody {
    fn drop(&mut self) {
        if let Some(session) = self.session.take() {
            self.source.hub.close(&session);
        }
    }
}
