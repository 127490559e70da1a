//! `/api/risk`.

pub mod breaches;
pub mod status;
