//! Ring and journal as one history: questions are answered from both without a seam.
//!
//! The ring holds every committed event newer than its floor; the journal holds every committed event. A question first
//! learns the floor together with what the ring has, so what the journal is then asked for is complete.

use std::sync::Arc;

use super::journal::SharedStatus;
use super::journal_reader::{JournalReaderHandle, ReadError};
use crate::domain::clock::{Clock, Timestamp};
use crate::domain::event::{Event, write_block, write_json};
use crate::domain::filter::Filter;
use crate::domain::id::EventId;
use crate::domain::ring::Ring;
use crate::domain::sse::{Gap, GapReason};
use crate::storage::{EventReader, Page, Range, StorageError, Stored};

/// JSON of one answer, at most, beyond its first event.
const MAX_ANSWER_BYTES: usize = 16 << 20;
/// Events of one page that a stream catches up with.
const CATCH_UP_EVENTS: usize = 1_000;

/// All committed events.
#[derive(Debug, Clone)]
pub struct History {
    ring: Arc<Ring>,
    readers: JournalReaderHandle,
    clock: Clock,
    journal: SharedStatus,
}

/// Which events are wanted, and which of them if there are too many.
#[derive(Debug, Clone)]
pub struct EventQuery {
    /// Which.
    pub filter: Filter,
    /// Exclusive lower bound.
    pub after: EventId,
    /// Exclusive upper bound.
    pub before: EventId,
    /// The oldest of them; else the newest.
    pub oldest_first: bool,
    /// Most events.
    pub limit: usize,
}

/// An event from either store.
#[derive(Debug)]
pub enum Found {
    /// From the ring.
    Recent(Arc<Event>),
    /// From the journal.
    Stored(Stored),
}

impl Found {
    /// Its id.
    #[must_use]
    pub fn id(&self) -> EventId {
        match self {
            Self::Recent(event) => event.id(),
            Self::Stored(stored) => stored.id,
        }
    }

    /// Appends its JSON.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        match self {
            Self::Recent(event) => out.extend_from_slice(event.json().as_bytes()),
            Self::Stored(stored) => write_json(out, stored.id, &stored.tail),
        }
    }

    fn size(&self) -> usize {
        match self {
            Self::Recent(event) => event.json().len(),
            Self::Stored(stored) => stored.tail.len(),
        }
    }
}

/// The answer to an [`EventQuery`].
#[derive(Debug)]
pub struct EventPage {
    /// The events, oldest first.
    pub events: Vec<Found>,
    /// Where to go on, if there are more: the bound to use in the next query.
    pub next: Option<EventId>,
}

impl EventPage {
    /// Bytes that it takes as JSON, with room for what surrounds the events.
    #[must_use]
    pub fn size(&self) -> usize {
        // each event's id and commas, and the frame of it all
        self.events.iter().map(|event| event.size() + 48).sum::<usize>() + 128
    }
}

/// What a stream gets from the journal.
#[derive(Debug)]
pub struct CatchUp {
    /// SSE blocks.
    pub blocks: Vec<u8>,
    /// Behind which event the stream is now.
    pub cursor: EventId,
    /// The oldest event in the blocks.
    pub oldest: Option<EventId>,
    /// Whether it was told that it missed something.
    pub gap: bool,
}

impl History {
    /// The history in `ring` and behind `readers`.
    #[must_use]
    pub fn new(ring: Arc<Ring>, readers: JournalReaderHandle, clock: Clock, journal: SharedStatus) -> Self {
        Self { ring, readers, clock, journal }
    }

    /// The ring.
    #[must_use]
    pub fn ring(&self) -> &Arc<Ring> {
        &self.ring
    }

    /// Answers `query`.
    ///
    /// # Errors
    /// The journal did not answer.
    pub async fn query(&self, query: EventQuery) -> Result<EventPage, ReadError> {
        if query.oldest_first { self.oldest(query).await } else { self.newest(query).await }
    }

    async fn newest(&self, query: EventQuery) -> Result<EventPage, ReadError> {
        let EventQuery { filter, after, before, limit, .. } = query;
        // one more than asked for tells whether there are more
        let (recent, floor) = self.ring.last_matching(&filter, after, before, limit + 1);
        let mut events: Vec<Found> = recent.into_iter().rev().map(Found::Recent).collect();
        let mut looked_at = None;
        if events.len() <= limit && after < floor {
            let until = floor.min(before.before());
            let page = self.page(range(after, until, filter, true, limit + 1 - events.len())).await?;
            events.extend(page.events.into_iter().map(Found::Stored));
            looked_at = page.looked_at;
        }
        let next = cut(&mut events, limit).or(looked_at);
        events.reverse();
        Ok(EventPage { events, next })
    }

    async fn oldest(&self, query: EventQuery) -> Result<EventPage, ReadError> {
        let EventQuery { filter, mut after, before, limit, .. } = query;
        let mut events = Vec::new();
        let mut looked_at = None;
        loop {
            let (recent, floor) = self.ring.first_matching(&filter, after, before, limit + 1 - events.len());
            if after >= floor || after >= before.before() {
                events.extend(recent.into_iter().map(Found::Recent));
                break;
            }
            // the ring may have moved on when the journal has answered, so it is asked again afterwards
            let until = floor.min(before.before());
            let page = self.page(range(after, until, filter.clone(), false, limit + 1 - events.len())).await?;
            looked_at = page.looked_at;
            events.extend(page.events.into_iter().map(Found::Stored));
            if looked_at.is_some() || events.len() > limit {
                break;
            }
            after = until;
        }
        let next = cut(&mut events, limit).or(looked_at);
        Ok(EventPage { events, next })
    }

    /// The cursor behind which everything is that arrived at `time` or later.
    #[must_use]
    pub fn since_cursor(&self, time: Timestamp) -> EventId {
        let log = self.journal.read().log;
        // before the log was made nothing arrived, so nothing of that is missing
        let oldest = if log.floor == log.birth { log.birth } else { EventId::ZERO };
        EventId::first_at(time).before().max(oldest)
    }

    /// The cursor behind which the newest `count` matching events are, and whatever comes.
    ///
    /// # Errors
    /// The journal did not answer.
    pub async fn replay_cursor(&self, filter: &Filter, count: usize) -> Result<EventId, ReadError> {
        let newest = self.ring.newest();
        if count == 0 {
            return Ok(newest);
        }
        let (recent, floor) = self.ring.last_matching(filter, EventId::ZERO, EventId::MAX, count);
        let mut found = recent.len();
        let mut oldest = recent.first().map(|event| event.id());
        let mut until = floor;
        while found < count {
            let range = range(EventId::ZERO, until, filter.clone(), true, count - found);
            let page = self.page(Range { ids_only: true, ..range }).await?;
            found += page.events.len();
            oldest = page.events.last().map(|event| event.id).or(oldest);
            let Some(looked_at) = page.looked_at else { break };
            until = looked_at.before();
        }
        Ok(oldest.map_or(newest, EventId::before))
    }

    /// The next blocks behind `cursor` for a reader whose next event the ring no longer has.
    ///
    /// # Errors
    /// The journal did not answer.
    pub async fn catch_up(&self, cursor: EventId, filter: Filter, named: bool, max_bytes: usize) -> Result<CatchUp, ReadError> {
        let floor = self.ring.floor();
        let newest = self.ring.newest();
        let clock = self.clock.clone();
        let recent = self.ring.oldest();
        let range = Range { max_bytes, ..range(cursor, floor, filter, false, CATCH_UP_EVENTS) };
        self.readers
            .ask(move |reader| {
                let page = reader.page(&range)?;
                let mut blocks = Vec::new();
                // from the beginning means from what there is; any other position must still be there
                let gap = cursor < page.floor && cursor != EventId::ZERO;
                if gap {
                    // the ring may still have what the journal has deleted
                    let oldest = [page.oldest, recent].into_iter().flatten().min().unwrap_or(newest);
                    let gap = Gap { requested: cursor.to_string(), oldest, newest, reason: GapReason::Expired };
                    blocks = gap.block(page.floor.min(floor), clock.now());
                }
                for stored in &page.events {
                    write_block(&mut blocks, stored.id, &stored.event_type, &stored.tail, named);
                }
                let cursor = page.looked_at.unwrap_or(floor).max(cursor);
                let oldest = page.events.first().map(|stored| stored.id);
                Ok(CatchUp { blocks, cursor, oldest, gap })
            })
            .await
            .or_else(|error| match error {
                // what is behind the damage may be readable, but not found from here: on with what is in memory
                ReadError::Storage(StorageError::Broken(_)) => {
                    let oldest = recent.unwrap_or(newest);
                    let gap = Gap { requested: cursor.to_string(), oldest, newest, reason: GapReason::Damaged };
                    tracing::error!(%cursor, "a part of the journal cannot be read; a client was told of the gap");
                    Ok(CatchUp { blocks: gap.block(floor, self.clock.now()), cursor: floor, oldest: None, gap: true })
                }
                other => Err(other),
            })
    }

    /// The next events behind `cursor`, at most `limit`, if the ring has them all.
    #[must_use]
    pub fn recent(&self, cursor: EventId, limit: usize) -> Option<Vec<Arc<Event>>> {
        let (events, floor) = self.ring.first_matching(&Filter::default(), cursor, EventId::MAX, limit);
        (cursor >= floor).then_some(events)
    }

    /// The next events behind `cursor` that the ring may no longer have, and where the reader is behind them.
    ///
    /// # Errors
    /// The journal did not answer.
    pub async fn stored(&self, cursor: EventId) -> Result<(Vec<Arc<Event>>, EventId), ReadError> {
        let floor = self.ring.floor();
        let read = move |reader: &mut dyn EventReader| reader.events(cursor, floor, CATCH_UP_EVENTS, MAX_ANSWER_BYTES);
        let (events, complete) = self.readers.ask(read).await?;
        let last = events.last().map_or(cursor, Event::id);
        Ok((events.into_iter().map(Arc::new).collect(), if complete { floor.max(cursor) } else { last }))
    }

    async fn page(&self, range: Range) -> Result<Page, ReadError> {
        self.readers.ask(move |reader| reader.page(&range)).await
    }
}

/// A range of the journal for one answer.
fn range(after: EventId, until: EventId, filter: Filter, newest_first: bool, limit: usize) -> Range {
    Range { after, until, filter, newest_first, limit, max_bytes: MAX_ANSWER_BYTES, ids_only: false }
}

/// Keeps the first `limit` events and at most `MAX_ANSWER_BYTES` of them; the last one kept, if any had to go.
fn cut(events: &mut Vec<Found>, limit: usize) -> Option<EventId> {
    let mut bytes = 0;
    let fitting = events.iter().take_while(|event| {
        let fits = bytes < MAX_ANSWER_BYTES;
        bytes += event.size();
        fits
    });
    let keep = fitting.count().min(limit);
    if keep == events.len() {
        return None;
    }
    events.truncate(keep);
    events.last().map(Found::id)
}
