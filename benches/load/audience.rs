//! The subscribers of a run, over their processes.

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::process::Process;
use crate::role::Role;
use crate::stats::Delivered;
use crate::wire::STREAM;

/// A process is given no more clients than this: the limit of open files is 20,000 on many machines.
const MOST_EACH: usize = 5_000;

/// How long a command may take: 10,000 clients connect in seconds.
const PATIENCE: Duration = Duration::from_secs(70);

/// When nothing came for so long, nothing will: longer than the pause of a server that polls.
const QUIET: Duration = Duration::from_millis(700);

/// What clients ask for.
#[derive(Debug, Clone, Copy)]
pub struct Wants<'a> {
    /// Query of the stream; `{}` in it is replaced by the client's number modulo `variants`.
    pub query: &'a str,
    pub variants: usize,
    /// Whether they never read.
    pub stalled: bool,
}

impl Wants<'_> {
    /// Everything.
    pub const ALL: Wants<'static> = Wants { query: "", variants: 1, stalled: false };
}

/// One process.
#[derive(Debug)]
struct Group {
    process: Process,
    received: Arc<AtomicU64>,
}

/// All of them.
#[derive(Debug)]
pub struct Audience {
    groups: Vec<Group>,
    /// How many clients there are.
    pub clients: usize,
}

impl Audience {
    /// Connects `clients` to a server; returns when each has the head of its stream.
    pub fn gather(address: SocketAddr, clients: usize, wants: Wants<'_>) -> Result<Self> {
        let count = clients.div_ceil(MOST_EACH).max(1);
        let mut audience = Self { groups: Vec::new(), clients };
        for index in 0..count {
            let received = Arc::new(AtomicU64::new(0));
            let seen = Arc::clone(&received);
            let hook = move |line: &str| {
                let progress = line.strip_prefix("p ").and_then(|count| count.parse().ok());
                progress.inspect(|count| seen.store(*count, Ordering::Release)).is_some()
            };
            let process = Process::start(&mut Role::Subscriber.command()?, hook)?;
            audience.groups.push(Group { process, received });
            let share = clients / count + usize::from(index < clients % count);
            let Wants { query, variants, stalled } = wants;
            let separator = if query.is_empty() { "" } else { "?" };
            audience.tell(index, &format!("open {share} {variants} {stalled} {address} {STREAM}{separator}{query}"))?;
        }
        audience.answers("opened")?;
        Ok(audience)
    }

    /// Counts from event `first` on; clients that were closed come back first.
    pub fn begin(&mut self, first: u64) -> Result<()> {
        self.tell_all(&format!("begin {first}"))?;
        self.answers("begun").map(drop)
    }

    /// Has the clients remember ids from now on, so that they can resume.
    pub fn keep_ids(&mut self) -> Result<()> {
        self.tell_all("ids")?;
        self.answers("ids").map(drop)
    }

    /// All drop their connections and come back; how long that took until each has its stream again.
    pub fn storm(&mut self) -> Result<Duration> {
        self.tell_all("storm")?;
        let times = self.answers("stormed")?;
        let micros = times.iter().filter_map(|time| time.trim().parse().ok()).max().unwrap_or(0);
        Ok(Duration::from_micros(micros))
    }

    /// Events received since the last `begin`, by all together; some milliseconds old.
    pub fn received(&self) -> u64 {
        self.groups.iter().map(|group| group.received.load(Ordering::Acquire)).sum()
    }

    /// Waits until so many events were received by all together, or the time is over.
    pub fn wait_for(&self, count: u64, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        while self.received() < count {
            if Instant::now() > deadline {
                return false;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        true
    }

    /// Waits until so many events were received by all together, or no more come: whether it was all of them.
    pub fn settle(&self, count: u64, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        loop {
            let before = self.received();
            if self.wait_for(count, QUIET) {
                return true;
            }
            if self.received() == before || Instant::now() > deadline {
                return false;
            }
        }
    }

    /// What became of the events from `begin` up to `end`.
    pub fn report(&mut self, end: u64) -> Result<Delivered> {
        self.tell_all(&format!("report {end}"))?;
        let mut all = Delivered::none()?;
        for text in self.answers("report")? {
            all.merge(&Delivered::from_text(text.trim())?)?;
        }
        Ok(all)
    }

    /// CPU seconds of the subscribers.
    pub fn cpu_seconds(&self) -> Result<f64> {
        self.groups.iter().map(|group| group.process.cpu_seconds()).sum()
    }

    fn tell(&mut self, index: usize, line: &str) -> Result<()> {
        let group = self.groups.get_mut(index).context("a group")?;
        Ok(writeln!(group.process.stdin()?, "{line}")?)
    }

    fn tell_all(&mut self, line: &str) -> Result<()> {
        (0..self.groups.len()).try_for_each(|index| self.tell(index, line))
    }

    /// One answer from each process, without its first word.
    fn answers(&self, word: &str) -> Result<Vec<String>> {
        let answer = |group: &Group| -> Result<String> {
            let line = group.process.line(PATIENCE).context("subscribers")?;
            Ok(line.strip_prefix(word).with_context(|| format!("subscribers said {line:?}, not {word}"))?.to_owned())
        };
        self.groups.iter().map(answer).collect()
    }
}
