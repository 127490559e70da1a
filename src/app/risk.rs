//! Starting the risk evaluator and its controls.

use std::path::Path;

use actix::{Arbiter, Recipient};
use chrono::{Days, NaiveDate};

use super::risk_controls;
use crate::actors::admission::Admission;
use crate::actors::history::History;
use crate::actors::journal::SharedStatus;
use crate::actors::kill_switch::{KillSwitchHandle, Trip};
use crate::actors::publisher::EventBusHandle;
use crate::actors::risk_evaluator::Surroundings;
use crate::actors::risk_handle::RiskHandle;
use crate::actors::risk_limits::RiskLimitsHandle;
use crate::actors::supervision::Panics;
use crate::config::Config;
use crate::domain::clock::{Clock, Timestamp};
use crate::domain::id::EventId;
use crate::domain::risk::breach::Band;
use crate::domain::risk::daily_file::date_of;
use crate::domain::risk::evaluation::{Evaluation, Settings};
use crate::domain::risk::limits::Limits;
use crate::domain::risk::session::Session;
use crate::domain::risk::state::Rules;
use crate::storage::sqlite::Place;

/// Days that are read back for their files, at most.
const MOST_DAYS: u64 = 7;

/// The trading days of the configuration.
pub(super) fn session(config: &Config) -> Session {
    Session::new(config.session.timezone, config.session.roll_time)
}

/// What routes ask, and the threads of it.
pub(super) struct Risk {
    /// The day's figures and breaches.
    pub(super) evaluator: RiskHandle,
    /// The limits.
    pub(super) limits: RiskLimitsHandle,
    /// The kill switch.
    pub(super) kill_switch: KillSwitchHandle,
    /// Of the evaluator, the limits and the switch: a halt never waits for a limit's fsync.
    pub(super) threads: [Arbiter; 3],
}

/// Starts the switch first, since the evaluator trips it, and the limits last, since they tell the evaluator.
pub(super) fn start(
    config: &Config,
    (place, history): (&Place, History),
    bus: &EventBusHandle,
    (clock, panics): (&Clock, &Panics),
    complete_from: Timestamp,
) -> Risk {
    let threads = [Arbiter::new(), Arbiter::new(), Arbiter::new()];
    let [evaluator_thread, limits_thread, switch_thread] = &threads;
    // a finding shall not wait behind the posts of a full queue
    let bus = bus.with_queue(Admission::new(config.risk.queue_bytes / 1024, config.telemetry.admission_timeout));
    let told = risk_controls::last_announced(place, config.journal.query_timeout);
    let kill_switch = risk_controls::kill_switch(config, told, &switch_thread.handle(), bus.clone(), clock, panics);
    let book = risk_controls::read_limits(config, clock);
    let beginning = Beginning { limits: book.effective().limits().clone(), trips: kill_switch.trips(), complete_from };
    let evaluator = evaluate(config, evaluator_thread, history, bus.clone(), (clock, panics), beginning);
    let limits = risk_controls::limits(book, &limits_thread.handle(), bus, evaluator.limits(), clock, panics);
    Risk { evaluator, limits, kill_switch, threads }
}

/// What the evaluator begins with.
struct Beginning {
    /// The limits that hold, overrides and all.
    limits: Limits,
    /// The kill switch.
    trips: Recipient<Trip>,
    /// Before this the journal may lack events.
    complete_from: Timestamp,
}

/// From when on the journal has all events; of what a broken one that was set aside held nothing is known.
pub(super) fn complete_from(journal: &SharedStatus, was_set_aside: bool, now: Timestamp) -> Timestamp {
    let log = journal.read().log;
    let deleted = if log.floor == log.birth { EventId::ZERO } else { log.floor };
    let deleted = Timestamp::from_micros(i64::try_from(deleted.millis()).unwrap_or(i64::MAX).saturating_mul(1_000));
    if was_set_aside { now } else { deleted }
}

/// Starts to evaluate risk on `thread`; breaches are told to the kill switch.
fn evaluate(
    config: &Config,
    thread: &Arbiter,
    history: History,
    bus: EventBusHandle,
    (clock, panics): (&Clock, &Panics),
    Beginning { limits, trips, complete_from }: Beginning,
) -> RiskHandle {
    let risk = &config.risk;
    let session = session(config);
    let folder = config.artifacts.join("analytics").join("daily");
    let since = first_instant(&session, newest_file(&folder), clock.now());
    let settings = Settings {
        session,
        rules: Rules { include_unrealized: risk.include_unrealized, starting_capital: risk.starting_capital },
        band: Band { warn_at_pct: risk.warn_at_pct, calm_below_pct: risk.calm_below_pct },
        stale_after: risk.stale_after,
        on_breach: risk.on_breach.clone(),
        on_engine_kill: risk.on_engine_kill,
        complete_from,
    };
    let around = Surroundings { bus, trips: Some(trips), folder, clock: clock.clone(), panics: panics.clone() };
    let cursor = EventId::first_at(since).before();
    RiskHandle::start(&thread.handle(), history, cursor, Evaluation::new(settings, limits, since), around)
}

/// Where the journal is read from: the day before today's, whose breaches may still have to be ended, or the day behind the
/// newest file, so that no day goes without its own.
fn first_instant(session: &Session, newest: Option<NaiveDate>, now: Timestamp) -> Timestamp {
    let today = session.date_of(now);
    let back = |days: u64| today.checked_sub_days(Days::new(days)).unwrap_or(today);
    let wanted = newest.and_then(|newest| newest.succ_opt()).unwrap_or(back(MOST_DAYS));
    session.start_of(wanted.clamp(back(MOST_DAYS), back(1)))
}

/// The newest day that has a file in `folder`.
fn newest_file(folder: &Path) -> Option<NaiveDate> {
    let names = std::fs::read_dir(folder).ok()?.flatten().map(|entry| entry.file_name());
    names.filter_map(|name| date_of(name.to_str()?)).max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_journal_is_read_from_the_day_behind_the_newest_file_but_not_further_than_a_week() {
        let session = Session::new(chrono_tz::Tz::UTC, chrono::NaiveTime::MIN);
        let now = Timestamp::parse("2025-11-18T12:00:00Z").expect("a time");
        let since = |newest: Option<&str>| {
            let newest = newest.map(|newest| newest.parse().expect("a date"));
            session.date_of(first_instant(&session, newest, now)).to_string()
        };
        assert_eq!(since(None), "2025-11-11");
        assert_eq!(since(Some("2025-11-13")), "2025-11-14");
        assert_eq!(since(Some("2025-11-17")), "2025-11-17", "yesterday's breaches may still have to be ended");
        assert_eq!(since(Some("2025-12-01")), "2025-11-17");
        assert_eq!(since(Some("2024-01-01")), "2025-11-11");
    }

    #[test]
    fn only_a_days_file_tells_of_a_day() {
        let folder = tempfile::tempdir().expect("a folder");
        for name in
            ["2025-11-13-metrics.json", "2026-1-2-metrics.json", "+2026-01-02-metrics.json", "2026-01-02-metrics.json.new"]
        {
            std::fs::write(folder.path().join(name), "{}").expect("written");
        }
        assert_eq!(newest_file(folder.path()).map(|day| day.to_string()).as_deref(), Some("2025-11-13"));
        assert_eq!(newest_file(&folder.path().join("nowhere")), None);
    }
}
