//! VaR and expected shortfall from the moments of the days: normal, Cornish-Fisher, and a normal distribution of a given
//! deviation.

use statrs::distribution::{Continuous as _, ContinuousCDF as _, Normal};

use super::confidence::Confidence;
use super::{Figures, Method, Refusal};

/// The normal tail at a confidence.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tail {
    /// The alpha quantile, zero or below.
    pub(super) z: f64,
    /// Minus the mean beyond it: `phi(z) / alpha`.
    pub(super) mean: f64,
}

impl Tail {
    pub(super) fn at(confidence: Confidence) -> Self {
        let (alpha, normal) = (confidence.alpha(), Normal::standard());
        let z = normal.inverse_cdf(alpha);
        Self { z, mean: normal.pdf(z) / alpha }
    }
}

/// Sample moments of days.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Moments {
    pub(super) mean: f64,
    /// Sample standard deviation `s`, with n - 1.
    pub(super) deviation: f64,
    /// Adjusted Fisher-Pearson skewness `G1 = sqrt(n (n - 1)) / (n - 2) * m3 / m2^1.5`; 0 for days that are all equal.
    pub(super) skewness: f64,
    /// Unbiased excess kurtosis `G2 = (n - 1) / ((n - 2) (n - 3)) * ((n + 1) (m4 / m2^2 - 3) + 6)`; likewise.
    pub(super) kurtosis: f64,
}

impl Moments {
    /// Of two days and more; from four days on with all of them. The corrections are those of D. N. Joanes and C. A. Gill,
    /// "Comparing measures of sample skewness and kurtosis", The Statistician 47, 1998 (SAS, SPSS, Excel, pandas).
    pub(super) fn of(days: &[f64]) -> Self {
        let n = days.len() as f64;
        // against the first day, so that equal days deviate by nothing at all
        let first = days.first().copied().unwrap_or(0.0);
        let shift = mean(days.iter().map(|day| day - first), n);
        let power = |exponent| mean(days.iter().map(|day| (day - first - shift).powi(exponent)), n);
        let (m2, m3, m4) = (power(2), power(3), power(4));
        let deviation = if days.len() < 2 { 0.0 } else { (m2 * (n / (n - 1.0))).sqrt() };
        let (skewness, kurtosis) = if m2 > 0.0 && days.len() >= 4 {
            let excess = m4 / (m2 * m2) - 3.0;
            let skewness = (n * (n - 1.0)).sqrt() / (n - 2.0) * m3 / m2.powf(1.5);
            (skewness, (n - 1.0) / ((n - 2.0) * (n - 3.0)) * ((n + 1.0) * excess + 6.0))
        } else {
            (0.0, 0.0)
        };
        Self { mean: first + shift, deviation, skewness, kurtosis }
    }

    /// A normal distribution of this mean and deviation: `VaR = -z s - mean`, `ES = s phi(z) / alpha - mean`.
    pub(super) fn normal(&self, confidence: Confidence) -> Figures {
        let tail = Tail::at(confidence);
        let (var, es) = (-tail.z * self.deviation - self.mean, tail.mean * self.deviation - self.mean);
        Figures { var, es, centre: self.mean }
    }

    /// How far the 95 % interval of [`normal`](Self::normal) goes to either side: 1.96 standard errors
    /// `s sqrt(1 / n + z^2 / (2 (n - 1)))`, the first term for the mean and the second for the deviation (P. Jorion, "Risk2:
    /// Measuring the Risk in Value at Risk", Financial Analysts Journal 52, 1996). `mean_weight` multiplies the first: the
    /// variance of the mean's part where a horizon scales it otherwise than the deviation.
    pub(super) fn normal_reach(&self, n: usize, confidence: Confidence, mean_weight: f64) -> f64 {
        let (n, z) = (n as f64, Tail::at(confidence).z);
        Normal::standard().inverse_cdf(0.975) * self.deviation * (mean_weight / n + z * z / (2.0 * (n - 1.0))).sqrt()
    }

    /// The quantile of a distribution with this skewness S and excess kurtosis K, expanded about the normal one:
    /// `VaR = -(mean + s z')`, `z' = z + (z^2 - 1) S / 6 + (z^3 - 3 z) K / 24 - (2 z^3 - 5 z) S^2 / 36`
    /// (E. A. Cornish and R. A. Fisher, 1938; J. P. Morgan/Reuters, "RiskMetrics Technical Document", 1996).
    ///
    /// `ES = -(1 / alpha) * integral of (mean + s z'(u)) phi(u) du up to z`, which is in closed form
    /// `-mean + s phi(z) / alpha * (1 + z S / 6 + (z^2 - 1) K / 24 - (2 z^2 - 1) S^2 / 36)`
    /// (D. Maillard, "A User's Guide to the Cornish Fisher Expansion", 2012).
    ///
    /// # Errors
    ///
    /// Outside the expansion's domain of validity: where z' does not rise with z all the way up to the quantile it is no
    /// quantile of anything. See [`rises_up_to`](Self::rises_up_to).
    pub(super) fn cornish_fisher(&self, confidence: Confidence) -> Result<Figures, Refusal> {
        let Tail { z, mean } = Tail::at(confidence);
        let (skewness, kurtosis) = (self.skewness, self.kurtosis);
        if !self.rises_up_to(z) {
            return Err(Refusal::OutsideDomain { skewness, kurtosis });
        }
        let (s, k, s2) = (skewness / 6.0, kurtosis / 24.0, skewness * skewness / 36.0);
        let quantile = z + (z * z - 1.0) * s + (z * z - 3.0) * z * k - (2.0 * z * z - 5.0) * z * s2;
        let beyond = mean * (1.0 + z * s + (z * z - 1.0) * k - (2.0 * z * z - 1.0) * s2);
        let (var, es) = (-quantile * self.deviation - self.mean, beyond * self.deviation - self.mean);
        Ok(Figures { var, es, centre: self.mean })
    }

    /// Whether `dz'/du > 0` for every u up to and with z. It is the parabola `a u^2 + b u + c` with `a = K / 8 - S^2 / 6`,
    /// `b = S / 3`, `c = 1 - K / 8 + 5 S^2 / 36`; what goes on to minus infinity is decided by its leading term, so a kurtosis
    /// below `4 S^2 / 3` (of zero, too, unless S is zero as well) is always outside.
    fn rises_up_to(&self, z: f64) -> bool {
        let (s, k) = (self.skewness, self.kurtosis);
        let (a, b, c) = (k / 8.0 - s * s / 6.0, s / 3.0, 1.0 - k / 8.0 + 5.0 * s * s / 36.0);
        let slope = |u: f64| (a * u + b) * u + c;
        if a > 0.0 {
            // lowest at its vertex, or at z when that comes first
            slope((-b / (2.0 * a)).min(z)) > 0.0
        } else {
            a == 0.0 && b <= 0.0 && slope(z) > 0.0
        }
    }
}

/// The mean of `values`, of which there are `n`.
fn mean(values: impl Iterator<Item = f64>, n: f64) -> f64 {
    values.sum::<f64>() / n
}

/// The fewest days that a method can say anything from.
pub(super) fn days_needed(method: Method) -> usize {
    match method {
        Method::Normal => 2,
        Method::CornishFisher => 4,
        Method::Historical | Method::Ewma | Method::AgeWeighted | Method::FilteredHistorical => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(skewness: f64, kurtosis: f64) -> Moments {
        Moments { mean: 10.0, deviation: 100.0, skewness, kurtosis }
    }

    #[test]
    fn without_skewness_and_kurtosis_cornish_fisher_is_the_normal_distribution() {
        let confidence = Confidence::parse("0.975").expect("in range");
        assert_eq!(of(0.0, 0.0).cornish_fisher(confidence), Ok(of(0.0, 0.0).normal(confidence)));
    }

    #[test]
    fn an_expansion_that_falls_anywhere_below_the_quantile_is_refused() {
        let confidence = Confidence::parse("0.95").expect("in range");
        let holds = |skewness, kurtosis| of(skewness, kurtosis).cornish_fisher(confidence).is_ok();
        assert!(holds(0.0, 1.0) && holds(-0.5, 2.0) && holds(0.5, 2.0) && holds(1.0, 5.6) && holds(-1.6, 11.5));
        assert!(!holds(0.0, -0.5), "light tails fall far out");
        assert!(!holds(-1.0, 1.0) && !holds(-3.0, 11.9), "below 4/3 of the squared skewness");
        assert!(!holds(3.0, 12.5), "the vertex is below the quantile, and under zero");
        assert!(!holds(1e-3, 0.0) && !holds(f64::NAN, 1.0));
        // the same parabola, asked at points: it agrees with a grid
        for (skewness, kurtosis) in [(2.0, 6.0), (2.0, 7.0), (1.5, 4.0), (-2.5, 9.0), (-0.1, 0.02), (0.3, 0.2), (3.0, 20.0)] {
            let z = Tail::at(confidence).z;
            let slope = |u: f64| {
                let (s, k): (f64, f64) = (skewness, kurtosis);
                1.0 + u * s / 3.0 + (3.0 * u * u - 3.0) * k / 24.0 - (6.0 * u * u - 5.0) * s * s / 36.0
            };
            let rises = (0..1_000_000).all(|step| slope(z - f64::from(step) * 1e-3) > 0.0);
            assert_eq!(holds(skewness, kurtosis), rises, "skewness {skewness}, kurtosis {kurtosis}");
        }
    }
}
