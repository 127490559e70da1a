//! A process full of SSE clients on one epoll loop, told what to do line by line on stdin.
//!
//! - `open COUNT VARIANTS STALLED ADDRESS TARGET`: connects; `{}` in the target is the client's number modulo VARIANTS; stalled
//!   clients never read. Answers `opened COUNT`, once every client has the head of its answer.
//! - `begin SEQ`: counts from this event on; clients that were closed come back. Answers `begun`.
//! - `storm`: all drop their connections and come back where they were. Answers `stormed MICROSECONDS`.
//! - `report SEQ`: answers `report` and what became of the events before this one.
//!
//! In between it says `p COUNT`, how many events were received, as often as that helps.

use std::io::{BufRead as _, Write as _};
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use mio::{Events, Interest, Poll, Token, Waker};
use socket2::{Domain, Protocol, Socket, Type};

use crate::client::{Client, Outcome, Record, Scanner};
use crate::stats::Delivered;

const WAKE: Token = Token(usize::MAX);

/// So many connections wait for the head of their answer while an audience gathers: two processes together stay below the
/// queue of a listener with the usual 128 places. What a listener does with more at once is measured by the storm alone.
const GATHERING: usize = 50;
const STORMING: usize = 1024;

/// So often the parent hears of progress.
const PROGRESS: Duration = Duration::from_millis(4);

/// How long clients may take to connect, all together.
const CONNECT: Duration = Duration::from_secs(60);

/// The least receive buffer that the kernel gives: a client that does not read is full at once.
const STALLED_BUFFER: usize = 4096;

struct Subscriber {
    poll: Poll,
    events: Events,
    scanner: Scanner,
    address: SocketAddr,
    target: String,
    variants: usize,
    /// `None` while a client has no connection.
    clients: Vec<Option<Client>>,
    /// What clients without a connection had got.
    absent: Vec<(usize, Record)>,
    /// Kept open and never read.
    stalled: Vec<Socket>,
    /// Connections that the server has ended.
    closed: u64,
    /// Connections whose answer has not begun.
    unanswered: usize,
    told: (Instant, u64),
}

/// Runs until stdin is closed.
pub fn run() -> Result<()> {
    let poll = Poll::new()?;
    let waker = Waker::new(poll.registry(), WAKE)?;
    let (sender, commands) = channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if sender.send(line).is_err() || waker.wake().is_err() {
                return;
            }
        }
        drop(sender);
        // without it the loop would not notice that nobody is left
        let _ = waker.wake();
    });
    let mut subscriber = Subscriber {
        poll,
        events: Events::with_capacity(1024),
        scanner: Scanner::new()?,
        address: SocketAddr::from(([127, 0, 0, 1], 0)),
        target: String::new(),
        variants: 1,
        clients: Vec::new(),
        absent: Vec::new(),
        stalled: Vec::new(),
        closed: 0,
        unanswered: 0,
        told: (Instant::now(), 0),
    };
    subscriber.serve(&commands)
}

impl Subscriber {
    fn serve(&mut self, commands: &Receiver<String>) -> Result<()> {
        loop {
            match commands.try_recv() {
                Ok(line) => self.obey(&line)?,
                Err(TryRecvError::Disconnected) => return Ok(()),
                Err(TryRecvError::Empty) => self.turn()?,
            }
        }
    }

    fn obey(&mut self, line: &str) -> Result<()> {
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            ["open", count, variants, stalled, address, target] => {
                (self.address, self.target, self.variants) = (address.parse()?, (*target).to_owned(), variants.parse()?);
                self.open(count.parse()?, *stalled == "true")?;
                say(&format!("opened {count}"))
            }
            ["begin", first] => {
                let first = first.parse()?;
                self.come_back(GATHERING)?;
                self.closed = 0;
                self.scanner.begin(first);
                self.clients.iter_mut().flatten().for_each(|client| client.begin(first));
                self.told = (Instant::now(), 0);
                say("p 0")?;
                say("begun")
            }
            ["ids"] => {
                self.scanner.keeps_ids = true;
                say("ids")
            }
            ["storm"] => {
                let begin = Instant::now();
                for (index, slot) in self.clients.iter_mut().enumerate() {
                    self.absent.extend(slot.take().map(|client| (index, client.into_record())));
                }
                self.come_back(STORMING)?;
                say(&format!("stormed {}", begin.elapsed().as_micros()))
            }
            ["report", end] => {
                let report = self.report(end.parse()?);
                say(&format!("report {}", report.to_text()))
            }
            _ => bail!("no command: {line:?}"),
        }
    }

    fn open(&mut self, count: usize, stalled: bool) -> Result<()> {
        if stalled {
            for index in 0..count {
                let socket = self.connect(index, &[], Some(STALLED_BUFFER))?;
                self.stalled.push(socket);
            }
            return Ok(());
        }
        for index in 0..count {
            self.clients.push(None);
            self.absent.push((index, Record::default()));
        }
        self.come_back(GATHERING)
    }

    /// Connects every client that has no connection, from where it was; so many wait for an answer at once.
    fn come_back(&mut self, at_once: usize) -> Result<()> {
        let deadline = Instant::now() + CONNECT;
        for (index, record) in std::mem::take(&mut self.absent) {
            let socket = self.connect(index, &record.last_id, None)?;
            socket.set_nonblocking(true)?;
            let mut socket = mio::net::TcpStream::from_std(socket.into());
            self.poll.registry().register(&mut socket, Token(index), Interest::READABLE)?;
            if let Some(slot) = self.clients.get_mut(index) {
                *slot = Some(Client::new(socket, record));
                self.unanswered += 1;
            }
            while self.unanswered >= at_once {
                self.turn_before(deadline)?;
            }
        }
        while self.unanswered > 0 {
            self.turn_before(deadline)?;
        }
        Ok(())
    }

    /// A blocking connection with its request sent.
    fn connect(&self, index: usize, last_id: &[u8], buffer: Option<usize>) -> Result<Socket> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
        if let Some(bytes) = buffer {
            socket.set_recv_buffer_size(bytes)?;
        }
        socket.connect_timeout(&self.address.into(), Duration::from_secs(10)).context("a subscriber cannot connect")?;
        let target = self.target.replace("{}", &(index % self.variants.max(1)).to_string());
        let mut request = format!("GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n").into_bytes();
        if !last_id.is_empty() {
            request.extend_from_slice(b"Last-Event-ID: ");
            request.extend_from_slice(last_id);
            request.extend_from_slice(b"\r\n");
        }
        request.extend_from_slice(b"\r\n");
        (&socket).write_all(&request)?;
        Ok(socket)
    }

    fn turn_before(&mut self, deadline: Instant) -> Result<()> {
        if Instant::now() > deadline {
            bail!("{} connections got no answer", self.unanswered);
        }
        self.turn()
    }

    /// One pass over what has arrived.
    fn turn(&mut self) -> Result<()> {
        let silent = self.told.1 == self.scanner.received;
        let patience = if silent { Duration::from_millis(200) } else { PROGRESS };
        match self.poll.poll(&mut self.events, Some(patience)) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => return Ok(()),
            outcome => outcome?,
        }
        for event in &self.events {
            let index = event.token().0;
            let Some(slot) = self.clients.get_mut(index) else { continue };
            let Some(client) = slot else { continue };
            let greeted = client.greeted;
            let outcome = client.read(&mut self.scanner);
            let answered = client.greeted || outcome == Outcome::Closed;
            self.unanswered -= usize::from(answered && !greeted);
            if outcome == Outcome::Closed {
                self.closed += 1;
                self.absent.extend(slot.take().map(|client| (index, client.into_record())));
            }
        }
        if !silent && self.told.0.elapsed() >= PROGRESS {
            self.told = (Instant::now(), self.scanner.received);
            say(&format!("p {}", self.scanner.received))?;
        }
        Ok(())
    }

    fn report(&self, end: u64) -> Delivered {
        let Scanner { received, doubled, disordered, latency, .. } = &self.scanner;
        Delivered {
            received: *received,
            lost: self.clients.iter().flatten().map(|client| client.lost(end)).sum(),
            doubled: *doubled,
            disordered: *disordered,
            closed: self.closed,
            latency: latency.clone(),
        }
    }
}

fn say(line: &str) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{line}")?;
    Ok(stdout.flush()?)
}
