//! A position by average cost, in exact decimals: what a fill closes, and what that realises.
//!
//! The book of a day begins empty: a position from the day before is known when its engine tells it (`position_event`), else
//! the first fill counts as opening. What the engine says replaces the book at the next fill, unless that is the
//! very fill that it already speaks of: within a minute, and giving the size that was said.

use rust_decimal::Decimal;

/// Events of one trade come within this time of each other, in microseconds.
const SAME_TRADE: i64 = 60_000_000;
/// Realised amounts are rounded to so many places, so that sums of them are exact whatever their order.
const PLACES: u32 = 10;

/// A position in one symbol.
#[derive(Debug, Clone, Copy, Default)]
pub struct Book {
    /// Signed: below zero is short.
    quantity: Decimal,
    /// Average cost of one.
    average: Decimal,
    /// When it was last filled, in microseconds.
    filled_at: i64,
    /// What the engine says of it.
    said: Option<Holding>,
}

/// What the engine says that it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holding {
    /// Signed quantity.
    pub size: Decimal,
    /// Average cost, if it was told.
    pub price: Option<Decimal>,
    /// When it was told, in microseconds.
    pub at: i64,
}

impl Book {
    /// Notes what the engine says, unless it said something newer.
    pub fn say(&mut self, holding: Holding) {
        if self.said.is_none_or(|said| said.at <= holding.at) {
            self.said = Some(holding);
        }
    }

    /// What is held, by the engine's word if that is newer than the last fill.
    #[must_use]
    pub fn size(&self) -> Decimal {
        self.said.filter(|said| said.at >= self.filled_at).map_or(self.quantity, |said| said.size)
    }

    /// Takes a fill of a signed quantity; tells what it realised if it closed something.
    pub fn fill(&mut self, quantity: Decimal, price: Decimal, at: i64) -> Option<Decimal> {
        if let Some(said) = self.said.filter(|said| said.at >= self.filled_at && !self.has_said(said, quantity, price, at)) {
            // some engines tell a size without its sign
            let is_same = said.size.abs() == self.quantity.abs();
            let quantity = if is_same { self.quantity } else { said.size };
            // of what was carried at an unknown cost the result is unknown, and nothing is made up
            let known = if self.quantity.is_zero() { price } else { self.average };
            *self = Self { quantity, average: said.price.unwrap_or(known), ..*self };
        }
        self.said = self.said.filter(|said| said.at > at);
        self.filled_at = at;
        let before = self.quantity;
        self.quantity += quantity;
        if before.is_zero() || before.is_sign_negative() == quantity.is_sign_negative() {
            let total = self.quantity.abs();
            let cost = self.average.checked_mul(before.abs())?.checked_add(price.checked_mul(quantity.abs())?)?;
            self.average = cost.checked_div(total)?;
            return None;
        }
        let closed = before.abs().min(quantity.abs());
        let gain = if before.is_sign_negative() { self.average - price } else { price - self.average };
        if self.quantity.is_sign_negative() != before.is_sign_negative() {
            self.average = price;
        }
        Some(gain.checked_mul(closed)?.round_dp(PLACES))
    }

    /// Whether what was `said` has the fill in it.
    fn has_said(&self, said: &Holding, quantity: Decimal, price: Decimal, at: i64) -> bool {
        let after = self.quantity + quantity;
        // a size without its sign may be a short one; from an empty book only if it cost what was just paid
        let is_short = self.quantity.is_sign_negative() && !self.quantity.is_zero();
        let is_unsigned = is_short || (self.quantity.is_zero() && said.price == Some(price));
        let is_after = said.size == after || (is_unsigned && said.size == after.abs());
        is_after && at.saturating_sub(said.at) <= SAME_TRADE
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MINUTE: i64 = 60_000_000;

    fn n(text: &str) -> Decimal {
        text.parse().expect("a number")
    }

    #[test]
    fn a_closing_fill_realises_against_the_average_and_its_rest_opens_the_other_way() {
        let mut book = Book::default();
        assert_eq!(book.fill(n("10"), n("100"), 0), None);
        assert_eq!(book.fill(n("10"), n("110"), 1), None);
        assert_eq!(book.fill(n("-5"), n("104"), 2), Some(n("-5")));
        assert_eq!(book.fill(n("-20"), n("106"), 3), Some(n("15")));
        assert_eq!(book.size(), n("-5"));
        assert_eq!(book.fill(n("5"), n("107"), 4), Some(n("-5")));
        assert_eq!(book.size(), Decimal::ZERO);
    }

    #[test]
    fn what_the_engine_says_replaces_the_book_once_it_is_not_about_the_same_trade() {
        let mut book = Book::default();
        book.fill(n("10"), n("100"), 0);
        book.say(Holding { size: Decimal::ZERO, price: None, at: MINUTE });
        assert_eq!(book.size(), Decimal::ZERO);
        assert_eq!(book.fill(n("-3"), n("50"), 3 * MINUTE), None, "it was closed without an order");
        book.say(Holding { size: n("-3"), price: Some(n("50")), at: 3 * MINUTE + 1 });
        assert_eq!(book.fill(n("3"), n("60"), 3 * MINUTE + 2), Some(n("-30")));
    }

    #[test]
    fn a_position_from_the_day_before_is_closed_by_a_fill_soon_after_it_was_told() {
        for (size, by, price, result) in [("-13", "13", "110", "-130"), ("13", "-13", "90", "-130")] {
            let mut book = Book::default();
            book.say(Holding { size: n(size), price: Some(n("100")), at: 0 });
            assert_eq!(book.fill(n(by), n(price), MINUTE / 12), Some(n(result)));
            assert_eq!(book.size(), Decimal::ZERO);
        }
    }

    #[test]
    fn a_position_that_was_told_before_its_own_fill_is_not_counted_twice() {
        for (size, quantity) in [("10", "10"), ("-10", "-10"), ("10", "-10")] {
            let mut book = Book::default();
            book.say(Holding { size: n(size), price: Some(n("100")), at: 0 });
            assert_eq!(book.fill(n(quantity), n("100"), 1), None);
            assert_eq!(book.size(), n(quantity));
        }
    }

    #[test]
    fn what_was_carried_at_an_unknown_cost_has_no_result_made_up_for_it() {
        let mut book = Book::default();
        book.say(Holding { size: n("10"), price: None, at: 0 });
        assert_eq!(book.fill(n("-10"), n("100"), 1), Some(Decimal::ZERO));
    }

    proptest! {
        #[test]
        fn what_an_engine_says_of_its_position_changes_no_result(
            carried in -5_i64..6, fills in proptest::collection::vec((prop_oneof![-5_i64..0, 1_i64..6], 90_i64..110), 1..20),
        ) {
            // told right before a fill of its own size, it is taken for that fill
            prop_assume!(fills[0].0.abs() != carried.abs());
            let (mut told, mut truth) = (Book::default(), Book::default());
            truth.fill(carried.into(), n("100"), 0);
            for (second, (quantity, price)) in fills.into_iter().enumerate() {
                let at = second as i64 * 1_000_000;
                told.say(Holding { size: truth.quantity, price: Some(truth.average), at });
                let result = truth.fill(quantity.into(), price.into(), at + 1);
                prop_assert_eq!(told.fill(quantity.into(), price.into(), at + 1), result);
            }
        }
    }
}
