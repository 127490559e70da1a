//! The blocks of a stream that are no events: retry, id-only, heartbeat and gap notice.

use std::time::Duration;

use super::clock::Timestamp;
use super::id::EventId;

/// The head of a stream: when to reconnect, and from where if it drops before the first event.
#[must_use]
pub fn head(retry: Duration, cursor: EventId) -> Vec<u8> {
    format!("retry: {}\nid: {cursor}\n\n", retry.as_millis()).into_bytes()
}

/// The last block of a stream that ends cleanly: come back in `retry`.
#[must_use]
pub fn farewell(retry: Duration) -> Vec<u8> {
    format!("retry: {}\n\n", retry.as_millis()).into_bytes()
}

/// A sign of life that moves the client's resume position to `cursor`; no event for it.
#[must_use]
pub fn heartbeat(cursor: EventId) -> Vec<u8> {
    format!(": heartbeat\nid: {cursor}\n\n").into_bytes()
}

/// A sign of life as an event, for scripts that must see it.
#[must_use]
pub fn heartbeat_event(cursor: EventId, now: Timestamp) -> Vec<u8> {
    format!("id: {cursor}\ndata: {{\"type\":\"heartbeat\",\"timestamp\":\"{now}\",\"payload\":{{}}}}\n\n").into_bytes()
}

/// Why events between a client's position and now cannot be delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GapReason {
    /// They were deleted by the journal's retention, or belong to a journal that is gone.
    Expired,
    /// The position is ahead of every event: it is from another journal.
    AheadOfLog,
    /// The journal's file is damaged where they are.
    Damaged,
    /// The position is no event id: it is from another service.
    UnknownId,
}

/// What a client is told when it missed something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// The position it asked for.
    pub requested: String,
    /// The oldest event there still is.
    pub oldest: EventId,
    /// The newest event.
    pub newest: EventId,
    /// Why.
    pub reason: GapReason,
}

impl Gap {
    /// The notice as a block; the client's resume position moves to `cursor`, so that it is told once.
    #[must_use]
    pub fn block(&self, cursor: EventId, now: Timestamp) -> Vec<u8> {
        let Self { requested, oldest, newest, reason } = self;
        let reason = match reason {
            GapReason::Expired => "expired",
            GapReason::AheadOfLog => "ahead_of_log",
            GapReason::Damaged => "damaged",
            GapReason::UnknownId => "unknown_id",
        };
        let requested = serde_json::Value::from(requested.as_str());
        format!(
            "id: {cursor}\ndata: {{\"type\":\"stream_gap\",\"timestamp\":\"{now}\",\"payload\":{{\
             \"requested\":{requested},\"oldest\":\"{oldest}\",\"newest\":\"{newest}\",\"reason\":\"{reason}\"}}}}\n\n"
        )
        .into_bytes()
    }
}
