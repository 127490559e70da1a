//! Figures of a run, as a table for people and as one JSON line.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use crate::machine::Machine;
use crate::targets;

/// Names of figures, with their units, in the order of the columns.
pub type Figures = Vec<(&'static str, f64)>;

/// What one server did in one case.
#[derive(Debug)]
pub struct Row {
    pub scenario: &'static str,
    pub case: String,
    pub who: String,
    pub figures: Figures,
    /// Why there are no figures, or what they lack.
    pub note: Option<String>,
}

/// All rows.
#[derive(Debug, Default)]
pub struct Report {
    pub rows: Vec<Row>,
}

/// The baselines that a row of the service is compared with, and how the column is headed.
const BASELINES: [(&str, &str); 4] = [("limit", "/limit"), ("axum", "/axum"), ("prototype", "/proto"), ("sqlite", "/sqlite")];

/// Whose rows are compared.
pub const OURS: &str = "plimsoll";

impl Report {
    /// A figure, if it was measured.
    pub fn figure(&self, scenario: &str, case: &str, who: &str, name: &str) -> Option<f64> {
        let row = self.rows.iter().find(|row| row.scenario == scenario && row.case == case && row.who == who)?;
        row.figures.iter().find(|(found, _)| *found == name).map(|(_, value)| *value).filter(|value| value.is_finite())
    }

    /// One of our figures as a multiple of another server's.
    fn ratio(&self, row: &Row, name: &str, baseline: &str) -> Option<f64> {
        if !row.who.starts_with(OURS) {
            return None;
        }
        let ours = row.figures.iter().find(|(found, _)| *found == name)?.1;
        let theirs = self.figure(row.scenario, &row.case, baseline, name)?;
        (theirs > 0.0 && ours.is_finite()).then(|| ours / theirs)
    }

    pub fn to_json(&self, plan: &str, machine: &Machine, seconds: f64) -> Value {
        let row = |row: &Row| {
            let figures: Map<_, _> = row.figures.iter().map(|(name, value)| ((*name).to_owned(), rounded(*value))).collect();
            let mut ratios = Map::new();
            for (baseline, _) in BASELINES {
                let of = row
                    .figures
                    .iter()
                    .filter_map(|(name, _)| Some(((*name).to_owned(), rounded(self.ratio(row, name, baseline)?))));
                let of: Map<_, _> = of.collect();
                if !of.is_empty() {
                    ratios.insert(baseline.to_owned(), of.into());
                }
            }
            json!({
                "scenario": row.scenario, "case": row.case, "server": row.who, "figures": figures, "ratios": ratios, "note": row.note,
            })
        };
        json!({
            "plan": plan,
            "seconds": rounded(seconds),
            "machine": machine.to_json(),
            "rows": self.rows.iter().map(row).collect::<Vec<_>>(),
            "targets": targets::of(self).iter().map(targets::Target::to_json).collect::<Vec<_>>(),
        })
    }

    pub fn to_table(&self) -> String {
        let mut text = String::new();
        let mut scenarios: Vec<&str> = self.rows.iter().map(|row| row.scenario).collect();
        scenarios.dedup();
        for scenario in scenarios {
            let mut rows: Vec<&Row> = self.rows.iter().filter(|row| row.scenario == scenario).collect();
            // the servers of a case beside each other, cases as they came
            let cases: Vec<&str> = rows.iter().map(|row| row.case.as_str()).collect();
            rows.sort_by_key(|row| cases.iter().position(|case| *case == row.case));
            // writing to a String cannot fail
            let _ = writeln!(text, "\n{scenario}");
            write_table(&mut text, &self.cells(&rows));
            for row in rows {
                if let Some(note) = &row.note {
                    let _ = writeln!(text, "  note: {}, {}: {note}", row.case, row.who);
                }
            }
        }
        text.push_str("\ntargets\n");
        let mut cells = vec![["", "wanted", "got", ""].map(str::to_owned).to_vec()];
        cells.extend(targets::of(self).iter().map(targets::Target::cells));
        write_table(&mut text, &cells);
        text
    }

    /// A heading, and a line for each row; the ratios are those of a row's first figure.
    fn cells(&self, rows: &[&Row]) -> Vec<Vec<String>> {
        let mut names: Vec<&str> = Vec::new();
        for (name, _) in rows.iter().flat_map(|row| &row.figures) {
            if !names.contains(name) {
                names.push(name);
            }
        }
        let first = |row: &Row| row.figures.first().map(|(name, _)| *name);
        let ratio = |row: &Row, baseline: &str| self.ratio(row, first(row)?, baseline);
        let shown: Vec<_> = BASELINES.iter().filter(|(who, _)| rows.iter().any(|row| ratio(row, who).is_some())).collect();
        let mut heading = vec!["case".to_owned(), "server".to_owned()];
        heading.extend(names.first().map(|name| (*name).to_owned()));
        heading.extend(shown.iter().map(|(_, heading)| (*heading).to_owned()));
        heading.extend(names.iter().skip(1).map(|name| (*name).to_owned()));
        let mut cells = vec![heading];
        for row in rows {
            let value = |name: &str| {
                row.figures.iter().find(|(found, _)| *found == name).map_or_else(String::new, |(_, value)| show(*value))
            };
            let mut line = vec![row.case.clone(), row.who.clone()];
            line.extend(names.first().map(|name| value(name)));
            line.extend(shown.iter().map(|(who, _)| ratio(row, who).map_or_else(String::new, |ratio| format!("{ratio:.2}"))));
            line.extend(names.iter().skip(1).map(|name| value(name)));
            cells.push(line);
        }
        cells
    }
}

/// Columns as wide as they need; the first two to the left, figures to the right.
fn write_table(text: &mut String, lines: &[Vec<String>]) {
    let columns = lines.iter().map(Vec::len).max().unwrap_or(0);
    let width =
        |column: usize| lines.iter().filter_map(|line| line.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    for line in lines {
        let mut out = String::from(" ");
        for (column, (cell, width)) in line.iter().zip(&widths).enumerate() {
            let _ = if column < 2 { write!(out, " {cell:<width$} ") } else { write!(out, " {cell:>width$} ") };
        }
        text.push_str(out.trim_end());
        text.push('\n');
    }
}

/// Three significant digits, and thousands apart; `all` is a multiple of nothing.
pub fn show(value: f64) -> String {
    let size = value.abs();
    if value.is_nan() {
        "-".to_owned()
    } else if value.is_infinite() {
        "all".to_owned()
    } else if size >= 1000.0 {
        let digits = format!("{value:.0}");
        let groups: Vec<&str> = digits.as_bytes().rchunks(3).rev().filter_map(|group| std::str::from_utf8(group).ok()).collect();
        groups.join(",")
    } else if size >= 100.0 || value.fract() == 0.0 {
        format!("{value:.0}")
    } else if size >= 10.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.2}")
    }
}

fn rounded(value: f64) -> Value {
    // JSON has no number for what was not measured
    if value.is_finite() { ((value * 10_000.0).round() / 10_000.0).into() } else { Value::Null }
}
