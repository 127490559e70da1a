//! The parts that this binary plays when it starts itself again.

use std::io::Write as _;
use std::process::Command;

use anyhow::{Context as _, Result};

/// The hidden argument that a role is behind.
pub const FLAG: &str = "--play";

/// What a process of this binary does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Subscriber,
    Limit,
    Axum,
}

impl Role {
    const fn name(self) -> &'static str {
        match self {
            Self::Subscriber => "subscriber",
            Self::Limit => "limit",
            Self::Axum => "axum",
        }
    }

    pub fn of(name: &str) -> Result<Self> {
        let found = [Self::Subscriber, Self::Limit, Self::Axum].into_iter().find(|role| role.name() == name);
        found.with_context(|| format!("no part is called {name:?}"))
    }

    /// This binary, told to play it.
    pub fn command(self) -> Result<Command> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args([FLAG, self.name()]);
        Ok(command)
    }
}

/// Ends this process when the one that started it is gone.
pub fn end_with_parent() {
    std::thread::spawn(|| {
        // nothing is ever sent: the read ends when the other end is closed
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(0);
    });
}

/// Says on stdout where a server listens.
pub fn say_ready(address: std::net::SocketAddr) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "ready on http://{address}")?;
    Ok(stdout.flush()?)
}
