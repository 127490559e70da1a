//! Plimsoll: the load line for trading systems.
//!
//! Engines post events over HTTP; Plimsoll journals them, streams them live over SSE and answers questions about them.
//! Every event goes one way: a route parses, validates and encodes it; the event bus gives it an id; the journal commits
//! it; then it enters one shared ring, from which every subscriber reads with a cursor of its own.
//!
//! - [`domain`]: pure types and rules: events, ids, filters, the ring.
//! - [`storage`]: what survives: the journal's tables.
//! - [`actors`]: the event bus, the journal, its readers and the SSE fan-out.
//! - [`http`]: one file per resource over the actors.
//! - [`app`]: starts it all and stops it in order. [`config`]: every number.

pub mod actors;
pub mod app;
pub mod config;
pub mod domain;
pub mod http;
pub mod storage;
