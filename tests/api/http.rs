//! A small HTTP/1.1 client over a plain socket, so that hostile requests can be made byte by byte.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::Value;

/// How long a test waits for something that should happen at once.
pub const PATIENCE: Duration = Duration::from_secs(10);

pub const JSON: &str = "application/json";
pub const NDJSON: &str = "application/x-ndjson";

/// Status line and headers of a response.
#[derive(Debug, Clone)]
pub struct Head {
    pub status: u16,
    pub headers: Vec<(String, String)>,
}

impl Head {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

#[derive(Debug, Clone)]
pub struct Response {
    pub head: Head,
    pub body: Vec<u8>,
}

impl Response {
    pub fn status(&self) -> u16 {
        self.head.status
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.header(name)
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("a body in UTF-8")
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error} in {:?} {:?}", self.head, String::from_utf8_lossy(&self.body)))
    }

    /// The body of an answer that must have this status.
    #[track_caller]
    pub fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status(), status, "{}", String::from_utf8_lossy(&self.body));
        self.json()
    }

    /// The body of a refusal: problem+json of this status, with every field the contract names.
    #[track_caller]
    pub fn expect_problem(&self, status: u16) -> Value {
        assert_eq!(self.status(), status, "{}", String::from_utf8_lossy(&self.body));
        let kind = self.header("content-type").unwrap_or_default();
        assert!(kind.starts_with("application/problem+json"), "content type {kind}");
        let problem = self.json();
        assert_eq!(problem["status"], status, "{problem}");
        for field in ["type", "title", "detail"] {
            assert!(problem[field].is_string(), "no {field} in {problem}");
        }
        problem
    }
}

/// How the end of a body is found.
#[derive(Debug)]
enum Framing {
    Length(u64),
    Chunked { left: u64, between: bool },
    UntilClose,
    Done,
}

/// The decoder of one response body.
#[derive(Debug)]
pub struct Body {
    framing: Framing,
}

impl Body {
    fn of(head: &Head) -> Body {
        let chunked = head.header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked"));
        let length = head.header("content-length").map(|value| value.parse().expect("a numeric content-length"));
        let framing = match (head.status, chunked, length) {
            (204 | 304, _, _) => Framing::Done,
            (_, true, Some(_)) => panic!("both transfer-encoding and content-length: {head:?}"),
            (_, true, None) => Framing::Chunked { left: 0, between: false },
            (_, false, Some(length)) => Framing::Length(length),
            (_, false, None) => Framing::UntilClose,
        };
        Body { framing }
    }

    /// Appends what has arrived to `out`; false once the body ended as it should. A body that was cut is an error.
    pub fn read(&mut self, connection: &mut Connection, out: &mut Vec<u8>) -> io::Result<bool> {
        loop {
            match &mut self.framing {
                Framing::Done => return Ok(false),
                Framing::UntilClose => {
                    if connection.buffered().is_empty() && connection.fill()? == 0 {
                        self.framing = Framing::Done;
                        return Ok(false);
                    }
                    connection.take(usize::MAX, out);
                    return Ok(true);
                }
                Framing::Length(0) => self.framing = Framing::Done,
                Framing::Length(left) => {
                    *left -= connection.take_some(*left, out)?;
                    return Ok(true);
                }
                Framing::Chunked { left: 0, between } => {
                    if *between {
                        assert_eq!(connection.line()?, "", "a chunk is followed by an empty line");
                        *between = false;
                    }
                    let line = connection.line()?;
                    let digits = line.split(';').next().unwrap_or_default().trim();
                    let size = u64::from_str_radix(digits, 16).unwrap_or_else(|_| panic!("chunk size {line:?}"));
                    if size == 0 {
                        while !connection.line()?.is_empty() {}
                        self.framing = Framing::Done;
                    } else {
                        self.framing = Framing::Chunked { left: size, between: false };
                    }
                }
                Framing::Chunked { left, between } => {
                    *left -= connection.take_some(*left, out)?;
                    *between = *left == 0;
                    return Ok(true);
                }
            }
        }
    }
}

/// One socket to the service with what was read from it and not yet used.
#[derive(Debug)]
pub struct Connection {
    pub socket: TcpStream,
    host: String,
    buffer: Vec<u8>,
    used: usize,
    deadline: Instant,
    /// Most bytes that one read takes from the socket.
    pub sip: usize,
}

impl Connection {
    pub fn open(address: SocketAddr) -> io::Result<Connection> {
        let socket = TcpStream::connect_timeout(&address, PATIENCE)?;
        Ok(Connection::over(socket, address))
    }

    /// A connection whose receiving side holds next to nothing, so that a client who does not read is felt at once.
    pub fn open_narrow(address: SocketAddr) -> io::Result<Connection> {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
        socket.set_recv_buffer_size(4096)?;
        socket.connect_timeout(&address.into(), PATIENCE)?;
        Ok(Connection::over(socket.into(), address))
    }

    pub fn over(socket: TcpStream, address: SocketAddr) -> Connection {
        socket.set_nodelay(true).unwrap();
        socket.set_write_timeout(Some(PATIENCE)).unwrap();
        let deadline = Instant::now() + PATIENCE;
        Connection { socket, host: address.to_string(), buffer: Vec::new(), used: 0, deadline, sip: 32 * 1024 }
    }

    /// Reads from now on fail with `TimedOut` once this much time has passed.
    pub fn within(&mut self, patience: Duration) -> &mut Connection {
        self.deadline = Instant::now() + patience;
        self
    }

    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.socket.write_all(bytes)
    }

    /// Sends a request with a body of declared length; `Host` is added unless given.
    pub fn request(&mut self, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> io::Result<()> {
        let mut text = format!("{method} {target} HTTP/1.1\r\n");
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            text.push_str(&format!("Host: {}\r\n", self.host));
        }
        for (name, value) in headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        if !body.is_empty() || method == "POST" {
            text.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        text.push_str("\r\n");
        let mut bytes = text.into_bytes();
        bytes.extend_from_slice(body);
        self.send(&bytes)
    }

    /// One request and its whole response; the connection stays open for the next.
    pub fn exchange(&mut self, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> io::Result<Response> {
        self.within(PATIENCE);
        // A service that refuses a body early closes before all of it is sent; what it said is there to be read.
        let sent = self.request(method, target, headers, body);
        self.response().map_err(|error| sent.err().unwrap_or(error))
    }

    pub fn post(&mut self, target: &str, kind: &str, body: &[u8]) -> io::Result<Response> {
        self.exchange("POST", target, &[("Content-Type", kind)], body)
    }

    pub fn head(&mut self) -> io::Result<(Head, Body)> {
        loop {
            let line = self.line()?;
            let (version, rest) = line.split_once(' ').unwrap_or_else(|| panic!("status line {line:?}"));
            assert!(version.starts_with("HTTP/1."), "status line {line:?}");
            let status = rest.get(..3).and_then(|code| code.parse().ok()).expect("a status code");
            let mut headers = Vec::new();
            loop {
                let line = self.line()?;
                if line.is_empty() {
                    break;
                }
                let (name, value) = line.split_once(':').unwrap_or_else(|| panic!("header {line:?}"));
                headers.push((name.to_owned(), value.trim().to_owned()));
            }
            if status >= 200 {
                let head = Head { status, headers };
                let body = Body::of(&head);
                return Ok((head, body));
            }
        }
    }

    /// Reads an interim response, such as `100 Continue`, and gives its status.
    pub fn interim(&mut self) -> io::Result<u16> {
        let line = self.line()?;
        while !self.line()?.is_empty() {}
        Ok(line.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status code"))
    }

    pub fn response(&mut self) -> io::Result<Response> {
        let (head, mut decoder) = self.head()?;
        let mut body = Vec::new();
        while decoder.read(self, &mut body)? {}
        Ok(Response { head, body })
    }

    /// Reads until the other side closes, and gives what it said before; an abrupt close counts as one.
    pub fn until_closed(&mut self) -> io::Result<Vec<u8>> {
        loop {
            match self.fill() {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => break,
                Err(error) => return Err(error),
            }
        }
        Ok(self.buffered().to_vec())
    }

    /// The next line without its CRLF.
    fn line(&mut self) -> io::Result<String> {
        let mut seen = 0;
        loop {
            if let Some(at) = self.buffered()[seen..].iter().position(|byte| *byte == b'\n') {
                let line = &self.buffered()[..seen + at];
                let line = String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line)).into_owned();
                self.used += seen + at + 1;
                return Ok(line);
            }
            seen = self.buffered().len();
            self.fill_or_cut()?;
        }
    }

    fn take_some(&mut self, most: u64, out: &mut Vec<u8>) -> io::Result<u64> {
        if self.buffered().is_empty() {
            self.fill_or_cut()?;
        }
        Ok(self.take(usize::try_from(most).unwrap_or(usize::MAX), out) as u64)
    }

    fn take(&mut self, most: usize, out: &mut Vec<u8>) -> usize {
        let count = most.min(self.buffered().len());
        out.extend_from_slice(&self.buffered()[..count]);
        self.used += count;
        count
    }

    fn buffered(&self) -> &[u8] {
        &self.buffer[self.used..]
    }

    fn fill_or_cut(&mut self) -> io::Result<()> {
        match self.fill()? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    fn fill(&mut self) -> io::Result<usize> {
        if self.used == self.buffer.len() {
            self.buffer.clear();
            self.used = 0;
        }
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.socket.set_read_timeout(Some(left))?;
        let mut piece = [0; 32 * 1024];
        let most = self.sip.min(piece.len());
        match self.socket.read(&mut piece[..most]) {
            Ok(count) => {
                self.buffer.extend_from_slice(&piece[..count]);
                Ok(count)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(io::ErrorKind::TimedOut.into()),
            Err(error) => Err(error),
        }
    }
}
