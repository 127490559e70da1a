//! `/api/telemetry`: events in, events out.

pub mod aggregates;
pub mod events;
pub mod ingest;
mod ndjson;
pub mod stats;
pub mod stream;
mod tally;
