//! Risk: limits, the day's figures, breaches, the kill switch, VaR and its backtest. Losses are positive.

pub mod backtest;
pub mod daily_file;
pub mod daily_series;
pub mod kill_switch;
pub mod kill_switch_order;
pub mod limits;
pub mod limits_change;
pub mod limits_patch;
pub mod operator;
pub mod overrides;
pub mod session;
pub mod var;
pub mod var_answer;
