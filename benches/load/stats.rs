//! Latencies and counts, and how they pass from one process to another as text.

use std::fmt::Write as _;

use anyhow::{Context as _, Result};
use hdrhistogram::Histogram;

/// Latencies in microseconds, to two digits.
#[derive(Debug, Clone)]
pub struct Latency(Histogram<u64>);

/// The longest latency that is told apart: two minutes.
const LONGEST: u64 = 120_000_000;

impl Latency {
    pub fn new() -> Result<Self> {
        Ok(Self(Histogram::new_with_bounds(1, LONGEST, 2)?))
    }

    pub fn record(&mut self, micros: u64) {
        self.0.saturating_record(micros);
    }

    pub fn clear(&mut self) {
        self.0.reset();
    }

    pub fn merge(&mut self, other: &Self) -> Result<()> {
        Ok(self.0.add(&other.0)?)
    }

    /// The latency in milliseconds that this share of all was within; not a number when there was none.
    pub fn quantile(&self, share: f64) -> f64 {
        if self.0.is_empty() { f64::NAN } else { self.0.value_at_quantile(share) as f64 / 1000.0 }
    }

    /// The longest in milliseconds.
    pub fn max(&self) -> f64 {
        self.quantile(1.0)
    }

    fn to_text(&self) -> String {
        let mut text = String::new();
        for bucket in self.0.iter_recorded() {
            // writing to a String cannot fail
            let _ = write!(text, "{}:{};", bucket.value_iterated_to(), bucket.count_at_value());
        }
        text
    }

    fn from_text(text: &str) -> Result<Self> {
        let mut latency = Self::new()?;
        for bucket in text.split(';').filter(|bucket| !bucket.is_empty()) {
            let (value, count) = bucket.split_once(':').context("a bucket is value:count")?;
            latency.0.saturating_record_n(value.parse()?, count.parse()?);
        }
        Ok(latency)
    }
}

/// What became of the events that were meant for some clients.
#[derive(Debug, Clone)]
pub struct Delivered {
    pub received: u64,
    /// Never received by a client that is still connected.
    pub lost: u64,
    pub doubled: u64,
    /// Received after a later one.
    pub disordered: u64,
    /// Clients whose connection the server ended.
    pub closed: u64,
    /// From the moment an event was due.
    pub latency: Latency,
}

impl Delivered {
    pub fn none() -> Result<Self> {
        Ok(Self { received: 0, lost: 0, doubled: 0, disordered: 0, closed: 0, latency: Latency::new()? })
    }

    /// Whether every client got every event once and in order.
    pub fn is_whole(&self) -> bool {
        self.lost + self.doubled + self.disordered + self.closed == 0
    }

    pub fn merge(&mut self, other: &Self) -> Result<()> {
        self.received += other.received;
        self.lost += other.lost;
        self.doubled += other.doubled;
        self.disordered += other.disordered;
        self.closed += other.closed;
        self.latency.merge(&other.latency)
    }

    pub fn to_text(&self) -> String {
        let Self { received, lost, doubled, disordered, closed, latency } = self;
        format!("{received} {lost} {doubled} {disordered} {closed} {}", latency.to_text())
    }

    pub fn from_text(text: &str) -> Result<Self> {
        let mut words = text.split(' ');
        let mut number = || -> Result<u64> { Ok(words.next().context("a report has five counts")?.parse()?) };
        let (received, lost, doubled, disordered, closed) = (number()?, number()?, number()?, number()?, number()?);
        let latency = Latency::from_text(words.next().unwrap_or_default())?;
        Ok(Self { received, lost, doubled, disordered, closed, latency })
    }
}
