//! The folder of daily P&L files, read as it is at the moment of each question. A file is parsed again only when the system
//! tells that it is another one.

use std::collections::HashMap;

use chrono::NaiveDate;
use parking_lot::Mutex;

use super::artifact_folder::{Folder, Sight, unreadable};
use crate::domain::artifact::Version;
use crate::domain::clock::Clock;
use crate::domain::risk::daily_file::{self, DailyFile, date_of, name_of};
use crate::domain::risk::daily_series::{Day, Series, Window};

/// Entries of the folder that are looked at.
const MAX_ENTRIES: usize = 200_000;
/// A file that changes while it is read is read so often.
const TRIES: usize = 3;

/// The folder.
#[derive(Debug)]
pub struct DailyFiles {
    folder: Folder,
    /// Whether the files hold running totals.
    cumulative: bool,
    clock: Clock,
    known: Mutex<HashMap<NaiveDate, Known>>,
}

/// What was read of a file in this version.
#[derive(Debug, Clone)]
struct Known {
    version: Version,
    outcome: Result<DailyFile, String>,
}

impl DailyFiles {
    /// The files in `folder`, each a day's own P&L or (`cumulative`) a running total.
    #[must_use]
    pub fn new(folder: Folder, cumulative: bool, clock: Clock) -> Self {
        Self { folder, cumulative, clock, known: Mutex::default() }
    }

    /// The series of `window` as the files are now. Blocks.
    #[must_use]
    pub fn series(&self, window: Window) -> Series {
        let listing = match self.folder.list(daily_file::is_daily_file, MAX_ENTRIES) {
            Ok(listing) => listing,
            Err(error) => {
                let reason = match error.kind() {
                    std::io::ErrorKind::NotFound => "is not there yet".to_owned(),
                    _ => unreadable(&error),
                };
                let warnings = vec![format!("the folder of daily files (analytics/daily) {reason}")];
                return Series { warnings, ..Series::default() };
            }
        };
        let mut dates: Vec<NaiveDate> = listing.names.iter().filter_map(|name| date_of(name)).collect();
        dates.sort_unstable();
        self.known.lock().retain(|date, _| dates.binary_search(date).is_ok());
        let inside = dates.partition_point(|date| *date < window.first());
        let before = dates.iter().take(inside).rev().take(if self.cumulative { usize::MAX } else { 0 });
        let mut days: Vec<Day> = Vec::new();
        for date in before {
            if let Some(Ok(file)) = self.day(*date) {
                days.push((*date, Ok(file)));
                // the newest total, and what was added to it, is all that is needed
                if !file.is_ours {
                    break;
                }
            }
        }
        days.reverse();
        let wanted = dates.iter().skip(inside).take_while(|date| window.contains(**date));
        days.extend(wanted.filter_map(|date| Some((*date, self.day(*date)?))));
        let mut series = Series::of(days, window, self.cumulative);
        if listing.cut {
            let warning = format!("the folder has more than {MAX_ENTRIES} entries; days may be missing");
            series.warnings.push(warning);
        }
        series
    }

    /// What the file of `date` says now; `None` if it is gone.
    fn day(&self, date: NaiveDate) -> Option<Result<DailyFile, String>> {
        let mut outcome = None;
        for _ in 0..TRIES {
            let (path, version) = match self.folder.see(&name_of(date)) {
                Sight::Gone => return None,
                Sight::Bad(_, reason) => return Some(Err(reason)),
                Sight::File(path, version) => (path, version),
            };
            let known = self.known.lock().get(&date).filter(|known| known.version == version).cloned();
            if let Some(known) = known {
                return Some(known.outcome);
            }
            match self.folder.read(&path, version) {
                Ok(bytes) => {
                    let outcome = daily_file::parse(&bytes);
                    if !version.is_fresh(self.clock.now()) {
                        self.known.lock().insert(date, Known { version, outcome: outcome.clone() });
                    }
                    return Some(outcome);
                }
                Err(reason) => outcome = Some(Err(reason)),
            }
        }
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::clock::Timestamp;
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    fn put(folder: &Path, date: &str, pnl: &str) {
        fs::write(folder.join(format!("{date}-metrics.json")), format!(r#"{{"overall":{{"net_pnl":{pnl}}}}}"#)).unwrap();
    }

    fn files(folder: &Path, cumulative: bool) -> DailyFiles {
        // a clock far ahead, so that what was read is remembered
        let clock = Clock::new(|| Timestamp::from_micros(4_102_444_800_000_000));
        DailyFiles::new(Folder::new(folder.to_owned(), daily_file::MAX_BYTES), cumulative, clock)
    }

    fn august(days: u32) -> Window {
        Window::ending(daily_file::date("2024-08-23").unwrap(), days)
    }

    #[test]
    fn every_change_is_seen_at_the_next_question() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("daily");
        let files = files(&folder, false);
        assert!(files.series(august(30)).warnings[0].contains("is not there yet"));
        fs::create_dir(&folder).unwrap();
        assert_eq!(files.series(august(30)), Series::default());
        put(&folder, "2024-08-22", "-5");
        put(&folder, "2024-08-23", "10");
        assert_eq!(files.series(august(30)).pnl, [-5.0, 10.0]);
        put(&folder, "2024-08-22", "-7.25");
        assert_eq!(files.series(august(30)).pnl, [-7.25, 10.0]);
        fs::remove_file(folder.join("2024-08-22-metrics.json")).unwrap();
        assert_eq!(files.series(august(30)).pnl, [10.0]);
        assert_eq!(files.known.lock().len(), 1, "what is gone is forgotten");
    }

    #[test]
    fn links_out_of_the_folder_pipes_and_huge_files_are_named_and_nobody_waits_for_them() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path();
        let daily = folder.join("daily");
        fs::create_dir(&daily).unwrap();
        put(folder, "2024-08-19", "666");
        symlink("../2024-08-19-metrics.json", daily.join("2024-08-19-metrics.json")).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(daily.join("2024-08-20-metrics.json")).status().unwrap().success());
        fs::File::create(daily.join("2024-08-21-metrics.json")).unwrap().set_len(daily_file::MAX_BYTES + 1).unwrap();
        fs::create_dir(daily.join("2024-08-22-metrics.json")).unwrap();
        put(&daily, "2024-08-23", "1");
        let series = files(&daily, false).series(august(30));
        assert_eq!((series.pnl, series.warnings.len()), (vec![1.0], 4), "{:?}", series.warnings);
    }

    #[test]
    fn a_running_total_needs_the_newest_good_file_before_the_window() {
        let root = tempfile::tempdir().unwrap();
        for (date, total) in [("2024-08-12", "100"), ("2024-08-13", "\"?\""), ("2024-08-20", "130"), ("2024-08-21", "90")] {
            put(root.path(), date, total);
        }
        let series = files(root.path(), true).series(august(5));
        assert_eq!((series.pnl, series.warnings), (vec![30.0, -40.0], vec![]));
    }

    #[test]
    fn days_that_plimsoll_wrote_are_their_own_among_running_totals() {
        let root = tempfile::tempdir().unwrap();
        let own = |date: &str, pnl: &str| {
            let text = format!(r#"{{"overall":{{"net_pnl":{pnl}}},"written_by":"plimsoll"}}"#);
            fs::write(root.path().join(format!("{date}-metrics.json")), text).unwrap();
        };
        put(root.path(), "2024-08-12", "100000");
        own("2024-08-13", "-400");
        put(root.path(), "2024-08-14", "\"?\"");
        own("2024-08-20", "-250");
        own("2024-08-21", "75");
        put(root.path(), "2024-08-22", "99500");
        let window = |days: u32| files(root.path(), true).series(august(days));
        assert_eq!(window(5).pnl, [-250.0, 75.0, 75.0], "the total before is carried on over our days");
        assert_eq!(window(2).pnl, [75.0], "over those before the window too");
        fs::remove_file(root.path().join("2024-08-12-metrics.json")).unwrap();
        let series = window(30);
        assert_eq!((series.pnl, series.warnings.len()), (vec![-400.0, -250.0, 75.0], 2), "no total goes before that of the 22nd");
    }
}
