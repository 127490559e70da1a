//! Trade analytics: what an event says of trades, signals, equity, orders, latencies and health, and the figures that follow.

pub mod entry;
pub mod equity;
pub mod key;
pub mod latency;
pub mod order;
pub mod signal;
pub mod sum;
pub mod system;
pub mod tally;
#[cfg(test)]
mod tests;
pub mod trade;
