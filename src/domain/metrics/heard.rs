//! What events change in the predefined metrics: a fold over them, in their order.

use std::collections::HashMap;

use compact_str::CompactString;
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive as _;
use serde_json::value::RawValue;

use super::cycles::{Cycle, Cycles};
use super::fills::{Account, Details, Fill, Fills};
use super::labels::Labels;
use super::name::MetricName;
use super::predefined::{
    CASH_BALANCE, CYCLE_DURATION, CYCLES, DAILY_PNL, DECISIONS, ERRORS, ORDER_LATENCY, PORTFOLIO_VALUE, POSITIONS, Predefined,
    TRADES, TRADES_VALUE,
};
use super::write::{Change, Write};
use crate::domain::engine::PLIMSOLL;
use crate::domain::event::{Event, Header};
use crate::domain::money::amount;
use crate::domain::payload::{Payload, unquote};
use crate::domain::risk::session::Session;

/// The symbol of a snapshot of all positions.
const PORTFOLIO: &str = "portfolio";
/// Fields in which cycles tell how long they took, and how many of the unit are a second.
const DURATIONS: [(&str, f64); 8] = [
    ("duration_seconds", 1.0),
    ("cycle_duration_seconds", 1.0),
    ("elapsed_seconds", 1.0),
    ("duration_ms", 1_000.0),
    ("cycle_duration_ms", 1_000.0),
    ("elapsed_ms", 1_000.0),
    ("duration", 1.0),
    ("cycle_duration", 1.0),
];
const QUANTITY: [&str; 5] = ["qty", "quantity", "filled_qty", "filled_quantity", "fill_qty"];
/// At what it was filled; `price` is what was asked, 0 of a market order, and counts where none of these is told.
const FILL_PRICE: [&str; 4] = ["fill_price", "filled_price", "average_price", "avg_price"];
const EQUITY: [&str; 5] = ["account_equity", "current_equity", "equity", "portfolio_value", "total_equity"];
const CASH: [&str; 4] = ["cash_balance", "cash", "available_cash", "margin_available"];
const OPEN_POSITIONS: [&str; 3] = ["open_positions_count", "open_positions", "positions_count"];
const SIZE: [&str; 3] = ["quantity", "qty", "position_size"];

/// What is remembered of the events.
#[derive(Debug)]
pub struct Heard {
    session: Session,
    fills: Fills,
    cycles: Cycles,
    /// When a gauge was told last; of no more than the registry has room for, which says what it has not ([`Heard::forget`]).
    told: HashMap<(MetricName, Labels), i64>,
}

impl Heard {
    /// Nothing heard yet.
    #[must_use]
    pub fn new(session: Session) -> Self {
        Self { session, fills: Fills::default(), cycles: Cycles::default(), told: HashMap::new() }
    }

    /// How many open cycles and how many fills were forgotten, to make room for newer ones.
    #[must_use]
    pub fn forgotten(&self) -> (u64, u64) {
        (self.cycles.forgotten(), self.fills.forgotten())
    }

    /// The change was not made, as there was no room for its series.
    pub fn forget(&mut self, write: Write) {
        if matches!(write.change, Change::Set(_)) {
            self.told.remove(&(write.name, write.labels));
        }
    }

    /// What `event` changes. What Plimsoll itself publishes changes nothing.
    #[must_use]
    pub fn take(&mut self, event: &Event) -> Vec<Write> {
        let header = event.header();
        if header.source.as_deref() == Some(PLIMSOLL) {
            return Vec::new();
        }
        let add = |metric: Predefined| vec![write(metric, source(header), Change::Add(1.0))];
        match header.event_type.as_str() {
            "decision_trace" | "decision_made" => return add(DECISIONS),
            "error" | "data_error" => return add(ERRORS),
            "cycle_start" | "cycle_end" | "trade_filled" | "order_event" | "api_latency" | "equity_snapshot"
            | "performance_update" | "position_event" => {}
            _ => return Vec::new(),
        }
        let Ok(payload) = Payload::inspect(event.payload(), usize::MAX) else { return Vec::new() };
        match header.event_type.as_str() {
            "cycle_start" => {
                self.cycles.begin(cycle(header, &payload), header.timestamp.micros());
                Vec::new()
            }
            "cycle_end" => self.cycle_end(header, &payload),
            "trade_filled" => self.fill(header, &payload, false),
            "order_event" => {
                let is_filled = payload.text("status").is_some_and(|status| status.eq_ignore_ascii_case("filled"));
                let mut writes = if is_filled { self.fill(header, &payload, true) } else { Vec::new() };
                writes.extend(latency(header, &payload, "api_latency_ms"));
                writes
            }
            "api_latency" if is_of_orders(&payload) => latency(header, &payload, "latency_ms").into_iter().collect(),
            "equity_snapshot" => self.account(event, &payload),
            "performance_update" => match payload.get("metrics").map(|raw| Payload::inspect(raw, usize::MAX)) {
                Some(Ok(metrics)) => self.account(event, &metrics),
                _ => Vec::new(),
            },
            "position_event" if header.symbol.as_deref() == Some(PORTFOLIO) => self.snapshot(event, &payload),
            _ => Vec::new(),
        }
    }

    fn cycle_end(&mut self, header: &Header, payload: &Payload<'_>) -> Vec<Write> {
        let begun = self.cycles.end(&cycle(header, payload));
        let said = DURATIONS.iter().find_map(|(field, unit)| Some(positive(payload.get(field)?)? / unit));
        // microseconds of a cycle are far from what a float cannot hold
        let seen = begun.and_then(|begun| header.timestamp.micros().checked_sub(begun)).filter(|time| *time >= 0);
        let took = said.or(seen.map(|time| time as f64 / 1e6));
        let mut writes = vec![write(CYCLES, source(header), Change::Add(1.0))];
        writes.extend(took.map(|took| write(CYCLE_DURATION, source(header), Change::Observe(took))));
        writes
    }

    fn fill(&mut self, header: &Header, payload: &Payload<'_>, is_order: bool) -> Vec<Write> {
        let (quantity, price) = (first(payload, &QUANTITY), fill_price(payload));
        let traded = quantity.zip(price).and_then(|(quantity, price)| Some(quantity.checked_mul(price)?.abs().round_dp(8)));
        let told = first(payload, &["value_usd", "trade_value", "notional"]).map(|value| value.abs());
        let side = ["side", "action", "transaction_type"].iter().find_map(|field| payload.text(field));
        let details = quantity.zip(price).zip(side.zip(header.symbol.clone())).map(|((quantity, price), (side, symbol))| {
            let side = side.to_ascii_lowercase().into();
            Details { symbol, side, quantity: quantity.abs().normalize(), price: price.normalize() }
        });
        let day = self.session.date_of(header.timestamp);
        let counted = self.fills.take(Fill {
            account: Account { source: header.source.clone(), profile_id: header.profile_id, day },
            is_order,
            order_id: payload.get("order_id").and_then(identifier),
            details,
            value: traded.or(told),
            at: header.timestamp.micros(),
        });
        let labels = source(header);
        let mut writes = Vec::new();
        if counted.trades > 0 {
            writes.push(write(TRADES, labels.clone(), Change::Add(counted.trades as f64)));
        }
        let value = counted.value.to_f64().filter(|value| *value > 0.0);
        writes.extend(value.map(|value| write(TRADES_VALUE, labels, Change::Add(value))));
        writes
    }

    /// The figures of an account.
    fn account(&mut self, event: &Event, payload: &Payload<'_>) -> Vec<Write> {
        let pnl = || Some((first(payload, &["realized_pnl"])?, first(payload, &["unrealized_pnl"])?));
        let both = || pnl().and_then(|(realized, unrealized)| realized.checked_add(unrealized));
        let daily = first(payload, &["daily_pnl"]).or_else(both).or_else(|| first(payload, &["total_pnl"]));
        let positions = first(payload, &OPEN_POSITIONS).filter(|count| *count >= Decimal::ZERO);
        self.gauges(
            event,
            [
                (PORTFOLIO_VALUE, first(payload, &EQUITY)),
                (CASH_BALANCE, first(payload, &CASH)),
                (POSITIONS, positions),
                (DAILY_PNL, daily),
            ],
        )
    }

    /// All positions, and the equity.
    fn snapshot(&mut self, event: &Event, payload: &Payload<'_>) -> Vec<Write> {
        let positions = payload.get("positions").and_then(open_positions);
        self.gauges(
            event,
            [(PORTFOLIO_VALUE, first(payload, &EQUITY)), (CASH_BALANCE, first(payload, &CASH)), (POSITIONS, positions)],
        )
    }

    /// Sets the gauges that are told, unless something newer told them.
    fn gauges<const N: usize>(&mut self, event: &Event, figures: [(Predefined, Option<Decimal>); N]) -> Vec<Write> {
        let header = event.header();
        let labels = Labels::known([
            ("source", header.source.as_deref()),
            ("profile_id", header.profile_id.map(|id| id.to_string()).as_deref()),
        ]);
        // who claims to speak of the future shall not silence the present
        let arrived = i64::try_from(event.id().millis()).unwrap_or(i64::MAX).saturating_mul(1_000).saturating_add(999);
        let at = header.timestamp.micros().min(arrived);
        let mut writes = Vec::new();
        for (metric, figure) in figures {
            let Some(figure) = figure.and_then(|figure| figure.to_f64()) else { continue };
            let key = (metric.name(), labels.clone());
            if self.told.get(&key).is_some_and(|told| *told > at) {
                continue;
            }
            self.told.insert(key, at);
            writes.push(write(metric, labels.clone(), Change::Set(figure)));
        }
        writes
    }
}

fn write(metric: Predefined, labels: Labels, change: Change) -> Write {
    Write { name: metric.name(), labels, change, help: None, buckets: None }
}

fn source(header: &Header) -> Labels {
    Labels::known([("source", header.source.as_deref())])
}

/// Which cycle of its source.
fn cycle(header: &Header, payload: &Payload<'_>) -> Cycle {
    let id = ["cycle_id", "cycle"].iter().find_map(|field| identifier(payload.get(field)?));
    (header.source.clone(), id)
}

/// A text or a number that names something.
fn identifier(raw: &str) -> Option<CompactString> {
    let text = unquote(raw).or_else(|| raw.starts_with(|c: char| c.is_ascii_digit()).then(|| raw.into()))?;
    (1..=128).contains(&text.len()).then(|| text.as_ref().into())
}

/// The amount in the first of `fields` that has one.
fn first(payload: &Payload<'_>, fields: &[&str]) -> Option<Decimal> {
    fields.iter().find_map(|field| amount(payload.get(field)?))
}

fn fill_price(payload: &Payload<'_>) -> Option<Decimal> {
    let mut told = FILL_PRICE.iter().filter_map(|field| amount(payload.get(field)?));
    told.find(|price| *price > Decimal::ZERO).or_else(|| first(payload, &["price"]))
}

/// A number from 0 on.
fn positive(raw: &str) -> Option<f64> {
    raw.parse().ok().filter(|number: &f64| number.is_finite() && *number >= 0.0)
}

/// Whether a call whose latency is told was about orders, by its endpoint, or else by who made it.
fn is_of_orders(payload: &Payload<'_>) -> bool {
    // placeOrder, order_monitor and /v2/orders are, historical_border is not
    let is_order = |word: &str| {
        let word = word.to_ascii_lowercase();
        let object = ["place", "modify", "cancel"].iter().find_map(|verb| word.strip_prefix(verb)).unwrap_or(&word);
        object.starts_with("order")
    };
    let names = |field: &str| {
        payload.text(field).is_some_and(|text| text.split(|letter: char| !letter.is_ascii_alphanumeric()).any(is_order))
    };
    let has_endpoint = payload.text("endpoint").is_some_and(|endpoint| !endpoint.is_empty());
    names(if has_endpoint { "endpoint" } else { "script_name" })
}

fn latency(header: &Header, payload: &Payload<'_>, field: &str) -> Option<Write> {
    let millis = positive(payload.get(field)?)?;
    Some(write(ORDER_LATENCY, source(header), Change::Observe(millis / 1_000.0)))
}

/// How many of the listed positions are open; `None` when that cannot be told of one.
fn open_positions(raw: &str) -> Option<Decimal> {
    let listed: Vec<&RawValue> = serde_json::from_str(raw).ok()?;
    let mut open = 0_u64;
    for position in listed {
        let fields = position.get().starts_with('{').then(|| Payload::inspect(position.get(), usize::MAX).ok())??;
        open += u64::from(!first(&fields, &SIZE)?.is_zero());
    }
    Some(open.into())
}

#[cfg(test)]
#[path = "heard_tests.rs"]
mod tests;
