//! `plimsoll tail`: a live view of the event stream.

use std::ops::ControlFlow;
use std::time::Duration;

use super::client::Target;
use super::follow::{End, Follow, News};
use super::render::{self, Look};
use super::terminal::{self, Out, Paint};
use super::{Exit, interrupt};

const EXAMPLES: &str = "\
Examples:
  plimsoll tail --replay 20
  plimsoll tail --event-type order_event,trade_closed --symbol NIFTY
  plimsoll tail --severity warning
  plimsoll tail --json --count 10 | jq .payload

Resumes by itself, without losing or doubling an event, when the connection breaks or the service restarts.";

/// What to show, and how.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    filters: Filters,
    /// Show this many past events first
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=5000))]
    replay: Option<u32>,
    /// Stop after this many events
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    /// Times in UTC instead of local time
    #[arg(long)]
    utc: bool,
    /// A connection that is silent for this long is dead; the service speaks every 15 s
    #[arg(long, value_name = "SECONDS", default_value_t = 45, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    read_timeout: u64,
    #[command(flatten)]
    target: Target,
}

/// Which events; several of one kind are alternatives, several kinds all apply.
#[derive(Debug, Default, clap::Args)]
pub struct Filters {
    /// Types, repeated or separated by commas
    #[arg(long, value_name = "TYPE", value_delimiter = ',')]
    event_type: Vec<String>,
    /// Only this symbol
    #[arg(long)]
    symbol: Option<String>,
    /// Only this strategy
    #[arg(long)]
    strategy: Option<String>,
    /// Only from this engine
    #[arg(long)]
    source: Option<String>,
    /// Only of this profile
    #[arg(long, value_name = "ID")]
    profile_id: Option<String>,
    /// At least this severe
    #[arg(long, value_parser = ["debug", "info", "warning", "error", "critical"])]
    severity: Option<String>,
}

impl Filters {
    /// As query parameters.
    pub fn query(&self) -> Vec<(String, String)> {
        let types = self.event_type.iter().map(|kind| ("event_type", kind));
        let others = [
            ("symbol", &self.symbol),
            ("strategy", &self.strategy),
            ("source", &self.source),
            ("profile_id", &self.profile_id),
            ("severity", &self.severity),
        ];
        let others = others.into_iter().filter_map(|(key, value)| Some((key, value.as_ref()?)));
        types.chain(others).map(|(key, value)| (key.to_owned(), value.clone())).collect()
    }
}

/// Shows events until interrupted, told to stop, or `--count` is reached.
pub fn run(args: &Args) -> anyhow::Result<Exit> {
    let client = args.target.client()?;
    let base = client.base().clone();
    interrupt::exit_on_signal()?;
    if args.count == Some(0) {
        return Ok(Exit::Clean);
    }
    let silence = Duration::from_secs(args.read_timeout);
    let mut view = View::new(args.utc, args.target.json);
    let mut left = args.count;
    let end = Follow::new(client, args.filters.query(), args.replay, silence).run(|news| {
        match news {
            News::Event(event) => {
                if view.show(event)? == Shown::Event {
                    left = left.map(|left| left.saturating_sub(1));
                }
            }
            News::Away(reason) => terminal::complain(&format!("{base} is away ({reason}); waiting for it to come back")),
            News::Back => terminal::complain(&format!("{base} is back, going on from where it was")),
        }
        Ok(if left == Some(0) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    if end == End::Told {
        terminal::complain("the service has ended this stream");
    }
    Ok(Exit::Clean)
}

/// Events on standard output.
#[derive(Debug)]
pub struct View {
    out: Out,
    look: Look,
    json: bool,
}

/// What a block of data was.
#[derive(Debug, PartialEq, Eq)]
pub enum Shown {
    /// An event.
    Event,
    /// The notice that events are missing.
    Gap,
}

impl View {
    /// A view as lines for people, or as JSON lines for programs.
    pub fn new(utc: bool, json: bool) -> Self {
        let out = Out::new();
        let look = Look { colour: out.colour, utc };
        Self { out, look, json }
    }

    /// Standard output, for lines that are no events.
    pub fn out(&mut self) -> &mut Out {
        &mut self.out
    }

    /// Shows one event, or the notice that some are missing.
    pub fn show(&mut self, event: &str) -> anyhow::Result<Shown> {
        let gap = render::is_gap(event);
        if self.json {
            self.out.line(event)?;
            if gap {
                terminal::complain(&render::gap(event));
            }
        } else if gap {
            let mut line = String::new();
            Paint::Alarm.add(&mut line, &format!("!! {} !!", render::gap(event)), self.look.colour);
            self.out.line(&line)?;
        } else {
            self.out.clipped(&render::line(event, self.look))?;
        }
        Ok(if gap { Shown::Gap } else { Shown::Event })
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

    #[test]
    fn filters_become_query_parameters_by_the_names_of_the_api() {
        let command = "tail --event-type a,b --event-type c --symbol M&M --profile-id 1 --severity error --source s --strategy t";
        let Command { args } = Command::parse_from(command.split(' '));
        let query = args.filters.query();
        let text: Vec<String> = query.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let expected = "event_type=a event_type=b event_type=c symbol=M&M strategy=t source=s profile_id=1 severity=error";
        assert_eq!(text.join(" "), expected);
        assert_eq!(args.read_timeout, 45);
    }
}
