//! Request bodies within bounds: of size, of time, and of memory over all of them together.

use std::time::Duration;

use actix_web::http::header;
use actix_web::{HttpRequest, web};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout_at};

use super::problem::Problem;
use crate::actors::admission::Admission;

/// What of a refused body is still read, so that the client sees the answer instead of a reset.
const DRAIN: usize = 4 << 20;
/// A client that sends nothing for so long is waiting for the answer.
const DRAIN_PAUSE: Duration = Duration::from_millis(100);

/// The form of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// One JSON value.
    Json,
    /// One JSON value a line.
    Ndjson,
}

impl Form {
    /// The form that the request's headers announce.
    ///
    /// # Errors
    /// They announce none that is taken.
    pub fn of(request: &HttpRequest) -> Result<Self, Problem> {
        Self::said(request)?.ok_or_else(|| Problem::UnsupportedMedia("send application/json or application/x-ndjson".into()))
    }

    /// Whether the request's headers announce JSON, where nothing else is taken.
    ///
    /// # Errors
    /// They do not.
    pub fn json(request: &HttpRequest) -> Result<(), Problem> {
        let is_json = Self::said(request)? == Some(Self::Json);
        is_json.then_some(()).ok_or_else(|| Problem::UnsupportedMedia("send application/json".into()))
    }

    fn said(request: &HttpRequest) -> Result<Option<Self>, Problem> {
        let text = |name| request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if !matches!(text(header::CONTENT_ENCODING), "" | "identity") {
            return Err(Problem::UnsupportedMedia("send the body without a content encoding".into()));
        }
        let essence = text(header::CONTENT_TYPE).split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        Ok(match essence.as_str() {
            "application/json" => Some(Self::Json),
            "application/x-ndjson" | "application/ndjson" | "application/jsonl" => Some(Self::Ndjson),
            _ => None,
        })
    }
}

/// A body that is being received.
pub struct Body {
    payload: web::Payload,
    pause: Duration,
    /// Its length, if the client said it.
    announced: Option<u64>,
}

impl Body {
    /// The body of `request`, no longer than `limit` as far as it says.
    ///
    /// # Errors
    /// It says that it is longer.
    pub fn new(request: &HttpRequest, payload: web::Payload, limit: u64, pause: Duration) -> Result<Self, Problem> {
        let announced = request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        if announced.is_some_and(|length| length > limit) {
            return Err(too_large(limit));
        }
        Ok(Self { payload, pause, announced })
    }

    /// The next piece; `None` at the end.
    ///
    /// # Errors
    /// The client paused for too long, or went away.
    pub async fn piece(&mut self) -> Result<Option<Bytes>, Problem> {
        self.piece_until(Instant::now() + self.pause).await
    }

    async fn piece_until(&mut self, deadline: Instant) -> Result<Option<Bytes>, Problem> {
        match timeout_at(deadline, self.payload.next()).await {
            Err(_) => Err(Problem::TooSlow),
            Ok(None) => Ok(None),
            Ok(Some(Ok(piece))) => Ok(Some(piece)),
            Ok(Some(Err(error))) => Err(Problem::Malformed(format!("the body broke off: {error}"))),
        }
    }

    /// The whole body, no longer than `limit` bytes, held in `memory`.
    ///
    /// # Errors
    /// It is too long, too slow, or there is no memory for it now.
    pub async fn whole(mut self, limit: usize, memory: &Admission) -> Result<Whole, Problem> {
        let deadline = Instant::now() + self.pause;
        // room that is not written to yet costs nothing, and room that need not grow is not moved
        let room = self.announced.and_then(|length| usize::try_from(length).ok()).unwrap_or(0).min(limit);
        let mut bytes = BytesMut::with_capacity(room);
        let mut paid = 0;
        let mut permit: Option<OwnedSemaphorePermit> = None;
        while let Some(piece) = self.piece_until(deadline).await? {
            if bytes.len() + piece.len() > limit {
                drop((bytes, permit));
                self.drain().await;
                return Err(too_large(limit as u64));
            }
            bytes.reserve(piece.len());
            // room that had to grow counts whole, announced room as it fills; in KiB
            let taken = if bytes.capacity() > room { bytes.capacity() } else { bytes.len() + piece.len() };
            let grown = (taken / 1024).saturating_sub(paid);
            if grown > 0 {
                paid += grown;
                match (memory.try_enter(grown), &mut permit) {
                    (Ok(more), Some(permit)) => permit.merge(more),
                    (Ok(more), None) => permit = Some(more),
                    (Err(full), _) => {
                        drop((bytes, permit));
                        self.drain().await;
                        return Err(full.into());
                    }
                }
            }
            bytes.extend_from_slice(&piece);
        }
        Ok(Whole { bytes: bytes.freeze(), _permit: permit })
    }

    /// Reads on for a bounded while before the body is refused.
    pub async fn drain(mut self) {
        let mut drained = 0;
        while drained < DRAIN {
            match self.piece_until(Instant::now() + DRAIN_PAUSE).await {
                Ok(Some(piece)) => drained += piece.len(),
                _ => return,
            }
        }
    }
}

/// A whole body, and its share of the memory for bodies.
#[derive(Debug)]
pub struct Whole {
    /// The bytes.
    pub bytes: Bytes,
    _permit: Option<OwnedSemaphorePermit>,
}

/// The problem of a body that is longer than `limit`.
#[must_use]
pub fn too_large(limit: u64) -> Problem {
    Problem::TooLarge(format!("the body must be at most {limit} bytes long"))
}
