//! Value at risk and expected shortfall of daily P&L, by six methods.
//!
//! # Signs
//!
//! Losses are positive. `VaR = -(the alpha quantile of P&L)`, alpha being one minus the confidence, and `ES = -(the mean of P&L
//! in the worst share alpha)`. A gain at the quantile is a negative VaR; nothing is floored at zero. `ES >= VaR` always, and
//! both rise with the confidence. Amounts are in the currency of the P&L.
//!
//! # Methods
//!
//! | method | P&L of tomorrow | fewest days | formula in | moves with a shift | 95 % interval |
//! |---|---|---|---|---|---|
//! | `historical` | one of the days | 1 | `sample.rs` | yes | order statistics |
//! | `normal` | normal, sample mean and deviation | 2 | `parametric.rs` | yes | normal theory |
//! | `cornish_fisher` | the same, corrected by G1 and G2 | 4 | `parametric.rs` | yes | none |
//! | `ewma` | normal around zero, weighted squares | 1 | `weighted.rs` | no: zero is its mean | none |
//! | `age_weighted` | one of the days, weighted | 1 | `weighted.rs` | yes | none |
//! | `filtered_historical` | one of the days, rescaled | 1 | `weighted.rs` | no: it scales days about zero | none |
//!
//! "Moves with a shift" says whether a constant added to every day is taken off VaR and ES. A positive factor on every day is a
//! factor on all figures of every method. An interval is `None` where no exact or usual one is known. That of
//! `cornish_fisher` would have to hold the errors of third and fourth moments, and those of the weighted methods the error of
//! a decay that is assumed and not estimated. Days that are all the same lose what they lose, by every method that moves
//! with a shift.
//!
//! # Horizon
//!
//! Over h days everything is multiplied by `sqrt(h)` (RiskMetrics: independent days without a mean). With drift that holds for
//! the distance from the mean, and the mean grows with h: `VaR_h = sqrt(h) (VaR + m) - h m`, m being the mean of what the quantile
//! is taken of (weighted or rescaled days with those methods, zero with `ewma`). The interval of `historical` takes that drift
//! as known; that of `normal` has its error in it. Skewness and kurtosis are not thinned out over the horizon.
//!
//! # Exactness
//!
//! `alpha n` is exact, from the decimal text of the confidence ([`Confidence`]). Everything else is `f64`, computed on days that
//! were divided by a power of two, so that neither 1e300 nor 1e-300 is out of range in between.

mod confidence;
mod parametric;
mod question;
mod sample;
mod weighted;

use serde::Serialize;

pub use confidence::Confidence;
pub use question::{Horizon, Method, Quantile, Question};

use parametric::Moments;

/// What the days say. Amounts in the currency of the P&L, losses positive.
#[derive(Debug, Clone, PartialEq)]
pub struct Estimate {
    /// Value at risk over the horizon; `None` with a reason.
    pub var: Option<f64>,
    /// Expected shortfall over the horizon; there whenever the VaR is.
    pub es: Option<f64>,
    /// Where the true VaR is with 95 %.
    pub interval: Interval,
    /// The P&L at the quantile, which is minus the VaR.
    pub percentile: Option<f64>,
    /// Minus the P&L of the worst single day, whatever the horizon: negative when every day gained.
    pub worst_loss: Option<f64>,
    /// The P&L of the best single day: negative when every day lost.
    pub best_gain: Option<f64>,
    /// Why there is no VaR.
    pub reason: Option<String>,
    /// What to bear in mind with the figures.
    pub warnings: Vec<String>,
}

/// An interval of losses around a VaR.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Interval {
    /// Its probability, 0.95.
    pub level: f64,
    /// The smaller loss; `None` when there is no such bound.
    pub lower: Option<f64>,
    /// The greater loss; `None` when there is no such bound.
    pub upper: Option<f64>,
}

/// Why there is no VaR.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub(in crate::domain::risk) enum Refusal {
    #[error("there is no day with a profit or loss")]
    NoDays,
    #[error("{method} needs {needed} days at least")]
    TooFewDays { method: Method, needed: usize },
    #[error("a day's profit or loss is not a finite number")]
    NotFinite,
    #[error(
        "cornish_fisher does not hold for skewness {skewness:.3} and excess kurtosis {kurtosis:.3}: \
         its quantiles do not rise all the way up to this one"
    )]
    OutsideDomain { skewness: f64, kurtosis: f64 },
    #[error("the figure is too large for a number")]
    TooLarge,
    #[error("the horizon must be one day at least")]
    NoHorizon,
}

/// One-day figures in units of the divided days.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Figures {
    var: f64,
    es: f64,
    /// Mean of the distribution that the quantile is taken of.
    centre: f64,
}

/// VaR, expected shortfall and what belongs to them, from the P&L of days, oldest first.
///
/// Never a NaN or an infinity: what cannot be told is `None` with a reason. For fewer than `1 / alpha` days there is a
/// warning, since then the tail is less than one day.
///
/// ```
/// use plimsoll::domain::risk::var::{Confidence, Horizon, Method, Quantile, Question, estimate};
///
/// let days: Vec<f64> = (1..=20).map(|day| f64::from(day) - 6.0).collect();
/// let confidence = Confidence::parse("0.95").expect("in range");
/// let question = Question { confidence, method: Method::Historical, quantile: Quantile::Order, horizon: Horizon::ONE_DAY };
/// let answer = estimate(&days, &question);
/// assert_eq!((answer.var, answer.es), (Some(4.0), Some(5.0)));
/// ```
#[must_use]
pub fn estimate(pnl: &[f64], question: &Question) -> Estimate {
    let finite = || pnl.iter().copied().filter(|day| day.is_finite());
    let needed = question.confidence.days_needed();
    let is_short = !pnl.is_empty() && pnl.len() < needed;
    let warning = || format!("{} days are few for a confidence of {}: take {needed} at least", pnl.len(), question.confidence);
    let mut estimate = Estimate {
        var: None,
        es: None,
        interval: Interval { level: 0.95, lower: None, upper: None },
        percentile: None,
        worst_loss: finite().min_by(f64::total_cmp).map(|day| plain(-day)),
        best_gain: finite().max_by(f64::total_cmp).map(plain),
        reason: None,
        warnings: is_short.then(warning).into_iter().collect(),
    };
    match scaled(pnl, question) {
        Ok((var, es, (lower, upper))) => {
            estimate.var = Some(var);
            estimate.es = Some(es);
            estimate.percentile = Some(plain(-var));
            estimate.interval.lower = lower;
            estimate.interval.upper = upper;
        }
        Err(refusal) => estimate.reason = Some(refusal.to_string()),
    }
    estimate
}

/// The bounds of an interval of losses.
type Bounds = (Option<f64>, Option<f64>);

/// VaR, expected shortfall and interval over the horizon, in the currency.
fn scaled(pnl: &[f64], question: &Question) -> Result<(f64, f64, Bounds), Refusal> {
    let Question { confidence, method, quantile, horizon } = *question;
    let (unit, mut days) = divided(pnl)?;
    if horizon.days == 0 {
        return Err(Refusal::NoHorizon);
    }
    if method == Method::Historical {
        // so that not even the last digit of a sum depends on the order of days
        days.sort_unstable_by(f64::total_cmp);
    }
    let figures = figures(&mut days, confidence, method, quantile)?;
    let (length, root) = (f64::from(horizon.days), f64::from(horizon.days).sqrt());
    let drift = if horizon.drift { (root - length) * figures.centre } else { 0.0 };
    let over_horizon = |loss: f64| Some(plain((root * loss + drift) * unit)).filter(|loss| loss.is_finite());
    let (lower, upper) = match method {
        Method::Historical => sample::interval(&mut days, confidence),
        Method::Normal => {
            let mean_weight = if horizon.drift { length } else { 1.0 };
            let reach = Moments::of(&days).normal_reach(days.len(), confidence, mean_weight);
            (Some(figures.var - reach), Some(figures.var + reach))
        }
        Method::CornishFisher | Method::Ewma | Method::AgeWeighted | Method::FilteredHistorical => (None, None),
    };
    let var = over_horizon(figures.var).ok_or(Refusal::TooLarge)?;
    let es = over_horizon(figures.es).ok_or(Refusal::TooLarge)?;
    Ok((var, es, (lower.and_then(over_horizon), upper.and_then(over_horizon))))
}

/// The VaR of the next day alone, for those who ask for thousands of them.
pub(in crate::domain::risk) fn forecast(
    pnl: &[f64],
    confidence: Confidence,
    method: Method,
    quantile: Quantile,
) -> Result<f64, Refusal> {
    let (unit, mut days) = divided(pnl)?;
    let var = figures(&mut days, confidence, method, quantile)?.var * unit;
    if var.is_finite() { Ok(plain(var)) } else { Err(Refusal::TooLarge) }
}

/// One-day figures of divided days, of which there is at least one.
fn figures(days: &mut [f64], confidence: Confidence, method: Method, quantile: Quantile) -> Result<Figures, Refusal> {
    let needed = parametric::days_needed(method);
    if days.len() < needed {
        return Err(Refusal::TooFewDays { method, needed });
    }
    let of_sample = |days: &mut [f64]| Figures {
        centre: Moments::of(days).mean,
        var: sample::loss_quantile(days, confidence, quantile),
        es: sample::tail_mean_loss(days, confidence),
    };
    let figures = match method {
        Method::Historical => of_sample(days),
        Method::FilteredHistorical => of_sample(&mut weighted::filtered(days)),
        Method::AgeWeighted => weighted::age_weighted(days, confidence),
        Method::Ewma => weighted::ewma(days, confidence),
        Method::Normal => Moments::of(days).normal(confidence),
        Method::CornishFisher => Moments::of(days).cornish_fisher(confidence)?,
    };
    // it is never below but for the last digit
    Ok(Figures { es: figures.es.max(figures.var), ..figures })
}

/// The days in units of the power of two at or below the greatest of them, and that unit: exact, and within -2 and 2.
fn divided(pnl: &[f64]) -> Result<(f64, Vec<f64>), Refusal> {
    if pnl.is_empty() {
        return Err(Refusal::NoDays);
    }
    let greatest = pnl.iter().try_fold(0.0_f64, |greatest, day| day.is_finite().then(|| greatest.max(day.abs())));
    let greatest = greatest.ok_or(Refusal::NotFinite)?;
    const EXPONENT: u64 = 0x7ff << 52;
    let unit = f64::from_bits(greatest.to_bits() & EXPONENT).max(f64::MIN_POSITIVE);
    Ok((unit, pnl.iter().map(|day| day / unit).collect()))
}

/// Zero without a sign.
fn plain(value: f64) -> f64 {
    value + 0.0
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod reference;
#[cfg(test)]
pub(in crate::domain::risk) mod series;
