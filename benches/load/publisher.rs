//! Publishers of events that subscribers time: one connection, so that the order of events is known.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::audience::Audience;
use crate::wire::{FIRST_SEQ, Head, JSON, Stamp, now_micros, post, push_event, status};

/// Events of one post, at most.
const MOST: u64 = 1_000;

/// A pause is slept up to here, then waited out awake: sleeping is not exact.
const AWAKE: Duration = Duration::from_micros(150);

/// Pauses are no shorter, so that a fast stream is posted in batches and not one by one.
const SHORTEST_PAUSE: Duration = Duration::from_micros(500);

/// What was published.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sent {
    /// Events that were due and could not be posted in time.
    pub unsent: u64,
    pub seconds: f64,
}

/// One connection that posts.
#[derive(Debug)]
pub struct Publisher {
    stream: TcpStream,
    /// The number of the next event.
    pub next: u64,
    body: Vec<u8>,
    answer: Vec<u8>,
}

impl Publisher {
    pub fn connect(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        Ok(Self { stream, next: FIRST_SEQ, body: Vec::new(), answer: Vec::new() })
    }

    /// Posts events when they are due, `rate` a second for `time`; a server that is slow does not slow the schedule, only the
    /// posts: what is due meanwhile goes with the next one.
    pub fn open_loop(&mut self, rate: f64, time: Duration) -> Result<Sent> {
        let (begin, begin_micros) = (Instant::now(), now_micros());
        let total = (rate * time.as_secs_f64()).ceil() as u64;
        let due = |index: u64| index as f64 / rate;
        let give_up = time * 2 + Duration::from_millis(500);
        let mut events = 0;
        while events < total && begin.elapsed() < give_up {
            let now = begin.elapsed().as_secs_f64();
            let ready = ((now * rate).floor() as u64 + 1).min(total);
            if ready <= events {
                pause(Duration::from_secs_f64((due(events) - now).max(0.0)).max(SHORTEST_PAUSE));
                continue;
            }
            let count = (ready - events).min(MOST);
            self.post(count, |index| begin_micros + (due(events + index) * 1e6) as u64)?;
            events += count;
        }
        Ok(Sent { unsent: total - events, seconds: begin.elapsed().as_secs_f64() })
    }

    /// Posts as fast as the audience takes it, for `time`: no client-wise mean lag of more than `window` events. Ends when all
    /// is received, or not within `patience`.
    pub fn closed_loop(&mut self, audience: &Audience, window: u64, time: Duration, patience: Duration) -> Result<Sent> {
        let begin = Instant::now();
        let clients = audience.clients.max(1) as u64;
        let mut events = 0;
        while begin.elapsed() < time {
            let room = window.saturating_sub(events - (audience.received() / clients).min(events));
            if room < window / 4 {
                std::thread::sleep(Duration::from_micros(200));
                continue;
            }
            let (count, now) = (room.min(MOST), now_micros());
            self.post(count, |_| now)?;
            events += count;
        }
        audience.wait_for(events * clients, patience);
        Ok(Sent { unsent: 0, seconds: begin.elapsed().as_secs_f64() })
    }

    /// Posts `count` events, and waits until the server has taken them; `due` says when each was due.
    fn post(&mut self, count: u64, due: impl Fn(u64) -> u64) -> Result<()> {
        self.body.clear();
        if count > 1 {
            self.body.push(b'[');
        }
        for index in 0..count {
            if index > 0 {
                self.body.extend_from_slice(b",\n");
            }
            push_event(&mut self.body, Stamp { due: due(index), seq: self.next + index });
        }
        if count > 1 {
            self.body.push(b']');
        }
        let request = post(JSON, &self.body);
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            self.stream.write_all(&request)?;
            match self.answer()? {
                201 => break,
                // nothing of it was taken
                503 if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(1)),
                other => bail!("a post was answered with {other}"),
            }
        }
        self.next += count;
        Ok(())
    }

    fn answer(&mut self) -> Result<u16> {
        self.answer.clear();
        let mut piece = [0; 4096];
        loop {
            let count = self.stream.read(&mut piece).context("a post has no answer")?;
            if count == 0 {
                bail!("the server ended the publisher's connection");
            }
            self.answer.extend_from_slice(piece.get(..count).unwrap_or_default());
            if Head::read(&self.answer).is_some_and(|head| self.answer.len() >= head.len + head.body) {
                return Ok(status(&self.answer));
            }
        }
    }
}

fn pause(time: Duration) {
    let end = Instant::now() + time;
    if time > AWAKE {
        std::thread::sleep(time - AWAKE);
    }
    while Instant::now() < end {
        std::hint::spin_loop();
    }
}
