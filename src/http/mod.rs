//! HTTP: one file per resource. This file is the whole route table.

pub mod answer;
pub mod benchmarks;
pub mod body;
pub mod compression;
pub mod connection;
pub mod cors;
pub mod docs;
pub mod edge;
pub mod health;
pub mod host_check;
pub mod ledger;
pub mod metrics;
pub mod metrics_api;
pub mod openapi;
pub mod preference;
pub mod problem;
pub mod query;
pub mod risk;
pub mod root;
pub mod server;
pub mod state;
pub mod telemetry;
pub mod v1;

use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse, Resource, Route, guard};

use problem::Problem;
use telemetry::{aggregates, engine_logs, engines, events, ingest, stats, stream};

/// Every route of the service.
pub fn routes(config: &mut ServiceConfig) {
    config
        .service(only("/health", "GET, HEAD", [get().to(health::health)]))
        .service(only("/health/live", "GET, HEAD", [get().to(health::live)]))
        .service(only("/health/ready", "GET, HEAD", [get().to(health::ready)]))
        .service(only(
            "/api/telemetry/events",
            "GET, HEAD, POST, DELETE",
            [get().to(events::list), web::post().to(ingest::publish), web::delete().to(events::clear)],
        ))
        .service(only("/api/telemetry/stats", "GET, HEAD", [get().to(stats::stats)]))
        .service(only("/api/telemetry/aggregates", "GET, HEAD", [get().to(aggregates::aggregates)]))
        .service(only("/api/telemetry/engines", "GET, HEAD", [get().to(engines::list)]))
        .service(only("/api/telemetry/engines/{name}/heartbeat", "POST", [web::post().to(engines::heartbeat)]))
        .service(only("/api/telemetry/engines/{name}/stopped", "POST", [web::post().to(engines::stopped)]))
        .service(only("/api/telemetry/engine_logs", "GET, HEAD", [get().to(engine_logs::engine_logs)]))
        .service(only("/api/risk/breaches", "GET, HEAD", [get().to(risk::breaches::list)]))
        .service(only("/api/risk/status", "GET, HEAD", [get().to(risk::status::status)]))
        .service(only(
            "/api/risk/limits",
            "GET, HEAD, POST",
            [get().to(risk::limits::current), web::post().to(risk::limits::change)],
        ))
        .service(only("/api/risk/limits/history", "GET, HEAD", [get().to(risk::limits::history)]))
        .service(only(
            "/api/risk/kill-switch",
            "GET, HEAD, POST",
            [get().to(risk::kill_switch::current), web::post().to(risk::kill_switch::order)],
        ))
        .service(only("/api/risk/kill-switch/history", "GET, HEAD", [get().to(risk::kill_switch::history)]))
        .service(only("/api/telemetry/stream", "GET", [web::get().to(stream::stream)]))
        .service(only("/api/risk/var", "GET, HEAD", [get().to(risk::var::var)]))
        .service(only("/api/risk/var/backtest", "GET, HEAD", [get().to(risk::backtest::backtest)]))
        .service(only("/api/benchmarks", "GET, HEAD, POST", [get().to(benchmarks::list), web::post().to(benchmarks::record)]))
        .service(only("/api/v1/metrics/breakout/{profile_id}", "GET, HEAD", [get().to(v1::breakout::breakout)]))
        .service(only("/api/v1/metrics/equity/{profile_id}", "GET, HEAD", [get().to(v1::equity::equity)]))
        .service(only("/api/v1/trades/{profile_id}", "GET, HEAD", [get().to(v1::trades::list)]))
        .service(only("/api/v1/trades/{profile_id}/performance", "GET, HEAD", [get().to(v1::performance::performance)]))
        .service(only("/api/v1/metrics/orders/{profile_id}", "GET, HEAD", [get().to(v1::orders::orders)]))
        .service(only("/api/v1/metrics/system/{profile_id}", "GET, HEAD", [get().to(v1::system::system)]))
        .service(only("/api/metrics", "GET, HEAD, POST", [get().to(metrics_api::list), web::post().to(metrics_api::post)]))
        .service(only("/metrics", "GET, HEAD", [get().to(metrics::metrics)]))
        .service(only("/", "GET, HEAD", [get().to(root::root)]))
        .service(only("/openapi.json", "GET, HEAD", [get().to(docs::document)]))
        .service(only("/docs", "GET, HEAD", [get().to(docs::swagger)]))
        .service(only("/redoc", "GET, HEAD", [get().to(docs::redoc)]))
        .service(only("/docs/assets/{file}", "GET, HEAD", [get().to(docs::asset)]))
        .default_service(web::to(not_found));
}

/// A resource with these routes; its other methods are answered with 405 and `allowed`.
fn only<const N: usize>(path: &str, allowed: &'static str, routes: [Route; N]) -> Resource {
    let other =
        move |request: HttpRequest| async move { Err::<HttpResponse, _>(Problem::MethodNotAllowed(allowed).unread(&request)) };
    routes.into_iter().fold(web::resource(path), Resource::route).default_service(web::to(other))
}

/// A route that answers HEAD too, with the head of its answer.
fn get() -> Route {
    web::route().guard(guard::Any(guard::Get()).or(guard::Head()))
}

async fn not_found(request: HttpRequest) -> Result<HttpResponse, Problem> {
    Err(Problem::NotFound.unread(&request))
}
