//! Quantiles, tail means and their interval of a sample whose days count alike.

use statrs::distribution::{Binomial, DiscreteCDF};

use super::confidence::{Confidence, Share};
use super::question::Quantile;

/// Probability on either side of the interval.
const BESIDE: f64 = 0.025;

/// Minus the quantile of the days: the loss at it. Days are at least one and come back in another order.
///
/// With `alpha n` exact and days ascending (R. Hyndman and Y. Fan, "Sample Quantiles in Statistical Packages", The American
/// Statistician 50, 1996, for the types):
///
/// - `order`: the day at zero-based rank `floor(alpha n)`, the largest P&L that no more than `alpha n` days fall below;
/// - `inverse_cdf`: type 1, the day at one-based rank `ceil(alpha n)`, the smallest that at least `alpha n` days do not exceed;
/// - `linear`: type 7, zero-based position `alpha (n - 1)`, between two days in proportion;
/// - `weibull`: type 6, one-based position `alpha (n + 1)`, likewise, and the worst day when that is before it. The next day
///   falls below it with probability alpha whatever the distribution, as far as two days enclose it.
pub(super) fn loss_quantile(days: &mut [f64], confidence: Confidence, rule: Quantile) -> f64 {
    let share = confidence.share(days.len());
    -match rule {
        Quantile::Order => nth(days, share.whole),
        Quantile::InverseCdf if share.part > 0.0 => nth(days, share.whole),
        Quantile::InverseCdf => nth(days, share.whole.saturating_sub(1)),
        Quantile::Linear => between(days, confidence.share(days.len().saturating_sub(1))),
        Quantile::Weibull => match confidence.share(days.len() + 1) {
            Share { whole: 0, .. } => nth(days, 0),
            Share { whole, part } => between(days, Share { whole: whole - 1, part }),
        },
    }
}

/// The mean loss in the worst share alpha of the days, the last of them counting with the fraction that is left. Days are at
/// least one.
///
/// `ES = -(sum of the floor(alpha n) worst days + (alpha n - floor(alpha n)) q) / (alpha n)`, q the next day: the minimum of R. T.
/// Rockafellar and S. Uryasev, "Conditional value-at-risk for general loss distributions", Journal of Banking & Finance 26,
/// 2002, which is exact for a sample and does not depend on the rule of the quantile.
pub(super) fn tail_mean_loss(days: &mut [f64], confidence: Confidence) -> f64 {
    let share = confidence.share(days.len());
    let at = nth(days, share.whole);
    // the sum of the tail itself: a difference from q would lose the tail's digits where q is much larger
    let worse: f64 = days.iter().take(share.whole).sum();
    // rounding shall not make it better than the day that all of them are worse than
    (-(worse + share.part * at) / share.as_f64()).max(-at)
}

/// The losses between which the true quantile is with 95 %, whatever the distribution; each bound `None` where the days are
/// too few for it. Days are at least one.
///
/// The number of days at or below the true quantile is binomial (n, alpha), so it is above the l-th and at most the u-th
/// smallest day with `P(l <= B < u)`. l is the 2.5 % quantile of B and u its 97.5 % quantile plus one: at most 2.5 % on
/// either side (W. J. Conover, "Practical Nonparametric Statistics", section 3.2). Rank 0 and rank n + 1 are no days.
pub(super) fn interval(days: &mut [f64], confidence: Confidence) -> (Option<f64>, Option<f64>) {
    let Ok(below) = Binomial::new(confidence.alpha(), days.len() as u64) else { return (None, None) };
    let mut loss = |rank: u64| {
        let rank = usize::try_from(rank).ok()?.checked_sub(1)?;
        (rank < days.len()).then(|| -nth(days, rank))
    };
    (loss(below.inverse_cdf(1.0 - BESIDE) + 1), loss(below.inverse_cdf(BESIDE)))
}

/// The day of a zero-based rank; the last one beyond it.
fn nth(days: &mut [f64], rank: usize) -> f64 {
    let rank = rank.min(days.len().saturating_sub(1));
    *days.select_nth_unstable_by(rank, f64::total_cmp).1
}

/// The point at a zero-based position, between its two days in proportion.
fn between(days: &mut [f64], position: Share) -> f64 {
    let low = nth(days, position.whole);
    let high = nth(days, position.whole + 1);
    (low + position.part * (high - low)).min(high)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_mean_keeps_its_digits_beside_huge_gains() {
        let mut days = vec![1e12; 20];
        days[7] = -1.234_567_89;
        assert_eq!(tail_mean_loss(&mut days, of("0.95")), 1.234_567_89);
    }

    fn of(text: &str) -> Confidence {
        Confidence::parse(text).expect(text)
    }

    /// Losses 1 to n, so that a VaR tells the rank: the k-th worst of n days is n + 1 - k.
    fn ladder(days: u32) -> Vec<f64> {
        (1..=days).map(|loss| -f64::from(loss)).collect()
    }

    #[test]
    fn alpha_n_that_is_whole_in_decimals_picks_that_rank() {
        for (n, kth) in [(20, 1.0), (40, 2.0), (100, 5.0)] {
            let (mut days, worst) = (ladder(n), f64::from(n) + 1.0);
            assert_eq!(loss_quantile(&mut days, of("0.95"), Quantile::Order), worst - kth - 1.0, "{n}");
            assert_eq!(loss_quantile(&mut days, of("0.95"), Quantile::InverseCdf), worst - kth, "{n}");
            let mean_of_worst = worst - (kth + 1.0) / 2.0;
            assert!((tail_mean_loss(&mut days, of("0.95")) - mean_of_worst).abs() < 1e-12, "{n}");
        }
        // 0.1 times 10, 30 and 70 days
        for (n, kth) in [(10, 1.0), (30, 3.0), (70, 7.0)] {
            assert_eq!(loss_quantile(&mut ladder(n), of("0.9"), Quantile::InverseCdf), f64::from(n) + 1.0 - kth, "{n}");
        }
    }

    #[test]
    fn a_day_that_is_partly_in_the_tail_counts_with_that_part() {
        // 5 % of 30 days is the worst and half of the second
        assert!((tail_mean_loss(&mut ladder(30), of("0.95")) - (30.0 + 0.5 * 29.0) / 1.5).abs() < 1e-12);
        assert_eq!(tail_mean_loss(&mut ladder(10), of("0.95")), 10.0);
    }

    #[test]
    fn weibull_is_the_worst_day_where_no_two_days_enclose_it() {
        assert_eq!(loss_quantile(&mut ladder(18), of("0.95"), Quantile::Weibull), 18.0);
        assert_eq!(loss_quantile(&mut ladder(19), of("0.95"), Quantile::Weibull), 19.0);
        assert_eq!(loss_quantile(&mut ladder(39), of("0.95"), Quantile::Weibull), 38.0);
        assert_eq!(loss_quantile(&mut ladder(1), of("0.5"), Quantile::Weibull), 1.0);
    }

    #[test]
    fn a_bound_that_does_not_exist_is_none() {
        // scipy 1.17.1, binom.ppf([0.025, 0.975], n, 0.05): 30 -> 0, 4; 95 -> 1, 9; 250 -> 6, 20
        assert_eq!(interval(&mut ladder(30), of("0.95")), (Some(26.0), None));
        assert_eq!(interval(&mut ladder(95), of("0.95")), (Some(86.0), Some(95.0)));
        assert_eq!(interval(&mut ladder(250), of("0.95")), (Some(230.0), Some(245.0)));
        assert_eq!(interval(&mut ladder(1), of("0.95")), (None, None));
    }
}
