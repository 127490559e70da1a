//! All clients lose their connection at once and come back, while events go on.

use std::time::Duration;

use anyhow::Result;

use super::fanout::ARRIVAL;
use super::low::latencies;
use super::{Bench, Measured};
use crate::audience::{Audience, Wants};
use crate::plan::Plan;
use crate::publisher::Publisher;
use crate::service::{Kind, Server};

const NAME: &str = "storm";
const RATE: f64 = 100.0;

pub fn run(bench: &mut Bench) {
    let case = format!("{} clients", bench.plan.storm_clients);
    for kind in Kind::ALL {
        if kind == Kind::Prototype {
            let why = "not run: with 100 clients it is seconds behind already, and none resumes";
            bench.left_out(NAME, &case, kind, why.to_owned());
            continue;
        }
        let measured = measure(&bench.plan, kind);
        bench.add(NAME, &case, kind.name(), measured);
    }
}

fn measure(plan: &Plan, kind: Kind) -> Result<Measured> {
    let server = Server::start(kind, &[])?;
    let mut audience = Audience::gather(server.address, plan.storm_clients, Wants::ALL)?;
    audience.keep_ids()?;
    let mut publisher = Publisher::connect(server.address)?;
    audience.begin(publisher.next)?;
    let (first, cpu) = (publisher.next, server.process.cpu_seconds()?);
    let back = std::thread::scope(|scope| {
        let publishing = scope.spawn(|| publisher.open_loop(RATE, plan.latency_time));
        std::thread::sleep(plan.latency_time / 3);
        let back = audience.storm();
        // a panic of the publisher shows in the counts
        publishing.join().map_or(Ok(Duration::ZERO), |sent| sent.and(back))
    })?;
    audience.settle((publisher.next - first) * audience.clients as u64, ARRIVAL);
    let cpu = server.process.cpu_seconds()? - cpu;
    let delivered = audience.report(publisher.next)?;
    let mut figures = vec![("all back ms", back.as_secs_f64() * 1000.0)];
    figures.extend(latencies(&delivered));
    figures.push(("CPU s", cpu));
    let note = (kind != Kind::Plimsoll).then(|| "does not resume: what was published meanwhile is lost".to_owned());
    Ok(Measured { figures, note })
}
