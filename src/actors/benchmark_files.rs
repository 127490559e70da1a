//! The folder of benchmarks, read as it is at the moment of each question.
//!
//! Of every file its span of time is known, so a question reads only files that have something to say about it; the points
//! of those that were asked for lately are kept in memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono_tz::Tz;

use super::artifact_folder::{Folder, Sight, unreadable};
use crate::domain::artifact::{SETTLE, Version};
use crate::domain::benchmark::Point;
use crate::domain::benchmark::file::{is_benchmark_file, read};
use crate::domain::clock::Timestamp;

/// The folder as it is called in `/health`.
const FOLDER: &str = "benchmarks";
/// The folder may have so many other entries for each file that is looked at.
const ENTRIES_A_FILE: usize = 10;
/// A file that changes while it is read is read so often.
const TRIES: usize = 3;

/// How much is read.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Most files.
    pub files: usize,
    /// Bytes of points that are kept in memory.
    pub memory: usize,
    /// Bytes of one answer.
    pub answer: usize,
}

/// The folder.
#[derive(Debug)]
pub struct BenchmarkFiles {
    folder: Folder,
    timezone: Tz,
    limits: Limits,
    known: BTreeMap<String, Known>,
    /// What is wrong with the folder itself.
    fault: Option<String>,
    turn: u64,
}

/// A file.
#[derive(Debug)]
struct Known {
    version: Version,
    /// Whether it may have changed since without being seen to.
    is_fresh: bool,
    span: Option<(Timestamp, Timestamp)>,
    bad_lines: u64,
    reason: Option<String>,
    /// Its points, if they are kept.
    points: Option<Arc<Vec<Point>>>,
    /// Bytes of its points.
    size: usize,
    used: u64,
}

/// What is wrong with the files.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    /// Files that are looked at.
    pub files: usize,
    /// Their lines that are no benchmarks.
    pub bad_lines: u64,
    /// Files with a fault, each with what is wrong with it.
    pub broken: Vec<(String, String)>,
}

/// The answer would be larger than what is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooMany;

impl BenchmarkFiles {
    /// The files in `folder`; times without an offset are `timezone`'s.
    #[must_use]
    pub fn new(folder: Folder, timezone: Tz, limits: Limits) -> Self {
        Self { folder, timezone, limits, known: BTreeMap::new(), fault: None, turn: 0 }
    }

    /// Looks at every file, and reads those that changed.
    pub fn refresh(&mut self, now: Timestamp) {
        let Limits { files, .. } = self.limits;
        self.fault = None;
        let names = match self.folder.list(is_benchmark_file, files.saturating_mul(ENTRIES_A_FILE)) {
            Ok(mut listing) => {
                // the names of days' files: the newest days are the last
                listing.names.sort_unstable_by(|one, other| other.cmp(one));
                if listing.cut || listing.names.len() > files {
                    self.fault = Some(format!("holds more than the {files} files that are looked at"));
                }
                listing.names.truncate(files);
                listing.names
            }
            Err(error) => {
                self.fault = (error.kind() != std::io::ErrorKind::NotFound).then(|| unreadable(&error));
                Vec::new()
            }
        };
        let mut before = std::mem::take(&mut self.known);
        for name in names {
            let known = before.remove(&name);
            let Some((known, is_read)) = self.look(&name, known, now) else { continue };
            self.known.insert(name, known);
            if is_read {
                self.forget();
            }
        }
    }

    /// The file as it is now, and whether it was read for that; `None` if it is gone.
    fn look(&self, name: &str, known: Option<Known>, now: Timestamp) -> Option<(Known, bool)> {
        let mut fault = None;
        for _ in 0..TRIES {
            let (path, version) = match self.folder.see(name) {
                Sight::Gone => return None,
                Sight::Bad(version, reason) => return Some((Known::bad(version, version.is_fresh(now), reason), false)),
                Sight::File(path, version) => (path, version),
            };
            if known.as_ref().is_some_and(|known| known.version == version && !known.is_fresh) {
                return known.map(|known| (known, false));
            }
            match self.folder.read(&path, version) {
                Ok(bytes) => return Some((self.take(name, &bytes, version, now), true)),
                Err(reason) => fault = Some(Known::bad(version, true, reason)),
            }
        }
        // what cannot be read just now counts as it was
        let fault = fault?;
        match known.filter(|known| known.points.is_some()) {
            Some(known) => Some((Known { is_fresh: true, reason: fault.reason, ..known }, false)),
            None => Some((fault, false)),
        }
    }

    fn take(&self, name: &str, bytes: &[u8], version: Version, now: Timestamp) -> Known {
        let age = now.micros().saturating_sub(version.modified.micros());
        let grows = age < i64::try_from(SETTLE.as_micros()).unwrap_or(i64::MAX);
        let content = read(name, bytes, self.timezone, grows);
        Known {
            version,
            is_fresh: grows || version.is_fresh(now),
            span: content.span(),
            bad_lines: content.bad_lines,
            size: content.points.iter().map(Point::size).sum(),
            reason: content.reason,
            points: Some(Arc::new(content.points)),
            used: self.turn,
        }
    }

    /// Lets go of the points that were asked for longest ago, as far as there are too many.
    fn forget(&mut self) {
        let mut kept: usize = self.known.values().filter(|known| known.points.is_some()).map(|known| known.size).sum();
        while kept > self.limits.memory {
            let held = self.known.values_mut().filter(|known| known.points.is_some());
            let Some(oldest) = held.min_by_key(|known| known.used) else { return };
            kept -= oldest.size;
            oldest.points = None;
        }
    }

    /// The points with `from <= ts < until`, ascending. Those of one instant are one, and of an index's several values the
    /// last counts: by the names of their files, and then by their lines.
    ///
    /// # Errors
    /// They are too many for one answer.
    pub fn window(&mut self, from: Timestamp, until: Timestamp, now: Timestamp) -> Result<Vec<Point>, TooMany> {
        self.turn += 1;
        self.refresh(now);
        let touches = |known: &Known| known.span.is_some_and(|(first, last)| first < until && last >= from);
        let names: Vec<String> = self.known.iter().filter(|(_, known)| touches(known)).map(|(name, _)| name.clone()).collect();
        let (mut points, mut size) = (Vec::new(), 0);
        for name in names {
            let Some(all) = self.points(&name, now) else { continue };
            for point in all.iter().filter(|point| (from..until).contains(&point.ts)) {
                size += point.size();
                points.push(point.clone());
            }
            if size > self.limits.answer {
                return Err(TooMany);
            }
        }
        // stable: what comes later stays behind
        points.sort_by_key(|point| point.ts);
        points.dedup_by(|later, kept| {
            let is_same = later.ts == kept.ts;
            if is_same {
                *kept = kept.merged(later);
            }
            is_same
        });
        Ok(points)
    }

    fn points(&mut self, name: &str, now: Timestamp) -> Option<Arc<Vec<Point>>> {
        let mut known = self.known.remove(name)?;
        if known.points.is_none() {
            // read anew, whatever version it is in
            known.is_fresh = true;
            (known, _) = self.look(name, Some(known), now)?;
        }
        known.used = self.turn;
        let points = known.points.clone();
        self.known.insert(name.to_owned(), known);
        self.forget();
        points
    }

    /// What is wrong with the files, as they were at the last look.
    #[must_use]
    pub fn faults(&self) -> Faults {
        let folder = self.fault.iter().map(|reason| (FOLDER.to_owned(), reason.clone()));
        let files = self.known.iter().filter_map(|(name, known)| Some((format!("{FOLDER}/{name}"), known.reason.clone()?)));
        Faults {
            files: self.known.len(),
            bad_lines: self.known.values().map(|known| known.bad_lines).sum(),
            broken: folder.chain(files).collect(),
        }
    }
}

impl Known {
    fn bad(version: Version, is_fresh: bool, reason: String) -> Self {
        Self { version, is_fresh, span: None, bad_lines: 0, reason: Some(reason), points: None, size: 0, used: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono_tz::Asia;
    use proptest::prelude::*;
    use std::fs;
    use std::path::Path;

    const LIMITS: Limits = Limits { files: 10, memory: 1 << 20, answer: 1 << 20 };

    fn at(minute: i64) -> Timestamp {
        Timestamp::from_micros(1_722_829_800_000_000 + minute * 60_000_000)
    }

    fn line(minute: i64, value: i64) -> String {
        format!("{{\"ts\":\"{}\",\"nifty\":{value}}}\n", at(minute))
    }

    fn files(folder: &Path, limits: Limits) -> BenchmarkFiles {
        BenchmarkFiles::new(Folder::new(folder.to_owned(), 1 << 20), Asia::Kolkata, limits)
    }

    /// Long after all files were written.
    fn later() -> Timestamp {
        Timestamp::from_micros(4_102_444_800_000_000)
    }

    fn seen(files: &mut BenchmarkFiles, from: i64, until: i64) -> Vec<String> {
        let points = files.window(at(from), at(until), later()).expect("not too many");
        points
            .iter()
            .map(|point| point.to_json().split("\"nifty\":").nth(1).expect("nifty").trim_end_matches('}').to_owned())
            .collect()
    }

    #[test]
    fn points_of_all_files_are_one_series_and_the_last_of_an_instant_counts() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("b.jsonl"), line(3, 30) + &line(1, 10) + &line(1, 11) + "{\n").unwrap();
        fs::write(folder.path().join("c.json"), format!("[{},{}]", line(2, 20).trim(), line(3, 31).trim())).unwrap();
        fs::write(folder.path().join("a.jsonl"), line(3, 29)).unwrap();
        fs::write(folder.path().join("other.csv"), line(4, 40)).unwrap();
        let mut files = files(folder.path(), LIMITS);
        assert_eq!(seen(&mut files, 0, 10), ["11", "20", "31"]);
        assert_eq!(seen(&mut files, 1, 3), ["11", "20"], "from the first instant, and without the last");
        let faults = files.faults();
        assert_eq!((faults.files, faults.bad_lines, faults.broken.len()), (3, 1, 1), "{faults:?}");
        assert_eq!(faults.broken[0].0, "benchmarks/b.jsonl");
        fs::remove_file(folder.path().join("b.jsonl")).unwrap();
        fs::write(folder.path().join("a.jsonl"), line(0, 1)).unwrap();
        assert_eq!(seen(&mut files, 0, 10), ["1", "20", "31"], "as they are now");
        assert_eq!(files.faults().broken, []);
    }

    #[test]
    fn points_that_are_not_kept_are_read_again() {
        let folder = tempfile::tempdir().unwrap();
        for day in 0..5 {
            fs::write(folder.path().join(format!("{day}.jsonl")), line(day, day)).unwrap();
        }
        let mut files = files(folder.path(), Limits { memory: 100, ..LIMITS });
        for _ in 0..2 {
            assert_eq!(seen(&mut files, 0, 10), ["0", "1", "2", "3", "4"]);
            assert!(files.known.values().filter(|known| known.points.is_some()).count() <= 2);
        }
    }

    proptest! {
        #[test]
        fn every_window_equals_a_naive_search(
            lines in proptest::collection::vec((0..3_usize, 0..30_i64, 0..1_000_i64), 0..40),
            windows in proptest::collection::vec((0..30_i64, 0..31_i64), 1..5),
            memory in prop_oneof![Just(0_usize), Just(200), Just(1 << 20)],
        ) {
            let folder = tempfile::tempdir().unwrap();
            for file in 0..3 {
                let own: String = lines.iter().filter(|line| line.0 == file).map(|(_, minute, value)| line(*minute, *value)).collect();
                fs::write(folder.path().join(format!("{file}.jsonl")), own).unwrap();
            }
            let mut files = files(folder.path(), Limits { memory, ..LIMITS });
            let mut sorted = lines.clone();
            sorted.sort_by_key(|line| line.0);
            let by_minute: BTreeMap<i64, i64> = sorted.iter().map(|(_, minute, value)| (*minute, *value)).collect();
            for (from, until) in windows {
                let naive: Vec<String> =
                    by_minute.iter().filter(|(minute, _)| (from..until).contains(*minute)).map(|(_, value)| value.to_string()).collect();
                prop_assert_eq!(seen(&mut files, from, until), naive);
            }
        }
    }

    #[test]
    fn bounds_are_kept_and_told() {
        let folder = tempfile::tempdir().unwrap();
        for day in 0..5 {
            fs::write(folder.path().join(format!("{day}.jsonl")), line(day, day)).unwrap();
        }
        fs::File::create(folder.path().join("huge.json")).unwrap().set_len(2 << 20).unwrap();
        let pipe = std::process::Command::new("mkfifo").arg(folder.path().join("0.jsonl.json")).status();
        assert!(pipe.unwrap().success());
        let mut few = files(folder.path(), Limits { files: 3, ..LIMITS });
        assert_eq!(seen(&mut few, 0, 10), ["3", "4"], "the last names");
        assert_eq!(few.faults().broken.len(), 2, "{:?}", few.faults());
        let mut small = files(folder.path(), Limits { answer: 100, ..LIMITS });
        assert_eq!(small.window(at(0), at(10), later()), Err(TooMany));
        let mut none = files(&folder.path().join("nowhere"), LIMITS);
        assert_eq!((seen(&mut none, 0, 10), none.faults().broken), (vec![], vec![]));
    }
}
