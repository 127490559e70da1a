//! `GET /api/telemetry/stream`: live events over SSE.

use std::convert::Infallible;

use actix_web::http::{ConnectionType, Method, Version, header};
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use futures_util::Stream;

use crate::actors::sse_fanout::{FanoutHandle, Start, Subscription};
use crate::actors::sse_session::Wish;
use crate::domain::id::BadEventId;
use crate::http::connection::{Connections, StreamLimits};
use crate::http::openapi::errors;
use crate::http::openapi::params::{FilterParams, HeartbeatWord, IdWord};
use crate::http::problem::Problem;
use crate::http::query::Params;
use crate::http::state::State;

/// Most events that `replay` may ask for.
const MAX_REPLAY: usize = 5_000;

/// The route.
///
/// # Errors
/// Faults of the query.
#[utoipa::path(
    get,
    path = "/api/telemetry/stream",
    operation_id = "stream_events",
    tag = "telemetry",
    summary = "Live events over SSE",
    description = include_str!("stream.md"),
    params(
        FilterParams,
        ("replay" = Option<u32>, Query, minimum = 0, maximum = 5000, description = "Begin with so many of the newest events of the choice"),
        ("since_ts" = Option<String>, Query, format = DateTime, description = "Begin with the events that arrived since then"),
        ("last_event_id" = inline(Option<IdWord>), Query, description = "Resume after this event, for clients that cannot send the header"),
        ("lastEventId" = inline(Option<IdWord>), Query, description = "The same under another name"),
        ("since_id" = inline(Option<IdWord>), Query, description = "The same under another name"),
        ("named" = Option<bool>, Query, description = "Each block gets an `event:` line with the event's type"),
        ("heartbeat" = inline(Option<HeartbeatWord>), Query, description = "Whether a heartbeat is a comment (unless given) or an event"),
        ("Last-Event-ID" = Option<String>, Header, description = "Resume after this event; an EventSource sends it by itself. One that is not known begins with a `stream_gap`", example = "1763452541345-0"),
    ),
    responses(
        (status = 200, description = "Blocks without end", body = String, content_type = "text/event-stream",
            headers(
                ("Cache-Control" = String, description = "`no-cache, no-store, no-transform`"),
                ("X-Accel-Buffering" = String, description = "`no`: a proxy shall not wait for more"),
            ),
            example = "retry: 2917\nid: 1763452541345-0\n\nid: 1763452541399-0\ndata: {\"id\":\"1763452541399-0\",\"type\":\"cycle_start\",\"timestamp\":\"2025-11-18T07:55:41.399000Z\",\"payload\":{}}\n\n: heartbeat\nid: 1763452541399-0\n\n"),
        errors::Query,
    )
)]
pub async fn stream(
    request: HttpRequest,
    state: web::Data<State>,
    fanout: web::Data<FanoutHandle>,
) -> Result<HttpResponse, Problem> {
    let subscription = read(&request)?;
    let control = Connections::of(&request).unwrap_or_default();
    let sse = &state.config.sse;
    control.limit(StreamLimits { send_buffer: sse.send_buffer, user_timeout: sse.stall_timeout });
    control.allow_chunks(request.method() == Method::GET && is_chunked(&request));
    let body = fanout.open(subscription, control).await;
    Ok(endless(&request, body))
}

/// Whether the answer to `request` can be sent in chunks; else its end is the end of the connection. actix sends none to whom
/// asks for an upgrade, by either header.
fn is_chunked(request: &HttpRequest) -> bool {
    let wants_upgrade = request.head().upgrade() || request.headers().contains_key(header::UPGRADE);
    request.version() >= Version::HTTP_11 && !wants_upgrade
}

/// The answer to `request` that streams the blocks of `body`.
pub(super) fn endless(request: &HttpRequest, body: impl Stream<Item = Result<Bytes, Infallible>> + 'static) -> HttpResponse {
    let mut response = HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, "text/event-stream"))
        .insert_header((header::CACHE_CONTROL, "no-cache, no-store, no-transform"))
        .insert_header(("X-Accel-Buffering", "no"))
        .streaming(body);
    if !is_chunked(request) {
        response.head_mut().no_chunking(true);
        response.head_mut().set_connection_type(ConnectionType::Close);
    }
    response
}

fn read(request: &HttpRequest) -> Result<Subscription, Problem> {
    let mut params = Params::of(request)?;
    let expected = BadEventId.to_string();
    let header = request.headers().get("Last-Event-ID").map(|value| value.to_str().unwrap_or("?").trim().to_owned());
    // what a browser sends here is what some service told it; refusing it would make it give up for ever
    let mut after = header.filter(|text| !text.is_empty()).map(|text| match text.parse() {
        Ok(id) => Start::After(id),
        Err(_) => Start::Unknown(text),
    });
    for name in ["last_event_id", "lastEventId", "since_id"] {
        let given = params.parsed(name, &expected);
        after = after.or(given.map(Start::After));
    }
    let since = params.time("since_ts");
    let replay = params.number("replay", 0..=MAX_REPLAY);
    let start = match (after, since, replay) {
        (Some(after), ..) => after,
        (None, Some(time), _) => Start::Since(time),
        (None, None, Some(count)) => Start::Replay(count),
        (None, None, None) => Start::Now,
    };
    let heartbeat_event = match params.text("heartbeat") {
        None | Some("comment") => false,
        Some("event") => true,
        Some(_) => {
            params.fault("heartbeat", "must be comment or event");
            false
        }
    };
    let wish = Wish { filter: params.filter(), named: params.flag("named") };
    params.finish().map(|()| Subscription { wish, heartbeat_event, start })
}
