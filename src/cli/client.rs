//! The blocking HTTP client of the command line.

use std::fmt;
use std::io::{self, Read as _};
use std::str::FromStr;
use std::time::Duration;

use serde::Deserialize;

use super::UsageError;

/// Where the service is and how to print: the same in every client command.
#[derive(Debug, Clone, clap::Args)]
pub struct Target {
    /// Address of the service [env: PLIMSOLL_URL] [default: http://127.0.0.1:8765]
    #[arg(long, value_name = "URL")]
    url: Option<BaseUrl>,
    /// JSON on standard output, for programs
    #[arg(long)]
    pub json: bool,
}

impl Target {
    /// A client for that service.
    pub fn client(&self) -> anyhow::Result<Client> {
        let base = match (&self.url, std::env::var("PLIMSOLL_URL")) {
            (Some(url), _) => url.clone(),
            (None, Ok(text)) if !text.is_empty() => text.parse().map_err(|fault| UsageError(format!("PLIMSOLL_URL: {fault}")))?,
            (None, _) => BaseUrl("http://127.0.0.1:8765".to_owned()),
        };
        Ok(Client::new(base))
    }
}

/// `http://host:port`, without a slash at the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseUrl(String);

impl FromStr for BaseUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let rest = match text.split_once("://") {
            Some(("http", rest)) => rest,
            Some((scheme, _)) => return Err(format!("must be http://HOST:PORT, {scheme} is not spoken here")),
            None => text,
        };
        let rest = rest.trim_end_matches('/');
        let plain = |c: char| c.is_ascii_graphic() && !matches!(c, '?' | '#' | '@');
        if rest.is_empty() || !rest.chars().all(plain) {
            return Err("must be http://HOST:PORT".to_owned());
        }
        Ok(Self(format!("http://{rest}")))
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Speaks to one service.
#[derive(Debug, Clone)]
pub struct Client {
    agent: ureq::Agent,
    base: BaseUrl,
}

/// What the service answered.
#[derive(Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// How long the service asks us to wait.
    pub retry_after: Option<Duration>,
    /// The body, whole.
    pub body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum NoAnswer {
    /// The service never saw the request.
    #[error("{0}")]
    NotSent(String),
    /// The request went out, at least in part: what it did is not known.
    #[error("{0}")]
    Lost(String),
}

/// Time to connect, which on one machine is a moment.
const CONNECT: Duration = Duration::from_secs(5);
/// Longest pause inside a request or an answer.
const PAUSE: Duration = Duration::from_secs(60);
/// Largest answer read.
const MAX_ANSWER: u64 = 256 << 20;

impl Client {
    /// A client of the service at `base`.
    pub fn new(base: BaseUrl) -> Self {
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .user_agent(concat!("plimsoll/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(CONNECT))
            .timeout_per_read(Some(PAUSE))
            .timeout_per_write(Some(PAUSE))
            // a server drops idle connections: one that has rested is not worth the risk of a lost request
            .max_idle_age(Duration::from_secs(2))
            .build()
            .new_agent();
        Self { agent, base }
    }

    /// The service's address.
    pub fn base(&self) -> &BaseUrl {
        &self.base
    }

    /// Posts events: one JSON object, or NDJSON when `many`.
    pub fn publish(&self, body: &[u8], many: bool) -> Result<Answer, NoAnswer> {
        let content_type = if many { "application/x-ndjson" } else { "application/json" };
        let request = self.agent.post(format!("{}/api/telemetry/events", self.base)).content_type(content_type);
        let mut response = request.send(body).map_err(no_answer)?;
        // whatever goes wrong from here on, the request was made
        let lost = |error| NoAnswer::Lost(reason(&error));
        let body = response.body_mut().with_config().limit(MAX_ANSWER).read_to_vec().map_err(lost)?;
        Ok(Answer { status: response.status().as_u16(), retry_after: retry_after(response.headers()), body })
    }

    /// Asks for what is at `path`.
    pub fn get(&self, path: &str, query: &[(String, String)]) -> Result<Answer, NoAnswer> {
        let query = query.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        let mut response = self.agent.get(format!("{}{path}", self.base)).query_pairs(query).call().map_err(no_answer)?;
        let lost = |error| NoAnswer::Lost(reason(&error));
        let body = response.body_mut().with_config().limit(MAX_ANSWER).read_to_vec().map_err(lost)?;
        Ok(Answer { status: response.status().as_u16(), retry_after: retry_after(response.headers()), body })
    }

    /// Posts JSON to `path`, in the name of `actor`.
    pub fn post(&self, path: &str, json: &[u8], actor: Option<&str>) -> Result<Answer, NoAnswer> {
        let mut request = self.agent.post(format!("{}{path}", self.base)).content_type("application/json");
        if let Some(actor) = actor {
            request = request.header("x-actor", actor);
        }
        let mut response = request.send(json).map_err(no_answer)?;
        let lost = |error| NoAnswer::Lost(reason(&error));
        let body = response.body_mut().with_config().limit(MAX_ANSWER).read_to_vec().map_err(lost)?;
        Ok(Answer { status: response.status().as_u16(), retry_after: retry_after(response.headers()), body })
    }

    /// Opens the stream at `path`; `silence` is how long it may say nothing.
    pub fn stream(
        &self,
        path: &str,
        query: &[(String, String)],
        last_id: Option<&str>,
        silence: Duration,
    ) -> Result<Result<ureq::BodyReader<'static>, Answer>, NoAnswer> {
        let mut request = self
            .agent
            .get(format!("{}{path}", self.base))
            .query_pairs(query.iter().map(|(key, value)| (key.as_str(), value.as_str())))
            .header("accept", "text/event-stream")
            // a stream that has ended is no connection to keep: a service that stops would have to wait for it
            .header("connection", "close");
        if let Some(id) = last_id {
            request = request.header("last-event-id", id);
        }
        let response = request.config().timeout_per_read(Some(silence)).build().call().map_err(no_answer)?;
        let status = response.status().as_u16();
        let is_stream = response.body().mime_type() == Some("text/event-stream");
        let retry_after = retry_after(response.headers());
        let mut reader = response.into_body().into_with_config().limit(u64::MAX).reader();
        if status == 200 && is_stream {
            return Ok(Ok(reader));
        }
        let mut body = Vec::new();
        let _ = reader.by_ref().take(1 << 20).read_to_end(&mut body);
        Ok(Err(Answer { status, retry_after, body }))
    }
}

fn retry_after(headers: &ureq::http::HeaderMap) -> Option<Duration> {
    let seconds = headers.get("retry-after")?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

fn no_answer(error: ureq::Error) -> NoAnswer {
    use io::ErrorKind::{AddrNotAvailable, ConnectionRefused, HostUnreachable, NetworkUnreachable};
    let never_left = match &error {
        ureq::Error::Io(error) => {
            matches!(error.kind(), ConnectionRefused | HostUnreachable | NetworkUnreachable | AddrNotAvailable)
        }
        ureq::Error::Timeout(phase) => matches!(phase, ureq::Timeout::Connect | ureq::Timeout::Resolve),
        ureq::Error::HostNotFound | ureq::Error::ConnectionFailed | ureq::Error::BadUri(_) | ureq::Error::Http(_) => true,
        _ => false,
    };
    if never_left { NoAnswer::NotSent(reason(&error)) } else { NoAnswer::Lost(reason(&error)) }
}

/// The cause in plain words.
fn reason(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Io(error) => io_reason(error),
        ureq::Error::Timeout(phase) => format!("no answer in time ({phase})"),
        other => other.to_string(),
    }
}

/// The cause of a failed read or write in plain words.
pub fn io_reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::UnexpectedEof => {
            "the connection broke off".to_owned()
        }
        _ => error.to_string(),
    }
}

/// Whether a read failed because nothing came in time.
pub fn is_silence(error: &io::Error) -> bool {
    error.get_ref().and_then(|inner| inner.downcast_ref()).is_some_and(|e| matches!(e, ureq::Error::Timeout(_)))
}

/// One fault of what we sent, as the service says it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Fault {
    /// Which event of a batch.
    #[serde(default)]
    pub index: Option<u64>,
    /// Path of the field.
    #[serde(default)]
    pub field: String,
    /// What is wrong with it.
    #[serde(default)]
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (field, message) = (super::terminal::harmless(&self.field), super::terminal::harmless(&self.message));
        if field.is_empty() { formatter.write_str(&message) } else { write!(formatter, "{field}: {message}") }
    }
}

/// An error answer (RFC 9457).
#[derive(Debug, Default, Deserialize)]
pub struct Problem {
    /// What kind of error.
    #[serde(default)]
    pub title: String,
    /// What exactly.
    #[serde(default)]
    pub detail: String,
    /// Field by field.
    #[serde(default)]
    pub errors: Vec<Fault>,
}

impl Answer {
    /// Whether the service asks us to come again later.
    pub fn is_busy(&self) -> bool {
        matches!(self.status, 429 | 502..=504)
    }

    /// The error it carries; an empty one if it is none that we know.
    pub fn problem(&self) -> Problem {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// One line for a person.
    pub fn summary(&self) -> String {
        let Problem { title, detail, .. } = self.problem();
        let text = match (title.is_empty(), detail.is_empty()) {
            (true, true) => "without a reason; is this plimsoll?".to_owned(),
            (false, true) => title,
            (true, false) => detail,
            (false, false) if detail.to_lowercase().starts_with(&title.to_lowercase()) => detail,
            (false, false) => format!("{title}: {detail}"),
        };
        format!("{} {}", self.status, super::terminal::harmless(&text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_taken_in_the_forms_people_type() {
        for text in ["http://127.0.0.1:8765", "http://127.0.0.1:8765/", "127.0.0.1:8765"] {
            assert_eq!(text.parse(), Ok(BaseUrl("http://127.0.0.1:8765".into())), "{text}");
        }
        for text in ["", "http://", "https://x", "http://a b", "http://h/?q=1", "http://user@h"] {
            assert!(text.parse::<BaseUrl>().is_err(), "{text}");
        }
    }

    #[test]
    fn an_error_answer_reads_as_one_line_and_its_faults_as_one_each() {
        let body = br#"{"type":"about:blank","title":"Unprocessable","status":422,"detail":"2 fields are wrong",
            "errors":[{"field":"payload.symbol","message":"is required"},{"index":3,"field":"","message":"is \u001b no JSON"}]}"#;
        let answer = Answer { status: 422, retry_after: None, body: body.to_vec() };
        assert_eq!(answer.summary(), "422 Unprocessable: 2 fields are wrong");
        let lines: Vec<_> = answer.problem().errors.iter().map(ToString::to_string).collect();
        assert_eq!(lines, ["payload.symbol: is required", "is \u{fffd} no JSON"]);
        let odd = Answer { status: 502, retry_after: None, body: b"<html>".to_vec() };
        assert_eq!(odd.summary(), "502 without a reason; is this plimsoll?");
        assert!(odd.is_busy());
    }

    #[test]
    fn a_refused_connection_is_known_to_have_sent_nothing() {
        let refused = ureq::Error::Io(io::ErrorKind::ConnectionRefused.into());
        assert!(matches!(no_answer(refused), NoAnswer::NotSent(text) if text == "connection refused"));
        let reset = ureq::Error::Io(io::ErrorKind::ConnectionReset.into());
        assert!(matches!(no_answer(reset), NoAnswer::Lost(_)));
    }
}
