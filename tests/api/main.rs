//! Black-box tests of the service: the real binary, real sockets, real signals.
//!
//! Every test starts its own service on a free port with an empty artifacts folder (`harness::spawn_app`) and knows
//! nothing but the contract. The short forms run by default; the long ones are the same tests with bigger numbers:
//!
//! | variable | default | long run |
//! |---|---|---|
//! | `PLIMSOLL_CRASH_ROUNDS` | 4 | 50 (`just crash`) |
//! | `PLIMSOLL_SEAM_RECONNECTS` | 300 | 10000 (`just soak`) |
//! | `PLIMSOLL_IDLE_CLIENTS` | 1500 | 10000 (`just soak`) |
//! | `PLIMSOLL_RECORDING` | none | path of a recording (NDJSON, gzipped or not), for the ignored test in `replay` |

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that meets a surprise stops right there")]

mod aggregates;
mod benchmarks;
mod compression;
mod cors;
mod crash;
mod deploy;
mod engine_files;
mod engine_logs;
mod engine_logs_follow;
mod engine_restarts;
mod engines;
mod events;
mod exposition;
mod harness;
mod health;
mod hostile;
mod hostile_connections;
mod http;
mod idle_clients;
mod ingest;
mod ingest_batches;
mod ingest_types;
mod journal_full;
mod ledger;
mod ledger_days;
mod ledger_faults;
mod ledger_orders;
mod ledger_system;
mod metrics;
mod metrics_registry;
mod openapi;
mod replay;
mod retention;
mod risk_breaches;
mod risk_kill_switch;
mod risk_limits;
mod risk_status;
mod risk_var;
mod root;
mod samples;
mod seam;
mod security;
mod shutdown;
mod slow_readers;
mod sse;
mod startup;
mod stats;
mod stream;
mod stream_limits;
mod stream_resume;
