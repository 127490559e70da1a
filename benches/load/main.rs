//! The load generator: the real service under load, beside three baselines that do the same work in the same run.
//!
//! `cargo bench --bench load -- [--short|--full|--smoke] [--only SCENARIO,...] [--json]` prints a table and, as the last line,
//! all figures as JSON. `BENCHMARKS.md` says what is measured and how.

mod audience;
mod axum_server;
mod client;
mod limit_server;
mod machine;
mod plan;
mod posters;
mod process;
mod publisher;
mod report;
mod role;
mod scenarios;
mod service;
mod stats;
mod subscriber;
mod targets;
mod wire;

use std::process::ExitCode;

use anyhow::{Context as _, Result};

use machine::Machine;
use plan::{Args, USAGE};
use role::Role;
use scenarios::Bench;

/// The service's own, so that the baselines do not lose by a slower one.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("load: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    // 10,000 sockets in one process
    rlimit::increase_nofile_limit(20_000)?;
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, part, ..] = arguments.as_slice()
        && flag == role::FLAG
    {
        return match Role::of(part)? {
            Role::Subscriber => subscriber::run(),
            Role::Limit => limit_server::run(),
            Role::Axum => axum_server::run(),
        };
    }
    let args = Args::parse(arguments.into_iter()).context(USAGE)?;
    let machine = Machine::look()?;
    let mut bench = Bench::new(args.plan);
    bench.run(&args.only)?;
    let seconds = bench.begin.elapsed().as_secs_f64();
    let json = bench.report.to_json(bench.plan.name, &machine, seconds);
    if !args.json {
        println!("{}, {} in {seconds:.0} s", machine.to_line(), bench.plan.name);
        println!("{}", bench.report.to_table());
    }
    println!("{json}");
    Ok(())
}
