//! The demo's strategy and its paper account: decisions, orders, fills, trades.

use fastrand::Rng;

use super::market::{Instrument, rounded, to_grid};
use super::simulation::{Drafts, Engine, STRATEGY};
use crate::cli::fields::Object;

/// What the strategy wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Nothing.
    Hold,
    /// To be long.
    Buy,
    /// To be short.
    Sell,
    /// Out, with what was hoped for or for want of a trend.
    Exit,
    /// Out, to lose no more.
    Stop,
}

impl Decision {
    /// As the signal says it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Hold => "HOLD",
            Self::Buy => "BUY",
            Self::Sell => "SELL",
            Self::Exit | Self::Stop => "EXIT",
        }
    }

    /// Why.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Hold => "no_edge",
            Self::Buy => "ema9_above_ema21",
            Self::Sell => "ema9_below_ema21",
            Self::Exit => "trend_faded",
            Self::Stop => "stop_loss",
        }
    }
}

/// An open position.
#[derive(Debug, Clone)]
struct Position {
    /// Contracts, below zero when short.
    size: i64,
    entry_price: f64,
    entry_time: String,
    since: u64,
}

/// An order at the exchange.
#[derive(Debug, Clone)]
struct Order {
    id: String,
    /// Contracts to add to the position.
    change: i64,
    /// Contracts filled so far, with the sign of `change`.
    filled: i64,
    /// Why the position is closed, if it is.
    closing: Option<Decision>,
}

/// What the exchange did with an order.
struct Fill {
    closing: Option<Decision>,
    /// Contracts added to the position.
    change: i64,
    price: f64,
}

/// When something happens.
#[derive(Debug, Clone, Copy)]
pub struct Moment<'a> {
    /// In ticks since the start.
    pub tick: u64,
    /// As events say it.
    pub time: &'a str,
}

/// Orders and position of one instrument.
#[derive(Debug, Clone, Default)]
pub struct Book {
    position: Option<Position>,
    order: Option<Order>,
    /// Since when there was nothing.
    idle_since: u64,
}

impl Book {
    /// Whether there is a position.
    pub fn is_open(&self) -> bool {
        self.position.is_some()
    }

    fn unrealized(&self, instrument: &Instrument) -> f64 {
        self.position.as_ref().map_or(0.0, |position| (instrument.price - position.entry_price) * position.size as f64)
    }

    /// What the strategy wants now.
    pub fn decide(&mut self, instrument: &Instrument, tick: u64, rng: &mut Rng) -> Decision {
        let trend = instrument.trend();
        if self.order.is_some() {
            return Decision::Hold;
        }
        let Some(position) = &self.position else {
            let patience = tick.saturating_sub(self.idle_since);
            let wanted = if patience > 16 { 0.0 } else { 1.2 };
            if trend.abs() < wanted || rng.f64() > 0.4 {
                return Decision::Hold;
            }
            return if trend > 0.0 { Decision::Buy } else { Decision::Sell };
        };
        let per_contract = self.unrealized(instrument) / position.size.abs() as f64;
        let age = tick.saturating_sub(position.since);
        let faded = trend * (position.size.signum() as f64) < 0.2;
        self.idle_since = tick;
        if per_contract < -6.0 * instrument.atr {
            Decision::Stop
        } else if age > 12 && (faded || rng.f64() < 0.1) {
            Decision::Exit
        } else {
            Decision::Hold
        }
    }
}

/// The paper account that all books share.
#[derive(Debug, Clone)]
pub struct Account {
    orders: u64,
    realized: f64,
    trades: u64,
    wins: u64,
    max_equity: f64,
    min_equity: f64,
}

const CAPITAL: f64 = 5_000_000.0;
/// Share of a position's value that is held as margin.
const MARGIN: f64 = 0.12;
/// Ticks between two snapshots of the account.
const SNAPSHOT: u64 = 10;

impl Account {
    /// An account with its starting capital.
    pub fn new() -> Self {
        Self { orders: 0, realized: 0.0, trades: 0, wins: 0, max_equity: CAPITAL, min_equity: CAPITAL }
    }

    /// Sends the order that a decision asks for.
    pub fn order(&mut self, instrument: &Instrument, book: &mut Book, decision: Decision, drafts: &mut Drafts) {
        let held = book.position.as_ref().map_or(0, |position| position.size);
        let change = match decision {
            Decision::Hold => return,
            Decision::Buy => 2 * instrument.lot,
            Decision::Sell => -2 * instrument.lot,
            Decision::Exit | Decision::Stop => -held,
        };
        self.orders += 1;
        let closing = Some(decision).filter(|decision| matches!(decision, Decision::Exit | Decision::Stop));
        let order = Order { id: format!("PAPER-{:05}", self.orders), change, filled: 0, closing };
        let payload = order_event(&order, instrument, "created", 0, instrument.price);
        drafts.add(Engine::Execution, "order_event", payload);
        book.order = Some(order);
    }

    /// What the exchange made of the order that is out.
    pub fn settle(&mut self, instrument: &Instrument, book: &mut Book, now: Moment<'_>, rng: &mut Rng, drafts: &mut Drafts) {
        let Some(mut order) = book.order.take() else { return };
        let fate = rng.f64();
        if fate < 0.03 && order.filled == 0 {
            let payload = order_event(&order, instrument, "rejected", 0, instrument.price).text("reason", "margin_check_timeout");
            drafts.add_as("warning", Engine::Execution, "order_event", payload);
            return;
        }
        let slippage = rounded(rng.f64() * 0.2 * instrument.atr);
        let price = to_grid(instrument.price + slippage * order.change.signum() as f64);
        let first_part = order.filled == 0 && fate > 0.85 && order.change.abs() > instrument.lot;
        let now_filled = if first_part { instrument.lot * order.change.signum() } else { order.change - order.filled };
        order.filled += now_filled;
        let status = if first_part { "partially_filled" } else { "filled" };
        let payload = order_event(&order, instrument, status, order.change - order.filled, price)
            .number("slippage", slippage)
            .int("api_latency_ms", rng.i64(8..60));
        drafts.add(Engine::Execution, "order_event", payload);
        let fill = Fill { closing: order.closing, change: now_filled, price };
        self.fill(instrument, book, &fill, now, drafts);
        if first_part {
            book.order = Some(order);
        }
    }

    fn fill(&mut self, instrument: &Instrument, book: &mut Book, fill: &Fill, now: Moment<'_>, drafts: &mut Drafts) {
        let Fill { closing, change, price } = *fill;
        let position = match (closing, book.position.take()) {
            (None, None) => Some(Position { size: change, entry_price: price, entry_time: now.time.to_owned(), since: now.tick }),
            (None, Some(held)) => {
                let size = held.size + change;
                let cost = held.entry_price * held.size as f64 + price * change as f64;
                Some(Position { size, entry_price: rounded(cost / size as f64), ..held })
            }
            (Some(why), Some(held)) => {
                let pnl = rounded((price - held.entry_price) * -change as f64);
                self.realized += pnl;
                self.trades += 1;
                self.wins += u64::from(pnl > 0.0);
                drafts.add(Engine::Execution, "trade_closed", trade_closed(instrument, &held, why, fill, pnl, now.time));
                let size = held.size + change;
                (size != 0).then_some(Position { size, ..held })
            }
            (Some(_), None) => None,
        };
        book.position = position;
        let size = book.position.as_ref().map_or(0, |position| position.size);
        let mut payload = Object::new().text("symbol", instrument.symbol).int("position_size", size);
        if let Some(position) = &book.position {
            payload = payload.number("entry_price", position.entry_price);
        }
        let payload = payload
            .text("strategy", STRATEGY)
            .number("unrealized_pnl", rounded(book.unrealized(instrument)))
            .number("realized_pnl", rounded(self.realized));
        drafts.add(Engine::Execution, "position_event", payload);
    }

    /// The account as a whole: after a trade, and every few ticks.
    pub fn report(&mut self, instruments: &[Instrument], books: &[Book], now: Moment<'_>, drafts: &mut Drafts) {
        let pairs = || instruments.iter().zip(books);
        let unrealized: f64 = pairs().map(|(instrument, book)| book.unrealized(instrument)).sum();
        let equity = CAPITAL + self.realized + unrealized;
        self.max_equity = self.max_equity.max(equity);
        self.min_equity = self.min_equity.min(equity);
        if now.tick % SNAPSHOT == SNAPSHOT / 2 {
            let notional = |(instrument, book): (&Instrument, &Book)| {
                book.position.as_ref().map_or(0.0, |position| instrument.price * position.size.abs() as f64)
            };
            let used: f64 = pairs().map(notional).sum::<f64>() * MARGIN;
            let open = i64::try_from(books.iter().filter(|book| book.is_open()).count()).unwrap_or(0);
            let payload = Object::new()
                .number("account_equity", rounded(equity))
                .number("unrealized_pnl", rounded(unrealized))
                .number("realized_pnl", rounded(self.realized))
                .number("margin_used", rounded(used))
                .number("margin_available", rounded(equity - used))
                .int("open_positions_count", open);
            drafts.add(Engine::Execution, "equity_snapshot", payload);
        }
        if now.tick % (4 * SNAPSHOT) == SNAPSHOT {
            let win_rate = self.wins as f64 / self.trades.max(1) as f64;
            let metrics = Object::new()
                .text("asof", now.time)
                .text("mode", "paper")
                .number("starting_capital", CAPITAL)
                .number("current_equity", rounded(equity))
                .number("total_pnl", rounded(self.realized + unrealized))
                .number("realized_pnl", rounded(self.realized))
                .number("unrealized_pnl", rounded(unrealized))
                .raw("total_trades", &self.trades.to_string())
                .number("win_rate", rounded(win_rate))
                .number("max_equity", rounded(self.max_equity))
                .number("min_equity", rounded(self.min_equity));
            drafts.add(Engine::Execution, "performance_update", Object::new().object("metrics", metrics));
        }
    }
}

fn order_event(order: &Order, instrument: &Instrument, status: &str, remaining: i64, price: f64) -> Object {
    Object::new()
        .text("order_id", &order.id)
        .text("symbol", instrument.symbol)
        .text("side", if order.change > 0 { "BUY" } else { "SELL" })
        .text("status", status)
        .int("qty", order.change.abs())
        .int("remaining_qty", if status == "created" { order.change.abs() } else { remaining.abs() })
        .number("price", price)
        .text("order_type", "MARKET")
        .text("strategy", STRATEGY)
        .text("mode", "paper")
}

fn trade_closed(instrument: &Instrument, held: &Position, why: Decision, fill: &Fill, pnl: f64, now: &str) -> Object {
    Object::new()
        .text("symbol", instrument.symbol)
        .text("trade_type", if why == Decision::Stop { "stop_loss" } else { "breakout" })
        .text("direction", if held.size > 0 { "upward" } else { "downward" })
        .number("entry_price", held.entry_price)
        .number("exit_price", fill.price)
        .int("quantity", fill.change.abs())
        .text("entry_time", &held.entry_time)
        .text("exit_time", now)
        .number("pnl", pnl)
        .text("exit_reason", why.reason())
        .text("strategy", STRATEGY)
}
