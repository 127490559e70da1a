//! `plimsoll risk halt`, `reduce` and `resume`.

use serde_json::Value;

use super::table::text;
use super::{post, show};
use crate::cli::Exit;
use crate::cli::client::Target;
use crate::cli::fields::Object;
use crate::cli::terminal::{Out, Paint};

const PATH: &str = "/api/risk/kill-switch";

/// Why.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Why, for everybody who will ask
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    target: Target,
}

/// Sets the switch, and shows how it stands.
pub fn run(args: &Args, state: &str) -> anyhow::Result<Exit> {
    let body = Object::new().text("state", state).text("reason", &args.reason).finish();
    let answer = post(&args.target.client()?, PATH, &body)?;
    show(&mut Out::new(), &answer, args.target.json, |body, colour| vec![line(body, colour)])?;
    Ok(Exit::Clean)
}

/// How the switch stands, in one line.
pub fn line(body: &Value, colour: bool) -> String {
    let state = text(body, "state");
    let mut line = "trading is ".to_owned();
    paint(&state).add(&mut line, &state, colour);
    line.push_str(&format!(" since {}, by {}: {}", text(body, "since"), text(body, "actor"), text(body, "reason")));
    line
}

fn paint(state: &str) -> Paint {
    match state {
        "active" => Paint::Green,
        "reducing" => Paint::Yellow,
        _ => Paint::Alarm,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_switch_reads_as_a_sentence() {
        let body = json!({"state": "halted", "reason": "feed\u{1b}[2J", "actor": "alice", "since": "2026-11-20T00:00:00Z"});
        assert_eq!(line(&body, false), "trading is halted since 2026-11-20T00:00:00Z, by alice: feed\u{fffd}[2J");
        assert!(line(&body, true).contains("\x1b[1;37;41mhalted"));
    }
}
