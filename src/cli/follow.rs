//! Follows the event stream through restarts and broken connections, from the position it has reached.

use std::io::Read as _;
use std::ops::ControlFlow;
use std::time::Duration;

use super::client::{self, Client};
use super::sse::{Block, Decoder};

/// What happens while following.
#[derive(Debug, PartialEq, Eq)]
pub enum News<'a> {
    /// An event, as the JSON it came in.
    Event(&'a str),
    /// The service cannot be reached, for this reason; said once until it is back.
    Away(&'a str),
    /// It is back.
    Back,
}

/// Why following ended.
#[derive(Debug, PartialEq, Eq)]
pub enum End {
    /// The service said that there will be no more (204).
    Told,
    /// The receiver has had enough.
    Enough,
}

/// A stream to follow.
#[derive(Debug)]
pub struct Follow {
    client: Client,
    path: &'static str,
    filters: Vec<(String, String)>,
    /// How many past events to ask for, until there is a position to resume from.
    replay: Option<u32>,
    /// A connection that says nothing for this long is dead.
    silence: Duration,
    last_id: Option<String>,
    backoff: Backoff,
    away: bool,
}

/// How one connection ended.
enum Ended {
    /// The service closed it as it should: it wants us back after `retry`.
    Cleanly,
    /// It broke, for this reason.
    Broken(String),
    Finally(End),
}

impl Follow {
    /// A stream with these filters as query parameters.
    pub fn new(client: Client, filters: Vec<(String, String)>, replay: Option<u32>, silence: Duration) -> Self {
        let path = "/api/telemetry/stream";
        Self { client, path, filters, replay, silence, last_id: None, backoff: Backoff::default(), away: false }
    }

    /// The same with the stream at `path`.
    #[must_use]
    pub fn at(self, path: &'static str) -> Self {
        Self { path, ..self }
    }

    /// Hands every event to `on`, once and in order, until it has enough or the service says stop.
    pub fn run(&mut self, mut on: impl FnMut(News<'_>) -> anyhow::Result<ControlFlow<()>>) -> anyhow::Result<End> {
        loop {
            let wait = match self.connection(&mut on)? {
                Ended::Finally(end) => return Ok(end),
                Ended::Cleanly => self.backoff.retry,
                Ended::Broken(reason) => {
                    if !std::mem::replace(&mut self.away, true) && on(News::Away(&reason))?.is_break() {
                        return Ok(End::Enough);
                    }
                    self.backoff.next(fastrand::f64())
                }
            };
            std::thread::sleep(wait);
        }
    }

    fn query(&self) -> Vec<(String, String)> {
        let mut query = self.filters.clone();
        if let (None, Some(count)) = (&self.last_id, self.replay) {
            query.push(("replay".to_owned(), count.to_string()));
        }
        query
    }

    fn connection(&mut self, on: &mut impl FnMut(News<'_>) -> anyhow::Result<ControlFlow<()>>) -> anyhow::Result<Ended> {
        let mut reader = match self.client.stream(self.path, &self.query(), self.last_id.as_deref(), self.silence) {
            Ok(Ok(reader)) => reader,
            Ok(Err(answer)) if answer.status == 204 => return Ok(Ended::Finally(End::Told)),
            Ok(Err(answer)) if answer.status == 200 => {
                anyhow::bail!("{} does not answer with an event stream; is it plimsoll?", self.client.base())
            }
            Ok(Err(answer)) if answer.status >= 500 || answer.is_busy() => {
                self.backoff.at_least(answer.retry_after.unwrap_or_default());
                return Ok(Ended::Broken(answer.summary()));
            }
            Ok(Err(answer)) => {
                let faults: String = answer.problem().errors.iter().map(|fault| format!("\n  {fault}")).collect();
                anyhow::bail!("the service refuses the stream: {}{faults}", answer.summary())
            }
            Err(error) => return Ok(Ended::Broken(error.to_string())),
        };
        let mut decoder = Decoder::default();
        let mut buffer = vec![0; 64 << 10];
        loop {
            let bytes = match reader.read(&mut buffer) {
                Ok(0) => return Ok(Ended::Cleanly),
                Ok(count) => buffer.get(..count).unwrap_or_default(),
                Err(error) if client::is_silence(&error) => {
                    return Ok(Ended::Broken(format!("nothing heard for {} s", self.silence.as_secs_f32())));
                }
                Err(error) => return Ok(Ended::Broken(client::io_reason(&error))),
            };
            decoder.push(bytes)?;
            while let Some(block) = decoder.next_block() {
                self.backoff.reset();
                if std::mem::take(&mut self.away) && on(News::Back)?.is_break() {
                    return Ok(Ended::Finally(End::Enough));
                }
                if self.take(block, on)?.is_break() {
                    return Ok(Ended::Finally(End::Enough));
                }
            }
        }
    }

    fn take(
        &mut self,
        block: Block,
        on: &mut impl FnMut(News<'_>) -> anyhow::Result<ControlFlow<()>>,
    ) -> anyhow::Result<ControlFlow<()>> {
        if let Some(retry) = block.retry {
            self.backoff.retry = retry;
        }
        let flow = match &block.data {
            Some(data) => on(News::Event(data))?,
            None => ControlFlow::Continue(()),
        };
        // only now: what was not handed over is asked for again
        if let Some(id) = block.id {
            self.last_id = Some(id).filter(|id| !id.is_empty());
        }
        Ok(flow)
    }
}

/// How long to wait before the next attempt.
#[derive(Debug)]
struct Backoff {
    /// What the service asks for between two connections.
    retry: Duration,
    /// Attempts in a row that failed.
    failures: u32,
    /// What the service asked for in a refusal.
    floor: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { retry: Duration::from_secs(1), failures: 0, floor: Duration::ZERO }
    }
}

impl Backoff {
    /// Longest wait of our own choice.
    const CAP: Duration = Duration::from_secs(15);

    fn reset(&mut self) {
        self.failures = 0;
    }

    fn at_least(&mut self, floor: Duration) {
        self.floor = floor;
    }

    /// Doubles with every failure up to the cap; `jitter` from 0 to 1 takes off up to a quarter, so that clients spread.
    fn next(&mut self, jitter: f64) -> Duration {
        let doubled = self.retry.saturating_mul(1 << self.failures.min(16)).min(Self::CAP);
        self.failures += 1;
        // the service's own wish is jittered already, and stands even when it is above the cap
        let ours = if self.failures == 1 { doubled } else { doubled.mul_f64(1.0 - jitter.clamp(0.0, 1.0) / 4.0) };
        ours.max(std::mem::take(&mut self.floor))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn waits_double_up_to_the_cap_and_start_over_after_success() {
        let mut backoff = Backoff::default();
        let waits: Vec<_> = (0..7).map(|_| backoff.next(0.0).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 15, 15, 15]);
        assert_eq!(backoff.next(1.0), Backoff::CAP.mul_f64(0.75));
        backoff.reset();
        backoff.retry = Duration::from_millis(300);
        assert_eq!(backoff.next(0.5), Duration::from_millis(300));
        backoff.at_least(Duration::from_secs(60));
        assert_eq!(backoff.next(0.5), Duration::from_secs(60));
        assert_eq!(backoff.next(0.0), Duration::from_millis(1200));
    }

    const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";

    /// Answers one connection after the other with these texts and returns the requests' heads.
    fn server(answers: &'static [&'static str]) -> (Client, std::thread::JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let serve = move || {
            let head = |stream: &TcpStream| -> String {
                let lines = BufReader::new(stream).lines().map_while(Result::ok);
                lines.take_while(|line| !line.is_empty()).map(|line| line + "\n").collect()
            };
            let mut heads = Vec::new();
            for answer in answers {
                let (mut stream, _) = listener.accept().expect("a connection");
                heads.push(head(&stream));
                stream.write_all(answer.as_bytes()).expect("sent");
            }
            heads
        };
        (Client::new(url.parse().expect("a URL")), std::thread::spawn(serve))
    }

    fn follow(answers: &'static [&'static str], replay: Option<u32>) -> (Vec<String>, anyhow::Result<End>, Vec<String>) {
        let (client, server) = server(answers);
        let mut news = Vec::new();
        let filters = vec![("symbol".to_owned(), "M&M FUT".to_owned())];
        let end = Follow::new(client, filters, replay, Duration::from_secs(30)).run(|item| {
            news.push(match item {
                News::Event(data) => data.to_owned(),
                News::Away(_) => "away".to_owned(),
                News::Back => "back".to_owned(),
            });
            Ok(ControlFlow::Continue(()))
        });
        (news, end, server.join().expect("no panic"))
    }

    const STOP: &str = "HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n";

    #[test]
    fn resumes_from_the_last_whole_block_and_stops_when_told() {
        let first = const_format(&["retry: 1\nid: 5-0\n\nid: 6-0\ndata: {\"n\":1}\n\nid: 7-0\ndata: {\"torn\""]);
        let (news, end, heads) = follow(first, Some(3));
        assert_eq!(news, ["{\"n\":1}"]);
        assert_eq!(end.expect("no error"), End::Told);
        let [first, second] = heads.as_slice() else { panic!("two connections, not {heads:?}") };
        assert!(first.starts_with("GET /api/telemetry/stream?symbol=M%26M%20FUT&replay=3 "), "{first}");
        assert!(!first.contains("last-event-id"), "{first}");
        assert!(second.starts_with("GET /api/telemetry/stream?symbol=M%26M%20FUT "), "{second}");
        assert!(second.contains("last-event-id: 6-0\n"), "{second}");
    }

    /// One stream with this body, then the word to stop.
    fn const_format(bodies: &[&str]) -> &'static [&'static str] {
        let mut answers: Vec<&'static str> =
            bodies.iter().map(|body| &*Box::leak(format!("{HEAD}{body}").into_boxed_str())).collect();
        answers.push(STOP);
        Box::leak(answers.into_boxed_slice())
    }

    #[test]
    fn a_refused_filter_is_an_error_and_a_busy_service_is_not() {
        let (_, end, _) = follow(
            &[
                "HTTP/1.1 422 x\r\nconnection: close\r\n\r\n{\"detail\":\"wrong\",\"errors\":[{\"field\":\"symbol\",\"message\":\"too long\"}]}",
            ],
            None,
        );
        assert_eq!(end.expect_err("refused").to_string(), "the service refuses the stream: 422 wrong\n  symbol: too long");
        let busy = "HTTP/1.1 503 x\r\nretry-after: 0\r\nconnection: close\r\n\r\n";
        let stream = const_format(&["retry: 1\nid: 5-0\n\n"]);
        let answers: Vec<&str> = std::iter::once(busy).chain(stream.iter().copied()).collect();
        let (news, end, _) = follow(Box::leak(answers.into_boxed_slice()), None);
        assert_eq!(news, ["away", "back"]);
        assert_eq!(end.expect("no error"), End::Told);
    }

    #[test]
    fn a_connection_that_falls_silent_is_given_up() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let (told, held) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a connection");
            stream.write_all(format!("{HEAD}id: 1-0\n\n").as_bytes()).expect("sent");
            told.send((stream, listener)).expect("the test waits");
        });
        let client = Client::new(url.parse().expect("a URL"));
        let mut reasons = Vec::new();
        let end = Follow::new(client, Vec::new(), None, Duration::from_millis(50)).run(|item| {
            reasons.push(format!("{item:?}"));
            Ok(ControlFlow::Break(()))
        });
        assert_eq!(end.expect("no error"), End::Enough);
        assert_eq!(reasons, ["Away(\"nothing heard for 0.05 s\")"]);
        drop(held.recv());
    }
}
