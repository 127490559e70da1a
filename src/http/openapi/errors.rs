//! The refusals that routes share, so that each is described once. Name them in the `responses` of a route.
//!
//! What every route may answer (400, 403 and 500) is added by `complete` and not named anywhere.

use std::collections::BTreeMap;

use utoipa::IntoResponses;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::response::{Response, ResponseBuilder};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{ContentBuilder, Ref, RefOr};

/// 422: parameters that are not acceptable.
#[derive(Debug)]
pub struct Query;

/// 404: there is no such thing.
#[derive(Debug)]
pub struct Missing;

/// 409: it does not fit what is there now.
#[derive(Debug)]
pub struct Conflict;

/// 503 with `Retry-After`: something is full or failing for the moment.
#[derive(Debug)]
pub struct Unavailable;

/// Everything that a route with a body may refuse: 408, 413, 415, 422 and 503.
#[derive(Debug)]
pub struct Body;

/// What a route answers, by status.
type Answers = BTreeMap<String, RefOr<Response>>;

impl IntoResponses for Query {
    fn responses() -> Answers {
        named(&["422"])
    }
}

impl IntoResponses for Missing {
    fn responses() -> Answers {
        named(&["404"])
    }
}

impl IntoResponses for Conflict {
    fn responses() -> Answers {
        named(&["409"])
    }
}

impl IntoResponses for Unavailable {
    fn responses() -> Answers {
        named(&["503"])
    }
}

impl IntoResponses for Body {
    fn responses() -> Answers {
        named(&["408", "413", "415", "422", "503"])
    }
}

/// What every route may answer.
pub(super) fn universal() -> Answers {
    named(&["400", "403", "500"])
}

struct Shared {
    status: &'static str,
    name: &'static str,
    description: &'static str,
    example: fn() -> serde_json::Value,
}

fn example(kind: &str, title: &str, status: u16, detail: &str) -> serde_json::Value {
    serde_json::json!({ "type": format!("urn:plimsoll:problem:{kind}"), "title": title, "status": status, "detail": detail })
}

/// Every shared refusal.
const SHARED: &[Shared] = &[
    Shared {
        status: "400",
        name: "Malformed",
        description: "The request is not of the expected form at all: its query, its JSON, a name in its path or a header.",
        example: || example("malformed", "The request is malformed", 400, "the body is not valid JSON: EOF at line 1 column 9"),
    },
    Shared {
        status: "403",
        name: "Foreign",
        description: "The `Host` is not this service's, or a page of a foreign origin wants to change something.",
        example: || {
            let detail = "the Host header must be localhost, an IP address, or a name in http.allowed_hosts";
            example("foreign-host", "This service does not answer for that host", 403, detail)
        },
    },
    Shared {
        status: "404",
        name: "Missing",
        description: "There is no such thing; `detail` says what is missing.",
        example: || example("not-found", "There is nothing here", 404, "no engine fno is known"),
    },
    Shared {
        status: "408",
        name: "TooSlow",
        description: "The body did not arrive within `http.body_timeout`.",
        example: || example("timeout", "The request came too slowly", 408, "the body must arrive within http.body_timeout"),
    },
    Shared {
        status: "409",
        name: "Conflict",
        description: "The request does not fit what is there now; `detail` says what to do.",
        example: || {
            let detail = "the overrides file is malformed: mend it or move it away, then try again";
            example("conflict", "The request does not fit what is there now", 409, detail)
        },
    },
    Shared {
        status: "413",
        name: "TooLarge",
        description: "The body, an event or the number of items is beyond a limit of the configuration.",
        example: || example("too-large", "The request is too large", 413, "the body must be at most 16777216 bytes long"),
    },
    Shared {
        status: "415",
        name: "UnsupportedMedia",
        description: "The body has another content type or a content encoding.",
        example: || {
            let detail = "send application/json or application/x-ndjson";
            example("unsupported-media-type", "The content type is not supported", 415, detail)
        },
    },
    Shared {
        status: "422",
        name: "Unacceptable",
        description: "Well-formed, but not acceptable: every fault is in `errors`, and nothing was done.",
        example: || {
            let fault = serde_json::json!({ "field": "limit", "message": "must be a whole number from 1 to 1000" });
            serde_json::json!({
                "type": "urn:plimsoll:problem:not-acceptable", "title": "The request is not acceptable", "status": 422,
                "detail": "nothing was done; see errors", "errors": [fault],
            })
        },
    },
    Shared {
        status: "500",
        name: "Internal",
        description: "A bug; its detail is in the service's log.",
        example: || example("internal", "An internal error", 500, "it has been logged"),
    },
    Shared {
        status: "503",
        name: "Unavailable",
        description: "Something is full or failing for the moment, or the service is stopping. Try again after `Retry-After`.",
        example: || {
            let detail = "too many events are waiting to be journalled; try again";
            example("unavailable", "The service cannot take this now", 503, detail)
        },
    },
];

fn named(statuses: &[&str]) -> Answers {
    let shared = SHARED.iter().filter(|shared| statuses.contains(&shared.status));
    shared.map(|shared| (shared.status.to_owned(), RefOr::Ref(Ref::from_response_name(shared.name)))).collect()
}

/// The shared refusals themselves, by name.
pub(super) fn components() -> BTreeMap<String, RefOr<Response>> {
    SHARED.iter().map(|shared| (shared.name.to_owned(), RefOr::T(described(shared)))).collect()
}

fn described(shared: &Shared) -> Response {
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).example(Some((shared.example)()));
    let response = ResponseBuilder::new().description(shared.description).content("application/problem+json", content.build());
    if shared.status != "503" {
        return response.build();
    }
    let seconds = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(1));
    let header = HeaderBuilder::new().schema(Some(seconds)).description(Some("Seconds to wait before the next try."));
    response.header("Retry-After", header.build()).build()
}
