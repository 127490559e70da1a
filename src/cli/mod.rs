//! The command line: one file a command, and the few things they share.
//!
//! Exit codes: 0 clean, 1 failure, 2 wrong usage or configuration, 3 forced stop.

mod client;
mod delivery;
mod demo;
mod documents;
mod engines;
mod fields;
mod follow;
mod interrupt;
mod logs;
mod pace;
mod publish;
mod recording;
mod render;
mod replay;
mod risk;
mod serve;
mod sse;
mod tail;
mod terminal;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

const EXAMPLES: &str = "\
Examples:
  plimsoll                                    the service, on http://127.0.0.1:8765
  plimsoll demo                               the service with simulated engines, and what they say
  plimsoll tail --event-type order_event      a live view of orders; resumes by itself
  plimsoll engines --watch                    which engine lives, which is ill, which is silent
  plimsoll logs fno -f --level warning        the log of an engine as it grows
  plimsoll risk --watch                       how much of each limit is used
  plimsoll risk halt --reason 'bad feed'      stop all trading, until somebody resumes it
  plimsoll publish order_event order_id=1 symbol=NIFTY side=BUY status=filled qty=50 price=19755.0
  plimsoll replay artifacts/samples/session.ndjson --speed 10
  curl -N http://127.0.0.1:8765/api/telemetry/stream

Environment:
  PLIMSOLL_URL               the service that client commands talk to, as --url
  PLIMSOLL_SECTION__KEY      any key of the configuration, such as PLIMSOLL_HTTP__LISTEN
  NO_COLOR                   no colours

Exit codes: 0 clean, 1 failure, 2 wrong usage or configuration, 3 forced stop.";

/// The load line for trading systems: journals the events of trading engines and streams them live.
///
/// Without a command it serves.
#[derive(Debug, Parser)]
#[command(name = "plimsoll", version, after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(flatten)]
    serve: serve::Args,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the service (the default)
    Serve(serve::Args),
    /// Show events as they happen
    Tail(tail::Args),
    /// Show how the engines are
    Engines(engines::Args),
    /// Show the log of an engine
    Logs(logs::Args),
    /// Show how near the limits are; set limits, stop and resume trading
    Risk(risk::Args),
    /// Publish one event from arguments, or many from standard input
    Publish(publish::Args),
    /// Post a recording with its original spacing, or as fast as the service takes it
    Replay(replay::Args),
    /// Run the service with simulated engines and show what they say
    Demo(demo::Args),
}

/// How a command ended, when it has already said everything there was to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Everything asked for was done.
    Clean,
    /// Something was not.
    Failed,
    /// The arguments or the configuration are wrong.
    Usage,
    /// Stopped before it was done stopping.
    Forced,
}

impl Exit {
    /// The process exit code.
    pub fn code(self) -> u8 {
        match self {
            Self::Clean => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Forced => 3,
        }
    }
}

/// An error of the person who typed the command; ends with exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(pub String);

/// Reads the arguments, runs the command, answers the exit code.
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    let outcome = match cli.command {
        None => serve::run(&cli.serve),
        Some(Command::Serve(args)) => serve::run(&args),
        Some(Command::Tail(args)) => tail::run(&args),
        Some(Command::Engines(args)) => engines::run(&args),
        Some(Command::Logs(args)) => logs::run(&args),
        Some(Command::Risk(args)) => risk::run(&args),
        Some(Command::Publish(args)) => publish::run(&args),
        Some(Command::Replay(args)) => replay::run(&args),
        Some(Command::Demo(args)) => demo::run(&args),
    };
    ExitCode::from(exit_of(outcome).code())
}

fn exit_of(outcome: anyhow::Result<Exit>) -> Exit {
    let error = match outcome {
        Ok(exit) => return exit,
        Err(error) => error,
    };
    if error.is::<terminal::StdoutClosed>() {
        // the reader of a pipe has seen enough, as in `plimsoll tail | head`
        return Exit::Clean;
    }
    terminal::complain(&format!("{error:#}"));
    if error.is::<UsageError>() { Exit::Usage } else { Exit::Failed }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_definition_of_the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn no_command_means_serve_and_takes_its_flags() {
        let cli = Cli::try_parse_from(["plimsoll", "--listen", "127.0.0.1:0"]).expect("accepted");
        assert!(cli.command.is_none());
        assert_eq!(cli.serve.flags().listen.as_deref(), Some("127.0.0.1:0"));
        let cli = Cli::try_parse_from(["plimsoll", "serve", "--artifacts", "/tmp/a"]).expect("accepted");
        assert!(matches!(cli.command, Some(Command::Serve(args)) if args.flags().artifacts.is_some()));
    }

    #[test]
    fn wrong_usage_is_exit_code_2_and_help_is_0() {
        for args in [
            &["plimsoll", "--nonsense"][..],
            &["plimsoll", "sail"],
            &["plimsoll", "replay"],
            &["plimsoll", "replay", "f", "--speed", "0"],
            &["plimsoll", "replay", "f", "--speed", "NaN"],
            &["plimsoll", "tail", "--severity", "loud"],
            &["plimsoll", "tail", "--replay", "5001"],
            &["plimsoll", "tail", "--url", "ftp://x"],
            &["plimsoll", "engines", "--interval", "0"],
            &["plimsoll", "logs"],
            &["plimsoll", "logs", "fno", "--lines", "5001"],
            &["plimsoll", "logs", "fno", "--level", "loud"],
            &["plimsoll", "risk", "set"],
            &["plimsoll", "risk", "set", "max_trades_per_day"],
            &["plimsoll", "risk", "set", "max_trades_per_day=many"],
            &["plimsoll", "risk", "halt"],
            &["plimsoll", "risk", "stop"],
            &["plimsoll", "risk", "var", "--days", "x"],
            &["plimsoll", "publish"],
            &["plimsoll", "publish", "order_event", "no-equals-sign"],
            &["plimsoll", "publish", "order_event", "--data", "{\"cut\":"],
            &["plimsoll", "demo", "--rate", "-1"],
        ] {
            assert_eq!(Cli::try_parse_from(args).expect_err("refused").exit_code(), 2, "{args:?}");
        }
        assert_eq!(Cli::try_parse_from(["plimsoll", "--help"]).expect_err("help").exit_code(), 0);
    }

    #[test]
    fn errors_become_the_exit_codes_of_the_contract() {
        assert_eq!(exit_of(Ok(Exit::Forced)).code(), 3);
        assert_eq!(exit_of(Err(anyhow::anyhow!("broken"))).code(), 1);
        assert_eq!(exit_of(Err(UsageError("which?".into()).into())).code(), 2);
        assert_eq!(exit_of(Err(terminal::StdoutClosed.into())).code(), 0);
    }
}
