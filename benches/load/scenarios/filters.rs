//! Filters that are shared: ten different ones that all match, beside one.

use anyhow::Result;

use super::fanout::throughput;
use super::{Bench, Measured};
use crate::audience::{Audience, Wants};
use crate::publisher::Publisher;
use crate::report::OURS;
use crate::service::{Kind, Server};

const NAME: &str = "filters";

pub fn run(bench: &mut Bench) {
    for (case, variants) in [("1 filter", 1), ("10 filters", 10)] {
        let measured = measure(bench, variants);
        bench.add(NAME, case, OURS, measured);
    }
}

fn measure(bench: &Bench, variants: usize) -> Result<Measured> {
    let server = Server::start(Kind::Plimsoll, &[])?;
    let wants = Wants { query: "event_type=tick,other{}", variants, stalled: false };
    let mut audience = Audience::gather(server.address, bench.plan.many_clients, wants)?;
    let mut publisher = Publisher::connect(server.address)?;
    let fast = throughput(&server, &mut audience, &mut publisher, bench.plan.throughput_time * 2)?;
    let figures = vec![
        ("closed loop/s", fast.deliveries),
        ("CPU us/delivery", fast.cpu),
        ("lost", fast.delivered.lost as f64),
        ("closed", fast.delivered.closed as f64),
    ];
    Ok(figures.into())
}
