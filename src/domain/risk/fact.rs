//! What an event says about money: the facts that the day's figures are folded from.

use compact_str::CompactString;
use rust_decimal::Decimal;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::domain::engine::PLIMSOLL;
use crate::domain::event::{Event, Header};
use crate::domain::money::amount;
use crate::domain::payload::Payload;

/// The type of the events that are made of `runtime_metrics.json`.
pub const RUNTIME_METRICS: &str = "runtime_metrics";
/// The symbol of a snapshot of all positions.
const PORTFOLIO: &str = "portfolio";
/// Most positions of one snapshot that count.
const MAX_POSITIONS: usize = 10_000;

/// A fact about a source's money.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// A trade was closed, with this result.
    Trade {
        /// In what.
        symbol: CompactString,
        /// Its result.
        pnl: Decimal,
        /// How much of it, not signed.
        quantity: Decimal,
    },
    /// An order was filled.
    Fill {
        /// In what.
        symbol: CompactString,
        /// Signed: below zero is sold.
        quantity: Decimal,
        /// Price of one.
        price: Decimal,
    },
    /// A position as its engine tells it.
    Holding(Told),
    /// All positions, and the equity, if it was told.
    Snapshot(Vec<Told>, Option<Decimal>),
    /// The day's figures as the source has them.
    Statement(Statement),
    /// The whole account's, from the file.
    File(Box<FileFigures>),
}

/// What is told of one position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// In what.
    pub symbol: CompactString,
    /// Signed quantity.
    pub size: Decimal,
    /// Average cost.
    pub price: Option<Decimal>,
    /// Result of the open position.
    pub unrealized: Option<Decimal>,
    /// Result of what was closed of it.
    pub realized: Option<Decimal>,
}

/// The day's figures in the source's own words; what it did not say is `None`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Statement {
    /// Realised P&L of the day.
    pub realized: Option<Decimal>,
    /// Unrealised P&L.
    pub unrealized: Option<Decimal>,
    /// Both together, where they are not told apart.
    pub total: Option<Decimal>,
    /// Equity now.
    pub equity: Option<Decimal>,
    /// Equity at the start.
    pub starting: Option<Decimal>,
    /// Whether it is an `equity_snapshot`.
    pub is_snapshot: bool,
}

/// What the event of `runtime_metrics.json` says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FileFigures {
    /// The money.
    pub money: Statement,
    /// Falls of equity that the file is trusted to tell of this day: from, to.
    pub falls: Vec<(Decimal, Decimal)>,
    /// Closed trades.
    pub trades: Option<u64>,
    /// Losing trades in a row.
    pub loss_streak: Option<u64>,
    /// Closed trades by symbol.
    pub per_symbol: Vec<(CompactString, u64)>,
    /// When the file says it was written, in microseconds.
    pub asof: Option<i64>,
}

/// What an event is to the figures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// It says something about money.
    Fact(Fact),
    /// An engine is there.
    Sign,
    /// It says something that cannot be counted.
    Unusable,
    /// It is our own.
    Nothing,
}

/// Some numbers of an object could not be read.
struct Unusable;

impl Heard {
    /// What `event` says.
    #[must_use]
    pub fn of(event: &Event) -> Self {
        let header = event.header();
        if header.source.as_deref() == Some(PLIMSOLL) {
            return match header.event_type.as_str() {
                // an engine's file is its beat
                "engine_heartbeat" => Self::Sign,
                RUNTIME_METRICS => file(event).map_or(Self::Unusable, |file| Self::Fact(Fact::File(Box::new(file)))),
                _ => Self::Nothing,
            };
        }
        let read = match header.event_type.as_str() {
            "trade_closed" => trade,
            "order_event" => order,
            "position_event" => position,
            "performance_update" => performance,
            "equity_snapshot" => equity_snapshot,
            _ => return Self::Sign,
        };
        let Ok(payload) = Payload::inspect(event.payload(), usize::MAX) else { return Self::Unusable };
        match read(header, &payload) {
            Ok(Some(fact)) => Self::Fact(fact),
            Ok(None) => Self::Sign,
            Err(Unusable) => Self::Unusable,
        }
    }
}

/// Field `name`, if it is there.
fn optional(payload: &Payload<'_>, name: &str) -> Result<Option<Decimal>, Unusable> {
    payload.get(name).filter(|raw| *raw != "null").map(|raw| amount(raw).ok_or(Unusable)).transpose()
}

fn required(payload: &Payload<'_>, name: &str) -> Result<Decimal, Unusable> {
    optional(payload, name)?.ok_or(Unusable)
}

/// The first of `names` that is there.
fn either(payload: &Payload<'_>, names: &[&str]) -> Result<Option<Decimal>, Unusable> {
    for name in names {
        if let found @ Some(_) = optional(payload, name)? {
            return Ok(found);
        }
    }
    Ok(None)
}

/// At what an order was filled; `price` is what was asked, 0 of a market order, and counts where nothing else is told.
fn fill_price(payload: &Payload<'_>) -> Result<Option<Decimal>, Unusable> {
    let told = ["fill_price", "filled_price", "average_price", "avg_price"].into_iter();
    let told = told.filter_map(|name| amount(payload.get(name)?)).find(|price| *price > Decimal::ZERO);
    told.map_or_else(|| optional(payload, "price"), |price| Ok(Some(price)))
}

fn symbol_of(header: &Header) -> Result<CompactString, Unusable> {
    header.symbol.clone().ok_or(Unusable)
}

fn trade(header: &Header, payload: &Payload<'_>) -> Result<Option<Fact>, Unusable> {
    let quantity = required(payload, "quantity")?;
    let pnl = match optional(payload, "pnl")? {
        Some(pnl) => pnl,
        None => {
            let direction = payload.text("direction").unwrap_or_default().to_ascii_lowercase();
            let gain = required(payload, "exit_price")? - required(payload, "entry_price")?;
            let is_short = direction.ends_with("downward");
            let result = gain.checked_mul(quantity.abs()).ok_or(Unusable)?;
            if is_short { -result } else { result }
        }
    };
    Ok(Some(Fact::Trade { symbol: symbol_of(header)?, pnl, quantity: quantity.abs() }))
}

fn order(header: &Header, payload: &Payload<'_>) -> Result<Option<Fact>, Unusable> {
    let is = |field: &str, word: &str| payload.text(field).is_some_and(|text| text.eq_ignore_ascii_case(word));
    if !is("status", "filled") {
        return Ok(None);
    }
    let quantity = either(payload, &["qty", "quantity"])?.map(|quantity| quantity.abs());
    let (Some(quantity), Some(price)) = (quantity, fill_price(payload)?) else { return Err(Unusable) };
    if quantity.is_zero() {
        return Ok(None);
    }
    let quantity = match (is("side", "buy"), is("side", "sell")) {
        (true, _) => quantity,
        (_, true) => -quantity,
        _ => return Err(Unusable),
    };
    Ok(Some(Fact::Fill { symbol: symbol_of(header)?, quantity, price }))
}

fn position(header: &Header, payload: &Payload<'_>) -> Result<Option<Fact>, Unusable> {
    let symbol = symbol_of(header)?;
    if let (PORTFOLIO, Some(positions)) = (symbol.as_str(), payload.get("positions")) {
        let raw: Vec<&RawValue> = serde_json::from_str(positions).map_err(|_| Unusable)?;
        let told: Result<Vec<Told>, Unusable> = raw.iter().take(MAX_POSITIONS).map(|each| listed(each)).collect();
        return Ok(Some(Fact::Snapshot(told?, optional(payload, "equity")?)));
    }
    Ok(Some(Fact::Holding(Told {
        symbol,
        size: required(payload, "position_size")?,
        price: optional(payload, "entry_price")?,
        unrealized: optional(payload, "unrealized_pnl")?,
        realized: optional(payload, "realized_pnl")?,
    })))
}

/// One position of a snapshot.
fn listed(raw: &RawValue) -> Result<Told, Unusable> {
    let each = Payload::inspect(raw.get(), usize::MAX).map_err(|_| Unusable)?;
    let size = either(&each, &["quantity", "qty", "position_size"])?.ok_or(Unusable)?;
    let price = either(&each, &["avg_price", "average_price", "entry_price"])?;
    let marked = match (price, either(&each, &["last_price", "ltp", "current_price"])?) {
        (Some(price), Some(last)) => (last - price).checked_mul(size).map(|result| result.round_dp(10)),
        _ => None,
    };
    Ok(Told {
        symbol: each.text("symbol").filter(|symbol| !symbol.is_empty()).ok_or(Unusable)?.into(),
        size,
        price,
        unrealized: optional(&each, "unrealized_pnl")?.or(marked),
        realized: optional(&each, "realized_pnl")?,
    })
}

fn performance(_: &Header, payload: &Payload<'_>) -> Result<Option<Fact>, Unusable> {
    let metrics = Payload::inspect(payload.get("metrics").ok_or(Unusable)?, usize::MAX).map_err(|_| Unusable)?;
    let statement = money(&metrics)?;
    Ok((statement != Statement::default()).then_some(Fact::Statement(statement)))
}

fn equity_snapshot(_: &Header, payload: &Payload<'_>) -> Result<Option<Fact>, Unusable> {
    Ok(Some(Fact::Statement(Statement {
        realized: Some(required(payload, "realized_pnl")?),
        unrealized: Some(required(payload, "unrealized_pnl")?),
        equity: Some(required(payload, "account_equity")?),
        is_snapshot: true,
        ..Statement::default()
    })))
}

/// The money in an object with flat fields.
fn money(metrics: &Payload<'_>) -> Result<Statement, Unusable> {
    Ok(Statement {
        realized: optional(metrics, "realized_pnl")?,
        unrealized: optional(metrics, "unrealized_pnl")?,
        total: either(metrics, &["total_pnl", "daily_pnl"])?,
        equity: either(metrics, &["current_equity", "equity"])?,
        starting: optional(metrics, "starting_capital")?,
        is_snapshot: false,
    })
}

/// The payload of a `runtime_metrics` event; it is written by [`super::runtime_metrics`].
#[derive(Deserialize)]
struct Counts {
    total_trades: Option<u64>,
    loss_streak: Option<u64>,
    #[serde(default)]
    per_symbol: std::collections::BTreeMap<CompactString, u64>,
    asof: Option<String>,
}

fn file(event: &Event) -> Option<FileFigures> {
    let payload = Payload::inspect(event.payload(), usize::MAX).ok()?;
    let counts: Counts = serde_json::from_str(event.payload()).ok()?;
    let figure = |name: &str| optional(&payload, name).ok().flatten();
    let fall = |from: &str, to: &str| Some((figure(from)?, figure(to)?));
    let falls = [("starting_capital", "min_equity"), ("max_equity", "current_equity"), ("curve_peak", "curve_trough")];
    let asof = counts.asof.map(|text| crate::domain::clock::Timestamp::parse(&text)).transpose().ok()?;
    Some(FileFigures {
        money: money(&payload).ok()?,
        falls: falls.into_iter().filter_map(|(from, to)| fall(from, to)).collect(),
        trades: counts.total_trades,
        loss_streak: counts.loss_streak,
        per_symbol: counts.per_symbol.into_iter().collect(),
        asof: asof.map(|time| time.micros()),
    })
}
