//! `GET` and `DELETE /api/telemetry/events`.

use actix_web::{HttpRequest, HttpResponse, web};

use crate::actors::history::{EventPage, EventQuery};
use crate::domain::id::{BadEventId, EventId};
use crate::http::answer::Answer;
use crate::http::openapi::errors;
use crate::http::openapi::params::{FilterParams, IdWord, OrderWord, SpanParams};
use crate::http::openapi::shapes::EventPageBody;
use crate::http::problem::Problem;
use crate::http::query::Params;
use crate::http::state::State;

/// Events from ring and journal, as one answer.
///
/// # Errors
/// Faults of the query, or a journal that does not answer.
#[utoipa::path(
    get,
    path = "/api/telemetry/events",
    operation_id = "list_events",
    tag = "telemetry",
    summary = "Events, a page at a time",
    description = "Recent ones come from memory, older ones from the journal, as one answer without a seam. Without an id the \
        page holds the newest events; `next` is where the following page begins. A page may be empty and still have a `next`, \
        when a rare choice takes long to find.",
    params(
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "Most events of the page; 100 unless given"),
        FilterParams,
        SpanParams,
        ("since_id" = inline(Option<IdWord>), Query, description = "Only events after this one"),
        ("before_id" = inline(Option<IdWord>), Query, description = "Only events before this one"),
        ("order" = inline(Option<OrderWord>), Query, description = "Where the page begins: at the newest events (`desc`, unless given) or at the oldest"),
    ),
    responses((status = 200, description = "The page", body = EventPageBody), errors::Query, errors::Unavailable)
)]
pub async fn list(request: HttpRequest, state: web::Data<State>) -> Result<HttpResponse, Problem> {
    let query = read(Params::of(&request)?)?;
    let page = state.history.query(query).await?;
    let answer = Answer::new(page.size(), &state.answer_memory, |body| write(page, body))?;
    Ok(HttpResponse::Ok().content_type("application/json").body(answer))
}

fn write(page: EventPage, body: &mut Vec<u8>) {
    body.extend_from_slice(b"{\"events\":[");
    let count = page.events.len();
    for (index, event) in page.events.into_iter().enumerate() {
        if index > 0 {
            body.push(b',');
        }
        event.write_json(body);
    }
    let next = page.next.map_or("null".to_owned(), |id| format!("\"{id}\""));
    body.extend_from_slice(format!("],\"count\":{count},\"next\":{next}}}").as_bytes());
}

fn read(mut params: Params) -> Result<EventQuery, Problem> {
    let expected = BadEventId.to_string();
    let mut filter = params.filter();
    filter.since = params.time("since_ts");
    filter.until = params.time("until_ts");
    let oldest_first = match params.text("order") {
        None | Some("desc") => false,
        Some("asc") => true,
        Some(_) => {
            params.fault("order", "must be asc or desc");
            false
        }
    };
    let query = EventQuery {
        filter,
        after: params.parsed("since_id", &expected).unwrap_or(EventId::ZERO),
        before: params.parsed("before_id", &expected).unwrap_or(EventId::MAX),
        oldest_first,
        limit: params.number("limit", 1..=1000).unwrap_or(100),
    };
    params.finish().map(|()| query)
}

/// Empties the ring; the journal stays.
///
/// # Errors
/// The service is stopping.
#[utoipa::path(
    delete,
    path = "/api/telemetry/events",
    operation_id = "clear_events",
    tag = "telemetry",
    summary = "Empty the memory of recent events",
    description = "The journal stays as it is, so pages and streams still have every event.",
    responses((status = 204, description = "It is empty"), errors::Unavailable)
)]
pub async fn clear(state: web::Data<State>) -> Result<HttpResponse, Problem> {
    state.bus.clear_ring().await?;
    Ok(HttpResponse::NoContent().finish())
}
