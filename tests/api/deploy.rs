//! What is under `deploy/` is made for the metrics that there are.

use std::collections::BTreeSet;

use serde_json::Value;

/// Every name in `docs/metrics.md`, and what a histogram is asked by.
fn documented() -> BTreeSet<String> {
    let text = include_str!("../../docs/metrics.md");
    let mut names = BTreeSet::new();
    for row in text.lines().filter_map(|line| line.strip_prefix("| `")) {
        let (name, rest) = row.split_once('`').expect("a name");
        if rest.starts_with(" | histogram") {
            names.extend(["_bucket", "_sum", "_count"].map(|suffix| format!("{name}{suffix}")));
        } else {
            names.insert(name.to_owned());
        }
    }
    names
}

/// The metrics that an expression names.
fn named(expression: &str) -> impl Iterator<Item = &str> {
    let words = expression.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    words.filter(|word| ["plimsoll_", "process_", "live_trading_"].iter().any(|prefix| word.starts_with(prefix)))
}

#[track_caller]
fn check<'a>(expressions: impl IntoIterator<Item = &'a str>) -> usize {
    let documented = documented();
    let names: BTreeSet<&str> = expressions.into_iter().flat_map(named).collect();
    let unknown: Vec<_> = names.iter().filter(|name| !documented.contains(**name)).collect();
    assert!(unknown.is_empty(), "docs/metrics.md lacks {unknown:?}");
    names.len()
}

#[test]
fn every_metric_of_the_dashboard_exists_and_every_panel_has_a_place_of_its_own() {
    let board: Value = serde_json::from_str(include_str!("../../deploy/grafana/plimsoll.json")).expect("JSON");
    let panels = board["panels"].as_array().expect("panels");
    let targets = panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten();
    let marks = board["annotations"]["list"].as_array().expect("annotations");
    let variables = board["templating"]["list"].as_array().expect("variables").iter();
    let expressions = targets.chain(marks).map(|asks| asks["expr"].as_str().expect("an expression"));
    assert!(check(expressions.chain(variables.filter_map(|variable| variable["query"]["query"].as_str()))) > 50);

    let ids: BTreeSet<i64> = panels.iter().map(|panel| panel["id"].as_i64().expect("an id")).collect();
    assert_eq!(ids.len(), panels.len());
    let mut cells = BTreeSet::new();
    for panel in panels {
        let [x, y, w, h] = ["x", "y", "w", "h"].map(|key| panel["gridPos"][key].as_u64().expect("a place"));
        assert!(x + w <= 24, "{}", panel["title"]);
        for cell in (x..x + w).flat_map(|column| (y..y + h).map(move |line| (column, line))) {
            assert!(cells.insert(cell), "{} lies over another panel", panel["title"]);
        }
    }
}

#[test]
fn every_metric_of_the_alerts_exists_and_every_alert_says_what_and_why() {
    let rules: Value = serde_yaml::from_str(include_str!("../../deploy/prometheus/alerts.yml")).expect("YAML");
    let groups = rules["groups"].as_array().expect("groups");
    let rules: Vec<&Value> = groups.iter().filter_map(|group| group["rules"].as_array()).flatten().collect();
    assert!(check(rules.iter().map(|rule| rule["expr"].as_str().expect("an expression"))) > 20);
    let mut names = BTreeSet::new();
    for rule in rules {
        let name = rule["alert"].as_str().expect("a name");
        assert!(names.insert(name), "{name} is there twice");
        for key in ["summary", "description"] {
            assert!(rule["annotations"][key].as_str().is_some_and(|text| text.len() > 20), "{name}: {key}");
        }
        assert!(matches!(rule["labels"]["severity"].as_str(), Some("warning" | "critical")), "{name}");
    }
}

#[test]
fn the_tests_of_the_alerts_name_metrics_that_exist() {
    let tests: Value = serde_yaml::from_str(include_str!("../../deploy/prometheus/alerts_test.yml")).expect("YAML");
    let tests = tests["tests"].as_array().expect("tests");
    let series = tests.iter().filter_map(|test| test["input_series"].as_array()).flatten();
    assert!(check(series.map(|each| each["series"].as_str().expect("a series"))) > 10);
}
