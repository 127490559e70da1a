//! VaR of a year of days, and a backtest of the longest series that a route takes.
//!
//! `cargo bench --bench var`.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use plimsoll::domain::risk::backtest::backtest;
use plimsoll::domain::risk::var::{Confidence, Horizon, Method, Quantile, Question, estimate};

/// Days without a pattern, seeded.
fn days(count: usize) -> Vec<f64> {
    let mut random = fastrand::Rng::with_seed(7);
    (0..count).map(|_| (0..12).map(|_| random.f64()).sum::<f64>() * 1000.0 - 5900.0).collect()
}

fn of_a_year(criterion: &mut Criterion) {
    let (year, confidence) = (days(365), Confidence::parse("0.95").expect("in range"));
    let mut group = criterion.benchmark_group("VaR, shortfall and interval of 365 days");
    for method in Method::ALL {
        let question = Question { confidence, method, quantile: Quantile::Order, horizon: Horizon::ONE_DAY };
        group.bench_with_input(BenchmarkId::from_parameter(method), &question, |bencher, question| {
            bencher.iter(|| black_box(estimate(black_box(&year), question)));
        });
    }
    group.finish();
}

fn of_many_years(criterion: &mut Criterion) {
    let (days, confidence) = (days(10_000), Confidence::parse("0.95").expect("in range"));
    let mut group = criterion.benchmark_group("backtest of 10,000 days");
    group.sample_size(10);
    for window in [250, 5_000] {
        for method in Method::ALL {
            group.bench_with_input(BenchmarkId::new(method.as_str(), window), &method, |bencher, method| {
                bencher.iter(|| black_box(backtest(black_box(&days), window, confidence, *method, Quantile::Order)));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, of_a_year, of_many_years);
criterion_main!(benches);
