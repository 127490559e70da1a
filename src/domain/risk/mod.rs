//! Risk: limits, the day's figures, breaches, the kill switch, VaR and its backtest. Losses are positive.

pub mod backtest;
pub mod kill_switch;
pub mod limits;
pub mod var;
