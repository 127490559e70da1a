//! Risk: limits, the day's figures, breaches, the kill switch, and VaR.

pub mod kill_switch;
pub mod limits;
