//! What the demo's engines say of their own work: breakouts seen, cycles, calls of the broker's interface, health.

use fastrand::Rng;

use super::market::{Instrument, rounded};
use super::simulation::{Drafts, Engine};
use super::trading::Decision;
use crate::cli::fields::Object;

/// Ticks of one cycle of the strategy.
const CYCLE: u64 = 4;
/// Ticks between two calls of the broker's interface.
const CALL: u64 = 6;
/// Ticks between two reports of how a script is.
const REPORT: u64 = 30;
/// Calls that the broker allows in a minute.
const RATE_LIMIT: i64 = 180;

/// The breakout behind a decision to open a position.
pub fn breakout(instrument: &Instrument, decision: Decision, drafts: &mut Drafts) {
    let direction = match decision {
        Decision::Buy => "upward",
        Decision::Sell => "downward",
        Decision::Hold | Decision::Exit | Decision::Stop => return,
    };
    let payload = Object::new()
        .text("symbol", instrument.symbol)
        .text("direction", direction)
        .number("bar_strength", rounded((instrument.trend().abs() / 4.0).min(1.0)))
        .number("close_price", instrument.price)
        .number("candle_size", rounded(instrument.atr * 3.0))
        .int("volume", instrument.lot * 40);
    drafts.add(Engine::Strategy, "breakout_signal", payload);
}

/// What the engines report beside their trading in this tick.
pub fn report(tick: u64, rng: &mut Rng, drafts: &mut Drafts) {
    let count = i64::try_from(tick / CYCLE).unwrap_or(i64::MAX);
    if tick.is_multiple_of(CYCLE) {
        drafts.add(Engine::Strategy, "cycle_start", Object::new().int("cycle", count));
    }
    if tick % CYCLE == CYCLE - 1 {
        let payload = Object::new().int("cycle", count).number("duration_seconds", rounded(0.02 + rng.f64() * 0.2));
        drafts.add(Engine::Strategy, "cycle_end", payload);
    }
    if tick.is_multiple_of(CALL) {
        // one call in twenty takes long
        let slow = if rng.f64() < 0.05 { 180.0 } else { 0.0 };
        let payload = Object::new()
            .text("script_name", Engine::Execution.name())
            .text("endpoint", "/orders")
            .number("latency_ms", rounded(12.0 + slow + rng.f64() * 40.0));
        drafts.add(Engine::Execution, "api_latency", payload);
    }
    if tick.is_multiple_of(REPORT) {
        for engine in [Engine::MarketData, Engine::Execution] {
            let payload = Object::new()
                .text("script_name", engine.name())
                .text("status", "healthy")
                .int("api_rate_limit_remaining", RATE_LIMIT - rng.i64(10..60))
                .int("api_rate_limit_limit", RATE_LIMIT)
                .int("error_count", 0)
                .number("cpu_usage_pct", rounded(3.0 + rng.f64() * 9.0))
                .number("memory_usage_mb", rounded(140.0 + rng.f64() * 20.0));
            drafts.add(engine, "system_health", payload);
        }
    }
}
