//! What a run does: its arguments, sizes and times.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};

/// How much of everything.
#[derive(Debug, Clone)]
pub struct Plan {
    pub name: &'static str,
    /// Clients of the fan-out, one measurement each.
    pub fanout_clients: Vec<usize>,
    pub ingest_time: Duration,
    pub ndjson_lines: usize,
    /// A closed loop.
    pub throughput_time: Duration,
    /// Rates that are tried for the largest sustainable one, and how long each.
    pub steps: usize,
    pub step_time: Duration,
    /// An open loop at a fixed rate.
    pub latency_time: Duration,
    pub stalled_time: Duration,
    pub storm_clients: usize,
    /// Clients that only wait, and clients with filters.
    pub many_clients: usize,
    pub restart_events: usize,
}

impl Plan {
    /// Under three minutes.
    fn short() -> Self {
        Self {
            name: "short",
            fanout_clients: vec![1, 100, 1_000, 10_000],
            ingest_time: Duration::from_millis(400),
            ndjson_lines: 50_000,
            throughput_time: Duration::from_millis(800),
            steps: 4,
            step_time: Duration::from_millis(800),
            latency_time: Duration::from_secs(2),
            stalled_time: Duration::from_secs(4),
            storm_clients: 2_000,
            many_clients: 10_000,
            restart_events: 1_000_000,
        }
    }

    /// Under twenty minutes.
    fn full() -> Self {
        Self {
            name: "full",
            ingest_time: Duration::from_secs(3),
            ndjson_lines: 250_000,
            throughput_time: Duration::from_secs(4),
            steps: 7,
            step_time: Duration::from_secs(3),
            latency_time: Duration::from_secs(10),
            stalled_time: Duration::from_secs(12),
            storm_clients: 10_000,
            ..Self::short()
        }
    }

    /// Seconds, also in an unoptimised build: shows that everything runs, measures nothing.
    fn smoke() -> Self {
        Self {
            name: "smoke",
            fanout_clients: vec![1, 20],
            ingest_time: Duration::from_millis(100),
            ndjson_lines: 2_000,
            throughput_time: Duration::from_millis(200),
            steps: 2,
            step_time: Duration::from_millis(200),
            latency_time: Duration::from_millis(500),
            stalled_time: Duration::from_secs(4),
            storm_clients: 50,
            many_clients: 100,
            restart_events: 10_000,
        }
    }
}

/// The command line.
#[derive(Debug)]
pub struct Args {
    pub plan: Plan,
    /// Names of scenarios; empty for all.
    pub only: Vec<String>,
    /// Only the JSON line.
    pub json: bool,
}

pub const USAGE: &str = "cargo bench --bench load -- [--short|--full|--smoke] [--only SCENARIO,...] [--json]";

impl Args {
    /// Reads the arguments behind the program's name.
    pub fn parse(arguments: impl Iterator<Item = String>) -> Result<Self> {
        let mut args = Self { plan: Plan::short(), only: Vec::new(), json: false };
        let mut arguments = arguments;
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                // cargo's own
                "--bench" => {}
                "--short" => args.plan = Plan::short(),
                "--full" => args.plan = Plan::full(),
                "--smoke" => args.plan = Plan::smoke(),
                "--json" => args.json = true,
                "--only" => {
                    let names = arguments.next().context("--only needs names")?;
                    args.only.extend(names.split(',').map(str::to_owned));
                }
                other => bail!("unknown argument {other:?}"),
            }
        }
        Ok(args)
    }
}
