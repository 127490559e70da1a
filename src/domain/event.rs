//! An event, and its one encoding.
//!
//! The bytes of an event are made once: its SSE block, of which the JSON is a slice.
//!
//! ```text
//! event: order_event\nid: 1763452541345-0\ndata: {"id":"1763452541345-0","type":"order_event",...}\n\n
//!                    ^ plain block               ^ JSON                 ^ tail: all that is known before the id
//! ```

use std::fmt;
use std::str::FromStr;

use compact_str::CompactString;
use serde::Serialize;

use super::clock::Timestamp;
use super::id::EventId;

/// How much an event matters; ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// For whoever looks closely.
    Debug,
    /// The course of things; also what an event without a severity counts as.
    Info,
    /// Somebody should look.
    Warning,
    /// Something failed.
    Error,
    /// Somebody must act now.
    Critical,
}

impl Severity {
    /// All of them, mildest first.
    pub const ALL: [Self; 5] = [Self::Debug, Self::Info, Self::Warning, Self::Error, Self::Critical];

    /// The word of the contract.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
            Self::Critical => "critical",
        }
    }
}

impl FromStr for Severity {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|severity| severity.as_str().eq_ignore_ascii_case(text));
        found.ok_or("must be one of debug, info, warning, error, critical")
    }
}

/// What an event says besides its payload; all that filters, the journal and the actors look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The event's type, 1-64 of `[a-z0-9_.-]`.
    pub event_type: CompactString,
    /// When it happened, by the sender's word; when it arrived if the sender said nothing.
    pub timestamp: Timestamp,
    /// Who sent it.
    pub source: Option<CompactString>,
    /// How much it matters.
    pub severity: Option<Severity>,
    /// The account or profile it belongs to.
    pub profile_id: Option<i64>,
    /// The sender's own id, by which a repeated post is known.
    pub event_id: Option<CompactString>,
    /// The payload's `symbol`.
    pub symbol: Option<CompactString>,
    /// The payload's `strategy_name` or `strategy`.
    pub strategy: Option<CompactString>,
}

/// Reads an event type and folds it to lower case.
///
/// # Errors
/// Says what a type must look like.
pub fn event_type(text: &str) -> Result<CompactString, &'static str> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
    if !(1..=64).contains(&text.len()) || !text.bytes().all(fits) {
        return Err("must be 1 to 64 of a-z, 0-9, _, . and -");
    }
    let mut folded = CompactString::new(text);
    folded.make_ascii_lowercase();
    Ok(folded)
}

/// Room before the tail for the longest `event:` line, `id:` line and JSON id.
const ROOM: usize = 160;

/// An event that has no id yet: parsed, valid, and encoded but for the id.
#[derive(Debug, Clone)]
pub struct Draft {
    header: Header,
    /// `ROOM` bytes to be written by `stamp`, then the tail and the end of the block.
    block: Vec<u8>,
}

impl Draft {
    /// Encodes an event; `payload` is the JSON text of an object.
    #[must_use]
    pub fn new(header: Header, payload: &str) -> Self {
        let mut block = Vec::with_capacity(ROOM + payload.len() + 256);
        block.resize(ROOM, 0);
        write_tail(&mut block, &header, payload);
        block.extend_from_slice(b"\n\n");
        Self { header, block }
    }

    /// What the event says.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Memory that the event takes, in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.block.len() + size_of::<Event>()
    }

    /// Memory that `events` events of `bytes` JSON in all take at most, in bytes, but for unusually long names.
    #[must_use]
    pub fn size_of_many(events: usize, bytes: usize) -> usize {
        bytes + events * (ROOM + 256 + size_of::<Event>())
    }

    /// Gives the event its id, without moving its bytes.
    #[must_use]
    pub fn stamp(mut self, id: EventId) -> Event {
        let mut head = Vec::with_capacity(ROOM);
        let (plain, json) = write_head(&mut head, id, &self.header.event_type);
        let start = ROOM.saturating_sub(head.len());
        // of the same length, since the longest head fits the room
        if let Some(room) = self.block.get_mut(start..start + head.len()) {
            room.copy_from_slice(&head);
        }
        Event { id, header: self.header, block: self.block, start, plain: start + plain, json: start + json, tail: ROOM }
    }
}

/// An event as it is journalled, kept and delivered. Immutable.
#[derive(Debug)]
pub struct Event {
    id: EventId,
    header: Header,
    block: Vec<u8>,
    start: usize,
    plain: usize,
    json: usize,
    tail: usize,
}

impl Event {
    /// An event read back from the journal.
    #[must_use]
    pub fn restore(id: EventId, header: Header, tail: &[u8]) -> Self {
        let mut block = Vec::with_capacity(ROOM + tail.len());
        let (plain, json) = write_head(&mut block, id, &header.event_type);
        let tail_at = block.len();
        block.extend_from_slice(tail);
        block.extend_from_slice(b"\n\n");
        Self { id, header, block, start: 0, plain, json, tail: tail_at }
    }

    /// Its place in the one order.
    #[must_use]
    pub fn id(&self) -> EventId {
        self.id
    }

    /// What it says.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The SSE block; with its `event:` line if `named`.
    #[must_use]
    pub fn block(&self, named: bool) -> &[u8] {
        self.block.get(if named { self.start } else { self.plain }..).unwrap_or_default()
    }

    /// The event as JSON on one line.
    #[must_use]
    pub fn json(&self) -> &str {
        self.text(self.json)
    }

    /// The JSON behind the id, as the journal keeps it.
    #[must_use]
    pub fn tail(&self) -> &str {
        self.text(self.tail)
    }

    /// The payload's JSON text.
    #[must_use]
    pub fn payload(&self) -> &str {
        // quotes inside the fields before it are escaped, so the first occurrence is the key itself
        let payload = self.tail().split_once(",\"payload\":").map_or("{}", |(_, payload)| payload);
        payload.strip_suffix('}').unwrap_or(payload)
    }

    /// Memory that it takes, in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.block.len() + size_of::<Self>()
    }

    fn text(&self, from: usize) -> &str {
        let end = self.block.len().saturating_sub(2);
        std::str::from_utf8(self.block.get(from..end).unwrap_or_default()).unwrap_or_default()
    }
}

/// Appends the SSE block of an event that is known only by its id, type and tail.
pub fn write_block(out: &mut Vec<u8>, id: EventId, event_type: &str, tail: &[u8], named: bool) {
    let at = out.len();
    let (plain, _) = write_head(out, id, event_type);
    if !named {
        out.drain(at..at + plain);
    }
    out.extend_from_slice(tail);
    out.extend_from_slice(b"\n\n");
}

/// Appends the JSON of an event that is known only by its id and tail.
pub fn write_json(out: &mut Vec<u8>, id: EventId, tail: &[u8]) {
    out.extend_from_slice(b"{\"id\":\"");
    id.write(out);
    out.extend_from_slice(b"\",");
    out.extend_from_slice(tail);
}

/// Appends everything before the tail; returns where the plain block and the JSON begin in it.
fn write_head(out: &mut Vec<u8>, id: EventId, event_type: &str) -> (usize, usize) {
    let at = out.len();
    out.extend_from_slice(b"event: ");
    out.extend_from_slice(event_type.as_bytes());
    out.extend_from_slice(b"\n");
    let plain = out.len() - at;
    out.extend_from_slice(b"id: ");
    id.write(out);
    out.extend_from_slice(b"\ndata: ");
    let json = out.len() - at;
    write_json(out, id, b"");
    (plain, json)
}

/// Appends `"type":...,"payload":{...}}`.
fn write_tail(out: &mut Vec<u8>, header: &Header, payload: &str) {
    out.extend_from_slice(b"\"type\":\"");
    out.extend_from_slice(header.event_type.as_bytes());
    out.extend_from_slice(b"\",\"timestamp\":\"");
    header.timestamp.write(out);
    out.push(b'"');
    if let Some(source) = &header.source {
        out.extend_from_slice(b",\"source\":");
        write_string(out, source);
    }
    if let Some(severity) = header.severity {
        out.extend_from_slice(b",\"severity\":\"");
        out.extend_from_slice(severity.as_str().as_bytes());
        out.push(b'"');
    }
    if let Some(profile_id) = header.profile_id {
        out.extend_from_slice(b",\"profile_id\":");
        out.extend_from_slice(profile_id.to_string().as_bytes());
    }
    if let Some(event_id) = &header.event_id {
        out.extend_from_slice(b",\"event_id\":");
        write_string(out, event_id);
    }
    out.extend_from_slice(b",\"payload\":");
    let at = out.len();
    out.extend_from_slice(payload.as_bytes());
    // in valid JSON a raw line end is only white space between tokens; a block needs it on one line
    if memchr::memchr2(b'\n', b'\r', payload.as_bytes()).is_some() {
        for byte in out.iter_mut().skip(at).filter(|byte| matches!(byte, b'\n' | b'\r')) {
            *byte = b' ';
        }
    }
    out.push(b'}');
}

fn write_string(out: &mut Vec<u8>, text: &str) {
    // a Vec takes every write, and a str always has a JSON form
    let _ = serde_json::to_writer(out, text);
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use eventsource_stream::Eventsource as _;
    use futures_util::{FutureExt as _, StreamExt as _, stream};
    use proptest::prelude::*;

    fn header(event_type: &str, source: &str) -> Header {
        Header {
            event_type: event_type.into(),
            timestamp: Timestamp::from_micros(1_763_452_541_345_678),
            source: Some(source.into()),
            severity: Some(Severity::Info),
            profile_id: Some(1),
            event_id: Some(source.into()),
            symbol: None,
            strategy: None,
        }
    }

    /// Reads blocks with an SSE parser that is not ours.
    fn parse(bytes: &[u8], cut: usize) -> Vec<eventsource_stream::Event> {
        let pieces: Vec<Result<Vec<u8>, std::convert::Infallible>> =
            bytes.chunks(cut.max(1)).map(|piece| Ok(piece.to_vec())).collect();
        let events = stream::iter(pieces).eventsource().map(|event| event.expect("a valid block")).collect::<Vec<_>>();
        events.now_or_never().expect("all of it is there")
    }

    proptest! {
        #[test]
        fn a_block_read_by_an_independent_parser_gives_the_event_back(
            key in ".*", text in any::<String>(), source in ".{1,40}", raw in 0..EventId::MAX.get(),
            named in any::<bool>(), pretty in any::<bool>(), cut in 1_usize..64,
        ) {
            let text = format!("{text}\r\n\0\u{2028}\u{85}: data: x\n\nid: 7");
            let payload = serde_json::json!({ key: text, "nested": { "cr": "\r" } });
            let written = if pretty { format!("{payload:#}").replace('\n', "\r\n") } else { payload.to_string() };
            let id = EventId::from_u64(raw);
            let event = Draft::new(header("order_event", &source), &written).stamp(id);

            let mut stream = event.block(named).to_vec();
            write_block(&mut stream, id, "order_event", event.tail().as_bytes(), named);
            stream.extend_from_slice(Event::restore(id, header("order_event", &source), event.tail().as_bytes()).block(named));
            let read = parse(&stream, cut);

            prop_assert_eq!(read.len(), 3);
            for block in read {
                prop_assert_eq!(block.id, id.to_string());
                prop_assert_eq!(block.event, if named { "order_event" } else { "message" });
                prop_assert_eq!(&block.data, event.json());
                let json: serde_json::Value = serde_json::from_str(&block.data).expect("json");
                prop_assert_eq!(&json["payload"], &payload);
                prop_assert_eq!(&json["source"], &source);
                prop_assert_eq!(&json["id"], &id.to_string());
            }
            prop_assert_eq!(&serde_json::from_str::<serde_json::Value>(event.payload()).expect("json"), &payload);
        }
    }

    #[test]
    fn fields_come_in_the_order_of_the_contract_and_absent_ones_are_left_out() {
        let full = Draft::new(header("order_event", "fno"), r#"{"b":1.50,"a":[ ]}"#).stamp(EventId::from_u64(1 << 20));
        assert_eq!(
            full.json(),
            r#"{"id":"1-0","type":"order_event","timestamp":"2025-11-18T07:55:41.345678Z","source":"fno","severity":"info","profile_id":1,"event_id":"fno","payload":{"b":1.50,"a":[ ]}}"#
        );
        let bare = Header { source: None, severity: None, profile_id: None, event_id: None, ..header("x", "") };
        let bare = Draft::new(bare, "{}").stamp(EventId::ZERO);
        assert_eq!(bare.json(), r#"{"id":"0-0","type":"x","timestamp":"2025-11-18T07:55:41.345678Z","payload":{}}"#);
    }

    #[test]
    fn the_longest_type_and_id_fit_their_room() {
        let longest = "x".repeat(64);
        let event = Draft::new(header(&longest, "s"), "{}").stamp(EventId::MAX);
        assert_eq!(event.start + event.block(true).len(), event.block.len());
        assert!(event.block(true).starts_with(format!("event: {longest}\nid: {}\n", EventId::MAX).as_bytes()));
    }

    #[test]
    fn types_are_folded_and_checked() {
        assert_eq!(event_type("CYCLE_START").as_deref(), Ok("cycle_start"));
        for bad in ["", "a b", "é", &"x".repeat(65), "a\n"] {
            assert!(event_type(bad).is_err(), "{bad:?}");
        }
    }
}
