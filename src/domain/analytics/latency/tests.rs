use hdrhistogram::Histogram;
use proptest::prelude::*;

use super::*;
use crate::domain::analytics::order::tests::entry;

fn of(samples: &[u64]) -> Latencies {
    let mut latencies = Latencies::default();
    samples.iter().for_each(|micros| latencies.record(*micros));
    latencies
}

fn encoded(latencies: &Latencies) -> Latencies {
    let mut read = Latencies::default();
    read.merge_encoded(&latencies.encode()).expect("our own");
    read
}

/// The sample of the nearest rank.
fn exact(samples: &[u64], percent: u64) -> u64 {
    let mut sorted: Vec<u64> = samples.iter().map(|micros| (*micros).min(LONGEST)).collect();
    sorted.sort_unstable();
    sorted[(sorted.len() as u64 * percent).div_ceil(100).max(1) as usize - 1]
}

fn sample() -> impl Strategy<Value = u64> {
    prop_oneof![0_u64..5_000, 0_u64..2_000_000, 0..2 * LONGEST, (0_u32..37).prop_map(|power| 1 << power), Just(LONGEST)]
}

proptest! {
    #[test]
    fn parts_that_are_merged_are_one_histogram_of_all_samples(parts in proptest::collection::vec(proptest::collection::vec(sample(), 0..50), 0..8)) {
        let mut merged = Latencies::default();
        for part in &parts {
            merged.merge_encoded(&of(part).encode()).expect("our own");
        }
        prop_assert_eq!(merged, of(&parts.concat()));
    }

    #[test]
    fn a_percentile_is_within_a_thousandth_of_the_exact_nearest_rank(samples in proptest::collection::vec(sample(), 1..300), percent in 0_u8..=100) {
        let exact = exact(&samples, percent.into());
        let found = of(&samples).percentile(percent).expect("samples");
        prop_assert!(found >= exact && found - exact <= exact / 1000, "{found} {exact}");
        prop_assert!(samples.iter().any(|micros| (*micros).min(LONGEST) == found), "it is one of the samples");
    }

    #[test]
    fn buckets_and_percentiles_are_those_of_an_hdr_histogram(samples in proptest::collection::vec(sample(), 1..200), percent in 1_u8..=100) {
        let mut reference = Histogram::<u64>::new_with_bounds(1, LONGEST, 3).expect("bounds");
        for micros in &samples {
            reference.record((*micros).min(LONGEST)).expect("in bounds");
            let micros = (*micros).min(LONGEST);
            prop_assert_eq!(smallest_of(bucket_of(micros)), reference.lowest_equivalent(micros));
            prop_assert_eq!(smallest_of(bucket_of(micros) + 1), reference.next_non_equivalent(micros));
        }
        let exact = exact(&samples, percent.into());
        let found = of(&samples).percentile(percent).expect("samples");
        prop_assert!(reference.equivalent(found, exact));
    }

    #[test]
    fn bytes_that_are_none_of_ours_are_refused_or_read_and_never_a_surprise(bytes in proptest::collection::vec(any::<u8>(), 0..64), honest in proptest::collection::vec(sample(), 0..9), cut in any::<prop::sample::Index>()) {
        let mut latencies = Latencies::default();
        let mut with_version = vec![VERSION];
        with_version.extend(&bytes);
        let _ = (latencies.merge_encoded(&bytes), latencies.merge_encoded(&with_version));
        let whole = of(&honest).encode();
        let _ = latencies.merge_encoded(&whole[..cut.index(whole.len())]);
        let _ = latencies.figures();
    }
}

#[test]
fn figures_of_samples_that_were_computed_by_hand() {
    let figures = |millis: &[u64]| of(&millis.iter().map(|millis| millis * 1000).collect::<Vec<_>>()).figures();
    assert_eq!(figures(&[]), None);
    assert_eq!(figures(&[0]), Some(LatencyFigures { avg_ms: 0.0, p95_ms: 0.0, p99_ms: 0.0 }));
    assert_eq!(figures(&[240]), Some(LatencyFigures { avg_ms: 240.0, p95_ms: 240.0, p99_ms: 240.0 }));
    assert_eq!(figures(&[7, 7, 7]), Some(LatencyFigures { avg_ms: 7.0, p95_ms: 7.0, p99_ms: 7.0 }));
    // of ten, rank ceil(9.5) is the last; of twenty, rank 19 is the last but one
    assert_eq!(figures(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]).expect("ten").p95_ms, 10.0);
    let twenty: Vec<u64> = (1..=20).collect();
    assert_eq!(figures(&twenty), Some(LatencyFigures { avg_ms: 10.5, p95_ms: 19.0, p99_ms: 20.0 }));
    let hundred: Vec<u64> = (1..=100).rev().collect();
    assert_eq!(figures(&hundred), Some(LatencyFigures { avg_ms: 50.5, p95_ms: 95.0, p99_ms: 99.0 }));
}

#[test]
fn what_takes_longer_than_a_day_is_counted_as_a_day_and_said() {
    let latencies = of(&[LONGEST, LONGEST + 1, u64::MAX]);
    assert_eq!((latencies.count(), latencies.clamped(), latencies.percentile(99)), (3, 2, Some(LONGEST)));
    assert_eq!(encoded(&latencies), latencies);
}

#[test]
fn another_version_or_a_bucket_beyond_the_last_is_refused() {
    let mut latencies = Latencies::default();
    assert_eq!(latencies.merge_encoded(&[]), None);
    assert_eq!(latencies.merge_encoded(&[VERSION + 1, 0, 0]), None);
    assert_eq!(latencies.merge_encoded(&[VERSION, 0, 0, 0xff, 0xff, 0xff, 0x7f, 1, 0]), None);
    assert_eq!(latencies, Latencies::default());
}

fn latency(event_type: &str, payload: &str) -> Option<Latency> {
    match entry(event_type, (7, 5), None, payload)?.kind {
        Kind::Latency(latency) => Some(latency),
        Kind::Order(order) => order.latency,
        other => panic!("no latency: {other:?}"),
    }
}

#[test]
fn a_sample_is_read_to_the_microsecond() {
    let read = |raw: &str| {
        let payload = format!(r#"{{"script_name":"s","latency_ms":{raw}}}"#);
        latency("api_latency", &payload).map(|latency| latency.micros)
    };
    assert_eq!(read("0.25"), Some(250));
    assert_eq!(read("63.4545"), Some(63_455));
    assert_eq!(read("-0.0"), Some(0));
    assert_eq!(read("1e-9"), Some(0));
    assert_eq!(read("1e300"), Some(u64::MAX));
    assert_eq!(read("3600000"), Some(3_600_000_000));
    for no_time in ["-1", "-0.001", "\"5\"", "null", "true"] {
        assert_eq!(read(no_time), None, "{no_time}");
    }
    assert_eq!(latency("api_latency", r#"{"latency_ms":1}"#), None);
}

#[test]
fn an_order_may_have_a_latency_with_or_without_a_script() {
    let order = |more: &str| latency("order_event", &format!(r#"{{"order_id":1,"status":"filled"{more}}}"#));
    assert_eq!(order(r#","api_latency_ms":12"#), Some(Latency { script_name: None, micros: 12_000 }));
    let placer = Some(Latency { script_name: Some("placer".into()), micros: 12_000 });
    assert_eq!(order(r#","api_latency_ms":12,"script_name":"placer""#), placer);
    assert_eq!(order(r#","api_latency_ms":null"#), None);
    assert_eq!(order(r#","api_latency_ms":-1"#), None);
    assert_eq!(order(""), None);
}

#[test]
fn slices_are_cut_from_the_epoch_before_it_too() {
    let start = |micros| slice_of(Timestamp::from_micros(micros)).micros();
    assert_eq!([start(0), start(SLICE - 1), start(SLICE), start(-1)], [0, 0, SLICE, -SLICE]);
}
