//! The way of a file's event to the bus: once, even over restarts, because the journal remembers the earlier runs.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::Mutex;

use super::admission::Admission;
use super::history::{EventQuery, Found, History};
use super::journal_reader::ReadError;
use super::publisher::EventBusHandle;
use crate::domain::artifact::{Content, News};
use crate::domain::engine::PLIMSOLL;
use crate::domain::event::{Draft, Header};
use crate::domain::filter::Filter;
use crate::domain::id::EventId;
use crate::domain::payload::Payload;
use crate::domain::schema;

/// Room for a batch, in KiB; a larger one takes all of it.
const QUEUE_KIB: usize = 2_048;
/// Events of one question to the journal, and questions about one file while the others of its batch wait.
const PAGE: usize = 1_000;
const PAGES: usize = 8;
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
    told: Arc<Mutex<HashMap<&'static str, Told>>>,
}

/// What the events of one type told of files: the newest of each, read backwards from the journal as far as anybody asked.
#[derive(Debug)]
struct Told {
    newest: HashMap<String, Content>,
    /// Where to read on; `None` when everything that is remembered was read.
    before: Option<EventId>,
}

impl Default for Told {
    fn default() -> Self {
        Self { newest: HashMap::new(), before: Some(EventId::MAX) }
    }
}

/// What became of a candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is journalled now.
    Published,
    /// It was published before.
    Known,
    /// Whether it is known is not found out yet: it is to be asked for again at once.
    Unclear,
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
struct Record<'a> {
    #[serde(borrow)]
    payload: &'a RawValue,
}

impl Publisher {
    /// Publishes to `bus` what is not in `history` behind `remembered`; waits for room no longer than `max_wait`.
    #[must_use]
    pub fn new(bus: &EventBusHandle, history: History, remembered: EventId, max_wait: Duration) -> Self {
        // a beat shall not be late because posts wait; this queue has room for the one batch that is under way
        Self { bus: bus.with_queue(Admission::new(QUEUE_KIB, max_wait)), history, remembered, told: Arc::default() }
    }

    /// The queue before the bus, in KiB.
    #[must_use]
    pub fn admission(&self) -> &Admission {
        self.bus.admission()
    }

    /// Publishes what is new of `batch`, and says of each what became of it. What takes long to find out waits for the
    /// next batch, so that it keeps nobody else waiting.
    pub async fn deliver(self, batch: Vec<Candidate>) -> Vec<(Candidate, Outcome)> {
        let mut told = self.told.lock().await;
        let mut outcomes = Vec::with_capacity(batch.len());
        let (mut fresh, mut drafts) = (Vec::new(), Vec::new());
        for candidate in batch {
            let news = &candidate.news;
            let told = told.entry(news.finding.event_type).or_default();
            let outcome = if news.remembered { None } else { self.outcome(told, &candidate).await };
            if let Some(outcome) = outcome {
                outcomes.push((candidate, outcome));
            } else {
                drafts.push(draft(news));
                fresh.push(candidate);
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
        for candidate in fresh {
            if outcome == Outcome::Published {
                // one that goes away and comes back is one that we know
                let told = told.entry(candidate.news.finding.event_type).or_default();
                told.newest.insert(candidate.file.clone(), candidate.news.mark.content);
            }
            outcomes.push((candidate, outcome));
        }
        outcomes
    }

    /// What becomes of a candidate that an earlier run may have published; `None` if it is to be published.
    async fn outcome(&self, told: &mut Told, candidate: &Candidate) -> Option<Outcome> {
        let Candidate { file, news, .. } = candidate;
        let mut pages = 0;
        while !told.newest.contains_key(file)
            && let Some(before) = told.before
        {
            if pages == PAGES {
                return Some(Outcome::Unclear);
            }
            pages += 1;
            if let Err(error) = self.look_back(told, news.finding.event_type, before).await {
                tracing::debug!(file, %error, "cannot tell yet whether a file is known");
                return Some(Outcome::Failed);
            }
        }
        (told.newest.get(file) == Some(&news.mark.content)).then_some(Outcome::Known)
    }

    async fn look_back(&self, told: &mut Told, event_type: &str, before: EventId) -> Result<(), ReadError> {
        let filter = Filter { event_types: vec![event_type.into()], sources: vec![PLIMSOLL.into()], ..Filter::default() };
        let query = EventQuery { filter, after: self.remembered, before, oldest_first: false, limit: PAGE };
        let page = self.history.query(query).await?;
        for (file, content) in page.events.iter().rev().filter_map(origin) {
            told.newest.entry(file).or_insert(content);
        }
        told.before = page.next;
        Ok(())
    }
}

/// Of which file an event was made, and what it said.
fn origin(event: &Found) -> Option<(String, Content)> {
    let mut json = Vec::new();
    event.write_json(&mut json);
    let record: Record<'_> = serde_json::from_slice(&json).ok()?;
    let origin: Origin = serde_json::from_str(record.payload.get()).ok()?;
    Some((origin.file?, Content::of(record.payload.get())))
}

fn draft(news: &News) -> Draft {
    let payload = &news.finding.payload;
    let (symbol, strategy) = Payload::inspect(payload, ANY_DEPTH).map_or((None, None), |payload| {
        let (symbol, strategy) = schema::labels(&payload);
        (symbol.map(Into::into), strategy.map(Into::into))
    });
    let header = Header {
        event_type: news.finding.event_type.into(),
        timestamp: news.stamp,
        source: Some(PLIMSOLL.into()),
        severity: None,
        profile_id: None,
        event_id: None,
        symbol,
        strategy,
    };
    Draft::new(header, payload)
}
