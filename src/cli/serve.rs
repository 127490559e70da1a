//! `plimsoll serve`: the service in the foreground.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;

use plimsoll::app::{self, Stopped};
use plimsoll::config::{Config, Flags};

use super::{Exit, terminal};

/// Flags that win over the environment, which wins over the file.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub struct Args {
    /// Configuration file [default: configs/dev.yaml, if there is one]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Address to listen on; port 0 takes a free one [default: 127.0.0.1:8765]
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Option<String>,
    /// Folder of the data on disk, the journal among it [default: artifacts]
    #[arg(long, value_name = "DIR")]
    artifacts: Option<PathBuf>,
}

impl Args {
    /// As the configuration takes them.
    pub fn flags(&self) -> Flags {
        Flags { config: self.config.clone(), listen: self.listen.clone(), artifacts: self.artifacts.clone() }
    }
}

/// Serves until a signal has stopped the service.
pub fn run(args: &Args) -> anyhow::Result<Exit> {
    let Some(config) = load(args, &[]) else { return Ok(Exit::Usage) };
    app::init_logs(&config);
    serve(config, |_| ())
}

/// The configuration from file, environment and flags; its faults go to stderr.
///
/// `defaults` are environment entries that stand where the environment says nothing.
pub fn load(args: &Args, defaults: &[(&str, &str)]) -> Option<Config> {
    // entries that are not Unicode cannot be ours
    let given = std::env::vars_os().filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)));
    let defaults = defaults.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    let mut env: std::collections::BTreeMap<String, String> = defaults.collect();
    env.extend(given);
    match Config::load(&args.flags(), env) {
        Ok(config) => Some(config),
        Err(faults) => {
            terminal::complain(&faults.to_string());
            None
        }
    }
}

/// Runs the service; prints the ready line, then calls `ready`.
pub fn serve(config: Config, ready: impl FnOnce(SocketAddr)) -> anyhow::Result<Exit> {
    let outcome = app::serve(config, |address| {
        // whoever started the service may have closed its end of the pipe: no reason to stop
        let mut stdout = std::io::stdout().lock();
        let _ = writeln!(stdout, "{}", ready_line(address)).and_then(|()| stdout.flush());
        drop(stdout);
        ready(address);
    });
    Ok(match outcome? {
        Stopped::Clean => Exit::Clean,
        Stopped::Forced => Exit::Forced,
    })
}

fn ready_line(address: SocketAddr) -> String {
    format!("plimsoll {} ready on http://{address}", env!("CARGO_PKG_VERSION"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ready_line_has_the_address_as_a_url() {
        let line = ready_line("127.0.0.1:8765".parse().expect("an address"));
        assert_eq!(line, format!("plimsoll {} ready on http://127.0.0.1:8765", env!("CARGO_PKG_VERSION")));
    }
}
