//! The folder of daily P&L files, read as it is at the moment of each question. A file is parsed again only when the system
//! tells that it is another one.

use std::collections::HashMap;

use chrono::NaiveDate;
use parking_lot::Mutex;

use super::artifact_folder::{Folder, Sight, unreadable};
use crate::domain::artifact::Version;
use crate::domain::clock::{Clock, Timestamp};
use crate::domain::risk::daily_file::{self, DailyFile, date_of, name_of};
use crate::domain::risk::daily_series::{Day, Series, Window};

/// Entries of the folder that are looked at.
const MAX_ENTRIES: usize = 200_000;
/// A file that changes while it is read is read so often.
const TRIES: usize = 3;
/// Clocks of file systems are coarse: a file changed so shortly before, in microseconds, may change once more unseen.
const COARSE: i64 = 100_000;

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
            // the newest good one is all that is needed
            if let Some(Ok(file)) = self.day(*date) {
                days.push((*date, Ok(file)));
                break;
            }
        }
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
                    if !is_fresh(version, self.clock.now()) {
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

/// Whether a file in this version may get another content without being seen to.
#[must_use]
pub fn is_fresh(version: Version, now: Timestamp) -> bool {
    let (seconds, nanos) = version.changed;
    let changed = seconds.saturating_mul(1_000_000).saturating_add(nanos / 1000);
    now.micros().saturating_sub(changed) < COARSE
}

#[cfg(test)]
mod tests {
    use super::*;
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
}
