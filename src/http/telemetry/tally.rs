//! What became of a batch, for the answer.

use actix_web::HttpResponse;
use serde::Serialize;
use utoipa::ToSchema;

use crate::actors::publisher::Receipt;
use crate::domain::fault::FieldFault;
use crate::domain::id::EventId;
use crate::http::problem::{ItemFault, Problem};

/// So many refused items are listed, as many as an array may have; more of a streamed body are counted.
const MAX_LISTED: usize = 10_000;
/// So many faults of each are listed, while there are few; one of each when there are many.
const MAX_FAULTS: usize = 8;
/// Up to so many refused items are few.
const FEW: usize = 100;

/// An item that was refused.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = RejectedItem)]
pub struct Rejected {
    /// Its place in the batch, from 0.
    index: usize,
    /// What is wrong with it.
    errors: Vec<FieldFault>,
}

/// What became of a batch.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BatchSummary, example = json!({
    "accepted": 2, "duplicates": 0, "rejected": [], "first_id": "1763452541345-0", "last_id": "1763452541345-1"
}))]
pub struct Summary<'a> {
    /// Events that were taken.
    accepted: usize,
    /// Events that were there already, by their `event_id`.
    duplicates: usize,
    /// Events that were refused.
    rejected: &'a [Rejected],
    /// The first id that was given.
    #[schema(required)]
    first_id: Option<String>,
    /// The last id that was given.
    #[schema(required)]
    last_id: Option<String>,
    /// Events that were refused beyond those that are listed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    rejected_not_listed: Option<usize>,
    /// Lines that were read of a stream before it was interrupted.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    lines_read: Option<usize>,
}

/// The count of a batch.
#[derive(Debug, Default)]
pub struct Tally {
    accepted: usize,
    duplicates: usize,
    rejected: Vec<Rejected>,
    not_listed: usize,
    first: Option<EventId>,
    last: Option<EventId>,
}

impl Tally {
    /// These were published.
    pub fn published(&mut self, receipts: &[Receipt]) {
        for receipt in receipts {
            if receipt.duplicate {
                self.duplicates += 1;
                continue;
            }
            self.accepted += 1;
            self.first = self.first.or(Some(receipt.id));
            self.last = Some(receipt.id);
        }
    }

    /// The item at `index` was refused.
    pub fn rejected(&mut self, index: usize, mut errors: Vec<FieldFault>) {
        if self.rejected.len() >= MAX_LISTED {
            self.not_listed += 1;
            return;
        }
        errors.truncate(if self.rejected.len() < FEW { MAX_FAULTS } else { 1 });
        errors.shrink_to_fit();
        self.rejected.push(Rejected { index, errors });
    }

    /// Whether anything was refused.
    #[must_use]
    pub fn has_rejected(&self) -> bool {
        !self.rejected.is_empty()
    }

    /// All faults, item by item.
    fn faults(self) -> Vec<ItemFault> {
        let of = |item: Rejected| item.errors.into_iter().map(move |fault| ItemFault { index: Some(item.index), fault });
        self.rejected.into_iter().flat_map(of).collect()
    }

    /// The problem of a batch that is taken whole or not at all.
    #[must_use]
    pub fn refusal(self) -> Problem {
        Problem::Unacceptable(self.faults())
    }

    /// The counts; of a stream that was interrupted with the lines that were read.
    #[must_use]
    pub fn summary(&self, lines_read: Option<usize>) -> Summary<'_> {
        let id = |id: Option<EventId>| id.map(|id| id.to_string());
        Summary {
            accepted: self.accepted,
            duplicates: self.duplicates,
            rejected: &self.rejected,
            first_id: id(self.first),
            last_id: id(self.last),
            rejected_not_listed: Some(self.not_listed).filter(|count| *count > 0),
            lines_read,
        }
    }

    /// The answer.
    ///
    /// # Errors
    /// No item was good.
    pub fn answer(self) -> Result<HttpResponse, Problem> {
        if self.accepted + self.duplicates + self.rejected.len() == 0 {
            let fault = FieldFault::new("", "must hold at least one event");
            return Err(Problem::NoneAccepted(vec![ItemFault { index: None, fault }]));
        }
        if self.accepted + self.duplicates == 0 {
            return Err(Problem::NoneAccepted(self.faults()));
        }
        let mut response = if self.has_rejected() { HttpResponse::MultiStatus() } else { HttpResponse::Created() };
        Ok(response.json(self.summary(None)))
    }
}
