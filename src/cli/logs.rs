//! `plimsoll logs`: the log of an engine, its end or as it grows.

use std::ops::ControlFlow;
use std::time::Duration;

use plimsoll::domain::log::json::Record;
use plimsoll::domain::log::line::{self, Level};
use serde::{Deserialize, Serialize};

use super::client::Target;
use super::follow::{End, Follow, News};
use super::terminal::{self, Out, Paint, harmless};
use super::{Exit, interrupt};

const EXAMPLES: &str = "\
Examples:
  plimsoll logs fno
  plimsoll logs fno -f --level warning
  plimsoll logs fno --lines 1000 --q 'stop loss'
  plimsoll logs fno --json | jq -r .line

A traceback is shown with its line. With -f it goes on by itself when the log is rotated or the service restarts.";

const PATH: &str = "/api/telemetry/engine_logs";

/// A connection that is silent for this long is dead; the service speaks every 15 s.
const SILENCE: Duration = Duration::from_secs(45);

/// Which log, and what of it.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Name of the engine
    engine: String,
    /// Go on with what is written from now on
    #[arg(short, long)]
    follow: bool,
    /// Start with this many records
    #[arg(short = 'n', long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=5000))]
    lines: u32,
    /// Only records at least this serious
    #[arg(long, value_parser = ["trace", "debug", "info", "warning", "error", "critical"])]
    level: Option<String>,
    /// Only records with this text, in any case
    #[arg(long, value_name = "TEXT")]
    q: Option<String>,
    #[command(flatten)]
    target: Target,
}

impl Args {
    fn query(&self) -> Vec<(String, String)> {
        let given = [("level", self.level.clone()), ("q", self.q.clone()), ("follow", self.follow.then(|| "true".to_owned()))];
        let always = [("engine", Some(self.engine.clone())), ("lines", Some(self.lines.to_string()))];
        always.into_iter().chain(given).filter_map(|(key, value)| Some((key.to_owned(), value?))).collect()
    }
}

/// The answer of the service.
#[derive(Debug, Deserialize)]
struct Tail {
    lines: Vec<String>,
    #[serde(default)]
    scanned_bytes: u64,
    #[serde(default)]
    truncated: bool,
}

/// One record on the stream, and on standard output with `--json`.
#[derive(Debug, Serialize, Deserialize)]
struct Data {
    line: String,
    /// It goes on with the record before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    continued: bool,
}

/// The word that records may be missing.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", content = "payload", rename_all = "snake_case")]
enum Notice {
    LogGap { reason: String },
}

/// Shows the log.
pub fn run(args: &Args) -> anyhow::Result<Exit> {
    let client = args.target.client()?;
    let base = client.base().clone();
    interrupt::exit_on_signal()?;
    let mut out = Out::new();
    let json = args.target.json;
    if !args.follow {
        let answer = client.get(PATH, &args.query()).map_err(|error| anyhow::anyhow!("{base}: {error}"))?;
        if answer.status != 200 {
            let faults: String = answer.problem().errors.iter().map(|fault| format!("\n  {fault}")).collect();
            anyhow::bail!("{}{faults}", answer.summary());
        }
        let tail: Tail = serde_json::from_slice(&answer.body)?;
        for line in tail.lines {
            show(&mut out, &Data { line, continued: false }, json)?;
        }
        if tail.truncated {
            let scanned = terminal::grouped(tail.scanned_bytes);
            terminal::complain(&format!("only the last {scanned} bytes of the log were searched; there may be more before them"));
        }
        return Ok(Exit::Clean);
    }
    let end = Follow::new(client, args.query(), None, SILENCE).at(PATH).run(|news| {
        match news {
            News::Event(data) => match serde_json::from_str(data) {
                Ok(Notice::LogGap { reason }) => {
                    if json {
                        out.line(data)?;
                    }
                    terminal::complain(&format!("records may be missing here ({})", harmless(&reason)));
                }
                Err(_) => show(&mut out, &serde_json::from_str(data)?, json)?,
            },
            News::Away(reason) => terminal::complain(&format!("{base} is away ({reason}); waiting for it to come back")),
            News::Back => terminal::complain(&format!("{base} is back, going on from where it was")),
        }
        Ok(ControlFlow::Continue(()))
    })?;
    if end == End::Told {
        terminal::complain("the service has ended this stream");
    }
    Ok(Exit::Clean)
}

fn show(out: &mut Out, data: &Data, json: bool) -> anyhow::Result<()> {
    let text = if json { serde_json::to_string(data)? } else { painted(&data.line, data.continued, out.colour) };
    out.line(&text)
}

/// A record for people: coloured by its level, JSON as a line of text, what follows the first line of little weight.
fn painted(record: &str, continued: bool, colour: bool) -> String {
    let record = Record::parse(record.as_bytes()).map_or_else(|| without_colours(record), |json| json.to_string());
    let level = line::level(record.as_bytes());
    let mut painted = String::with_capacity(record.len() + 32);
    for (number, line) in record.lines().enumerate() {
        if number > 0 {
            painted.push('\n');
        }
        if number > 0 || continued {
            Paint::Dim.add(&mut painted, &plain(line), colour);
            continue;
        }
        let word = line::head(line.as_bytes()).and_then(|head| head.word);
        let parts = word.and_then(|at| Some((line.get(..at.start)?, line.get(at.clone())?, line.get(at.end..)?)));
        match parts {
            Some((before, word, after)) => {
                Paint::Dim.add(&mut painted, &plain(before), colour);
                paint(level).add(&mut painted, &plain(word), colour);
                painted.push_str(&plain(after));
            }
            None => paint(level).add(&mut painted, &plain(line), colour),
        }
    }
    painted
}

fn plain(text: &str) -> String {
    harmless(&text.replace('\t', "    "))
}

fn paint(level: Option<Level>) -> Paint {
    match level {
        None => Paint::Plain,
        Some(Level::Trace | Level::Debug) => Paint::Dim,
        Some(Level::Info) => Paint::Green,
        Some(Level::Warning) => Paint::Yellow,
        Some(Level::Error) => Paint::Red,
        Some(Level::Critical) => Paint::Alarm,
    }
}

/// Without the colours that the engine's logger has written.
fn without_colours(text: &str) -> String {
    let mut parts = text.split("\x1b[");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(|c: char| !c.is_ascii_digit() && c != ';');
        match end.and_then(|end| part.get(end..)?.strip_prefix('m')) {
            Some(rest) => out.push_str(rest),
            None => {
                out.push_str("\x1b[");
                out.push_str(part);
            }
        }
    }
    out
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

    #[test]
    fn arguments_become_query_parameters_by_the_names_of_the_api() {
        let Command { args } = Command::parse_from("logs fno -f --level error --q M&M -n 5".split(' '));
        let query: Vec<String> = args.query().iter().map(|(key, value)| format!("{key}={value}")).collect();
        assert_eq!(query.join(" "), "engine=fno lines=5 level=error q=M&M follow=true");
    }

    #[test]
    fn a_record_is_coloured_by_its_level_and_plain_without_colours() {
        let record = "2024-08-05 09:29:59 [WARNING] e - Failed\nTraceback\n\tfile";
        assert_eq!(painted(record, false, false), "2024-08-05 09:29:59 [WARNING] e - Failed\nTraceback\n    file");
        assert!(painted(record, false, true).contains("[\x1b[0m\x1b[33mWARNING\x1b[0m] e - Failed\n\x1b[2mTraceback\x1b[0m"));
        assert_eq!(painted("Traceback\n", true, true), "\x1b[2mTraceback\x1b[0m", "what goes on with it");
    }

    #[test]
    fn json_and_coloured_logs_read_like_text() {
        let json = r#"{"ts": "t", "level": "ERROR", "logger": "e", "message": "m", "exc_info": "Traceback\n  x"}"#;
        assert_eq!(painted(json, false, false), "t [ERROR] e - m\nTraceback\n  x");
        assert_eq!(painted("\x1b[2m09:00:00\x1b[0m \x1b[32mINFO\x1b[0m a", false, false), "09:00:00 INFO a");
    }

    #[test]
    fn nothing_that_a_log_says_steers_the_terminal() {
        for record in
            ["09:00:00 INFO \x1b[2J\x07", "{\"level\":\"INFO\",\"message\":\"\\u001b]0;x\\u0007\"}", "\x1b[31;x\u{202e}"]
        {
            assert!(!painted(record, false, false).chars().any(|c| c.is_control() || c == '\u{202e}'), "{record:?}");
        }
    }
}
