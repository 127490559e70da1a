//! The clients of one worker's thread: cursors into the ring, and the bytes that equal cursors share.
//!
//! Nothing in here is shared between threads, so nothing is locked; the actor of the thread and the response bodies on it
//! both hold the [`Hub`].

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::sse_chunk::Chunk;
pub use super::sse_counters::SseCounters;
use super::sse_round::Round;
use super::supervision::Panics;
use crate::domain::clock::Timestamp;
use crate::domain::filter::Filter;
use crate::domain::histogram::Recorder;
use crate::domain::id::EventId;
use crate::domain::ring::Ring;

/// Why a stream was ended by us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseReason {
    /// It fell too far behind.
    Slow,
    /// Its socket took nothing for too long.
    Stalled,
    /// The service is stopping.
    Shutdown,
    /// The journal could not be read for it.
    Journal,
}

/// A client's connection, as its judge needs it, and the way past the buffers of its response.
pub trait Connection {
    /// Sends one framed chunk, if all that the stream has yielded has left; `None` if it has not, or if the response has no
    /// chunks. The stream has to yield something first. What is pending is to be [flushed](Self::flush) before anything else.
    fn send(&self, _chunk: &Bytes, _: &mut Context<'_>) -> Option<Poll<io::Result<()>>> {
        None
    }
    /// Goes on with a chunk that was sent in part.
    fn flush(&self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
    /// The stream yields something.
    fn buffered(&self) {}
    /// Ends it at once, whatever its socket does.
    fn cut(&self);
    /// Bytes that its socket has ever taken.
    fn taken(&self) -> u64;
    /// Whether the system gave the client up, since it took nothing for too long.
    fn timed_out(&self) -> bool;
    /// The stream has ended; the connection is judged by others again.
    fn released(&self);
}

/// Equal wishes of clients, which share their work.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Wish {
    /// Which events.
    pub filter: Filter,
    /// With an `event:` line each.
    pub named: bool,
}

/// One client.
pub struct Session {
    key: usize,
    pub(super) wish: Rc<Wish>,
    /// The number of the wish.
    wish_key: u64,
    pub(super) heartbeat_event: bool,
    /// Where it is in the ring; of no meaning while it catches up from the journal.
    pub(super) position: Cell<u64>,
    /// The last event it was handed, or passed over.
    pub(super) cursor: Cell<EventId>,
    /// Whether its position is in the ring; else it catches up from the journal.
    pub(super) in_ring: Cell<bool>,
    /// Whether it has reached the newest event since it connected: only then can it be slow.
    pub(super) live: Cell<bool>,
    /// `Ring::written` when it last read: the difference to now is its lag.
    pub(super) written: Cell<u64>,
    pub(super) waker: Cell<Option<Waker>>,
    pub(super) heartbeat_due: Cell<bool>,
    pub(super) closing: Cell<Option<CloseReason>>,
    /// When it was last handed bytes.
    pub(super) sent_at: Cell<Instant>,
    /// Since when it should have moved, and what its socket had taken by then.
    waiting: Cell<Option<(Instant, u64)>>,
    behind_since: Cell<Option<Instant>>,
    closing_since: Cell<Option<Instant>>,
    pub(super) connection: Rc<dyn Connection>,
}

/// Limits of the streams.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How often a quiet stream shows that it lives.
    pub heartbeat: Duration,
    /// Shortest and longest retry time.
    pub retry: (Duration, Duration),
    /// Most clients over all workers.
    pub max_clients: usize,
    /// Bytes of one chunk.
    pub chunk_bytes: usize,
    /// A client that takes nothing for so long is cut.
    pub stall_timeout: Duration,
    /// A live client further behind is closed.
    pub max_lag_bytes: u64,
    /// A live client behind for longer is closed.
    pub max_lag_age: Duration,
    /// Time for a closed client to go.
    pub close_grace: Duration,
}

/// Chunks are forgotten when they take more than this.
const MAX_CHUNK_CACHE: usize = 4 << 20;

/// All clients of this thread.
pub struct Hub {
    pub(super) ring: Arc<Ring>,
    pub(super) limits: Limits,
    counters: Arc<SseCounters>,
    delivery: Recorder,
    pub(super) panics: Panics,
    pub(super) sessions: RefCell<BTreeMap<usize, Rc<Session>>>,
    pub(super) round: Round,
    next_key: Cell<usize>,
    /// The wishes of the clients there are, numbered.
    wishes: RefCell<HashMap<Rc<Wish>, u64>>,
    next_wish: Cell<u64>,
    /// By the wish's number and the position.
    chunks: RefCell<HashMap<(u64, u64), Chunk>>,
    chunk_bytes: Cell<usize>,
    /// The time of the last tick or news: exact enough for timeouts, free to read.
    pub(super) now: Cell<Instant>,
    head_at_last_sweep: Cell<u64>,
    stopping: Cell<bool>,
    empty: RefCell<Vec<oneshot::Sender<()>>>,
    random: RefCell<fastrand::Rng>,
}

impl Hub {
    /// A thread without clients yet.
    #[must_use]
    pub fn new(ring: Arc<Ring>, limits: Limits, counters: Arc<SseCounters>, panics: Panics, seed: u64) -> Self {
        Self {
            head_at_last_sweep: Cell::new(ring.head()),
            ring,
            limits,
            delivery: counters.delivery.recorder(),
            counters,
            panics,
            sessions: RefCell::default(),
            round: Round::default(),
            next_key: Cell::new(0),
            wishes: RefCell::default(),
            next_wish: Cell::new(0),
            chunks: RefCell::default(),
            chunk_bytes: Cell::new(0),
            now: Cell::new(Instant::now()),
            stopping: Cell::new(false),
            empty: RefCell::default(),
            random: RefCell::new(fastrand::Rng::with_seed(seed)),
        }
    }

    /// The counts over all workers.
    #[must_use]
    pub fn counters(&self) -> &Arc<SseCounters> {
        &self.counters
    }

    /// A time after which a client shall reconnect: another one for each, so that they do not all come at once.
    #[must_use]
    pub fn retry(&self) -> Duration {
        let (least, most) = self.limits.retry;
        least + (most - least).mul_f64(self.random.borrow_mut().f64())
    }

    /// Takes a client in; `None` when there are too many or the service is stopping.
    pub fn open(
        &self,
        wish: Wish,
        heartbeat_event: bool,
        cursor: EventId,
        connection: Rc<dyn Connection>,
    ) -> Option<Rc<Session>> {
        let admitted = self.counters.clients.fetch_add(1, Ordering::SeqCst) < self.limits.max_clients;
        if !admitted || self.stopping.get() {
            self.counters.clients.fetch_sub(1, Ordering::SeqCst);
            self.counters.refused.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        self.counters.opened.fetch_add(1, Ordering::Relaxed);
        let key = self.next_key.get();
        self.next_key.set(key + 1);
        let (wish, wish_key) = self.shared(wish);
        let session = Rc::new(Session {
            key,
            wish,
            wish_key,
            heartbeat_event,
            position: Cell::new(0),
            cursor: Cell::new(cursor),
            in_ring: Cell::new(false),
            live: Cell::new(false),
            written: Cell::new(self.ring.written()),
            waker: Cell::new(None),
            heartbeat_due: Cell::new(false),
            closing: Cell::new(None),
            sent_at: Cell::new(self.now.get()),
            waiting: Cell::new(None),
            behind_since: Cell::new(None),
            closing_since: Cell::new(None),
            connection,
        });
        self.sessions.borrow_mut().insert(key, Rc::clone(&session));
        self.round.joined();
        Some(session)
    }

    fn shared(&self, wish: Wish) -> (Rc<Wish>, u64) {
        let mut wishes = self.wishes.borrow_mut();
        if let Some((known, key)) = wishes.get_key_value(&wish) {
            return (Rc::clone(known), *key);
        }
        let (wish, key) = (Rc::new(wish), self.next_wish.get());
        self.next_wish.set(key + 1);
        wishes.insert(Rc::clone(&wish), key);
        (wish, key)
    }

    /// A client is gone: its connection has ended, for whatever reason.
    pub fn close(&self, session: &Rc<Session>) {
        if self.sessions.borrow_mut().remove(&session.key).is_none() {
            return;
        }
        self.counters.clients.fetch_sub(1, Ordering::SeqCst);
        if session.closing.get().is_none() && session.connection.timed_out() {
            // the kernel's timer may come before the sweep
            self.counters.stalled.fetch_add(1, Ordering::Relaxed);
            tracing::info!(cursor = %session.cursor.get(), "an sse client took nothing for too long; it can resume by id");
        } else if session.closing.get().is_none() {
            self.counters.left.fetch_add(1, Ordering::Relaxed);
        }
        session.connection.released();
        // the map, this session: nobody else has this wish
        if Rc::strong_count(&session.wish) <= 2 {
            self.wishes.borrow_mut().remove(&session.wish);
        }
        self.tell_if_empty();
    }

    /// The bytes from `position` up to the newest head, shared by all who ask for the same; `None` if the ring lacks them.
    pub(super) fn chunk(&self, session: &Session, position: u64) -> Option<Chunk> {
        let key = (session.wish_key, position);
        let mut chunks = self.chunks.borrow_mut();
        if let Some(chunk) = chunks.get(&key)
            && (chunk.read.cut_off || chunk.read.position == self.ring.head())
        {
            return Some(chunk.clone());
        }
        let chunk = Chunk::read(&self.ring, position, &session.wish, self.limits.chunk_bytes)?;
        if self.chunk_bytes.get() + chunk.size() > MAX_CHUNK_CACHE {
            chunks.clear();
            self.chunk_bytes.set(0);
        }
        let replaced = chunks.insert(key, chunk.clone()).map_or(0, |old| old.size());
        self.chunk_bytes.set((self.chunk_bytes.get() + chunk.size()).saturating_sub(replaced));
        Some(chunk)
    }

    /// A chunk whose oldest event is `oldest` is handed to a client `now`. What a client had missed before it was live is
    /// late by its own doing, and not counted. Ids are milliseconds, so a wait is told up to one too long.
    pub(super) fn delivered(&self, session: &Session, oldest: Option<EventId>, now: Timestamp) {
        if let (Some(oldest), true) = (oldest, session.live.get()) {
            let now = u64::try_from(now.micros()).unwrap_or(0);
            self.delivery.record(now.saturating_sub(oldest.millis().saturating_mul(1_000)));
        }
    }

    /// Has a client polled, and notes since when it should be.
    pub(super) fn wake(&self, session: &Session) {
        if session.waiting.get().is_none() {
            session.waiting.set(Some((self.now.get(), session.connection.taken())));
        }
        if let Some(waker) = session.waker.take() {
            waker.wake();
        }
    }

    /// Heartbeats, and the end of those who are too slow. Called on every tick, outside of any response stream.
    pub fn sweep(&self) {
        let now = Instant::now();
        self.now.set(now);
        self.chunks.borrow_mut().clear();
        self.chunk_bytes.set(0);
        let written = self.ring.written();
        let Limits { heartbeat, stall_timeout, max_lag_bytes, max_lag_age, close_grace, .. } = self.limits;
        let over = |since: Option<Instant>, limit: Duration| since.is_some_and(|since| now.duration_since(since) >= limit);
        for session in self.sessions.borrow().values() {
            if over(session.closing_since.get(), close_grace) {
                session.connection.cut();
                continue;
            }
            if session.closing_since.get().is_some() {
                continue;
            }
            if let Some((since, taken)) = session.waiting.get()
                && over(Some(since), stall_timeout)
            {
                let now_taken = session.connection.taken();
                if now_taken == taken {
                    self.end(session, CloseReason::Stalled);
                    session.connection.cut();
                    continue;
                }
                session.waiting.set(Some((now, now_taken)));
            }
            let behind = session.live.get() && session.position.get() < self.head_at_last_sweep.get();
            let since = behind.then(|| session.behind_since.get().unwrap_or(now));
            session.behind_since.set(since);
            if behind && (over(since, max_lag_age) || written - session.written.get() > max_lag_bytes) {
                self.end(session, CloseReason::Slow);
            } else if over(Some(session.sent_at.get()), heartbeat) {
                session.heartbeat_due.set(true);
                self.wake(session);
            }
        }
        self.head_at_last_sweep.set(self.ring.head());
    }

    /// Ends a stream cleanly, if its socket still takes bytes.
    pub(super) fn end(&self, session: &Session, reason: CloseReason) {
        if session.closing.get().is_some() {
            return;
        }
        session.closing.set(Some(reason));
        session.closing_since.set(Some(self.now.get()));
        match reason {
            CloseReason::Slow => self.counters.slow.fetch_add(1, Ordering::Relaxed),
            CloseReason::Stalled => self.counters.stalled.fetch_add(1, Ordering::Relaxed),
            CloseReason::Journal => self.counters.unread.fetch_add(1, Ordering::Relaxed),
            CloseReason::Shutdown => self.counters.shutdown.fetch_add(1, Ordering::Relaxed),
        };
        if matches!(reason, CloseReason::Slow | CloseReason::Stalled) {
            tracing::info!(?reason, cursor = %session.cursor.get(), "closing an sse client; it can resume by id");
        }
        self.wake(session);
    }

    /// Ends all streams and admits no more; `done` is told when the last one is gone.
    pub fn end_all(&self, done: oneshot::Sender<()>) {
        self.stopping.set(true);
        self.now.set(Instant::now());
        for session in self.sessions.borrow().values() {
            self.end(session, CloseReason::Shutdown);
        }
        self.empty.borrow_mut().push(done);
        self.tell_if_empty();
    }

    /// Cuts whoever is left.
    pub fn cut_all(&self) {
        for session in self.sessions.borrow().values() {
            session.connection.cut();
        }
    }

    fn tell_if_empty(&self) {
        if self.sessions.borrow().is_empty() {
            // who no longer waits need not know
            for waiter in self.empty.borrow_mut().drain(..) {
                let _ = waiter.send(());
            }
        }
    }
}

impl Session {
    /// Its socket takes bytes: it was polled.
    pub(super) fn polled(&self) {
        self.waiting.set(None);
    }

    /// It was handed bytes.
    pub(super) fn handed(&self, hub: &Hub) {
        self.heartbeat_due.set(false);
        self.sent_at.set(hub.now.get());
    }
}
