//! One SSE client of the load generator: it finds stamps by byte search, and knows what it lacks.

use std::io::{ErrorKind, Read as _};

use memchr::memmem::{self, Finder};
use mio::net::TcpStream;

use crate::stats::Latency;
use crate::wire::{Head, MARK, STAMP_LEN, Stamp, now_micros, status};

/// What a client keeps of an unfinished block: more than a block is long.
const REST: usize = 512;

/// What all clients of a process share.
#[derive(Debug)]
pub struct Scanner {
    mark: Finder<'static>,
    /// What is read at once, behind what a client has kept.
    buffer: Vec<u8>,
    /// Events before this one are not counted.
    pub first: u64,
    /// Whether clients remember ids, so that they can resume.
    pub keeps_ids: bool,
    pub received: u64,
    pub doubled: u64,
    pub disordered: u64,
    pub latency: Latency,
}

impl Scanner {
    pub fn new() -> anyhow::Result<Self> {
        Ok(Self {
            mark: Finder::new(MARK),
            buffer: vec![0; 256 << 10],
            first: 0,
            keeps_ids: false,
            received: 0,
            doubled: 0,
            disordered: 0,
            latency: Latency::new()?,
        })
    }

    /// Counts from event `first` on.
    pub fn begin(&mut self, first: u64) {
        self.first = first;
        (self.received, self.doubled, self.disordered) = (0, 0, 0);
        self.latency.clear();
    }
}

/// What came of reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// All that there was has been read.
    Open,
    /// The server ended the connection, or did not answer with a stream.
    Closed,
}

/// One connection.
#[derive(Debug)]
pub struct Client {
    pub socket: TcpStream,
    /// Whether the head of the answer has come.
    pub greeted: bool,
    /// What was read behind the last stamp.
    rest: Vec<u8>,
    record: Record,
}

/// What a client has got, over all of its connections.
#[derive(Debug, Default, Clone)]
pub struct Record {
    /// The event that comes next.
    next: u64,
    /// Events that were passed over, as first and one past the last.
    missing: Vec<(u64, u64)>,
    /// The id of the last event.
    pub last_id: Vec<u8>,
}

impl Client {
    pub fn new(socket: TcpStream, record: Record) -> Self {
        Self { socket, greeted: false, rest: Vec::new(), record }
    }

    pub fn into_record(self) -> Record {
        self.record
    }

    /// Forgets what was before event `first`.
    pub fn begin(&mut self, first: u64) {
        self.record.next = first;
        self.record.missing.clear();
    }

    /// Events before `end` that it has not got.
    pub fn lost(&self, end: u64) -> u64 {
        let passed: u64 = self.record.missing.iter().map(|(from, to)| to - from).sum();
        passed + end.saturating_sub(self.record.next)
    }

    /// Reads until the socket has no more.
    pub fn read(&mut self, scanner: &mut Scanner) -> Outcome {
        loop {
            let kept = self.rest.len();
            let Some((before, room)) = scanner.buffer.split_at_mut_checked(kept) else { return Outcome::Closed };
            before.copy_from_slice(&self.rest);
            let room_len = room.len();
            let count = match self.socket.read(room) {
                Ok(0) => return Outcome::Closed,
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Outcome::Open,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => return Outcome::Closed,
            };
            // the buffer is lent to the scan, which changes the scanner
            let buffer = std::mem::take(&mut scanner.buffer);
            let taken = self.take(buffer.get(..kept + count).unwrap_or_default(), scanner);
            scanner.buffer = buffer;
            if !taken {
                return Outcome::Closed;
            }
            // a read that did not fill its room has emptied the socket: epoll tells of what comes next
            if count < room_len {
                return Outcome::Open;
            }
        }
    }

    /// Takes what was read; `false` when it is no stream.
    fn take(&mut self, mut bytes: &[u8], scanner: &mut Scanner) -> bool {
        if !self.greeted {
            let Some(head) = Head::read(bytes) else {
                self.keep(bytes);
                return true;
            };
            if status(bytes) != 200 {
                return false;
            }
            self.greeted = true;
            bytes = bytes.get(head.len..).unwrap_or_default();
        }
        let now = now_micros();
        let (mut done, mut last) = (0, None);
        while let Some(rest) = bytes.get(done..)
            && let Some(at) = scanner.mark.find(rest)
        {
            let Some(stamp) = Stamp::read(rest.get(at..).unwrap_or_default()) else { break };
            last = Some(done + at);
            done += at + STAMP_LEN;
            if stamp.seq >= scanner.first {
                scanner.latency.record(now.saturating_sub(stamp.due));
                self.record.count(stamp.seq, scanner);
            }
        }
        if let Some(last) = last.filter(|_| scanner.keeps_ids) {
            self.record.remember(bytes.get(..last).unwrap_or_default());
        }
        self.keep(bytes.get(done..).unwrap_or_default());
        true
    }

    fn keep(&mut self, rest: &[u8]) {
        self.rest.clear();
        self.rest.extend_from_slice(rest.get(rest.len().saturating_sub(REST)..).unwrap_or_default());
    }
}

impl Record {
    fn count(&mut self, seq: u64, scanner: &mut Scanner) {
        if seq == self.next {
            self.next += 1;
            scanner.received += 1;
        } else if seq > self.next {
            self.missing.push((self.next, seq));
            self.next = seq + 1;
            scanner.received += 1;
        } else if let Some(at) = self.missing.iter().position(|(from, to)| (*from..*to).contains(&seq)) {
            let (from, to) = self.missing.swap_remove(at);
            self.missing.extend([(from, seq), (seq + 1, to)].into_iter().filter(|(from, to)| from < to));
            scanner.received += 1;
            scanner.disordered += 1;
        } else {
            scanner.doubled += 1;
        }
    }

    /// Remembers the last id before the end of `bytes`.
    fn remember(&mut self, bytes: &[u8]) {
        const ID: &[u8] = b"\nid: ";
        let Some(at) = memmem::rfind(bytes, ID) else { return };
        let id = bytes.get(at + ID.len()..).unwrap_or_default();
        let end = id.iter().position(u8::is_ascii_control).unwrap_or(0);
        self.last_id.clear();
        self.last_id.extend_from_slice(id.get(..end).unwrap_or_default());
    }
}
