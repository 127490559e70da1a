//! The actors: each with its role, state, messages and handle in one file.
//!
//! Strong addresses form a DAG: routes hold handles of the bus, the readers and the fan-out; the bus holds the journal.
//! What is delivered is pulled: an actor that wants events is told that there are some ([`wake`]) and reads the ring.

pub mod admission;
pub mod announcements;
pub mod artifact_folder;
pub mod artifact_publisher;
pub mod artifact_table;
pub mod artifact_watcher;
pub mod benchmark_files;
pub mod benchmark_recorder;
mod bus_inbox;
pub mod daily_files;
mod day_file_queue;
pub mod engine_fold;
pub mod engine_model;
pub mod engine_reader;
pub mod engine_record;
pub mod engine_registry;
pub mod engine_watcher;
pub mod event_bus;
pub mod follower;
pub mod history;
pub mod journal;
pub mod journal_reader;
pub mod kill_switch;
pub mod ledger_handle;
pub mod ledger_questions;
pub mod ledger_reader;
pub mod metrics_registry;
pub mod publisher;
pub mod risk_evaluator;
pub mod risk_handle;
pub mod risk_limits;
pub mod sse_body;
mod sse_chunk;
pub mod sse_counters;
pub mod sse_fanout;
mod sse_round;
pub mod sse_session;
pub mod supervision;
#[cfg(test)]
mod tests;
pub mod trade_ledger;
pub mod var_calculator;
pub mod wake;
