//! The pure core: what an event is, what is acceptable, and what follows from it.
//!
//! Nothing here knows actix, HTTP, files or the wall clock; time is an argument.

pub mod clock;
pub mod envelope;
pub mod event;
pub mod fault;
pub mod filter;
pub mod id;
pub mod payload;
pub mod rate;
pub mod ring;
pub mod schema;
pub mod sse;
