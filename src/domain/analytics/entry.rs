//! What the ledger keeps of an event: one kind of entry for each type of event that it knows.

use std::borrow::Cow;

use compact_str::CompactString;
use rust_decimal::Decimal;

use super::equity::Equity;
use super::latency::Latency;
use super::order::OrderReport;
use super::signal::Signal;
use super::system::ScriptHealth;
use super::trade::Trade;
use crate::domain::clock::Timestamp;
use crate::domain::event::Event;
use crate::domain::id::EventId;
use crate::domain::money::amount;
use crate::domain::payload::Payload;
use crate::domain::risk::session::Session;

/// An entry of the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The event's id, by which an entry is there once.
    pub id: EventId,
    /// Whose it is; without one it is kept, and counted to nobody.
    pub profile_id: Option<i64>,
    /// The event's own time.
    pub at: Timestamp,
    /// What it says.
    pub kind: Kind,
}

/// What an entry says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// `trade_closed`.
    Trade(Box<Trade>),
    /// `breakout_signal`.
    Signal(Signal),
    /// `equity_snapshot`.
    Equity(Equity),
    /// `order_event`.
    Order(Box<OrderReport>),
    /// `api_latency`.
    Latency(Latency),
    /// `system_health`.
    Health(Box<ScriptHealth>),
}

impl Entry {
    /// The entry that `event` makes; `None` for the many events that the ledger has no use for.
    #[must_use]
    pub fn of(event: &Event, session: &Session) -> Option<Self> {
        let header = event.header();
        let read: fn(&Fields<'_>) -> Option<Kind> = match header.event_type.as_str() {
            "trade_closed" => Trade::read,
            "breakout_signal" => Signal::read,
            "equity_snapshot" => Equity::read,
            "order_event" => OrderReport::read,
            "api_latency" => Latency::read,
            "system_health" => ScriptHealth::read,
            _ => return None,
        };
        let payload = Payload::inspect(event.payload(), usize::MAX).ok()?;
        let kind = read(&Fields { payload, source: header.source.as_deref(), at: header.timestamp, session })?;
        Some(Self { id: event.id(), profile_id: header.profile_id, at: header.timestamp, kind })
    }
}

/// The payload of an event that is being read.
pub(super) struct Fields<'a> {
    payload: Payload<'a>,
    pub(super) source: Option<&'a str>,
    pub(super) at: Timestamp,
    pub(super) session: &'a Session,
}

impl<'a> Fields<'a> {
    /// The number `name`; `None` too for one that is too large to be counted with.
    pub(super) fn amount(&self, name: &str) -> Option<Decimal> {
        amount(self.payload.get(name)?)
    }

    /// Whether there is a `name`; null is as good as absent.
    pub(super) fn has(&self, name: &str) -> bool {
        self.payload.get(name).is_some_and(|raw| raw != "null")
    }

    /// The value `name` as JSON text.
    pub(super) fn raw(&self, name: &str) -> Option<&'a str> {
        self.payload.get(name)
    }

    /// The text `name`, or the digits of a number.
    pub(super) fn label(&self, name: &str) -> Option<Cow<'a, str>> {
        self.text(name).or_else(|| self.raw(name).map(Cow::Borrowed)).filter(|label| !label.is_empty())
    }

    /// The text `name`; an empty one says nothing.
    pub(super) fn text(&self, name: &str) -> Option<Cow<'a, str>> {
        self.payload.text(name).filter(|text| !text.is_empty())
    }

    /// The word `name`, in lower case.
    pub(super) fn word(&self, name: &str) -> Option<CompactString> {
        self.text(name).map(|text| CompactString::new(text.to_ascii_lowercase()))
    }
}
