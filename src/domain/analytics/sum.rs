//! Sums of money that are exact whatever is added to what: whole multiples of 10^-12.
//!
//! A decimal of 96 bits begins to round when a long sum grows, and then the order of adding shows. 128 bits hold the sum of
//! 10^11 of the largest amounts.

use std::fmt;
use std::ops::{Add, AddAssign, Neg, Sub};
use std::str::FromStr;

use rust_decimal::Decimal;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

/// Digits behind the point, as many as an amount has.
const PLACES: u32 = 12;
/// One.
const ONE: i128 = 1_000_000_000_000;

/// A sum of amounts. Written as a JSON number with all its digits.
///
/// ```
/// use plimsoll::domain::analytics::sum::Sum;
/// let sum: Sum = ["0.1", "0.2", "-0.3"].iter().map(|text| text.parse::<Sum>().expect("a number")).sum();
/// assert_eq!(sum, Sum::ZERO);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sum(i128);

impl Sum {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// An amount; see [`crate::domain::money::amount`] for how large it may be.
    #[must_use]
    pub fn of(amount: Decimal) -> Self {
        let mut amount = amount.round_dp(PLACES);
        amount.rescale(PLACES);
        Self(amount.mantissa())
    }

    /// The `count`-th part, rounded to 12 places; `None` for none.
    #[must_use]
    pub fn over(self, count: u64) -> Option<Self> {
        (count > 0).then(|| Self(divide(self.0, i128::from(count))))
    }

    /// So many.
    #[must_use]
    pub fn count(count: u64) -> Self {
        Self(i128::from(count) * ONE)
    }

    /// This by `other`, rounded to 12 places; `None` unless `other` is above zero.
    #[must_use]
    pub fn ratio(self, other: Self) -> Option<Self> {
        if other.0 <= 0 {
            return None;
        }
        // what is too large to be multiplied is large enough to do without its last digits
        let (mut part, mut whole) = (self.0, other.0);
        loop {
            match part.checked_mul(ONE) {
                Some(part) => return Some(Self(divide(part, whole))),
                None => (part, whole) = (part / 10, (whole / 10).max(1)),
            }
        }
    }

    /// This in percent of `whole`; `None` unless that is above zero.
    #[must_use]
    pub fn percent_of(self, whole: Self) -> Option<Self> {
        Self(self.0.checked_mul(100)?).ratio(whole)
    }
}

/// The quotient, rounded; halves away from zero. The divisor is above zero.
fn divide(part: i128, whole: i128) -> i128 {
    let (quotient, rest) = (part / whole, part % whole);
    // compared without doubling, which could overflow
    let is_up = rest.unsigned_abs() >= whole.unsigned_abs() - rest.unsigned_abs();
    if is_up && rest != 0 { quotient + rest.signum() } else { quotient }
}

impl Add for Sum {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl AddAssign for Sum {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sub for Sum {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl Neg for Sum {
    type Output = Self;

    fn neg(self) -> Self {
        Self(self.0.saturating_neg())
    }
}

impl std::iter::Sum for Sum {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::ZERO, Add::add)
    }
}

impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, fraction) = (self.0.unsigned_abs() / ONE.unsigned_abs(), self.0.unsigned_abs() % ONE.unsigned_abs());
        let sign = if self.0 < 0 { "-" } else { "" };
        if fraction == 0 {
            return write!(f, "{sign}{whole}");
        }
        let digits = format!("{fraction:012}");
        write!(f, "{sign}{whole}.{}", digits.trim_end_matches('0'))
    }
}

/// The text is not that of a sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a decimal number with at most 12 places")]
pub struct BadSum;

impl FromStr for Sum {
    type Err = BadSum;

    fn from_str(text: &str) -> Result<Self, BadSum> {
        let digits = text.strip_prefix('-').unwrap_or(text);
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let is_plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !is_plain(whole) || !is_plain(fraction) || fraction.len() > PLACES as usize {
            return Err(BadSum);
        }
        let whole: i128 = whole.parse().map_err(|_| BadSum)?;
        let fraction: i128 = format!("{fraction:0<12}").parse().map_err(|_| BadSum)?;
        let size = whole.checked_mul(ONE).and_then(|whole| whole.checked_add(fraction)).ok_or(BadSum)?;
        Ok(Self(if text.starts_with('-') { -size } else { size }))
    }
}

impl Serialize for Sum {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        RawValue::from_string(self.to_string()).map_err(serde::ser::Error::custom)?.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_sum_is_read_back_from_its_text(raw in any::<i64>(), more in any::<i64>()) {
            let sum = Sum(i128::from(raw) * i128::from(more));
            prop_assert_eq!(sum.to_string().parse::<Sum>(), Ok(sum));
            prop_assert_eq!(serde_json::to_string(&sum).expect("json"), sum.to_string());
        }

        #[test]
        fn it_is_the_same_in_any_order(mut amounts in proptest::collection::vec(-1_000_000_000_000_000_000_000_000_000_i128..=1_000_000_000_000_000_000_000_000_000, 0..50)) {
            let sum = |amounts: &[i128]| amounts.iter().map(|raw| Sum::of(Decimal::from_i128_with_scale(*raw, 12))).sum::<Sum>();
            let before = sum(&amounts);
            amounts.reverse();
            prop_assert_eq!(before, sum(&amounts));
            prop_assert_eq!(before, Sum(amounts.iter().sum()));
        }
    }

    fn sum(text: &str) -> Sum {
        text.parse().expect("a number")
    }

    #[test]
    fn shares_are_rounded_to_twelve_places_and_there_is_none_of_nothing() {
        assert_eq!(Sum::count(2).over(3), Some(sum("0.666666666667")));
        assert_eq!((-Sum::count(2)).over(3), Some(sum("-0.666666666667")));
        assert_eq!(Sum::count(1).over(0), None);
        assert_eq!(Sum::count(1).percent_of(Sum::count(8)), Some(sum("12.5")));
        assert_eq!(Sum::count(1).percent_of(Sum::ZERO), None);
        assert_eq!(Sum::count(u64::MAX).ratio(Sum::count(u64::MAX)), Some(Sum::count(1)));
        let large = Sum(i128::MAX / 200);
        assert_eq!(large.ratio(large), Some(Sum::count(1)), "one that cannot be multiplied");
    }

    #[test]
    fn what_is_no_sum_is_refused() {
        for text in ["", "-", ".5", "1e3", "1.0000000000000", "--1", "+1", "1.-2", "NaN"] {
            assert_eq!(text.parse::<Sum>(), Err(BadSum), "{text}");
        }
        assert_eq!(sum("-0.50").to_string(), "-0.5");
    }
}
