//! The files that a log was and will be, by the names that rotation gives: `fno.log.1`, `fno.1.log`, `fno.log.2024-08-05`, or a
//! new file beside the old one, such as `fno_2024-08-06.log`.
//!
//! Numbers tell for certain what came after what and whether something is missing; other names are ordered by their last change.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::time::SystemTime;

use super::log_file::{Identity, LogError, LogPlace};

/// How a file's name goes with a log's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Relation {
    /// Another log of the engine.
    Beside,
    /// The log's name and more.
    Named,
    /// The log's name and a number.
    Numbered(u32),
    /// The log's name.
    Same,
}

/// A file that goes with a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Relative {
    pub(super) name: OsString,
    pub(super) identity: Identity,
    pub(super) modified: SystemTime,
    pub(super) length: u64,
    pub(super) relation: Relation,
    /// Nobody can read on in it.
    pub(super) is_packed: bool,
}

/// What was read before, or is of no interest.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    pub(super) files: HashSet<Identity>,
    pub(super) names: HashSet<OsString>,
}

/// The files that go with a log, at one instant.
#[derive(Debug, Clone, Default)]
pub(super) struct Family(pub(super) Vec<Relative>);

/// Endings of files that were packed.
const PACKED: [&[u8]; 6] = [b".gz", b".bz2", b".xz", b".zst", b".lz4", b".zip"];
/// Most looks at a folder that changes.
const LOOKS: usize = 8;
/// Longest number; what has more digits is a date.
const MOST_DIGITS: usize = 4;

impl Family {
    /// The family of the log that `place` calls `name`; `None` if it changes while it is looked at.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub(super) fn look(place: &LogPlace, name: &OsStr) -> Result<Option<Self>, LogError> {
        let once = || -> Result<Self, LogError> {
            let mut files = Vec::new();
            for (other, metadata) in place.files(|other| relation(name, other, place.may_be(other)).is_some())? {
                let Some((relation, is_packed)) = relation(name, &other, place.may_be(&other)) else { continue };
                let Ok(modified) = metadata.modified() else { continue };
                let identity = Identity::of(&metadata);
                files.push(Relative { name: other, identity, modified, length: metadata.len(), relation, is_packed });
            }
            files.sort_unstable_by(|a, b| a.name.cmp(&b.name));
            Ok(Self(files))
        };
        let ids = |family: &Self| family.0.iter().map(|file| (file.name.clone(), file.identity)).collect::<Vec<_>>();
        // files that are renamed under way are seen twice or not at all
        let mut before = once()?;
        for _ in 0..LOOKS {
            let now = once()?;
            if ids(&before) == ids(&now) {
                return Ok(Some(now));
            }
            before = now;
        }
        Ok(None)
    }

    /// The file with this identity.
    pub(super) fn find(&self, identity: Identity) -> Option<&Relative> {
        self.0.iter().find(|file| file.identity == identity)
    }

    /// The file that was written after `here`, and whether it is certain that no other was written in between.
    pub(super) fn next(&self, here: Identity, seen: &Seen) -> Option<(&Relative, bool)> {
        let at = self.find(here);
        let number = at.and_then(|at| at.number());
        let is_fresh = |file: &Relative| {
            let is_new = !seen.files.contains(&file.identity) && file.length > 0 && file.identity != here;
            let has_new_name = !seen.names.contains(&file.name);
            is_new
                && match (at.map(|at| at.relation), file.relation) {
                    // nothing was rotated; what has a number or is packed is a copy
                    (Some(Relation::Same), Relation::Numbered(_) | Relation::Same) => false,
                    (Some(Relation::Same), _) => has_new_name && !file.is_packed,
                    (Some(Relation::Numbered(_)), Relation::Named | Relation::Beside) => false,
                    (_, Relation::Beside) => has_new_name,
                    _ => true,
                }
        };
        let fresh = || self.0.iter().filter(|file| is_fresh(file));
        // most count down to the newest; some count up
        let is_later = |file: &Relative| file.number() > number && at.is_some_and(|at| file.modified >= at.modified);
        let is_earlier = |file: &Relative| file.number().is_some_and(|n| number.is_some_and(|here| n < here));
        let counts_up = number.is_some() && fresh().any(is_later) && !fresh().any(is_earlier);
        let mut after: Vec<&Relative> = fresh()
            .filter(|file| match (file.number(), number) {
                (Some(_), Some(_)) if counts_up => is_later(file),
                (Some(_), Some(_)) => is_earlier(file),
                _ => true,
            })
            .collect();
        after.sort_by_key(|file| {
            let down = file.number().map(|n| if counts_up { (n, Reverse(0)) } else { (0, Reverse(n)) });
            (file.relation == Relation::Same, down, file.modified)
        });
        let first = *after.first()?;
        let next = *after.iter().find(|file| !file.is_packed)?;
        let has = |n: u32| self.0.iter().any(|file| file.number() == Some(n));
        let follows = number.is_none_or(|here| {
            let there = next.number().unwrap_or_default();
            (here.min(there) + 1..here.max(there)).all(has)
        });
        Some((next, at.is_some() && follows && first.identity == next.identity))
    }

    /// All that is not newer than the file `here`.
    pub(super) fn up_to(&self, here: Identity) -> Seen {
        let at = self.find(here);
        let is_newer = |file: &&Relative| match at {
            // what is beside the log has nothing to do with it
            Some(at) if at.relation == Relation::Same => false,
            _ if file.identity == here => false,
            _ if file.relation == Relation::Same => true,
            Some(at) => file.modified >= at.modified && file.number().zip(at.number()).is_none_or(|(n, here)| n < here),
            None => false,
        };
        let old = self.0.iter().filter(|file| !is_newer(file));
        let (mut files, names): (HashSet<_>, _) = old.map(|file| (file.identity, file.name.clone())).unzip();
        files.insert(here);
        Seen { files, names }
    }

    /// Takes a file in that is the log under a name that does not show it.
    pub(super) fn add_beside(&mut self, name: OsString, identity: Identity) {
        let (modified, relation) = (SystemTime::UNIX_EPOCH, Relation::Beside);
        self.0.push(Relative { name, identity, modified, length: 0, relation, is_packed: false });
    }
}

impl Seen {
    /// Forgets what is not in `family` any more.
    pub(super) fn keep(&mut self, family: &Family) {
        self.files.retain(|identity| family.find(*identity).is_some());
        self.names.retain(|name| family.0.iter().any(|file| file.name == *name));
    }
}

impl Relative {
    fn number(&self) -> Option<u32> {
        if let Relation::Numbered(number) = self.relation { Some(number) } else { None }
    }
}

/// How `other` goes with `log`, and whether it is packed; `may_be`: it could be a log of the engine.
fn relation(log: &OsStr, other: &OsStr, may_be: bool) -> Option<(Relation, bool)> {
    if log == other {
        return Some((Relation::Same, false));
    }
    let (log, other) = (log.as_bytes(), other.as_bytes());
    let bare = PACKED.iter().find_map(|ending| other.strip_suffix(*ending));
    let (name, is_packed) = (bare.unwrap_or(other), bare.is_some());
    let by_mark = |rest: &[u8]| {
        let (mark, rest) = rest.split_first()?;
        let number = || std::str::from_utf8(rest).ok().filter(|text| text.len() <= MOST_DIGITS)?.parse().ok();
        let is_number = !rest.is_empty() && rest.iter().all(u8::is_ascii_digit);
        b".-_".contains(mark).then(|| if is_number { number() } else { None }.map_or(Relation::Named, Relation::Numbered))
    };
    let behind = if name == log && is_packed { Some(Relation::Named) } else { name.strip_prefix(log).and_then(by_mark) };
    let within = || {
        let dot = memchr::memrchr(b'.', log)?;
        let (stem, ending) = log.split_at_checked(dot)?;
        let rest = name.strip_prefix(stem)?.strip_suffix(ending)?;
        // `fno_paper.log` is another log of the engine, `fno-2024-08-05.log` was most likely this one
        by_mark(rest).filter(|_| rest.get(1).is_some_and(u8::is_ascii_digit))
    };
    let relation = behind.or_else(within).or_else(|| (may_be && !is_packed).then_some(Relation::Beside))?;
    Some((relation, is_packed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_rotation_gives_are_told_from_those_of_other_logs() {
        for (name, expected) in [
            ("fno.log", Some((Relation::Same, false))),
            ("fno.log.1", Some((Relation::Numbered(1), false))),
            ("fno.12.log", Some((Relation::Numbered(12), false))),
            ("fno.log.3.gz", Some((Relation::Numbered(3), true))),
            ("fno.log.2024-08-05", Some((Relation::Named, false))),
            ("fno.log-20240805", Some((Relation::Named, false))),
            ("fno_2024-08-05.log", Some((Relation::Named, false))),
            ("fno.log.gz", Some((Relation::Named, true))),
            ("fno.logs", None),
            ("fno2.log", None),
            ("fno_paper.log", None),
        ] {
            assert_eq!(relation(OsStr::new("fno.log"), OsStr::new(name), false), expected, "{name}");
        }
        let beside = relation(OsStr::new("fno.log"), OsStr::new("fno_paper.log"), true);
        assert_eq!(beside, Some((Relation::Beside, false)));
    }
}
