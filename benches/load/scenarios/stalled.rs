//! Clients that stop reading, among many that go on.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::fanout::ARRIVAL;
use super::low::latencies;
use super::{Bench, Measured};
use crate::audience::{Audience, Wants};
use crate::posters::{self, Posting};
use crate::publisher::Publisher;
use crate::report::OURS;
use crate::service::{Kind, Server};
use crate::stats::Delivered;
use crate::wire::{Form, request};

const NAME: &str = "stalled";
const STALLED: usize = 50;

/// Events that fill the ring and the journal's cache first: what they hold is not a client's.
const FILLING: usize = 200_000;

/// Fast enough that a stalled client's socket is full within a second or two.
const RATE: f64 = 500.0;

pub fn run(bench: &mut Bench) {
    match measure(bench) {
        Ok((without, with)) => {
            bench.add(NAME, "without", OURS, Ok(without));
            bench.add(NAME, "with 50", OURS, Ok(with));
        }
        Err(error) => bench.add(NAME, "with 50", OURS, Err(error)),
    }
}

/// The same rate without them, with them, and without them again.
fn measure(bench: &Bench) -> Result<(Measured, Measured)> {
    let clients = bench.plan.storm_clients.min(1_000);
    let time = bench.plan.stalled_time;
    let server = Server::start(Kind::Plimsoll, &[("sse.stall_timeout", "2s")])?;
    fill(&server)?;
    let mut audience = Audience::gather(server.address, clients, Wants::ALL)?;
    let mut publisher = Publisher::connect(server.address)?;
    let _warm = follow(&mut audience, &mut publisher, time / 5)?;
    let mut without = follow(&mut audience, &mut publisher, time / 2)?;
    let before = server.process.memory()?;
    let stalled = Audience::gather(server.address, STALLED, Wants { stalled: true, ..Wants::ALL })?;
    let opened = server.wait_for_subscribers(clients + STALLED, Duration::from_secs(5))?;
    ensure!(opened, "the stalled clients did not connect");
    let with = follow(&mut audience, &mut publisher, time)?;
    let peak = server.process.memory()?;
    let gone = server.wait_for_subscribers(clients, Duration::from_secs(10))?;
    let closed = (clients + STALLED) as f64 - server.stat("subscribers")?;
    let counted = server.stat("stalled_clients")? + server.stat("slow_clients")?;
    drop(stalled);
    without.merge(&follow(&mut audience, &mut publisher, time / 2)?)?;
    let after = server.process.memory()?;
    let mut figures = latencies(&with);
    figures.extend([
        ("stalled closed", closed),
        ("counted", counted),
        ("MiB before", before / 1024.0),
        ("MiB with", peak / 1024.0),
        ("MiB after", after / 1024.0),
        ("memory after/before", after / before),
    ]);
    let note = (!gone).then(|| "stalled clients were still connected at the end".to_owned());
    Ok((latencies(&without).into(), Measured { figures, note }))
}

fn fill(server: &Server) -> Result<()> {
    let request = request(Form::Ndjson, FILLING);
    let posting =
        Posting { address: server.address, connections: 1, request: &request, events: FILLING as u64, time: Duration::ZERO };
    let posted = posters::run(&posting)?;
    ensure!(posted.refused == 0, "the first events were refused");
    Ok(())
}

fn follow(audience: &mut Audience, publisher: &mut Publisher, time: Duration) -> Result<Delivered> {
    audience.begin(publisher.next)?;
    let first = publisher.next;
    publisher.open_loop(RATE, time)?;
    audience.settle((publisher.next - first) * audience.clients as u64, ARRIVAL);
    audience.report(publisher.next)
}
