//! `plimsoll demo`: the service with four simulated engines, and a live view of what they say.

mod market;
mod operations;
mod simulation;
mod trading;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

use super::client::{BaseUrl, Client};
use super::fields::Object;
use super::follow::{Follow, News};
use super::tail::View;
use super::terminal::{self, Paint, StdoutClosed};
use super::{Exit, serve};
use simulation::{Draft, Engine, Simulation};

const HELP: &str = "\
Four engines (market data, strategy, execution, universe builder) trade NIFTY and BANKNIFTY on paper and post their
events over HTTP, as real ones do. The events are journalled under the artifacts folder like any others. Ctrl-C stops.

Examples:
  plimsoll demo
  plimsoll demo --seed 42 --rate 20 --listen 127.0.0.1:0 --artifacts /tmp/demo";

/// How to run the demo.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub struct Args {
    /// The same seed trades the same day
    #[arg(long, value_name = "N", default_value_t = 7)]
    seed: u64,
    /// How many times as fast as life
    #[arg(long, value_name = "X", default_value = "1", value_parser = rate)]
    rate: f64,
    #[command(flatten)]
    serve: serve::Args,
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if (0.01..=1000.0).contains(&rate) => Ok(rate),
        _ => Err("must be a number from 0.01 to 1000".to_owned()),
    }
}

/// Length of a tick at rate 1.
const TICK: Duration = Duration::from_millis(500);
/// The view sees a heartbeat every 15 s.
const SILENCE: Duration = Duration::from_secs(45);

/// Serves, trades and shows until a signal stops the service.
pub fn run(args: &Args) -> anyhow::Result<Exit> {
    // the view is the show: routine messages of the service would only come between
    let Some(config) = serve::load(&args.serve, &[("PLIMSOLL_LOG__LEVEL", "warn")]) else { return Ok(Exit::Usage) };
    plimsoll::app::init_logs(&config);
    let (seed, tick) = (args.seed, TICK.div_f64(args.rate));
    serve::serve(config, move |address| {
        let base = local_url(address);
        if let Err(error) = start(&base, seed, tick, Utc::now()) {
            terminal::complain(&format!("the demo cannot start: {error:#}"));
        }
    })
}

/// Where this machine reaches a service that listens on `address`.
fn local_url(address: SocketAddr) -> String {
    let ip = match address.ip() {
        ip if !ip.is_unspecified() => ip,
        _ => IpAddr::V4(Ipv4Addr::LOCALHOST),
    };
    format!("http://{}", SocketAddr::new(ip, address.port()))
}

fn start(base: &str, seed: u64, tick: Duration, now: DateTime<Utc>) -> anyhow::Result<()> {
    let client = Client::new(base.parse::<BaseUrl>().map_err(anyhow::Error::msg)?);
    let (view, url) = (client.clone(), base.to_owned());
    std::thread::Builder::new().name("demo-view".to_owned()).spawn(move || show(view, &url))?;
    let began = Instant::now();
    for (nth, engine) in (0..).zip(Engine::ALL) {
        let simulation = Simulation::new(seed, now, tick);
        // a tick passes through the engines one after the other
        let began = began + tick.mul_f64(f64::from(nth) / 4.0);
        let client = client.clone();
        let name = format!("demo-{}", engine.name());
        std::thread::Builder::new().name(name).spawn(move || trade(&client, engine, simulation, began, tick))?;
    }
    Ok(())
}

/// One engine: says what it has to say at every tick, for as long as the process lives.
fn trade(client: &Client, engine: Engine, mut simulation: Simulation, began: Instant, tick: Duration) {
    for count in 0u32.. {
        let due = began + tick.saturating_mul(count);
        let drafts = simulation.tick();
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        for draft in drafts.iter().filter(|draft| draft.engine == engine) {
            match client.publish(event(draft).as_bytes(), false) {
                Ok(answer) if answer.status == 201 => {}
                // an engine goes on trading when telemetry does not answer, as while the service stops
                Ok(answer) if answer.is_busy() => tracing::debug!(engine = engine.name(), "event not taken"),
                Ok(answer) => tracing::warn!(engine = engine.name(), answer = answer.summary(), "event refused"),
                Err(error) => tracing::debug!(engine = engine.name(), %error, "event not sent"),
            }
        }
    }
}

fn event(draft: &Draft) -> String {
    Object::new()
        .text("type", draft.kind)
        .text("source", draft.engine.name())
        .text("severity", draft.severity)
        .int("profile_id", 1)
        .raw("payload", &draft.payload)
        .finish()
}

/// Shows the stream. The service outlives a view that cannot be shown any more.
fn show(client: Client, url: &str) {
    let mut view = View::new(false, false);
    let outcome = try_it(&mut view, url).and_then(|()| {
        Follow::new(client, Vec::new(), None, SILENCE).run(|news| {
            if let News::Event(event) = news {
                view.show(event)?;
            }
            Ok(ControlFlow::Continue(()))
        })
    });
    match outcome {
        Err(error) if !error.is::<StdoutClosed>() => terminal::complain(&format!("the view has ended: {error:#}")),
        _ => {}
    }
}

/// Three commands to type next.
fn try_it(view: &mut View, url: &str) -> anyhow::Result<()> {
    let commands = [
        format!("curl -N '{url}/api/telemetry/stream?replay=5&event_type=order_event,trade_closed'"),
        format!("curl '{url}/api/telemetry/events?limit=5&symbol=NIFTY'"),
        format!("curl '{url}/api/telemetry/aggregates?bucket=1m&group_by=type'"),
    ];
    let out = view.out();
    for (at, command) in commands.iter().enumerate() {
        let mut line = if at == 0 { "try: ".to_owned() } else { "     ".to_owned() };
        Paint::Cyan.add(&mut line, command, out.colour);
        out.line(&line)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_demo_reaches_a_service_that_listens_on_every_address() {
        let url = |address: &str| local_url(address.parse().expect("an address"));
        assert_eq!(url("0.0.0.0:80"), "http://127.0.0.1:80");
        assert_eq!(url("127.0.0.2:80"), "http://127.0.0.2:80");
        assert_eq!(url("[::1]:80"), "http://[::1]:80");
    }

    #[test]
    fn an_event_of_the_demo_is_an_envelope_of_the_contract() {
        let draft = Draft { engine: Engine::MarketData, kind: "mde_status", severity: "info", payload: "{\"a\":1}".to_owned() };
        assert_eq!(event(&draft), r#"{"type":"mde_status","source":"mde","severity":"info","profile_id":1,"payload":{"a":1}}"#);
    }

    #[test]
    fn a_rate_is_bounded() {
        assert_eq!(rate("20"), Ok(20.0));
        for text in ["0", "-1", "NaN", "1e9", "x"] {
            assert!(rate(text).is_err(), "{text}");
        }
    }
}
