//! `risk:`

use std::path::{Path, PathBuf};
use std::time::Duration;

use rust_decimal::Decimal;

use super::reader::Reader;
use crate::domain::risk::kill_switch::TradingState;
use crate::domain::risk::limits::{LimitKind, Limits};

/// `risk:`: what must not go under.
#[derive(Debug, Clone)]
pub struct Risk {
    /// The limits unless an override says otherwise.
    pub limits: Limits,
    /// The file of overrides; unless it is named, `risk_overrides.yaml` beside the configuration.
    pub overrides_file: PathBuf,
    /// From this utilisation on, in percent, a limit is in its warning band.
    pub warn_at_pct: Decimal,
    /// Below this utilisation, in percent, it has left it.
    pub calm_below_pct: Decimal,
    /// Whether the daily loss counts open positions.
    pub include_unrealized: bool,
    /// Where the day's equity starts when no engine says so.
    pub starting_capital: Option<Decimal>,
    /// A figure without news for so long is not fresh.
    pub stale_after: Duration,
    /// Whether the daily files hold running totals instead of each day's own figures.
    pub cumulative_daily_metrics: bool,
    /// What a breach of each limit makes of the trading state.
    pub on_breach: Vec<(LimitKind, TradingState)>,
    /// What an engine's own `kill_switch_triggered` makes of it.
    pub on_engine_kill: Option<TradingState>,
    /// Bytes of findings that wait for their commit.
    pub queue_bytes: usize,
    /// Clients that may wait for a change of the kill switch.
    pub kill_switch_waiters: usize,
    /// Threads that compute VaR.
    pub var_threads: usize,
    /// Questions of VaR that may wait for them.
    pub var_queue: usize,
    /// Answers of VaR that are remembered.
    pub var_cache: usize,
}

/// Name of the overrides file beside the configuration.
const OVERRIDES: &str = "risk_overrides.yaml";

/// The word for no reaction.
const NOTHING: &str = "nothing";

impl Risk {
    pub(super) fn read(r: &mut Reader) -> Self {
        let has_alias = r.names("risk").contains(&LimitKind::MaxDailyLoss.breach_type().to_owned());
        let limits = Limits::from_fn(|kind| {
            let is_first = kind == LimitKind::MaxDailyLoss;
            let mut path = format!("risk.{}", if is_first { "max_daily_loss_abs" } else { kind.breach_type() });
            let mut value = r.decimal(&path, default_limit(kind));
            if is_first && has_alias {
                path = format!("risk.{}", kind.breach_type());
                value = r.decimal(&path, value);
            }
            kind.check(value).unwrap_or_else(|expected| {
                r.fault(&path, expected);
                default_limit(kind)
            })
        });
        let warn_at_pct = r.decimal("risk.warn_at_pct", Decimal::from(80));
        let calm_below_pct = r.decimal("risk.calm_below_pct", Decimal::from(75));
        if calm_below_pct <= Decimal::ZERO || calm_below_pct > warn_at_pct || warn_at_pct >= Decimal::ONE_HUNDRED {
            r.fault("risk.warn_at_pct", "must be below 100, and not below risk.calm_below_pct, which must be above 0");
        }
        let starting_capital = r.decimal("risk.starting_capital", Decimal::ZERO);
        if starting_capital < Decimal::ZERO {
            r.fault("risk.starting_capital", "must not be negative");
        }
        let reactions = [NOTHING, "reducing", "halted"];
        let mut on_breach = Vec::new();
        for kind in LimitKind::ALL {
            let state = r.one_of(&format!("risk.on_breach.{}", kind.breach_type()), &reactions).parse();
            on_breach.extend(state.map(|state| (kind, state)));
        }
        Self {
            limits,
            overrides_file: r.text("risk.overrides_file", "").into(),
            warn_at_pct,
            calm_below_pct,
            include_unrealized: r.flag("risk.include_unrealized", true),
            starting_capital: (starting_capital > Decimal::ZERO).then_some(starting_capital),
            stale_after: r.duration("risk.stale_after", Duration::from_secs(300)),
            cumulative_daily_metrics: r.one_of("risk.daily_metrics", &["per_day", "cumulative"]) == "cumulative",
            on_breach,
            on_engine_kill: r.one_of("risk.on_engine_kill", &reactions).parse().ok(),
            queue_bytes: r.size("risk.queue_bytes", 4 << 20, 1 << 20),
            kill_switch_waiters: r.count("risk.kill_switch_waiters", 1_000, 1..=1_000_000),
            var_threads: r.count("risk.var_threads", 1, 1..=64),
            var_queue: r.count("risk.var_queue", 64, 1..=100_000),
            var_cache: r.count("risk.var_cache", 256, 1..=100_000),
        }
    }

    /// Unless the file of overrides is named, it is beside the configuration `config`.
    pub(super) fn beside(&mut self, config: &Path) {
        if self.overrides_file.as_os_str().is_empty() {
            self.overrides_file = config.with_file_name(OVERRIDES);
        }
    }
}

fn default_limit(kind: LimitKind) -> Decimal {
    Decimal::from(match kind {
        LimitKind::MaxDailyLoss => 10_000,
        LimitKind::MaxDailyDrawdownPct => 5,
        LimitKind::MaxTradesPerDay => 20,
        LimitKind::MaxTradesPerSymbolPerDay => 5,
        LimitKind::MaxLossStreak => 4,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn daily_loss(yaml: &str, environment: &[(&str, &str)]) -> Result<Decimal, Vec<String>> {
        let overrides: Vec<_> = environment.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let mut reader = Reader::new(yaml, &overrides);
        let risk = Risk::read(&mut reader);
        reader.finish().map(|()| risk.limits.get(LimitKind::MaxDailyLoss))
    }

    #[test]
    fn the_daily_loss_has_two_names_and_the_environment_may_use_either() {
        let loss = |n: i64| Ok(Decimal::from(n));
        assert_eq!(daily_loss("risk: {max_daily_loss_abs: 700}", &[]), loss(700));
        assert_eq!(daily_loss("risk: {max_daily_loss: 600}", &[]), loss(600));
        assert_eq!(daily_loss("risk: {max_daily_loss_abs: 700}", &[("risk.max_daily_loss", "500")]), loss(500));
        let faults = daily_loss("risk: {max_daily_loss: -1, max_loss_streak: 1.5}", &[]).expect_err("refused");
        assert!(faults[0].starts_with("risk.max_daily_loss:") && faults[1].starts_with("risk.max_loss_streak:"), "{faults:?}");
    }
}
