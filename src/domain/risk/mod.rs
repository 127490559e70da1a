//! Risk: limits, the day's figures, breaches, the kill switch, VaR and its backtest. Losses are positive.

pub mod backtest;
pub mod daily_file;
pub mod daily_series;
pub mod kill_switch;
pub mod limits;
pub mod session;
pub mod var;
pub mod var_answer;
