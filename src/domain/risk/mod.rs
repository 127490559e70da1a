//! Risk: limits, the day's figures, breaches, the kill switch, and VaR.

pub mod announce;
pub mod book;
pub mod breach;
pub mod day_file;
pub mod equity;
pub mod evaluation;
pub mod fact;
pub mod figures;
pub mod kill_switch;
pub mod limits;
pub mod money;
pub mod runtime_metrics;
pub mod session;
pub mod source;
pub mod state;
pub mod status;
pub mod streak;
