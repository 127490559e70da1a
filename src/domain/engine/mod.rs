//! One engine: its record, how it is judged, and what its watcher publishes.
//!
//! `status` is what the engine said last. [`State`] is the judgement: the same while a beat is fresh, else stale. Time is
//! the server's: a beat is as old as its arrival, a file's beat as its modification. What the engine's own clock shows is
//! only reported.
//!
//! A beat without a status proves life, and says nothing else: the engine runs, and its `status` is null until it says
//! one.

pub mod file;
pub mod kept;
pub mod market_data;
pub mod news;
pub mod owner;
pub mod patience;
pub mod performance;
pub mod position;
pub mod state;
pub mod terms;
pub mod update;
mod view;

use std::time::Duration;

use serde_json::Value;
use serde_json::value::RawValue;

use crate::domain::clock::Timestamp;
use crate::domain::event::Event;
use crate::domain::id::EventId;
use crate::domain::payload::Payload;
pub use kept::Kept;
use market_data::MarketData;
pub use news::{Beat, News};
use owner::Doubt;
use performance::Performance;
pub use state::{Limits, Notice, State, Verdict};
pub use terms::{EngineName, Kind, PLIMSOLL, Said, Status};
pub use update::Update;

/// A beat may be ahead of the clock by so much, in microseconds: events of one millisecond share it. Beyond that the clock
/// was set back, and nobody knows how old the beat is.
const AHEAD: i64 = 1_000_000;

/// One engine.
#[derive(Debug, Clone)]
pub struct Engine {
    name: EngineName,
    configured: Option<Kind>,
    guessed: Option<Kind>,
    record: Update,
    /// When it last gave a sign of life; `None` before the first.
    last_beat: Option<Timestamp>,
    /// Whether all that is known of its beats is what its file kept: no such beat is fresh.
    is_recalled: bool,
    clock_skew: Option<f64>,
    restarts: u64,
    /// The field of the record that is still the previous process's.
    outdated: Option<Part>,
    /// The `engine_stale` event that no `engine_recovered` has followed.
    announced: Option<EventId>,
    has_file: bool,
    /// Whether events that may be its own are nobody's.
    doubt: Doubt,
    reported: Option<Box<RawValue>>,
    performance: Performance,
    market_data: MarketData,
}

/// What tells one process of an engine from the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Pid,
    StartedAt,
}

impl Engine {
    /// An engine that nothing is known of; the configuration may say of what kind it is.
    #[must_use]
    pub fn new(name: EngineName, configured: Option<Kind>) -> Self {
        Self {
            record: Update::empty(name.clone()),
            name,
            configured,
            guessed: None,
            last_beat: None,
            is_recalled: false,
            clock_skew: None,
            restarts: 0,
            outdated: None,
            announced: None,
            has_file: false,
            doubt: Doubt::default(),
            reported: None,
            performance: Performance::default(),
            market_data: MarketData::default(),
        }
    }

    /// Takes a sign of life of `at`; what it does not name stays. A new process owes nothing to the end of the last one.
    pub fn beat(&mut self, update: Update, at: Timestamp) {
        let restarted = self.is_restart(&update);
        self.restarts += u64::from(restarted);
        self.clock_skew = update.last_heartbeat.as_ref().map_or(self.clock_skew, |said| said.ahead_of(at));
        let old = &self.record;
        let ended = restarted && matches!(old.status, Some(Status::Stopped | Status::Error));
        self.record = Update {
            name: self.name.clone(),
            mode: update.mode.or_else(|| old.mode.clone()),
            pid: update.pid.or(old.pid),
            status: update.status.or(if ended { None } else { old.status }),
            started_at: update.started_at.or_else(|| old.started_at.clone()),
            last_heartbeat: update.last_heartbeat.or_else(|| Some(Said::by_us(at))),
            loop_tick: update.loop_tick.or(old.loop_tick),
            universe_size: update.universe_size.or(old.universe_size),
            open_positions: update.open_positions.or(old.open_positions),
            last_error: update.last_error.or_else(|| old.last_error.clone()),
            kind: update.kind.or(old.kind),
        };
        self.last_beat = Some(at);
        self.is_recalled = false;
    }

    /// Takes what its file of time `modified` kept of it, unless the journal tells more; `now` only bounds when that was.
    pub fn recall(&mut self, kept: Kept, modified: Timestamp, now: Timestamp) {
        self.restarts = self.restarts.max(kept.restarts);
        if self.last_beat.is_none() {
            self.record = kept.update;
            self.last_beat = Some(kept.last_beat.unwrap_or(modified).min(modified).min(now));
            self.is_recalled = true;
            self.announced = kept.silence;
        }
    }

    /// Notes that events are nobody's that may be its own.
    pub fn doubt(&mut self, doubt: Doubt) {
        self.doubt = doubt;
    }

    /// Whether `update` is of another process than the record. Its pid and its start may come in two beats.
    fn is_restart(&mut self, update: &Update) -> bool {
        fn differ<T: PartialEq>(old: Option<&T>, new: Option<&T>) -> bool {
            old.is_some() && new.is_some() && old != new
        }
        let pid = differ(self.record.pid.as_ref(), update.pid.as_ref());
        let start = differ(self.record.started_at.as_ref(), update.started_at.as_ref());
        let is_second_half =
            matches!((self.outdated, pid, start), (Some(Part::Pid), true, false) | (Some(Part::StartedAt), false, true));
        match (pid, start) {
            (false, false) => {}
            _ if is_second_half => self.outdated = None,
            (true, true) => self.outdated = None,
            (true, false) => self.outdated = update.started_at.is_none().then_some(Part::StartedAt),
            (false, true) => self.outdated = update.pid.is_none().then_some(Part::Pid),
        }
        (pid || start) && !is_second_half
    }

    /// Takes what `event` says of it; `now` only bounds when that was.
    pub fn observe(&mut self, news: News, event: &Event, now: Timestamp) {
        let header = event.header();
        let millis = i64::try_from(event.id().millis()).unwrap_or(i64::MAX);
        let arrival = Timestamp::from_micros(millis.saturating_mul(1_000)).min(now);
        match news {
            News::Beat(beat) => {
                let Beat { update, metrics, is_market_data, is_file } = *beat;
                let at = if is_file { header.timestamp.min(arrival) } else { arrival };
                self.has_file |= is_file;
                if is_market_data {
                    self.guess(Kind::MarketData);
                    let said = metrics.as_ref().and_then(|raw| serde_json::from_str::<Value>(raw.get()).ok());
                    said.into_iter().for_each(|said| self.market_data.status(&said));
                }
                self.reported = metrics.or_else(|| self.reported.take());
                // a file that lay there while the engine beat otherwise has nothing new to say
                if !is_file || self.last_beat.is_none_or(|last| at >= last) {
                    self.beat(update, at);
                }
            }
            News::Announced(_, stale) => self.announced(stale.then(|| event.id())),
            News::Ticked(_, metrics) => self.market_data.ticked(&metrics),
            News::Published(_) => self.published(event, arrival),
            News::Misnamed => {}
        }
    }

    fn published(&mut self, event: &Event, arrival: Timestamp) {
        let header = event.header();
        let symbol = header.symbol.as_deref();
        match (header.event_type.as_str(), symbol) {
            ("signal_event" | "decision_trace", _) => self.guess(Kind::Strategy),
            ("order_event", _) => self.guess(Kind::Execution),
            ("universe_scan" | "universe_summary", _) => self.guess(Kind::Universe),
            ("indicator_event", Some(symbol)) => self.market_data.indicator(symbol, arrival),
            ("data_error", Some(symbol)) => self.market_data.failed(symbol),
            ("quote_stale", Some(symbol)) => self.market_data.stale(symbol, arrival),
            ("mde_stale_symbols", _) => {
                self.guess(Kind::MarketData);
                let payload = Payload::inspect(event.payload(), usize::MAX).unwrap_or_default();
                let symbols = payload.get("symbols").and_then(|raw| serde_json::from_str::<Vec<Value>>(raw).ok());
                for symbol in symbols.iter().flatten().filter_map(|each| each.get("symbol").unwrap_or(each).as_str()) {
                    self.market_data.stale(symbol, arrival);
                }
            }
            _ => {}
        }
        self.performance.apply(event);
    }

    /// The strongest hint counts: market data, then signals, then orders, then universes.
    fn guess(&mut self, kind: Kind) {
        let rank = |kind| match kind {
            Kind::MarketData => 4,
            Kind::Strategy => 3,
            Kind::Execution => 2,
            Kind::Universe => 1,
            Kind::Other => 0,
        };
        self.guessed = Some(self.guessed.filter(|known| rank(*known) >= rank(kind)).unwrap_or(kind));
    }

    /// Notes that `engine_stale` was published, as the event of this id, or `engine_recovered`.
    pub fn announced(&mut self, stale: Option<EventId>) {
        self.announced = stale;
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &EngineName {
        &self.name
    }

    /// When it last gave a sign of life.
    #[must_use]
    pub fn last_beat(&self) -> Option<Timestamp> {
        self.last_beat
    }

    /// Whether it writes a file of its own.
    #[must_use]
    pub fn has_file(&self) -> bool {
        self.has_file
    }

    /// Whether it is known to be silent.
    #[must_use]
    pub fn is_announced(&self) -> bool {
        self.announced.is_some()
    }

    /// What it is for: by its own word, else the configuration's, else by what it publishes.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.record.kind.or(self.configured).or(self.guessed).unwrap_or(Kind::Other)
    }

    /// How it is. Whatever it said last needs a fresh beat; only a stopped engine owes none.
    #[must_use]
    pub fn state(&self, now: Timestamp, stale_after: Duration) -> State {
        match (self.record.status, self.is_fresh(now, stale_after)) {
            (Some(Status::Stopped), _) => State::Stopped,
            (_, false) => State::Stale,
            (Some(Status::Error), true) => State::Error,
            (Some(Status::Starting), true) => State::Starting,
            (None | Some(Status::Running), true) => State::Running,
            (Some(Status::Degraded), true) => State::Degraded,
        }
    }

    /// What is to be announced. A stopped engine is not back; one that says that it failed is.
    #[must_use]
    pub fn verdict(&self, now: Timestamp, stale_after: Duration) -> Option<Verdict> {
        match (self.state(now, stale_after), self.announced.is_some()) {
            (State::Stale, false) => Some(Verdict::Stale),
            (State::Stale | State::Stopped, _) => None,
            (_, true) => self.is_fresh(now, stale_after).then_some(Verdict::Recovered),
            (_, false) => None,
        }
    }

    /// How long it has been silent; zero for a clock that was set back.
    #[must_use]
    pub fn age(&self, now: Timestamp) -> Duration {
        let micros = self.last_beat.map_or(0, |last| now.micros().saturating_sub(last.micros()));
        Duration::from_micros(u64::try_from(micros).unwrap_or(0))
    }

    fn is_fresh(&self, now: Timestamp, stale_after: Duration) -> bool {
        let is_known = self.last_beat.is_some_and(|last| last.micros().saturating_sub(now.micros()) <= AHEAD);
        is_known && !self.is_recalled && self.age(now) <= stale_after
    }
}

#[cfg(test)]
mod tests;
