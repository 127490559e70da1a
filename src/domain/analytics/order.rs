//! Orders, each counted once, by its last status.
//!
//! An order is what has the same profile, source and `order_id` (a number is the same as its digits in quotes): the ids of two
//! engines may collide, and those of one engine are its own to keep apart. Of the reports of an order the last one is that
//! with the latest event time; of one instant, one with an end (filled, cancelled, rejected, expired) comes after one without;
//! then the later arrival. So what arrives late undoes nothing.
//!
//! An order belongs to the trading day of its earliest report, wherever it ends. To tell the figures **as of** a day, without
//! what came later, each order keeps its last report of each day ([`OrderDay`]); what it adds to the counts on each day is
//! its [`changes`], and counts are sums of them.

use std::collections::BTreeMap;
use std::ops::{AddAssign, Neg};

use compact_str::CompactString;

use super::entry::{Fields, Kind};
use super::key::key;
use super::latency::Latency;
use super::sum::Sum;
use crate::domain::clock::Timestamp;
use crate::domain::id::EventId;

/// How an order is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum OrderStatus {
    /// Created, submitted or converted: it works.
    Open,
    /// Some of it is filled, and the rest works.
    PartiallyFilled,
    /// All of it is filled.
    Filled,
    /// It was cancelled, perhaps after a part was filled.
    Canceled,
    /// It was not accepted.
    Rejected,
    /// Its time was over.
    Expired,
}

impl OrderStatus {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Open, Self::PartiallyFilled, Self::Filled, Self::Canceled, Self::Rejected, Self::Expired];

    /// Our word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::PartiallyFilled => "partially_filled",
            Self::Filled => "filled",
            Self::Canceled => "canceled",
            Self::Rejected => "rejected",
            Self::Expired => "expired",
        }
    }

    /// Reads [`Self::as_str`].
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == word)
    }

    /// Reads an engine's word, in any case.
    fn of_engine(word: &str) -> Option<Self> {
        Some(match word.to_ascii_lowercase().as_str() {
            "created" | "submitted" | "converted" => Self::Open,
            "partially_filled" => Self::PartiallyFilled,
            "filled" => Self::Filled,
            "cancelled" | "canceled" => Self::Canceled,
            "rejected" => Self::Rejected,
            "expired" => Self::Expired,
            _ => return None,
        })
    }

    /// Whether nothing is expected after it.
    #[must_use]
    pub fn is_end(self) -> bool {
        !matches!(self, Self::Open | Self::PartiallyFilled)
    }
}

/// What an order is executed as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Limit,
    Market,
}

impl Form {
    /// Of an `order_type` such as `LIMIT`, `stop_limit`, `LMT`, `MKT`.
    fn of(order_type: &str) -> Option<Self> {
        let folded = order_type.to_ascii_lowercase();
        let says = |words: [&str; 2]| words.iter().any(|word| folded.contains(word));
        if says(["limit", "lmt"]) {
            Some(Self::Limit)
        } else if says(["market", "mkt"]) {
            Some(Self::Market)
        } else {
            None
        }
    }
}

/// When something was said: by the event's time, then by its id.
pub type Moment = (Timestamp, EventId);

/// One `order_event`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderReport {
    /// The order: `["source","order_id"]`, or a fingerprint of that where it is long.
    pub order_key: CompactString,
    /// What became of it.
    pub status: OrderStatus,
    /// How long the call took that reported it, if it says so.
    pub latency: Option<Latency>,
    form: Option<Form>,
    is_conversion: bool,
}

impl OrderReport {
    /// What the event says; `None` if it has no id or no known status.
    pub(super) fn read(fields: &Fields<'_>) -> Option<Kind> {
        let order_id = fields.label("order_id")?;
        let word = fields.text("status")?;
        let name = serde_json::to_string(&(fields.source, order_id.as_ref())).ok()?;
        Some(Kind::Order(Box::new(Self {
            order_key: key(&name).into(),
            status: OrderStatus::of_engine(&word)?,
            latency: Latency::of(fields, "api_latency_ms"),
            form: fields.text("order_type").and_then(|text| Form::of(&text)),
            is_conversion: word.eq_ignore_ascii_case("converted"),
        })))
    }
}

/// What is known of an order from its reports of one trading day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OrderDay {
    /// The status of the last report.
    pub status: OrderStatus,
    /// When that was.
    pub moment: Moment,
    /// When it was first called a limit order.
    pub first_limit: Option<Moment>,
    /// When it was last called a market order.
    pub last_market: Option<Moment>,
    /// Whether it was said to be converted.
    pub is_converted: bool,
}

impl OrderDay {
    /// The day whose only report is this one, of `moment`.
    #[must_use]
    pub fn of(report: &OrderReport, moment: Moment) -> Self {
        let when = |form| (report.form == Some(form)).then_some(moment);
        Self {
            status: report.status,
            moment,
            first_limit: when(Form::Limit),
            last_market: when(Form::Market),
            is_converted: report.is_conversion,
        }
    }

    /// Both together, in whatever order they came; the same twice is the same once.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        let place = |day: &Self| (day.moment.0, day.status.is_end(), day.moment.1);
        let last = if place(&other) > place(&self) { other } else { self };
        Self {
            first_limit: [self.first_limit, other.first_limit].into_iter().flatten().min(),
            last_market: self.last_market.max(other.last_market),
            is_converted: self.is_converted || other.is_converted,
            ..last
        }
    }

    /// The order, counted.
    fn count(&self) -> OrderCounts {
        let went_to_market = self.first_limit.zip(self.last_market).is_some_and(|(limit, market)| market > limit);
        let is_converted = self.is_converted || went_to_market;
        let is = |status| i64::from(self.status == status);
        OrderCounts {
            total: 1,
            open: is(OrderStatus::Open),
            partially_filled: is(OrderStatus::PartiallyFilled),
            filled: is(OrderStatus::Filled),
            canceled: is(OrderStatus::Canceled),
            rejected: is(OrderStatus::Rejected),
            expired: is(OrderStatus::Expired),
            limit: i64::from(is_converted || self.first_limit.is_some()),
            converted: i64::from(is_converted),
        }
    }
}

/// Numbers of orders, or by how much they change.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OrderCounts {
    /// All of them: the sum of the six statuses.
    pub total: i64,
    /// See [`OrderStatus::Open`].
    pub open: i64,
    /// See [`OrderStatus::PartiallyFilled`].
    pub partially_filled: i64,
    /// See [`OrderStatus::Filled`].
    pub filled: i64,
    /// See [`OrderStatus::Canceled`].
    pub canceled: i64,
    /// See [`OrderStatus::Rejected`].
    pub rejected: i64,
    /// See [`OrderStatus::Expired`].
    pub expired: i64,
    /// Those that are, or once were, limit orders, whatever became of them.
    pub limit: i64,
    /// Of these, those that became market orders: by the status `converted`, or by an `order_type` that went from limit to
    /// market.
    pub converted: i64,
}

impl OrderCounts {
    /// Converted limit orders in percent of limit orders; `None` when there is none.
    #[must_use]
    pub fn conversion_rate(&self) -> Option<Sum> {
        let sum = |count: i64| Sum::count(u64::try_from(count).unwrap_or(0));
        sum(self.converted).percent_of(sum(self.limit))
    }
}

impl AddAssign for OrderCounts {
    fn add_assign(&mut self, other: Self) {
        self.total += other.total;
        self.open += other.open;
        self.partially_filled += other.partially_filled;
        self.filled += other.filled;
        self.canceled += other.canceled;
        self.rejected += other.rejected;
        self.expired += other.expired;
        self.limit += other.limit;
        self.converted += other.converted;
    }
}

impl Neg for OrderCounts {
    type Output = Self;

    fn neg(self) -> Self {
        Self {
            total: -self.total,
            open: -self.open,
            partially_filled: -self.partially_filled,
            filled: -self.filled,
            canceled: -self.canceled,
            rejected: -self.rejected,
            expired: -self.expired,
            limit: -self.limit,
            converted: -self.converted,
        }
    }
}

/// By the start of the trading day that an order belongs to, and of that on which the counts change.
pub type OrderChanges = BTreeMap<(Timestamp, Timestamp), OrderCounts>;

/// What one order adds to the counts, by the starts of its `days`: on its first day it is counted, on later ones it is counted
/// otherwise.
#[must_use]
pub fn changes(days: &BTreeMap<Timestamp, OrderDay>) -> OrderChanges {
    let mut changes = OrderChanges::new();
    let Some((first, _)) = days.first_key_value() else { return changes };
    let mut known: Option<OrderDay> = None;
    for (start, day) in days {
        let mut change = -known.map(|known| known.count()).unwrap_or_default();
        let now = known.map_or(*day, |known| known.with(*day));
        change += now.count();
        known = Some(now);
        if change != OrderCounts::default() {
            changes.insert((*first, *start), change);
        }
    }
    changes
}

#[cfg(test)]
pub(super) mod tests;
