//! How long posts of events take, and what was wrong with events that were refused.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use actix_web::HttpRequest;

use crate::domain::envelope::Refusal;
use crate::domain::histogram::{Histogram, Recorder};

/// The form of a post.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// One event.
    One,
    /// An array.
    Array,
    /// One event a line.
    Ndjson,
}

/// What is measured, over all workers.
#[derive(Debug, Default)]
pub struct IngestMeasures {
    /// From a post's head until its answer, in microseconds, of posts that were taken: one event.
    pub one: Histogram,
    /// The same of arrays.
    pub array: Histogram,
    /// The same of NDJSON, whose bodies may be sent for as long as their senders like.
    pub ndjson: Histogram,
    /// Events that are no JSON object of the expected form.
    pub malformed: AtomicU64,
    /// Events with fields that are not acceptable.
    pub unacceptable: AtomicU64,
    /// Events that are too long.
    pub too_large: AtomicU64,
}

/// One worker's side of it.
#[derive(Debug)]
pub struct IngestRecorders {
    one: Recorder,
    array: Recorder,
    ndjson: Recorder,
}

impl IngestMeasures {
    /// The recorders of one more worker.
    #[must_use]
    pub fn recorders(&self) -> IngestRecorders {
        IngestRecorders { one: self.one.recorder(), array: self.array.recorder(), ndjson: self.ndjson.recorder() }
    }

    /// Counts an event that was refused.
    pub fn rejected(&self, refusal: &Refusal) {
        let counter = match refusal {
            Refusal::Malformed(_) => &self.malformed,
            Refusal::Unacceptable(_) => &self.unacceptable,
            Refusal::TooLarge(_) => &self.too_large,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// A post that began at `begun` was taken.
pub(super) fn taken(request: &HttpRequest, way: Way, begun: Instant) {
    let Some(recorders) = request.app_data::<IngestRecorders>() else { return };
    let recorder = match way {
        Way::One => &recorders.one,
        Way::Array => &recorders.array,
        Way::Ndjson => &recorders.ndjson,
    };
    recorder.record(u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX));
}
