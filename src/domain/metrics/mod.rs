//! Metrics: those that engines post, and those that follow from their events.
//!
//! A metric is known by its name without the prefix ([`name`]), has a kind, a help text and series, each known by its
//! [`labels`]. [`mod@write`] is one change as it is posted, [`registry`] holds them all within bounds, [`predefined`] are there
//! from the start, and [`heard`] says what an event changes in these.

pub mod cycles;
pub mod fills;
pub mod heard;
pub mod histogram;
pub mod labels;
pub mod name;
pub mod predefined;
pub mod registry;
#[cfg(test)]
mod registry_tests;
pub mod write;
