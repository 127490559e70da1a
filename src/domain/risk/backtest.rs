//! Whether a VaR would have held: a forecast every evening, compared with the day after it.
//!
//! An *exception* is a day whose loss is strictly greater than the forecast of the evening before. A good VaR has as many of
//! them as its confidence says (Kupiec), not one after the other (Christoffersen), and no more than a supervisor bears with
//! (Basel). LR statistics are minus twice a log likelihood ratio, here in the form `2 * sum of observed ln(observed /
//! expected)`, with `0 ln 0 = 0`; p-values are those of the chi-squared distribution.

use serde::Serialize;
use statrs::distribution::{Binomial, ChiSquared, ContinuousCDF as _, DiscreteCDF as _};

use super::var::{Confidence, Method, Quantile, Refusal, forecast};

/// Probability of that many exceptions or fewer at which the yellow zone begins, and the red one.
const YELLOW: f64 = 0.95;
const RED: f64 = 0.9999;

/// What a backtest found.
#[derive(Debug, Clone, PartialEq)]
pub struct Backtest {
    /// Days that were forecast.
    pub forecasts: usize,
    /// Those of them that lost more than was forecast.
    pub exceptions: usize,
    /// Exceptions that are to be expected: alpha times the forecasts.
    pub expected: f64,
    /// The exceptions, as indices of the days that were given, ascending.
    pub exception_indices: Vec<usize>,
    /// Whether there are as many as expected; `None` without forecasts.
    pub kupiec: Option<Test>,
    /// Whether they come one after the other.
    pub christoffersen: Christoffersen,
    /// Whether there are too many; `None` without forecasts.
    pub traffic_light: Option<TrafficLight>,
    /// What to bear in mind, and why something is missing.
    pub warnings: Vec<String>,
}

/// A likelihood ratio test.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Test {
    /// The statistic, zero or above.
    pub lr: f64,
    /// Probability of a statistic as large or larger if the VaR is right.
    pub p_value: f64,
}

/// How days follow one another: `n01` counts days without an exception that were followed by one with, and so on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Transitions {
    /// None after none.
    pub n00: u64,
    /// An exception after none.
    pub n01: u64,
    /// None after an exception.
    pub n10: u64,
    /// An exception after an exception.
    pub n11: u64,
}

/// Christoffersen's two tests and what they are made of.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Christoffersen {
    /// Pairs of days, none after none.
    pub n00: u64,
    /// An exception after none.
    pub n01: u64,
    /// None after an exception.
    pub n10: u64,
    /// An exception after an exception.
    pub n11: u64,
    /// Whether an exception is as likely after an exception as after none; `None` without a pair of days.
    pub independence: Option<Test>,
    /// That and the right number together; `None` when one of both is missing.
    pub conditional_coverage: Option<Test>,
}

/// A zone of the Basel framework.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = TrafficLightZone)]
pub enum Zone {
    /// As many exceptions as a right VaR may well have.
    Green,
    /// More than a right VaR has in 95 % of all cases.
    Yellow,
    /// More than in 99.99 %.
    Red,
}

/// The Basel traffic light.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct TrafficLight {
    /// Where the exceptions fall.
    pub zone: Zone,
    /// Days that lost more than forecast.
    pub exceptions: u64,
    /// Days that were forecast.
    pub observations: u64,
    /// `F(x)`, the probability of x exceptions or fewer if the VaR is right.
    pub cumulative_probability: f64,
}

/// Forecasts every day of `pnl` (oldest first) that has `window` days before it, from those, one day ahead, and judges.
///
/// A day whose forecast is refused, such as one of `cornish_fisher` outside its domain, counts nowhere, and neither do the two
/// pairs of days that it is part of.
#[must_use]
pub fn backtest(pnl: &[f64], window: usize, confidence: Confidence, method: Method, quantile: Quantile) -> Backtest {
    let mut first_refusal = None;
    // the last window has no day after it, so the pairs end by themselves
    let windows = (0..).map_while(|start: usize| pnl.get(start..start.checked_add(window)?));
    let days = pnl.iter().skip(window);
    let hits: Vec<Option<bool>> = windows
        .zip(days)
        .map(|(past, day)| match forecast(past, confidence, method, quantile) {
            Ok(var) => Some(-day > var),
            Err(refusal) => {
                first_refusal.get_or_insert(refusal);
                None
            }
        })
        .collect();
    let mut found = judge(&hits, confidence);
    found.exception_indices.iter_mut().for_each(|index| *index += window);
    let mut warnings = told_of_forecasts(&hits, first_refusal, pnl.len(), window);
    if window < confidence.days_needed() {
        let needed = confidence.days_needed();
        warnings.push(format!("a window of {window} days is short for a confidence of {confidence}: take {needed} at least"));
    }
    found.warnings.splice(0..0, warnings);
    found
}

/// What there is to say about the days without a forecast.
fn told_of_forecasts(hits: &[Option<bool>], first_refusal: Option<Refusal>, days: usize, window: usize) -> Vec<String> {
    if hits.is_empty() {
        return vec![format!("{days} days leave none to forecast after a window of {window}")];
    }
    let missing = hits.iter().filter(|hit| hit.is_none()).count();
    let told = |refusal| format!("{missing} of {} days have no forecast, the first because {refusal}", hits.len());
    first_refusal.map(told).into_iter().collect()
}

/// Judges days in order: whether each was an exception, `None` where there was no forecast. Indices are those of `hits`.
#[must_use]
pub fn judge(hits: &[Option<bool>], confidence: Confidence) -> Backtest {
    let forecasts = hits.iter().flatten().count();
    let exception_indices: Vec<usize> =
        hits.iter().enumerate().filter(|(_, hit)| **hit == Some(true)).map(|(index, _)| index).collect();
    let (observations, exceptions) = (forecasts as u64, exception_indices.len() as u64);
    let transitions = Transitions::of(hits);
    let kupiec = kupiec(observations, exceptions, confidence);
    let mut warnings = Vec::new();
    if forecasts > 0 && transitions.n10 + transitions.n11 == 0 {
        warnings.push("no exception has a forecast day after it: nothing is known of their independence".to_owned());
    }
    Backtest {
        forecasts,
        exceptions: exception_indices.len(),
        expected: confidence.expected(forecasts),
        exception_indices,
        kupiec,
        christoffersen: christoffersen(transitions, kupiec),
        traffic_light: traffic_light(observations, exceptions, confidence),
        warnings,
    }
}

/// The proportion of failures: `LR = 2 (x ln(x / (n p)) + (n - x) ln((n - x) / (n (1 - p))))` with p alpha, chi-squared with
/// one degree of freedom (P. Kupiec, "Techniques for Verifying the Accuracy of Risk Measurement Models", Journal of
/// Derivatives 3, 1995). `None` without observations, or with more exceptions than observations.
#[must_use]
pub fn kupiec(observations: u64, exceptions: u64, confidence: Confidence) -> Option<Test> {
    let quiet = observations.checked_sub(exceptions).filter(|_| observations > 0)?;
    let (n, p) = (observations as f64, confidence.alpha());
    test(term(exceptions, n * p) + term(quiet, n * confidence.as_f64()), 1.0)
}

/// Independence and conditional coverage, the latter with Kupiec's test of all observations: `LR_cc = LR_pof + LR_ind`,
/// chi-squared with two degrees of freedom (P. Christoffersen, "Evaluating Interval Forecasts", International Economic Review
/// 39, 1998).
#[must_use]
pub fn christoffersen(transitions: Transitions, kupiec: Option<Test>) -> Christoffersen {
    let independence = transitions.independence();
    let together = independence.zip(kupiec).map(|(independence, kupiec)| (independence.lr + kupiec.lr) / 2.0);
    let Transitions { n00, n01, n10, n11 } = transitions;
    Christoffersen { n00, n01, n10, n11, independence, conditional_coverage: together.and_then(|sum| test(sum, 2.0)) }
}

/// `F(x)`, binomial with alpha, and its zone: yellow from 95 % on, red from 99.99 % on (Basel Committee, "Supervisory framework
/// for the use of backtesting", 1996). Without any exception it is green, though `F(0)` of a few days is above 95 %. `None`
/// without observations, or with more exceptions than observations.
#[must_use]
pub fn traffic_light(observations: u64, exceptions: u64, confidence: Confidence) -> Option<TrafficLight> {
    if observations == 0 || exceptions > observations {
        return None;
    }
    let cumulative_probability = Binomial::new(confidence.alpha(), observations).ok()?.cdf(exceptions);
    let zone = match cumulative_probability {
        _ if exceptions == 0 => Zone::Green,
        probability if probability >= RED => Zone::Red,
        probability if probability >= YELLOW => Zone::Yellow,
        _ => Zone::Green,
    };
    Some(TrafficLight { zone, exceptions, observations, cumulative_probability })
}

impl Transitions {
    /// Counts the pairs of neighbouring days that both have a forecast.
    #[must_use]
    pub fn of(hits: &[Option<bool>]) -> Self {
        let mut counts = Self::default();
        for pair in hits.windows(2) {
            match pair {
                [Some(false), Some(false)] => counts.n00 += 1,
                [Some(false), Some(true)] => counts.n01 += 1,
                [Some(true), Some(false)] => counts.n10 += 1,
                [Some(true), Some(true)] => counts.n11 += 1,
                _ => {}
            }
        }
        counts
    }

    /// Whether what follows depends on what went before: `LR = 2 * sum of n_ij ln(n_ij n / (n_i n_j))`, n_i the row's and n_j
    /// the column's sum, chi-squared with one degree of freedom. A row or column without pairs contradicts nothing: then it is
    /// zero. `None` without any pair.
    #[must_use]
    pub fn independence(&self) -> Option<Test> {
        let Self { n00, n01, n10, n11 } = *self;
        let count = |one: u64, other: u64| one as f64 + other as f64;
        let (after_none, after_one) = (count(n00, n01), count(n10, n11));
        let (none, one) = (count(n00, n10), count(n01, n11));
        let all = after_none + after_one;
        if all == 0.0 {
            return None;
        }
        let cells = [(n00, after_none, none), (n01, after_none, one), (n10, after_one, none), (n11, after_one, one)];
        test(cells.iter().map(|(cell, row, column)| term(*cell, row * column / all)).sum(), 1.0)
    }
}

/// `observed ln(observed / expected)`, and 0 when nothing was observed.
fn term(observed: u64, expected: f64) -> f64 {
    let observed = observed as f64;
    if observed == 0.0 { 0.0 } else { observed * (observed / expected).ln() }
}

/// The test of half a statistic, which rounding may take a little below zero.
fn test(half: f64, freedom: f64) -> Option<Test> {
    let lr = (2.0 * half).max(0.0);
    Some(Test { lr, p_value: ChiSquared::new(freedom).ok()?.sf(lr) })
}

#[cfg(test)]
#[path = "backtest_tests.rs"]
mod tests;
