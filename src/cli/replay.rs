//! `plimsoll replay`: posts a recording again.

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use super::Exit;
use super::client::Target;
use super::delivery::{Batch, Delivery, Refused, Tally, Undelivered};
use super::interrupt::Interrupt;
use super::pace::{Pace, Speed};
use super::recording::{self, Additions, Recording};
use super::terminal::{self, Out, grouped};

const HELP: &str = "\
Examples:
  plimsoll replay artifacts/samples/session.ndjson --speed 10
  plimsoll replay session.ndjson.gz --speed max
  plimsoll replay session.ndjson.gz --speed 60 --max-gap 5

Each event gets an event_id made of the file's name, the line's number and a hash of the line, unless it has one. So
nothing is lost or doubled when the service is busy or restarts in between, and a second run of the same file within
the service's window (24 h) publishes only what is new: the rest counts as duplicates. With --again the ids are new
with each run, and everything is published again (but for events that bring an event_id of their own).

An event keeps its timestamp. A top-level id, as in files exported from the service, is taken off. Ctrl-C ends with
the summary.";

/// What to replay, and how fast.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub struct Args {
    /// A recording: one JSON event a line, gzipped or not
    file: PathBuf,
    /// How many times as fast as recorded, or max
    #[arg(long, value_name = "N|max", default_value = "1")]
    speed: Speed,
    /// Cut silences, such as nights, to this many seconds of replay time
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    max_gap: Option<Duration>,
    /// Stop after this many events
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// The source of events that name none
    #[arg(long)]
    source: Option<String>,
    /// Publish everything again, whether or not a run before this one did
    #[arg(long)]
    again: bool,
    /// How long to wait for a service that is busy or restarting
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = seconds)]
    patience: Duration,
    #[command(flatten)]
    target: Target,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "must be a number of seconds".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

/// Events go out when this much is gathered, or the next one is not due yet.
const BATCH: usize = 1 << 20;
/// Events that are due this soon go out with those that are due now.
const SOON: Duration = Duration::from_millis(5);
/// Refused events that are named one by one.
const NAMED: u64 = 10;

/// Posts the recording and sums up; fails when anything was refused.
pub fn run(args: &Args) -> anyhow::Result<Exit> {
    let recording = Recording::open(&args.file).with_context(|| format!("cannot read {}", args.file.display()))?;
    let interrupt = Interrupt::on_signal()?;
    let delivery = Delivery::new(args.target.client()?, interrupt.clone(), args.patience);
    let began = Instant::now();
    let mut replay = Replay { bar: bar(recording.size), recording, delivery, interrupt, began, named: 0 };
    let outcome = replay.run(args);
    replay.bar.finish_and_clear();
    let interrupted = matches!(&outcome, Err(error) if matches!(error.downcast_ref(), Some(Undelivered::Interrupted)));
    let tally = replay.delivery.tally();
    if tally.rejected > replay.named {
        terminal::note(&format!("and {} more were refused", grouped(tally.rejected - replay.named)));
    }
    if outcome.is_ok() || interrupted || tally.events() > 0 {
        summarise(args, tally, began.elapsed(), interrupted)?;
    }
    if tally.duplicates > tally.resent && tally.accepted == 0 && !args.again {
        terminal::complain("nothing new: a run before this one has published these events; --again publishes them again");
    }
    match outcome {
        Err(error) if !interrupted => Err(error),
        _ if tally.rejected > 0 => Ok(Exit::Failed),
        _ => Ok(Exit::Clean),
    }
}

struct Replay {
    recording: Recording,
    delivery: Delivery,
    interrupt: Interrupt,
    bar: ProgressBar,
    began: Instant,
    /// Refused events named so far.
    named: u64,
}

impl Replay {
    fn run(&mut self, args: &Args) -> anyhow::Result<()> {
        let mut label = recording::label(&args.file);
        if args.again {
            label = format!("{label}:{:08x}", fastrand::u32(..));
        }
        let additions = Additions::new(label, args.source.clone());
        let mut pace = Pace::new(args.speed, args.max_gap);
        let (mut line, mut event, mut batch) = (Vec::new(), Vec::new(), Batch::default());
        let mut left = args.limit.unwrap_or(u64::MAX);
        while left > 0 {
            let number = match self.recording.next_line(&mut line) {
                Ok(Some(number)) => number,
                Ok(None) => break,
                Err(error) => {
                    // what was read before the file turned out to be damaged is good
                    self.send(&mut batch)?;
                    return Err(error).with_context(|| format!("cannot read on in {}", args.file.display()));
                }
            };
            left -= 1;
            event.clear();
            let due = pace.due(additions.apply(&line, number, &mut event));
            let early = due.saturating_sub(self.began.elapsed());
            if early > SOON || batch.body.len() + event.len() > BATCH {
                self.send(&mut batch)?;
            }
            let early = due.saturating_sub(self.began.elapsed());
            if early > SOON && self.interrupt.sleep(early) {
                return Err(Undelivered::Interrupted.into());
            }
            batch.body.extend_from_slice(&event);
            batch.body.push(b'\n');
            batch.origins.push(number);
        }
        self.send(&mut batch)
    }

    fn send(&mut self, batch: &mut Batch) -> anyhow::Result<()> {
        if self.interrupt.is_set() {
            return Err(Undelivered::Interrupted.into());
        }
        if batch.origins.is_empty() {
            return Ok(());
        }
        let refused = self.delivery.deliver(batch)?;
        self.bar.suspend(|| self.named += name(refused, NAMED - self.named));
        batch.clear();
        self.bar.set_position(self.recording.consumed());
        let tally = self.delivery.tally();
        self.bar.set_message(format!(
            "{} events, {}/s, {} rejected",
            grouped(tally.events()),
            grouped(rate(tally.events(), self.began.elapsed())),
            grouped(tally.rejected)
        ));
        Ok(())
    }
}

/// Names the first `most` refused events on stderr and answers how many that were.
fn name(refused: Vec<Refused>, most: u64) -> u64 {
    let mut named = 0;
    for Refused { origin, faults } in refused.into_iter().take(usize::try_from(most).unwrap_or(usize::MAX)) {
        named += 1;
        for fault in faults {
            terminal::note(&format!("line {origin}: {fault}"));
        }
    }
    named
}

fn bar(size: u64) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:24} {bytes}/{total_bytes}  {msg}");
    ProgressBar::new(size).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// Events a second.
fn rate(events: u64, time: Duration) -> u64 {
    let millis = time.as_millis().max(1);
    u64::try_from(u128::from(events) * 1000 / millis).unwrap_or(u64::MAX)
}

fn summarise(args: &Args, tally: &Tally, time: Duration, interrupted: bool) -> anyhow::Result<()> {
    let events = tally.events();
    if args.target.json {
        let summary = json!({
            "file": args.file.display().to_string(), "events": events, "accepted": tally.accepted,
            "duplicates": tally.duplicates, "resent": tally.resent, "rejected": tally.rejected,
            "first_id": tally.first_id, "last_id": tally.last_id,
            "seconds": time.as_secs_f64(), "interrupted": interrupted,
        });
        return Out::new().line(&summary.to_string());
    }
    let resent = match tally.resent {
        0 => String::new(),
        resent => format!(" ({} of them were sent twice by this replay, since an answer was lost)", grouped(resent)),
    };
    Out::new().line(&format!(
        "{}{} events in {:.1} s ({}/s): accepted {}, duplicates {}{resent}, rejected {}",
        if interrupted { "interrupted: " } else { "" },
        grouped(events),
        time.as_secs_f64(),
        grouped(rate(events, time)),
        grouped(tally.accepted),
        grouped(tally.duplicates),
        grouped(tally.rejected),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_and_seconds_are_bounded() {
        assert_eq!(rate(54_317, Duration::from_secs(2)), 27_158);
        assert_eq!(rate(10, Duration::ZERO), 10_000);
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        for text in ["-1", "NaN", "1e300", "soon"] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }
}
