//! The API described by itself: an OpenAPI 3.1 document, gathered from the attributes of the handlers.
//!
//! A route is in the document when its handler has `#[utoipa::path]` and a line in `Api`; a test compares the document
//! with the route table. What a handler answers derives its schema; what is written by hand, byte by byte, is described in
//! [`shapes`], [`metric_shapes`] and [`risk_shapes`].

pub mod errors;
pub mod metric_shapes;
pub mod params;
pub mod risk_shapes;
pub mod shapes;

mod complete;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use complete::Complete;
use utoipa::OpenApi;

/// What the document is made of.
#[derive(Debug, OpenApi)]
#[openapi(
    info(
        title = "Plimsoll",
        description = include_str!("about.md"),
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0"),
    ),
    servers((url = "/", description = "the service that gave you this document")),
    tags(
        (name = "telemetry", description = "Events in, events out: one bus, one order, one history."),
        (name = "engines", description = "The engines' beats, how they are judged, and their logs."),
        (name = "risk", description = "Limits, what is breached, the kill switch, and value at risk."),
        (name = "benchmarks", description = "Market indices."),
        (name = "trades", description = "Closed trades and what follows from them."),
        (name = "metrics", description = "Figures of engines and of the service itself."),
        (name = "service", description = "The service: its health, its document, its pages."),
    ),
    paths(
        // telemetry
        crate::http::telemetry::ingest::publish,
        crate::http::telemetry::events::list,
        crate::http::telemetry::events::clear,
        crate::http::telemetry::stats::stats,
        crate::http::telemetry::aggregates::aggregates,
        crate::http::telemetry::stream::stream,
        // engines
        crate::http::telemetry::engines::list,
        crate::http::telemetry::engines::heartbeat,
        crate::http::telemetry::engines::stopped,
        crate::http::telemetry::engine_logs::engine_logs,
        // risk
        crate::http::risk::limits::current,
        crate::http::risk::limits::change,
        crate::http::risk::limits::history,
        crate::http::risk::breaches::list,
        crate::http::risk::status::status,
        crate::http::risk::kill_switch::current,
        crate::http::risk::kill_switch::order,
        crate::http::risk::kill_switch::history,
        crate::http::risk::var::var,
        crate::http::risk::backtest::backtest,
        // benchmarks
        crate::http::benchmarks::list,
        crate::http::benchmarks::record,
        // trades
        crate::http::v1::breakout::breakout,
        crate::http::v1::equity::equity,
        crate::http::v1::orders::orders,
        crate::http::v1::system::system,
        crate::http::v1::trades::list,
        crate::http::v1::performance::performance,
        // metrics
        crate::http::metrics_api::list,
        crate::http::metrics_api::post,
        crate::http::metrics::metrics,
        // the service
        crate::http::health::health,
        crate::http::health::live,
        crate::http::health::ready,
        crate::http::root::root,
        crate::http::docs::document,
        crate::http::docs::swagger,
        crate::http::docs::redoc,
        crate::http::docs::asset,
    ),
    components(schemas(shapes::ProblemBody, shapes::Event)),
    modifiers(&Complete),
)]
struct Api;

/// The document, made once; each worker has a handle of it.
#[derive(Debug, Clone)]
pub struct Document {
    /// Its JSON.
    pub json: Bytes,
    /// What names this version of it: a weak entity tag.
    pub etag: String,
}

impl Document {
    /// Makes the document.
    #[must_use]
    pub fn new() -> Self {
        let json = json();
        let etag = format!("W/\"{:08x}-{:x}\"", crc32(json.as_bytes()), json.len());
        Self { json: json.into(), etag }
    }
}

impl Default for Document {
    fn default() -> Self {
        Self::new()
    }
}

/// The document's JSON, as it is in `docs/openapi.json`.
fn json() -> String {
    // these types always have a JSON form
    let mut json = Api::openapi().to_pretty_json().unwrap_or_default();
    json.push('\n');
    json
}

fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}
