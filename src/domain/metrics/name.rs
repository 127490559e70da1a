//! Names of metrics: as they are posted, and as Prometheus reads them.

use std::borrow::Borrow;
use std::fmt;

use compact_str::CompactString;

/// The longest name or prefix, in bytes.
const MAX_NAME: usize = 128;
/// What the service tells of itself begins so.
const OWN: &str = "plimsoll_";
/// Endings that mean something in Prometheus text: parts of a histogram, and a counter.
const RESERVED: [&str; 4] = ["_count", "_sum", "_bucket", "_total"];

/// What a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = MetricKind)]
pub enum Kind {
    /// A sum that only rises.
    Counter,
    /// A figure that goes up and down.
    Gauge,
    /// How many observations were how large.
    Histogram,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Counter, Self::Gauge, Self::Histogram];

    /// The word of the contract.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// What stands before each name in Prometheus text, without the `_` between them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prefix(CompactString);

impl Default for Prefix {
    fn default() -> Self {
        Self(CompactString::const_new("live_trading"))
    }
}

impl Prefix {
    /// Reads a prefix.
    ///
    /// # Errors
    /// Says what it must be.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let text = text.strip_suffix('_').unwrap_or(text);
        let begins = format!("{text}_");
        if !is_name(text) || begins.starts_with(OWN) || begins.starts_with("process_") {
            return Err("must be 1 to 128 of a-z, A-Z, 0-9 and _, not begin with a digit, and not with plimsoll or process");
        }
        Ok(Self(text.into()))
    }

    /// The prefix.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `name` without this prefix, if it carries it.
    #[must_use]
    pub fn strip<'a>(&self, name: &'a str) -> &'a str {
        let rest = name.strip_prefix(self.as_str()).and_then(|rest| rest.strip_prefix('_'));
        rest.filter(|rest| !rest.is_empty()).unwrap_or(name)
    }
}

/// The name of a metric, without the prefix.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MetricName(CompactString);

impl MetricName {
    /// Reads a name as somebody posts it, with or without `prefix`.
    ///
    /// # Errors
    /// Says what it must be.
    ///
    /// ```
    /// use plimsoll::domain::metrics::name::{Kind, MetricName, Prefix};
    /// let prefix = Prefix::parse("live_trading").expect("a prefix");
    /// let name = MetricName::parse("live_trading_positions_count", &prefix).expect("a name");
    /// assert_eq!(name.as_str(), "positions_count");
    /// assert_eq!(name.in_prometheus(Kind::Gauge, &prefix), "live_trading_positions");
    /// ```
    pub fn parse(text: &str, prefix: &Prefix) -> Result<Self, &'static str> {
        if !is_name(text) {
            return Err("must be 1 to 128 of a-z, A-Z, 0-9 and _, and not begin with a digit");
        }
        let bare = prefix.strip(text);
        if text.starts_with(OWN) || bare.starts_with(OWN) {
            return Err("must not begin with plimsoll_: that is what the service tells of itself");
        }
        if !is_name(bare) {
            return Err("must not have a digit right behind the prefix");
        }
        if RESERVED.iter().any(|ending| ending.strip_prefix('_') == Some(bare) || exposed_gauge(bare).is_empty()) {
            return Err("must be more than an ending that Prometheus reserves (count, sum, bucket, total): say of what");
        }
        Ok(Self(bare.into()))
    }

    /// A name that is known to be good.
    pub(super) fn known(name: &'static str) -> Self {
        Self(CompactString::const_new(name))
    }

    /// The name without the prefix.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// How a metric of this name and `kind` reads in Prometheus text, without the prefix: counters end in `_total`, and no
    /// other ends in `_total`, `_count`, `_sum` or `_bucket`, which have a meaning there.
    #[must_use]
    pub fn exposed(&self, kind: Kind) -> CompactString {
        match kind {
            Kind::Counter if self.0.ends_with("_total") => self.0.clone(),
            Kind::Counter => compact_str::format_compact!("{}_total", self.0),
            Kind::Gauge | Kind::Histogram => exposed_gauge(&self.0).into(),
        }
    }

    /// The whole name in Prometheus text.
    #[must_use]
    pub fn in_prometheus(&self, kind: Kind, prefix: &Prefix) -> String {
        format!("{}_{}", prefix.as_str(), self.exposed(kind))
    }
}

impl Borrow<str> for MetricName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for MetricName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `name` without the endings that Prometheus reserves.
fn exposed_gauge(name: &str) -> &str {
    let mut rest = name;
    while let Some(shorter) = RESERVED.iter().find_map(|ending| rest.strip_suffix(ending)) {
        rest = shorter;
    }
    rest
}

/// Whether `text` may be a metric's or a label's name. Prometheus would take a colon too, but keeps it for recording rules.
pub(super) fn is_name(text: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    (1..=MAX_NAME).contains(&text.len()) && text.bytes().all(fits) && !text.starts_with(|c: char| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix() -> Prefix {
        Prefix::parse("live_trading").expect("a prefix")
    }

    fn exposed(name: &str, kind: Kind) -> String {
        MetricName::parse(name, &prefix()).expect(name).in_prometheus(kind, &prefix())
    }

    #[test]
    fn a_name_is_not_prefixed_twice() {
        assert_eq!(exposed("trades_total", Kind::Counter), "live_trading_trades_total");
        assert_eq!(exposed("live_trading_trades_total", Kind::Counter), "live_trading_trades_total");
        assert_eq!(exposed("live_tradings", Kind::Gauge), "live_trading_live_tradings");
        assert_eq!(exposed("live_trading", Kind::Gauge), "live_trading_live_trading");
        assert_eq!(exposed("live_trading_", Kind::Gauge), "live_trading_live_trading_");
    }

    #[test]
    fn counters_end_in_total_and_no_other_has_an_ending_with_a_meaning() {
        assert_eq!(exposed("trades", Kind::Counter), "live_trading_trades_total");
        assert_eq!(exposed("x_sum", Kind::Counter), "live_trading_x_sum_total");
        assert_eq!(exposed("positions_count", Kind::Gauge), "live_trading_positions");
        assert_eq!(exposed("a_total_sum_bucket_count", Kind::Histogram), "live_trading_a");
        assert_eq!(exposed("account", Kind::Gauge), "live_trading_account");
    }

    #[test]
    fn what_is_no_name_is_refused() {
        let long = "a".repeat(129);
        for name in
            ["", "1a", "a b", "a-b", "a:b", "a.b", "ä", "a\n", &long, "plimsoll_x", "live_trading_plimsoll_x", "live_trading_1"]
        {
            assert!(MetricName::parse(name, &prefix()).is_err(), "{name}");
        }
        for name in ["count", "sum", "bucket", "total", "_count", "_total_sum", "live_trading_count"] {
            assert!(MetricName::parse(name, &prefix()).is_err(), "{name}");
        }
        for name in ["_", "a", "A9", "plimsoll", &"a".repeat(128)] {
            assert!(MetricName::parse(name, &prefix()).is_ok(), "{name}");
        }
        for prefix in ["", "_", "plimsoll", "plimsoll_x", "a b", "9"] {
            assert!(Prefix::parse(prefix).is_err(), "{prefix}");
        }
        assert_eq!(Prefix::parse("desk_").expect("a prefix").as_str(), "desk");
    }
}
