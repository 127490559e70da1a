//! The status as gauges: what is known of each limit and figure, as numbers.

use compact_str::CompactString;
use rust_decimal::Decimal;

use super::{LimitView, Standing, Status};
use crate::domain::risk::limits::LimitKind;

/// A limit and its figure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitGauge {
    /// The limit's `type` in the API.
    pub limit: &'static str,
    /// Of a limit for each symbol the symbol which is nearest to it.
    pub symbol: Option<CompactString>,
    /// The unit of its values.
    pub unit: &'static str,
    /// What must not be exceeded.
    pub value: Decimal,
    /// The figure; of a limit for each symbol that of the symbol which is nearest to it.
    pub current: Option<Decimal>,
    /// The worst standing.
    pub standing: Standing,
}

impl LimitGauge {
    /// The figure as a share of the limit: 1 is all of it.
    #[must_use]
    pub fn utilization(&self) -> Option<Decimal> {
        self.current?.checked_div(self.value).map(|share| share.round_dp(10).normalize())
    }
}

impl Standing {
    /// All of them, best first.
    pub const ALL: [Self; 4] = [Self::Ok, Self::Warning, Self::Unknown, Self::Breached];

    /// Its word in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Unknown => "unknown",
            Self::Breached => "breached",
        }
    }
}

impl Status {
    /// Whether the journal is still being read: figures are not the day's then.
    #[must_use]
    pub fn is_rebuilding(&self) -> bool {
        self.rebuilding
    }

    /// Whether new positions may be opened.
    #[must_use]
    pub fn allows_new_positions(&self) -> bool {
        self.trading.new_positions_allowed
    }

    /// The limits, in the order of the API.
    #[must_use]
    pub fn limit_gauges(&self) -> Vec<LimitGauge> {
        LimitKind::ALL.into_iter().filter_map(|kind| self.limit_gauge(kind)).collect()
    }

    fn limit_gauge(&self, kind: LimitKind) -> Option<LimitGauge> {
        let views = || self.limits.iter().filter(|view| view.field == kind.field());
        let LimitView { r#type, unit, limit, current, symbol, .. } = views().max_by_key(|view| view.current)?;
        let standing = views().map(|view| view.state).max()?;
        let (symbol, current) = (symbol.clone(), current.map(|number| number.0));
        Some(LimitGauge { limit: r#type, symbol, unit, value: limit.0, current, standing })
    }

    /// The figures that are known: name in the API, value, and age in seconds.
    pub fn figure_gauges(&self) -> impl Iterator<Item = (&'static str, Decimal, Option<Decimal>)> {
        let known = |(name, view): (&&'static str, &super::FigureView)| {
            Some((*name, view.value?.0, view.basis.age_seconds.map(|age| age.0)))
        };
        self.figures.iter().filter_map(known)
    }
}
