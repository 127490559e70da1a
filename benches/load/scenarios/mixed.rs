//! Posts from everywhere while a stream is followed: both go to the same clients.

use anyhow::{Result, anyhow};

use super::fanout::ARRIVAL;
use super::low::latencies;
use super::{Bench, Measured};
use crate::audience::{Audience, Wants};
use crate::plan::Plan;
use crate::posters::{self, Posting};
use crate::publisher::Publisher;
use crate::service::{Kind, Server};
use crate::wire::{Form, request};

const NAME: &str = "mixed";
const CASE: &str = "100 clients, 16 posters";
const CLIENTS: usize = 100;

pub fn run(bench: &mut Bench) {
    for kind in Kind::ALL {
        if let Some(why) = bench.missing(kind) {
            bench.left_out(NAME, CASE, kind, why);
            continue;
        }
        let measured = measure(&bench.plan, kind);
        bench.add(NAME, CASE, kind.name(), measured);
    }
}

fn measure(plan: &Plan, kind: Kind) -> Result<Measured> {
    let server = Server::start(kind, &[])?;
    let mut audience = Audience::gather(server.address, CLIENTS, Wants::ALL)?;
    let mut publisher = Publisher::connect(server.address)?;
    let request = request(Form::Single, 1);
    let posting = Posting { address: server.address, connections: 16, request: &request, events: 1, time: plan.latency_time };
    audience.begin(publisher.next)?;
    let (first, cpu) = (publisher.next, server.process.cpu_seconds()?);
    let posted = std::thread::scope(|scope| {
        let posters = scope.spawn(|| posters::run(&posting));
        publisher.open_loop(100.0, plan.latency_time)?;
        posters.join().map_err(|_| anyhow!("the posters panicked"))?
    })?;
    audience.settle((publisher.next - first) * CLIENTS as u64, ARRIVAL);
    let cpu = server.process.cpu_seconds()? - cpu;
    let delivered = audience.report(publisher.next)?;
    let mut figures = vec![
        ("posted events/s", posted.events as f64 / posted.seconds),
        ("post p50 ms", posted.latency.quantile(0.5)),
        ("post p99 ms", posted.latency.quantile(0.99)),
    ];
    figures.extend(latencies(&delivered));
    let deliveries = (posted.events + publisher.next - first) * CLIENTS as u64;
    figures.push(("CPU us/delivery", cpu * 1e6 / deliveries as f64));
    Ok(figures.into())
}
