//! The pure core: what an event is, what is acceptable, and what follows from it.
//!
//! Nothing here knows actix, HTTP, files or the wall clock; time is an argument.

pub mod analytics;
pub mod artifact;
pub mod benchmark;
pub mod clock;
pub mod engine;
pub mod envelope;
pub mod event;
pub mod fault;
pub mod filter;
pub mod histogram;
pub mod id;
pub mod log;
pub mod metrics;
pub mod money;
pub mod payload;
pub mod rate;
pub mod ring;
pub mod risk;
pub mod schema;
pub mod sse;
pub mod type_counts;
