use proptest::prelude::*;

use super::labels::Labels;
use super::name::{Kind, MetricName, Prefix};
use super::registry::{Limits, Refused, Registry, Taken, Usage, Value};
use super::write::{Change, Write};

fn prefix() -> Prefix {
    Prefix::parse("live_trading").expect("a prefix")
}

fn registry(metrics: usize, series: usize) -> Registry {
    Registry::new(prefix(), Limits { metrics, series, memory: 1 << 20 })
}

fn write(name: &str, label: &str, change: Change) -> Write {
    let labels = Labels::parse(&serde_json::json!({ "k": label }).to_string()).expect("labels");
    Write { name: MetricName::parse(name, &prefix()).expect("a name"), labels, change, help: None, buckets: None }
}

fn number(registry: &Registry, name: &str, label: &str) -> Option<f64> {
    let series = &registry.find(name)?.series;
    match series.iter().find(|(labels, _)| labels.pairs().all(|(_, value)| value == label))?.1 {
        Value::Number(number) => Some(*number),
        Value::Histogram(histogram) => Some(histogram.count() as f64),
    }
}

fn contents(registry: &Registry) -> (String, Usage) {
    (format!("{:?}", registry.metrics().collect::<Vec<_>>()), registry.usage())
}

fn fields(faults: Vec<(usize, crate::domain::fault::FieldFault)>) -> Vec<(usize, String)> {
    faults.into_iter().map(|(index, fault)| (index, fault.field)).collect()
}

fn any_change() -> impl Strategy<Value = Change> {
    let figure = prop_oneof![-1e6_f64..1e6, Just(f64::MAX), Just(0.0)];
    (0..4, figure).prop_map(|(kind, figure)| match kind {
        0 => Change::Add(figure),
        1 => Change::Set(figure),
        2 => Change::Move(figure),
        _ => Change::Observe(figure),
    })
}

fn any_batches() -> impl Strategy<Value = Vec<Vec<(usize, usize, Change)>>> {
    proptest::collection::vec(proptest::collection::vec((0..6_usize, 0..6_usize, any_change()), 1..12), 1..20)
}

const NAMES: [&str; 6] = ["a", "a_count", "a_total", "b", "trades_total", "b_sum"];

proptest! {
    #[test]
    fn a_batch_with_a_fault_leaves_everything_as_it_was_and_limits_hold(batches in any_batches()) {
        let mut registry = registry(3, 4);
        for batch in batches {
            let before = contents(&registry);
            let writes = batch.iter().map(|(name, label, change)| write(NAMES[*name], &label.to_string(), *change)).collect();
            // a reader that still holds what was there
            let snapshot = registry.clone();
            match registry.take(writes) {
                Ok(taken) => prop_assert_eq!(taken.accepted + taken.refused.len(), batch.len()),
                Err(faults) => {
                    prop_assert!(!faults.is_empty());
                    prop_assert_eq!(contents(&registry), before.clone());
                }
            }
            prop_assert_eq!(contents(&snapshot), before);
            prop_assert!(registry.metrics().len() <= 3 + 11);
            let mut exposed = Vec::new();
            for metric in registry.metrics() {
                prop_assert!(metric.series.len() <= 4 + 1, "beside the one without labels");
                exposed.push(metric.name.exposed(metric.kind));
            }
            let distinct: std::collections::BTreeSet<_> = exposed.iter().collect();
            prop_assert_eq!(distinct.len(), exposed.len());
            let series: usize = registry.metrics().map(|metric| metric.series.len()).sum();
            prop_assert_eq!(registry.usage().series, series);
        }
    }

    #[test]
    fn counters_never_fall_and_figures_are_always_finite(batches in any_batches()) {
        let mut registry = registry(10, 10);
        let mut last = std::collections::HashMap::new();
        for (name, label, change) in batches.into_iter().flatten() {
            let _ = registry.take(vec![write(NAMES[name], &label.to_string(), change)]);
            for metric in registry.metrics() {
                for (labels, value) in &metric.series {
                    let figure = match value {
                        Value::Number(number) => *number,
                        Value::Histogram(histogram) => histogram.sum(),
                    };
                    prop_assert!(figure.is_finite());
                    if metric.kind == Kind::Counter {
                        let before = last.insert((metric.name.clone(), labels.clone()), figure);
                        prop_assert!(before.is_none_or(|before| before <= figure));
                    }
                }
            }
        }
    }
}

#[test]
fn a_metric_is_made_once_and_found_by_each_of_its_names() {
    let mut registry = registry(10, 10);
    let batch = vec![write("x_count", "1", Change::Set(5.0)), write("live_trading_x_count", "1", Change::Move(-2.0))];
    assert_eq!(registry.take(batch), Ok(Taken { accepted: 2, refused: vec![] }));
    for name in ["x_count", "live_trading_x_count", "live_trading_x", "x"] {
        assert_eq!(number(&registry, name, "1"), Some(3.0), "{name}");
    }
    assert_eq!(number(&registry, "y", "1"), None);
}

#[test]
fn kinds_buckets_and_names_in_prometheus_must_fit() {
    let mut registry = registry(10, 10);
    let mut first = write("h", "1", Change::Observe(1.0));
    first.buckets = super::histogram::Buckets::new(&[1.0, 2.0]).ok();
    let mut other = write("h", "1", Change::Observe(1.0));
    other.buckets = super::histogram::Buckets::new(&[1.0, 3.0]).ok();
    registry.take(vec![first.clone(), write("h", "2", Change::Observe(9.0)), first]).expect("good");
    let batch = vec![
        write("h", "1", Change::Add(1.0)),
        other,
        write("h_count", "1", Change::Set(1.0)),
        write("trades", "1", Change::Add(1.0)),
        write("positions", "1", Change::Set(1.0)),
        write("trades_total", "1", Change::Set(1.0)),
        write("trades_total", "1", Change::Add(-1.0)),
        write("fine", "1", Change::Add(1.0)),
        write("fine", "1", Change::Set(1.0)),
    ];
    let expected = ["kind", "buckets", "name", "name", "name", "kind", "value"].into_iter().map(str::to_owned).enumerate();
    let expected: Vec<_> = expected.chain([(8, "kind".to_owned())]).collect();
    assert_eq!(fields(registry.take(batch).expect_err("refused")), expected);
    assert_eq!(number(&registry, "fine", "1"), None);
}

#[test]
fn what_finds_no_room_is_left_out_and_the_rest_is_taken() {
    let mut registry = registry(1, 2);
    let batch: Vec<_> = (0..4).map(|n| write("a", &n.to_string(), Change::Add(1.0))).collect();
    let taken = registry.take(batch.clone()).expect("nothing is wrong");
    assert_eq!((taken.accepted, fields(taken.refused)), (2, vec![(2, "labels".to_owned()), (3, "labels".to_owned())]));
    let taken = registry.take([batch, vec![write("b", "1", Change::Add(1.0))]].concat()).expect("nothing is wrong");
    assert_eq!((taken.accepted, taken.refused.len()), (2, 3), "known series go on");
    assert_eq!((number(&registry, "a", "0"), number(&registry, "a", "2")), (Some(2.0), None));
    assert!(matches!(registry.record(write("a", "9", Change::Add(1.0)), true), Err(Refused::NoRoom(_))));
    assert_eq!(registry.record(write("a", "other", Change::Add(1.0)), false), Ok(()), "but for the one of the rest");
}

#[test]
fn memory_is_bounded_and_what_is_taken_back_is_free_again() {
    let mut registry = Registry::new(prefix(), Limits { metrics: 1000, series: 100_000, memory: 64 << 10 });
    let fill = |registry: &mut Registry| {
        let batch = (0..10_000).map(|n| write("a", &format!("{n:0>200}"), Change::Observe(1.0))).collect();
        registry.take(batch).expect("nothing is wrong").accepted
    };
    let used = registry.usage();
    let too_much: Vec<_> = (0..100).map(|n| write("b", &n.to_string(), Change::Add(f64::MAX))).collect();
    let faulty = too_much.into_iter().chain([write("b", "1", Change::Add(f64::MAX))]).collect();
    assert_eq!(fields(registry.take(faulty).expect_err("refused")), [(100, "value".to_owned())]);
    assert_eq!(registry.usage(), used);
    let accepted = fill(&mut registry);
    assert!((50..300).contains(&accepted), "{accepted}");
    assert!(registry.usage().bytes <= 64 << 10);
    assert_eq!(fill(&mut registry), accepted, "only those that are there");
}

#[test]
fn the_first_help_text_holds() {
    let mut registry = registry(10, 10);
    let helped = |help: &str| Write { help: Some(help.to_owned()), ..write("a", "1", Change::Add(1.0)) };
    registry.take(vec![write("a", "1", Change::Add(1.0)), helped("one"), helped("two")]).expect("good");
    assert_eq!(registry.find("a").and_then(|metric| metric.help.as_deref()), Some("one"));
    let before = contents(&registry);
    registry
        .take(vec![Write { help: Some("x".into()), ..write("z", "1", Change::Add(1.0)) }, write("a", "1", Change::Set(1.0))])
        .expect_err("refused");
    assert_eq!(contents(&registry), before);
}
