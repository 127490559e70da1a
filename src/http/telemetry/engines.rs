//! `/api/telemetry/engines`: the engines' own beats, and how they all are.

use std::fmt::Write as _;
use std::sync::atomic::Ordering;

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::json;

use super::ingest::ReceiptBody;
use crate::domain::clock::Timestamp;
use crate::domain::engine::{EngineName, Limits, Status, Update};
use crate::domain::event::{Draft, Header};
use crate::domain::payload::Payload;
use crate::http::answer::Answer;
use crate::http::body::{Body, Form};
use crate::http::openapi::errors;
use crate::http::openapi::shapes::{EngineList, EngineRecord};
use crate::http::problem::Problem;
use crate::http::state::State;

/// After so many engines a long list lets the thread's other clients go first.
const BREATH: usize = 128;
/// When an engine that is one too many may try again, in seconds.
const FULL_RETRY: u32 = 60;

/// `GET /api/telemetry/engines`, sorted by name.
///
/// # Errors
/// Clients that do not read their answers hold all memory for them.
#[utoipa::path(
    get,
    path = "/api/telemetry/engines",
    operation_id = "list_engines",
    tag = "engines",
    summary = "The engines, and how each is",
    responses((status = 200, description = "The engines, sorted by name", body = EngineList), errors::Unavailable)
)]
pub async fn list(state: web::Data<State>) -> Result<HttpResponse, Problem> {
    let engines = state.engines.current().await;
    let is_complete = engines.is_rebuilt.load(Ordering::Acquire);
    let mut names: Vec<EngineName> = engines.engines.iter().map(|engine| engine.key().clone()).collect();
    names.sort_unstable();
    let config = &state.config.engines;
    let limits = Limits { stale_after: config.stale_after, symbol_silence: config.symbol_silence };
    let now = state.clock.now();
    // said in the answer, so that a list that is not complete does not look so
    let rebuilding = if is_complete { "" } else { r#""rebuilding":true,"# };
    let mut body = format!(r#"{{"asof":"{now}",{rebuilding}"engines":["#);
    for (index, name) in names.iter().enumerate() {
        // judged at one time, whatever it takes
        let Some(view) = engines.engines.get(name).map(|engine| engine.view(now, limits)) else { continue };
        // a String takes every write
        let _ = write!(body, "{}{view}", if body.ends_with('[') { "" } else { "," });
        if index % BREATH == BREATH - 1 {
            tokio::task::yield_now().await;
        }
    }
    body.push_str("]}");
    let answer = Answer::new(body.len(), &state.answer_memory, |out| out.extend_from_slice(body.as_bytes()))?;
    Ok(HttpResponse::Ok().content_type("application/json").body(answer))
}

/// `POST /api/telemetry/engines/{name}/heartbeat`: a partial record. Answered when it is durable.
///
/// # Errors
/// See [`Problem`].
#[utoipa::path(
    post,
    path = "/api/telemetry/engines/{name}/heartbeat",
    operation_id = "beat",
    tag = "engines",
    summary = "An engine lives",
    description = "A partial record: what it does not name stays as it was. The beat is an event, answered when it is durable.",
    params(("name" = String, Path, pattern = "^[A-Za-z0-9_-]{1,64}$", description = "The engine", example = "fno")),
    request_body(content = EngineRecord, description = "What the engine says of itself"),
    responses((status = 201, description = "The beat is durable", body = ReceiptBody), errors::Body)
)]
pub async fn heartbeat(
    request: HttpRequest,
    path: web::Path<String>,
    payload: web::Payload,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    let name = named(&path).and_then(|name| admitted(name, &state)).map_err(|problem| problem.unread(&request))?;
    Form::json(&request).map_err(|problem| problem.unread(&request))?;
    let record = receive(&request, payload, &state).await?;
    beat(&state, &name, &record, None).await
}

/// `POST /api/telemetry/engines/{name}/stopped`: an engine that is known ends on purpose. A record may come with it.
///
/// # Errors
/// See [`Problem`].
#[utoipa::path(
    post,
    path = "/api/telemetry/engines/{name}/stopped",
    operation_id = "stop_engine",
    tag = "engines",
    summary = "An engine ends on purpose",
    description = "It is not missed any more. A last record may come with it; without one the body is empty.",
    params(("name" = String, Path, pattern = "^[A-Za-z0-9_-]{1,64}$", description = "The engine", example = "fno")),
    request_body(content = Option<EngineRecord>, description = "Its last record, if any"),
    responses((status = 201, description = "The beat is durable", body = ReceiptBody), errors::Missing, errors::Body)
)]
pub async fn stopped(
    request: HttpRequest,
    path: web::Path<String>,
    payload: web::Payload,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    let name = named(&path).map_err(|problem| problem.unread(&request))?;
    let record = receive(&request, payload, &state).await?;
    if !record.trim().is_empty() {
        Form::json(&request)?;
    }
    if state.engines.knows(&name).await == Some(false) {
        return Err(Problem::Missing(format!("no engine {name} is known")));
    }
    let record = if record.trim().is_empty() { "{}" } else { record.as_str() };
    beat(&state, &name, record, Some(Status::Stopped)).await
}

fn named(path: &str) -> Result<EngineName, Problem> {
    EngineName::parse(path).map_err(|expected| Problem::Malformed(format!("the engine's name {expected}")))
}

fn admitted(name: EngineName, state: &State) -> Result<EngineName, Problem> {
    if state.engines.is_full_for(&name) {
        state.engines.engines().ignored.fetch_add(1, Ordering::Relaxed);
        let detail = "there are as many engines as engines.max allows".to_owned();
        return Err(Problem::Unavailable { detail, retry_after: FULL_RETRY });
    }
    Ok(name)
}

async fn receive(request: &HttpRequest, payload: web::Payload, state: &State) -> Result<String, Problem> {
    let limit = state.config.telemetry.rules.max_event_bytes;
    let body = Body::new(request, payload, limit as u64, state.config.http.body_timeout);
    let body = body.map_err(|problem| problem.unread(request))?;
    let body = body.whole(limit, &state.body_memory).await.map_err(|problem| problem.interrupting(None))?;
    let text = std::str::from_utf8(&body.bytes).map_err(|_| Problem::Malformed("the record is not UTF-8".into()))?;
    Ok(text.trim_start_matches('\u{feff}').to_owned())
}

async fn beat(state: &State, name: &EngineName, record: &str, status: Option<Status>) -> Result<HttpResponse, Problem> {
    let draft = draft(name, record, status, state.config.telemetry.rules.max_depth, state.clock.now())?;
    let receipts = state.bus.publish(vec![draft]).await?;
    let Some(receipt) = receipts.first() else { return Err(Problem::Internal) };
    Ok(HttpResponse::Created().json(ReceiptBody::from(receipt)))
}

/// The event of a beat: the record as it came, with the name in front and, if it is given, this status.
fn draft(name: &EngineName, record: &str, status: Option<Status>, max_depth: usize, now: Timestamp) -> Result<Draft, Problem> {
    Update::parse(record, Some(name)).map_err(|faults| match faults.as_slice() {
        [fault] if fault.field.is_empty() => Problem::Malformed(format!("the record {}", fault.message)),
        _ => Problem::faults(faults),
    })?;
    let fields = Payload::inspect(record.trim(), max_depth).map_err(|fault| Problem::Malformed(format!("the record {fault}")))?;
    let mut payload = format!(r#"{{"name":"{name}""#);
    let is_ours = |key: &str| key == "name" || (key == "status" && status.is_some());
    let status_field = status.map(|status| ("status", format!("\"{}\"", status.as_str())));
    let given = fields.fields().filter(|(key, _)| !is_ours(key)).map(|(key, raw)| (key, raw.to_owned()));
    for (key, raw) in status_field.into_iter().chain(given) {
        // a String takes every write
        let _ = write!(payload, ",{}:{raw}", json!(key));
    }
    payload.push('}');
    let header = Header {
        event_type: "engine_heartbeat".into(),
        timestamp: now,
        source: Some(name.as_str().into()),
        severity: None,
        profile_id: None,
        event_id: None,
        symbol: None,
        strategy: None,
    };
    Ok(Draft::new(header, &payload))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::EventId;

    fn payload(record: &str, status: Option<Status>) -> String {
        let name = EngineName::parse("fno").expect("a name");
        let draft = draft(&name, record, status, 64, Timestamp::from_micros(0)).expect("valid");
        draft.stamp(EventId::ZERO).payload().to_owned()
    }

    #[test]
    fn a_beat_is_passed_through_with_its_name_in_front() {
        assert_eq!(payload("{}", None), r#"{"name":"fno"}"#);
        let record = "\n{ \"loop_tick\" : 1.0,\"cpu \\\"%\": [1, 2],\n\"name\":\"fno\", \"last_error\":null}";
        assert_eq!(payload(record, None), r#"{"name":"fno","loop_tick":1.0,"cpu \"%":[1, 2],"last_error":null}"#);
    }

    #[test]
    fn stopped_wins_over_what_the_record_says() {
        let stopped = payload(r#"{"status":"running","loop_tick":7}"#, Some(Status::Stopped));
        assert_eq!(stopped, r#"{"name":"fno","status":"stopped","loop_tick":7}"#);
    }
}
