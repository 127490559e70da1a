//! The shapes of what is written byte by byte, and of what is read; a test holds real answers against them.

use std::collections::BTreeMap;

use serde_json::Value;
use utoipa::ToSchema;

use crate::domain::engine::{Kind, State, Status};
use crate::domain::event::Severity;
use crate::http::problem::ItemFault;

/// What went wrong (RFC 9457). A stream of events that was interrupted also has what became of its lines.
#[derive(Debug, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemBody {
    /// The kind of problem.
    #[schema(pattern = "^urn:plimsoll:problem:[a-z-]+$", example = "urn:plimsoll:problem:not-acceptable")]
    pub r#type: String,
    /// The kind in words.
    pub title: String,
    /// The HTTP status.
    #[schema(minimum = 400, maximum = 599)]
    pub status: u16,
    /// This problem in words, with what to do.
    pub detail: String,
    /// Every fault.
    #[schema(nullable = false)]
    pub errors: Option<Vec<ItemFault>>,
}

/// An event as it is given out. Optional fields are left out when absent.
#[derive(Debug, ToSchema)]
#[schema(example = json!({
    "id": "1763452541345-0", "type": "order_event", "timestamp": "2025-11-18T07:55:41.345678Z", "source": "fno",
    "severity": "info", "profile_id": 1, "event_id": "fno-000123",
    "payload": {"order_id": "PAPER-1", "symbol": "NIFTY", "side": "BUY", "status": "filled", "qty": 50, "price": 19755.0}
}))]
pub struct Event {
    /// Its place in the order of all events.
    #[schema(pattern = "^[0-9]+-[0-9]+$")]
    pub id: String,
    /// Its type, in lower case.
    #[schema(min_length = 1, max_length = 64, pattern = "^[a-z0-9_.-]+$")]
    pub r#type: String,
    /// When it happened, by its sender; when it arrived if that said nothing.
    #[schema(format = DateTime)]
    pub timestamp: String,
    /// Who sent it.
    #[schema(nullable = false)]
    pub source: Option<String>,
    /// How severe it is.
    #[schema(nullable = false)]
    pub severity: Option<Severity>,
    /// The account.
    #[schema(nullable = false)]
    pub profile_id: Option<i64>,
    /// The sender's own id.
    #[schema(nullable = false)]
    pub event_id: Option<String>,
    /// What happened, as it was sent: key order, number text and unknown keys are kept.
    #[schema(value_type = Object)]
    pub payload: Value,
}

/// An event as it is sent. `event_type` is another name of `type`, `data` of `payload`; another field is refused by name. What
/// a known type requires in its payload is checked too.
#[derive(Debug, ToSchema)]
#[schema(example = json!({
    "type": "order_event", "timestamp": "2025-11-18T07:55:41.345678Z", "source": "fno", "event_id": "fno-000123",
    "payload": {"order_id": "PAPER-1", "symbol": "NIFTY", "side": "BUY", "status": "filled", "qty": 50, "price": 19755.0}
}))]
#[serde(deny_unknown_fields)]
pub struct NewEvent {
    /// Its type; upper case is folded.
    #[schema(min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9_.-]+$")]
    pub r#type: String,
    /// When it happened; its arrival if absent.
    #[schema(format = DateTime)]
    pub timestamp: Option<String>,
    /// Who sends it; `plimsoll` is taken.
    #[schema(min_length = 1, max_length = 128)]
    pub source: Option<String>,
    /// How severe it is.
    pub severity: Option<Severity>,
    /// The account.
    pub profile_id: Option<i64>,
    /// The sender's own id: the same one from the same source is the same event.
    #[schema(min_length = 1, max_length = 128)]
    pub event_id: Option<String>,
    /// What happened.
    #[schema(value_type = Object)]
    pub payload: Value,
}

/// One event, or an array of them.
#[derive(Debug, ToSchema)]
#[serde(untagged)]
pub enum NewEvents {
    /// One.
    One(NewEvent),
    /// Many, at most `telemetry.max_batch_events`.
    Many(NewEventList),
}

/// Events as they are sent, at least one.
#[derive(Debug, ToSchema)]
#[schema(min_items = 1)]
pub struct NewEventList(
    /// The events.
    pub Vec<NewEvent>,
);

/// A page of events.
#[derive(Debug, ToSchema)]
#[schema(as = EventPage)]
pub struct EventPageBody {
    /// The events, newest last; oldest first with `order=asc` too, which says where a page begins.
    pub events: Vec<Event>,
    /// How many they are.
    pub count: u64,
    /// Where the next page begins: its `before_id`, with `order=asc` its `since_id`; null when there is none.
    #[schema(required)]
    pub next: Option<String>,
}

/// The engines.
#[derive(Debug, ToSchema)]
pub struct EngineList {
    /// When this was judged.
    #[schema(format = DateTime)]
    pub asof: String,
    /// Only there, and true, while the engines are read from the journal after a start.
    #[schema(nullable = false)]
    pub rebuilding: Option<bool>,
    /// Sorted by name.
    pub engines: Vec<EngineView>,
}

/// An engine: what it said of itself, and how it is judged. What it never said is null.
#[derive(Debug, ToSchema)]
pub struct EngineView {
    /// Its name.
    #[schema(pattern = "^[A-Za-z0-9_-]{1,64}$")]
    pub name: String,
    /// How it trades, such as `paper`.
    #[schema(required)]
    pub mode: Option<String>,
    /// Its process.
    #[schema(required)]
    pub pid: Option<u64>,
    /// What it said last.
    #[schema(required)]
    pub status: Option<Status>,
    /// When it started, by its own clock.
    #[schema(required)]
    pub started_at: Option<String>,
    /// When it beat, by its own clock.
    #[schema(required)]
    pub last_heartbeat: Option<String>,
    /// Turns of its main loop.
    #[schema(required)]
    pub loop_tick: Option<u64>,
    /// Symbols that it looks at.
    #[schema(required)]
    pub universe_size: Option<u64>,
    /// Positions that it holds.
    #[schema(required)]
    pub open_positions: Option<u64>,
    /// What last went wrong.
    #[schema(required)]
    pub last_error: Option<String>,
    /// What Plimsoll judges: what it said, or `stale` when no beat is fresh.
    pub state: State,
    /// Age of its newest sign of life, in seconds by Plimsoll's clock.
    #[schema(required)]
    pub heartbeat_age_seconds: Option<f64>,
    /// Whether no beat is fresh.
    pub stale: bool,
    /// What it is for.
    pub kind: Kind,
    /// What follows from its events: for `market_data` its symbols and candles, else its strategies' wins and losses.
    #[schema(value_type = Object)]
    pub metrics: Value,
    /// How often a new process took over.
    pub restarts: u64,
    /// How far its clock is ahead of Plimsoll's, in seconds.
    #[schema(required)]
    pub clock_skew_seconds: Option<f64>,
    /// The metrics of its own health event, as they were sent.
    #[schema(required)]
    pub reported: Option<Value>,
}

/// What an engine says of itself: any part of its record. Null is as good as absent, but for `last_error`, which it clears.
/// A `name` is that of the path; more
/// fields are welcome.
#[derive(Debug, ToSchema)]
#[schema(example = json!({"mode": "paper", "pid": 4242, "status": "running", "loop_tick": 17, "open_positions": 2}))]
pub struct EngineRecord {
    /// How it trades.
    #[schema(max_length = 128)]
    pub mode: Option<String>,
    /// Its process.
    #[schema(maximum = 4_294_967_295_u64)]
    pub pid: Option<u64>,
    /// How it is.
    pub status: Option<Status>,
    /// When it started, by its own clock; without an offset it is of `session.timezone`.
    #[schema(format = DateTime)]
    pub started_at: Option<String>,
    /// When it beats, by its own clock.
    #[schema(format = DateTime)]
    pub last_heartbeat: Option<String>,
    /// Turns of its main loop.
    #[schema(maximum = 9_007_199_254_740_991_u64)]
    pub loop_tick: Option<u64>,
    /// Symbols that it looks at.
    #[schema(maximum = 9_007_199_254_740_991_u64)]
    pub universe_size: Option<u64>,
    /// Positions that it holds.
    #[schema(maximum = 9_007_199_254_740_991_u64)]
    pub open_positions: Option<u64>,
    /// What last went wrong.
    pub last_error: Option<String>,
    /// What it is for.
    pub kind: Option<Kind>,
}

/// The values of market indices at an instant: a number or null for each index, by any name.
#[derive(Debug, ToSchema)]
#[schema(example = json!({"ts": "2024-08-05T03:49:59.063529Z", "nifty": 24301.30, "banknifty": 50100.5, "finnifty": null}))]
pub struct Benchmark {
    /// The instant.
    #[schema(format = DateTime)]
    pub ts: String,
    /// The indices.
    #[serde(flatten)]
    pub indices: BTreeMap<String, Option<f64>>,
}

/// One point as it is sent: at least one index. Without an offset `ts` is of `session.timezone`.
#[derive(Debug, ToSchema)]
#[serde(untagged)]
pub enum NewBenchmark {
    /// Of an instant.
    At(BenchmarkAt),
    /// Of its arrival.
    Now(BenchmarkNow),
}

/// The values of market indices at an instant.
#[derive(Debug, ToSchema)]
#[schema(min_properties = 2, example = json!({"ts": "2024-08-05T03:49:59Z", "nifty": 24301.30, "banknifty": 50100.5}))]
pub struct BenchmarkAt {
    /// The instant.
    #[schema(format = DateTime)]
    pub ts: String,
    /// The indices.
    #[serde(flatten)]
    pub indices: BTreeMap<String, Option<f64>>,
}

/// The values of market indices now.
#[derive(Debug, ToSchema)]
#[schema(min_properties = 1, example = json!({"nifty": 24301.30, "banknifty": 50100.5}))]
pub struct BenchmarkNow {
    /// The indices.
    #[serde(flatten)]
    pub indices: BTreeMap<String, Option<f64>>,
}

/// One point, or an array of them.
#[derive(Debug, ToSchema)]
#[serde(untagged)]
pub enum NewBenchmarks {
    /// One.
    One(NewBenchmark),
    /// Many, at most 10,000 of at most 366 trading days.
    Many(NewBenchmarkList),
}

/// Points as they are sent, at least one.
#[derive(Debug, ToSchema)]
#[schema(min_items = 1)]
pub struct NewBenchmarkList(
    /// The points.
    pub Vec<NewBenchmark>,
);

/// How the service is, as a whole and component by component.
#[derive(Debug, ToSchema)]
pub struct Health {
    /// `failing` when it takes no events.
    pub status: HealthStatus,
    /// The version of the service.
    pub version: String,
    /// Seconds since it started.
    pub uptime_seconds: u64,
    /// Each component by its name.
    pub components: BTreeMap<String, ComponentHealth>,
}

/// How a component is. What else there is to say of it are counts and reasons of its own.
#[derive(Debug, ToSchema)]
pub struct ComponentHealth {
    /// How it is.
    pub status: HealthStatus,
    /// More of it.
    #[serde(flatten)]
    pub more: BTreeMap<String, Value>,
}

/// How well something is.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "lowercase")]
pub enum HealthStatus {
    /// As it should be.
    Ok,
    /// It works, but something is wrong.
    Degraded,
    /// It does not work.
    Failing,
}

/// The one word of a check that passes.
#[derive(Debug, ToSchema)]
pub struct Passing {
    /// Always `ok`.
    #[schema(pattern = "^ok$", example = "ok")]
    pub status: String,
}
