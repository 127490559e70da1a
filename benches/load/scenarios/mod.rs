//! What is measured, one scenario a file.

mod fanout;
mod filters;
mod idle;
mod ingest;
mod low;
mod mixed;
mod restart;
mod stalled;
mod storm;

use std::time::Instant;

use anyhow::{Result, bail};

use crate::plan::Plan;
use crate::report::{Figures, Report, Row};
use crate::service::{Kind, prototype_missing};

/// A run.
#[derive(Debug)]
pub struct Bench {
    pub plan: Plan,
    pub report: Report,
    pub begin: Instant,
    /// Why the prototype cannot run, if it cannot.
    prototype_missing: Option<String>,
}

type Scenario = fn(&mut Bench);

const SCENARIOS: [(&str, Scenario); 9] = [
    ("ingest", ingest::run),
    ("fanout", fanout::run),
    ("low", low::run),
    ("mixed", mixed::run),
    ("stalled", stalled::run),
    ("storm", storm::run),
    ("filters", filters::run),
    ("idle", idle::run),
    ("restart", restart::run),
];

impl Bench {
    pub fn new(plan: Plan) -> Self {
        Self { plan, report: Report::default(), begin: Instant::now(), prototype_missing: prototype_missing() }
    }

    /// Runs all scenarios, or those named.
    pub fn run(&mut self, only: &[String]) -> Result<()> {
        if let Some(unknown) = only.iter().find(|name| !SCENARIOS.iter().any(|(known, _)| known == name)) {
            let names: Vec<&str> = SCENARIOS.iter().map(|(name, _)| *name).collect();
            bail!("no scenario {unknown:?}; there are {}", names.join(", "));
        }
        for (name, scenario) in SCENARIOS {
            if only.is_empty() || only.iter().any(|wanted| wanted == name) {
                scenario(self);
            }
        }
        Ok(())
    }

    /// Why a server cannot be measured here, if it cannot.
    fn missing(&self, kind: Kind) -> Option<String> {
        self.prototype_missing.as_ref().filter(|_| kind == Kind::Prototype).map(|why| format!("not run: {why}"))
    }

    /// Adds what a measurement gave, or why it gave nothing.
    fn add(&mut self, scenario: &'static str, case: &str, who: &str, measured: Result<Measured>) {
        let Measured { figures, note } =
            measured.unwrap_or_else(|error| Measured { figures: Figures::new(), note: Some(format!("failed: {error:#}")) });
        let seconds = self.begin.elapsed().as_secs_f64();
        eprintln!(
            "{seconds:6.1} s  {scenario}, {case}, {who}{}",
            note.as_ref().map_or_else(String::new, |note| format!(": {note}"))
        );
        self.report.rows.push(Row { scenario, case: case.to_owned(), who: who.to_owned(), figures, note });
    }

    /// Adds a row that says why a server was left out.
    fn left_out(&mut self, scenario: &'static str, case: &str, kind: Kind, why: String) {
        self.add(scenario, case, kind.name(), Ok(Measured { figures: Figures::new(), note: Some(why) }));
    }
}

/// The figures of one row.
#[derive(Debug)]
struct Measured {
    figures: Figures,
    note: Option<String>,
}

impl From<Figures> for Measured {
    fn from(figures: Figures) -> Self {
        Self { figures, note: None }
    }
}
