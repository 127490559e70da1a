//! `plimsoll engines`: how all engines are, once or again and again.

use std::time::Duration;

use serde::Deserialize;

use super::Exit;
use super::client::{Client, Target};
use super::interrupt::Interrupt;
use super::terminal::{self, Out, Paint, harmless};

const EXAMPLES: &str = "\
Examples:
  plimsoll engines
  plimsoll engines --watch
  plimsoll engines --json | jq -r '.engines[] | select(.stale) | .name'";

const PATH: &str = "/api/telemetry/engines";
/// The heads of the columns; the last one is as wide as it likes.
const HEADS: [&str; 7] = ["ENGINE", "KIND", "STATE", "AGE", "TICK", "POSITIONS", "LAST ERROR"];
/// Columns of numbers, which stand at the right.
const NUMBERS: std::ops::RangeInclusive<usize> = 3..=5;
/// The column of the state.
const STATE: usize = 2;
/// Cursor to the top left, and from there to the end of the screen nothing.
const CLEAR: &str = "\x1b[H\x1b[J";

/// How to show them.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Go on until interrupted
    #[arg(short, long)]
    watch: bool,
    /// With --watch: time between two looks
    #[arg(long, value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=3600))]
    interval: u64,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, Deserialize)]
struct Engines {
    asof: String,
    /// Whether the list is not complete yet after a start.
    #[serde(default)]
    rebuilding: bool,
    engines: Vec<Engine>,
}

/// What a person wants to see of an engine; a service of another version may leave things out.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Engine {
    name: String,
    kind: String,
    state: String,
    heartbeat_age_seconds: Option<f64>,
    loop_tick: Option<u64>,
    open_positions: Option<u64>,
    last_error: Option<String>,
}

/// Shows the engines.
pub fn run(args: &Args) -> anyhow::Result<Exit> {
    let client = args.target.client()?;
    let mut out = Out::new();
    if !args.watch {
        let body = fetch(&client)?;
        show(&mut out, &body, args.target.json)?;
        return Ok(Exit::Clean);
    }
    let interrupt = Interrupt::on_signal()?;
    let mut away = false;
    loop {
        match fetch(&client) {
            Ok(body) => {
                away = false;
                if out.colour && !args.target.json {
                    out.line(CLEAR)?;
                }
                show(&mut out, &body, args.target.json)?;
            }
            // told once; it may come back
            Err(error) if !std::mem::replace(&mut away, true) => terminal::complain(&format!("{error:#}; trying again")),
            Err(_) => {}
        }
        if interrupt.sleep(Duration::from_secs(args.interval)) {
            return Ok(Exit::Clean);
        }
    }
}

fn fetch(client: &Client) -> anyhow::Result<Vec<u8>> {
    let answer = client.get(PATH, &[]).map_err(|error| anyhow::anyhow!("{}: {error}", client.base()))?;
    anyhow::ensure!(answer.status == 200, "{}", answer.summary());
    Ok(answer.body)
}

fn show(out: &mut Out, body: &[u8], json: bool) -> anyhow::Result<()> {
    if json {
        return out.line(std::str::from_utf8(body)?);
    }
    let Engines { asof, rebuilding, engines } = serde_json::from_slice(body)?;
    if rebuilding {
        out.line("the service has just started: not all engines are known again yet")?;
    }
    if engines.is_empty() {
        return out.line("no engine has been heard of");
    }
    for line in table(&engines, out.colour) {
        out.clipped(&line)?;
    }
    let ill = engines.iter().filter(|engine| paint(&engine.state) == Paint::Red).count();
    out.line(&format!("{} engines, {ill} ill or silent, as of {}", engines.len(), harmless(&asof)))
}

fn table(engines: &[Engine], colour: bool) -> Vec<String> {
    let rows: Vec<[String; 7]> = std::iter::once(HEADS.map(str::to_owned)).chain(engines.iter().map(Engine::row)).collect();
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..HEADS.len()).map(width).collect();
    let lines = rows.iter().enumerate().map(|(index, row)| {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let cell = match column {
                _ if column + 1 == HEADS.len() => cell.clone(),
                _ if NUMBERS.contains(&column) => format!("{cell:>width$}  "),
                _ => format!("{cell:<width$}  "),
            };
            let paint = match (index, column) {
                (0, _) => Paint::Dim,
                (_, STATE) => paint(cell.trim()),
                (_, 0) => Paint::Bold,
                _ => Paint::Plain,
            };
            paint.add(&mut line, &cell, colour);
        }
        line.trim_end().to_owned()
    });
    lines.collect()
}

impl Engine {
    fn row(&self) -> [String; 7] {
        let number = |number: Option<u64>| number.map_or("-".to_owned(), terminal::grouped);
        // a traceback has lines, a row has one
        let error = self.last_error.as_deref().unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ");
        [
            harmless(&self.name),
            harmless(&self.kind),
            harmless(&self.state),
            self.heartbeat_age_seconds.map_or("-".to_owned(), age),
            number(self.loop_tick),
            number(self.open_positions),
            harmless(&error),
        ]
    }
}

fn paint(state: &str) -> Paint {
    match state {
        "running" => Paint::Green,
        "starting" | "degraded" => Paint::Yellow,
        "stopped" => Paint::Dim,
        _ => Paint::Red,
    }
}

/// An age in the largest unit that says enough.
pub fn age(seconds: f64) -> String {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a cast from a float saturates")]
    let whole = seconds as u64;
    match whole {
        0..100 => format!("{seconds:.1}s"),
        100..6_000 => format!("{}m", whole / 60),
        6_000..172_800 => format!("{}h", whole / 3_600),
        _ => format!("{}d", whole / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn engines() -> Vec<Engine> {
        let json = r#"{"asof":"2025-11-18T07:55:41Z","engines":[
            {"name":"fno","kind":"strategy","state":"running","heartbeat_age_seconds":1.25,"loop_tick":12345,"open_positions":2,"last_error":null},
            {"name":"mde","kind":"market_data","state":"stale","heartbeat_age_seconds":7300.0,"last_error":"feed:\n  reset \u001b[2J"}]}"#;
        serde_json::from_str::<Engines>(json).expect("read").engines
    }

    #[test]
    fn the_table_is_aligned_and_a_row_is_one_line() {
        let expected = [
            "ENGINE  KIND         STATE     AGE    TICK  POSITIONS  LAST ERROR",
            "fno     strategy     running  1.2s  12,345          2",
            "mde     market_data  stale      2h       -          -  feed: reset \u{fffd}[2J",
        ];
        assert_eq!(table(&engines(), false), expected);
    }

    #[test]
    fn colours_say_how_an_engine_is() {
        let lines = table(&engines(), true);
        assert!(lines[1].contains("\x1b[32mrunning") && lines[2].contains("\x1b[31mstale"), "{lines:?}");
    }

    #[test]
    fn an_age_is_told_in_the_unit_that_matters() {
        let ages = [(0.0, "0.0s"), (99.94, "99.9s"), (100.0, "1m"), (5_999.0, "99m"), (6_000.0, "1h"), (200_000.0, "2d")];
        for (seconds, text) in ages {
            assert_eq!(age(seconds), text);
        }
    }
}
