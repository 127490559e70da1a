//! Agreement with other packages on real series, to eight significant digits and more.
//!
//! The figures were printed with twelve digits by Python 3.11 with numpy 2.4.6, scipy 1.17.1, pandas 3.1.1, skfolio 1.12.2,
//! arch 8.0.0 and QuantLib 1.44, for `x` one of the series, oldest first, `c` the confidence and `a` alpha as decimal literals:
//!
//! - `historical`: `skfolio.measures.value_at_risk(x, beta=c)`, `-numpy.quantile(x, a, method=...)` with `inverted_cdf`, `linear`
//!   (also `pandas.Series(x).quantile(a)`) and `weibull` (also `scipy.stats.mstats.mquantiles(x, [a], 0, 0)`), and
//!   `skfolio.measures.cvar(x, beta=c)`;
//! - `normal`: `q = scipy.stats.norm.ppf(a, x.mean(), x.std(ddof=1))`, `-q` and `-norm.expect(lambda u: u, loc, scale, ub=q) / a`;
//! - `cornish_fisher`: its formula with `scipy.stats.skew(x, bias=False)` and `scipy.stats.kurtosis(x, bias=False)` at
//!   `norm.ppf(a)`, and `scipy.integrate.quad` over it times `norm.pdf` below that, divided by a;
//! - `ewma`: as `normal`, of mean 0 and variance `(pandas.Series(x) ** 2).ewm(alpha=0.06, adjust=True).mean().iloc[-1]`;
//! - `age_weighted`: `value_at_risk` and `cvar` of skfolio with `sample_weight=0.98 ** numpy.arange(len(x))[::-1]`;
//! - `filtered`: `y = x * numpy.sqrt(s[-1] / s[:-1])`, s from `arch.univariate.EWMAVariance(0.94).compute_variance` with the mean of
//!   `x ** 2` as backcast; `value_at_risk(y, beta=c)`, `-numpy.quantile(y, a)`, `cvar(y, beta=c)`.

use super::series::{NET_PNL, nifty};
use super::*;

struct Row {
    series: &'static str,
    confidence: &'static str,
    /// VaR by `order`, `inverse_cdf`, `linear`, `weibull`; expected shortfall.
    historical: [f64; 5],
    /// VaR and expected shortfall, as with the next three.
    normal: [f64; 2],
    cornish_fisher: [f64; 2],
    ewma: [f64; 2],
    age_weighted: [f64; 2],
    /// VaR by `order` and `linear`; expected shortfall.
    filtered: [f64; 3],
}

const ROWS: [Row; 8] = [
    Row {
        series: "NET_PNL",
        confidence: "0.9",
        historical: [16012.35, 16012.35, 15665.49, 16253.71, 25616.8763158],
        normal: [20694.9506395, 28312.4713112],
        cornish_fisher: [13381.9455757, 24800.1630343],
        ewma: [19073.5499071, 26119.7152165],
        age_weighted: [16012.35, 23928.4015755],
        filtered: [16681.7637444, 15909.2489555, 26527.6045973],
    },
    Row {
        series: "NET_PNL",
        confidence: "0.95",
        historical: [21827.6, 21827.6, 20476.74, 22696.82, 33154.1157895],
        normal: [26540.4836878, 33263.8412158],
        cornish_fisher: [19863.8211605, 33481.5297678],
        ewma: [24480.6362748, 30699.7055255],
        age_weighted: [19897.8, 30745.4130309],
        filtered: [22914.4643695, 22759.6065926, 33638.8812265],
    },
    Row {
        series: "NET_PNL",
        confidence: "0.975",
        historical: [26356.45, 26356.45, 26292.4875, 31324.33, 41458.8921053],
        normal: [31610.6118397, 37690.0412505],
        cornish_fisher: [27937.7464501, 43654.661909],
        ewma: [29170.4773185, 34793.9165531],
        age_weighted: [26356.45, 36825.2954605],
        filtered: [27608.6804258, 27600.1017903, 41161.786208],
    },
    Row {
        series: "NET_PNL",
        confidence: "0.99",
        historical: [53944.95, 53944.95, 35794.772, 53944.95, 53944.95],
        normal: [37505.7315265, 42958.0937251],
        cornish_fisher: [40943.9081996, 59262.6692939],
        ewma: [34623.4310579, 39666.8365219],
        age_weighted: [34636.25, 50464.9524413],
        filtered: [48588.1762785, 39404.0327342, 48588.1762785],
    },
    Row {
        series: "nifty",
        confidence: "0.9",
        historical: [200.05, 200.05, 199.31, 203.07, 367.462903226],
        normal: [246.015248611, 344.387858473],
        cornish_fisher: [139.647909317, 521.690040617],
        ewma: [266.804484265, 365.367599709],
        age_weighted: [207.6, 396.890343205],
        filtered: [224.894194268, 222.883010111, 427.37024341],
    },
    Row {
        series: "nifty",
        confidence: "0.95",
        historical: [267.95, 267.95, 257.835, 275.67, 508.130645161],
        normal: [321.504422422, 408.32981556],
        cornish_fisher: [356.737947488, 812.712371984],
        ewma: [342.439848251, 429.433384962],
        age_weighted: [267.95, 565.462133625],
        filtered: [354.148665413, 347.296344796, 568.115838765],
    },
    Row {
        series: "nifty",
        confidence: "0.975",
        historical: [351.65, 351.65, 340.5575, 361.92, 701.727419355],
        normal: [386.980022703, 465.489732539],
        cornish_fisher: [630.574711145, 1151.81267084],
        ewma: [408.042246706, 486.7039962],
        age_weighted: [351.65, 815.988651867],
        filtered: [513.086256036, 489.645466204, 741.396305119],
    },
    Row {
        series: "nifty",
        confidence: "0.99",
        historical: [647.65, 647.65, 543.268, 938.864, 1074.65],
        normal: [463.109558024, 533.521326185],
        cornish_fisher: [1067.33459805, 1665.27208733],
        ewma: [484.319212307, 554.867337869],
        age_weighted: [647.65, 1112.57555475],
        filtered: [692.365956717, 607.778518519, 1017.20837105],
    },
];

fn of(text: &str) -> Confidence {
    Confidence::parse(text).expect(text)
}

fn ask(confidence: &str, method: Method, quantile: Quantile) -> Question {
    Question { confidence: of(confidence), method, quantile, horizon: Horizon::ONE_DAY }
}

fn figures(days: &[f64], question: &Question) -> [f64; 2] {
    let found = estimate(days, question);
    [found.var.expect("a VaR"), found.es.expect("a shortfall")]
}

fn assert_close(ours: f64, theirs: f64, tolerance: f64, what: &str) {
    assert!((ours - theirs).abs() <= tolerance * theirs.abs(), "{what}: {ours} is not {theirs}");
}

#[test]
fn figures_agree_with_numpy_scipy_pandas_skfolio_and_arch() {
    for row in ROWS {
        let days = if row.series == "nifty" { nifty() } else { NET_PNL.to_vec() };
        let check = |method: Method, quantile: Quantile, theirs: [f64; 2]| {
            let ours = figures(&days, &ask(row.confidence, method, quantile));
            let what = format!("{} {} {method} {quantile}", row.series, row.confidence);
            ours.iter().zip(theirs).for_each(|(ours, theirs)| assert_close(*ours, theirs, 1e-10, &what));
        };
        let [order, inverse_cdf, linear, weibull, es] = row.historical;
        for (quantile, var) in Quantile::ALL.into_iter().zip([order, inverse_cdf, linear, weibull]) {
            check(Method::Historical, quantile, [var, es]);
        }
        check(Method::Normal, Quantile::Order, row.normal);
        check(Method::CornishFisher, Quantile::Order, row.cornish_fisher);
        check(Method::Ewma, Quantile::Order, row.ewma);
        check(Method::AgeWeighted, Quantile::Order, row.age_weighted);
        let [order, linear, es] = row.filtered;
        check(Method::FilteredHistorical, Quantile::Order, [order, es]);
        check(Method::FilteredHistorical, Quantile::Linear, [linear, es]);
    }
}

#[test]
fn figures_agree_with_quantlib() {
    // QuantLib 1.44: s = RiskStatistics(), s.add(each); s.valueAtRisk(c)
    for (count, confidence, theirs) in [
        (20, "0.95", 13168.7),
        (40, "0.95", 19897.8),
        (95, "0.95", 21827.6),
        (95, "0.9", 16012.35),
        (95, "0.975", 26356.45),
        (95, "0.99", 53944.95),
    ] {
        let [var, _] = figures(&NET_PNL[..count], &ask(confidence, Method::Historical, Quantile::Order));
        assert_eq!(var, theirs, "{count} days, {confidence}");
    }
    // -InverseCumulativeNormal(s.mean(), s.standardDeviation())(1 - c), which is itself good for nine digits
    for (confidence, theirs) in [("0.9", 20694.9506169), ("0.95", 26540.4836586), ("0.99", 37505.7315321)] {
        let [var, _] = figures(&NET_PNL, &ask(confidence, Method::Normal, Quantile::Order));
        assert_close(var, theirs, 5e-9, confidence);
    }
    // s.mean(), s.standardDeviation(), s.skewness(), s.kurtosis()
    let moments = Moments::of(&NET_PNL);
    let ours = [moments.mean, moments.deviation, moments.skewness, moments.kurtosis];
    let theirs = [-74.7757894737, 16090.0079282, 0.994472925417, 5.63384876902];
    ours.iter().zip(theirs).for_each(|(ours, theirs)| assert_close(*ours, theirs, 1e-11, "moment"));
}

#[test]
fn where_alpha_n_is_whole_the_ranks_are_those_of_skfolio_and_numpy() {
    // value_at_risk(x[:n], beta=c), -quantile(x[:n], a, method="inverted_cdf"), cvar(x[:n], beta=c)
    for (count, confidence, order, inverse_cdf, es) in [
        (20, "0.95", 13168.7, 34636.25, 34636.25),
        (40, "0.95", 19897.8, 21827.6, 28231.925),
        (40, "0.9", 13168.7, 18300.4, 23665.5125),
    ] {
        let days = &NET_PNL[..count];
        let question = |quantile| ask(confidence, Method::Historical, quantile);
        assert_eq!(figures(days, &question(Quantile::Order))[0], order, "{count} days, {confidence}");
        assert_eq!(figures(days, &question(Quantile::InverseCdf))[0], inverse_cdf, "{count} days, {confidence}");
        assert_close(figures(days, &question(Quantile::Order))[1], es, 1e-11, confidence);
    }
}

#[test]
fn a_longer_horizon_scales_with_the_square_root_or_with_the_drift() {
    // numpy and scipy as above: m, s, z = norm.ppf(0.05), h = 10; norm.ppf(0.975) standard errors to either side
    let normal = |days, drift| {
        let horizon = Horizon { days, drift };
        let found = estimate(&NET_PNL, &Question { horizon, ..ask("0.95", Method::Normal, Quantile::Order) });
        [found.interval.lower.expect("a bound"), found.var.expect("a VaR"), found.interval.upper.expect("a bound")]
    };
    let one_day = [21562.463876, 26540.4836878, 31518.5034996];
    for (ours, theirs) in [
        (normal(1, false), one_day),
        (normal(1, true), one_day),
        (normal(10, false), [68186.4978132, 83928.378656, 99670.2594988]),
        (normal(10, true), [49943.6866964, 84439.6747422, 118935.662788]),
    ] {
        ours.iter().zip(theirs).for_each(|(ours, theirs)| assert_close(*ours, theirs, 1e-11, "horizon"));
    }
    let over_ten = |drift| Question { horizon: Horizon { days: 10, drift }, ..ask("0.95", Method::Historical, Quantile::Order) };
    assert_close(figures(&NET_PNL, &over_ten(true))[0], 69536.2279413, 1e-11, "historical with drift");
    assert_close(figures(&NET_PNL, &over_ten(false))[0], 21827.6 * 10.0_f64.sqrt(), 1e-11, "historical");
}

#[test]
fn the_interval_of_historical_is_between_two_days() {
    // scipy: b = binom.ppf([0.025, 0.975], n, 0.05); minus the days of one-based rank b[1] + 1 and b[0]
    let found = estimate(&NET_PNL, &ask("0.95", Method::Historical, Quantile::Order));
    assert_eq!(found.interval, Interval { level: 0.95, lower: Some(16012.35), upper: Some(53944.95) });
    assert_eq!((found.percentile, found.worst_loss, found.best_gain), (Some(-21827.6), Some(53944.95), Some(73452.25)));
    assert!(found.warnings.is_empty() && found.reason.is_none());
    let index = estimate(&nifty(), &ask("0.95", Method::Historical, Quantile::Linear)).interval;
    assert_close(index.lower.expect("a bound"), 214.25, 1e-11, "lower");
    assert_close(index.upper.expect("a bound"), 454.35, 1e-11, "upper");
}
