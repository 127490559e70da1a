//! An SSE client: the parser follows the WHATWG text of server-sent events to the letter, and keeps what that text
//! throws away (comments, blocks without data), since the contract speaks of them.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;

use crate::http::{Body, Connection, Head, PATIENCE};

/// What stood between two blank lines.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Block {
    pub id: Option<String>,
    pub event: Option<String>,
    pub data: Option<String>,
    pub retry: Option<u64>,
    pub comments: Vec<String>,
}

impl Block {
    /// The id, which every event has.
    pub fn id(&self) -> &str {
        self.id.as_deref().unwrap_or_else(|| panic!("no id in {self:?}"))
    }

    pub fn json(&self) -> Value {
        let data = self.data.as_deref().unwrap_or_else(|| panic!("no data in {self:?}"));
        serde_json::from_str(data).unwrap_or_else(|error| panic!("{error} in {data}"))
    }

    /// Whether this is a published event, not a notice of the stream itself.
    pub fn is_event(&self) -> bool {
        self.data.as_deref().is_some_and(|data| data.starts_with("{\"id\":"))
    }
}

/// Bytes to blocks.
#[derive(Debug, Default)]
pub struct Parser {
    line: Vec<u8>,
    after_cr: bool,
    started: bool,
    block: Block,
    touched: bool,
}

impl Parser {
    pub fn push(&mut self, bytes: &[u8], out: &mut VecDeque<Block>) {
        for &byte in bytes {
            let after_cr = std::mem::take(&mut self.after_cr);
            match byte {
                b'\n' if after_cr => {}
                b'\n' => self.end_line(out),
                b'\r' => {
                    self.after_cr = true;
                    self.end_line(out);
                }
                _ => self.line.push(byte),
            }
        }
    }

    fn end_line(&mut self, out: &mut VecDeque<Block>) {
        let bytes = std::mem::take(&mut self.line);
        let mut line = std::str::from_utf8(&bytes).expect("a stream in UTF-8");
        if !std::mem::replace(&mut self.started, true) {
            line = line.strip_prefix('\u{feff}').unwrap_or(line);
        }
        if line.is_empty() {
            let mut block = std::mem::take(&mut self.block);
            if let Some(data) = &mut block.data {
                data.pop();
            }
            if std::mem::take(&mut self.touched) {
                out.push_back(block);
            }
            return;
        }
        self.touched = true;
        if let Some(comment) = line.strip_prefix(':') {
            self.block.comments.push(comment.to_owned());
            return;
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => self.block.event = Some(value.to_owned()),
            "data" => {
                let data = self.block.data.get_or_insert_default();
                data.push_str(value);
                data.push('\n');
            }
            "id" if !value.contains('\0') => self.block.id = Some(value.to_owned()),
            "retry" if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) => {
                self.block.retry = value.parse().ok();
            }
            _ => {}
        }
    }
}

/// What came next on a stream.
#[derive(Debug)]
pub enum Next {
    Block(Block),
    /// The response ended as HTTP says it should.
    Ended,
    /// The connection broke in the middle of the response.
    Cut(io::Error),
    /// Nothing in the time given.
    Silence,
}

/// One open SSE response. It checks on the way that a client may drop at any point and resume by the last id it saw:
/// ids never go back, and no event carries an id that a block before it has already named.
#[derive(Debug)]
pub struct Stream {
    pub head: Head,
    connection: Connection,
    body: Body,
    parser: Parser,
    ready: VecDeque<Block>,
    /// The last id named by any block: what a client resumes with.
    pub cursor: Option<String>,
}

impl Stream {
    pub fn open(address: SocketAddr, target: &str, headers: &[(&str, &str)]) -> io::Result<Stream> {
        Stream::over(Connection::open(address)?, target, headers)
    }

    pub fn over(mut connection: Connection, target: &str, headers: &[(&str, &str)]) -> io::Result<Stream> {
        let mut all = vec![("Accept", "text/event-stream")];
        all.extend_from_slice(headers);
        connection.within(PATIENCE).request("GET", target, &all, b"")?;
        let (head, body) = connection.head()?;
        Ok(Stream { head, connection, body, parser: Parser::default(), ready: VecDeque::new(), cursor: None })
    }

    pub fn next(&mut self, patience: Duration) -> Next {
        self.connection.within(patience);
        let mut bytes = Vec::new();
        loop {
            if let Some(block) = self.ready.pop_front() {
                self.check_order(&block);
                return Next::Block(block);
            }
            bytes.clear();
            match self.body.read(&mut self.connection, &mut bytes) {
                Ok(true) => self.parser.push(&bytes, &mut self.ready),
                Ok(false) => return Next::Ended,
                Err(error) if error.kind() == io::ErrorKind::TimedOut => return Next::Silence,
                Err(error) => return Next::Cut(error),
            }
        }
    }

    /// The next block, which must come.
    #[track_caller]
    pub fn block(&mut self) -> Block {
        match self.next(PATIENCE) {
            Next::Block(block) => block,
            other => panic!("no block but {other:?}, {:?}", self.head),
        }
    }

    /// The next published event, past heartbeats and the head.
    #[track_caller]
    pub fn event(&mut self) -> Block {
        loop {
            let block = self.block();
            if block.is_event() {
                return block;
            }
            assert!(block.data.is_none(), "not an event: {block:?}");
        }
    }

    /// The next block with data, whatever it says.
    #[track_caller]
    pub fn data(&mut self) -> Block {
        loop {
            let block = self.block();
            if block.data.is_some() {
                return block;
            }
        }
    }

    /// The ids of the next `count` events.
    #[track_caller]
    pub fn ids(&mut self, count: usize) -> Vec<String> {
        (0..count).map(|_| self.event().id().to_owned()).collect()
    }

    /// Reads to the end of the response, which must be a clean one, and gives the blocks before it.
    #[track_caller]
    pub fn rest(&mut self) -> Vec<Block> {
        let mut blocks = Vec::new();
        loop {
            match self.next(PATIENCE) {
                Next::Block(block) => blocks.push(block),
                Next::Ended => return blocks,
                Next::Cut(error) => panic!("no clean end but {error} after {blocks:?}"),
                Next::Silence => panic!("no end after {blocks:?}"),
            }
        }
    }

    /// Passes the head and every heartbeat until the cursor is at least `id`, and fails on any event.
    #[track_caller]
    pub fn quiet_until(&mut self, id: &str) {
        while self.cursor.as_deref().is_none_or(|cursor| order(cursor) < order(id)) {
            let block = self.block();
            assert!(!block.is_event(), "{block:?}");
        }
    }

    /// Takes about one byte from the socket, if there is one.
    pub fn sip(&mut self) {
        self.connection.within(Duration::from_millis(1)).sip = 1;
        let mut bytes = Vec::new();
        if let Ok(true) = self.body.read(&mut self.connection, &mut bytes) {
            self.parser.push(&bytes, &mut self.ready);
        }
        self.connection.sip = usize::MAX;
    }

    pub fn into_connection(self) -> Connection {
        self.connection
    }

    fn check_order(&mut self, block: &Block) {
        let Some(id) = &block.id else {
            assert!(!block.is_event(), "an event without an id: {block:?}");
            return;
        };
        // A gap notice may take a client back, whose position was ahead of every event.
        let gap = block.data.as_deref().is_some_and(|data| data.starts_with("{\"type\":\"stream_gap\""));
        if let Some(cursor) = self.cursor.as_ref().filter(|_| !gap) {
            let (before, now) = (order(cursor), order(id));
            assert!(now >= before, "id went back from {cursor} in {block:?}");
            assert!(!block.is_event() || now > before, "an event at or before the cursor {cursor}: {block:?}");
        }
        if block.is_event() {
            let named = format!("{{\"id\":\"{id}\",");
            assert!(block.data.as_ref().is_some_and(|data| data.starts_with(&named)), "two ids in {block:?}");
        }
        self.cursor = Some(id.clone());
    }
}

/// An event id as what it is ordered by: milliseconds, then the number within them.
#[track_caller]
pub fn order(id: &str) -> (u64, u64) {
    let (ms, sequence) = id.split_once('-').unwrap_or_else(|| panic!("not an event id: {id:?}"));
    match (ms.parse(), sequence.parse()) {
        (Ok(ms), Ok(sequence)) => (ms, sequence),
        _ => panic!("not an event id: {id:?}"),
    }
}

#[test]
fn the_parser_reads_every_line_end_and_field_as_the_whatwg_text_says() {
    let text = "\u{feff}retry: 15\r\nid: 1-0\r\n\r\n: hello\rid: 2-0\rdata: a\rdata:b\r\rid: x\0y\nevent: e\ndata\n\nretry: 1x\nid\n\ndata: cut";
    for size in 1..text.len() {
        let mut parser = Parser::default();
        let mut blocks = VecDeque::new();
        text.as_bytes().chunks(size).for_each(|chunk| parser.push(chunk, &mut blocks));
        let expected = [
            Block { retry: Some(15), id: Some("1-0".into()), ..Block::default() },
            Block { id: Some("2-0".into()), data: Some("a\nb".into()), comments: vec![" hello".into()], ..Block::default() },
            Block { event: Some("e".into()), data: Some(String::new()), ..Block::default() },
            Block { id: Some(String::new()), ..Block::default() },
        ];
        assert_eq!(blocks, expected);
    }
}
