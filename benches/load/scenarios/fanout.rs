//! One hot stream and its clients: how much can be delivered, at which latency, and what a delivery costs.

use std::time::Duration;

use anyhow::{Context as _, Result};

use super::{Bench, Measured};
use crate::audience::{Audience, Wants};
use crate::plan::Plan;
use crate::publisher::Publisher;
use crate::service::{Kind, Server};
use crate::stats::Delivered;

const NAME: &str = "fanout";

/// The p99 of a rate that counts as sustainable, in milliseconds.
const SUSTAINABLE_P99: f64 = 100.0;

/// From so many clients on one pass over them takes most of that time, so a second rate is looked for with this p99.
const HUGE: usize = 10_000;
const RELAXED_P99: f64 = 500.0;

/// Two rates that are so near are not told apart.
const NEAR: f64 = 1.07;

/// How long the last events of a run may take to arrive.
pub(super) const ARRIVAL: Duration = Duration::from_secs(5);

/// With more clients the prototype is behind by seconds at any rate.
const PROTOTYPE_CLIENTS: usize = 100;

/// A client's memory is told from so many clients on: a handful is lost in what the process holds anyway.
const MANY: usize = 1_000;

/// How long the last events of a rate that is tried may take: one that takes longer has failed.
const STEP_ARRIVAL: Duration = Duration::from_secs(2);

pub fn run(bench: &mut Bench) {
    for clients in bench.plan.fanout_clients.clone() {
        let case = format!("{clients} clients");
        for kind in Kind::ALL {
            if let Some(why) = bench.missing(kind) {
                bench.left_out(NAME, &case, kind, why);
            } else if kind == Kind::Prototype && clients > PROTOTYPE_CLIENTS {
                bench.left_out(
                    NAME,
                    &case,
                    kind,
                    format!("not run: with more than {PROTOTYPE_CLIENTS} clients it is behind by seconds"),
                );
            } else {
                let measured = measure(&bench.plan, kind, clients);
                bench.add(NAME, &case, kind.name(), measured);
            }
        }
    }
}

/// What a closed loop gave.
#[derive(Debug)]
pub(super) struct Throughput {
    /// Events that all clients received, a second.
    pub events: f64,
    pub deliveries: f64,
    /// CPU of the server, in microseconds a delivery.
    pub cpu: f64,
    /// CPU of the subscribers.
    pub tool_cpu: f64,
    pub delivered: Delivered,
}

fn measure(plan: &Plan, kind: Kind, clients: usize) -> Result<Measured> {
    let server = Server::start(kind, &[])?;
    let before = server.process.memory()?;
    let mut audience = Audience::gather(server.address, clients, Wants::ALL)?;
    let each = (server.process.memory()? - before) / clients as f64;
    let mut publisher = Publisher::connect(server.address)?;
    let fast = throughput(&server, &mut audience, &mut publisher, plan.throughput_time)?;
    // the closed loop tells about what is possible, but for one client, whose publisher waits for itself, and for very many,
    // who are sent more at once at a higher rate
    let growth = if (2..HUGE).contains(&clients) { 1.3 } else { 2.0 };
    // the prototype looks every half second: no rate gives it a p99 under 100 ms
    let steps = if kind == Kind::Prototype { 1 } else { plan.steps };
    let trial = Trial { first: fast.events * 0.7, growth, p99: SUSTAINABLE_P99, steps, time: plan.step_time };
    let relaxed = (clients >= HUGE).then(|| search(&mut audience, &mut publisher, &Trial { p99: RELAXED_P99, ..trial }));
    let relaxed = relaxed.transpose()?;
    // where a pass takes most of the time that is allowed, a good rate is a small part of that one, and farther to look for
    let strict = relaxed.as_ref().map_or(trial, |relaxed| Trial { first: relaxed.shown.rate / 8.0, steps: steps + 2, ..trial });
    let search = search(&mut audience, &mut publisher, &strict)?;
    let Step { rate, delivered, .. } = &search.shown;
    let sustained = if search.found { *rate } else { 0.0 };
    let latency = &delivered.latency;
    let relaxed = relaxed.map(|relaxed| if relaxed.found { relaxed.shown.rate * clients as f64 } else { 0.0 });
    let mut figures = vec![("sustained/s", sustained * clients as f64), ("events/s", sustained)];
    let quantiles = [("p50 ms", 0.5), ("p90 ms", 0.9), ("p99 ms", 0.99), ("p99.9 ms", 0.999)];
    figures.extend(quantiles.map(|(name, share)| (name, latency.quantile(share))));
    figures.extend([
        ("max ms", latency.max()),
        ("p99<500/s", relaxed.unwrap_or(f64::NAN)),
        ("closed loop/s", fast.deliveries),
        ("CPU us/delivery", fast.cpu),
        ("tool us/delivery", fast.tool_cpu),
        ("KiB/client", if clients >= MANY { each } else { f64::NAN }),
    ]);
    let all = |count: fn(&Delivered) -> u64| (count(&fast.delivered) + count(delivered)) as f64;
    figures.extend([
        ("lost", all(|of| of.lost)),
        ("doubled", all(|of| of.doubled)),
        ("disordered", all(|of| of.disordered)),
        ("closed", all(|of| of.closed)),
    ]);
    let note = match search {
        Search { found: false, .. } => Some(format!("no rate was sustainable; shown is {rate:.1} events/s")),
        Search { open: true, .. } => Some("sustainable at every rate that was tried: more is possible".to_owned()),
        _ => None,
    };
    Ok(Measured { figures, note })
}

/// As much as the clients take: the publisher waits for them.
pub(super) fn throughput(
    server: &Server,
    audience: &mut Audience,
    publisher: &mut Publisher,
    time: Duration,
) -> Result<Throughput> {
    let clients = audience.clients as f64;
    // a fraction of a second's deliveries, so that it ends soon after the time; below what each server remembers
    let window = (1_000_000 / audience.clients.max(1) as u64).clamp(100, 4_000);
    audience.begin(publisher.next)?;
    // connections and buffers are used once before it counts
    publisher.closed_loop(audience, window / 4, time / 5, ARRIVAL)?;
    audience.begin(publisher.next)?;
    let (cpu, tool) = (server.process.cpu_seconds()?, audience.cpu_seconds()?);
    let sent = publisher.closed_loop(audience, window, time, ARRIVAL)?;
    let (cpu, tool) = (server.process.cpu_seconds()? - cpu, audience.cpu_seconds()? - tool);
    let delivered = audience.report(publisher.next)?;
    let count = delivered.received as f64;
    Ok(Throughput {
        events: count / clients / sent.seconds,
        deliveries: count / sent.seconds,
        cpu: cpu * 1e6 / count,
        tool_cpu: tool * 1e6 / count,
        delivered,
    })
}

/// How a sustainable rate is looked for.
#[derive(Debug, Clone, Copy)]
struct Trial {
    /// The rate that is tried first, in events a second.
    first: f64,
    /// By how much more is tried next while none has failed.
    growth: f64,
    /// The longest p99 that is good enough, in milliseconds.
    p99: f64,
    steps: usize,
    /// How long each rate is tried.
    time: Duration,
}

/// One rate that was tried.
#[derive(Debug)]
struct Step {
    rate: f64,
    delivered: Delivered,
    passed: bool,
}

struct Search {
    /// The best rate that was sustainable, else the last one tried.
    shown: Step,
    found: bool,
    /// Whether every rate that was tried was sustainable, so that there may be larger ones.
    open: bool,
}

/// Looks for the largest sustainable rate: up or down until one side is known, then between the two.
fn search(audience: &mut Audience, publisher: &mut Publisher, trial: &Trial) -> Result<Search> {
    let (mut passed, mut failed) = (None::<Step>, None::<Step>);
    let mut rate = trial.first.max(1.0);
    for _ in 0..trial.steps {
        let step = attempt(audience, publisher, rate, trial)?;
        let side = if step.passed { &mut passed } else { &mut failed };
        *side = Some(step);
        rate = match (&passed, &failed) {
            (Some(low), Some(high)) if high.rate / low.rate < NEAR => break,
            (Some(low), Some(high)) => (low.rate * high.rate).sqrt(),
            (Some(low), None) => low.rate * trial.growth,
            (None, Some(high)) if high.delivered.latency.quantile(0.99) < trial.p99 * 3.0 => (rate / 2.0).max(1.0),
            // far above
            (None, _) => (rate / 4.0).max(1.0),
        };
    }
    let found = passed.is_some();
    let open = failed.is_none();
    Ok(Search { open, shown: passed.or(failed).context("no rate was tried")?, found })
}

fn attempt(audience: &mut Audience, publisher: &mut Publisher, rate: f64, trial: &Trial) -> Result<Step> {
    audience.begin(publisher.next)?;
    let first = publisher.next;
    let sent = publisher.open_loop(rate, trial.time)?;
    let wanted = (publisher.next - first) * audience.clients as u64;
    let complete = audience.settle(wanted, STEP_ARRIVAL);
    let delivered = audience.report(publisher.next)?;
    if !complete {
        // what is still on its way shall not burden the next rate
        audience.settle(wanted, ARRIVAL);
    }
    let passed = complete && sent.unsent == 0 && delivered.is_whole() && delivered.latency.quantile(0.99) < trial.p99;
    Ok(Step { rate, delivered, passed })
}
