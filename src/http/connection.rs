//! A client's socket that somebody else than its own response can end, and that a stream may write past its response.
//!
//! A response body is only polled while its socket takes bytes, so a stalled client can be ended by the socket alone.
//!
//! actix-http copies what a body yields into a buffer of the connection. A stream to thousands of clients spares that: while
//! this buffer is known to be empty it sends shared chunks itself. That is known when actix has written all that it offered,
//! since it offers all that it has, and the stream has yielded nothing since. The head of the response is in the buffer
//! before the stream is asked for the first time, so a stream yields something first; that leaves behind its head.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::rt::net::TcpStream;
use bytes::{Buf as _, Bytes};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use crate::actors::sse_session::Connection;

/// The connections of one thread, by their peers. They can all be told that the service stops: each asks whenever it is
/// polled, which costs it nothing while it waits.
#[derive(Default)]
pub struct Connections {
    open: RefCell<BTreeMap<SocketAddr, Rc<Control>>>,
    closing: Cell<bool>,
}

impl Connections {
    /// Has each connection end when it has no request under way; a new one ends at once.
    pub fn close(&self) {
        self.closing.set(true);
        self.open.borrow().values().for_each(|control| control.wake());
    }

    /// What one connection asks whether it shall end.
    #[must_use]
    pub fn closing(self: &Rc<Self>) -> Closing {
        Closing(Rc::clone(self))
    }

    /// The connection that `request` came on; none in a test without sockets.
    #[must_use]
    pub fn of(request: &HttpRequest) -> Option<Rc<Control>> {
        let connections = request.app_data::<Rc<Self>>()?;
        connections.open.borrow().get(&request.peer_addr()?).cloned()
    }
}

/// Ready once [`Connections::close`] was called, which wakes whoever waits.
pub struct Closing(Rc<Connections>);

impl Future for Closing {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if self.0.closing.get() { Poll::Ready(()) } else { Poll::Pending }
    }
}

/// What the holder of a connection may do to it, from the same thread.
#[derive(Default)]
pub struct Control {
    /// None once it has ended, and in a test without sockets.
    stream: RefCell<Option<TcpStream>>,
    /// Whether its response is sent in chunks, which others may send then.
    is_chunked: Cell<bool>,
    /// Whether actix has written all since the stream last yielded; of a meaning only once it has.
    is_clear: Cell<bool>,
    /// What is left of a chunk that was sent in part.
    rest: RefCell<Bytes>,
    cut: Cell<bool>,
    waker: Cell<Option<Waker>>,
    limits: Cell<Option<StreamLimits>>,
    taken: Cell<u64>,
    /// Whether the kernel gave its client up.
    timed_out: Cell<bool>,
    /// Whether it carries an endless response, which has a judge of its own.
    streaming: Cell<bool>,
    /// What may still be read before the connection is cut.
    allowance: Cell<Option<usize>>,
}

/// What the kernel may keep for the client of an endless response.
#[derive(Debug, Clone, Copy)]
pub struct StreamLimits {
    /// Bytes that it buffers.
    pub send_buffer: usize,
    /// How long sent bytes may stay unacknowledged: a client that vanished without a word is noticed then.
    pub user_timeout: Duration,
}

impl Connection for Control {
    fn cut(&self) {
        self.cut.set(true);
        self.wake();
    }

    fn taken(&self) -> u64 {
        self.taken.get()
    }

    fn timed_out(&self) -> bool {
        self.timed_out.get()
    }

    fn released(&self) {
        self.streaming.set(false);
        self.is_chunked.set(false);
    }

    fn send(&self, chunk: &Bytes, cx: &mut Context<'_>) -> Option<Poll<io::Result<()>>> {
        if !self.is_chunked.get() || !self.is_clear.get() {
            return None;
        }
        self.rest.replace(chunk.clone());
        Some(self.flush(cx))
    }

    fn flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut rest = self.rest.borrow_mut();
        while !rest.is_empty() {
            self.check()?;
            let poll = self.io(|stream| stream.poll_write(cx, &rest));
            match self.wait(cx, poll)? {
                Poll::Ready(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(taken) => {
                    self.taken.set(self.taken.get() + taken as u64);
                    rest.advance(taken);
                }
                Poll::Pending => return Poll::Pending,
            }
        }
        // not even its allocation is kept
        *rest = Bytes::new();
        Poll::Ready(Ok(()))
    }

    fn buffered(&self) {
        self.is_clear.set(false);
    }
}

impl Control {
    /// Has the connection polled, if it waits for its socket.
    fn wake(&self) {
        if let Some(waker) = self.waker.take() {
            waker.wake_by_ref();
            self.waker.set(Some(waker));
        }
    }

    /// Cuts the connection once its client has sent `bytes` more.
    pub fn allow(&self, bytes: usize) {
        self.allowance.set(Some(bytes));
    }

    /// Holds the connection to `limits` from its next write on.
    pub fn limit(&self, limits: StreamLimits) {
        self.streaming.set(true);
        self.limits.set(Some(limits));
    }

    /// Whether the response to the request under way is one of chunks, which its stream may send itself.
    pub fn allow_chunks(&self, is_chunked: bool) {
        self.is_chunked.set(is_chunked);
        self.is_clear.set(false);
    }

    fn io<T>(&self, work: impl FnOnce(Pin<&mut TcpStream>) -> Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        match self.stream.borrow_mut().as_mut() {
            Some(stream) => work(Pin::new(stream)),
            None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    /// Fails once the connection was cut.
    fn check(&self) -> io::Result<()> {
        if self.cut.get() { Err(self.abort()) } else { Ok(()) }
    }

    fn abort(&self) -> io::Error {
        if let Some(stream) = self.stream.borrow().as_ref() {
            // no lingering: the kernel gives its buffers back at once
            let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
        }
        io::ErrorKind::ConnectionAborted.into()
    }

    fn wait<T>(&self, cx: &Context<'_>, poll: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if matches!(&poll, Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::TimedOut) {
            self.timed_out.set(true);
        }
        if poll.is_pending() {
            let known = self.waker.take().filter(|known| known.will_wake(cx.waker()));
            self.waker.set(Some(known.unwrap_or_else(|| cx.waker().clone())));
        }
        poll
    }
}

/// A client that takes less of its answer within the write timeout is cut.
const LEAST_PROGRESS: u64 = 32 << 10;

/// A TCP connection with its [`Control`].
pub struct Socket {
    control: Rc<Control>,
    /// Where it is found, and by what.
    connections: Rc<Connections>,
    peer: Option<SocketAddr>,
    /// How long a write may make too little progress.
    write_timeout: Duration,
    /// Runs while what is to be written is not taken whole; and what had been taken when it began to.
    blocked: Option<(Pin<Box<Sleep>>, u64)>,
}

impl Socket {
    /// Wraps an accepted connection, which is one of `connections` while it lasts.
    #[must_use]
    pub fn new(stream: TcpStream, write_timeout: Duration, connections: Rc<Connections>) -> Self {
        // a small answer or block leaves at once; if the kernel refuses, it leaves a little later
        let _ = stream.set_nodelay(true);
        let peer = stream.peer_addr().ok();
        let control = Rc::new(Control { stream: RefCell::new(Some(stream)), ..Control::default() });
        // one that has the same peer is gone, or was made to another address of ours: requests must not find the wrong one
        if let Some(peer) = peer
            && let Some(older) = connections.open.borrow_mut().insert(peer, Rc::clone(&control))
        {
            older.cut();
        }
        Self { control, connections, peer, write_timeout, blocked: None }
    }

    /// The address of its client; none when that is gone already.
    #[must_use]
    pub fn peer(&self) -> Option<SocketAddr> {
        self.peer
    }

    /// Notes what a write of `wanted` bytes did; fails when its client takes too little for too long.
    fn judge(&mut self, cx: &mut Context<'_>, wanted: usize, poll: &Poll<io::Result<usize>>) -> io::Result<()> {
        match poll {
            Poll::Ready(Ok(taken)) => {
                self.control.taken.set(self.control.taken.get() + *taken as u64);
                if *taken == wanted {
                    self.blocked = None;
                    self.control.is_clear.set(true);
                }
            }
            Poll::Pending if !self.control.streaming.get() => {
                let limit = self.write_timeout;
                let taken = self.control.taken.get();
                let (timer, then) = self.blocked.get_or_insert_with(|| (Box::pin(sleep(limit)), taken));
                if timer.as_mut().poll(cx).is_ready() {
                    if taken - *then < LEAST_PROGRESS {
                        return Err(self.control.abort());
                    }
                    self.blocked = None;
                    cx.waker().wake_by_ref();
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn apply_limits(&mut self) {
        if let (Some(limits), Some(stream)) = (self.control.limits.take(), self.control.stream.borrow().as_ref()) {
            self.blocked = None;
            let socket = SockRef::from(stream);
            // without these the connection only costs more, until its timeouts find it
            let _ = socket.set_send_buffer_size(limits.send_buffer);
            #[cfg(target_os = "linux")]
            let _ = socket.set_tcp_user_timeout(Some(limits.user_timeout));
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // whoever still holds the control holds no socket open
        self.control.stream.take();
        let mut open = self.connections.open.borrow_mut();
        // a client may have come back from the same port before its old connection is noticed to be gone
        if let Some(peer) = self.peer
            && open.get(&peer).is_some_and(|control| Rc::ptr_eq(control, &self.control))
        {
            open.remove(&peer);
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let control = &this.control;
        control.check()?;
        let before = buf.filled().len();
        let poll = control.io(|stream| stream.poll_read(cx, buf));
        if let Some(allowance) = control.allowance.get() {
            let left = allowance.checked_sub(buf.filled().len() - before).ok_or_else(|| control.abort())?;
            control.allowance.set(Some(left));
        }
        control.wait(cx, poll)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.control.check()?;
        this.apply_limits();
        let poll = this.control.io(|stream| stream.poll_write(cx, buf));
        this.judge(cx, buf.len(), &poll)?;
        this.control.wait(cx, poll)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.control.io(|stream| stream.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.control.io(|stream| stream.poll_shutdown(cx))
    }
}

#[cfg(test)]
mod tests;
