//! The confidence of a VaR as the exact decimal that was asked for.
//!
//! `1 - 0.95` in binary is 0.050000000000000044, so `floor(alpha n)` and `ceil(alpha n)` fall on the wrong day wherever
//! `alpha n` is a whole number: at 20, 40 or 100 days. Here alpha is a fraction of two integers, taken from the text.

use std::fmt;

use serde::{Serialize, Serializer};

/// Most decimals, so that a day count times alpha is exact in 128 bits.
const MAX_DECIMALS: i32 = 18;
/// Longest text that is read at all.
const MAX_TEXT: usize = 64;
const OUT_OF_RANGE: &str = "must be a number from 0.5 to 0.99";
const TOO_FINE: &str = "must be a number from 0.5 to 0.99 with at most 18 decimals";

/// A confidence from 0.5 to 0.99, exact. Equal numbers are equal however they were written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Confidence {
    /// Alpha, which is one minus the confidence, in units of `1 / unit`.
    tail: u64,
    /// A power of ten, without more zeros than needed.
    unit: u64,
}

/// A count of days that need not be whole: `whole + part`, `0 <= part < 1`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Share {
    /// Exact floor.
    pub(super) whole: usize,
    /// The rest, above zero exactly when the count is not whole.
    pub(super) part: f64,
}

impl Share {
    /// The count as one number.
    pub(super) fn as_f64(self) -> f64 {
        self.whole as f64 + self.part
    }
}

impl Confidence {
    /// Reads the decimal text of a number from 0.5 to 0.99: `0.95`, `.95` or `9.5e-1`.
    ///
    /// # Errors
    ///
    /// What it must be, when it is something else or has more than 18 decimals.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let text = Some(text).filter(|text| text.len() <= MAX_TEXT).ok_or(TOO_FINE)?;
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = format!("{whole}{fraction}");
        if digits.is_empty() || !digits.bytes().all(|each| each.is_ascii_digit()) {
            return Err(OUT_OF_RANGE);
        }
        let significant = digits.trim_end_matches('0');
        // the text is short, so neither count comes near the ends of i32
        let trimmed = i32::try_from(digits.len() - significant.len()).map_err(|_| OUT_OF_RANGE)?;
        let decimals = i32::try_from(fraction.len()).map_err(|_| OUT_OF_RANGE)?;
        let decimals = decimals - trimmed - power(exponent).ok_or(OUT_OF_RANGE)?;
        let significant = significant.trim_start_matches('0');
        let out_of_reach = significant.is_empty() || decimals <= 0 || significant.len() < decimals.unsigned_abs() as usize;
        if out_of_reach {
            return Err(OUT_OF_RANGE);
        }
        if decimals > MAX_DECIMALS {
            return Err(TOO_FINE);
        }
        let unit = 10_u64.pow(decimals.unsigned_abs());
        let value = significant.parse::<u64>().map_err(|_| OUT_OF_RANGE)?;
        let (times, limit) = (u128::from(value), u128::from(unit));
        if 2 * times < limit || 100 * times > 99 * limit {
            return Err(OUT_OF_RANGE);
        }
        Ok(Self { tail: unit - value, unit })
    }

    /// The confidence as a number, 0.5 to 0.99.
    #[must_use]
    pub fn as_f64(self) -> f64 {
        (self.unit - self.tail) as f64 / self.unit as f64
    }

    /// Alpha, the probability of the tail: one minus the confidence, rounded once.
    #[must_use]
    pub fn alpha(self) -> f64 {
        self.tail as f64 / self.unit as f64
    }

    /// Alpha times a number of days, the number of exceptions that are expected of them.
    #[must_use]
    pub fn expected(self, days: usize) -> f64 {
        self.share(days).as_f64()
    }

    /// The fewest days whose share in the tail is a whole day: `ceil(1 / alpha)`.
    #[must_use]
    pub fn days_needed(self) -> usize {
        usize::try_from(self.unit.div_ceil(self.tail)).unwrap_or(usize::MAX)
    }

    /// Alpha times `days`, its whole part exact.
    pub(super) fn share(self, days: usize) -> Share {
        let (product, unit) = (u128::from(self.tail) * days as u128, u128::from(self.unit));
        let whole = usize::try_from(product / unit).unwrap_or(usize::MAX);
        Share { whole, part: (product % unit) as f64 / self.unit as f64 }
    }
}

/// The exponent of a decimal text: digits, perhaps with a sign.
fn power(text: &str) -> Option<i32> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    (!digits.is_empty() && digits.len() <= 3 && digits.bytes().all(|each| each.is_ascii_digit())).then_some(())?;
    text.parse().ok()
}

impl fmt::Display for Confidence {
    /// The shortest plain decimal, which is JSON as it stands: `0.95`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0.{:0width$}", self.unit - self.tail, width = self.unit.ilog10() as usize)
    }
}

impl Serialize for Confidence {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.as_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(text: &str) -> Confidence {
        Confidence::parse(text).expect(text)
    }

    #[test]
    fn one_number_written_in_several_ways_is_one_confidence() {
        for text in ["0.95", ".95", "0.950", "00.95", "9.5e-1", "95E-2", "0.00095e+3", "0.9500000000000000000000000000"] {
            assert_eq!(of(text), of("0.95"), "{text}");
            assert_eq!(of(text).to_string(), "0.95");
        }
        assert_eq!(serde_json::to_string(&of("9.5e-1")).expect("json"), "0.95");
        assert_eq!((of("0.5").to_string(), of("0.99").to_string()), ("0.5".into(), "0.99".into()));
        assert_eq!(of("0.975").alpha(), 0.025);
    }

    #[test]
    fn what_is_no_number_from_half_to_99_percent_is_refused() {
        let wrong =
            ["", ".", "e", "0.95e", "0.95e+", "0.95e-", "0.9 5", " 0.95", "+0.95", "-0.95", "0,95", "95", "95%", "1", "0", "0.0"];
        for text in
            wrong.iter().chain(&["0.49", "0.991", "0.999", "0.4999999999999999", "NaN", "inf", "0x1", "1e999", "9.5e-1.0"])
        {
            assert_eq!(Confidence::parse(text), Err(OUT_OF_RANGE), "{text}");
        }
        assert_eq!(Confidence::parse("0.9500000000000000001"), Err(TOO_FINE));
        assert_eq!(Confidence::parse(&"9".repeat(1_000_000)), Err(TOO_FINE));
        assert_eq!(Confidence::parse("5e-99999999999"), Err(OUT_OF_RANGE));
        assert_eq!(Confidence::parse("0.\u{0669}5"), Err(OUT_OF_RANGE));
    }

    #[test]
    fn alpha_times_days_is_whole_where_it_is_whole_in_decimals() {
        for (days, whole) in [(20, 1), (40, 2), (60, 3), (100, 5), (10_000, 500)] {
            assert_eq!(of("0.95").share(days), Share { whole, part: 0.0 }, "{days}");
        }
        assert_eq!(of("0.95").share(95), Share { whole: 4, part: 0.75 });
        assert_eq!(of("0.9").share(10), Share { whole: 1, part: 0.0 });
        assert_eq!((of("0.99").days_needed(), of("0.95").days_needed(), of("0.97").days_needed()), (100, 20, 34));
        assert_eq!(of("0.949999999999999999").share(20), Share { whole: 1, part: 2e-17 });
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[0-9eE.+-]{0,12}|.{0,8}") {
            if let Ok(confidence) = Confidence::parse(&text) {
                let number: f64 = text.parse().expect("a number");
                prop_assert!((confidence.as_f64() - number).abs() <= 1e-15);
                prop_assert_eq!(Confidence::parse(&confidence.to_string()), Ok(confidence));
            }
        }
    }
}
