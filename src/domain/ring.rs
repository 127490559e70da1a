//! The recent events, encoded, in one ring that all workers read and the bus alone writes.
//!
//! Readers are cursors. A *position* counts the events that ever entered the ring; an *id* orders them over restarts.
//! Invariant: every committed event newer than `floor` is in the ring, so a reader at or behind `floor` needs the journal.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use compact_str::CompactString;
use parking_lot::RwLock;

use super::event::Event;
use super::filter::Filter;
use super::id::EventId;

/// How much a ring may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RingLimits {
    /// Most events.
    pub events: usize,
    /// Most bytes, the newest event excepted.
    pub bytes: usize,
}

/// What one read of the ring gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Read {
    /// The position behind the last event that was looked at.
    pub position: u64,
    /// The id of that event.
    pub cursor: EventId,
    /// The oldest event that matched.
    pub oldest: Option<EventId>,
    /// `Ring::written` as it was when that event had entered.
    pub written: u64,
    /// Whether it ended before the newest event, for its bytes or its length.
    pub cut_off: bool,
}

/// One read looks at so many events at most: the bus waits meanwhile.
const MAX_READ: u64 = 1_024;

/// The ring as `/stats` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RingStats {
    /// Events in the ring.
    pub events: usize,
    /// Bytes that they take.
    pub bytes: usize,
    /// Events by type, sorted.
    pub counts: BTreeMap<CompactString, usize>,
    /// Oldest id in the ring.
    pub oldest: Option<EventId>,
    /// Newest id in the ring.
    pub newest: Option<EventId>,
}

/// The ring.
#[derive(Debug)]
pub struct Ring {
    limits: RingLimits,
    /// Position behind the newest event; readable without the lock.
    head: AtomicU64,
    /// Newest id that was ever committed; readable without the lock.
    newest: AtomicU64,
    /// Bytes that ever entered; readable without the lock.
    written: AtomicU64,
    inner: RwLock<Inner>,
}

#[derive(Debug)]
struct Inner {
    events: VecDeque<Slot>,
    /// Position of the front event.
    base: u64,
    bytes: usize,
    /// Every committed event newer than this is here.
    floor: EventId,
    counts: BTreeMap<CompactString, usize>,
}

#[derive(Debug)]
struct Slot {
    event: Arc<Event>,
    /// `Ring::written` when it had entered.
    written: u64,
}

impl Ring {
    /// An empty ring; the newest event so far is `newest`.
    #[must_use]
    pub fn new(limits: RingLimits, newest: EventId) -> Self {
        let inner = Inner { events: VecDeque::new(), base: 0, bytes: 0, floor: newest, counts: BTreeMap::new() };
        Self {
            limits,
            head: AtomicU64::new(0),
            newest: AtomicU64::new(newest.get()),
            written: AtomicU64::new(0),
            inner: RwLock::new(inner),
        }
    }

    /// Fills a new ring with `events`, the newest of the journal in order, behind which nothing newer than `floor` is missing.
    pub fn restore(&self, floor: EventId, events: Vec<Arc<Event>>) {
        self.inner.write().floor = floor;
        self.append(events);
    }

    /// Appends committed events, oldest first, and drops what the limits no longer hold.
    pub fn append(&self, events: Vec<Arc<Event>>) {
        let Some(newest) = events.last().map(|event| event.id()) else { return };
        let mut inner = self.inner.write();
        let mut written = self.written();
        for event in events {
            written += event.size() as u64;
            match inner.counts.get_mut(&event.header().event_type) {
                Some(count) => *count += 1,
                None => {
                    inner.counts.insert(event.header().event_type.clone(), 1);
                }
            }
            inner.bytes += event.size();
            inner.events.push_back(Slot { event, written });
            while inner.events.len() > self.limits.events || (inner.bytes > self.limits.bytes && inner.events.len() > 1) {
                inner.drop_oldest();
            }
        }
        // stored before the lock is released: who sees the new head finds the events
        self.written.store(written, Ordering::Release);
        self.newest.store(newest.get(), Ordering::Release);
        self.head.store(inner.base + inner.events.len() as u64, Ordering::Release);
    }

    /// Empties the ring; readers go on from the journal.
    pub fn clear(&self) {
        self.forget(self.newest());
    }

    /// Empties the ring after events up to `newest` may have been committed past it.
    pub fn forget(&self, newest: EventId) {
        let mut inner = self.inner.write();
        inner.base += inner.events.len() as u64;
        inner.events.clear();
        inner.counts.clear();
        inner.bytes = 0;
        inner.floor = newest;
        // one position is skipped, so that live readers notice that they must look into the journal
        inner.base += 1;
        self.newest.fetch_max(newest.get(), Ordering::Release);
        self.head.store(inner.base, Ordering::Release);
    }

    /// The position behind the newest event.
    #[must_use]
    pub fn head(&self) -> u64 {
        self.head.load(Ordering::Acquire)
    }

    /// The newest committed id.
    #[must_use]
    pub fn newest(&self) -> EventId {
        EventId::from_u64(self.newest.load(Ordering::Acquire))
    }

    /// All bytes that ever entered: the difference of two readings is a lag in bytes.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Acquire)
    }

    /// Events that are not newer than this may be in the journal only.
    #[must_use]
    pub fn floor(&self) -> EventId {
        self.inner.read().floor
    }

    /// The oldest id in the ring.
    #[must_use]
    pub fn oldest(&self) -> Option<EventId> {
        self.inner.read().events.front().map(|slot| slot.event.id())
    }

    /// Where a reader that has seen everything up to `cursor` goes on; `None` if the ring misses events that follow it.
    #[must_use]
    pub fn locate(&self, cursor: EventId) -> Option<u64> {
        let inner = self.inner.read();
        (cursor >= inner.floor).then(|| inner.base + inner.index_after(cursor) as u64)
    }

    /// Appends to `out` the blocks of the matching events from `position` on, until `max_bytes` are reached.
    /// `None` if the ring no longer has that position.
    pub fn read(&self, position: u64, filter: &Filter, named: bool, max_bytes: usize, out: &mut Vec<u8>) -> Option<Read> {
        let inner = self.inner.read();
        let index = usize::try_from(position.checked_sub(inner.base)?).ok()?;
        let all = filter.is_all();
        let mut read = Read { position, cursor: EventId::ZERO, oldest: None, written: self.written(), cut_off: false };
        for Slot { event, written } in inner.events.range(index.min(inner.events.len())..) {
            if out.len() >= max_bytes || read.position - position == MAX_READ {
                read.cut_off = true;
                break;
            }
            if all || filter.matches(event.header()) {
                out.extend_from_slice(event.block(named));
                read.oldest = read.oldest.or(Some(event.id()));
            }
            read = Read { position: read.position + 1, cursor: event.id(), written: *written, ..read };
        }
        Some(read)
    }

    /// The newest `limit` matching events before `before`, oldest first, and the floor below which the journal goes on.
    #[must_use]
    pub fn last_matching(&self, filter: &Filter, after: EventId, before: EventId, limit: usize) -> (Vec<Arc<Event>>, EventId) {
        let inner = self.inner.read();
        let range = inner.events.range(..inner.index_after(before.before()));
        let mut found: Vec<_> = range
            .rev()
            .map(|slot| &slot.event)
            .take_while(|event| event.id() > after)
            .filter(|event| filter.matches(event.header()))
            .take(limit)
            .cloned()
            .collect();
        found.reverse();
        (found, inner.floor)
    }

    /// The oldest `limit` matching events after `after` and before `before`; what is not newer than the floor may be missing.
    #[must_use]
    pub fn first_matching(&self, filter: &Filter, after: EventId, before: EventId, limit: usize) -> (Vec<Arc<Event>>, EventId) {
        let inner = self.inner.read();
        let range = inner.events.range(inner.index_after(after)..);
        let found = range
            .map(|slot| &slot.event)
            .take_while(|event| event.id() < before)
            .filter(|event| filter.matches(event.header()))
            .take(limit)
            .cloned()
            .collect();
        (found, inner.floor)
    }

    /// Events in the ring, and the bytes that they take.
    #[must_use]
    pub fn size(&self) -> (usize, usize) {
        let inner = self.inner.read();
        (inner.events.len(), inner.bytes)
    }

    /// What is in the ring.
    #[must_use]
    pub fn stats(&self) -> RingStats {
        let inner = self.inner.read();
        RingStats {
            events: inner.events.len(),
            bytes: inner.bytes,
            counts: inner.counts.clone(),
            oldest: inner.events.front().map(|slot| slot.event.id()),
            newest: inner.events.back().map(|slot| slot.event.id()),
        }
    }
}

impl Inner {
    /// Index of the first event after `cursor`.
    fn index_after(&self, cursor: EventId) -> usize {
        self.events.partition_point(|slot| slot.event.id() <= cursor)
    }

    fn drop_oldest(&mut self) {
        let Some(Slot { event: oldest, .. }) = self.events.pop_front() else { return };
        self.base += 1;
        self.floor = oldest.id();
        self.bytes = self.bytes.saturating_sub(oldest.size());
        if let Some(count) = self.counts.get_mut(&oldest.header().event_type) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&oldest.header().event_type);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::event::{Draft, Header};
    use crate::domain::filter::tests::{filter, header};
    use proptest::prelude::*;

    fn event(id: u64, header: Header) -> Arc<Event> {
        Arc::new(Draft::new(header, "{}").stamp(EventId::from_u64(id)))
    }

    /// A ring after `headers` were appended in groups; ids are 1, 2, 3...
    fn ring(capacity: usize, groups: &[Vec<Header>]) -> (Ring, Vec<Arc<Event>>) {
        let ring = Ring::new(RingLimits { events: capacity, bytes: usize::MAX }, EventId::ZERO);
        let mut all = Vec::new();
        for group in groups {
            let events: Vec<_> = group.iter().zip(all.len() as u64 + 1..).map(|(header, id)| event(id, header.clone())).collect();
            all.extend(events.iter().cloned());
            ring.append(events);
        }
        (ring, all)
    }

    proptest! {
        #[test]
        fn a_reader_gets_every_matching_event_once_in_order_or_is_told_that_the_ring_lacks_them(
            capacity in 1_usize..20, groups in proptest::collection::vec(proptest::collection::vec(header(), 0..8), 0..10),
            filter in filter(), cursor in 0_u64..80, max_bytes in 1_usize..2000,
        ) {
            let (ring, all) = ring(capacity, &groups);
            let cursor = EventId::from_u64(cursor);
            let expected: Vec<u8> = all.iter().filter(|e| e.id() > cursor && filter.matches(e.header())).flat_map(|e| e.block(false).to_vec()).collect();
            match ring.locate(cursor) {
                None => prop_assert!(cursor < ring.floor()),
                Some(mut position) => {
                    let mut got = Vec::new();
                    while position < ring.head() {
                        let mut chunk = Vec::new();
                        position = ring.read(position, &filter, false, max_bytes, &mut chunk).expect("not evicted").position;
                        got.extend_from_slice(&chunk);
                    }
                    prop_assert_eq!(got, expected);
                }
            }
        }

        #[test]
        fn counts_and_limits_hold_whatever_was_appended(
            capacity in 1_usize..20, groups in proptest::collection::vec(proptest::collection::vec(header(), 0..8), 0..10),
        ) {
            let (ring, all) = ring(capacity, &groups);
            let stats = ring.stats();
            let kept: Vec<_> = all.iter().rev().take(capacity).rev().collect();
            prop_assert_eq!(stats.events, kept.len());
            prop_assert_eq!(stats.bytes, kept.iter().map(|e| e.size()).sum::<usize>());
            prop_assert_eq!(stats.counts.values().sum::<usize>(), kept.len());
            prop_assert_eq!(stats.oldest, kept.first().map(|e| e.id()));
            prop_assert_eq!(ring.newest(), all.last().map_or(EventId::ZERO, |e| e.id()));
        }
    }

    fn plain() -> Header {
        use crate::domain::clock::Timestamp;
        Header {
            event_type: "a".into(),
            timestamp: Timestamp::from_micros(0),
            source: None,
            severity: None,
            profile_id: None,
            event_id: None,
            symbol: None,
            strategy: None,
        }
    }

    #[test]
    fn an_emptied_ring_sends_its_live_readers_to_the_journal_and_loses_no_position() {
        let (ring, _) = ring(10, &[vec![plain(), plain(), plain()]]);
        let live = ring.head();
        ring.clear();
        assert_eq!(ring.read(live, &Filter::default(), false, 100, &mut Vec::new()), None);
        assert_eq!(ring.locate(EventId::from_u64(2)), None, "event 3 is only in the journal");
        let position = ring.locate(EventId::from_u64(3)).expect("nothing is missing after 3");
        ring.append(vec![event(4, plain())]);
        let read = ring.read(position, &Filter::default(), false, 100, &mut Vec::new()).expect("there");
        assert_eq!((read.cursor, read.oldest), (EventId::from_u64(4), Some(EventId::from_u64(4))));
    }

    #[test]
    fn bytes_bound_the_ring_but_the_newest_event_always_fits() {
        let ring = Ring::new(RingLimits { events: 100, bytes: 1 }, EventId::ZERO);
        ring.append(vec![event(1, plain()), event(2, plain())]);
        assert_eq!(ring.stats().events, 1);
        assert_eq!(ring.floor(), EventId::from_u64(1));
    }
}
