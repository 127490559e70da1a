//! What is shown of an engine: its record, its figures, its ticks and announcements.

use serde_json::{Value, json};

use super::{Engine, Kind, Limits, Notice, State, Update, Verdict};
use crate::domain::clock::Timestamp;
use crate::domain::event::Severity;
use crate::domain::id::EventId;

impl Engine {
    fn age_seconds(&self, now: Timestamp) -> Option<f64> {
        self.last_beat.map(|_| (self.age(now).as_secs_f64() * 1e3).round() / 1e3)
    }

    fn metrics(&self, now: Timestamp, limits: Limits) -> Value {
        // these types always have a JSON form
        match self.kind() {
            Kind::MarketData if self.doubt.market_data && self.market_data.is_empty() => json!({
                "cached_symbols": null, "total_candles": null, "lookup_failures": null, "stale_symbols_count": null,
                "failed_symbols": [], "stale_symbols": [],
            }),
            Kind::MarketData => json!(self.market_data.figures(now, limits.symbol_silence)),
            _ if self.doubt.trading && self.performance.is_empty() => json!({
                "total_strategies": null, "avg_win_rate": null, "max_loss_streak": null, "avg_confidence": null, "strategies": {},
            }),
            _ => json!(self.performance.figures()),
        }
    }

    /// The record.
    fn record(&self) -> Value {
        let Update {
            mode, pid, status, started_at, last_heartbeat, loop_tick, universe_size, open_positions, last_error, ..
        } = &self.record;
        json!({
            "name": self.name.as_str(),
            "mode": mode,
            "pid": pid,
            "status": status,
            "started_at": started_at,
            "last_heartbeat": last_heartbeat,
            "loop_tick": loop_tick,
            "universe_size": universe_size,
            "open_positions": open_positions,
            "last_error": last_error.as_ref().and_then(Option::as_ref),
        })
    }

    /// The record as the file of an engine holds it that beats over HTTP, with what a restart needs to know of it.
    #[must_use]
    pub fn kept(&self) -> Value {
        let mut kept = self.record();
        if let Value::Object(fields) = &mut kept {
            let more = [
                ("kind", json!(self.record.kind)),
                ("restarts", json!(self.restarts)),
                ("last_beat", json!(self.last_beat.map(|at| at.to_string()))),
                ("silence", json!(self.announced.map(|id| id.to_string()))),
            ];
            fields.extend(more.map(|(key, value)| (key.to_owned(), value)));
        }
        kept
    }

    /// The record with the judgement, in the contract's order. Ages and skew in seconds, the skew positive when the
    /// engine's clock is ahead; `reported` are the metrics that the engine itself sent last.
    #[must_use]
    pub fn view(&self, now: Timestamp, limits: Limits) -> Value {
        let state = self.state(now, limits.stale_after);
        let mut view = self.record();
        if let Value::Object(fields) = &mut view {
            let reported = self.reported.as_ref().and_then(|raw| serde_json::from_str::<Value>(raw.get()).ok());
            let judged = [
                ("state", json!(state)),
                ("heartbeat_age_seconds", json!(self.age_seconds(now))),
                ("stale", json!(state == State::Stale)),
                ("kind", json!(self.kind())),
                ("metrics", self.metrics(now, limits)),
                ("restarts", json!(self.restarts)),
                ("clock_skew_seconds", json!(self.clock_skew)),
                ("reported", json!(reported)),
            ];
            fields.extend(judged.map(|(key, value)| (key.to_owned(), value)));
        }
        view
    }

    /// What its watcher publishes on a tick.
    #[must_use]
    pub fn tick(&self, now: Timestamp, limits: Limits) -> Notice {
        let state = self.state(now, limits.stale_after);
        let (event_type, key) = match self.kind() {
            Kind::MarketData => ("mde_status", "mde_name"),
            _ => ("engine_health", "engine_name"),
        };
        let payload = json!({
            key: self.name.as_str(),
            "status": state,
            "metrics": self.metrics(now, limits),
            "heartbeat_age_seconds": self.age_seconds(now),
        });
        let severity = if matches!(state, State::Stale | State::Error) { Severity::Warning } else { Severity::Info };
        Notice { event_type, severity, payload: payload.to_string(), event_id: None }
    }

    /// The announcement of `verdict`. Its `event_id` is that of the silence that it is about, so that none is announced
    /// twice whatever becomes of an answer.
    #[must_use]
    pub fn announcement(&self, verdict: Verdict, now: Timestamp, limits: Limits) -> Notice {
        let (event_type, severity, silence) = match verdict {
            Verdict::Stale => ("engine_stale", Severity::Error, self.last_beat.map_or(0, Timestamp::micros).to_string()),
            Verdict::Recovered => ("engine_recovered", Severity::Info, self.announced.unwrap_or(EventId::ZERO).to_string()),
        };
        let payload = json!({
            "name": self.name.as_str(),
            "state": self.state(now, limits.stale_after),
            "status": self.record.status,
            "kind": self.kind(),
            "last_beat": self.last_beat.map(|at| at.to_string()),
            "heartbeat_age_seconds": self.age_seconds(now),
            "stale_after_seconds": limits.stale_after.as_secs_f64(),
        });
        let event_id = Some(format!("{event_type}/{}/{silence}", self.name));
        Notice { event_type, severity, payload: payload.to_string(), event_id }
    }
}
