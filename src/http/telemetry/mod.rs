//! `/api/telemetry`: events in, events out.

pub mod aggregates;
pub mod engine_logs;
pub mod engines;
pub mod events;
pub mod ingest;
pub mod ingest_measures;
mod log_stream;
mod ndjson;
pub mod stats;
pub mod stream;
mod tally;
