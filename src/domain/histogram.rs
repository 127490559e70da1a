//! Histograms that are written on the hot path: fixed buckets, and a lane of plain counters for each writer.
//!
//! A [`Recorder`] is one thread's: it writes to its own lane by load and store, without a lock, a read-modify-write or a
//! cache line that another writer touches. Readers sum the lanes up, and may see a lane between two of its writes.

use std::cell::Cell;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

/// Upper bounds for waits in microseconds: 50 us to 10 s.
pub const WAITS: &[u64] = &[
    50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000,
    10_000_000,
];

/// A histogram of whole numbers, such as microseconds.
#[derive(Debug)]
pub struct Histogram {
    /// Ascending upper bounds; what is above the last counts in the total only.
    bounds: &'static [u64],
    lanes: Mutex<Vec<Arc<Lane>>>,
}

/// The counters of one writer.
#[derive(Debug)]
struct Lane {
    /// One more than there are bounds.
    counts: Box<[AtomicU64]>,
    sum: AtomicU64,
}

/// One writer of a histogram.
#[derive(Debug)]
pub struct Recorder {
    bounds: &'static [u64],
    lane: Arc<Lane>,
    /// It may move to its thread, but not be shared: two writers of a lane would lose counts.
    _one_writer: PhantomData<Cell<()>>,
}

/// A histogram as it was when it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// Each bound with how many values were not above it.
    pub buckets: Vec<(u64, u64)>,
    /// Values.
    pub count: u64,
    /// Their sum.
    pub sum: u64,
}

impl Default for Histogram {
    /// One of waits, in microseconds.
    fn default() -> Self {
        Self::new(WAITS)
    }
}

impl Histogram {
    /// An empty histogram with these ascending upper bounds.
    #[must_use]
    pub fn new(bounds: &'static [u64]) -> Self {
        Self { bounds, lanes: Mutex::default() }
    }

    /// A new writer; its counts stay when it is gone.
    #[must_use]
    pub fn recorder(&self) -> Recorder {
        let counts = (0..=self.bounds.len()).map(|_| AtomicU64::new(0)).collect();
        let lane = Arc::new(Lane { counts, sum: AtomicU64::new(0) });
        self.lanes.lock().push(Arc::clone(&lane));
        Recorder { bounds: self.bounds, lane, _one_writer: PhantomData }
    }

    /// What was recorded so far.
    #[must_use]
    pub fn read(&self) -> Reading {
        let mut counts = vec![0_u64; self.bounds.len() + 1];
        let mut sum = 0_u64;
        for lane in self.lanes.lock().iter() {
            sum = sum.wrapping_add(lane.sum.load(Ordering::Relaxed));
            for (count, of_lane) in counts.iter_mut().zip(&lane.counts) {
                *count += of_lane.load(Ordering::Relaxed);
            }
        }
        let mut count = 0;
        let mut up_to = counts.into_iter().map(|each| {
            count += each;
            count
        });
        let buckets = self.bounds.iter().copied().zip(up_to.by_ref()).collect();
        // what is above the last bound
        up_to.for_each(drop);
        Reading { buckets, count, sum }
    }
}

impl Recorder {
    /// Counts `value`.
    pub fn record(&self, value: u64) {
        let index = self.bounds.partition_point(|bound| *bound < value);
        if let Some(count) = self.lane.counts.get(index) {
            add(count, 1);
        }
        add(&self.lane.sum, value);
    }
}

/// For one writer only.
fn add(counter: &AtomicU64, more: u64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BOUNDS: &[u64] = &[1, 2, 5, 10];

    proptest! {
        #[test]
        fn every_bucket_holds_what_is_not_above_its_bound_whoever_recorded_it(
            values in proptest::collection::vec((0_u64..15, 0_usize..3), 0..50),
        ) {
            let histogram = Histogram::new(BOUNDS);
            let recorders = [histogram.recorder(), histogram.recorder(), histogram.recorder()];
            for (value, by) in &values {
                recorders[*by].record(*value);
            }
            let reading = histogram.read();
            for (bound, count) in &reading.buckets {
                prop_assert_eq!(*count, values.iter().filter(|(value, _)| value <= bound).count() as u64);
            }
            prop_assert_eq!(reading.buckets.iter().map(|(bound, _)| *bound).collect::<Vec<_>>(), BOUNDS);
            prop_assert_eq!(reading.count, values.len() as u64);
            prop_assert_eq!(reading.sum, values.iter().map(|(value, _)| value).sum::<u64>());
        }
    }

    #[test]
    fn counts_outlive_their_recorder_and_the_largest_value_is_counted() {
        let histogram = Histogram::new(BOUNDS);
        histogram.recorder().record(u64::MAX);
        histogram.recorder().record(1);
        let reading = histogram.read();
        assert_eq!((reading.count, reading.buckets.last()), (2, Some(&(10, 1))));
    }

    #[test]
    fn bounds_ascend() {
        assert!(WAITS.is_sorted_by(|one, next| one < next));
    }
}
