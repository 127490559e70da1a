//! The kill switch: what trading is allowed.

use std::str::FromStr;

/// What engines may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TradingState {
    /// Trade.
    Active,
    /// Only close positions.
    Reducing,
    /// Nothing.
    Halted,
}

impl TradingState {
    /// Its word in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Reducing => "reducing",
            Self::Halted => "halted",
        }
    }
}

impl FromStr for TradingState {
    type Err = &'static str;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        [Self::Active, Self::Reducing, Self::Halted]
            .into_iter()
            .find(|state| state.as_str() == word)
            .ok_or("must be active, reducing or halted")
    }
}
