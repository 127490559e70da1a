//! The servers under test: the real service and the three baselines, each a process of its own.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use tempfile::TempDir;

use crate::process::Process;
use crate::role::Role;

/// Who does the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The service itself.
    Plimsoll,
    /// A server without features.
    Limit,
    /// axum with a broadcast channel.
    Axum,
    /// FastAPI with a deque and a generator that polls.
    Prototype,
}

impl Kind {
    pub const ALL: [Self; 4] = [Self::Plimsoll, Self::Limit, Self::Axum, Self::Prototype];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Plimsoll => "plimsoll",
            Self::Limit => "limit",
            Self::Axum => "axum",
            Self::Prototype => "prototype",
        }
    }
}

/// Dotted keys and YAML values over the built-in configuration; only the real service has one.
pub type Settings<'a> = &'a [(&'a str, &'a str)];

/// How long a server may take to be ready.
const START: Duration = Duration::from_secs(60);

/// A running server.
#[derive(Debug)]
pub struct Server {
    pub kind: Kind,
    pub process: Process,
    pub address: SocketAddr,
    /// From the start of the process to its ready line.
    pub ready_after: Duration,
    /// The real service's configuration and journal; where every server's stderr goes.
    folder: TempDir,
    listen: String,
}

impl Server {
    pub fn start(kind: Kind, settings: Settings<'_>) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        std::fs::write(folder.path().join("config.yaml"), yaml(settings))?;
        let listen = "127.0.0.1:0".to_owned();
        let (process, address, ready_after) = launch(kind, &folder, &listen)?;
        Ok(Self { kind, process, address, ready_after, folder, listen })
    }

    /// Starts it again with what it left on disk; it must have ended.
    pub fn start_again(&mut self) -> Result<()> {
        (self.process, self.address, self.ready_after) = launch(self.kind, &self.folder, &self.listen)?;
        Ok(())
    }

    /// A number of the real service's `/api/telemetry/stats`.
    pub fn stat(&self, key: &str) -> Result<f64> {
        let body = self.get("/api/telemetry/stats")?;
        let at = body.find(&format!("\"{key}\":")).with_context(|| format!("{key} in the stats"))? + key.len() + 3;
        let number = body.get(at..).unwrap_or_default().split([',', '}']).next().unwrap_or_default();
        Ok(number.trim().parse()?)
    }

    /// The answer to a GET, head and body.
    pub fn get(&self, target: &str) -> Result<String> {
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        stream.write_all(format!("GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n").as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }

    /// Waits until the real service counts so many subscribers.
    pub fn wait_for_subscribers(&self, count: usize, patience: Duration) -> Result<bool> {
        let deadline = Instant::now() + patience;
        loop {
            if self.stat("subscribers")? as usize == count {
                return Ok(true);
            }
            if Instant::now() > deadline {
                return Ok(false);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn launch(kind: Kind, folder: &TempDir, listen: &str) -> Result<(Process, SocketAddr, Duration)> {
    let log = folder.path().join("stderr.log");
    let mut command = match kind {
        Kind::Plimsoll => {
            let mut command = Command::new(env!("CARGO_BIN_EXE_plimsoll"));
            command.args(["serve", "--listen", listen]).arg("--config").arg(folder.path().join("config.yaml"));
            command.arg("--artifacts").arg(folder.path().join("artifacts"));
            command
        }
        Kind::Limit => Role::Limit.command()?,
        Kind::Axum => Role::Axum.command()?,
        Kind::Prototype => {
            let mut command = Command::new(python());
            command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/benches/prototype.py"));
            command
        }
    };
    command.stderr(File::options().create(true).append(true).open(&log)?);
    let begin = Instant::now();
    let process = Process::start(&mut command, |_| false)?;
    let said = process.line(START).with_context(|| {
        let log = std::fs::read_to_string(&log).unwrap_or_default();
        format!("{} is not ready: {}", kind.name(), log.lines().last().unwrap_or_default())
    })?;
    let ready_after = begin.elapsed();
    let (_, address) = said.rsplit_once("http://").context("an address in the ready line")?;
    Ok((process, address.trim().parse()?, ready_after))
}

/// The configuration file: the given keys, and logs that do not count as work.
fn yaml(settings: Settings<'_>) -> String {
    let mut sections = std::collections::BTreeMap::<&str, String>::new();
    for (key, value) in [("log.level", "warn")].iter().chain(settings) {
        let (section, name) = key.split_once('.').unwrap_or((key, ""));
        sections.entry(section).or_default().push_str(&format!("  {name}: {value}\n"));
    }
    sections.iter().map(|(section, lines)| format!("{section}:\n{lines}")).collect()
}

fn python() -> PathBuf {
    std::env::var_os("PLIMSOLL_BENCH_PYTHON").map_or_else(|| "python3".into(), PathBuf::from)
}

/// Why the prototype cannot run here, if it cannot.
pub fn prototype_missing() -> Option<String> {
    let tried = Command::new(python()).args(["-c", "import fastapi, uvicorn"]).output();
    match tried {
        Ok(output) if output.status.success() => None,
        Ok(_) => Some("no fastapi and uvicorn for python3; PLIMSOLL_BENCH_PYTHON names another one".into()),
        Err(error) => Some(format!("no python3: {error}")),
    }
}
