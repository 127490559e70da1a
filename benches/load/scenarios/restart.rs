//! How soon the service is ready again with a long journal.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::{Bench, Measured};
use crate::posters::{self, Posting};
use crate::report::OURS;
use crate::service::{Kind, Server};
use crate::wire::{Form, request};

const NAME: &str = "restart";

pub fn run(bench: &mut Bench) {
    let measured = measure(bench.plan.restart_events);
    bench.add(NAME, "journal", OURS, measured);
}

fn measure(events: usize) -> Result<Measured> {
    let mut server = Server::start(Kind::Plimsoll, &[])?;
    let lines = (events / 10).max(1);
    let request = request(Form::Ndjson, lines);
    let (mut posted, mut seconds) = (0, 0.0);
    while posted < events {
        let posting =
            Posting { address: server.address, connections: 1, request: &request, events: lines as u64, time: Duration::ZERO };
        let outcome = posters::run(&posting)?;
        ensure!(outcome.refused == 0, "a post was refused");
        posted += lines;
        seconds += outcome.seconds;
    }
    server.process.terminate(Duration::from_secs(30))?;
    server.start_again()?;
    let (clean, held) = (server.ready_after, server.stat("events")?);
    ensure!(held as usize == posted, "{held} of {posted} events are in the journal");
    server.process.kill()?;
    server.start_again()?;
    let killed = server.ready_after;
    Ok(vec![
        ("ready s", clean.as_secs_f64()),
        ("ready s after kill", killed.as_secs_f64()),
        ("events", held),
        ("filled events/s", posted as f64 / seconds),
    ]
    .into())
}
