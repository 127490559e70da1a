//! Risk: limits, the day's figures, breaches, the kill switch, and VaR.

pub mod kill_switch;
pub mod kill_switch_order;
pub mod limits;
pub mod limits_change;
pub mod limits_patch;
pub mod operator;
pub mod overrides;
