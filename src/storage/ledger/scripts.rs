//! `dd_scripts` and `dd_system_health`: the scripts of an engine, and how each said it is.
//!
//! A row of health is the last report of a trading day when it is written, and never moved: it is found by the report's time,
//! so it is known of whatever days are asked for.

use std::collections::BTreeMap;

use compact_str::CompactString;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::calendar::Era;
use super::cells::{decimal, parsed, text};
use super::dialect::{PUT, through};
use super::latencies::{self, LatencySpan};
use crate::domain::analytics::key::key;
use crate::domain::analytics::latency::Latencies;
use crate::domain::analytics::order::Moment;
use crate::domain::analytics::system::{ScriptFigures, ScriptHealth, ScriptStatus};
use crate::domain::clock::Timestamp;
use crate::domain::id::EventId;
use crate::storage::StorageError;

/// Most scripts of one answer: those that were heard of last.
pub const MAX_SCRIPTS: usize = 1_000;

const FIGURES: &str = "rate_limit_remaining, rate_limit_limit, api_error_count, cpu_usage_pct, memory_usage_mb, error_count,
    warning_count";

/// A script as the ledger knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownScript {
    /// Its name.
    pub name: CompactString,
    /// When it was last heard of.
    pub last_seen: Option<Timestamp>,
    /// What it said last of its health; `None` if it never did.
    pub health: Option<(ScriptStatus, ScriptFigures)>,
    /// How long its calls took.
    pub latencies: Latencies,
}

/// A script that was heard of: its name, when first and when last.
type Heard = (CompactString, Timestamp, Timestamp);

/// The scripts that a transaction touches.
#[derive(Debug, Default)]
pub(super) struct Scripts {
    era: Era,
    heard: BTreeMap<(i64, CompactString), Heard>,
    /// By profile, script and the trading day's key: the last report.
    health: BTreeMap<(i64, CompactString, i64), (Moment, ScriptHealth)>,
}

impl Scripts {
    pub(super) fn new(era: Era) -> Self {
        Self { era, heard: BTreeMap::new(), health: BTreeMap::new() }
    }

    /// Takes that the script `name` was there.
    pub(super) fn hear(&mut self, profile_id: i64, name: &str, at: Timestamp) {
        let heard = self.heard.entry((profile_id, key(name).into())).or_insert_with(|| (name.into(), at, at));
        (heard.1, heard.2) = (heard.1.min(at), heard.2.max(at));
    }

    /// Takes a report of the trading day that begins at `day`.
    pub(super) fn report(&mut self, profile_id: i64, health: &ScriptHealth, moment: Moment, day: Timestamp) {
        self.hear(profile_id, &health.script_name, moment.0);
        let place = (profile_id, key(&health.script_name).into(), self.era.key(day));
        if self.health.get(&place).is_none_or(|(known, _)| moment > *known) {
            self.health.insert(place, (moment, health.clone()));
        }
    }

    /// Writes what was touched.
    pub(super) fn write(self, connection: &Connection) -> Result<(), StorageError> {
        for ((profile_id, script_key), heard) in self.heard {
            put_heard(connection, profile_id, &script_key, heard)?;
        }
        for ((profile_id, script_key, day), (moment, health)) in self.health {
            put_health(connection, (profile_id, &script_key, day), moment, &health)?;
        }
        Ok(())
    }
}

fn put_heard(connection: &Connection, profile_id: i64, script_key: &str, (name, first, last): Heard) -> rusqlite::Result<()> {
    let known: Option<(i64, i64)> = connection
        .prepare_cached("select first_at, last_at from dd_scripts where profile_id = ? and script_key = ?")?
        .query_row(params![profile_id, script_key], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let (mut first, mut last) = (first.micros(), last.micros());
    if let Some((known_first, known_last)) = known {
        (first, last) = (first.min(known_first), last.max(known_last));
    }
    connection
        .prepare_cached(&format!(
            "{PUT} dd_scripts(profile_id, script_key, script_name, first_at, last_at) values(?, ?, ?, ?, ?)"
        ))?
        .execute(params![profile_id, script_key, name.as_str(), first, last])?;
    Ok(())
}

fn put_health(
    connection: &Connection,
    (profile_id, script_key, day): (i64, &str, i64),
    moment: Moment,
    health: &ScriptHealth,
) -> rusqlite::Result<()> {
    let known: Option<Moment> = connection
        .prepare_cached("select event_at, event_id from dd_system_health where profile_id = ? and script_key = ? and day = ?")?
        .query_row(params![profile_id, script_key, day], |row| {
            Ok((Timestamp::from_micros(row.get(0)?), EventId::from_sql(row.get(1)?)))
        })
        .optional()?;
    if known.is_some_and(|known| known >= moment) {
        return Ok(());
    }
    let figures = &health.figures;
    connection
        .prepare_cached(&format!(
            "{PUT} dd_system_health(profile_id, script_key, day, event_at, event_id, status, {FIGURES})
             values(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        ))?
        .execute(params![
            profile_id,
            script_key,
            day,
            moment.0.micros(),
            moment.1.to_sql(),
            health.status.as_str(),
            decimal(figures.rate_limit_remaining),
            decimal(figures.rate_limit_limit),
            decimal(figures.api_error_count),
            decimal(figures.cpu_usage_pct),
            decimal(figures.memory_usage_mb),
            decimal(figures.error_count),
            decimal(figures.warning_count),
        ])?;
    Ok(())
}

/// The scripts that were heard of before `end`, the end of a trading day, by name; only `name`, if it is given.
pub(super) fn known(
    connection: &Connection,
    profile_id: i64,
    name: Option<&str>,
    end: Timestamp,
    asked: LatencySpan,
) -> Result<Vec<KnownScript>, StorageError> {
    let only = if name.is_some() { "script_key = ?" } else { "? = ''" };
    let sql = format!(
        "select script_key, script_name from dd_scripts where profile_id = ? and first_at < ? and {only}
         order by last_at desc, script_key limit {MAX_SCRIPTS}"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let script_key = name.map(key).unwrap_or_default();
    let found = statement.query_map(params![profile_id, end.micros(), script_key], |row| {
        Ok((text(row, 0)?.unwrap_or_default(), text(row, 1)?.unwrap_or_default()))
    })?;
    let mut scripts = Vec::new();
    for script in found {
        let (script_key, name) = script?;
        let (health_at, health) = last_health(connection, profile_id, &script_key, end)?.unzip();
        let last_seen = latencies::last_at(connection, profile_id, &script_key, end)?.max(health_at);
        let latencies = latencies::merged(connection, profile_id, Some(&name), asked)?;
        scripts.push(KnownScript { name, last_seen, health, latencies });
    }
    scripts.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(scripts)
}

type Said = (Timestamp, (ScriptStatus, ScriptFigures));

fn last_health(connection: &Connection, profile_id: i64, script_key: &str, end: Timestamp) -> rusqlite::Result<Option<Said>> {
    let sql = format!(
        "select event_at, status, {FIGURES} from dd_system_health {} where profile_id = ? and script_key = ? and event_at < ?
         order by event_at desc, event_id desc limit 1",
        through("dd_health_by_time"),
    );
    connection.prepare_cached(&sql)?.query_row(params![profile_id, script_key, end.micros()], said).optional()
}

fn said(row: &Row<'_>) -> rusqlite::Result<Said> {
    let status = text(row, 1)?.as_deref().and_then(ScriptStatus::parse);
    let figures = ScriptFigures {
        rate_limit_remaining: parsed(row, 2)?,
        rate_limit_limit: parsed(row, 3)?,
        api_error_count: parsed(row, 4)?,
        cpu_usage_pct: parsed(row, 5)?,
        memory_usage_mb: parsed(row, 6)?,
        error_count: parsed(row, 7)?,
        warning_count: parsed(row, 8)?,
    };
    let status = status.ok_or_else(|| rusqlite::Error::InvalidColumnName("status".into()))?;
    Ok((Timestamp::from_micros(row.get(0)?), (status, figures)))
}
