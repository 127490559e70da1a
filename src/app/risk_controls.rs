//! Starting the controls of risk: the kill switch, and the limits.

use std::path::PathBuf;

use actix::{ArbiterHandle, Recipient};

use crate::actors::kill_switch::KillSwitchHandle;
use crate::actors::publisher::EventBusHandle;
use crate::actors::risk_evaluator::LimitsChanged;
use crate::actors::risk_limits::RiskLimitsHandle;
use crate::actors::supervision::Panics;
use crate::config::Config;
use crate::domain::clock::Clock;
use crate::storage::kill_switch_file::KillSwitchFile;
use crate::storage::limits_book::{LimitsBook, Places};

/// Starts the kill switch on `thread`.
pub(super) fn kill_switch(
    config: &Config,
    thread: &ArbiterHandle,
    bus: EventBusHandle,
    clock: &Clock,
    panics: &Panics,
) -> KillSwitchHandle {
    let found = KillSwitchFile::open(folder(config), clock.now());
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
