//! What the file keeps of an engine that beats over HTTP: all that is known of it when the journal no longer tells.

use serde_json::value::RawValue;

use super::file::SUFFIX;
use super::terms::{EngineName, PLIMSOLL, Said};
use super::update::Update;
use crate::domain::clock::Timestamp;
use crate::domain::id::EventId;
use crate::domain::payload::Payload;

/// Deepest nesting of a record of ours.
const MAX_DEPTH: usize = 8;

/// A record that Plimsoll wrote.
#[derive(Debug, Clone)]
pub struct Kept {
    /// The record.
    pub update: Update,
    /// When the engine last gave a sign of life; its own word where an older file does not tell.
    pub last_beat: Option<Timestamp>,
    /// How often it had been restarted.
    pub restarts: u64,
    /// The `engine_stale` event that no `engine_recovered` had followed.
    pub silence: Option<EventId>,
}

impl Kept {
    /// Reads what `file` holds; `None` if Plimsoll did not write it for the engine that the file is named after.
    ///
    /// ```
    /// use plimsoll::domain::engine::Kept;
    /// let text = r#"{"name":"fno","status":"running","restarts":2,"last_beat":"2025-11-18T07:55:41.345678Z","written_by":"plimsoll"}"#;
    /// assert_eq!(Kept::parse("fno_engine.json", text).map(|kept| kept.restarts), Some(2));
    /// assert!(Kept::parse("equity_engine.json", text).is_none());
    /// ```
    #[must_use]
    pub fn parse(file: &str, text: &str) -> Option<Self> {
        let name = EngineName::parse(file.strip_suffix(SUFFIX)?).ok()?;
        let json = serde_json::from_str::<&RawValue>(text).ok()?.get();
        let record = Payload::inspect(json, MAX_DEPTH).ok().filter(|_| json.starts_with('{'))?;
        let is_ours = record.text("written_by").as_deref() == Some(PLIMSOLL);
        if !is_ours || record.text("name").as_deref() != Some(name.as_str()) {
            return None;
        }
        // what is good of it
        let update = Update::of(&record, Some(&name)).0?;
        let last_beat = record.text("last_beat").and_then(|text| Timestamp::parse(&text).ok());
        Some(Self {
            last_beat: last_beat.or_else(|| update.last_heartbeat.as_ref().and_then(Said::instant)),
            restarts: record.get("restarts").and_then(|raw| raw.parse().ok()).unwrap_or(0),
            silence: record.text("silence").and_then(|text| text.parse().ok()),
            update,
        })
    }
}
