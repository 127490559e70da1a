//! The days of a window as one series of P&L.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use chrono::{Days, NaiveDate};
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive as _;

use super::daily_file::{DailyFile, name_of};

/// So many files that are left out are named; the others are counted.
const MAX_NAMED: usize = 100;

/// Calendar days, of which the last is `as_of`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Window {
    first: NaiveDate,
    as_of: NaiveDate,
}

impl Window {
    /// The `days` days that end with `as_of`.
    #[must_use]
    pub fn ending(as_of: NaiveDate, days: u32) -> Self {
        let first = as_of.checked_sub_days(Days::new(u64::from(days.saturating_sub(1)))).unwrap_or(NaiveDate::MIN);
        Self { first, as_of }
    }

    /// The first of the days.
    #[must_use]
    pub fn first(self) -> NaiveDate {
        self.first
    }

    /// The last of the days.
    #[must_use]
    pub fn as_of(self) -> NaiveDate {
        self.as_of
    }

    /// Whether `date` is one of the days.
    #[must_use]
    pub fn contains(self, date: NaiveDate) -> bool {
        (self.first..=self.as_of).contains(&date)
    }
}

/// A day's file, or why nothing can be taken from it.
pub type Day = (NaiveDate, Result<DailyFile, String>);

/// Daily P&L, oldest first.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Series {
    /// The days with an observation.
    pub dates: Vec<NaiveDate>,
    /// Their P&L in the account's currency; finite.
    pub pnl: Vec<f64>,
    /// Starting capital as the window's newest file that has one says.
    pub starting_capital: Option<Decimal>,
    /// What was left out, for people.
    pub warnings: Vec<String>,
}

impl Series {
    /// The series of the days in `window`. `days` are oldest first and may begin before the window, which only matters
    /// where the files hold running totals (`cumulative`): then an observation is the difference to the last good file
    /// before it, so a gap's P&L is that of the first day behind the gap, and a first file of all gives none. Plimsoll's own
    /// files are their day's in every case; they carry the total before them on.
    #[must_use]
    pub fn of(days: Vec<Day>, window: Window, cumulative: bool) -> Self {
        let mut series = Self::default();
        let (mut left_out, mut total, mut bad_capital) = (0_usize, None::<Decimal>, None);
        for (date, outcome) in days {
            let is_inside = window.contains(date);
            let file = match outcome {
                Ok(file) => file,
                Err(_) if !is_inside => continue,
                Err(reason) => {
                    left_out += 1;
                    if left_out <= MAX_NAMED {
                        series.warnings.push(format!("{} is left out: {reason}", name_of(date)));
                    }
                    continue;
                }
            };
            let before = total;
            total = if file.is_ours { before.and_then(|total| total.checked_add(file.pnl)) } else { Some(file.pnl) };
            if !is_inside {
                continue;
            }
            series.starting_capital = file.starting_capital.or(series.starting_capital);
            bad_capital = if file.has_bad_capital { Some(date) } else { bad_capital };
            let pnl = match (cumulative && !file.is_ours, before) {
                (false, _) => Some(file.pnl),
                (true, Some(before)) => file.pnl.checked_sub(before),
                (true, None) => {
                    let why = "the first running total has no day before it, so it is no day's P&L";
                    series.warnings.push(format!("{} is left out: {why}", name_of(date)));
                    None
                }
            };
            // every decimal has an f64 near it
            if let Some(pnl) = pnl.and_then(|pnl| pnl.to_f64()) {
                series.dates.push(date);
                series.pnl.push(pnl);
            }
        }
        if let Some(date) = bad_capital {
            series.warnings.push(format!("{}: equity.starting_capital is no amount above 0, so it is not used", name_of(date)));
        }
        if left_out > MAX_NAMED {
            series.warnings.push(format!("{} more files are left out", left_out - MAX_NAMED));
        }
        series
    }

    /// What tells this series from others, within one run of the program.
    #[must_use]
    pub fn digest(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.dates.hash(&mut hasher);
        self.pnl.iter().for_each(|pnl| pnl.to_bits().hash(&mut hasher));
        self.starting_capital.hash(&mut hasher);
        self.warnings.hash(&mut hasher);
        hasher.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn date(day: u32) -> NaiveDate {
        NaiveDate::from_ymd_opt(2024, 8, day).expect("a date")
    }

    fn good(day: u32, cents: i64) -> Day {
        (
            date(day),
            Ok(DailyFile {
                pnl: Decimal::new(cents, 2),
                starting_capital: Some(Decimal::from(day)),
                has_bad_capital: false,
                is_ours: false,
            }),
        )
    }

    #[test]
    fn a_window_is_its_days_with_the_last_and_without_the_one_before_the_first() {
        let window = Window::ending(date(23), 3);
        assert_eq!([20, 21, 23, 24].map(|day| window.contains(date(day))), [false, true, true, false]);
        assert_eq!(Window::ending(NaiveDate::MIN, 10_000).first(), NaiveDate::MIN);
    }

    #[test]
    fn bad_files_are_named_and_hide_nothing() {
        let days = vec![good(20, 100), good(21, -250), (date(22), Err("is not UTF-8".to_owned())), good(23, 5)];
        let series = Series::of(days, Window::ending(date(23), 3), false);
        assert_eq!((series.dates, series.pnl), (vec![date(21), date(23)], vec![-2.5, 0.05]));
        assert_eq!(series.starting_capital, Some(Decimal::from(23)));
        assert_eq!(series.warnings, ["2024-08-22-metrics.json is left out: is not UTF-8"]);
    }

    #[test]
    fn running_totals_become_differences_over_gaps_too() {
        let days = vec![good(16, 1_000), good(20, 1_010), (date(21), Err("is empty".to_owned())), good(23, 910)];
        let series = Series::of(days.clone(), Window::ending(date(23), 4), true);
        assert_eq!((series.dates, series.pnl), (vec![date(20), date(23)], vec![0.1, -1.0]));
        let from_the_first = Series::of(days, Window::ending(date(23), 30), true);
        assert_eq!(from_the_first.dates, [date(20), date(23)]);
        assert!(from_the_first.warnings.iter().any(|warning| warning.contains("2024-08-16")), "{:?}", from_the_first.warnings);
    }

    proptest! {
        #[test]
        fn running_totals_of_days_give_the_days_back(cents in proptest::collection::vec(-1_000_000_i64..1_000_000, 2..28)) {
            let days = |cents: &[i64]| (1..).zip(cents).map(|(day, cents)| good(day, *cents)).collect::<Vec<_>>();
            let totals: Vec<i64> = cents.iter().scan(0, |total, cents| { *total += cents; Some(*total) }).collect();
            let window = Window::ending(date(31), 31);
            let (own, summed) = (Series::of(days(&cents), window, false), Series::of(days(&totals), window, true));
            prop_assert_eq!(&own.pnl[1..], &summed.pnl[..]);
            prop_assert_eq!(own.digest(), Series::of(days(&cents), window, false).digest());
            prop_assert_ne!(own.digest(), summed.digest());
        }
    }
}
