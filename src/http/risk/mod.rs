//! `/api/risk`.

pub mod backtest;
pub mod var;
