//! Low load: how long one event takes when nothing else happens.

use anyhow::Result;

use super::fanout::ARRIVAL;
use super::{Bench, Measured};
use crate::audience::{Audience, Wants};
use crate::plan::Plan;
use crate::publisher::Publisher;
use crate::report::Figures;
use crate::service::{Kind, Server, Settings};
use crate::stats::Delivered;

const NAME: &str = "low";
const CASE: &str = "100 clients, 100 events/s";

pub fn run(bench: &mut Bench) {
    for kind in Kind::ALL {
        if let Some(why) = bench.missing(kind) {
            bench.left_out(NAME, CASE, kind, why);
            continue;
        }
        let measured = measure(&bench.plan, kind, &[]);
        bench.add(NAME, CASE, kind.name(), measured);
        if kind == Kind::Plimsoll {
            let measured = measure(&bench.plan, kind, &[("journal.durability", "memory")]);
            bench.add(NAME, CASE, "plimsoll, memory", measured);
        }
    }
}

fn measure(plan: &Plan, kind: Kind, settings: Settings<'_>) -> Result<Measured> {
    let server = Server::start(kind, settings)?;
    let mut audience = Audience::gather(server.address, 100, Wants::ALL)?;
    let mut publisher = Publisher::connect(server.address)?;
    publisher.open_loop(100.0, plan.latency_time / 10)?;
    audience.begin(publisher.next)?;
    let (first, cpu) = (publisher.next, server.process.cpu_seconds()?);
    publisher.open_loop(100.0, plan.latency_time)?;
    audience.settle((publisher.next - first) * 100, ARRIVAL);
    let cpu = server.process.cpu_seconds()? - cpu;
    let delivered = audience.report(publisher.next)?;
    let mut figures = latencies(&delivered);
    figures.push(("CPU us/delivery", cpu * 1e6 / delivered.received as f64));
    Ok(figures.into())
}

/// How long deliveries took, and what was not as it should be.
pub(super) fn latencies(delivered: &Delivered) -> Figures {
    let latency = &delivered.latency;
    vec![
        ("p50 ms", latency.quantile(0.5)),
        ("p90 ms", latency.quantile(0.9)),
        ("p99 ms", latency.quantile(0.99)),
        ("p99.9 ms", latency.quantile(0.999)),
        ("max ms", latency.max()),
        ("lost", delivered.lost as f64),
        ("doubled", delivered.doubled as f64),
        ("disordered", delivered.disordered as f64),
        ("closed", delivered.closed as f64),
    ]
}
