//! Histograms: observations counted by upper bounds, with their sum.

use std::sync::Arc;

/// Most bounds of one histogram.
const MAX_BOUNDS: usize = 64;
/// Bounds of a histogram whose first post names none: seconds, from what a call on one machine takes to what a broker's takes.
const DEFAULT: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Upper bounds, ascending and finite; behind the last there is always infinity.
#[derive(Debug, Clone, PartialEq)]
pub struct Buckets(Arc<[f64]>);

impl Default for Buckets {
    fn default() -> Self {
        Self(DEFAULT.into())
    }
}

impl Buckets {
    /// These bounds, in whatever order.
    ///
    /// # Errors
    /// Says what they must be.
    pub fn new(bounds: &[f64]) -> Result<Self, &'static str> {
        if bounds.is_empty() || bounds.len() > MAX_BOUNDS || !bounds.iter().all(|bound| bound.is_finite()) {
            return Err("must be 1 to 64 finite numbers, such as [0.1, 0.5, 1]");
        }
        // minus zero is zero
        let mut bounds: Vec<f64> = bounds.iter().map(|bound| bound + 0.0).collect();
        bounds.sort_unstable_by(f64::total_cmp);
        bounds.dedup();
        Ok(Self(bounds.into()))
    }

    /// The bounds, but for infinity.
    #[must_use]
    pub fn bounds(&self) -> &[f64] {
        &self.0
    }
}

/// The observations of one series.
#[derive(Debug, Clone, PartialEq)]
pub struct Histogram {
    /// By bucket, not cumulative; the last is that of infinity.
    counts: Box<[u64]>,
    sum: f64,
}

impl Histogram {
    /// Nothing observed yet.
    #[must_use]
    pub fn new(buckets: &Buckets) -> Self {
        Self { counts: vec![0; buckets.0.len() + 1].into(), sum: 0.0 }
    }

    /// The same with one more observation; `None` when the sum would no longer be finite.
    #[must_use]
    pub fn with(mut self, value: f64, buckets: &Buckets) -> Option<Self> {
        let sum = self.sum + value;
        // a bound belongs to its bucket
        let at = buckets.0.partition_point(|bound| *bound < value);
        let count = self.counts.get_mut(at).filter(|_| sum.is_finite() && value.is_finite())?;
        *count += 1;
        self.sum = sum;
        Some(self)
    }

    /// How many were observed.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Their sum.
    #[must_use]
    pub fn sum(&self) -> f64 {
        self.sum
    }

    /// Bytes of its counts.
    #[must_use]
    pub fn size(&self) -> usize {
        size_of_val(&*self.counts)
    }

    /// How many were at most each of the bounds, but for infinity, of which [`Histogram::count`] tells.
    pub fn cumulative<'a>(&'a self, buckets: &'a Buckets) -> impl Iterator<Item = (f64, u64)> + 'a {
        let counts = self.counts.iter().scan(0, |sum, count| {
            *sum += count;
            Some(*sum)
        });
        buckets.0.iter().copied().zip(counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn each_bucket_counts_what_is_at_most_its_bound(
            bounds in proptest::collection::vec(-1e6_f64..1e6, 1..64), values in proptest::collection::vec(-2e6_f64..2e6, 0..200),
        ) {
            let buckets = Buckets::new(&bounds).expect("good");
            // observations on a bound, too
            let values: Vec<f64> = values.into_iter().chain(bounds.iter().copied()).collect();
            let all = values.iter().fold(Histogram::new(&buckets), |sum, value| sum.with(*value, &buckets).expect("finite"));
            prop_assert_eq!(all.count(), values.len() as u64);
            let mut last = 0;
            for (bound, count) in all.cumulative(&buckets) {
                prop_assert_eq!(count, values.iter().filter(|value| **value <= bound).count() as u64);
                prop_assert!(count >= last);
                last = count;
            }
            prop_assert!(last <= all.count());
            prop_assert!((all.sum() - values.iter().sum::<f64>()).abs() <= 1e-3);
        }
    }

    #[test]
    fn bounds_are_sorted_and_each_is_there_once() {
        assert_eq!(Buckets::new(&[5.0, 1.0, 5.0, 0.0, -0.0]).expect("good").bounds(), [0.0, 1.0, 5.0]);
        for bad in [&[][..], &[f64::NAN], &[f64::INFINITY], &[1.0; 65]] {
            assert!(Buckets::new(bad).is_err(), "{bad:?}");
        }
        assert_eq!(Buckets::default().bounds().first(), Some(&0.005));
    }

    #[test]
    fn an_observation_that_would_make_the_sum_infinite_is_none() {
        let buckets = Buckets::default();
        let full = Histogram::new(&buckets).with(f64::MAX, &buckets).expect("finite");
        assert_eq!(full.clone().with(f64::MAX, &buckets), None);
        assert_eq!(full.with(f64::NAN, &buckets), None);
    }
}
