//! Many connections that post as fast as they are answered: a closed loop, on one epoll loop.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::stats::Latency;
use crate::wire::{Head, status};

/// What is posted.
#[derive(Debug, Clone, Copy)]
pub struct Posting<'a> {
    pub address: SocketAddr,
    pub connections: usize,
    /// One whole request, the same on each connection again and again.
    pub request: &'a [u8],
    /// Events in it.
    pub events: u64,
    /// No request begins later than this.
    pub time: Duration,
}

/// What came of it.
#[derive(Debug)]
pub struct Posted {
    /// Events that were acknowledged.
    pub events: u64,
    /// Requests that were answered with anything but 201.
    pub refused: u64,
    /// Until the last answer.
    pub seconds: f64,
    /// From the beginning of a request to its answer.
    pub latency: Latency,
}

/// Answers that take longer end the run.
const PATIENCE: Duration = Duration::from_secs(30);

struct Connection {
    socket: TcpStream,
    /// Bytes of the request that are written.
    written: usize,
    /// Whether a request is under way.
    busy: bool,
    since: Instant,
    answer: Vec<u8>,
}

/// Posts until the time is over and everything is answered.
pub fn run(posting: &Posting<'_>) -> Result<Posted> {
    let mut poll = Poll::new()?;
    let begin = Instant::now();
    let mut connections = Vec::with_capacity(posting.connections);
    for index in 0..posting.connections {
        let socket = std::net::TcpStream::connect(posting.address)?;
        socket.set_nodelay(true)?;
        socket.set_nonblocking(true)?;
        let mut socket = TcpStream::from_std(socket);
        poll.registry().register(&mut socket, Token(index), Interest::READABLE | Interest::WRITABLE)?;
        connections.push(Connection { socket, written: 0, busy: true, since: begin, answer: Vec::new() });
    }
    let begin = Instant::now();
    let mut posted = Posted { events: 0, refused: 0, seconds: 0.0, latency: Latency::new()? };
    connections.iter_mut().for_each(|connection| connection.since = begin);
    let mut open = connections.len();
    for connection in &mut connections {
        connection.write(posting.request)?;
    }
    let mut events = Events::with_capacity(256);
    while open > 0 {
        if begin.elapsed() > posting.time + PATIENCE {
            bail!("{open} of {} connections wait for an answer", posting.connections);
        }
        poll.poll(&mut events, Some(Duration::from_millis(500)))?;
        for event in &events {
            let Some(connection) = connections.get_mut(event.token().0) else { continue };
            if connection.busy && event.is_writable() {
                connection.write(posting.request)?;
            }
            if event.is_readable()
                && let Some(status) = connection.read()?
            {
                let now = Instant::now();
                posted.seconds = now.duration_since(begin).as_secs_f64();
                posted.latency.record(u64::try_from(now.duration_since(connection.since).as_micros())?);
                match status {
                    201 => posted.events += posting.events,
                    _ => posted.refused += 1,
                }
                if begin.elapsed() < posting.time {
                    (connection.written, connection.since) = (0, now);
                    connection.write(posting.request)?;
                } else {
                    connection.busy = false;
                    open -= 1;
                }
            }
        }
    }
    Ok(posted)
}

impl Connection {
    fn write(&mut self, request: &[u8]) -> Result<()> {
        while let Some(rest) = request.get(self.written..)
            && !rest.is_empty()
        {
            match self.socket.write(rest) {
                Ok(count) => self.written += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// The status, once the answer is whole.
    fn read(&mut self) -> Result<Option<u16>> {
        let mut piece = [0; 4096];
        loop {
            match self.socket.read(&mut piece) {
                Ok(0) => bail!("the server ended a poster's connection"),
                Ok(count) => self.answer.extend_from_slice(piece.get(..count).unwrap_or_default()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        let whole = Head::read(&self.answer).is_some_and(|head| self.answer.len() >= head.len + head.body);
        let status = whole.then(|| status(&self.answer));
        if whole {
            self.answer.clear();
        }
        Ok(status)
    }
}
