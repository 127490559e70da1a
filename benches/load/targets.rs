//! What the figures shall be, as multiples of the baselines of the same run wherever one exists.

use serde_json::{Value, json};

use crate::report::{OURS, Report, show};

/// One of them.
#[derive(Debug)]
pub struct Target {
    what: &'static str,
    wanted: Wanted,
    /// `None` when it was not measured.
    got: Option<f64>,
}

#[derive(Debug, Clone, Copy)]
enum Wanted {
    AtLeast(f64),
    AtMost(f64),
}

impl Target {
    fn met(&self) -> Option<bool> {
        self.got.map(|got| match self.wanted {
            Wanted::AtLeast(least) => got >= least,
            Wanted::AtMost(most) => got <= most,
        })
    }

    pub fn cells(&self) -> Vec<String> {
        let wanted = match self.wanted {
            Wanted::AtLeast(least) => format!("at least {}", show(least)),
            Wanted::AtMost(most) => format!("at most {}", show(most)),
        };
        let verdict = match self.met() {
            Some(true) => "met",
            Some(false) => "not met",
            None => "not measured",
        };
        vec![self.what.to_owned(), wanted, self.got.map_or_else(|| "-".to_owned(), show), verdict.to_owned()]
    }

    pub fn to_json(&self) -> Value {
        let (bound, value) = match self.wanted {
            Wanted::AtLeast(least) => ("at_least", least),
            Wanted::AtMost(most) => ("at_most", most),
        };
        json!({ "what": self.what, bound: value, "got": self.got, "met": self.met() })
    }
}

/// All of them, as far as the report has the figures.
pub fn of(report: &Report) -> Vec<Target> {
    use Wanted::{AtLeast, AtMost};
    let figure = |scenario: &str, case: &str, who: &str, name: &str| report.figure(scenario, case, who, name);
    // ours, of a baseline; infinite when only the baseline is nothing
    let ratio = |scenario: &str, case: &str, who: &str, baseline: &str, name: &str| {
        let (ours, theirs) = (figure(scenario, case, who, name)?, figure(scenario, case, baseline, name)?);
        (ours > 0.0 || theirs > 0.0).then(|| ours / theirs)
    };
    let fanout = |case: &str, baseline: &str| ratio("fanout", case, OURS, baseline, "sustained/s");
    let relaxed = || ratio("fanout", "10000 clients", OURS, "axum", "p99<500/s");
    let low = |who: &str| ratio("low", "100 clients, 100 events/s", who, "limit", "p50 ms");
    let ingest = |baseline: &str| ratio("ingest", "single x64", OURS, baseline, "events/s");
    let filters = |case: &str| figure("filters", case, OURS, "CPU us/delivery").filter(|cost| *cost > 0.0);
    let p99 = |case: &str| figure("stalled", case, OURS, "p99 ms").filter(|p99| *p99 > 0.0);
    let with = |name: &str| figure("stalled", "with 50", OURS, name);
    let target = |what, wanted, got| Target { what, wanted, got };
    vec![
        target("sustained deliveries, 1000 clients, of the limit", AtLeast(0.9), fanout("1000 clients", "limit")),
        target("sustained deliveries, 1000 clients, of axum", AtLeast(2.0), fanout("1000 clients", "axum")),
        target("sustained deliveries, 10000 clients, of axum", AtLeast(1.2), fanout("10000 clients", "axum")),
        target("the same with a p99 under 500 ms", AtLeast(1.2), relaxed()),
        target("low load p50, fsync, of the limit", AtMost(3.0), low(OURS)),
        target("low load p50, memory, of the limit", AtMost(1.5), low("plimsoll, memory")),
        target("single events over 64 connections, of the limit", AtLeast(0.4), ingest("limit")),
        target("single events over 64 connections, of the prototype", AtLeast(5.0), ingest("prototype")),
        target(
            "ndjson events/s on one connection (or the next line)",
            AtLeast(400_000.0),
            figure("ingest", "ndjson x1", OURS, "events/s"),
        ),
        target(
            "ndjson on one connection, of bare sqlite inserts",
            AtLeast(0.6),
            ratio("ingest", "ndjson x1", OURS, "sqlite", "events/s"),
        ),
        target("idle client, KiB", AtMost(10.5), figure("idle", "idle clients", OURS, "KiB/client")),
        target(
            "ten filters, CPU of one filter",
            AtMost(1.3),
            filters("10 filters").zip(filters("1 filter")).map(|(ten, one)| ten / one),
        ),
        target(
            "p99 beside 50 stalled clients, of without",
            AtMost(1.1),
            p99("with 50").zip(p99("without")).map(|(with, without)| with / without),
        ),
        target("stalled clients closed by policy", AtLeast(50.0), with("stalled closed")),
        target("memory after stalled clients, of before", AtMost(1.02), with("memory after/before")),
        target("ready after a clean stop, seconds", AtMost(1.0), figure("restart", "journal", OURS, "ready s")),
        target("ready after kill -9, seconds", AtMost(1.0), figure("restart", "journal", OURS, "ready s after kill")),
    ]
}
