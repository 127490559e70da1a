//! `GET /api/v1/trades/{profile_id}`: the closed trades themselves.

use actix_web::{HttpRequest, HttpResponse, web};
use rust_decimal::Decimal;
use serde::Serialize;

use super::performance::DEFAULT_DAYS;
use super::{Window, answer_of, profile_id};
use crate::domain::money::{Number, percent, usable};
use crate::http::answer::Answer;
use crate::http::openapi::errors;
use crate::http::problem::Problem;
use crate::http::query::Params;
use crate::http::state::State;
use crate::storage::ledger::KeptTrade;

/// Trades when no limit is given, and at most.
const LIMITS: (usize, usize) = (100, 1_000);

/// A closed trade. Amounts are in the account's currency; what is not known is null, and so is an amount of more than 10^15.
/// Amounts are counted in whole multiples of 10^-12.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Trade {
    /// Id of the event that told of it.
    pub id: String,
    /// Whose.
    pub profile_id: i64,
    /// In what.
    pub symbol: String,
    /// What closed it: `breakout`, `equity_close`, `stop_loss` or `choppy_day_close`.
    pub trade_type: String,
    /// The breakout's direction: `upward`, `downward`, `reverse_upward` or `reverse_downward`.
    #[schema(required)]
    pub direction: Option<String>,
    /// Price of one when it was opened.
    #[schema(required, value_type = Option<f64>)]
    pub entry_price: Option<Number>,
    /// Price of one when it was closed.
    #[schema(required, value_type = Option<f64>)]
    pub exit_price: Option<Number>,
    /// How much, as it was given.
    #[schema(required, value_type = Option<f64>)]
    pub quantity: Option<Number>,
    /// Its result: as given, else (exit - entry) x quantity by its side.
    #[schema(required, value_type = Option<f64>)]
    pub pnl: Option<Number>,
    /// The same in percent of what was paid for it, entry price x quantity.
    #[schema(required, value_type = Option<f64>)]
    pub pnl_pct: Option<Number>,
    /// Slippage in units of price, above zero to its disadvantage: as given, else its fill against the signal's price.
    #[schema(required, value_type = Option<f64>)]
    pub slippage: Option<Number>,
    /// Strength of the bar that led to it, 0 to 1.
    #[schema(required, value_type = Option<f64>)]
    pub bar_strength: Option<Number>,
    /// Why it was closed.
    #[schema(required)]
    pub exit_reason: Option<String>,
    /// When it was opened: UTC, RFC 3339.
    #[schema(format = DateTime)]
    pub entry_time: String,
    /// When it was closed: UTC, RFC 3339.
    #[schema(format = DateTime)]
    pub exit_time: String,
    /// Seconds between the two; null if it was closed before it was opened.
    #[schema(required, value_type = Option<f64>)]
    pub duration_seconds: Option<Number>,
}

impl Trade {
    fn of(profile_id: i64, trade: KeptTrade) -> Self {
        let paid = trade.entry_price.zip(trade.quantity).and_then(|(price, quantity)| price.checked_mul(quantity.abs()));
        let pnl_pct = trade.pnl.zip(paid).and_then(|(pnl, paid)| usable(percent(pnl, paid)?));
        let micros = trade.exit_at.micros() - trade.entry_at.micros();
        let number = |amount: Option<Decimal>| amount.map(Number);
        Self {
            id: trade.id.to_string(),
            profile_id,
            symbol: trade.symbol.into(),
            trade_type: trade.trade_type.into(),
            direction: trade.direction.map(Into::into),
            entry_price: number(trade.entry_price),
            exit_price: number(trade.exit_price),
            quantity: number(trade.quantity),
            pnl: number(trade.pnl),
            pnl_pct: number(pnl_pct),
            slippage: number(trade.slippage),
            bar_strength: number(trade.bar_strength),
            exit_reason: trade.exit_reason,
            entry_time: trade.entry_at.to_string(),
            exit_time: trade.exit_at.to_string(),
            duration_seconds: (micros >= 0).then(|| Number(Decimal::new(micros, 6))),
        }
    }
}

/// The closed trades.
///
/// The latest exit first (of equal ones, the later event); of more than `limit` the latest are given. A trade counts for the
/// trading day of its exit. A profile without trades has an empty list; a trade whose event names no `profile_id` is no profile's
/// (`without_profile` in `/health` counts such events). A trade is counted once by the id of its event: a copy with the same
/// `event_id` is no event of its own within `telemetry.dedup_window`, as long as the journal has the first.
///
/// # Errors
/// Faults of the path or the query, or the ledger cannot answer now.
#[utoipa::path(
    get,
    path = "/api/v1/trades/{profile_id}",
    operation_id = "list_trades",
    tag = "trades",
    summary = "Closed trades, the latest first",
    params(
        ("profile_id" = i64, Path, description = "The profile, as in the events' `profile_id`."),
        ("days" = Option<u32>, Query, minimum = 1, maximum = 365, description = "Trading days, the last of which is `as_of` (default 30)."),
        ("symbol" = Option<String>, Query, description = "Only trades in this symbol, exactly as it was posted."),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "Most trades (default 100)."),
        ("as_of" = Option<String>, Query, format = Date, description = "A date of the session's time zone (default: today's trading day).")
    ),
    responses(
        (status = 200, description = "The trades, the latest first.", headers(
            ("Complete-From" = String, description = "Only when the ledger is known to lack some of this: all that arrived from this time on is in it (UTC, RFC 3339).")
        ), body = Vec<Trade>, example = json!([{
            "id": "1763452541345-0", "profile_id": 1, "symbol": "SPY", "trade_type": "breakout", "direction": "upward",
            "entry_price": 480.1, "exit_price": 481.6, "quantity": 10, "pnl": 15, "pnl_pct": 0.31243490939,
            "slippage": 0.05, "bar_strength": 0.82, "exit_reason": "profit_target",
            "entry_time": "2025-11-18T07:43:41.000000Z", "exit_time": "2025-11-18T07:55:41.000000Z", "duration_seconds": 720
        }])),
        errors::Query,
        errors::Unavailable,
    )
)]
pub async fn list(request: HttpRequest, state: web::Data<State>) -> Result<HttpResponse, Problem> {
    let profile_id = profile_id(&request)?;
    let mut params = Params::of(&request)?;
    let window = Window::read(&mut params, &state, DEFAULT_DAYS);
    let limit = params.number("limit", 1..=LIMITS.1).unwrap_or(LIMITS.0);
    let symbol = params.text("symbol").map(str::to_owned);
    params.finish()?;
    let found = state.ledger.trades(profile_id, window.span, symbol, limit).await?;
    let trades: Vec<Trade> = found.into_iter().map(|trade| Trade::of(profile_id, trade)).collect();
    let json = serde_json::to_vec(&trades).map_err(|_| Problem::Internal)?;
    let answer = Answer::new(json.len(), &state.answer_memory, |out| out.extend_from_slice(&json))?;
    Ok(answer_of(&state, window.span.start).content_type("application/json").body(answer))
}
