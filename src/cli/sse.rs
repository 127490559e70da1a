//! The line decoder of `text/event-stream`, as the HTML standard has it: bytes in, blocks out.

use std::collections::VecDeque;
use std::time::Duration;

/// One block of the stream: the lines up to an empty one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Block {
    /// The new resume position; empty clears it, `None` leaves it.
    pub id: Option<String>,
    /// Name of the event, if it is named.
    pub event: Option<String>,
    /// The data; `None` in a block that only moves the position or sets the delay.
    pub data: Option<String>,
    /// How long to wait before a reconnect.
    pub retry: Option<Duration>,
}

/// A line or a block was longer than any event can be.
#[derive(Debug, thiserror::Error)]
#[error("the stream has a block longer than {MAX_BLOCK} bytes")]
pub struct TooLong;

/// Longest block held in memory; the service's own bound on an event is far below.
const MAX_BLOCK: usize = 16 << 20;

/// Turns the bytes of one connection into blocks, however they are cut into reads.
#[derive(Debug, Default)]
pub struct Decoder {
    line: Vec<u8>,
    block: Block,
    /// Bytes of the block so far.
    held: usize,
    /// The last line ended in CR: an LF that follows belongs to it.
    after_cr: bool,
    /// The first line has been seen (only it may start with a byte order mark).
    begun: bool,
    ready: VecDeque<Block>,
}

impl Decoder {
    /// Takes the next bytes as they came.
    pub fn push(&mut self, mut bytes: &[u8]) -> Result<(), TooLong> {
        while !bytes.is_empty() {
            if std::mem::take(&mut self.after_cr) {
                bytes = bytes.strip_prefix(b"\n").unwrap_or(bytes);
            }
            let end = memchr::memchr2(b'\r', b'\n', bytes);
            let (text, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
            self.held += text.len();
            if self.held > MAX_BLOCK {
                return Err(TooLong);
            }
            self.line.extend_from_slice(text);
            let Some((terminator, rest)) = rest.split_first() else { break };
            self.after_cr = *terminator == b'\r';
            bytes = rest;
            self.end_line();
        }
        Ok(())
    }

    /// The next whole block.
    pub fn next_block(&mut self) -> Option<Block> {
        self.ready.pop_front()
    }

    fn end_line(&mut self) {
        let bytes = std::mem::take(&mut self.line);
        let text = String::from_utf8_lossy(&bytes);
        let text = if self.begun { &text } else { text.strip_prefix('\u{feff}').unwrap_or(&text) };
        self.begun = true;
        if text.is_empty() {
            self.end_block();
        } else if let Some((name, value)) = text.split_once(':') {
            // a comment is a line with an empty name
            self.field(name, value.strip_prefix(' ').unwrap_or(value));
        } else {
            self.field(text, "");
        }
        // keeps its room for the next line
        self.line = bytes;
        self.line.clear();
    }

    fn end_block(&mut self) {
        self.held = 0;
        let block = std::mem::take(&mut self.block);
        if block != Block::default() {
            self.ready.push_back(block);
        }
    }

    fn field(&mut self, name: &str, value: &str) {
        match name {
            "data" => match &mut self.block.data {
                None => self.block.data = Some(value.to_owned()),
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
            },
            "event" => self.block.event = Some(value.to_owned()),
            "id" if !value.contains('\0') => self.block.id = Some(value.to_owned()),
            "retry" if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) => {
                self.block.retry = value.parse().ok().map(Duration::from_millis);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocks(chunks: &[&[u8]]) -> Vec<Block> {
        let mut decoder = Decoder::default();
        for chunk in chunks {
            decoder.push(chunk).expect("short");
        }
        std::iter::from_fn(|| decoder.next_block()).collect()
    }

    fn event(id: &str, data: &str) -> Block {
        Block { id: Some(id.into()), data: Some(data.into()), ..Block::default() }
    }

    const STREAM: &str = "retry: 1500\nid: 7-0\n\n: heartbeat\nid: 8-0\n\nid: 9-0\nevent: order_event\ndata: {\"a\":\"é\"}\n\n";

    fn expected() -> Vec<Block> {
        vec![
            Block { id: Some("7-0".into()), retry: Some(Duration::from_millis(1500)), ..Block::default() },
            Block { id: Some("8-0".into()), ..Block::default() },
            Block { event: Some("order_event".into()), ..event("9-0", "{\"a\":\"é\"}") },
        ]
    }

    #[test]
    fn lf_cr_and_crlf_all_end_a_line() {
        for terminator in ["\n", "\r", "\r\n"] {
            assert_eq!(blocks(&[STREAM.replace('\n', terminator).as_bytes()]), expected(), "{terminator:?}");
        }
    }

    #[test]
    fn the_same_blocks_come_out_wherever_the_bytes_are_cut() {
        for terminator in ["\n", "\r", "\r\n"] {
            let stream = STREAM.replace('\n', terminator);
            for cut in 0..=stream.len() {
                let (first, second) = stream.as_bytes().split_at(cut);
                assert_eq!(blocks(&[first, second]), expected(), "cut at {cut} with {terminator:?}");
            }
            let single: Vec<&[u8]> = stream.as_bytes().chunks(1).collect();
            assert_eq!(blocks(&single), expected());
        }
    }

    #[test]
    fn a_block_that_is_cut_off_by_the_end_is_not_delivered() {
        assert_eq!(blocks(&[b"data: whole\n\nid: 5-0\ndata: torn\n"]).len(), 1);
    }

    #[test]
    fn several_data_lines_are_joined_and_one_space_is_taken_off() {
        let blocks = blocks(&[b"data: a\ndata:b\ndata\ndata:  c\n\n"]);
        assert_eq!(blocks.first().and_then(|block| block.data.as_deref()), Some("a\nb\n\n c"));
    }

    #[test]
    fn what_the_standard_ignores_is_ignored() {
        assert_eq!(blocks(&[b": only a comment\n\n\n\nretry: 1s\nid: a\0b\nnonsense: 1\nretry:\n\n"]), []);
        assert_eq!(blocks(&[b"\xef\xbb\xbfdata: after a byte order mark\n\n"]).len(), 1);
        assert_eq!(blocks(&[b"id\n\n"]), [Block { id: Some(String::new()), ..Block::default() }]);
    }

    #[test]
    fn a_block_without_an_end_is_refused_before_it_fills_the_memory() {
        let mut decoder = Decoder::default();
        let megabyte = vec![b'x'; 1 << 20];
        let taken = (0..64).take_while(|_| decoder.push(&megabyte).is_ok()).count();
        assert_eq!(taken, 16);
        let mut decoder = Decoder::default();
        let line = [b"data: ".as_slice(), &megabyte, b"\n"].concat();
        assert!((0..64).any(|_| decoder.push(&line).is_err()), "many lines count together");
    }
}
