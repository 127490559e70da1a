//! `/api/risk`: one file per resource.

pub mod backtest;
pub mod breaches;
pub mod kill_switch;
pub mod limits;
pub mod operator;
pub mod refusal;
pub mod status;
pub mod var;
