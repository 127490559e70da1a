use proptest::prelude::*;

use super::super::var::series::{NET_PNL, nifty};
use super::*;

fn of(text: &str) -> Confidence {
    Confidence::parse(text).expect(text)
}

fn assert_close(ours: f64, theirs: f64, tolerance: f64) {
    assert!((ours - theirs).abs() <= tolerance * theirs.abs(), "{ours} is not {theirs}");
}

/// Days in order from the indices of the exceptions.
fn hits(days: usize, exceptions: &[usize]) -> Vec<Option<bool>> {
    (0..days).map(|day| Some(exceptions.contains(&day))).collect()
}

#[test]
fn the_published_case_of_mathworks_comes_out_to_the_printed_digit() {
    // MATLAB, Risk Management Toolbox, varbacktest: pof, cci and cc print the likelihood ratios, tl the cumulative probability
    let confidence = of("0.95");
    let pof = kupiec(1043, 57, confidence).expect("a test");
    let counts = christoffersen(Transitions { n00: 932, n01: 53, n10: 53, n11: 4 }, Some(pof));
    let (cci, cc) = (counts.independence.expect("a test"), counts.conditional_coverage.expect("a test"));
    let light = traffic_light(1043, 57, confidence).expect("a light");
    let printed = [pof.lr, cci.lr, cc.lr, light.cumulative_probability].map(|figure| format!("{figure:.5}"));
    assert_eq!(printed, ["0.46147", "0.25866", "0.72013", "0.77913"]);
    assert_eq!(light.zone, Zone::Green);
    // scipy 1.17.1: -2 (binom.logpmf(57, 1043, 0.05) - binom.logpmf(57, 1043, 57 / 1043)), chi2.sf(lr, 1);
    // contingency.chi2_contingency(table, correction=False, lambda_="log-likelihood"); chi2.sf(sum, 2); binom.cdf(57, 1043, 0.05)
    for (ours, theirs) in [
        (pof.lr, 0.4614663953290261),
        (pof.p_value, 0.49693944768035625),
        (cci.lr, 0.25866315258610273),
        (cci.p_value, 0.6110400778477307),
        (cc.lr, 0.7201295479151288),
        (cc.p_value, 0.6976311362778693),
        (light.cumulative_probability, 0.7791272433328124),
    ] {
        assert_close(ours, theirs, 1e-9);
    }
}

/// Confidence, window, method, exceptions, POF's and independence's LR and p, conditional coverage's, F(x).
type Case = (&'static str, usize, Method, &'static [usize], [f64; 2], [f64; 2], [f64; 2], f64);

#[test]
fn real_series_agree_with_skfolio_and_scipy() {
    // exceptions: -x[t] > forecast(x[t - w:t]) with skfolio 1.12.2 value_at_risk, scipy 1.17.1 norm.ppf of mean and std(ddof=1),
    // and pandas 3.1.1 ewm(alpha=0.06).mean() of squares; the tests with scipy as in the case above
    let pnl: [Case; 3] = [
        (
            "0.9",
            20,
            Method::Historical,
            &[21, 25, 34, 42, 46, 65, 66, 69, 76, 78, 82, 83],
            [2.58698529454, 0.107745238353],
            [0.00212628768045, 0.963221231018],
            [2.58911158222, 0.274019559224],
            0.965693632793,
        ),
        (
            "0.95",
            20,
            Method::Normal,
            &[21, 34, 42, 76],
            [0.0171863898435, 0.895698675605],
            [0.457391967885, 0.498845369386],
            [0.474578357728, 0.788763161399],
            0.678851637338,
        ),
        (
            "0.95",
            40,
            Method::Ewma,
            &[42, 76],
            [0.236899482489, 0.626454495349],
            [0.153884106819, 0.694850860741],
            [0.390783589309, 0.822512338981],
            0.476803221081,
        ),
    ];
    let index: [Case; 2] = [
        (
            "0.95",
            60,
            Method::Historical,
            &[82, 100, 130, 140, 141],
            [0.013626104985, 0.907073296314],
            [1.42753657471, 0.23216689186],
            [1.44116267969, 0.486469369712],
            0.660906524642,
        ),
        (
            "0.95",
            40,
            Method::Ewma,
            &[48, 66, 67, 82, 100, 140, 141],
            [0.268301039525, 0.604473732807],
            [3.85282179161, 0.0496623723146],
            [4.12112283114, 0.127382435334],
            0.781908433087,
        ),
    ];
    let nifty = nifty();
    let cases = pnl.iter().map(|case| (&NET_PNL[..], case)).chain(index.iter().map(|case| (&nifty[..], case)));
    for (days, (confidence, window, method, exceptions, pof, independence, coverage, probability)) in cases {
        let found = backtest(days, *window, of(confidence), *method, Quantile::Order);
        assert_eq!(found.exception_indices, *exceptions, "{method} {window}");
        assert_eq!((found.forecasts, found.exceptions), (days.len() - window, exceptions.len()));
        let tests = [found.kupiec, found.christoffersen.independence, found.christoffersen.conditional_coverage];
        for (ours, [lr, p_value]) in tests.into_iter().zip([pof, independence, coverage]) {
            let ours = ours.expect("a test");
            assert_close(ours.lr, *lr, 1e-9);
            assert_close(ours.p_value, *p_value, 1e-9);
        }
        let light = found.traffic_light.expect("a light");
        assert_close(light.cumulative_probability, *probability, 1e-9);
        assert_eq!(light.zone, if *probability < 0.95 { Zone::Green } else { Zone::Yellow });
    }
}

#[test]
fn p_values_agree_with_scipy_far_out_too() {
    // scipy 1.17.1: chi2.sf(lr, 1), chi2.sf(lr, 2)
    for (lr, one, two) in [
        (1e-8, 0.999920211544, 0.999999995),
        (1e-3, 0.97477287937, 0.999500124979),
        (3.84, 0.0500435212487, 0.14660696213),
        (30.0, 4.32046305783e-08, 3.05902320502e-07),
        (200.0, 2.08848758376e-45, 3.72007597602e-44),
    ] {
        assert_close(test(lr / 2.0, 1.0).expect("a test").p_value, one, 1e-9);
        assert_close(test(lr / 2.0, 2.0).expect("a test").p_value, two, 1e-9);
    }
    assert_eq!(test(-1e-17, 1.0), Some(Test { lr: 0.0, p_value: 1.0 }));
}

#[test]
fn basels_zones_of_250_days_at_99_percent_begin_at_5_and_10() {
    let zone = |exceptions| traffic_light(250, exceptions, of("0.99")).expect("a light").zone;
    let zones = [(0, Zone::Green), (4, Zone::Green), (5, Zone::Yellow), (9, Zone::Yellow), (10, Zone::Red), (250, Zone::Red)];
    assert!(zones.iter().all(|(exceptions, expected)| zone(*exceptions) == *expected));
    // scipy 1.17.1: binom.cdf(x, 250, 0.01); the Basel document prints 89.22, 95.88, 99.97 and 99.99 %
    for (exceptions, theirs) in [(4, 0.892187626904), (5, 0.95881681593), (9, 0.999749809931), (10, 0.999946101371)] {
        let light = traffic_light(250, exceptions, of("0.99")).expect("a light");
        assert_close(light.cumulative_probability, theirs, 1e-9);
    }
    assert_eq!(traffic_light(3, 0, of("0.99")).map(|light| light.zone), Some(Zone::Green), "though F(0) is 97 %");
}

#[test]
fn a_loss_as_large_as_the_forecast_is_no_exception() {
    let flat = backtest(&[-0.1; 60], 20, of("0.95"), Method::Normal, Quantile::Order);
    assert_eq!((flat.forecasts, flat.exceptions, flat.expected), (40, 0, 2.0));
    let steps: Vec<f64> = [-1.0; 20].into_iter().chain([-1.0, -1.0000001]).collect();
    assert_eq!(backtest(&steps, 20, of("0.95"), Method::Historical, Quantile::Order).exception_indices, [21]);
}

#[test]
fn without_exceptions_the_tests_are_defined_and_nothing_is_said_of_independence() {
    let quiet = judge(&hits(100, &[]), of("0.95"));
    // -2 * 100 * ln 0.95
    assert_close(quiet.kupiec.expect("a test").lr, -200.0 * 0.95_f64.ln(), 1e-12);
    assert_eq!(quiet.christoffersen.independence, Some(Test { lr: 0.0, p_value: 1.0 }));
    assert_eq!(quiet.warnings, ["no exception has a forecast day after it: nothing is known of their independence"]);
    let all = judge(&hits(10, &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]), of("0.95"));
    assert_close(all.kupiec.expect("a test").lr, -20.0 * 0.05_f64.ln(), 1e-12);
    assert_eq!(all.christoffersen.independence, Some(Test { lr: 0.0, p_value: 1.0 }));
    assert_eq!(all.traffic_light.map(|light| light.zone), Some(Zone::Red));
}

#[test]
fn one_forecast_or_none_leaves_out_what_it_cannot_tell() {
    let one = judge(&hits(1, &[0]), of("0.95"));
    assert!(one.kupiec.is_some() && one.traffic_light.is_some());
    assert_eq!((one.christoffersen.independence, one.christoffersen.conditional_coverage), (None, None));
    for (days, window) in [(0, 250), (250, 250), (3, usize::MAX)] {
        let none = backtest(&vec![1.0; days], window, of("0.95"), Method::Historical, Quantile::Order);
        assert_eq!((none.forecasts, none.kupiec, none.traffic_light), (0, None, None));
        assert_eq!(none.warnings[0], format!("{days} days leave none to forecast after a window of {window}"));
    }
    assert_eq!((kupiec(0, 0, of("0.95")), kupiec(3, 4, of("0.95")), traffic_light(3, 4, of("0.95"))), (None, None, None));
}

#[test]
fn days_without_a_forecast_count_nowhere_and_are_told_of() {
    let found = judge(&[Some(true), None, Some(true), Some(false), Some(false)], of("0.9"));
    assert_eq!((found.forecasts, found.exception_indices), (4, vec![0, 2]));
    let Christoffersen { n00, n01, n10, n11, .. } = found.christoffersen;
    assert_eq!((n00, n01, n10, n11), (1, 0, 1, 0));
    // windows of four days with light tails are outside the domain of Cornish and Fisher
    let even: Vec<f64> = (0..30).map(|day| f64::from(day % 4)).collect();
    let refused = backtest(&even, 4, of("0.9"), Method::CornishFisher, Quantile::Order);
    assert_eq!((refused.forecasts, refused.kupiec), (0, None));
    let [missing, short] = &refused.warnings[..] else { panic!("{:?}", refused.warnings) };
    assert!(missing.starts_with("26 of 26 days have no forecast, the first because cornish_fisher does not hold"), "{missing}");
    assert_eq!(short, "a window of 4 days is short for a confidence of 0.9: take 10 at least");
    let empty = backtest(&even, 0, of("0.9"), Method::Historical, Quantile::Order);
    assert_eq!(empty.forecasts, 0);
}

#[test]
fn answers_read_as_the_contract_says() {
    let found = judge(&hits(20, &[3, 4]), of("0.95"));
    let json = serde_json::to_value(found.christoffersen).expect("json");
    let names: Vec<&String> = json.as_object().expect("an object").keys().collect();
    assert_eq!(names, ["n00", "n01", "n10", "n11", "independence", "conditional_coverage"]);
    assert!(json["independence"]["lr"].is_number() && json["independence"]["p_value"].is_number());
    let light = serde_json::to_value(found.traffic_light).expect("json");
    assert_eq!((&light["zone"], &light["exceptions"], &light["observations"]), (&"green".into(), &2.into(), &20.into()));
}

proptest! {
    #[test]
    fn every_sequence_gives_probabilities_and_pairs_that_add_up(
        hits in proptest::collection::vec(proptest::option::weighted(0.9, any::<bool>()), 0..200), thousandths in 500_u32..=990,
    ) {
        let found = judge(&hits, of(&format!("0.{thousandths}")));
        let Christoffersen { n00, n01, n10, n11, independence, conditional_coverage } = found.christoffersen;
        let pairs = hits.windows(2).filter(|pair| pair.iter().all(Option::is_some)).count();
        prop_assert_eq!(n00 + n01 + n10 + n11, pairs as u64);
        for test in [found.kupiec, independence, conditional_coverage].into_iter().flatten() {
            prop_assert!(test.lr >= 0.0 && test.lr.is_finite() && (0.0..=1.0).contains(&test.p_value), "{:?}", test);
        }
        prop_assert_eq!(found.kupiec.is_some(), found.forecasts > 0);
        prop_assert!(found.traffic_light.is_none_or(|light| (0.0..=1.0 + 1e-12).contains(&light.cumulative_probability)));
    }

    #[test]
    fn an_exception_is_a_day_that_loses_more_than_an_estimate_of_the_evening_before(
        days in proptest::collection::vec(-100_i32..100, 0..60), window in 1_usize..20,
    ) {
        use super::super::var::{Horizon, Question, estimate};
        let days: Vec<f64> = days.into_iter().map(f64::from).collect();
        for method in Method::ALL {
            let question = Question { confidence: of("0.9"), method, quantile: Quantile::Weibull, horizon: Horizon::ONE_DAY };
            let lost_more = |day: &usize| estimate(&days[day - window..*day], &question).var.is_some_and(|var| -days[*day] > var);
            let expected: Vec<usize> = (window..days.len()).filter(lost_more).collect();
            let found = backtest(&days, window, question.confidence, method, question.quantile);
            prop_assert_eq!(found.exception_indices, expected, "{}", method);
        }
    }
}
