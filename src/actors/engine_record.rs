//! The records of engines that beat over HTTP as files, for whoever reads the folder instead of the API.
//!
//! A file is written whole under another name and renamed, so a reader sees the old one or the new one. It carries
//! `"written_by":"plimsoll"`; a file without it is the engine's own and is left alone. It is a copy, so it is not synced.
//! Of engines that the journal no longer tells of it is all that a restart knows.

use std::collections::{HashSet, VecDeque};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tokio::task::{JoinError, JoinHandle, spawn_blocking};

use super::engine_model::EngineModel;
use crate::domain::clock::Timestamp;
use crate::domain::engine::file as engine_file;
use crate::domain::engine::{EngineName, Kept, PLIMSOLL};

/// Files written at once: a rename costs a file system more than a beat costs us, so with more engines than this each has
/// its turn.
const MAX_FILES: usize = 200;
/// A record of ours is not longer, in bytes.
const MAX_RECORD: u64 = 64 << 10;

/// What is to be written, and the folder unless a thread has it.
#[derive(Debug)]
pub struct RecordWriter {
    folder: PathBuf,
    /// Engines whose file is behind, the longest first; each once.
    queue: VecDeque<EngineName>,
    queued: HashSet<EngineName>,
    files: Option<RecordFiles>,
}

impl RecordWriter {
    /// Records in `folder`, which is made when it is needed.
    #[must_use]
    pub fn new(folder: PathBuf) -> Self {
        Self { files: Some(RecordFiles::new(folder.clone())), folder, queue: VecDeque::new(), queued: HashSet::new() }
    }

    /// The engine's record changed: by its own file, or by a beat that its file does not know of.
    pub fn changed(&mut self, name: &EngineName, by_file: bool) {
        if !by_file {
            if self.queued.insert(name.clone()) {
                self.queue.push_back(name.clone());
            }
        } else if let Some(files) = &mut self.files {
            files.ours.remove(name);
        }
    }

    /// All records are in their files.
    pub fn clear(&mut self) {
        self.queue.clear();
        self.queued.clear();
    }

    /// Starts to write what has changed, on a thread that may wait for the disk; `None` if there is nothing to do, or the
    /// last time is not over.
    pub fn write(&mut self, engines: &EngineModel) -> Option<JoinHandle<(RecordFiles, u64)>> {
        if self.queue.is_empty() {
            return None;
        }
        let mut files = self.files.take()?;
        let count = self.queue.len().min(MAX_FILES);
        let own = self.queue.drain(..count).filter_map(|name| {
            self.queued.remove(&name);
            let engine = engines.engines.get(&name)?;
            (!engine.has_file()).then(|| (name.clone(), engine.kept()))
        });
        let records: Vec<_> = own.collect();
        Some(spawn_blocking(move || {
            let failed = files.write(records);
            (files, failed)
        }))
    }

    /// Takes the folder back; gives the number of records that could not be written.
    pub fn written(&mut self, outcome: Result<(RecordFiles, u64), JoinError>) -> u64 {
        let (files, failed) = outcome.unwrap_or_else(|_| (RecordFiles::new(self.folder.clone()), 1));
        self.files = Some(files);
        failed
    }
}

/// The folder of records.
#[derive(Debug)]
pub struct RecordFiles {
    folder: PathBuf,
    /// Engines whose file is known to be ours.
    ours: HashSet<EngineName>,
    /// Whether the last attempt failed, so that a full disk is told once.
    failing: bool,
}

impl RecordFiles {
    /// Records in `folder`, which is made when it is needed.
    #[must_use]
    pub fn new(folder: PathBuf) -> Self {
        Self { folder, ours: HashSet::new(), failing: false }
    }

    /// Writes each record; blocks. Gives the number that could not be written.
    pub fn write(&mut self, records: Vec<(EngineName, Value)>) -> u64 {
        let mut failed = 0;
        for (name, record) in records {
            let written = self.write_one(&name, record);
            if let Err(error) = &written {
                failed += 1;
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::warn!(engine = %name, %error, "cannot write an engine's file");
                }
            }
        }
        self.failing &= failed > 0;
        failed
    }

    fn write_one(&mut self, name: &EngineName, mut record: Value) -> io::Result<()> {
        let path = self.folder.join(format!("{name}_engine.json"));
        if !self.ours.contains(name) {
            if !is_free(&path)? {
                return Ok(());
            }
            self.ours.insert(name.clone());
        }
        if let Value::Object(fields) = &mut record {
            fields.insert("written_by".to_owned(), PLIMSOLL.into());
        }
        // hidden, and of another ending: nobody takes it for a record
        let draft = self.folder.join(format!(".{name}_engine.json.new"));
        match fs::write(&draft, record.to_string()) {
            // there is none yet, or somebody deleted it
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::create_dir_all(&self.folder)?;
                fs::write(&draft, record.to_string())?;
            }
            written => written?,
        }
        fs::rename(&draft, &path)
    }
}

/// The records in `folder` that an earlier run wrote there, with the times of their files, at most `max`; blocks.
#[must_use]
pub fn recall(folder: &Path, max: usize) -> Vec<(Kept, Timestamp)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(file) = entry.file_name().into_string() else { continue };
        if !engine_file::is_engine_file(&file) || !entry.file_type().is_ok_and(|kind| kind.is_file()) {
            continue;
        }
        let read = || {
            let metadata = entry.metadata().ok().filter(|metadata| metadata.len() <= MAX_RECORD)?;
            Some((fs::read_to_string(entry.path()).ok()?, metadata.mtime().saturating_mul(1_000_000)))
        };
        let kept = read().and_then(|(text, modified)| Some((Kept::parse(&file, &text)?, Timestamp::from_micros(modified))));
        found.extend(kept);
    }
    // where not all fit, which ones do shall not depend on the file system's order
    found.sort_unstable_by(|(one, _), (other, _)| one.update.name.cmp(&other.update.name));
    found.truncate(max);
    found
}

/// Whether nobody else has a file there.
fn is_free(path: &Path) -> io::Result<bool> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error),
        Ok(file) if !file.is_file() || file.len() > MAX_RECORD => Ok(false),
        Ok(_) => {
            let record: Option<Value> = serde_json::from_slice(&fs::read(path)?).ok();
            Ok(record.is_some_and(|record| record.get("written_by").and_then(Value::as_str) == Some(PLIMSOLL)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn records_are_written_whole_and_marked_and_an_engines_own_file_is_left_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let telemetry = folder.path().join("telemetry");
        fs::create_dir(&telemetry).expect("made");
        fs::write(telemetry.join("own_engine.json"), "{\"name\":\"own\"").expect("written");
        let (fno, own) = (EngineName::parse("fno").expect("a name"), EngineName::parse("own").expect("a name"));
        let mut files = RecordFiles::new(telemetry.clone());
        for tick in 0..2 {
            let records = vec![(fno.clone(), json!({"name": "fno", "loop_tick": tick})), (own.clone(), json!({"name": "own"}))];
            assert_eq!(files.write(records), 0);
        }
        let read = |name: &str| fs::read_to_string(telemetry.join(name)).expect("there");
        assert_eq!(read("fno_engine.json"), r#"{"name":"fno","loop_tick":1,"written_by":"plimsoll"}"#);
        assert_eq!(read("own_engine.json"), "{\"name\":\"own\"");
        assert_eq!(fs::read_dir(&telemetry).expect("listed").count(), 2, "no draft is left");
        fs::remove_dir_all(&telemetry).expect("removed");
        assert_eq!(files.write(vec![(fno.clone(), json!({"name": "fno", "loop_tick": 1}))]), 0);
        assert!(read("fno_engine.json").contains("\"loop_tick\":1"), "the folder is made again");
        let mut again = RecordFiles::new(telemetry.clone());
        assert_eq!(again.write(vec![(fno, json!({"name": "fno", "loop_tick": 2}))]), 0);
        assert!(read("fno_engine.json").contains("\"loop_tick\":2"), "it is ours after a restart too");
    }
}
