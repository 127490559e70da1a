//! What may be lost and what was: pure figures of risk. Losses are positive.

pub mod backtest;
pub mod var;
