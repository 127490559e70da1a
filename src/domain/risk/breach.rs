//! Breaches: raised, updated, cleared; and warnings before them.
//!
//! A breach is `current > limit`. It is raised by the event that made it so, and `since`, that event's arrival, stays until
//! it is cleared: when `current <= limit` again, or when the day rolls. While it lasts it is announced anew only when it
//! grows by a further tenth of the limit, so that a flood of events is no flood of findings; what is asked for always
//! shows the newest figure. The daily loss and the drawdown are critical, the counts are warnings. The limit of a symbol has
//! one breach a symbol.
//!
//! A limit's **warning band** goes from `warn_at_pct` of it up to the limit. Entering it warns once; the excursion ends below
//! `calm_below_pct`, whatever happens in between. Who jumps over the band, or comes back into it from a breach, is not
//! warned.

use std::collections::BTreeMap;

use compact_str::CompactString;
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive as _;

use super::announce::Announced;
use super::limits::LimitKind;
use crate::domain::clock::Timestamp;
use crate::domain::event::Severity;
use crate::domain::id::EventId;
use crate::domain::money::percent;

/// A breach is announced again for each further such part of the limit.
const STEPS: i64 = 10;

/// Which limit, and of which symbol.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// The limit.
    pub kind: LimitKind,
    /// The symbol that it is about.
    pub symbol: Option<CompactString>,
}

/// When something came to be, and by which event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// The event's arrival.
    pub at: Timestamp,
    /// The event; for what no event caused the first id of that time.
    pub cause: EventId,
}

impl Moment {
    /// A moment that no event made.
    #[must_use]
    pub fn of_clock(at: Timestamp) -> Self {
        Self { at, cause: EventId::first_at(at) }
    }
}

/// A breach as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Breach {
    /// Which limit.
    pub key: Key,
    /// The limit's value.
    pub limit: Decimal,
    /// The figure.
    pub current: Decimal,
    /// When it was raised.
    pub since: Moment,
    /// When the figure or the limit last changed.
    pub updated: Timestamp,
    /// How many parts of the limit it was over it when it was announced last.
    pub step: u64,
}

/// Why a breach ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The figure is within the limit again.
    Within,
    /// Its trading day is over.
    DayRolled,
}

/// Something to announce.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// A breach began.
    Raised(Breach),
    /// It grew.
    Updated(Breach),
    /// It ended.
    Cleared(Breach, Ending),
    /// A limit's warning band was entered; told as the breach that it is not yet.
    Warned(Breach),
}

/// Severity of the breaches of `kind`.
#[must_use]
pub fn severity(kind: LimitKind) -> Severity {
    match kind {
        LimitKind::MaxDailyLoss | LimitKind::MaxDailyDrawdownPct => Severity::Critical,
        _ => Severity::Warning,
    }
}

/// The warning band, in percent of a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Band {
    /// Where it begins.
    pub warn_at_pct: Decimal,
    /// Below this it has been left.
    pub calm_below_pct: Decimal,
}

/// Time above `calm_below_pct` that began with reaching `warn_at_pct`.
#[derive(Debug, Clone)]
struct Excursion {
    entry: Breach,
    /// Whether it began in the band.
    was_warned: bool,
}

/// What is breached, and what is near it.
#[derive(Debug, Clone)]
pub struct Monitor {
    band: Band,
    open: BTreeMap<Key, Breach>,
    excursions: BTreeMap<Key, Excursion>,
}

impl Monitor {
    /// Nothing is breached yet.
    #[must_use]
    pub fn new(band: Band) -> Self {
        Self { band, open: BTreeMap::new(), excursions: BTreeMap::new() }
    }

    /// The breaches, in the order of the limits.
    pub fn breaches(&self) -> impl Iterator<Item = &Breach> {
        self.open.values()
    }

    /// The limits that are breached or in their warning band, by symbol.
    pub fn excursions(&self) -> impl Iterator<Item = &Key> {
        self.excursions.keys()
    }

    /// Whether `key` is breached.
    #[must_use]
    pub fn is_breached(&self, key: &Key) -> bool {
        self.open.contains_key(key)
    }

    /// Whether `key` is between `calm_below_pct` and its limit, after having reached `warn_at_pct`.
    #[must_use]
    pub fn is_near(&self, key: &Key) -> bool {
        self.excursions.contains_key(key)
    }

    /// Compares `current` with `limit`; what is to be announced, warning first.
    pub fn assess(&mut self, key: Key, current: Decimal, limit: Decimal, moment: Moment) -> Option<Finding> {
        let used = percent(current, limit).unwrap_or(Decimal::MAX);
        let is_over = current > limit;
        let step = if is_over { step(current, limit) } else { 0 };
        let seen = || Breach { key: key.clone(), limit, current, since: moment, updated: moment.at, step };
        if used < self.band.calm_below_pct {
            self.excursions.remove(&key);
        }
        let enters = used >= self.band.warn_at_pct && !self.excursions.contains_key(&key);
        if enters {
            self.excursions.insert(key.clone(), Excursion { entry: seen(), was_warned: !is_over });
        }
        if !is_over {
            let ended = self.open.remove(&key);
            let ended = ended.map(|breach| Breach { current, limit, updated: moment.at, ..breach });
            return ended
                .map(|breach| Finding::Cleared(breach, Ending::Within))
                .or_else(|| enters.then(|| Finding::Warned(seen())));
        }
        let Some(breach) = self.open.get_mut(&key) else {
            let breach = seen();
            self.open.insert(key, breach.clone());
            return Some(Finding::Raised(breach));
        };
        if (breach.current, breach.limit) != (current, limit) {
            (breach.current, breach.limit, breach.updated) = (current, limit, moment.at);
        }
        if step <= breach.step {
            return None;
        }
        breach.step = step;
        Some(Finding::Updated(breach.clone()))
    }

    /// The day is over: everything ends.
    pub fn roll(&mut self, at: Timestamp) -> Vec<Finding> {
        self.excursions.clear();
        let ended = std::mem::take(&mut self.open).into_values();
        ended.map(|breach| Finding::Cleared(Breach { updated: at, ..breach }, Ending::DayRolled)).collect()
    }

    /// After a silent replay: takes over what `announced` says was told before, and gives what is to be told now. `day` is
    /// when the current day began; `knows_limits` says that all of it was replayed with the limits that hold.
    pub fn reconcile(&mut self, announced: Announced, knows_limits: bool, day: Timestamp, now: Timestamp) -> Vec<Finding> {
        let Announced { mut open, warned, ended } = announced;
        let mut findings = Vec::new();
        for (key, excursion) in &self.excursions {
            let is_told = warned.get(key).is_some_and(|cause| *cause >= excursion.entry.since.cause);
            if excursion.was_warned && !is_told && !self.open.contains_key(key) {
                findings.push(Finding::Warned(excursion.entry.clone()));
            }
        }
        for (key, breach) in &mut self.open {
            // one of an earlier day is another one; so is one after which, under the same limit, the figure was within it
            let is_same = |told: &Breach| {
                let is_earlier = knows_limits && told.since.cause < breach.since.cause && told.limit == breach.limit;
                told.since.at >= day && !is_earlier
            };
            let told = if open.get(key).is_some_and(is_same) { open.remove(key) } else { None };
            let Some(told) = told else {
                if ended.get(key).is_some_and(|cause| *cause >= breach.since.cause) {
                    // it was told, and told to have ended, under a limit that holds no more: this is another one
                    breach.since = Moment::of_clock(now);
                }
                findings.push(Finding::Raised(breach.clone()));
                continue;
            };
            breach.since = told.since;
            if breach.step > told.step {
                findings.push(Finding::Updated(breach.clone()));
            }
            breach.step = breach.step.max(told.step);
        }
        let ended = open.into_values().map(|breach| {
            let ending = if breach.since.at < day { Ending::DayRolled } else { Ending::Within };
            Finding::Cleared(Breach { updated: now, ..breach }, ending)
        });
        // what ended comes before what began
        ended.chain(findings).collect()
    }
}

/// Whole parts of the limit by which `current` is over it.
fn step(current: Decimal, limit: Decimal) -> u64 {
    let over = (current - limit).checked_mul(STEPS.into()).and_then(|over| over.checked_div(limit));
    over.and_then(|parts| parts.floor().to_u64()).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[path = "breach_tests.rs"]
mod tests;
