//! The evaluation: the day's state, the breaches, and what follows from an event, from new limits and from the clock.
//!
//! It is the whole of the risk evaluator without its actor. While the journal is replayed it is silent, and learns from the
//! service's own earlier events what has been announced; [`Evaluation::rebuilt`] gives what is still to be said.

use std::collections::VecDeque;

use rust_decimal::Decimal;

use super::announce::{Announced, Announcement};
use super::breach::{Band, Breach, Finding, Key, Moment, Monitor};
use super::fact::{Fact, Heard};
use super::kill_switch::TradingState;
use super::limits::{LimitKind, Limits};
use super::session::Session;
use super::state::{DayState, Rules, Touched, arrival_of};
use super::status::{EngineKill, View};
use super::{daily_file, day_file};
use crate::domain::clock::Timestamp;
use crate::domain::engine::PLIMSOLL;
use crate::domain::event::Event;
use crate::domain::payload::Payload;

/// Words of engines during a replay that are passed on after it.
const MAX_KILLS: usize = 100;

/// What the evaluation goes by.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The trading days.
    pub session: Session,
    /// What figures count.
    pub rules: Rules,
    /// Where warnings begin and end.
    pub band: Band,
    /// A figure without news for longer is stale.
    pub stale_after: std::time::Duration,
    /// What a breach of each limit makes of the trading state.
    pub on_breach: Vec<(LimitKind, TradingState)>,
    /// What an engine's own word makes of it.
    pub on_engine_kill: Option<TradingState>,
    /// Before this the journal may lack events.
    pub complete_from: Timestamp,
}

/// Something to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Publish this.
    Announce(Announcement),
    /// Trip the kill switch.
    Trip(Cause),
    /// Write the file of a day that is over, unless there is one.
    WriteDay {
        /// The file's name.
        name: String,
        /// Its content.
        text: String,
    },
}

/// Why the kill switch is to be tripped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// To what.
    pub to: TradingState,
    /// Why, for people.
    pub reason: String,
    /// Who.
    pub actor: String,
    /// What tells it from other causes, over restarts too.
    pub cause: String,
}

/// The evaluation.
#[derive(Debug, Clone)]
pub struct Evaluation {
    settings: Settings,
    limits: Limits,
    day: DayState,
    monitor: Monitor,
    /// `Some` while the journal is replayed.
    announced: Option<Announced>,
    /// Whether the limits came or changed in the middle of the replay.
    came_late: bool,
    engine_kill: Option<EngineKill>,
    /// Trips of the replayed time.
    kills: VecDeque<Cause>,
    /// Whether an internal error may have left something out of this day.
    is_hurt: bool,
    /// Starting capital by the newest `runtime_metrics.json`, whatever its day.
    file_capital: Option<Decimal>,
}

impl Evaluation {
    /// The evaluation of what arrived since `since`, against `limits`.
    #[must_use]
    pub fn new(settings: Settings, limits: Limits, since: Timestamp) -> Self {
        let day = DayState::new(settings.session.day_of(since), settings.rules);
        let monitor = Monitor::new(settings.band);
        let announced = Some(Announced::default());
        Self {
            settings,
            limits,
            day,
            monitor,
            announced,
            came_late: false,
            engine_kill: None,
            kills: VecDeque::new(),
            is_hurt: false,
            file_capital: None,
        }
    }

    /// Takes the next event.
    pub fn take(&mut self, event: &Event) -> Vec<Effect> {
        let moment = Moment { at: arrival_of(event), cause: event.id() };
        let mut effects = Vec::new();
        if moment.at >= self.day.day().end {
            effects = self.roll(moment.at);
        }
        if let Some(announced) = &mut self.announced {
            announced.take(event);
        }
        let heard = Heard::of(event);
        if let Heard::Fact(Fact::File(file)) = &heard {
            self.file_capital = file.money.starting.or(self.file_capital);
        }
        effects.extend(self.engine_killed(event));
        let touched = self.day.apply(event, heard);
        let findings = self.assess(&touched, moment);
        effects.extend(self.effects(findings));
        effects
    }

    /// Starting capital by the newest `runtime_metrics.json`, else as an engine states it today, else as configured.
    #[must_use]
    pub fn starting_capital(&self) -> Option<Decimal> {
        self.file_capital.or(self.day.starting_capital())
    }

    /// From now on `limits` hold.
    pub fn set_limits(&mut self, limits: Limits, now: Timestamp) -> Vec<Effect> {
        if self.limits == limits {
            return Vec::new();
        }
        self.limits = limits;
        if self.announced.is_some() {
            self.came_late = true;
            return Vec::new();
        }
        let findings = self.assess(&Touched::All, Moment::of_clock(now));
        self.effects(findings)
    }

    /// Begins the day that `now` belongs to, unless it is that day already.
    pub fn roll(&mut self, now: Timestamp) -> Vec<Effect> {
        if now < self.day.day().end {
            return Vec::new();
        }
        let next = DayState::new(self.settings.session.day_of(now), self.settings.rules);
        let is_partial = self.is_partial();
        let over = std::mem::replace(&mut self.day, next);
        self.is_hurt = false;
        // as after a restart, which knows of none before the day
        self.engine_kill = None;
        let findings = self.monitor.roll(now);
        let mut effects = self.effects(findings);
        // half a day's figures are nobody's figures
        if let (false, Some(text)) = (is_partial, day_file::text(&over)) {
            effects.push(Effect::WriteDay { name: daily_file::name_of(over.day().date), text });
        }
        effects
    }

    /// When the day is over.
    #[must_use]
    pub fn day_ends(&self) -> Timestamp {
        self.day.day().end
    }

    /// The journal's past was taken: what is still to be done.
    pub fn rebuilt(&mut self, now: Timestamp) -> Vec<Effect> {
        // silent still: what was announced of the day before is ended below
        let mut effects = self.roll(now);
        let Some(announced) = self.announced.take() else { return effects };
        // under limits that came during the replay; what they breach is told with the rest
        self.assess(&Touched::All, Moment::of_clock(now));
        let findings = self.monitor.reconcile(announced, !self.came_late, self.day.day().start, now);
        effects.extend(findings.iter().map(|finding| Effect::Announce(finding.announcement())));
        // the kill switch knows which causes it has taken
        effects.extend(self.monitor.breaches().filter_map(|breach| self.trip(breach)));
        effects.extend(std::mem::take(&mut self.kills).into_iter().map(Effect::Trip));
        effects
    }

    /// Something of the day may have been left out.
    pub fn distrust(&mut self) {
        self.is_hurt = true;
    }

    /// Whether something of the day may have been left out.
    #[must_use]
    pub fn is_hurt(&self) -> bool {
        self.is_hurt
    }

    /// Whether the journal's past is still being taken.
    #[must_use]
    pub fn is_rebuilding(&self) -> bool {
        self.announced.is_some()
    }

    /// The breaches, in the order of the limits.
    #[must_use]
    pub fn breaches(&self) -> Vec<Breach> {
        self.monitor.breaches().cloned().collect()
    }

    /// What a status at `now` is made of.
    #[must_use]
    pub fn view(&self, now: Timestamp) -> View<'_> {
        View {
            day: &self.day,
            monitor: &self.monitor,
            limits: &self.limits,
            stale_after: self.settings.stale_after,
            rebuilding: self.is_rebuilding(),
            partial: self.lacks_events(),
            hurt: self.is_hurt,
            engine_kill: self.engine_kill.as_ref(),
            now,
        }
    }

    fn is_partial(&self) -> bool {
        self.is_hurt || self.lacks_events()
    }

    /// Whether the journal no longer has all of the day.
    fn lacks_events(&self) -> bool {
        self.day.day().start < self.settings.complete_from
    }

    fn assess(&mut self, touched: &Touched, moment: Moment) -> Vec<Finding> {
        let symbols = match touched {
            Touched::Nothing => return Vec::new(),
            Touched::Account => Vec::new(),
            Touched::Symbol(symbol) => vec![symbol.clone()],
            Touched::All => {
                let breached = self.monitor.breaches().map(|breach| &breach.key);
                let near = breached.chain(self.monitor.excursions()).filter_map(|key| key.symbol.clone());
                // one that has no trades any more too
                let mut symbols: Vec<_> = near.chain(self.day.symbols()).collect();
                symbols.sort_unstable();
                symbols.dedup();
                symbols
            }
        };
        let account = LimitKind::ALL.into_iter().filter(|kind| *kind != LimitKind::MaxTradesPerSymbolPerDay);
        let keys = account.map(|kind| Key { kind, symbol: None });
        let of_symbols =
            symbols.into_iter().map(|symbol| Key { kind: LimitKind::MaxTradesPerSymbolPerDay, symbol: Some(symbol) });
        let mut findings = Vec::new();
        for key in keys.chain(of_symbols) {
            // what is not known breaches nothing, and ends nothing
            if let Some(current) = self.day.current(key.kind, key.symbol.as_deref()) {
                let limit = self.limits.get(key.kind);
                findings.extend(self.monitor.assess(key, current, limit, moment));
            }
        }
        findings
    }

    /// What follows from `findings`; nothing during a replay.
    fn effects(&self, findings: Vec<Finding>) -> Vec<Effect> {
        if self.announced.is_some() {
            return Vec::new();
        }
        let mut effects = Vec::new();
        for finding in findings {
            if let Finding::Raised(breach) = &finding {
                effects.extend(self.trip(breach));
            }
            effects.push(Effect::Announce(finding.announcement()));
        }
        effects
    }

    fn trip(&self, breach: &Breach) -> Option<Effect> {
        let (_, to) = self.settings.on_breach.iter().find(|(kind, _)| *kind == breach.key.kind)?;
        let symbol = breach.key.symbol.as_deref().unwrap_or_default();
        Some(Effect::Trip(Cause {
            to: *to,
            reason: breach.message(),
            actor: "risk_evaluator".to_owned(),
            cause: format!("{}:{symbol}:{}", breach.key.kind.breach_type(), breach.since.at),
        }))
    }

    /// Takes an engine's own `kill_switch_triggered`.
    fn engine_killed(&mut self, event: &Event) -> Option<Effect> {
        let header = event.header();
        if header.event_type != "kill_switch_triggered" || header.source.as_deref() == Some(PLIMSOLL) {
            return None;
        }
        let payload = Payload::inspect(event.payload(), usize::MAX).ok();
        let reason = payload.and_then(|payload| Some(payload.text("reason")?.chars().take(500).collect::<String>()));
        self.engine_kill = Some(EngineKill {
            id: event.id().to_string(),
            source: header.source.clone(),
            timestamp: header.timestamp.to_string(),
            reason: reason.clone(),
        });
        let cause = Cause {
            to: self.settings.on_engine_kill?,
            reason: reason.map_or_else(
                || "an engine triggered its own kill switch".to_owned(),
                |reason| format!("an engine triggered its own kill switch: {reason}"),
            ),
            actor: header.source.as_deref().unwrap_or("unnamed engine").to_owned(),
            cause: format!("kill_switch_triggered:{}", event.id()),
        };
        if self.announced.is_some() {
            if self.kills.len() >= MAX_KILLS {
                // what is newest says most of how things stand
                self.kills.pop_front();
            }
            self.kills.push_back(cause);
            return None;
        }
        Some(Effect::Trip(cause))
    }
}

#[cfg(test)]
#[path = "evaluation_tests.rs"]
mod tests;
