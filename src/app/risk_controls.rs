//! Starting the controls of risk: the kill switch, and the limits.

use std::path::PathBuf;
use std::time::Duration;

use actix::{ArbiterHandle, Recipient};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::actors::kill_switch::KillSwitchHandle;
use crate::actors::publisher::EventBusHandle;
use crate::actors::risk_evaluator::LimitsChanged;
use crate::actors::risk_limits::RiskLimitsHandle;
use crate::actors::supervision::Panics;
use crate::config::Config;
use crate::domain::clock::Clock;
use crate::domain::engine::PLIMSOLL;
use crate::domain::event;
use crate::domain::filter::Filter;
use crate::domain::id::EventId;
use crate::domain::risk::kill_switch::Position;
use crate::storage::kill_switch_file::KillSwitchFile;
use crate::storage::limits_book::{LimitsBook, Places};
use crate::storage::sqlite::Place;
use crate::storage::sqlite_reader::SqliteReader;
use crate::storage::{EventReader as _, Range};

/// The position of the kill switch that was announced last, if the journal has it.
pub(super) fn last_announced(journal: &Place, timeout: Duration) -> Option<Position> {
    #[derive(Deserialize)]
    struct Told<'a> {
        #[serde(borrow)]
        payload: &'a RawValue,
    }
    let filter =
        Filter { event_types: vec!["kill_switch_triggered".into()], sources: vec![PLIMSOLL.into()], ..Filter::default() };
    let range = Range {
        after: EventId::ZERO,
        until: EventId::MAX,
        filter,
        newest_first: true,
        limit: 1,
        max_bytes: usize::MAX,
        ids_only: false,
    };
    // a journal that cannot be read is told by others
    let page = SqliteReader::open(journal, timeout).and_then(|mut reader| reader.page(&range)).ok()?;
    let newest = page.events.first()?;
    let mut json = Vec::new();
    event::write_json(&mut json, newest.id, &newest.tail);
    let told: Told<'_> = serde_json::from_slice(&json).ok()?;
    Position::parse(told.payload.get()).ok()
}

/// Starts the kill switch on `thread`; `told` is what the journal knows of it.
pub(super) fn kill_switch(
    config: &Config,
    told: Option<Position>,
    thread: &ArbiterHandle,
    bus: EventBusHandle,
    clock: &Clock,
    panics: &Panics,
) -> KillSwitchHandle {
    let found = KillSwitchFile::open(folder(config), told.as_ref(), clock.now());
    KillSwitchHandle::start(thread, found, config.risk.kill_switch_waiters, bus, clock.clone(), panics.clone())
}

/// Reads the limits; the evaluator starts with [`LimitsBook::effective`].
pub(super) fn read_limits(config: &Config, clock: &Clock) -> LimitsBook {
    let places = Places { overrides: config.risk.overrides_file.clone(), folder: folder(config) };
    LimitsBook::open(config.risk.limits.clone(), places, clock.now())
}

/// Starts the limits on `thread`; changes are told to `evaluator`.
pub(super) fn limits(
    book: LimitsBook,
    thread: &ArbiterHandle,
    bus: EventBusHandle,
    evaluator: Recipient<LimitsChanged>,
    clock: &Clock,
    panics: &Panics,
) -> RiskLimitsHandle {
    RiskLimitsHandle::start(thread, book, bus, Some(evaluator), clock.clone(), panics.clone())
}

fn folder(config: &Config) -> PathBuf {
    config.artifacts.join("risk")
}
