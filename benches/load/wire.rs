//! What goes over the wire: events with a stamp that byte search finds, requests, and answers.

use std::io::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use memchr::memmem;

pub const EVENTS: &str = "/api/telemetry/events";
pub const STREAM: &str = "/api/telemetry/stream";
pub const JSON: &str = "application/json";
pub const NDJSON: &str = "application/x-ndjson";

/// Sequence numbers have ten digits from the first one on.
pub const FIRST_SEQ: u64 = 1_000_000_000;

/// Where a stamp begins in an event's bytes.
pub const MARK: &[u8] = b"\"due\":";

const BETWEEN: &[u8] = b",\"seq\":";
const DUE_DIGITS: usize = 16;
const SEQ_DIGITS: usize = 10;

/// Bytes of a stamp, its mark among them.
pub const STAMP_LEN: usize = MARK.len() + DUE_DIGITS + BETWEEN.len() + SEQ_DIGITS;

/// What a delivered event says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// When it was due, in microseconds since 1970: all processes of a run share the clock.
    pub due: u64,
    pub seq: u64,
}

pub fn now_micros() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

impl Stamp {
    /// Reads the stamp whose mark is at the beginning of `bytes`; `None` when it is cut short.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let (digits, rest) = bytes.get(MARK.len()..STAMP_LEN)?.split_at_checked(DUE_DIGITS)?;
        Some(Self { due: number(digits), seq: number(rest.get(BETWEEN.len()..)?) })
    }
}

fn number(digits: &[u8]) -> u64 {
    digits.iter().fold(0, |number, digit| number * 10 + u64::from(digit.wrapping_sub(b'0')))
}

/// Appends one event that subscribers time.
pub fn push_event(out: &mut Vec<u8>, stamp: Stamp) {
    let Stamp { due, seq } = stamp;
    push(out, "due", due, seq);
}

/// Appends one event of the same size that subscribers pass over.
pub fn push_untimed(out: &mut Vec<u8>) {
    push(out, "off", FIRST_SEQ * 1_000_000, FIRST_SEQ);
}

fn push(out: &mut Vec<u8>, name: &str, due: u64, seq: u64) {
    // writing to a Vec cannot fail
    let _ = write!(
        out,
        "{{\"type\":\"tick\",\"timestamp\":\"2026-01-05T09:15:00.000000Z\",\"source\":\"load\",\"payload\":\
         {{\"{name}\":{due:016},\"seq\":{seq:010},\"symbol\":\"NIFTY\",\"price\":19755.05}}}}"
    );
}

/// The form of a post's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Single,
    Array,
    Ndjson,
}

/// A whole request with `count` untimed events.
pub fn request(form: Form, count: usize) -> Vec<u8> {
    let mut body = Vec::with_capacity(count * 192 + 2);
    if form == Form::Array {
        body.push(b'[');
    }
    for index in 0..count {
        match form {
            Form::Array if index > 0 => body.extend_from_slice(b",\n"),
            Form::Ndjson if index > 0 => body.push(b'\n'),
            _ => {}
        }
        push_untimed(&mut body);
    }
    match form {
        Form::Array => body.push(b']'),
        Form::Ndjson => body.push(b'\n'),
        Form::Single => {}
    }
    post(if form == Form::Ndjson { NDJSON } else { JSON }, &body)
}

/// A POST of `body` on a connection that stays open.
pub fn post(kind: &str, body: &[u8]) -> Vec<u8> {
    let mut request =
        format!("POST {EVENTS} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n", body.len())
            .into_bytes();
    request.extend_from_slice(body);
    request
}

/// The head of a request or an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Bytes of the head, its empty line among them.
    pub len: usize,
    /// Bytes of the body.
    pub body: usize,
}

impl Head {
    /// Reads a head from the beginning of `bytes`; `None` while it is not whole.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let len = memmem::find(bytes, b"\r\n\r\n")? + 4;
        let body = header(bytes.get(..len)?, b"content-length").and_then(|text| text.trim().parse().ok()).unwrap_or(0);
        Some(Self { len, body })
    }
}

fn header<'h>(head: &'h [u8], name: &[u8]) -> Option<&'h str> {
    head.split(|byte| *byte == b'\n').find_map(|line| {
        let (found, value) = line.split_at_checked(name.len())?;
        let value = value.strip_prefix(b":").filter(|_| found.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(value).ok()
    })
}

/// The status of an answer that begins with `bytes`; 0 for what is no answer.
pub fn status(bytes: &[u8]) -> u16 {
    let digits = bytes.get(9..12).and_then(|digits| std::str::from_utf8(digits).ok());
    digits.and_then(|digits| digits.parse().ok()).unwrap_or(0)
}
