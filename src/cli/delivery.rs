//! Delivers batches of events over HTTP, each event exactly once.
//!
//! Every event has an `event_id`, so a batch whose answer was lost, or that was taken in part, is simply sent again: the
//! service knows which of its events it has.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::client::{Answer, Client, Fault, NoAnswer};
use super::interrupt::Interrupt;
use super::terminal;

/// Events as NDJSON, and where each came from.
#[derive(Debug, Default)]
pub struct Batch {
    /// One event a line.
    pub body: Vec<u8>,
    /// For every line of the body, its number in the input, from 1.
    pub origins: Vec<u64>,
}

impl Batch {
    /// Ready for the next events.
    pub fn clear(&mut self) {
        self.body.clear();
        self.origins.clear();
    }
}

/// What became of the events so far.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Published now.
    pub accepted: u64,
    /// Known to the service already, by their `event_id`.
    pub duplicates: u64,
    /// Those among the duplicates that an attempt of ours may have published whose answer was lost.
    pub resent: u64,
    /// Refused, for a fault of their own.
    pub rejected: u64,
    /// Id of the first one accepted.
    pub first_id: Option<String>,
    /// Id of the last one accepted.
    pub last_id: Option<String>,
}

impl Tally {
    /// All events that have been answered for.
    pub fn events(&self) -> u64 {
        self.accepted + self.duplicates + self.rejected
    }

    fn span(&mut self, first: Option<String>, last: Option<String>) {
        self.first_id = self.first_id.take().or(first);
        self.last_id = last.or(self.last_id.take());
    }
}

/// An event that the service refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Its number in the input, from 1.
    pub origin: u64,
    /// What is wrong with it.
    pub faults: Vec<Fault>,
}

/// Why a batch was not delivered.
#[derive(Debug, thiserror::Error)]
pub enum Undelivered {
    /// The person wants the end; nothing of this batch is known to be published.
    #[error("interrupted")]
    Interrupted,
    /// Refused or given up.
    #[error("{0}")]
    Failed(String),
}

/// Delivers batches one after the other.
#[derive(Debug)]
pub struct Delivery {
    client: Client,
    interrupt: Interrupt,
    /// How long the service may be away or busy.
    patience: Duration,
    /// The service has answered before, so it is worth waiting for.
    met: bool,
    /// When the person was last told that we wait.
    told: Option<Instant>,
    tally: Tally,
}

/// The answer to a batch.
#[derive(Debug, Deserialize)]
struct Summary {
    accepted: u64,
    duplicates: u64,
    rejected: Vec<Rejected>,
    first_id: Option<String>,
    last_id: Option<String>,
    /// More were refused than the service lists.
    #[serde(default)]
    rejected_not_listed: u64,
}

/// What a batch that was refused for the moment has published all the same.
#[derive(Debug, Default, Deserialize)]
struct Partly {
    #[serde(default)]
    accepted: u64,
    #[serde(default)]
    first_id: Option<String>,
    #[serde(default)]
    last_id: Option<String>,
}

/// The attempts at one batch so far.
#[derive(Debug, Default)]
struct Attempts {
    count: u32,
    /// Events that these attempts have published, as the service said.
    accepted: u64,
    /// An answer was lost: some events may be published that no answer has named.
    in_doubt: bool,
}

#[derive(Debug, Deserialize)]
struct Rejected {
    index: u64,
    #[serde(default)]
    errors: Vec<Fault>,
}

impl Delivery {
    /// A delivery that waits up to `patience` for a service that is away or busy.
    pub fn new(client: Client, interrupt: Interrupt, patience: Duration) -> Self {
        Self { client, interrupt, patience, met: false, told: None, tally: Tally::default() }
    }

    /// What became of the events so far.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Delivers one batch and answers which events were refused.
    pub fn deliver(&mut self, batch: &Batch) -> Result<Vec<Refused>, Undelivered> {
        let began = Instant::now();
        let mut attempts = Attempts::default();
        loop {
            let (reason, wait) = match self.client.publish(&batch.body, true) {
                Ok(answer) if answer.is_busy() => {
                    self.met = true;
                    self.partly(&answer, &mut attempts);
                    (answer.summary(), answer.retry_after.unwrap_or(Duration::from_secs(1)))
                }
                Ok(answer) => {
                    self.met = true;
                    return self.settle(batch, &answer, &attempts);
                }
                Err(NoAnswer::NotSent(reason)) if !self.met => {
                    let base = self.client.base();
                    let text = format!("cannot reach {base}: {reason}. Is the service running? `plimsoll serve` starts it");
                    return Err(Undelivered::Failed(text));
                }
                Err(NoAnswer::NotSent(reason)) => (reason, backoff(attempts.count)),
                Err(NoAnswer::Lost(reason)) => {
                    attempts.in_doubt = true;
                    (reason, backoff(attempts.count))
                }
            };
            if began.elapsed() + wait > self.patience {
                let waited = began.elapsed().as_secs();
                return Err(Undelivered::Failed(format!("gave up after {waited} s: {reason}")));
            }
            if self.told.is_none_or(|told| told.elapsed() > TELL_EVERY) {
                self.told = Some(Instant::now());
                terminal::complain(&format!("waiting for {}: {reason}", self.client.base()));
            }
            attempts.count += 1;
            if self.interrupt.sleep(wait) {
                return Err(Undelivered::Interrupted);
            }
        }
    }

    /// Counts what was published although the batch as a whole was not.
    fn partly(&mut self, answer: &Answer, attempts: &mut Attempts) {
        let partly: Partly = serde_json::from_slice(&answer.body).unwrap_or_default();
        attempts.accepted += partly.accepted;
        self.tally.accepted += partly.accepted;
        self.tally.span(partly.first_id, partly.last_id);
    }

    fn settle(&mut self, batch: &Batch, answer: &Answer, attempts: &Attempts) -> Result<Vec<Refused>, Undelivered> {
        let refused = match answer.status {
            200..=299 => {
                let summary: Summary = serde_json::from_slice(&answer.body)
                    .map_err(|error| Undelivered::Failed(format!("an answer that is none of plimsoll's: {error}")))?;
                // what the attempts before this one have published comes back as duplicates
                let duplicates = summary.duplicates.saturating_sub(attempts.accepted);
                self.tally.accepted += summary.accepted;
                self.tally.duplicates += duplicates;
                self.tally.resent += if attempts.in_doubt { duplicates } else { 0 };
                self.tally.rejected += summary.rejected_not_listed;
                self.tally.span(summary.first_id, summary.last_id);
                summary.rejected.into_iter().map(|item| (item.index, item.errors)).collect()
            }
            400 => by_index(answer.problem().errors),
            _ => Vec::new(),
        };
        if answer.status >= 400 && refused.is_empty() {
            return Err(Undelivered::Failed(format!("the service refuses: {}", answer.summary())));
        }
        let refused: Vec<Refused> = refused
            .into_iter()
            .map(|(index, faults)| {
                let origin = usize::try_from(index).ok().and_then(|index| batch.origins.get(index));
                Refused { origin: origin.copied().unwrap_or(0), faults }
            })
            .collect();
        // a 400 means that none was good, whether or not each is named
        let count = if answer.status == 400 { batch.origins.len() } else { refused.len() };
        self.tally.rejected += count as u64;
        Ok(refused)
    }
}

/// The faults of each event together.
fn by_index(faults: Vec<Fault>) -> Vec<(u64, Vec<Fault>)> {
    let mut events = std::collections::BTreeMap::<u64, Vec<Fault>>::new();
    for fault in faults {
        let Some(index) = fault.index else { continue };
        events.entry(index).or_default().push(fault);
    }
    events.into_iter().collect()
}

/// The person is told that we wait, but not at every wait.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// Waits between attempts at a service that is away: 0.25 s, doubling up to 5 s.
fn backoff(attempt: u32) -> Duration {
    Duration::from_millis(250 << attempt.min(5)).min(Duration::from_secs(5))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead as _, BufReader, Read as _, Write as _};
    use std::net::TcpListener;

    /// Answers each request in turn, an empty answer being a connection that breaks, and returns the bodies.
    fn server(answers: Vec<String>) -> (Client, std::thread::JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let serve = move || {
            let mut bodies = Vec::new();
            for answer in answers {
                let (stream, _) = listener.accept().expect("a connection");
                let mut reader = BufReader::new(&stream);
                let mut length = 0;
                for line in reader.by_ref().lines().map_while(Result::ok).take_while(|line| !line.is_empty()) {
                    if let Some(value) = line.strip_prefix("content-length: ") {
                        length = value.parse().expect("a length");
                    }
                }
                let mut body = vec![0; length];
                reader.read_exact(&mut body).expect("the body");
                bodies.push(String::from_utf8(body).expect("text"));
                (&stream).write_all(answer.as_bytes()).expect("sent");
            }
            bodies
        };
        (Client::new(url.parse().expect("a URL")), std::thread::spawn(serve))
    }

    fn answer(status: u16, headers: &str, body: &str) -> String {
        format!("HTTP/1.1 {status} x\r\n{headers}connection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len())
    }

    fn batch() -> Batch {
        Batch { body: b"{\"a\":1}\n{\"b\":2}\n".to_vec(), origins: vec![7, 9] }
    }

    fn delivery(client: Client) -> Delivery {
        Delivery::new(client, Interrupt::default(), Duration::from_secs(30))
    }

    #[test]
    fn a_refused_event_is_named_by_its_place_in_the_input() {
        let body = r#"{"accepted":1,"duplicates":0,"rejected":[{"index":1,"errors":[{"field":"type","message":"is required"}]}],"first_id":"5-0","last_id":"5-0"}"#;
        let (client, server) = server(vec![answer(207, "", body)]);
        let mut delivery = delivery(client);
        let refused = delivery.deliver(&batch()).expect("delivered");
        let places: Vec<_> = refused.iter().map(|item| (item.origin, item.faults.len())).collect();
        assert_eq!(places, [(9, 1)]);
        let expected =
            Tally { accepted: 1, rejected: 1, first_id: Some("5-0".into()), last_id: Some("5-0".into()), ..Tally::default() };
        assert_eq!(delivery.tally(), &expected);
        server.join().expect("no panic");
    }

    #[test]
    fn a_batch_without_a_good_event_is_refused_event_by_event() {
        let body = r#"{"status":400,"errors":[{"index":0,"field":"a","message":"x"},{"index":0,"field":"b","message":"y"},{"index":1,"field":"","message":"z"}]}"#;
        let (client, server) = server(vec![answer(400, "", body)]);
        let mut delivery = delivery(client);
        let refused = delivery.deliver(&batch()).expect("delivered");
        assert_eq!(refused.iter().map(|item| (item.origin, item.faults.len())).collect::<Vec<_>>(), [(7, 2), (9, 1)]);
        assert_eq!(delivery.tally().rejected, 2);
        server.join().expect("no panic");
    }

    #[test]
    fn a_busy_service_is_tried_again_with_the_same_events() {
        let ok = r#"{"accepted":2,"duplicates":0,"rejected":[],"first_id":"5-0","last_id":"5-1"}"#;
        let (client, server) = server(vec![answer(503, "retry-after: 0\r\n", "{}"), answer(201, "", ok)]);
        let mut delivery = delivery(client);
        assert_eq!(delivery.deliver(&batch()).expect("delivered"), []);
        assert_eq!((delivery.tally().accepted, delivery.tally().duplicates), (2, 0));
        let bodies = server.join().expect("no panic");
        assert!(bodies.len() == 2 && bodies.iter().all(|body| body.as_bytes() == batch().body));
    }

    #[test]
    fn what_a_busy_service_took_in_part_counts_as_accepted_and_not_as_a_duplicate() {
        let part = r#"{"status":503,"accepted":1,"duplicates":0,"first_id":"5-0","last_id":"5-0","lines_read":2}"#;
        let rest = r#"{"accepted":1,"duplicates":1,"rejected":[],"first_id":"6-0","last_id":"6-0"}"#;
        let (client, server) = server(vec![answer(503, "retry-after: 0\r\n", part), answer(201, "", rest)]);
        let mut delivery = delivery(client);
        delivery.deliver(&batch()).expect("delivered");
        let (first_id, last_id) = (Some("5-0".into()), Some("6-0".into()));
        assert_eq!(delivery.tally(), &Tally { accepted: 2, first_id, last_id, ..Tally::default() });
        server.join().expect("no panic");
    }

    #[test]
    fn after_a_lost_answer_the_duplicates_are_said_to_be_our_own() {
        let ok = r#"{"accepted":1,"duplicates":1,"rejected":[],"first_id":"5-0","last_id":"5-0"}"#;
        let (client, server) = server(vec![String::new(), answer(201, "", ok)]);
        let mut delivery = delivery(client);
        delivery.deliver(&batch()).expect("delivered");
        let tally = delivery.tally();
        assert_eq!((tally.accepted, tally.duplicates, tally.resent), (1, 1, 1));
        server.join().expect("no panic");
    }

    #[test]
    fn a_service_that_never_was_there_is_not_waited_for() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        drop(listener);
        let mut delivery = delivery(Client::new(url.parse().expect("a URL")));
        let error = delivery.deliver(&batch()).expect_err("refused").to_string();
        assert!(error.contains("Is the service running?"), "{error}");
    }
}
