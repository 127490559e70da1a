//! `plimsoll risk`: how near the limits are, and everything an operator may do about it.

mod limits;
mod status;
mod switch;
mod table;
mod var;

use std::time::Duration;

use plimsoll::domain::risk::operator;
use serde_json::Value;

use super::client::{Answer, Client, Target};
use super::interrupt::Interrupt;
use super::terminal::{self, Out};
use super::{Exit, UsageError};

const EXAMPLES: &str = "\
Examples:
  plimsoll risk                                    every limit and how much of it is used
  plimsoll risk --watch
  plimsoll risk set max_trades_per_day=15          override a limit; =null takes the override back
  plimsoll risk halt --reason 'feed is wrong'      also reduce and resume
  plimsoll risk var --method all --days 250
  plimsoll risk backtest --days 500
  plimsoll risk --json | jq '.limits[] | select(.state == \"breached\")'

Changes are made under the name in $USER.";

/// Cursor to the top left, and from there to the end of the screen nothing.
const CLEAR: &str = "\x1b[H\x1b[J";

/// What to show or to do.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub struct Args {
    /// Go on until interrupted
    #[arg(short, long)]
    watch: bool,
    /// With --watch: time between two looks
    #[arg(long, value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=3600))]
    interval: u64,
    #[command(flatten)]
    target: Target,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Show the limits and where each comes from
    Limits(limits::ShowArgs),
    /// Override limits, or take overrides back
    Set(limits::SetArgs),
    /// Show value at risk and expected shortfall
    Var(var::Args),
    /// Show how the forecasts of value at risk have done
    Backtest(var::BacktestArgs),
    /// Stop all trading
    Halt(switch::Args),
    /// Allow closing positions only
    Reduce(switch::Args),
    /// Allow trading again
    Resume(switch::Args),
}

/// Shows the status, or runs the subcommand.
pub fn run(args: &Args) -> anyhow::Result<Exit> {
    match &args.command {
        None => watch(args),
        Some(Command::Limits(args)) => limits::show(args),
        Some(Command::Set(args)) => limits::set(args),
        Some(Command::Var(args)) => var::run(args),
        Some(Command::Backtest(args)) => var::backtest(args),
        Some(Command::Halt(args)) => switch::run(args, "halted"),
        Some(Command::Reduce(args)) => switch::run(args, "reducing"),
        Some(Command::Resume(args)) => switch::run(args, "active"),
    }
}

fn watch(args: &Args) -> anyhow::Result<Exit> {
    let client = args.target.client()?;
    let mut out = Out::new();
    if !args.watch {
        show(&mut out, &get(&client, status::PATH, &[])?, args.target.json, status::lines)?;
        return Ok(Exit::Clean);
    }
    let interrupt = Interrupt::on_signal()?;
    let mut away = false;
    loop {
        match get(&client, status::PATH, &[]) {
            Ok(answer) => {
                away = false;
                if out.colour && !args.target.json {
                    out.line(CLEAR)?;
                }
                show(&mut out, &answer, args.target.json, status::lines)?;
            }
            // told once; it may come back
            Err(error) if !std::mem::replace(&mut away, true) => terminal::complain(&format!("{error:#}; trying again")),
            Err(_) => {}
        }
        if interrupt.sleep(Duration::from_secs(args.interval)) {
            return Ok(Exit::Clean);
        }
    }
}

/// Shows an answer as it is, or as `lines` for people.
fn show(out: &mut Out, answer: &Answer, json: bool, lines: impl Fn(&Value, bool) -> Vec<String>) -> anyhow::Result<()> {
    if json {
        return out.line(std::str::from_utf8(&answer.body)?.trim_end());
    }
    let body: Value = serde_json::from_slice(&answer.body)?;
    lines(&body, out.colour).iter().try_for_each(|line| out.clipped(line))
}

fn get(client: &Client, path: &str, query: &[(String, String)]) -> anyhow::Result<Answer> {
    let answer = client.get(path, query).map_err(|error| anyhow::anyhow!("{}: {error}", client.base()))?;
    good(answer)
}

/// Posts JSON under the name of whoever runs this.
fn post(client: &Client, path: &str, body: &str) -> anyhow::Result<Answer> {
    // a name that the service would refuse is left out: then it notes the address
    let user = std::env::var("USER").ok().filter(|user| operator::name(user).is_ok());
    let answer = client.post(path, body.as_bytes(), user.as_deref());
    good(answer.map_err(|error| anyhow::anyhow!("{}: {error}", client.base()))?)
}

fn good(answer: Answer) -> anyhow::Result<Answer> {
    if answer.status == 200 {
        return Ok(answer);
    }
    let faults: String = answer.problem().errors.iter().map(|fault| format!("\n  {fault}")).collect();
    anyhow::bail!("{}{faults}", answer.summary())
}

fn usage(text: impl Into<String>) -> anyhow::Error {
    UsageError(text.into()).into()
}
