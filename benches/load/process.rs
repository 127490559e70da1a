//! A process of this run: started, looked at through /proc, and ended by its own id.

use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use std::io::{BufRead as _, BufReader};

use anyhow::{Context as _, Result, bail};

/// A child with its output being read, so that it never waits on a full pipe.
#[derive(Debug)]
pub struct Process {
    child: Child,
    /// Lines of stdout.
    lines: Receiver<String>,
    ticks_per_second: f64,
}

impl Process {
    /// Starts `command`; `hook` sees each line of its stdout first, and keeps the ones that it takes.
    pub fn start(command: &mut Command, hook: impl Fn(&str) -> bool + Send + 'static) -> Result<Self> {
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("PLIMSOLL_")) {
            command.env_remove(name);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("{} does not start", command.get_program().display()))?;
        let stdout = BufReader::new(child.stdout.take().context("stdout is a pipe")?);
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if !hook(&line) && sender.send(line).is_err() {
                    break;
                }
            }
        });
        Ok(Self { child, lines, ticks_per_second: ticks_per_second() })
    }

    /// The next line of its stdout.
    pub fn line(&self, patience: Duration) -> Result<String> {
        self.lines.recv_timeout(patience).map_err(|error| match error {
            RecvTimeoutError::Timeout => anyhow::anyhow!("no answer within {patience:?}"),
            RecvTimeoutError::Disconnected => anyhow::anyhow!("the process ended"),
        })
    }

    /// Where its commands go; it ends by itself when this is gone.
    pub fn stdin(&mut self) -> Result<&mut std::process::ChildStdin> {
        self.child.stdin.as_mut().context("stdin is a pipe")
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// CPU seconds that it has used, its threads together; to a hundredth.
    pub fn cpu_seconds(&self) -> Result<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid()))?;
        // the name, in parentheses, may hold anything
        let (_, fields) = stat.rsplit_once(')').context("a name in /proc/pid/stat")?;
        let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<f64>).sum::<Result<f64, _>>()?;
        Ok(ticks / self.ticks_per_second)
    }

    /// Resident memory in KiB.
    pub fn memory(&self) -> Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("VmRSS in /proc/pid/status")?;
        Ok(line.trim().trim_end_matches("kB").trim().parse()?)
    }

    /// Asks it to stop, and waits until it has.
    pub fn terminate(&mut self, patience: Duration) -> Result<()> {
        let sent = Command::new("kill").args(["-TERM", &self.pid().to_string()]).status()?;
        if !sent.success() {
            bail!("SIGTERM was not delivered");
        }
        let deadline = Instant::now() + patience;
        while self.child.try_wait()?.is_none() {
            if Instant::now() > deadline {
                bail!("it did not stop within {patience:?}");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Ends it at once, as kill -9 does.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|status| status.is_none()) {
            drop(self.child.kill());
            drop(self.child.wait());
        }
    }
}

/// The unit of CPU times in /proc.
fn ticks_per_second() -> f64 {
    let told = Command::new("getconf").arg("CLK_TCK").output().ok().and_then(|output| String::from_utf8(output.stdout).ok());
    told.and_then(|text| text.trim().parse().ok()).unwrap_or(100.0)
}
