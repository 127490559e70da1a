//! The pure core: what an event is, what is acceptable, and what follows from it.
//!
//! Nothing here knows actix, HTTP, files or the wall clock; time is an argument.

pub mod artifact;
pub mod benchmark;
pub mod benchmark_file;
pub mod clock;
pub mod engine;
pub mod engine_file;
pub mod engine_kept;
pub mod engine_news;
pub mod engine_owner;
pub mod engine_state;
pub mod engine_terms;
pub mod engine_update;
pub mod envelope;
pub mod event;
pub mod fault;
pub mod filter;
pub mod id;
pub mod log_filter;
pub mod log_json;
pub mod log_line;
pub mod log_record;
pub mod market_data;
pub mod patience;
pub mod payload;
pub mod performance;
pub mod position;
pub mod rate;
pub mod ring;
pub mod risk;
pub mod schema;
pub mod sse;
