//! What may be asked of a VaR: the method, the rule of the quantile, the horizon.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};
use utoipa::ToSchema;

use super::confidence::Confidence;

/// How the distribution of tomorrow's P&L is told from the days so far. The formulas are in [`super`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, ToSchema)]
#[schema(as = VarMethod, rename_all = "snake_case")]
pub enum Method {
    /// The days themselves, each as likely as the other.
    Historical,
    /// A normal distribution with the days' mean and deviation.
    Normal,
    /// The normal quantile, corrected for skewness and kurtosis.
    CornishFisher,
    /// A normal distribution without a mean, its variance mostly that of the latest days (RiskMetrics).
    Ewma,
    /// The days themselves, later ones more likely.
    AgeWeighted,
    /// The days themselves, each rescaled from the volatility of its time to that of now.
    FilteredHistorical,
}

impl Method {
    /// All of them, in the order in which they are told.
    pub const ALL: [Self; 6] =
        [Self::Historical, Self::Normal, Self::CornishFisher, Self::Ewma, Self::AgeWeighted, Self::FilteredHistorical];

    /// Its name in queries and answers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Historical => "historical",
            Self::Normal => "normal",
            Self::CornishFisher => "cornish_fisher",
            Self::Ewma => "ewma",
            Self::AgeWeighted => "age_weighted",
            Self::FilteredHistorical => "filtered_historical",
        }
    }
}

impl FromStr for Method {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|each| each.as_str() == text);
        found.ok_or("must be historical, normal, cornish_fisher, ewma, age_weighted or filtered_historical")
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Method {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// Which point between which days is the quantile of a sample. It matters to `historical` and to `filtered_historical`,
/// whose rescaled days are such a sample too; the other methods have no choice to make and pass it over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, ToSchema)]
#[schema(as = VarQuantile, rename_all = "snake_case")]
pub enum Quantile {
    /// The day at zero-based rank `floor(alpha n)` of ascending P&L.
    #[default]
    Order,
    /// The day at one-based rank `ceil(alpha n)`: the inverse of the empirical distribution (type 1).
    InverseCdf,
    /// Between the days around zero-based position `alpha (n - 1)` (type 7).
    Linear,
    /// Between the days around one-based position `alpha (n + 1)`, within the first and the last (type 6).
    Weibull,
}

impl Quantile {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Order, Self::InverseCdf, Self::Linear, Self::Weibull];

    /// Its name in queries and answers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Order => "order",
            Self::InverseCdf => "inverse_cdf",
            Self::Linear => "linear",
            Self::Weibull => "weibull",
        }
    }
}

impl FromStr for Quantile {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|each| each.as_str() == text);
        found.ok_or("must be order, inverse_cdf, linear or weibull")
    }
}

impl fmt::Display for Quantile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Quantile {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// How far ahead, and how one day is scaled to it; see [`super`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Horizon {
    /// Trading days, at least one.
    pub days: u32,
    /// Whether the mean grows with the days; else all scales with their square root.
    pub drift: bool,
}

impl Horizon {
    /// Tomorrow.
    pub const ONE_DAY: Self = Self { days: 1, drift: false };
}

/// All that decides a VaR, beside the days.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Question {
    /// How sure.
    pub confidence: Confidence,
    /// By which method.
    pub method: Method,
    /// By which rule, where the method reads a quantile off a sample.
    pub quantile: Quantile,
    /// How far ahead.
    pub horizon: Horizon,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_reads_back_and_others_are_refused() {
        for method in Method::ALL {
            assert_eq!(method.as_str().parse(), Ok(method));
        }
        for quantile in Quantile::ALL {
            assert_eq!(quantile.as_str().parse(), Ok(quantile));
        }
        for text in ["", "Historical", "montecarlo", "all", " normal"] {
            assert!(text.parse::<Method>().is_err() && text.parse::<Quantile>().is_err(), "{text}");
        }
    }
}
