//! Finds and opens the log of an engine, and nothing else: whatever a name or a link says, only a regular file is opened that
//! is really in the log folder, or in the folder of the file that the configuration names.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::domain::engine::EngineName;

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The engine has no log.
    #[error("the engine has no log")]
    None,
    /// It cannot be read.
    #[error("the log cannot be read: {0}")]
    Io(#[from] io::Error),
}

/// Where an engine's log is looked for.
#[derive(Debug, Clone)]
pub struct LogPlace {
    engine: EngineName,
    folder: PathBuf,
    configured: Option<PathBuf>,
}

/// An open log.
#[derive(Debug)]
pub struct LogFile {
    /// The file.
    pub file: File,
    /// Its bare name.
    pub name: OsString,
    /// The name it was asked for by: that of a link, if it is one.
    pub asked: OsString,
    /// What tells it from any other file, for as long as it is open.
    pub identity: Identity,
}

/// Device and inode, and when it was made, since inodes are used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Identity(u64, u64, Option<SystemTime>);

impl Identity {
    pub(super) fn of(metadata: &fs::Metadata) -> Self {
        Self(metadata.dev(), metadata.ino(), metadata.created().ok())
    }
}

impl LogPlace {
    /// The log of `engine`: the file that the operator `configured` (wherever it is; a relative path is taken from the working
    /// directory), else the newest `{engine}*.log` in `folder`, where the name does not go on with a letter or a digit.
    #[must_use]
    pub fn new(engine: EngineName, folder: &Path, configured: Option<&Path>) -> Self {
        Self { engine, folder: folder.to_owned(), configured: configured.map(Path::to_owned) }
    }

    /// Opens the log as it is now.
    ///
    /// # Errors
    /// There is none, or it cannot be read.
    pub fn open(&self) -> Result<LogFile, LogError> {
        if let Some(name) = self.configured.as_deref().and_then(Path::file_name) {
            return self.open_named(name);
        }
        // the newest may be gone by the time it is opened, or lead out of the folder
        let mut opened = self.candidates()?.into_iter().map(|name| self.open_named(&name));
        opened.find(|opened| !matches!(opened, Err(LogError::None))).unwrap_or(Err(LogError::None))
    }

    /// Opens the file that is now at `name`, which this place gave.
    ///
    /// # Errors
    /// There is none, or it cannot be read.
    pub fn open_named(&self, name: &OsStr) -> Result<LogFile, LogError> {
        let folder = found(self.folder().canonicalize())?;
        let path = found(folder.join(name).canonicalize())?;
        // a link may lead within the folder, not out of it
        if path.starts_with(&folder) { open(&path, name) } else { Err(LogError::None) }
    }

    fn folder(&self) -> &Path {
        match &self.configured {
            Some(path) => path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")),
            None => &self.folder,
        }
    }

    /// Whether `name` is `{engine}*.log`. `fno` has `fno_paper.log` and `fno-2024-08-05.log`, while `fnord.log` is another
    /// engine's.
    pub(super) fn may_be(&self, name: &OsStr) -> bool {
        let rest = name.as_bytes().strip_prefix(self.engine.as_str().as_bytes());
        let middle = rest.and_then(|rest| rest.strip_suffix(b".log"));
        self.configured.is_none() && middle.is_some_and(|middle| middle.first().is_none_or(|byte| !byte.is_ascii_alphanumeric()))
    }

    /// The files in the log's folder of which `takes` takes the name.
    pub(super) fn files(&self, takes: impl Fn(&OsStr) -> bool) -> Result<Vec<(OsString, fs::Metadata)>, LogError> {
        let mut files = Vec::new();
        for entry in found(fs::read_dir(self.folder()))? {
            let name = entry?.file_name();
            if takes(&name) {
                let metadata = fs::metadata(self.folder().join(&name)).ok().filter(fs::Metadata::is_file);
                files.extend(metadata.map(|metadata| (name, metadata)));
            }
        }
        Ok(files)
    }

    /// Names of all files that may be the log, newest first.
    ///
    /// # Errors
    /// The folder cannot be read.
    fn candidates(&self) -> Result<Vec<OsString>, LogError> {
        let files = self.files(|name| self.may_be(name))?;
        let mut found: Vec<_> =
            files.into_iter().filter_map(|(name, metadata)| Some((metadata.modified().ok()?, name))).collect();
        found.sort_unstable_by(|a, b| b.cmp(a));
        Ok(found.into_iter().map(|(_, name)| name).collect())
    }
}

/// What is not there is no log; all else is an error.
fn found<T>(outcome: io::Result<T>) -> Result<T, LogError> {
    use io::ErrorKind::{InvalidInput, NotADirectory, NotFound};
    outcome.map_err(|error| match error.kind() {
        NotFound | NotADirectory | InvalidInput => LogError::None,
        _ => LogError::Io(error),
    })
}

/// Opens a path that has no links in it; it was `asked` for.
fn open(path: &Path, asked: &OsStr) -> Result<LogFile, LogError> {
    // opening a pipe would wait for its writer
    if !found(fs::symlink_metadata(path))?.is_file() {
        return Err(LogError::None);
    }
    let file = found(File::open(path))?;
    // nobody has put a link there in the meantime
    let (opened, there) = (file.metadata()?, found(fs::symlink_metadata(path))?);
    if Identity::of(&opened) != Identity::of(&there) || !there.is_file() {
        return Err(LogError::None);
    }
    let name = path.file_name().ok_or(LogError::None)?.to_owned();
    Ok(LogFile { file, name, asked: asked.to_owned(), identity: Identity::of(&opened) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;
    use std::time::Duration;

    fn write(path: &Path, age: u64) {
        fs::write(path, "2024-08-05 09:10:00 [INFO] a - b\n").unwrap();
        File::open(path).unwrap().set_modified(SystemTime::now() - Duration::from_secs(age)).unwrap();
    }

    fn name_of(folder: &Path, engine: &str) -> Option<String> {
        let opened = LogPlace::new(EngineName::parse(engine).unwrap(), folder, None).open();
        opened.ok().map(|log| log.name.into_string().unwrap())
    }

    #[test]
    fn the_newest_log_of_the_engine_is_taken_and_not_that_of_one_with_a_longer_name() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        for (name, age) in [("fno_paper.log", 50), ("fno.log", 90), ("fnord.log", 5), ("fno.log.1", 1), ("equity.log", 0)] {
            write(&folder.join(name), age);
        }
        fs::create_dir(folder.join("fno_folder.log")).unwrap();
        assert_eq!(name_of(folder, "fno").as_deref(), Some("fno_paper.log"));
        for prefix in ["f", "fn", "fno_pap", "options"] {
            assert_eq!(name_of(folder, prefix), None, "{prefix}");
        }
        write(&folder.join("fno-2024-08-05.log"), 40);
        assert_eq!(name_of(folder, "fno").as_deref(), Some("fno-2024-08-05.log"));
        assert_eq!(name_of(&folder.join("nowhere"), "fno"), None);
    }

    #[test]
    fn links_out_of_the_folder_are_no_logs_and_links_within_are() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("logs");
        fs::create_dir(&folder).unwrap();
        write(&root.path().join("secret.log"), 0);
        symlink("../secret.log", folder.join("out.log")).unwrap();
        symlink(root.path().join("secret.log"), folder.join("absolute.log")).unwrap();
        symlink("hop.log", folder.join("twice.log")).unwrap();
        symlink("out.log", folder.join("hop.log")).unwrap();
        symlink("nothing.log", folder.join("dangling.log")).unwrap();
        symlink("/dev/zero", folder.join("device.log")).unwrap();
        for engine in ["out", "absolute", "twice", "dangling", "device"] {
            assert_eq!(name_of(&folder, engine), None, "{engine}");
        }
        write(&folder.join("fno_1.log"), 0);
        symlink("fno_1.log", folder.join("current.log")).unwrap();
        assert_eq!(name_of(&folder, "current").as_deref(), Some("fno_1.log"));
        symlink("../secret.log", folder.join("fno_2.log")).unwrap();
        assert_eq!(name_of(&folder, "fno").as_deref(), Some("fno_1.log"), "a bad one does not hide a good one");
    }

    #[test]
    fn the_file_that_the_operator_names_is_taken_wherever_it_is() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("engine-output.txt");
        let place = LogPlace::new(EngineName::parse("fno").unwrap(), Path::new("nowhere"), Some(&path));
        assert!(matches!(place.open(), Err(LogError::None)));
        write(&path, 0);
        assert_eq!(place.open().unwrap().name, "engine-output.txt");
        fs::remove_file(&path).unwrap();
        symlink("/etc/hostname", &path).unwrap();
        assert!(matches!(place.open(), Err(LogError::None)), "a link leads out of its folder too");
    }
}
