//! Fills, each counted once.
//!
//! Some engines tell a fill as `trade_filled`, some as a filled `order_event`, some as both. What is told in both ways is
//! matched by `order_id` (of the same source, profile and trading day), and where a `trade_filled` has none, by symbol, side,
//! quantity and price within a minute. Of what matches, the way that tells more counts: of an order with three
//! `trade_filled` these three, and nothing for the `order_event` that sums them up. An order is filled once, however often an
//! `order_event` says so.

use std::collections::{HashMap, VecDeque};

use chrono::NaiveDate;
use compact_str::CompactString;
use rust_decimal::Decimal;

/// So many fills are remembered.
const MAX_REMEMBERED: usize = 20_000;
/// Details match within so many microseconds.
const WINDOW: i64 = 60_000_000;

/// Whose a fill is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Account {
    /// Who told it.
    pub source: Option<CompactString>,
    /// Of which profile.
    pub profile_id: Option<i64>,
    /// On which trading day.
    pub day: NaiveDate,
}

/// What was filled.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Details {
    /// In what.
    pub symbol: CompactString,
    /// Lower case.
    pub side: CompactString,
    /// How much.
    pub quantity: Decimal,
    /// At what price.
    pub price: Decimal,
}

/// A fill as one event tells it.
#[derive(Debug, Clone)]
pub struct Fill {
    /// Whose.
    pub account: Account,
    /// Whether an `order_event` tells it, rather than a `trade_filled`.
    pub is_order: bool,
    /// Its order, if it is named.
    pub order_id: Option<CompactString>,
    /// What was filled, if all of it is told.
    pub details: Option<Details>,
    /// What it was worth, if that is told.
    pub value: Option<Decimal>,
    /// When, in microseconds.
    pub at: i64,
}

/// What a fill adds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counted {
    /// Trades.
    pub trades: u64,
    /// Their value.
    pub value: Decimal,
}

/// What was told so far.
#[derive(Debug, Default)]
pub struct Fills {
    told: HashMap<Key, Told>,
    /// The keys, oldest first.
    keys: VecDeque<Key>,
    forgotten: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Key {
    Order(Account, CompactString),
    Details(Account, Details),
}

/// What was told under one key, in either way.
#[derive(Debug, Clone, Copy)]
struct Told {
    by_orders: Counted,
    by_trades: Counted,
    at: i64,
}

impl Told {
    /// Adds a fill to one of the ways; what it adds to the larger of them.
    fn add(&mut self, is_order: bool, value: Decimal) -> Counted {
        let before = self.larger();
        let way = if is_order { &mut self.by_orders } else { &mut self.by_trades };
        way.trades += 1;
        // amounts beyond it are refused where they are read
        way.value = way.value.checked_add(value).unwrap_or(way.value);
        let after = self.larger();
        Counted { trades: after.trades - before.trades, value: after.value - before.value }
    }

    fn larger(&self) -> Counted {
        let (orders, trades) = (self.by_orders, self.by_trades);
        Counted { trades: orders.trades.max(trades.trades), value: orders.value.max(trades.value) }
    }
}

impl Fills {
    /// What `fill` adds to what was told before.
    pub fn take(&mut self, fill: Fill) -> Counted {
        let Fill { account, is_order, order_id, details, value, at } = fill;
        let value = value.unwrap_or_default();
        let alone = Counted { trades: 1, value };
        let by_details = details.map(|details| Key::Details(account.clone(), details));
        let by_order = order_id.map(|id| Key::Order(account, id));
        match (by_order, by_details) {
            (Some(order), details) if is_order => {
                let told = self.told(order, at, i64::MAX);
                if told.by_orders.trades > 0 {
                    return Counted::default();
                }
                let counted = told.add(true, value);
                let is_matched = told.by_trades.trades > 0;
                match details.filter(|_| !is_matched) {
                    Some(details) => self.told(details, at, WINDOW).add(true, value),
                    None => counted,
                }
            }
            (Some(order), _) => self.told(order, at, i64::MAX).add(false, value),
            (None, Some(details)) => self.told(details, at, WINDOW).add(is_order, value),
            (None, None) => alone,
        }
    }

    /// How many were forgotten, the oldest first, since there were too many.
    #[must_use]
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// What was told under `key`, unless that is longer ago than `window`.
    fn told(&mut self, key: Key, at: i64, window: i64) -> &mut Told {
        if !self.told.contains_key(&key) {
            if self.keys.len() >= MAX_REMEMBERED
                && let Some(oldest) = self.keys.pop_front()
            {
                self.told.remove(&oldest);
                self.forgotten += 1;
            }
            self.keys.push_back(key.clone());
        }
        let none = Told { by_orders: Counted::default(), by_trades: Counted::default(), at };
        let told = self.told.entry(key).or_insert(none);
        if told.at.abs_diff(at) > window.unsigned_abs() {
            *told = none;
        }
        told.at = at;
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fill(is_order: bool, order_id: Option<&str>, quantity: i64, second: i64) -> Fill {
        let account = Account { source: Some("fno".into()), profile_id: None, day: NaiveDate::MIN };
        let (quantity, price) = (Decimal::from(quantity), Decimal::TEN);
        Fill {
            account,
            is_order,
            order_id: order_id.map(Into::into),
            details: Some(Details { symbol: "NIFTY".into(), side: "buy".into(), quantity, price }),
            value: Some(quantity * price),
            at: second * 1_000_000,
        }
    }

    fn total(fills: impl IntoIterator<Item = Fill>) -> (u64, Decimal) {
        let mut told = Fills::default();
        fills.into_iter().map(|fill| told.take(fill)).fold((0, Decimal::ZERO), |(n, v), c| (n + c.trades, v + c.value))
    }

    fn worth(quantity: i64) -> Decimal {
        Decimal::from(quantity * 10)
    }

    #[test]
    fn a_fill_that_is_told_in_both_ways_counts_once_in_either_order() {
        for (first, second) in [(true, false), (false, true)] {
            for (one, other) in [(Some("A"), Some("A")), (Some("A"), None)] {
                let id = |is_order: bool| if is_order { one } else { other };
                let told = [fill(first, id(first), 5, 0), fill(second, id(second), 5, 1)];
                assert_eq!(total(told), (1, worth(5)), "{first} {one:?} {other:?}");
            }
        }
    }

    #[test]
    fn partial_fills_count_each_and_their_order_no_more() {
        let partial = [2, 3, 5].map(|quantity| fill(false, Some("A"), quantity, quantity));
        assert_eq!(total(partial.clone()), (3, worth(10)));
        assert_eq!(total(partial.clone().into_iter().chain([fill(true, Some("A"), 10, 9)])), (3, worth(10)));
        assert_eq!(total([fill(true, Some("A"), 10, 0)].into_iter().chain(partial)), (3, worth(10)));
    }

    #[test]
    fn an_order_is_filled_once_and_others_count_for_themselves() {
        let again = [fill(true, Some("A"), 5, 0), fill(true, Some("A"), 5, 5), fill(true, Some("B"), 5, 5)];
        assert_eq!(total(again), (2, worth(10)));
        assert_eq!(total([fill(false, None, 5, 0), fill(false, None, 5, 1)]), (2, worth(10)), "two fills alike");
        let alike = [fill(true, Some("A"), 5, 0), fill(true, Some("B"), 5, 1), fill(false, None, 5, 2), fill(false, None, 5, 3)];
        assert_eq!(total(alike), (2, worth(10)), "two orders alike, each told twice");
        assert_eq!(total([fill(true, Some("A"), 5, 0), fill(false, None, 5, 61)]), (2, worth(10)), "too long after");
        let mut other = fill(true, Some("A"), 5, 0);
        other.account.source = None;
        assert_eq!(total([fill(true, Some("A"), 5, 0), other]), (2, worth(10)), "of another engine");
        let mut next_day = fill(true, Some("A"), 5, 0);
        next_day.account.day = NaiveDate::MAX;
        assert_eq!(total([fill(true, Some("A"), 5, 0), next_day]), (2, worth(10)), "engines begin to count anew");
    }

    #[test]
    fn a_fill_of_which_nothing_is_told_counts_without_a_value() {
        let bare = || Fill { order_id: None, details: None, value: None, ..fill(false, None, 1, 0) };
        assert_eq!(total([bare(), bare()]), (2, Decimal::ZERO));
    }

    proptest! {
        #[test]
        fn what_is_told_twice_counts_as_what_is_told_once(orders in 1_usize..200, both in any::<bool>(), seed in any::<u64>()) {
            let mut rng = fastrand::Rng::with_seed(seed);
            let mut told: Vec<Fill> = Vec::new();
            for order in 0..orders {
                let id = order.to_string();
                told.push(fill(true, Some(&id), 7, 0));
                if both {
                    told.push(fill(false, Some(&id), 7, 0));
                }
            }
            rng.shuffle(&mut told);
            prop_assert_eq!(total(told), (orders as u64, worth(7 * orders as i64)));
        }
    }

    #[test]
    fn only_so_many_fills_are_remembered_and_the_others_counted() {
        let mut fills = Fills::default();
        for n in 0..MAX_REMEMBERED * 2 {
            fills.take(fill(true, Some(&n.to_string()), 5, 0));
        }
        assert_eq!((fills.told.len(), fills.keys.len()), (MAX_REMEMBERED, MAX_REMEMBERED));
        assert!(fills.forgotten() >= MAX_REMEMBERED as u64);
    }
}
