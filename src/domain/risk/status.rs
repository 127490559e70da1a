//! How the day stands: every limit with its figure, how old that is, and whether new positions may be opened.
//!
//! It fails closed: they may only while trading is active, nothing is breached, and every figure is known and fresh.

mod gauges;

use std::collections::BTreeMap;
use std::time::Duration;

use compact_str::CompactString;
use rust_decimal::Decimal;
use serde::Serialize;
use utoipa::ToSchema;

use super::breach::{Key, Monitor};
use super::counts::Uncounted;
use super::figures::{Figure, Figures};
use super::kill_switch::{Position, TradingState};
use super::limits::{LimitKind, Limits};
use super::state::DayState;
use crate::domain::clock::Timestamp;
use crate::domain::money::{Number, percent};
pub use gauges::LimitGauge;

/// So many symbols are listed, those that are nearest to their limit first.
const MAX_SYMBOLS: usize = 1_000;
/// Places of figures in answers.
const PLACES: u32 = 10;

/// How a limit stands. Later ones are worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// Within.
    Ok,
    /// In its warning band.
    Warning,
    /// The figure is missing, or too old to be believed.
    Unknown,
    /// Over it.
    Breached,
}

/// An engine's own word that it stopped trading.
#[derive(Debug, Clone, Serialize, PartialEq, Eq, ToSchema)]
pub struct EngineKill {
    /// The event.
    pub id: String,
    /// Which engine.
    #[schema(required, value_type = Option<String>)]
    pub source: Option<CompactString>,
    /// When it said so.
    pub timestamp: String,
    /// Why, if it said.
    #[schema(required)]
    pub reason: Option<String>,
}

/// What a status is made of, besides the kill switch.
#[derive(Debug)]
pub struct View<'a> {
    /// The day.
    pub day: &'a DayState,
    /// What is breached.
    pub monitor: &'a Monitor,
    /// The limits.
    pub limits: &'a Limits,
    /// A figure without news for longer is stale.
    pub stale_after: Duration,
    /// Whether the journal is still being read.
    pub rebuilding: bool,
    /// Whether the journal no longer has all of the day.
    pub partial: bool,
    /// Whether an internal error may have left something of the day out.
    pub hurt: bool,
    /// The newest word of an engine that it stopped.
    pub engine_kill: Option<&'a EngineKill>,
    /// The time.
    pub now: Timestamp,
}

/// How the day stands: every limit with its figure, and whether new positions may be opened.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = RiskStatus)]
pub struct Status {
    /// When this was judged.
    #[schema(format = DateTime)]
    asof: String,
    /// The trading day.
    #[schema(format = Date)]
    trading_day: String,
    /// When it began.
    #[schema(format = DateTime)]
    day_started_at: String,
    /// When the next one begins.
    #[schema(format = DateTime)]
    next_roll_at: String,
    /// Whether the day is still being read from the journal.
    rebuilding: bool,
    /// The worst of the limits.
    state: Standing,
    trading: Trading,
    /// The newest word of an engine that it stopped trading.
    #[schema(required)]
    engine_kill_switch: Option<EngineKill>,
    /// Each limit; of the limit of a symbol one a symbol that was traded, those that are nearest to it first.
    limits: Vec<LimitView>,
    /// The figures behind them.
    #[schema(value_type = BTreeMap<String, FigureView>)]
    figures: BTreeMap<&'static str, FigureView>,
    /// Trades of the day by symbol.
    #[schema(value_type = BTreeMap<String, u64>)]
    trades_per_symbol: BTreeMap<CompactString, u64>,
    uncounted: Uncounted,
    /// Facts that named no source; they are taken as one account's.
    sourceless: u64,
}

/// Whether engines may trade.
#[derive(Debug, Clone, Serialize, ToSchema)]
struct Trading {
    /// What the kill switch says.
    #[schema(value_type = TradingState)]
    state: &'static str,
    /// Why it stands so.
    reason: String,
    /// Who moved it.
    actor: String,
    /// Since when it stands so.
    #[schema(format = DateTime)]
    since: String,
    /// Whether new positions may be opened.
    new_positions_allowed: bool,
    /// Why not, one sentence each, with what to do.
    reasons: Vec<String>,
}

/// How a limit stands.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = LimitStanding)]
struct LimitView {
    /// The type of its breaches.
    #[schema(example = "max_daily_loss")]
    r#type: &'static str,
    /// Its name among the limits.
    #[schema(example = "max_daily_loss_rupees")]
    field: &'static str,
    /// Its value.
    #[schema(value_type = f64)]
    limit: Number,
    /// Its figure.
    #[schema(required, value_type = Option<f64>)]
    current: Option<Number>,
    /// What is left of it; below 0 when it is breached.
    #[schema(required, value_type = Option<f64>)]
    headroom: Option<Number>,
    /// How much of it is used, in percent.
    #[schema(required, value_type = Option<f64>)]
    utilization_pct: Option<Number>,
    /// `rupees`, `percent`, `trades` or `losses`.
    unit: &'static str,
    state: Standing,
    /// The symbol that it is about.
    #[schema(required, value_type = Option<String>)]
    symbol: Option<CompactString>,
    #[serde(flatten)]
    basis: BasisView,
}

/// A figure of the day.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = RiskFigure)]
struct FigureView {
    /// In the account's currency, percent or a count.
    #[schema(required, value_type = Option<f64>)]
    value: Option<Number>,
    #[serde(flatten)]
    basis: BasisView,
}

/// What a figure is based on, and how old that is.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = FigureBasis)]
struct BasisView {
    /// What it is based on.
    #[schema(required)]
    source: Option<&'static str>,
    /// When that was told.
    #[schema(required, format = DateTime)]
    asof: Option<String>,
    /// How old that is, in seconds.
    #[schema(required, value_type = Option<f64>)]
    age_seconds: Option<Number>,
    /// Whether it is too old to be believed.
    stale: bool,
}

impl View<'_> {
    /// The status when the kill switch says `switch`.
    #[must_use]
    pub fn status(&self, switch: Position) -> Status {
        let figures = self.day.figures();
        let limits = self.limit_views(&figures);
        let worst = limits.iter().map(|limit| limit.state).max().unwrap_or(Standing::Unknown);
        let worst = if self.is_complete() { worst } else { worst.max(Standing::Unknown) };
        let day = self.day.day();
        Status {
            asof: self.now.to_string(),
            trading_day: day.date.to_string(),
            day_started_at: day.start.to_string(),
            next_roll_at: day.end.to_string(),
            rebuilding: self.rebuilding,
            state: worst,
            trading: self.trading(switch, &limits),
            engine_kill_switch: self.engine_kill.cloned(),
            limits,
            figures: self.figure_views(&figures),
            trades_per_symbol: self
                .day
                .symbols()
                .into_iter()
                .map(|symbol| (symbol.clone(), self.day.trades_in(&symbol)))
                .collect(),
            uncounted: self.day.uncounted(),
            sourceless: self.day.sourceless(),
        }
    }

    fn is_complete(&self) -> bool {
        let lost = self.day.uncounted().beyond_capacity + self.day.unread();
        !self.rebuilding && !self.partial && !self.hurt && lost == 0 && self.day.unmarked() == 0
    }

    fn limit_views(&self, figures: &Figures) -> Vec<LimitView> {
        let mut views = Vec::new();
        for kind in LimitKind::ALL {
            let figure = match kind {
                LimitKind::MaxDailyLoss => figures.daily_pnl,
                LimitKind::MaxDailyDrawdownPct => figures.drawdown_pct,
                LimitKind::MaxTradesPerDay | LimitKind::MaxTradesPerSymbolPerDay => figures.trades,
                LimitKind::MaxLossStreak => figures.loss_streak,
            };
            if kind == LimitKind::MaxTradesPerSymbolPerDay {
                views.extend(self.symbol_views(kind, figure));
            } else {
                views.push(self.limit_view(kind, None, figure.with(self.day.current(kind, None))));
            }
        }
        views
    }

    /// One for each symbol that was traded; one of no symbol when there is none.
    fn symbol_views(&self, kind: LimitKind, figure: Figure) -> Vec<LimitView> {
        let mut symbols: Vec<_> = self.day.symbols().into_iter().map(|symbol| (self.day.trades_in(&symbol), symbol)).collect();
        symbols.sort_by(|(one, a), (other, b)| other.cmp(one).then_with(|| a.cmp(b)));
        if symbols.is_empty() {
            return vec![self.limit_view(kind, None, figure)];
        }
        let nearest = symbols.into_iter().take(MAX_SYMBOLS);
        nearest.map(|(count, symbol)| self.limit_view(kind, Some(symbol), figure.with(Some(count.into())))).collect()
    }

    fn limit_view(&self, kind: LimitKind, symbol: Option<CompactString>, figure: Figure) -> LimitView {
        let limit = self.limits.get(kind);
        let basis = self.basis_view(figure);
        let key = Key { kind, symbol };
        let state = match figure.value {
            Some(_) if self.monitor.is_breached(&key) => Standing::Breached,
            None => Standing::Unknown,
            Some(_) if basis.stale => Standing::Unknown,
            Some(_) if self.monitor.is_near(&key) => Standing::Warning,
            Some(_) => Standing::Ok,
        };
        let number = |value: Option<Decimal>, places: u32| value.map(|value| Number(value.round_dp(places)));
        LimitView {
            r#type: kind.breach_type(),
            field: kind.field(),
            limit: Number(limit),
            current: number(figure.value, PLACES),
            headroom: number(figure.value.map(|current| limit - current), PLACES),
            utilization_pct: number(figure.value.and_then(|current| percent(current, limit)), 2),
            unit: kind.unit(),
            state,
            symbol: key.symbol,
            basis,
        }
    }

    fn basis_view(&self, figure: Figure) -> BasisView {
        let age = figure.at.map(|at| self.now.micros().saturating_sub(at).max(0));
        let limit = i64::try_from(self.stale_after.as_micros()).unwrap_or(i64::MAX);
        BasisView {
            source: figure.source,
            asof: figure.at.map(|at| Timestamp::from_micros(at).to_string()),
            age_seconds: age.map(|age| Number(Decimal::new(age / 1_000, 3))),
            stale: age.is_none_or(|age| age > limit),
        }
    }

    fn figure_views(&self, figures: &Figures) -> BTreeMap<&'static str, FigureView> {
        let named = [
            ("realized_pnl", figures.realized_pnl),
            ("unrealized_pnl", figures.unrealized_pnl),
            ("daily_pnl", figures.daily_pnl),
            ("equity", figures.equity),
            ("peak_equity", figures.peak_equity),
            ("trough_equity", figures.trough_equity),
            ("drawdown_pct", figures.drawdown_pct),
            ("trades", figures.trades),
            ("loss_streak", figures.loss_streak),
        ];
        let view = |figure: Figure| FigureView {
            value: figure.value.map(|value| Number(value.round_dp(PLACES))),
            basis: self.basis_view(figure),
        };
        named.into_iter().map(|(name, figure)| (name, view(figure))).collect()
    }

    fn trading(&self, switch: Position, limits: &[LimitView]) -> Trading {
        let mut reasons = Vec::new();
        if switch.state != TradingState::Active {
            let state = switch.state.as_str();
            reasons.push(format!("trading is {state}; an operator must re-arm the kill switch"));
        }
        if self.rebuilding {
            reasons.push("the day's figures are being rebuilt from the journal; wait".to_owned());
        }
        if self.partial {
            reasons
                .push("the journal no longer has all of the day; raise journal.max_bytes and wait for the next day".to_owned());
        }
        if self.hurt {
            reasons.push(
                "an internal error may have left something out of the day; see the log, and wait for the next day".to_owned(),
            );
        }
        let unread = self.day.unread();
        if unread > 0 {
            reasons.push(format!(
                "{unread} trades, fills or statements could not be read; correct what the engine sends: \
                its next statement takes the place of one, the rest is missing until the next day"
            ));
        }
        let unmarked = self.day.unmarked();
        if unmarked > 0 {
            reasons.push(format!(
                "the unrealised P&L of {unmarked} open positions is not told; send position_event with unrealized_pnl, \
                or set risk.include_unrealized: false"
            ));
        }
        let uncounted = self.day.uncounted();
        if uncounted.beyond_capacity > 0 {
            let count = uncounted.beyond_capacity;
            reasons.push(format!("{count} events are of more sources and symbols than are counted; send fewer of them"));
        }
        for limit in limits {
            let of = limit.symbol.as_deref().map_or_else(String::new, |symbol| format!(" of {symbol}"));
            let field = limit.field;
            match limit.state {
                Standing::Breached => {
                    reasons.push(format!("{field}{of} is breached; close positions, or have the limit changed"))
                }
                Standing::Unknown if limit.current.is_none() => {
                    reasons.push(format!("the figure of {field}{of} is missing; let an engine report it"));
                }
                Standing::Unknown => {
                    reasons.push(format!("the figure of {field}{of} is stale; see that its engine reports again"))
                }
                Standing::Ok | Standing::Warning => {}
            }
        }
        Trading {
            state: switch.state.as_str(),
            reason: switch.reason,
            actor: switch.actor,
            since: switch.since.to_string(),
            new_positions_allowed: reasons.is_empty(),
            reasons,
        }
    }
}
