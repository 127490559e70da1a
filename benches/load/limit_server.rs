//! The limit: what one epoll loop without features can do.
//!
//! It takes everything that publishers have sent before each pass, then writes it to each socket in one write. A post is
//! answered as soon as its head is parsed and its body has arrived; the body is looked at only when there are subscribers.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::SocketAddr;

use anyhow::Result;
use memchr::memchr_iter;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

use crate::role::{end_with_parent, say_ready};
use crate::wire::Head;

const LISTENER: Token = Token(0);
const CREATED: &[u8] =
    b"HTTP/1.1 201 Created\r\ncontent-type: application/json\r\ncontent-length: 44\r\n\r\n{\"id\":\"1763452541345-0\",\"duplicate\":false }\n";
const STREAM_HEAD: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\n\r\nretry: 1000\n\n";

/// Bytes that are kept for clients which lag; further behind they are cut.
const MOST_LAG: u64 = 64 << 20;

/// What has been published and not yet written to everybody.
#[derive(Debug, Default)]
struct Log {
    bytes: Vec<u8>,
    /// Bytes that were dropped before the first of `bytes`.
    begin: u64,
    /// Number of the next event.
    next: u64,
}

impl Log {
    fn end(&self) -> u64 {
        self.begin + self.bytes.len() as u64
    }

    /// Appends a block for each event of a body: one object, or an array with an object a line.
    fn append(&mut self, body: &[u8]) {
        let mut from = 0;
        for end in memchr_iter(b'\n', body).chain([body.len()]) {
            let line = body.get(from..end).unwrap_or_default();
            from = end + 1;
            let line = line.strip_prefix(b"[").unwrap_or(line);
            let line = line.strip_suffix(b",").or_else(|| line.strip_suffix(b"]")).unwrap_or(line);
            let Some(fields) = line.strip_prefix(b"{") else { continue };
            let id = self.next;
            self.next += 1;
            // writing to a Vec cannot fail
            let _ = write!(self.bytes, "id: {id:013}-0\ndata: {{\"id\":\"{id:013}-0\",");
            self.bytes.extend_from_slice(fields);
            self.bytes.extend_from_slice(b"\n\n");
        }
    }

    /// Forgets what everybody has.
    fn trim(&mut self, least: u64) {
        let done = usize::try_from(least.saturating_sub(self.begin)).unwrap_or(0).min(self.bytes.len());
        if done == self.bytes.len() || done > 4 << 20 {
            self.bytes.drain(..done);
            self.begin += done as u64;
        }
    }
}

#[derive(Debug)]
struct Connection {
    socket: TcpStream,
    input: Vec<u8>,
    /// Bytes of a body that are still to come and that nobody wants.
    skip: usize,
    /// Where a subscriber is in the log.
    offset: Option<u64>,
    /// Whether its socket was full at the last write.
    full: bool,
}

struct Limit {
    log: Log,
    connections: Vec<Option<Connection>>,
    free: Vec<usize>,
    subscribers: usize,
    buffer: Vec<u8>,
}

/// Serves until the parent is gone.
pub fn run() -> Result<()> {
    end_with_parent();
    let mut poll = Poll::new()?;
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())?;
    socket.listen(4096)?;
    socket.set_nonblocking(true)?;
    let mut listener = TcpListener::from_std(socket.into());
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    say_ready(listener.local_addr()?)?;
    let mut events = Events::with_capacity(4096);
    let mut limit =
        Limit { log: Log::default(), connections: Vec::new(), free: Vec::new(), subscribers: 0, buffer: vec![0; 256 << 10] };
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            outcome => outcome?,
        }
        for event in &events {
            if event.token() == LISTENER {
                limit.accept(&listener, &poll)?;
                continue;
            }
            let index = event.token().0 - 1;
            if event.is_writable()
                && let Some(Some(connection)) = limit.connections.get_mut(index)
            {
                connection.full = false;
            }
            if event.is_readable() && limit.read(index).is_err() {
                limit.close(index);
            }
        }
        limit.pass();
    }
}

impl Limit {
    fn accept(&mut self, listener: &TcpListener, poll: &Poll) -> Result<()> {
        loop {
            let mut socket = match listener.accept() {
                Ok((socket, _)) => socket,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            socket.set_nodelay(true)?;
            let index = self.free.pop().unwrap_or(self.connections.len());
            poll.registry().register(&mut socket, Token(index + 1), Interest::READABLE | Interest::WRITABLE)?;
            let connection = Connection { socket, input: Vec::new(), skip: 0, offset: None, full: false };
            match self.connections.get_mut(index) {
                Some(slot) => *slot = Some(connection),
                None => self.connections.push(Some(connection)),
            }
        }
    }

    fn close(&mut self, index: usize) {
        let Some(closed) = self.connections.get_mut(index).and_then(Option::take) else { return };
        self.subscribers -= usize::from(closed.offset.is_some());
        self.free.push(index);
    }

    /// Reads what has arrived, and answers what is whole.
    fn read(&mut self, index: usize) -> std::io::Result<()> {
        let Some(Some(connection)) = self.connections.get_mut(index) else { return Ok(()) };
        loop {
            let count = match connection.socket.read(&mut self.buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            let mut piece = self.buffer.get(..count).unwrap_or_default();
            if connection.skip > 0 {
                let passed = connection.skip.min(piece.len());
                connection.skip -= passed;
                piece = piece.get(passed..).unwrap_or_default();
                if connection.skip == 0 {
                    connection.answer(CREATED)?;
                }
            }
            connection.input.extend_from_slice(piece);
            connection.take(&mut self.log, &mut self.subscribers)?;
            if count < self.buffer.len() {
                return Ok(());
            }
        }
    }

    /// One write to each subscriber that lacks something.
    fn pass(&mut self) {
        let end = self.log.end();
        if end == self.log.begin {
            return;
        }
        let (mut least, mut broken) = (end, Vec::new());
        for (index, slot) in self.connections.iter_mut().enumerate() {
            let Some(connection) = slot else { continue };
            let Some(offset) = connection.offset else { continue };
            if offset == end {
                continue;
            }
            let written = if connection.full { Ok(0) } else { connection.write(&self.log, offset) };
            match written {
                Ok(count) if end - offset - count <= MOST_LAG => {
                    connection.offset = Some(offset + count);
                    least = least.min(offset + count);
                }
                _ => broken.push(index),
            }
        }
        broken.into_iter().for_each(|index| self.close(index));
        self.log.trim(least);
    }
}

impl Connection {
    /// Takes the requests that are whole.
    fn take(&mut self, log: &mut Log, subscribers: &mut usize) -> std::io::Result<()> {
        let mut done = 0;
        while let Some(rest) = self.input.get(done..)
            && let Some(head) = Head::read(rest)
        {
            if rest.starts_with(b"GET ") {
                self.offset = Some(log.end());
                *subscribers += 1;
                done += head.len;
                (&self.socket).write_all(STREAM_HEAD)?;
                continue;
            }
            let have = rest.len() - head.len;
            if have < head.body && *subscribers > 0 {
                break;
            }
            if *subscribers > 0 {
                log.append(rest.get(head.len..head.len + head.body).unwrap_or_default());
            }
            done += head.len + head.body.min(have);
            if have < head.body {
                self.skip = head.body - have;
                break;
            }
            (&self.socket).write_all(CREATED)?;
        }
        self.input.drain(..done);
        Ok(())
    }

    fn answer(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.socket.write_all(bytes)
    }

    /// How many bytes its socket took.
    fn write(&mut self, log: &Log, offset: u64) -> std::io::Result<u64> {
        let from = usize::try_from(offset - log.begin).unwrap_or(usize::MAX);
        let wanted = log.bytes.get(from..).unwrap_or_default();
        match self.socket.write(wanted) {
            Ok(count) => {
                self.full = count < wanted.len();
                Ok(count as u64)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.full = true;
                Ok(0)
            }
            Err(error) => Err(error),
        }
    }
}
