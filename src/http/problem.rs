//! Errors as the client sees them (RFC 9457); the only place that picks an error status.

use std::fmt;
use std::time::Duration;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::{StatusCode, header};
use actix_web::middleware::Next;
use actix_web::{HttpRequest, HttpResponse, ResponseError};
use serde::Serialize;

use super::connection::Connections;
use crate::actors::admission::Full;
use crate::actors::journal_reader::ReadError;
use crate::actors::publisher::PublishError;
use crate::actors::risk_handle::RiskError;
use crate::actors::sse_session::Connection as _;
use crate::domain::envelope::Refusal;
use crate::domain::fault::FieldFault;
use crate::storage::StorageError;

/// A fault of one item of a batch, or of a single one.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct ItemFault {
    /// Which item; absent for a single one.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<usize>,
    /// The fault.
    #[serde(flatten)]
    pub fault: FieldFault,
}

/// What went wrong, in the words of the domain.
#[derive(Debug, Clone)]
pub enum Problem {
    /// Not of the expected form at all.
    Malformed(String),
    /// No item of a batch was good.
    NoneAccepted(Vec<ItemFault>),
    /// Well-formed but not acceptable.
    Unacceptable(Vec<ItemFault>),
    /// Larger than this; in words.
    TooLarge(String),
    /// Another content type or encoding is expected.
    UnsupportedMedia(String),
    /// The request names a host that this service does not answer for.
    ForeignHost,
    /// A page of a foreign origin wants to change something.
    ForeignOrigin,
    /// There is no such resource.
    NotFound,
    /// There is no such thing; in words.
    Missing(String),
    /// The resource has other methods.
    MethodNotAllowed(&'static str),
    /// It does not fit what is there now; in words, with what to do.
    Conflict(String),
    /// The body came too slowly.
    TooSlow,
    /// Something is full or failing for the moment; in words.
    Unavailable {
        /// What, and what to do.
        detail: String,
        /// When to try again, in seconds.
        retry_after: u32,
    },
    /// It is not known what became of the events.
    Unknown,
    /// Answered before the end of the request's body; the connection is closed behind the answer.
    Interrupted {
        /// Why.
        cause: Box<Problem>,
        /// What was taken of the body.
        taken: Option<serde_json::Value>,
    },
    /// A bug; its detail is in the log.
    Internal,
}

/// How long a client shall wait for a full queue, in seconds.
const QUEUE_RETRY: u32 = 1;
/// How long a client shall wait for a failing journal or a stopping service, in seconds.
const FAILURE_RETRY: u32 = 5;

impl Problem {
    /// Faults of a query's parameters or of one item.
    #[must_use]
    pub fn faults(faults: Vec<FieldFault>) -> Self {
        Self::Unacceptable(faults.into_iter().map(|fault| ItemFault { index: None, fault }).collect())
    }

    /// The same, when the request's body may not have been read to its end.
    #[must_use]
    pub fn interrupting(self, taken: Option<serde_json::Value>) -> Self {
        Self::Interrupted { cause: Box::new(self), taken }
    }

    /// The answer to a request that is not looked into; a body that it has is left unread.
    #[must_use]
    pub fn unread(self, request: &HttpRequest) -> Self {
        let has_body =
            [header::CONTENT_LENGTH, header::TRANSFER_ENCODING].iter().any(|name| request.headers().contains_key(name));
        if has_body { self.interrupting(None) } else { self }
    }

    fn unavailable(detail: &str, retry_after: u32) -> Self {
        Self::Unavailable { detail: detail.to_owned(), retry_after }
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::Malformed(_) | Self::NoneAccepted(_) => StatusCode::BAD_REQUEST,
            Self::Unacceptable(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMedia(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::ForeignHost | Self::ForeignOrigin => StatusCode::FORBIDDEN,
            Self::NotFound | Self::Missing(_) => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::Conflict(_) => StatusCode::CONFLICT,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::Unavailable { .. } | Self::Unknown => StatusCode::SERVICE_UNAVAILABLE,
            Self::Interrupted { cause, .. } => cause.status(),
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The stable name of this kind of problem, and its title.
    fn kind(&self) -> (&'static str, &'static str) {
        match self {
            Self::Malformed(_) => ("malformed", "The request is malformed"),
            Self::NoneAccepted(_) => ("none-accepted", "No event was accepted"),
            Self::Unacceptable(_) => ("not-acceptable", "The request is not acceptable"),
            Self::TooLarge(_) => ("too-large", "The request is too large"),
            Self::UnsupportedMedia(_) => ("unsupported-media-type", "The content type is not supported"),
            Self::ForeignHost => ("foreign-host", "This service does not answer for that host"),
            Self::ForeignOrigin => ("foreign-origin", "A page of that origin may not change anything here"),
            Self::NotFound | Self::Missing(_) => ("not-found", "There is nothing here"),
            Self::MethodNotAllowed(_) => ("method-not-allowed", "The method is not allowed here"),
            Self::Conflict(_) => ("conflict", "The request does not fit what is there now"),
            Self::TooSlow => ("timeout", "The request came too slowly"),
            Self::Unavailable { .. } => ("unavailable", "The service cannot take this now"),
            Self::Unknown => ("outcome-unknown", "It is not known what became of the events"),
            Self::Interrupted { cause, .. } => cause.kind(),
            Self::Internal => ("internal", "An internal error"),
        }
    }

    fn detail(&self) -> String {
        match self {
            Self::Malformed(detail)
            | Self::TooLarge(detail)
            | Self::UnsupportedMedia(detail)
            | Self::Missing(detail)
            | Self::Conflict(detail) => detail.clone(),
            Self::NoneAccepted(_) => "every item has faults; see errors".into(),
            Self::Unacceptable(_) => "nothing was done; see errors".into(),
            Self::ForeignHost => "the Host header must be localhost, an IP address, or a name in http.allowed_hosts".into(),
            Self::ForeignOrigin => "the Origin header must be this service's own, or one in http.cors_origins".into(),
            Self::NotFound => "check the path".into(),
            Self::MethodNotAllowed(allowed) => format!("allowed are {allowed}"),
            Self::TooSlow => "the body must arrive within http.body_timeout".into(),
            Self::Unavailable { detail, .. } => detail.clone(),
            Self::Unknown => "they may have been journalled; repeat the request (with event_id nothing is doubled)".into(),
            Self::Interrupted { cause, .. } => cause.detail(),
            Self::Internal => "it has been logged".into(),
        }
    }

    fn errors(&self) -> Option<&[ItemFault]> {
        match self {
            Self::NoneAccepted(faults) | Self::Unacceptable(faults) => Some(faults),
            _ => None,
        }
    }

    fn allowed(&self) -> Option<&'static str> {
        match self {
            Self::MethodNotAllowed(allowed) => Some(allowed),
            Self::Interrupted { cause, .. } => cause.allowed(),
            _ => None,
        }
    }

    fn retry_after(&self) -> Option<u32> {
        match self {
            Self::Unavailable { retry_after, .. } => Some(*retry_after),
            Self::Unknown => Some(FAILURE_RETRY),
            Self::Interrupted { cause, .. } => cause.retry_after(),
            _ => None,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind().1, self.detail())
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.status()
    }

    fn error_response(&self) -> HttpResponse<BoxBody> {
        #[derive(Serialize)]
        struct Body<'a> {
            r#type: String,
            title: &'a str,
            status: u16,
            detail: String,
            #[serde(skip_serializing_if = "Option::is_none")]
            errors: Option<&'a [ItemFault]>,
            #[serde(flatten)]
            taken: Option<&'a serde_json::Value>,
        }
        let (kind, title) = self.kind();
        let (errors, taken) = match self {
            Self::Interrupted { cause, taken } => (cause.errors(), taken.as_ref()),
            other => (other.errors(), None),
        };
        let status = self.status();
        let body = Body {
            r#type: format!("urn:plimsoll:problem:{kind}"),
            title,
            status: status.as_u16(),
            detail: self.detail(),
            errors,
            taken,
        };
        let mut response = HttpResponse::build(status);
        response.content_type("application/problem+json");
        if matches!(self, Self::Interrupted { .. }) {
            response.force_close();
        }
        if let Some(seconds) = self.retry_after() {
            response.insert_header((header::RETRY_AFTER, seconds));
        }
        if let Some(allowed) = self.allowed() {
            response.insert_header((header::ALLOW, allowed));
        }
        // these types always have a JSON form
        response.body(serde_json::to_vec(&body).unwrap_or_default())
    }
}

/// Middleware: an error that is not ours, such as a panic of a route, is answered in the one form of errors too.
///
/// # Errors
/// What the routes answer with.
pub async fn translate(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    let answer = next.call(request).await.map_err(|error| {
        let is_bug = error.as_error::<Problem>().is_none() && error.as_response_error().status_code().is_server_error();
        if is_bug { Problem::Internal.into() } else { error }
    })?;
    let problem = answer.response().error().and_then(|error| error.as_error::<Problem>());
    if let (Some(Problem::Interrupted { .. }), Some(control)) = (problem, Connections::of(answer.request())) {
        // the server would read on for as long as the client sends; it gets the time to read its answer
        control.allow(LINGER_BYTES);
        actix_web::rt::spawn(async move {
            tokio::time::sleep(LINGER).await;
            control.cut();
        });
    }
    Ok(answer)
}

/// How long a client whose body was refused may take to read why.
const LINGER: Duration = Duration::from_secs(1);
/// What it may send in the meantime.
const LINGER_BYTES: usize = 1 << 20;

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Malformed(message) => Self::Malformed(format!("the event {message}")),
            Refusal::Unacceptable(faults) => Self::faults(faults),
            Refusal::TooLarge(limit) => Self::TooLarge(format!("an event must be at most {limit} bytes long")),
        }
    }
}

impl From<PublishError> for Problem {
    fn from(error: PublishError) -> Self {
        match error {
            PublishError::Full => Self::unavailable("too many events are waiting to be journalled; try again", QUEUE_RETRY),
            PublishError::Stopping => Self::unavailable("the service is stopping; try again when it is back", FAILURE_RETRY),
            PublishError::Journal(StorageError::Full(_)) => {
                Self::unavailable("the journal's disk is full; make room on it, and it goes on by itself", FAILURE_RETRY)
            }
            PublishError::Journal(_) => Self::unavailable("the journal cannot be written; /health says why", FAILURE_RETRY),
            PublishError::Unknown => Self::Unknown,
        }
    }
}

impl From<ReadError> for Problem {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Busy => Self::unavailable("too many queries are waiting; try again", QUEUE_RETRY),
            ReadError::Lost => Self::Internal,
            ReadError::Storage(error @ StorageError::TooSlow(_)) => {
                Self::unavailable(&format!("{error}; narrow it down with since_id, since_ts or event_type"), FAILURE_RETRY)
            }
            ReadError::Storage(StorageError::TooMany(most)) => Self::faults(vec![FieldFault::new(
                "bucket",
                format!("gives more than {most} counts; take a longer bucket or a shorter time"),
            )]),
            ReadError::Storage(error) => {
                tracing::error!(%error, "the journal cannot be read");
                Self::unavailable("the journal cannot be read", FAILURE_RETRY)
            }
        }
    }
}

impl From<RiskError> for Problem {
    fn from(error: RiskError) -> Self {
        match error {
            RiskError::Gone => Self::unavailable("risk is not evaluated; restart the service", FAILURE_RETRY),
            RiskError::Busy => Self::unavailable("too many questions about risk are waiting; try again", QUEUE_RETRY),
            RiskError::Rebuilding => {
                Self::unavailable("the day's figures are being rebuilt from the journal; try again", QUEUE_RETRY)
            }
            RiskError::Failed => Self::Internal,
        }
    }
}

impl From<Full> for Problem {
    fn from(_: Full) -> Self {
        Self::unavailable("too many large requests or answers are under way; try again", QUEUE_RETRY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actors::supervision::Panics;
    use crate::http::server::count_panics;
    use actix_web::dev::Service as _;
    use actix_web::middleware::from_fn;
    use actix_web::{App, test, web};
    use actix_web_lab::middleware::CatchPanic;

    #[actix_web::test]
    async fn a_panic_of_a_route_is_a_problem_without_detail_and_is_counted() {
        let panics = Panics::default();
        async fn route() -> HttpResponse {
            panic!("secret")
        }
        let app = App::new()
            .route("/", web::get().to(route))
            .wrap(count_panics(panics.clone()))
            .wrap(CatchPanic::default())
            .wrap(from_fn(translate));
        let app = test::init_service(app).await;
        let failed = app.call(test::TestRequest::get().to_request()).await.err().expect("an error");
        let answer = failed.error_response();
        assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(answer.headers().get("content-type").unwrap(), "application/problem+json");
        let body = actix_web::body::to_bytes(answer.into_body()).await.unwrap();
        assert!(!std::str::from_utf8(&body).unwrap().contains("secret"));
        assert_eq!(panics.counts(), [("http", 1)]);
    }
}
