//! Latencies of API calls: the samples, and percentiles of them in bounded memory.
//!
//! A [`Latencies`] is a histogram with the buckets of an HDR histogram of 3 significant digits
//! (<http://hdrhistogram.org>): each microsecond up to 2,047, then 1,024 buckets for each power of two, so a bucket is never
//! wider than a thousandth of what is in it. It is sparse, and each bucket remembers the largest sample in it.
//!
//! **Percentile rule**: nearest rank. The p-th percentile of n samples is the sample of rank ceil(p / 100 * n) in ascending
//! order: the smallest one such that at least p percent of all are at or below it. The answer is the largest sample of the
//! bucket which holds that rank: never below the exact one, and above it by less than a thousandth.

use compact_str::CompactString;

use super::entry::{Fields, Kind};
use crate::domain::clock::Timestamp;

/// The longest latency that is told apart, in microseconds: a day. What is longer counts as a day.
pub const LONGEST: u64 = 86_400_000_000;
/// Values below this have a bucket each: twice the smallest power of two that 3 digits need.
const EXACT: u64 = 2_048;
/// Buckets of a power of two.
const HALF: u64 = EXACT / 2;

/// How long one call of an API took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Latency {
    /// The script that called; an order need not name one.
    pub script_name: Option<CompactString>,
    /// In microseconds, to the nearest; not cut to [`LONGEST`].
    pub micros: u64,
}

impl Latency {
    /// What an `api_latency` says; `None` if it names no script, or its latency is no time.
    pub(super) fn read(fields: &Fields<'_>) -> Option<Kind> {
        Self::of(fields, "latency_ms").filter(|latency| latency.script_name.is_some()).map(Kind::Latency)
    }

    /// The latency in the field `name`, in milliseconds.
    pub(super) fn of(fields: &Fields<'_>, name: &str) -> Option<Self> {
        Some(Self { micros: micros(fields.raw(name)?)?, script_name: fields.text("script_name").map(Into::into) })
    }
}

/// Milliseconds as JSON text, in whole microseconds; `None` for what is no number, or below zero.
fn micros(raw: &str) -> Option<u64> {
    let millis: f64 = raw.parse().ok()?;
    // a cast saturates; no f64 that matters here loses a microsecond
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "is not below zero, and saturates")]
    (millis.is_finite() && millis >= 0.0).then(|| (millis * 1000.0).round() as u64)
}

/// How finely the sliding window slides, in microseconds: samples are kept by slices of this length.
pub const SLICE: i64 = 300_000_000;

/// The start of the slice that `time` is in.
#[must_use]
pub fn slice_of(time: Timestamp) -> Timestamp {
    Timestamp::from_micros(time.micros().div_euclid(SLICE) * SLICE)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Bucket {
    number: u32,
    count: u64,
    /// The largest sample in it.
    max: u64,
}

impl Bucket {
    fn with(self, other: Self) -> Self {
        Self { count: self.count.saturating_add(other.count), max: self.max.max(other.max), ..self }
    }
}

/// The figures of some samples, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LatencyFigures {
    /// Arithmetic mean, of the samples themselves.
    pub avg_ms: f64,
    /// 95th percentile.
    pub p95_ms: f64,
    /// 99th percentile.
    pub p99_ms: f64,
}

/// Some latencies.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Latencies {
    /// In ascending order of their numbers: a map would take ten times as long to merge.
    buckets: Vec<Bucket>,
    count: u64,
    /// Of all samples, in microseconds.
    sum: u64,
    /// Samples that were longer than [`LONGEST`].
    clamped: u64,
}

impl Latencies {
    /// Takes a sample of `micros` microseconds.
    pub fn record(&mut self, micros: u64) {
        self.clamped += u64::from(micros > LONGEST);
        let micros = micros.min(LONGEST);
        let new = Bucket { number: bucket_of(micros), count: 1, max: micros };
        match self.buckets.binary_search_by_key(&new.number, |bucket| bucket.number) {
            Ok(place) => self.buckets.get_mut(place).into_iter().for_each(|bucket| *bucket = bucket.with(new)),
            Err(place) => self.buckets.insert(place, new),
        }
        self.count = self.count.saturating_add(1);
        self.sum = self.sum.saturating_add(micros);
    }

    /// Takes all samples of `other`: the outcome is as if each had been recorded here.
    pub fn merge(&mut self, other: &Self) {
        let mut merged = Vec::with_capacity(self.buckets.len() + other.buckets.len());
        let (mut ours, mut theirs) = (self.buckets.iter().peekable(), other.buckets.iter().peekable());
        loop {
            let next = match (ours.peek(), theirs.peek()) {
                (Some(our), Some(their)) if our.number == their.number => our.with(**their),
                (Some(our), Some(their)) if our.number > their.number => **their,
                (Some(bucket), _) | (None, Some(bucket)) => **bucket,
                (None, None) => break,
            };
            ours.next_if(|bucket| bucket.number == next.number);
            theirs.next_if(|bucket| bucket.number == next.number);
            merged.push(next);
        }
        self.buckets = merged;
        self.count = self.count.saturating_add(other.count);
        self.sum = self.sum.saturating_add(other.sum);
        self.clamped = self.clamped.saturating_add(other.clamped);
    }

    /// How many samples there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// How many of them were longer than [`LONGEST`].
    #[must_use]
    pub fn clamped(&self) -> u64 {
        self.clamped
    }

    /// The `percent`-th percentile in microseconds, by the rule above; `None` without a sample.
    #[must_use]
    pub fn percentile(&self, percent: u8) -> Option<u64> {
        // in whole numbers: 0.95 * n in binary may be a little more than it is
        let rank = (u128::from(self.count) * u128::from(percent.min(100))).div_ceil(100).max(1);
        let mut below = 0_u128;
        let found = self.buckets.iter().find(|bucket| {
            below += u128::from(bucket.count);
            below >= rank
        });
        found.map(|bucket| bucket.max)
    }

    /// Average and percentiles; `None` without a sample.
    #[must_use]
    pub fn figures(&self) -> Option<LatencyFigures> {
        #[expect(clippy::cast_precision_loss, reason = "a reading for people; 2^53 microseconds are 285 years")]
        let millis = |micros: u64| micros as f64 / 1000.0;
        #[expect(clippy::cast_precision_loss, reason = "2^53 samples do not occur")]
        let count = self.count as f64;
        Some(LatencyFigures {
            p95_ms: millis(self.percentile(95)?),
            p99_ms: millis(self.percentile(99)?),
            avg_ms: millis(self.sum) / count,
        })
    }

    /// As a table keeps it: a version, then numbers of 7 bits a byte, lowest first, the last byte of each without its high
    /// bit: sum, clamped, and for each bucket its number less the one before, its count, and its largest sample less its
    /// smallest possible one.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(16 + 5 * self.buckets.len());
        out.push(VERSION);
        write_number(&mut out, self.sum);
        write_number(&mut out, self.clamped);
        let mut before = 0;
        for Bucket { number, count, max } in self.buckets.iter().copied() {
            write_number(&mut out, u64::from(number.saturating_sub(before)));
            write_number(&mut out, count);
            write_number(&mut out, max.saturating_sub(smallest_of(number)));
            before = number;
        }
        out
    }

    /// Takes all samples that `encoded` holds; `None`, and nothing taken, if it is none of ours.
    #[must_use]
    pub fn merge_encoded(&mut self, encoded: &[u8]) -> Option<()> {
        let (version, mut rest) = encoded.split_first()?;
        if *version != VERSION {
            return None;
        }
        let mut read = Self { sum: read_number(&mut rest)?, clamped: read_number(&mut rest)?, ..Self::default() };
        let mut number = 0_u32;
        while !rest.is_empty() {
            let step = u32::try_from(read_number(&mut rest)?).ok()?;
            number = number.checked_add(step)?;
            if number > bucket_of(LONGEST) || (step == 0 && !read.buckets.is_empty()) {
                return None;
            }
            let count = read_number(&mut rest)?;
            let max = smallest_of(number).checked_add(read_number(&mut rest)?)?;
            read.buckets.push(Bucket { number, count, max });
            read.count = read.count.saturating_add(count);
        }
        self.merge(&read);
        Some(())
    }
}

const VERSION: u8 = 1;

fn write_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        #[expect(clippy::cast_possible_truncation, reason = "the low seven bits are meant")]
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(u8::try_from(number).unwrap_or(0));
}

fn read_number(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// The number of the bucket that `micros` is in.
fn bucket_of(micros: u64) -> u32 {
    let power = micros.max(1).ilog2().saturating_sub(HALF.ilog2());
    u32::try_from(u64::from(power) * HALF + (micros >> power)).unwrap_or(u32::MAX)
}

/// The smallest value of bucket `number`.
fn smallest_of(number: u32) -> u64 {
    let number = u64::from(number);
    if number < EXACT {
        return number;
    }
    let power = number / HALF - 1;
    (number - power * HALF).checked_shl(u32::try_from(power).unwrap_or(u32::MAX)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
