//! Money and percentages: exact decimals, from the number's own text and back to a number's text.

use std::str::FromStr as _;

use rust_decimal::Decimal;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

/// Larger amounts are not usable: sums of as many as a day can hold still fit a decimal.
const LARGEST: i64 = 1_000_000_000_000_000;
/// Digits behind the point that count. Engines write sums of binary fractions, whose further digits are noise.
const PLACES: u32 = 12;

/// A decimal as a JSON number; no digit is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Number(pub Decimal);

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = self.0.normalize().to_string();
        RawValue::from_string(text).map_err(serde::ser::Error::custom)?.serialize(serializer)
    }
}

impl From<u64> for Number {
    fn from(count: u64) -> Self {
        Self(count.into())
    }
}

/// The amount whose JSON text is `raw`, to 12 places; `None` when it is no number, or beyond 10^15.
///
/// ```
/// use plimsoll::domain::money::amount;
/// assert_eq!(amount("-1.5e3"), amount("-1500.000"));
/// assert_eq!(amount("1e999"), None);
/// assert_eq!(amount("\"7\""), None);
/// ```
#[must_use]
pub fn amount(raw: &str) -> Option<Decimal> {
    let read = if raw.contains(['e', 'E']) { Decimal::from_scientific(raw) } else { Decimal::from_str(raw) };
    let amount = match read {
        Ok(amount) => amount,
        // too small to matter, or too long to be held exactly
        Err(_) => raw.parse::<f64>().ok().filter(|number| number.abs() < 1e-12).map(|_| Decimal::ZERO)?,
    };
    usable(amount)
}

/// `amount` to 12 places; `None` when it is beyond 10^15.
#[must_use]
pub fn usable(amount: Decimal) -> Option<Decimal> {
    (amount.abs() <= Decimal::from(LARGEST)).then(|| amount.round_dp(PLACES).normalize())
}

/// `part` of `whole` in percent; `None` when there is no whole.
#[must_use]
pub fn percent(part: Decimal, whole: Decimal) -> Option<Decimal> {
    if whole <= Decimal::ZERO {
        return None;
    }
    part.checked_mul(Decimal::ONE_HUNDRED)?.checked_div(whole)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_amount_is_written_with_the_digits_it_was_read_with(whole in -1_000_000_000_000_i64..1_000_000_000_000, cents in 0_u32..1_000_000) {
            let text = format!("{whole}.{cents:06}");
            let read = amount(&text).expect("a number");
            let written = serde_json::to_string(&Number(read)).expect("json");
            prop_assert_eq!(amount(&written), Some(read));
            prop_assert_eq!(read.to_string(), text.trim_end_matches('0').trim_end_matches('.'));
            prop_assert!(!written.starts_with('"'));
        }

        #[test]
        fn no_number_of_an_engine_is_a_surprise(number in any::<f64>()) {
            let raw = serde_json::to_string(&number).expect("json");
            prop_assert!(amount(&raw).is_none_or(|amount| (amount.to_string().parse::<f64>().expect("f64") - number).abs() <= number.abs() * 1e-9 + 1e-12));
        }
    }

    #[test]
    fn what_is_no_amount_is_none() {
        for raw in ["null", "true", "\"5\"", "1e16", "-1e300", "{}", "", "NaN", "1000000000000001"] {
            assert_eq!(amount(raw), None, "{raw}");
        }
        assert_eq!(amount("1e-30"), Some(Decimal::ZERO));
    }

    #[test]
    fn a_share_of_nothing_is_unknown() {
        assert_eq!(percent(Decimal::ONE, Decimal::ZERO), None);
        assert_eq!(percent(Decimal::from(5), Decimal::from(100)), Some(Decimal::from(5)));
    }
}
