//! `POST /api/telemetry/events`: one event, an array, or NDJSON.

use std::cell::Cell;
use std::fmt;
use std::time::Instant;

use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use serde::Serialize;
use serde::de::{DeserializeSeed, Deserializer, Error as _, SeqAccess, Visitor};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::ingest_measures::{Way, taken};
use super::ndjson;
use super::tally::{Summary, Tally};
use crate::actors::publisher::Receipt;
use crate::domain::clock::Timestamp;
use crate::domain::envelope;
use crate::domain::event::Draft;
use crate::http::body::{Body, Form};
use crate::http::openapi::errors;
use crate::http::openapi::shapes::{NewEvent, NewEvents};
use crate::http::problem::Problem;
use crate::http::query::Params;
use crate::http::state::State;

/// After so many events a long batch lets the thread's other clients go first.
pub(super) const BREATH: usize = 256;

/// What became of one event.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Receipt, example = json!({"id": "1763452541345-0", "duplicate": false}))]
pub struct ReceiptBody {
    /// Its id; of a duplicate the first one's.
    id: String,
    /// Whether it was there already, by its `event_id`.
    duplicate: bool,
}

/// What became of a post: of one event, or of many.
#[derive(Debug, ToSchema)]
#[schema(as = Published)]
#[serde(untagged)]
#[expect(dead_code, reason = "it only describes")]
enum Published<'a> {
    /// Of one.
    One(ReceiptBody),
    /// Of many.
    Many(Summary<'a>),
}

impl From<&Receipt> for ReceiptBody {
    fn from(receipt: &Receipt) -> Self {
        Self { id: receipt.id.to_string(), duplicate: receipt.duplicate }
    }
}

/// The route.
///
/// # Errors
/// See [`Problem`].
#[utoipa::path(
    post,
    path = "/api/telemetry/events",
    operation_id = "publish_events",
    tag = "telemetry",
    summary = "Publish one event, an array, or a stream of lines",
    description = "Answered when the events are durable. One event is answered with its id; many with what became of each: \
        201, or 207 when some were refused, 400 when none was good. NDJSON is read as it arrives, and may be as long as \
        `telemetry.max_ndjson_bytes`. An `event_id` makes a repeated post harmless.",
    params(("atomic" = Option<bool>, Query, description = "All or nothing: with a fault anywhere nothing is published (422)")),
    request_body(description = "The events; of NDJSON one a line", content(
        (NewEvents = "application/json"),
(NewEvent = "application/x-ndjson"),
    )),
    responses(
        (status = 201, description = "All were taken", body = Published<'_>),
        (status = 207, description = "Some were taken, some refused", body = Summary<'_>, example = json!({
            "accepted": 1, "duplicates": 0, "rejected": [{"index": 1, "errors": [{"field": "payload", "message": "is required"}]}],
            "first_id": "1763452541345-0", "last_id": "1763452541345-0"
        })),
        errors::Body,
    )
)]
pub async fn publish(request: HttpRequest, payload: web::Payload, state: web::Data<State>) -> Result<HttpResponse, Problem> {
    let begun = Instant::now();
    let (form, atomic) = read(&request).map_err(|problem| problem.unread(&request))?;
    let telemetry = &state.config.telemetry;
    let buffered = atomic || form == Form::Json;
    let limit = if buffered { telemetry.max_body_bytes as u64 } else { telemetry.max_ndjson_bytes };
    let body = Body::new(&request, payload, limit, state.config.http.body_timeout).map_err(|problem| problem.unread(&request))?;
    if !buffered {
        let answer = ndjson::publish(&state, body, limit).await?;
        taken(&request, Way::Ndjson, begun);
        return Ok(answer);
    }
    let body = body.whole(telemetry.max_body_bytes, &state.body_memory).await.map_err(|problem| problem.interrupting(None))?;
    let is_array = body.bytes.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[');
    let most = telemetry.max_batch_events;
    let (way, answer) = match (form, is_array) {
        (Form::Json, false) => (Way::One, publish_one(&state, &body.bytes).await?),
        (Form::Json, true) => (Way::Array, publish_many(&state, &array(&body.bytes, most)?, atomic).await?),
        (Form::Ndjson, _) => (Way::Ndjson, publish_many(&state, &lines(&body.bytes, most)?, atomic).await?),
    };
    taken(&request, way, begun);
    Ok(answer)
}

fn read(request: &HttpRequest) -> Result<(Form, bool), Problem> {
    let form = Form::of(request)?;
    let mut params = Params::of(request)?;
    let atomic = params.flag("atomic");
    params.finish().map(|()| (form, atomic))
}

async fn publish_one(state: &State, json: &[u8]) -> Result<HttpResponse, Problem> {
    let draft = envelope::parse(json, &state.config.telemetry.rules, state.clock.now());
    let draft = draft.inspect_err(|refusal| state.ingest.rejected(refusal))?;
    let receipts = state.bus.publish(vec![draft]).await?;
    let Some(receipt) = receipts.first() else { return Err(Problem::Internal) };
    Ok(HttpResponse::Created().json(ReceiptBody::from(receipt)))
}

async fn publish_many(state: &State, items: &[&[u8]], atomic: bool) -> Result<HttpResponse, Problem> {
    // room first: what is parsed has to be held until it is committed
    let bytes = items.iter().map(|item| item.len()).sum();
    let room = state.bus.room(Draft::size_of_many(items.len(), bytes)).await?;
    let now = state.clock.now();
    let mut tally = Tally::default();
    let mut drafts = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        drafts.extend(parse(state, index, item, now, &mut tally));
        if index % BREATH == BREATH - 1 {
            tokio::task::yield_now().await;
        }
    }
    if atomic && tally.has_rejected() {
        return Err(tally.refusal());
    }
    if !drafts.is_empty() {
        tally.published(&state.bus.send(drafts, room).published().await?);
    }
    tally.answer()
}

/// Parses one item of a batch; its faults go into `tally`.
pub(super) fn parse(state: &State, index: usize, item: &[u8], now: Timestamp, tally: &mut Tally) -> Option<Draft> {
    let draft = envelope::parse(item, &state.config.telemetry.rules, now).inspect_err(|refusal| state.ingest.rejected(refusal));
    draft.map_err(|refusal| tally.rejected(index, refusal.into_faults())).ok()
}

fn lines(body: &Bytes, max: usize) -> Result<Vec<&[u8]>, Problem> {
    let lines: Vec<&[u8]> =
        body.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()).take(max + 1).collect();
    if lines.len() > max { Err(too_many(max)) } else { Ok(lines) }
}

fn array(body: &Bytes, max: usize) -> Result<Vec<&[u8]>, Problem> {
    let full = Cell::new(false);
    let text = std::str::from_utf8(body).map_err(|_| Problem::Malformed("the body is not UTF-8".into()))?;
    let mut json = serde_json::Deserializer::from_str(text);
    let items = Items { max, full: &full }.deserialize(&mut json).and_then(|items| json.end().map(|()| items));
    items.map_err(
        |error| if full.get() { too_many(max) } else { Problem::Malformed(format!("the body {}", envelope::say(&error))) },
    )
}

fn too_many(max: usize) -> Problem {
    Problem::TooLarge(format!("at most {max} events in one request; stream more as application/x-ndjson"))
}

/// The items of an array as raw JSON, no more than `max`: a body of commas must not become a list of millions.
struct Items<'c> {
    max: usize,
    full: &'c Cell<bool>,
}

impl<'de> DeserializeSeed<'de> for Items<'_> {
    type Value = Vec<&'de [u8]>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Items<'_> {
    type Value = Vec<&'de [u8]>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of events")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element::<&'de RawValue>()? {
            if items.len() == self.max {
                self.full.set(true);
                return Err(A::Error::custom("too many events"));
            }
            items.push(item.get().as_bytes());
        }
        Ok(items)
    }
}
