//! The way of a file's event to the bus: once, even over restarts, because the journal remembers the earlier runs.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::admission::Admission;
use super::history::{EventQuery, Found, History};
use super::journal_reader::ReadError;
use super::publisher::EventBusHandle;
use crate::domain::artifact::{Mark, News};
use crate::domain::clock::Timestamp;
use crate::domain::engine::PLIMSOLL;
use crate::domain::event::{Draft, Header};
use crate::domain::filter::Filter;
use crate::domain::id::EventId;
use crate::domain::payload::Payload;
use crate::domain::schema;

/// Room for a batch, in KiB; a larger one takes all of it.
const QUEUE_KIB: usize = 2_048;
/// Events of one question to the journal.
const PAGE: usize = 1_000;
/// Deeper payloads were refused when they were read.
const ANY_DEPTH: usize = 1_024;

/// A file's event that may be new.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// Which of the watched folders.
    pub folder: usize,
    /// The file's name there.
    pub file: String,
    /// The event.
    pub news: News,
}

/// Publishes for the watcher.
#[derive(Debug, Clone)]
pub struct Publisher {
    bus: EventBusHandle,
    history: History,
    /// Events behind this one are remembered by those who follow them; older ones have to be told again.
    remembered: EventId,
}

/// What became of a candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is journalled now.
    Published,
    /// An earlier run has published it.
    Known,
    /// It is to be tried again.
    Failed,
}

/// The file that an event was made of.
#[derive(Deserialize)]
struct Origin {
    file: Option<String>,
}

/// An event as the journal tells it.
#[derive(Deserialize)]
struct Told<'a> {
    #[serde(borrow)]
    payload: &'a RawValue,
}

impl Publisher {
    /// Publishes to `bus` what is not in `history` behind `remembered`; waits for room no longer than `max_wait`.
    #[must_use]
    pub fn new(bus: &EventBusHandle, history: History, remembered: EventId, max_wait: Duration) -> Self {
        // a beat shall not be late because posts wait; this queue has room for the one batch that is under way
        Self { bus: bus.with_queue(Admission::new(QUEUE_KIB, max_wait)), history, remembered }
    }

    /// Publishes what is new of `batch`, and says of each what became of it.
    pub async fn deliver(self, batch: Vec<Candidate>) -> Vec<(Candidate, Outcome)> {
        let mut journalled = HashMap::new();
        for News { finding, mark, .. } in batch.iter().map(|each| &each.news).filter(|news| !news.remembered) {
            // many files may have the same time
            if let Entry::Vacant(unasked) = journalled.entry((finding.event_type, mark.modified)) {
                unasked.insert(self.journalled(finding.event_type, mark.modified).await);
            }
        }
        let mut outcomes = Vec::with_capacity(batch.len());
        let (mut fresh, mut drafts) = (Vec::new(), Vec::new());
        for candidate in batch {
            let News { finding, mark, .. } = &candidate.news;
            match journalled.get(&(finding.event_type, mark.modified)) {
                Some(Err(error)) => {
                    tracing::debug!(file = candidate.file, %error, "cannot tell yet whether a file is known");
                    outcomes.push((candidate, Outcome::Failed));
                }
                Some(Ok(known)) if known.contains(&(candidate.file.clone(), *mark)) => outcomes.push((candidate, Outcome::Known)),
                _ => {
                    drafts.push(draft(&candidate.news));
                    fresh.push(candidate);
                }
            }
        }
        if drafts.is_empty() {
            return outcomes;
        }
        let published = self.bus.publish(drafts).await;
        if let Err(error) = &published {
            tracing::debug!(files = fresh.len(), %error, "files wait to be published");
        }
        let outcome = if published.is_ok() { Outcome::Published } else { Outcome::Failed };
        outcomes.extend(fresh.into_iter().map(|candidate| (candidate, outcome)));
        outcomes
    }

    /// The files of which the journal has an event of this type with this timestamp.
    async fn journalled(&self, event_type: &str, modified: Timestamp) -> Result<HashSet<(String, Mark)>, ReadError> {
        let filter = Filter {
            event_types: vec![event_type.into()],
            sources: vec![PLIMSOLL.into()],
            since: Some(modified),
            until: Some(Timestamp::from_micros(modified.micros() + 1)),
            ..Filter::default()
        };
        let (mut known, mut before) = (HashSet::new(), EventId::MAX);
        loop {
            let query = EventQuery { filter: filter.clone(), after: self.remembered, before, oldest_first: false, limit: PAGE };
            let page = self.history.query(query).await?;
            known.extend(page.events.iter().filter_map(|event| origin(event, modified)));
            let Some(next) = page.next else { return Ok(known) };
            before = next;
        }
    }
}

/// Of which file an event was made, and its mark.
fn origin(event: &Found, modified: Timestamp) -> Option<(String, Mark)> {
    let mut json = Vec::new();
    event.write_json(&mut json);
    let told: Told<'_> = serde_json::from_slice(&json).ok()?;
    let origin: Origin = serde_json::from_str(told.payload.get()).ok()?;
    Some((origin.file?, Mark::of(modified, told.payload.get())))
}

fn draft(news: &News) -> Draft {
    let payload = &news.finding.payload;
    let (symbol, strategy) = Payload::inspect(payload, ANY_DEPTH).map_or((None, None), |payload| {
        let (symbol, strategy) = schema::labels(&payload);
        (symbol.map(Into::into), strategy.map(Into::into))
    });
    let header = Header {
        event_type: news.finding.event_type.into(),
        timestamp: news.mark.modified,
        source: Some(PLIMSOLL.into()),
        severity: None,
        profile_id: None,
        event_id: None,
        symbol,
        strategy,
    };
    Draft::new(header, payload)
}
