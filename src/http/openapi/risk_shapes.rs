//! The shapes of what is said of risk and written by hand, and of what operators send.

use std::collections::BTreeMap;

use utoipa::ToSchema;

use crate::domain::risk::kill_switch::TradingState;

/// The limits in force.
#[derive(Debug, ToSchema)]
#[schema(as = RiskLimits, example = json!({
    "max_daily_loss_rupees": 5000, "max_daily_drawdown_pct": 5, "max_trades_per_day": 20, "max_trades_per_symbol_per_day": 5,
    "max_loss_streak": 4,
    "source": {"max_daily_loss_rupees": "override", "max_daily_drawdown_pct": "base", "max_trades_per_day": "base",
               "max_trades_per_symbol_per_day": "base", "max_loss_streak": "base"},
    "updated_at": "2025-11-18T07:55:41.345678Z", "updated_by": "alice",
    "overrides_file": {"status": "ok", "other_keys": []}
}))]
pub struct LimitsBody {
    /// The limits, and where each comes from.
    #[serde(flatten)]
    pub limits: LimitValues,
    /// When they last changed.
    #[schema(format = DateTime)]
    pub updated_at: String,
    /// Who changed them: an operator, `file` or `config`; null when nobody has.
    #[schema(required)]
    pub updated_by: Option<String>,
    /// How the overrides file is.
    pub overrides_file: OverridesFile,
}

/// The values of the limits. A limit is breached when its figure is greater.
#[derive(Debug, ToSchema)]
#[schema(as = RiskLimitValues)]
pub struct LimitValues {
    /// Largest loss of the trading day, in the account's currency.
    pub max_daily_loss_rupees: f64,
    /// Largest fall of the day's equity from its peak, in percent of the peak.
    pub max_daily_drawdown_pct: f64,
    /// Most trades of the day.
    pub max_trades_per_day: f64,
    /// Most trades of the day in one symbol.
    pub max_trades_per_symbol_per_day: f64,
    /// Most losing trades in a row.
    pub max_loss_streak: f64,
    /// Where each comes from.
    pub source: BTreeMap<String, LimitSource>,
}

/// Where a limit comes from.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "lowercase")]
pub enum LimitSource {
    /// The configuration.
    Base,
    /// The overrides file.
    Override,
}

/// How the file with the overrides is.
#[derive(Debug, ToSchema)]
pub struct OverridesFile {
    /// `ok`, `missing`, `malformed` or `unreadable`.
    #[schema(example = "ok")]
    pub status: String,
    /// Keys of other tools in it, which are kept.
    #[schema(nullable = false)]
    pub other_keys: Option<Vec<String>>,
    /// What is wrong with it.
    #[schema(nullable = false)]
    pub detail: Option<String>,
    /// Since when.
    #[schema(nullable = false)]
    pub since: Option<String>,
}

/// A change of some limits; at least one. A number sets an override, `null` takes it back.
#[derive(Debug, ToSchema)]
#[schema(as = RiskLimitsPatch, min_properties = 1, example = json!({"max_daily_loss_rupees": 5000, "max_loss_streak": null}))]
#[serde(deny_unknown_fields)]
pub struct LimitsPatch {
    /// In the account's currency.
    #[schema(minimum = 0.000001, maximum = 1_000_000_000_000_000_u64)]
    pub max_daily_loss_rupees: Option<f64>,
    /// In percent.
    #[schema(minimum = 0.000001, maximum = 100)]
    pub max_daily_drawdown_pct: Option<f64>,
    /// A whole number.
    #[schema(minimum = 1, maximum = 1_000_000_000_000_000_u64)]
    pub max_trades_per_day: Option<u64>,
    /// A whole number.
    #[schema(minimum = 1, maximum = 1_000_000_000_000_000_u64)]
    pub max_trades_per_symbol_per_day: Option<u64>,
    /// A whole number.
    #[schema(minimum = 1, maximum = 1_000_000_000_000_000_u64)]
    pub max_loss_streak: Option<u64>,
}

/// The history of the limits.
#[derive(Debug, ToSchema)]
#[schema(as = RiskLimitsHistory)]
pub struct LimitsHistory {
    /// Newest last.
    pub history: Vec<LimitsHistoryLine>,
    /// How many these are.
    pub count: u64,
    /// Lines of the file that cannot be read.
    pub broken_lines: u64,
}

/// Somebody changed the limits.
#[derive(Debug, ToSchema)]
#[schema(as = RiskLimitsChange)]
pub struct LimitsHistoryLine {
    /// When.
    #[schema(format = DateTime)]
    pub timestamp: String,
    /// Who: an operator, `file` or `config`.
    pub actor: String,
    /// What.
    pub changes: Vec<LimitChange>,
    /// The limits from then on.
    pub limits: LimitValues,
    /// The change's number.
    pub seq: u64,
}

/// One limit before and after.
#[derive(Debug, ToSchema)]
pub struct LimitChange {
    /// Which.
    #[schema(example = "max_loss_streak")]
    pub field: String,
    /// Its value before.
    pub old: f64,
    /// Its value from then on.
    pub new: f64,
    /// Where the old one came from.
    pub old_source: LimitSource,
    /// Where the new one comes from.
    pub source: LimitSource,
}

/// An operator's order to the kill switch.
#[derive(Debug, ToSchema)]
#[schema(example = json!({"state": "halted", "reason": "fat finger", "actor": "alice"}))]
#[serde(deny_unknown_fields)]
pub struct KillSwitchCommand {
    /// What engines may do from now on.
    pub state: TradingState,
    /// Why.
    #[schema(min_length = 1, max_length = 500, pattern = r"\S")]
    pub reason: String,
    /// Who; the header `X-Actor`, else the sender's address, if absent. `file`, `config`, `plimsoll` and `risk_evaluator` are
    /// taken.
    #[schema(pattern = "^[!-~]{1,64}$")]
    pub actor: Option<String>,
}

/// The history of the kill switch.
#[derive(Debug, ToSchema)]
pub struct KillSwitchHistory {
    /// Newest last.
    pub history: Vec<KillSwitchHistoryLine>,
    /// How many these are.
    pub count: u64,
    /// Lines of the file that cannot be read.
    pub broken_lines: u64,
}

/// The kill switch was moved.
#[derive(Debug, ToSchema)]
pub struct KillSwitchHistoryLine {
    /// What engines may do.
    pub state: TradingState,
    /// What they could do before.
    pub previous: TradingState,
    /// Why.
    pub reason: String,
    /// Who; `plimsoll` when nobody did.
    pub actor: String,
    /// Since when this state holds.
    #[schema(format = DateTime)]
    pub since: String,
    /// When this was said.
    #[schema(format = DateTime)]
    pub timestamp: String,
    /// Its number.
    pub seq: u64,
}
