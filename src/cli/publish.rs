//! `plimsoll publish`: one event from arguments, or many from standard input.

use std::io;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use serde_json::json;
use serde_json::value::RawValue;

use super::client::Target;
use super::delivery::{Batch, Delivery, Refused, Undelivered};
use super::fields::{Fields, Object};
use super::interrupt::Interrupt;
use super::recording::Additions;
use super::terminal::{self, Out, grouped};
use super::{Exit, UsageError, documents};

const EXAMPLES: &str = "\
Examples:
  plimsoll publish order_event order_id=1 symbol=NIFTY side=BUY status=filled qty=50 price=19755.0
  plimsoll publish mde_status mde_name=feed status=running 'metrics={\"cached_symbols\":2}' --source feed
  plimsoll publish cycle_start --event-id cycle-17       publishing it again changes nothing
  plimsoll publish error --severity error --data '{\"message\":\"no margin\"}'
  plimsoll publish - < events.ndjson                     one JSON, an array, or one a line";

/// What to publish.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Type of the event, or - for events from standard input
    #[arg(value_name = "TYPE|-")]
    event_type: String,
    /// Fields of the payload; a value that is JSON is taken as JSON, any other as text
    #[arg(value_name = "KEY=VALUE", value_parser = field)]
    fields: Vec<Field>,
    /// The whole payload, a JSON object
    #[arg(long, value_name = "JSON", value_parser = object, conflicts_with = "fields")]
    data: Option<String>,
    /// The engine that speaks
    #[arg(long)]
    source: Option<String>,
    /// How severe
    #[arg(long, value_parser = ["debug", "info", "warning", "error", "critical"])]
    severity: Option<String>,
    /// An id of your own: publishing it again from the same source changes nothing
    #[arg(long, value_name = "ID")]
    event_id: Option<String>,
    /// The profile it belongs to
    #[arg(long, value_name = "ID", allow_negative_numbers = true)]
    profile_id: Option<i64>,
    /// When it happened (RFC 3339) [default: its arrival]
    #[arg(long, value_name = "TIME")]
    timestamp: Option<String>,
    #[command(flatten)]
    target: Target,
}

/// One field of a payload, its value as JSON text.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Field {
    key: String,
    json: String,
}

fn field(text: &str) -> Result<Field, String> {
    let (key, value) = text.split_once('=').ok_or("must be KEY=VALUE")?;
    if key.is_empty() {
        return Err("has no key before the =".to_owned());
    }
    let json = match serde_json::from_str::<&RawValue>(value) {
        Ok(json) => json.get().to_owned(),
        Err(_) => super::fields::quoted(value),
    };
    Ok(Field { key: key.to_owned(), json })
}

fn object(text: &str) -> Result<String, String> {
    serde_json::from_str::<&RawValue>(text).map_err(|error| error.to_string())?;
    Fields::parse(text.as_bytes()).map(|_| text.to_owned()).ok_or_else(|| "must be an object".to_owned())
}

/// Publishes, prints what became of it, and fails when anything was refused.
pub fn run(args: &Args) -> anyhow::Result<Exit> {
    if args.event_type == "-" { many(args) } else { one(args) }
}

fn one(args: &Args) -> anyhow::Result<Exit> {
    let client = args.target.client()?;
    let answer = client.publish(event(args)?.as_bytes(), false).map_err(|error| {
        anyhow::anyhow!("cannot reach {}: {error}. Is the service running? `plimsoll serve` starts it", client.base())
    })?;
    let mut out = Out::new();
    let body = String::from_utf8_lossy(&answer.body);
    if args.target.json {
        out.line(body.trim_end())?;
    }
    if answer.status >= 300 {
        if !args.target.json {
            terminal::complain(&format!("refused: {}", answer.summary()));
            for fault in answer.problem().errors {
                terminal::note(&fault.to_string());
            }
        }
        return Ok(Exit::Failed);
    }
    if !args.target.json {
        let fields = Fields::parse(&answer.body).unwrap_or_default();
        let id = fields.get("id").and_then(super::fields::unquoted).unwrap_or_default();
        let again = if fields.get("duplicate") == Some("true") { " (published before)" } else { "" };
        out.line(&terminal::harmless(&format!("{id}{again}")))?;
    }
    Ok(Exit::Clean)
}

/// The event of the arguments as JSON.
fn event(args: &Args) -> Result<String, UsageError> {
    let payload = match &args.data {
        Some(data) => data.clone(),
        None => {
            let mut payload = Object::new();
            let mut seen = std::collections::HashSet::new();
            for Field { key, json } in &args.fields {
                if !seen.insert(key) {
                    return Err(UsageError(format!("{key} is given twice")));
                }
                payload = payload.raw(key, json);
            }
            payload.finish()
        }
    };
    let mut event = Object::new()
        .text("type", &args.event_type)
        .maybe("timestamp", args.timestamp.as_deref())
        .maybe("source", args.source.as_deref())
        .maybe("severity", args.severity.as_deref());
    if let Some(id) = args.profile_id {
        event = event.int("profile_id", id);
    }
    Ok(event.maybe("event_id", args.event_id.as_deref()).raw("payload", &payload).finish())
}

/// Events go out when this much is gathered, or the pipe pauses.
const BATCH: usize = 4 << 20;
const PAUSE: Duration = Duration::from_millis(50);
/// How long the service may be busy.
const PATIENCE: Duration = Duration::from_secs(30);

fn many(args: &Args) -> anyhow::Result<Exit> {
    let options = [&args.source, &args.severity, &args.event_id, &args.timestamp, &args.data];
    if options.iter().any(|option| option.is_some()) || args.profile_id.is_some() || !args.fields.is_empty() {
        let text = "events from standard input carry their own fields; give only --url and --json with -";
        return Err(UsageError(text.to_owned()).into());
    }
    let mut delivery = Delivery::new(args.target.client()?, Interrupt::default(), PATIENCE);
    // so that a batch can be sent again when the service is busy; other runs know nothing of these ids
    let additions = Additions::new(format!("publish-{:016x}", fastrand::u64(..)), None);
    let mut report = Report { faults: Vec::new(), json: args.target.json };
    let (documents, broken) = read_stdin();
    let mut batch = Batch::default();
    let mut count = 0;
    let outcome = loop {
        let next = if batch.origins.is_empty() {
            documents.recv().map_err(|_| RecvTimeoutError::Disconnected)
        } else {
            documents.recv_timeout(PAUSE)
        };
        if let Ok(document) = &next {
            count += 1;
            additions.apply(document, count, &mut batch.body);
            batch.body.push(b'\n');
            batch.origins.push(count);
        }
        if (next.is_err() || batch.body.len() >= BATCH)
            && let Err(error) = send(&mut delivery, &mut batch, &mut report)
        {
            break Err(error);
        }
        if next == Err(RecvTimeoutError::Disconnected) {
            break Ok(());
        }
    };
    let failure = match outcome {
        Err(error) => Some(anyhow::Error::from(error)),
        Ok(()) => broken.recv().ok().map(|error| anyhow::anyhow!("standard input: {error}")),
    };
    if failure.is_none() || delivery.tally().events() > 0 {
        report.finish(&delivery)?;
    }
    if let Some(failure) = failure {
        return Err(failure);
    }
    Ok(if delivery.tally().rejected > 0 { Exit::Failed } else { Exit::Clean })
}

fn send(delivery: &mut Delivery, batch: &mut Batch, report: &mut Report) -> Result<(), Undelivered> {
    if !batch.origins.is_empty() {
        report.add(delivery.deliver(batch)?);
        batch.clear();
    }
    Ok(())
}

/// Reads standard input on a thread of its own, so that a pause in the pipe can be noticed.
fn read_stdin() -> (mpsc::Receiver<Vec<u8>>, mpsc::Receiver<io::Error>) {
    let (documents, received) = mpsc::sync_channel(1024);
    let (failed, broken) = mpsc::sync_channel(1);
    std::thread::spawn(move || {
        let outcome = documents::split(io::stdin().lock(), |document| documents.send(document).is_ok());
        if let Err(error) = outcome {
            let _ = failed.send(error);
        }
    });
    (received, broken)
}

/// What was refused, for the person or for the program.
struct Report {
    faults: Vec<serde_json::Value>,
    json: bool,
}

impl Report {
    fn add(&mut self, refused: Vec<Refused>) {
        for Refused { origin, faults } in refused {
            if self.json {
                let errors: Vec<_> = faults.iter().map(|f| json!({"field": f.field, "message": f.message})).collect();
                self.faults.push(json!({"index": origin.saturating_sub(1), "errors": errors}));
            } else {
                for fault in faults {
                    terminal::note(&format!("event {origin}: {fault}"));
                }
            }
        }
    }

    fn finish(self, delivery: &Delivery) -> anyhow::Result<()> {
        let tally = delivery.tally();
        if !self.json {
            let (accepted, duplicates) = (grouped(tally.accepted), grouped(tally.duplicates));
            let line = format!("accepted {accepted}, duplicates {duplicates}, rejected {}", grouped(tally.rejected));
            return Out::new().line(&line);
        }
        let summary = Object::new()
            .raw("accepted", &tally.accepted.to_string())
            .raw("duplicates", &tally.duplicates.to_string())
            .raw("rejected", &serde_json::Value::from(self.faults).to_string())
            .raw("first_id", &json!(tally.first_id).to_string())
            .raw("last_id", &json!(tally.last_id).to_string());
        Out::new().line(&summary.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        args: Args,
    }

    fn parse(args: &[&str]) -> Args {
        Command::parse_from(std::iter::once(&"publish").chain(args)).args
    }

    #[test]
    fn values_that_are_json_are_json_and_all_others_text() {
        let cases = [
            ("qty=50", "50"),
            ("price=19755.0", "19755.0"),
            ("side=BUY", "\"BUY\""),
            ("ok=true", "true"),
            ("x=null", "null"),
            ("quoted=\"50\"", "\"50\""),
            ("m={\"a\":[1]}", "{\"a\":[1]}"),
            ("n=NaN", "\"NaN\""),
            ("date=2025-11-18", "\"2025-11-18\""),
            ("empty=", "\"\""),
            ("eq=a=b", "\"a=b\""),
        ];
        for (text, json) in cases {
            assert_eq!(field(text).map(|field| field.json), Ok(json.to_owned()), "{text}");
        }
        assert!(field("=1").is_err() && field("word").is_err());
    }

    #[test]
    fn the_event_has_the_fields_in_the_order_of_the_contract_and_the_payload_in_the_order_typed() {
        let args =
            "order_event order_id=1 symbol=NIFTY price=19755.0 --event-id x-1 --profile-id 1 --source fno --severity warning";
        let args = parse(&args.split(' ').collect::<Vec<_>>());
        assert_eq!(
            event(&args).expect("an event"),
            r#"{"type":"order_event","source":"fno","severity":"warning","profile_id":1,"event_id":"x-1","#.to_owned()
                + r#""payload":{"order_id":1,"symbol":"NIFTY","price":19755.0}}"#
        );
        assert_eq!(event(&parse(&["cycle_start"])).expect("an event"), r#"{"type":"cycle_start","payload":{}}"#);
        let whole = parse(&["error", "--data", "{\"b\": 1.50, \"a\": 2}"]);
        assert_eq!(event(&whole).expect("an event"), r#"{"type":"error","payload":{"b": 1.50, "a": 2}}"#);
    }

    #[test]
    fn a_field_given_twice_and_a_payload_that_is_no_object_are_wrong_usage() {
        assert!(event(&parse(&["order_event", "a=1", "a=2"])).is_err());
        for data in ["[1]", "1", "{\"a\":}"] {
            assert!(Command::try_parse_from(["publish", "error", "--data", data]).is_err(), "{data}");
        }
        assert!(Command::try_parse_from(["publish", "error", "a=1", "--data", "{}"]).is_err());
    }
}
