//! The kill switch on disk: its position, which a restart takes up, and its history.
//!
//! The position is written whole and synced; the history follows it and is completed from it after a crash. Whatever is
//! not certain means halted.

use std::fs;
use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::atomic_file;
use super::audit_log::AuditLog;
use crate::domain::clock::Timestamp;
use crate::domain::risk::kill_switch::{Position, Switch};

/// The position's file.
const FILE: &str = "kill_switch.json";
/// The history's file.
const HISTORY: &str = "kill_switch_history.jsonl";
/// A file of ours is not longer, in bytes.
const MAX_BYTES: u64 = 4 << 20;

/// Its two files.
#[derive(Debug)]
pub struct KillSwitchFile {
    folder: PathBuf,
    history: AuditLog,
}

/// What a start finds.
#[derive(Debug)]
pub struct Found {
    /// The files.
    pub file: KillSwitchFile,
    /// The switch.
    pub switch: Switch,
    /// Up to which number changes have been announced.
    pub announced: u64,
    /// Whether the switch is not on disk as it is now.
    pub is_unsaved: bool,
    /// Whether its position is not in the history yet.
    pub is_unlogged: bool,
    /// Why the position was not certain, so that it is halted.
    pub lost: Option<String>,
}

/// The file's content.
#[derive(Serialize, Deserialize)]
struct Content<'a> {
    #[serde(borrow)]
    position: &'a RawValue,
    announced: u64,
    causes: Vec<String>,
}

impl KillSwitchFile {
    /// Reads what is in `folder`, which is made if it is missing. `told` is the position that was announced last, as far as the
    /// journal knows: a folder that is empty after that was not always so.
    #[must_use]
    pub fn open(folder: PathBuf, told: Option<&Position>, now: Timestamp) -> Found {
        if let Err(error) = fs::create_dir_all(&folder) {
            tracing::error!(%error, "the folder of the kill switch cannot be made");
        }
        let path = folder.join(HISTORY);
        let (history, unread) = match AuditLog::open(path.clone(), |line| Position::parse(line).is_ok()) {
            Ok(history) => (history, false),
            Err(error) => {
                tracing::error!(%error, "the history of the kill switch cannot be read");
                (AuditLog::unread(path), true)
            }
        };
        let last = history.last().and_then(|line| Position::parse(&line).ok());
        let has_history = unread || last.is_some() || history.recent().read().broken > 0;
        let file = Self { folder, history };
        let logged = last.as_ref().map_or(0, |last| last.seq);
        let mut is_unsaved = true;
        let (switch, announced, lost) = match file.load() {
            Ok(Some((switch, _))) if switch.position().seq < logged => {
                // a change that took effect and could not be saved, or an old copy
                file.lost("its state is older than its history", last.as_ref(), now)
            }
            Ok(Some((switch, announced))) => {
                is_unsaved = false;
                (switch, announced, None)
            }
            Ok(None) if !has_history && told.is_none() => (Switch::untouched(now), 0, None),
            Ok(None) => file.lost("its state is missing, though it has been used before", last.as_ref().or(told), now),
            Err(reason) => {
                file.set_aside(now);
                file.lost(&format!("its state {reason}"), last.as_ref(), now)
            }
        };
        let is_unlogged = switch.position().seq > logged;
        Found { file, switch, announced, is_unsaved, is_unlogged, lost }
    }

    fn lost(&self, what: &str, last: Option<&Position>, now: Timestamp) -> (Switch, u64, Option<String>) {
        let reason = format!("the kill switch is halted because {what}; check what happened, then set it");
        tracing::error!(reason, "the kill switch is not as it was left");
        let announced = last.map_or(0, |last| last.seq);
        (Switch::lost(reason.clone(), last, now), announced, Some(reason))
    }

    fn load(&self) -> Result<Option<(Switch, u64)>, String> {
        let path = self.folder.join(FILE);
        match fs::symlink_metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(format!("cannot be read: {error}")),
            Ok(file) if !file.is_file() => return Err("is not a file".to_owned()),
            Ok(file) if file.len() > MAX_BYTES => return Err("is too large to be ours".to_owned()),
            Ok(_) => {}
        }
        let text = fs::read_to_string(&path).map_err(|error| format!("cannot be read: {error}"))?;
        let content: Content<'_> = serde_json::from_str(&text).map_err(|error| format!("is not readable: {error}"))?;
        let position = Position::parse(content.position.get()).map_err(|reason| format!("is not readable: {reason}"))?;
        Ok(Some((Switch::restored(position, content.causes), content.announced)))
    }

    /// Keeps what could not be read for whoever wants to look at it.
    fn set_aside(&self, now: Timestamp) {
        let aside = self.folder.join(format!("{FILE}.broken-{}", now.micros()));
        if let Err(error) = fs::rename(self.folder.join(FILE), aside) {
            tracing::warn!(%error, "the unreadable state of the kill switch cannot be set aside");
        }
    }

    /// Writes the switch down; blocks. It is durable when this has returned.
    ///
    /// # Errors
    /// It may not be.
    pub fn save(&self, switch: &Switch, announced: u64) -> io::Result<()> {
        let position = serde_json::value::to_raw_value(switch.position())?;
        let causes = switch.causes().map(str::to_owned).collect();
        let content = Content { position: &position, announced, causes };
        fs::create_dir_all(&self.folder)?;
        atomic_file::replace(&self.folder.join(FILE), &serde_json::to_vec(&content)?)
    }

    /// Adds a position to the history; blocks.
    ///
    /// # Errors
    /// It could not be written.
    pub fn log(&mut self, position: &Position) -> io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        self.history.append(&serde_json::to_string(position)?)
    }

    /// The history.
    #[must_use]
    pub fn history(&self) -> &AuditLog {
        &self.history
    }

    /// The positions of the history that are newer than number `seq`, oldest first.
    #[must_use]
    pub fn since(&self, seq: u64) -> Vec<Position> {
        let recent = self.history.recent();
        let lines = &recent.read().lines;
        lines.iter().filter_map(|line| Position::parse(line.get()).ok()).filter(|position| position.seq > seq).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::risk::kill_switch::TradingState;
    use std::path::Path;

    fn now() -> Timestamp {
        Timestamp::from_micros(1_763_452_541_000_000)
    }

    fn open(folder: &Path) -> Found {
        KillSwitchFile::open(folder.join("risk"), None, now())
    }

    #[test]
    fn a_folder_that_is_gone_after_a_change_was_announced_is_halted_and_counts_on() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut found = open(folder.path());
        halt(&mut found);
        fs::remove_dir_all(folder.path().join("risk")).expect("removed");
        let told = found.switch.position();
        let again = KillSwitchFile::open(folder.path().join("risk"), Some(told), now());
        assert_eq!((again.switch.position().state, again.lost.is_some()), (TradingState::Halted, true));
        assert!(again.switch.position().seq > told.seq, "or its announcement would be taken for one made before");
    }

    fn halt(found: &mut Found) {
        found.switch = found.switch.order(TradingState::Halted, "test", "alice", now()).expect("a change");
        found.file.save(&found.switch, 0).expect("saved");
    }

    #[test]
    fn a_first_start_is_active_and_what_was_saved_is_found_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut found = open(folder.path());
        assert_eq!((found.switch.position().state, found.is_unsaved, found.is_unlogged), (TradingState::Active, true, false));
        halt(&mut found);
        let again = open(folder.path());
        assert_eq!((&again.switch, again.is_unsaved, again.announced), (&found.switch, false, 0));
        assert!(again.is_unlogged, "a crash came before the history");
    }

    #[test]
    fn whatever_is_not_certain_is_halted_and_what_could_not_be_read_is_kept() {
        for broken in ["", "{", "null", "{}", "\u{0}\u{0}\u{0}", r#"{"position":{"state":"active"},"announced":0,"causes":[]}"#] {
            let folder = tempfile::tempdir().expect("a folder");
            open(folder.path()).file.save(&Switch::untouched(now()), 0).expect("saved");
            let path = folder.path().join("risk").join(FILE);
            fs::write(&path, broken).expect("broken");
            let found = open(folder.path());
            assert_eq!(found.switch.position().state, TradingState::Halted, "{broken:?}");
            assert!(found.is_unsaved && found.is_unlogged && found.lost.is_some());
            let aside = fs::read_dir(folder.path().join("risk")).expect("listed").filter_map(Result::ok);
            assert!(aside.map(|file| fs::read(file.path()).expect("read")).any(|bytes| bytes == broken.as_bytes()));
        }
    }

    #[test]
    fn a_folder_in_its_place_or_a_missing_state_with_a_history_is_halted() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("risk").join(FILE);
        fs::create_dir_all(&path).expect("made");
        assert_eq!(open(folder.path()).switch.position().state, TradingState::Halted);

        let folder = tempfile::tempdir().expect("a folder");
        let mut found = open(folder.path());
        let rearmed = found.switch.order(TradingState::Active, "checked", "alice", now()).expect("noted");
        found.file.log(rearmed.position()).expect("logged");
        let found = open(folder.path());
        assert_eq!((found.switch.position().state, found.switch.position().seq), (TradingState::Halted, 2));
        assert_eq!(found.file.since(0).len(), 1);
        found.file.save(&Switch::untouched(now()), 0).expect("saved");
        let found = open(folder.path());
        assert_eq!(found.switch.position().state, TradingState::Halted, "an old copy of the state");
    }
}
