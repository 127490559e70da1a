//! Methods to which later days matter more: exponential weights of days or of their squares.

use std::iter;

use super::Figures;
use super::confidence::Confidence;
use super::parametric::Moments;

/// What is left of a square's weight a day later (J. P. Morgan/Reuters, "RiskMetrics Technical Document", 1996: daily data).
const EWMA_DECAY: f64 = 0.94;
/// What is left of a day's weight a day later (Boudoukh, Richardson and Whitelaw use 0.97 and 0.99).
const AGE_DECAY: f64 = 0.98;

/// A normal distribution around zero: `VaR = -z sigma`, `ES = sigma phi(z) / alpha`, with
/// `sigma^2 = (1 - lambda) / (1 - lambda^n) * sum of lambda^age day^2`, lambda 0.94 and age 0 for the latest day. The weights
/// sum to one, so no first value has to be assumed.
pub(super) fn ewma(days: &[f64], confidence: Confidence) -> Figures {
    let squares = days.iter().fold(0.0, |sum, day| EWMA_DECAY * sum + day * day);
    let variance = latest_weight(EWMA_DECAY, days.len()) * squares;
    Moments { mean: 0.0, deviation: variance.sqrt(), skewness: 0.0, kurtosis: 0.0 }.normal(confidence)
}

/// The days with weights `(1 - lambda) lambda^age / (1 - lambda^n)`, lambda 0.98 (J. Boudoukh, M. Richardson and R. Whitelaw,
/// "The Best of Both Worlds", Risk 11, 1998).
///
/// Of ascending P&L, the quantile is the first day at which the weight so far is more than alpha: no more than alpha lies
/// below it, as with `order`, of which this is the weighted form. There is no interpolation. Equal days add up, in whatever
/// order; a sum of these weights is never exactly a decimal alpha. The tail mean is weighted likewise:
/// `ES = -q + sum over days below q of weight (q - day) / alpha`.
pub(super) fn age_weighted(days: &[f64], confidence: Confidence) -> Figures {
    let alpha = confidence.alpha();
    let mut weighted: Vec<(f64, f64)> = days.iter().rev().copied().zip(weights(AGE_DECAY, days.len())).collect();
    weighted.sort_unstable_by(|(one, _), (other, _)| one.total_cmp(other));
    let mut sum = 0.0;
    let beyond_alpha = |(_, weight): &&(f64, f64)| {
        sum += weight;
        sum > alpha
    };
    // alpha is half at most, so the last day is only a formality
    let at = weighted.iter().find(beyond_alpha).or(weighted.last()).map_or(0.0, |(day, _)| *day);
    let below: f64 = weighted.iter().take_while(|(day, _)| *day < at).map(|(day, weight)| weight * (at - day)).sum();
    let centre = weighted.iter().map(|(day, weight)| weight * (day - at)).sum::<f64>() + at;
    Figures { var: -at, es: below / alpha - at, centre }
}

/// The days, each rescaled from the volatility before it to that after the last: `day sigma_next / sigma_day`, with
/// `sigma^2_next = lambda sigma^2_day + (1 - lambda) day^2`, lambda 0.94, from the mean square of all the days on (J. Hull and
/// A. White, "Incorporating Volatility Updating into the Historical Simulation Method", Journal of Risk 1, 1998).
pub(super) fn filtered(days: &[f64]) -> Vec<f64> {
    let squares: f64 = days.iter().map(|day| day * day).sum();
    let mut variance = squares / days.len() as f64;
    let mut shocks: Vec<f64> = Vec::with_capacity(days.len());
    for day in days {
        // thousands of days without any P&L take the variance below what a number can hold
        variance = variance.max(f64::MIN_POSITIVE);
        shocks.push(day / variance.sqrt());
        variance = EWMA_DECAY * variance + (1.0 - EWMA_DECAY) * day * day;
    }
    shocks.iter().map(|shock| shock * variance.sqrt()).collect()
}

/// Weights of days, the latest first; those of `days` days sum to one.
fn weights(decay: f64, days: usize) -> impl Iterator<Item = f64> {
    iter::successors(Some(latest_weight(decay, days)), move |weight| Some(weight * decay))
}

/// The weight of the latest of `days` days: `(1 - lambda) / (1 - lambda^n)`.
fn latest_weight(decay: f64, days: usize) -> f64 {
    (1.0 - decay) / (1.0 - decay.powf(days as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_sum_to_one_and_fall_with_age() {
        for days in [1, 2, 10, 365] {
            let all: Vec<f64> = weights(AGE_DECAY, days).take(days).collect();
            assert!((all.iter().sum::<f64>() - 1.0).abs() < 1e-12 && all.iter().rev().is_sorted());
        }
    }

    #[test]
    fn a_late_loss_counts_more_than_an_early_one() {
        let confidence = Confidence::parse("0.95").expect("in range");
        let early: Vec<f64> = [-9.0].into_iter().chain([1.0; 40]).collect();
        let late: Vec<f64> = [1.0; 38].into_iter().chain([-9.0, 1.0, 1.0]).collect();
        assert_eq!(age_weighted(&early, confidence).var, -1.0);
        assert_eq!(age_weighted(&late, confidence).var, -1.0, "3.4 % of weight");
        let twice: Vec<f64> = late.iter().copied().chain([-9.0]).collect();
        assert_eq!(age_weighted(&twice, confidence).var, 9.0, "3.3 and 3.5 %, equal days adding up");
        assert!(ewma(&late, confidence).var > ewma(&early, confidence).var);
    }

    #[test]
    fn filtered_days_are_as_volatile_as_the_latest() {
        let calm_after_storm: Vec<f64> =
            (0..200).map(|n| if n < 100 { 100.0 } else { 1.0 } * if n % 3 == 0 { -1.0 } else { 1.0 }).collect();
        let worst = filtered(&calm_after_storm).into_iter().fold(0.0, f64::min);
        assert!(worst > -10.0, "{worst}");
        let dead: Vec<f64> = [1.0].into_iter().chain([0.0; 20_000]).chain([1.0]).collect();
        assert!(filtered(&dead).iter().all(|day| day.is_finite()));
        assert_eq!(filtered(&[0.0; 5]), [0.0; 5]);
    }
}
