//! `GET /metrics`: Plimsoll's own metrics and those that engines post, as Prometheus text.
//!
//! `docs/metrics.md` lists them all; a test holds the two together.

mod analytics;
mod delivery;
mod engines;
mod files;
mod ingest;
mod page;
mod posted;
mod process;
mod queues;
mod risk;
mod service;
mod storage;

use std::time::Duration;

use actix_web::{HttpResponse, web};
use futures_util::future::join;
use tokio::time::timeout;

use self::page::Page;
use super::answer::Answer;
use super::openapi::errors;
use super::problem::Problem;
use super::state::State;
use crate::actors::kill_switch::SwitchView;
use crate::domain::metrics::registry::Registry;
use crate::domain::risk::status::Status;

/// The page's name among those whose panics are counted.
pub const NAME: &str = "metrics_page";
/// Pages that are made at once; with thousands of engines one takes a core for a while.
pub const MAX_SCRAPES: usize = 2;
/// How long a scrape waits for its turn, before it is told to come back.
pub const SCRAPE_WAIT: Duration = Duration::from_secs(1);
/// How long it waits for the figures of risk, before it goes without them.
const RISK_WAIT: Duration = Duration::from_secs(2);

/// Version 0.0.4 of the text format, which every scraper reads.
const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What has to be asked for.
#[derive(Debug)]
struct Asked {
    /// The kill switch.
    switch: SwitchView,
    /// Risk; `None` when it is not told.
    risk: Option<Status>,
    /// What engines post, and what follows from their events.
    posted: Registry,
}

/// `GET /metrics`: all metrics. What was acknowledged before is in them; what is not known is left out.
///
/// # Errors
/// Too many pages are being made.
#[utoipa::path(
    get,
    path = "/metrics",
    operation_id = "get_metrics_text",
    tag = "metrics",
    summary = "All metrics as Prometheus text",
    description = "Plimsoll's own metrics (`plimsoll_*`, `process_*`; `docs/metrics.md` lists them) and those that engines post. \
        What is not known has no sample. Version 0.0.4 of the text format, whatever is asked for.",
    responses(
        (
            status = 200,
            description = "The metrics",
            content_type = "text/plain; version=0.0.4; charset=utf-8",
            body = String,
            example = "# HELP plimsoll_sse_clients Streams that are open.\n# TYPE plimsoll_sse_clients gauge\nplimsoll_sse_clients 3\n"
        ),
        errors::Unavailable,
    )
)]
pub async fn metrics(state: web::Data<State>) -> Result<HttpResponse, Problem> {
    let permit = state.scrapes.enter(1).await?;
    let switch = state.kill_switch.current();
    let status = timeout(RISK_WAIT, state.risk.status(switch.position.clone()));
    let (_, risk) = join(state.engines.current(), status).await;
    let posted = state.metrics_registry.snapshot().await;
    let asked = Asked { switch, risk: risk.ok().and_then(Result::ok), posted };
    let made = {
        let state = state.clone();
        // beside the workers: nobody's post waits for it
        web::block(move || {
            let _permit = permit;
            state.panics.guard(NAME, || make(&state, &asked))
        })
    };
    let Ok(Ok(Ok(text))) = made.await else { return Err(Problem::Internal) };
    let memory = state.answer_memory.try_enter(text.capacity().div_ceil(1024))?;
    let answer = Answer::held(text.into(), memory);
    Ok(HttpResponse::Ok().content_type(CONTENT_TYPE).body(answer))
}

fn make(state: &State, asked: &Asked) -> Result<String, prometheus::Error> {
    let mut page = Page::default();
    service::add(&mut page, state);
    process::add(&mut page, state.started_at);
    ingest::add(&mut page, state);
    queues::add(&mut page, state);
    storage::add(&mut page, state);
    delivery::add(&mut page, state);
    engines::add(&mut page, state);
    files::add(&mut page, state);
    risk::add(&mut page, state, asked);
    analytics::add(&mut page, state);
    // behind ours, which win
    posted::add(&mut page, &asked.posted);
    page.text().inspect_err(|error| tracing::error!(%error, "the metrics have no text form"))
}
