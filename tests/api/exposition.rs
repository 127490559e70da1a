//! Prometheus text as a strict reader reads it, and the table of `docs/metrics.md`.

use std::collections::{BTreeMap, BTreeSet};

/// One line with a value.
#[derive(Debug)]
pub struct Sample {
    pub name: String,
    pub labels: BTreeMap<String, String>,
    pub value: f64,
}

/// One metric.
#[derive(Debug, Default)]
pub struct Family {
    pub help: String,
    pub kind: String,
    pub samples: Vec<Sample>,
}

impl Family {
    /// Names of its labels, without that of buckets.
    pub fn labels(&self) -> BTreeSet<String> {
        self.samples.iter().flat_map(|sample| sample.labels.keys()).filter(|name| *name != "le").cloned().collect()
    }
}

/// A page of metrics.
#[derive(Debug, Default)]
pub struct Exposition {
    pub families: BTreeMap<String, Family>,
}

impl Exposition {
    #[track_caller]
    pub fn parse(text: &str) -> Exposition {
        let mut page = Exposition::default();
        let mut current = String::new();
        assert!(text.ends_with('\n'), "the last line ends");
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').expect("a help text");
                let family = Family { help: help.to_owned(), ..Family::default() };
                assert!(page.families.insert(name.to_owned(), family).is_none(), "{name} is there twice");
                current = name.to_owned();
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').expect("a type");
                assert_eq!(name, current, "the type follows the help");
                page.families.get_mut(name).unwrap().kind = kind.to_owned();
            } else {
                let sample = sample(line);
                let family = page.families.get_mut(&current).expect("a family");
                let suffix = sample.name.strip_prefix(&current).unwrap_or_else(|| panic!("{line} under {current}"));
                let suffixes: &[&str] = if family.kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
                assert!(suffixes.contains(&suffix), "{line} under {current}");
                family.samples.push(sample);
            }
        }
        page
    }

    /// What every page must hold to.
    #[track_caller]
    pub fn check(&self) {
        for (name, family) in &self.families {
            assert!(family.help.ends_with('.') && family.help.len() > 5, "{name}: {}", family.help);
            assert_eq!(name.ends_with("_total"), family.kind == "counter", "{name} is a {}", family.kind);
            let series: BTreeSet<_> = family.samples.iter().map(|sample| (&sample.name, &sample.labels)).collect();
            assert_eq!(series.len(), family.samples.len(), "{name} has a series twice");
            assert!(!family.samples.is_empty(), "{name} has no series");
            assert!(family.samples.iter().all(|sample| sample.value.is_finite()), "{name}");
            let buckets: Vec<_> = family.samples.iter().filter(|sample| sample.name.ends_with("_bucket")).collect();
            for pair in buckets.windows(2).filter(|pair| pair[0].labels["le"] != "+Inf") {
                assert!(pair[0].value <= pair[1].value, "{name}: buckets add up");
            }
        }
    }

    /// The value of the series with exactly these labels.
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let labels: BTreeMap<String, String> =
            labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let mut samples = self.families.values().flat_map(|family| &family.samples);
        samples.find(|sample| sample.name == name && sample.labels == labels).map(|sample| sample.value)
    }

    /// The sum over all series.
    pub fn sum(&self, name: &str) -> f64 {
        self.families[name].samples.iter().map(|sample| sample.value).sum()
    }
}

fn sample(line: &str) -> Sample {
    let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no value: {line}"));
    let value = value.parse().unwrap_or_else(|_| panic!("no number: {line}"));
    let (name, labels) =
        series.split_once('{').map_or((series, ""), |(name, labels)| (name, labels.strip_suffix('}').expect("}")));
    let mut found = BTreeMap::new();
    let mut rest = labels;
    while !rest.is_empty() {
        let (label, quoted) = rest.split_once("=\"").unwrap_or_else(|| panic!("no label: {line}"));
        let mut text = String::new();
        let mut characters = quoted.char_indices();
        let end = loop {
            match characters.next().unwrap_or_else(|| panic!("no end of a label: {line}")) {
                (at, '"') => break at,
                (_, '\\') => text.push(match characters.next() {
                    Some((_, 'n')) => '\n',
                    Some((_, each @ ('"' | '\\'))) => each,
                    other => panic!("{other:?} is escaped: {line}"),
                }),
                (_, each) => text.push(each),
            }
        };
        assert!(found.insert(label.to_owned(), text).is_none(), "a label twice: {line}");
        rest = &quoted[end + 1..];
        rest = rest.strip_prefix(',').unwrap_or(rest);
    }
    Sample { name: name.to_owned(), labels: found, value }
}

/// A row of the documentation.
#[derive(Debug)]
pub struct Documented {
    pub kind: String,
    pub labels: BTreeSet<String>,
}

/// The metrics by `docs/metrics.md`.
pub fn documented() -> BTreeMap<String, Documented> {
    let text = include_str!("../../docs/metrics.md");
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `"));
    let mut found = BTreeMap::new();
    for row in rows {
        let cells: Vec<&str> = row.trim_end_matches('|').split('|').map(str::trim).collect();
        let [name, kind, labels, ..] = cells[..] else { panic!("no row: {row}") };
        let name = name.trim_end_matches('`').to_owned();
        let labels = labels.split(',').map(|label| label.trim().trim_matches('`').to_owned()).filter(|label| !label.is_empty());
        let row = Documented { kind: kind.to_owned(), labels: labels.collect() };
        assert!(found.insert(name.clone(), row).is_none(), "{name} is documented twice");
    }
    found
}
