//! What holds of every series, and of the odd ones.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const METHODS: [Method; 6] = Method::ALL;
/// Those that a shift of every day moves by itself.
const SHIFTED: [Method; 4] = [Method::Historical, Method::Normal, Method::CornishFisher, Method::AgeWeighted];

fn thousandths(value: u32) -> Confidence {
    Confidence::parse(&format!("0.{value:03}")).expect("in range")
}

fn ask(confidence: Confidence, method: Method, quantile: Quantile) -> Question {
    Question { confidence, method, quantile, horizon: Horizon::ONE_DAY }
}

fn one_day(days: &[f64], question: Question) -> Option<[f64; 2]> {
    let found = estimate(days, &question);
    assert_eq!(found.var.is_some(), found.es.is_some());
    assert_eq!(found.var.is_none(), found.reason.is_some());
    found.var.zip(found.es).map(|(var, es)| [var, es])
}

fn confidences() -> impl Strategy<Value = Confidence> {
    (500_u32..=990).prop_map(thousandths)
}

/// Amounts of any kind, or few kinds, so that days tie; at least `least` days.
fn series(least: usize) -> impl Strategy<Value = Vec<f64>> {
    let whole = vec((-4_i8..=4).prop_map(f64::from), least..60);
    prop_oneof![vec(-1e6..1e6, least..120), whole, (-1e3..1e3, least..60).prop_map(|(day, count)| vec![day; count])]
}

fn greatest(days: &[f64]) -> f64 {
    days.iter().fold(0.0, |greatest, day| day.abs().max(greatest))
}

/// Every question of a confidence.
fn all(confidence: Confidence) -> impl Iterator<Item = Question> {
    METHODS.into_iter().flat_map(move |method| Quantile::ALL.map(|quantile| ask(confidence, method, quantile)))
}

proptest! {
    #[test]
    fn var_and_shortfall_rise_with_confidence_and_the_shortfall_is_never_below(
        days in series(1), one in 500_u32..=990, other in 500_u32..=990,
    ) {
        let slack = 1e-12 * greatest(&days);
        let (low, high) = (thousandths(one.min(other)), thousandths(one.max(other)));
        for (lower, higher) in all(low).zip(all(high)) {
            let lower = one_day(&days, lower);
            prop_assert!(lower.is_none_or(|[var, es]| es >= var), "{:?} of {:?}", lower, higher.method);
            // what holds at a lower confidence holds at a higher one
            if let Some([var, es]) = lower {
                let [above, es_above] = one_day(&days, higher).expect("holds higher up too");
                prop_assert!(above >= var - slack && es_above >= es - slack, "{higher:?}");
            }
        }
    }

    #[test]
    fn a_factor_on_every_day_is_a_factor_on_every_figure(days in series(1), factor in 1e-3..1e3_f64, confidence in confidences()) {
        let scaled: Vec<f64> = days.iter().map(|day| day * factor).collect();
        for question in all(confidence) {
            // at the very edge of its domain cornish_fisher may hold for one of both
            if let (Some(before), Some(after)) = (one_day(&days, question), one_day(&scaled, question)) {
                for (before, after) in before.iter().zip(after) {
                    prop_assert!((before * factor - after).abs() <= 1e-7 * factor * greatest(&days), "{question:?}");
                }
            }
        }
    }

    #[test]
    fn a_power_of_two_on_every_day_changes_no_digit(days in series(1), power in -500_i32..500, confidence in confidences()) {
        let factor = 2.0_f64.powi(power);
        let scaled: Vec<f64> = days.iter().map(|day| day * factor).collect();
        for question in all(confidence) {
            let before = one_day(&days, question).map(|figures| figures.map(|figure| figure * factor));
            prop_assert_eq!(before, one_day(&scaled, question), "{:?}", question);
        }
    }

    #[test]
    fn a_gain_on_every_day_comes_off_every_figure(days in series(1), gain in -1e6..1e6_f64, confidence in confidences()) {
        let shifted: Vec<f64> = days.iter().map(|day| day + gain).collect();
        for question in all(confidence).filter(|question| SHIFTED.contains(&question.method)) {
            if let (Some(before), Some(after)) = (one_day(&days, question), one_day(&shifted, question)) {
                // the third and fourth powers of days that differ by a last digit only are not known better
                let is_flat = question.method == Method::CornishFisher && Moments::of(&shifted).deviation < 1e-6 * gain.abs();
                for (before, after) in before.iter().zip(after).filter(|_| !is_flat) {
                    prop_assert!((before - gain - after).abs() <= 1e-6 * (1.0 + greatest(&days) + gain.abs()), "{question:?}");
                }
            }
        }
    }

    #[test]
    fn the_order_of_days_changes_no_digit_of_historical(
        (days, shuffled) in series(1).prop_flat_map(|days| (Just(days.clone()), Just(days).prop_shuffle())),
        confidence in confidences(), days_ahead in 1_u32..30, drift: bool,
    ) {
        for quantile in Quantile::ALL {
            let horizon = Horizon { days: days_ahead, drift };
            let question = Question { horizon, ..ask(confidence, Method::Historical, quantile) };
            prop_assert_eq!(estimate(&days, &question), estimate(&shuffled, &question));
        }
    }

    #[test]
    fn order_and_inverse_cdf_are_the_days_that_a_count_finds(days in series(1), confidence in confidences()) {
        // alpha in thousandths, as whole numbers
        let alpha = 1000 - (confidence.as_f64() * 1000.0).round() as usize;
        let share = |count: usize| (count * 1000).cmp(&(alpha * days.len()));
        let below = |at: f64| days.iter().filter(|day| **day < at).count();
        let up_to = |at: f64| days.iter().filter(|day| **day <= at).count();
        let order = days.iter().copied().filter(|at| share(below(*at)).is_le()).fold(f64::MIN, f64::max);
        let inverse = days.iter().copied().filter(|at| share(up_to(*at)).is_ge()).fold(f64::MAX, f64::min);
        for (quantile, at) in [(Quantile::Order, order), (Quantile::InverseCdf, inverse)] {
            let [var, _] = one_day(&days, ask(confidence, Method::Historical, quantile)).expect("a VaR");
            prop_assert_eq!(var, -at, "{}", quantile);
        }
    }

    #[test]
    fn nothing_but_finite_numbers_comes_out(
        days in vec(proptest::num::f64::ANY, 0..30), confidence in confidences(), days_ahead: u32, drift: bool,
    ) {
        for question in all(confidence) {
            let found = estimate(&days, &Question { horizon: Horizon { days: days_ahead, drift }, ..question });
            prop_assert_eq!(found.var.is_none(), found.reason.is_some());
            let Interval { lower, upper, .. } = found.interval;
            let numbers = [found.var, found.es, found.percentile, found.worst_loss, found.best_gain, lower, upper];
            prop_assert!(numbers.into_iter().flatten().all(f64::is_finite), "{:?}", found);
            prop_assert!(days.iter().all(|day| day.is_finite()) || found.var.is_none());
            let Some(var) = found.var else { continue };
            prop_assert!(found.es.is_some_and(|es| es >= var) && found.percentile == Some(-var));
        }
    }
}

#[test]
fn no_days_or_too_few_say_why() {
    let reason = |days: &[f64], method| estimate(days, &ask(thousandths(950), method, Quantile::Order)).reason;
    for method in METHODS {
        assert_eq!(reason(&[], method).as_deref(), Some("there is no day with a profit or loss"));
        assert_eq!(reason(&[1.0; 4], method), None);
        assert_eq!(reason(&[1.0, f64::NAN], method).as_deref(), Some("a day's profit or loss is not a finite number"));
    }
    assert_eq!(reason(&[1.0], Method::Normal).as_deref(), Some("normal needs 2 days at least"));
    assert_eq!(reason(&[1.0, 2.0, 3.0], Method::CornishFisher).as_deref(), Some("cornish_fisher needs 4 days at least"));
    let even = reason(&[-2.0, -1.0, 1.0, 2.0], Method::CornishFisher).expect("light tails");
    assert!(even.contains("skewness 0.000 and excess kurtosis -3.3"), "{even}");
    let horizon = Horizon { days: 0, drift: false };
    let never = estimate(&[1.0], &Question { horizon, ..ask(thousandths(950), Method::Historical, Quantile::Order) });
    assert_eq!(never.reason.as_deref(), Some("the horizon must be one day at least"));
    assert_eq!((never.worst_loss, never.best_gain), (Some(-1.0), Some(1.0)));
}

#[test]
fn a_tail_of_less_than_one_day_is_warned_of() {
    let warnings =
        |count, confidence| estimate(&vec![1.0; count], &ask(confidence, Method::Historical, Quantile::Order)).warnings;
    assert_eq!(warnings(19, thousandths(950)), ["19 days are few for a confidence of 0.95: take 20 at least"]);
    assert!(warnings(20, thousandths(950)).is_empty() && warnings(100, thousandths(990)).is_empty());
    assert!(warnings(0, thousandths(950)).is_empty() && !warnings(99, thousandths(990)).is_empty());
}

#[test]
fn gains_at_the_quantile_are_negative_and_the_same_every_day_is_known_exactly() {
    for day in [0.1, -0.1, 0.0, 1e300, -1e-310] {
        for question in SHIFTED.map(|method| ask(thousandths(950), method, Quantile::Linear)) {
            assert_eq!(one_day(&[day; 25], question), Some([-day; 2]), "{question:?}");
        }
    }
    let found = estimate(&[0.0; 25], &ask(thousandths(950), Method::Ewma, Quantile::Order));
    assert!(found.var.is_some_and(|var| var == 0.0 && var.is_sign_positive()));
}

#[test]
fn what_is_too_large_for_a_number_is_refused_and_what_is_huge_is_not() {
    let days: Vec<f64> = (0..40).map(|n| if n % 4 == 0 { -1e300 } else { 1e300 }).collect();
    for method in [Method::Historical, Method::Normal, Method::Ewma, Method::AgeWeighted, Method::FilteredHistorical] {
        let [var, es] = one_day(&days, ask(thousandths(950), method, Quantile::Order)).expect("it fits");
        assert!(var > 9e299 && es < 3e300, "{method}: {var} {es}");
    }
    let horizon = Horizon { days: u32::MAX, drift: false };
    let far = Question { horizon, ..ask(thousandths(950), Method::Normal, Quantile::Order) };
    let huge: Vec<f64> = days.iter().map(|day| day * 1e6).collect();
    assert_eq!(estimate(&huge, &far).reason.as_deref(), Some("the figure is too large for a number"));
}
