//! A closed trade: what it was and what came of it.

use compact_str::CompactString;
use rust_decimal::Decimal;

use super::entry::{Fields, Kind};
use crate::domain::clock::Timestamp;
use crate::domain::money::usable;
use crate::domain::risk::session::Session;

/// The type of the trades that a breakout signal led to.
pub const BREAKOUT: &str = "breakout";

/// A closed trade. Amounts that are too large to be counted with are `None`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trade {
    /// In what.
    pub symbol: CompactString,
    /// What closed it, in lower case: `breakout`, `equity_close`, `stop_loss` or `choppy_day_close`.
    pub trade_type: CompactString,
    /// The breakout's direction, in lower case.
    pub direction: Option<CompactString>,
    /// Price of one when it was opened.
    pub entry_price: Option<Decimal>,
    /// Price of one when it was closed.
    pub exit_price: Option<Decimal>,
    /// How much, as it was given.
    pub quantity: Option<Decimal>,
    /// Its result: as given, else (exit - entry) x quantity by its side.
    pub pnl: Option<Decimal>,
    /// Slippage as given; above zero is to the trade's disadvantage.
    pub slippage: Option<Decimal>,
    /// Strength of the bar that led to it, 0 to 1.
    pub bar_strength: Option<Decimal>,
    /// Why it was closed.
    pub exit_reason: Option<String>,
    /// When it was opened.
    pub entry: WrittenTime,
    /// When it was closed: the time that it counts for.
    pub exit: WrittenTime,
}

/// A time as its engine wrote it, and the instant that it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenTime {
    /// As it was written.
    pub text: String,
    /// The instant.
    pub at: Timestamp,
}

impl WrittenTime {
    /// The instant of `text`, which may be local to the session's time zone; one that never was there, since clocks were set
    /// ahead over it, is `otherwise`.
    #[must_use]
    pub fn read(text: &str, session: &Session, otherwise: Timestamp) -> Self {
        let local = || Timestamp::parse_local(text, session.timezone()).ok().flatten();
        let at = Timestamp::parse(text).ok().or_else(local).unwrap_or(otherwise);
        Self { text: text.to_owned(), at }
    }
}

/// On which side of the market a trade was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// It was bought first.
    Long,
    /// It was sold first.
    Short,
}

impl Side {
    /// The side of a trade: `downward` and `reverse_downward` are short, the other directions long. Without a direction a
    /// quantity below zero is short; with one the quantity counts by its size.
    #[must_use]
    pub fn of(direction: Option<&str>, quantity: Option<Decimal>) -> Self {
        let is_short = match direction {
            Some(direction) => direction.ends_with("downward"),
            None => quantity.is_some_and(|quantity| quantity < Decimal::ZERO),
        };
        if is_short { Self::Short } else { Self::Long }
    }

    /// How far `fill` is from `signal`; above zero is to the disadvantage of a trade on this side.
    #[must_use]
    pub fn slippage(self, signal: Decimal, fill: Decimal) -> Option<Decimal> {
        self.signed(fill.checked_sub(signal)?)
    }

    fn signed(self, gain: Decimal) -> Option<Decimal> {
        usable(if self == Self::Short { -gain } else { gain })
    }
}

impl Trade {
    pub(super) fn read(fields: &Fields<'_>) -> Option<Kind> {
        let (entry_price, exit_price) = (fields.amount("entry_price"), fields.amount("exit_price"));
        let quantity = fields.amount("quantity");
        let direction = fields.word("direction");
        let side = Side::of(direction.as_deref(), quantity);
        let computed = || {
            let gain = exit_price?.checked_sub(entry_price?)?;
            side.signed(gain.checked_mul(quantity?.abs())?)
        };
        // a result that is given but too large is not known, and not for us to replace
        let is_given = fields.has("pnl");
        let time = |name: &str| WrittenTime::read(&fields.text(name).unwrap_or_default(), fields.session, fields.at);
        Some(Kind::Trade(Box::new(Self {
            symbol: CompactString::new(fields.text("symbol")?),
            trade_type: fields.word("trade_type")?,
            direction,
            entry_price,
            exit_price,
            quantity,
            pnl: if is_given { fields.amount("pnl") } else { computed() },
            slippage: fields.amount("slippage"),
            bar_strength: fields.amount("bar_strength"),
            exit_reason: fields.text("exit_reason").map(std::borrow::Cow::into_owned),
            entry: time("entry_time"),
            exit: time("exit_time"),
        })))
    }

    /// Its side.
    #[must_use]
    pub fn side(&self) -> Side {
        Side::of(self.direction.as_deref(), self.quantity)
    }
}
