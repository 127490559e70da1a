//! A folder that engines write into, and that may be missing, replaced or full of anything: what is in it, and what the
//! system tells of changes.

use std::collections::BTreeSet;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use actix::{Message, Recipient};
use notify::event::{AccessKind, AccessMode, EventKind, ModifyKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use parking_lot::Mutex;

use crate::domain::artifact::Version;
use crate::domain::clock::Timestamp;

/// What is seen of a file without reading it.
#[derive(Debug, PartialEq, Eq)]
pub enum Sight {
    /// There is none.
    Gone,
    /// A file, and where it really is.
    File(PathBuf, Version),
    /// Nothing that is going to be read, for this reason.
    Bad(Version, String),
}

/// The files in a folder.
#[derive(Debug)]
pub struct Listing {
    /// Their names, in no order.
    pub names: Vec<String>,
    /// Whether the folder has more entries than one looks at.
    pub cut: bool,
}

/// The folder.
#[derive(Debug, Clone)]
pub struct Folder {
    path: PathBuf,
    /// The largest file that is read, in bytes.
    max_bytes: u64,
}

impl Folder {
    /// The folder at `path`, of which files up to `max_bytes` are read.
    #[must_use]
    pub fn new(path: PathBuf, max_bytes: u64) -> Self {
        // the system tells of changes with whole paths
        Self { path: std::path::absolute(&path).unwrap_or(path), max_bytes }
    }

    /// Which folder is there now; another one after it was deleted and made again.
    ///
    /// # Errors
    /// Why there is none.
    pub fn identity(&self) -> io::Result<(u64, u64)> {
        let metadata = fs::metadata(&self.path)?;
        if metadata.is_dir() { Ok((metadata.dev(), metadata.ino())) } else { Err(io::ErrorKind::NotADirectory.into()) }
    }

    /// The names in the folder that `matches` wants, from its first `max_entries` entries. Names that are no text count
    /// as nobody's.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn list(&self, matches: fn(&str) -> bool, max_entries: usize) -> io::Result<Listing> {
        let (mut names, mut entries) = (Vec::new(), 0);
        for entry in fs::read_dir(&self.path)? {
            entries += 1;
            if entries > max_entries {
                return Ok(Listing { names, cut: true });
            }
            names.extend(entry?.file_name().into_string().ok().filter(|name| matches(name)));
        }
        Ok(Listing { names, cut: false })
    }

    /// Looks at the file `name`. Links are followed as long as they stay in the folder.
    #[must_use]
    pub fn see(&self, name: &str) -> Sight {
        let path = self.path.join(name);
        let entry = match fs::symlink_metadata(&path) {
            Ok(entry) => entry,
            Err(error) if is_absence(&error) => return Sight::Gone,
            Err(error) => return Sight::Bad(unseen(), unreadable(&error)),
        };
        if !entry.is_symlink() {
            return self.judge(path, &entry);
        }
        let Ok(target) = path.canonicalize() else {
            return Sight::Bad(version(&entry), "is a link that leads nowhere".to_owned());
        };
        match self.path.canonicalize().ok().filter(|folder| target.starts_with(folder)).and(fs::metadata(&target).ok()) {
            Some(metadata) => self.judge(target, &metadata),
            None => Sight::Bad(version(&entry), "is a link that leads out of the folder".to_owned()),
        }
    }

    fn judge(&self, path: PathBuf, metadata: &Metadata) -> Sight {
        let version = version(metadata);
        if !metadata.is_file() {
            return Sight::Bad(version, "is not a file".to_owned());
        }
        if version.len > self.max_bytes {
            return Sight::Bad(version, format!("is larger than {} bytes", self.max_bytes));
        }
        Sight::File(path, version)
    }

    /// The content of the file at `path` while it was in `version` all the time.
    ///
    /// # Errors
    /// A sentence: it cannot be read, or changed meanwhile.
    pub fn read(&self, path: &Path, version: Version) -> Result<Vec<u8>, String> {
        let check = |file: &File| match file.metadata() {
            Ok(metadata) if self::version(&metadata) == version => Ok(()),
            Ok(_) => Err("changes while it is read".to_owned()),
            Err(error) => Err(unreadable(&error)),
        };
        // it was a file a moment ago; if it is a link or a pipe by now, it is neither followed nor waited for
        let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
        let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(|error| unreadable(&error))?;
        check(&file)?;
        let mut bytes = Vec::new();
        (&file).take(self.max_bytes + 1).read_to_end(&mut bytes).map_err(|error| unreadable(&error))?;
        check(&file)?;
        Ok(bytes)
    }
}

/// The version of what cannot even be looked at.
fn unseen() -> Version {
    Version { modified: Timestamp::from_micros(0), changed: (0, 0), len: 0, inode: 0 }
}

fn version(metadata: &Metadata) -> Version {
    let modified = metadata.mtime().saturating_mul(1_000_000).saturating_add(metadata.mtime_nsec() / 1000);
    Version {
        modified: Timestamp::from_micros(modified),
        changed: (metadata.ctime(), metadata.ctime_nsec()),
        len: metadata.len(),
        inode: metadata.ino(),
    }
}

/// Whether an error only says that there is nothing.
fn is_absence(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// An error without the path in it.
#[must_use]
pub fn unreadable(error: &io::Error) -> String {
    format!("cannot be read: {}", error.kind())
}

/// Something changed in this one of the watched folders.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct FolderMoved(pub usize);

/// What changed since one asked last.
#[derive(Debug, Default)]
pub struct Changes {
    /// Files.
    pub names: BTreeSet<String>,
    /// More than that: the whole folder is to be looked through.
    pub all: bool,
    /// The folder itself is gone or elsewhere, so no more will be heard.
    pub lost: bool,
    /// Whether the actor was told that there are changes.
    told: bool,
}

/// Hears from the system what changes in a folder, until it is dropped.
pub struct Ear {
    changes: Arc<Mutex<Changes>>,
    _watcher: RecommendedWatcher,
}

impl Ear {
    /// Listens to `folder`, number `index`, and tells `actor` once about changes that it has not taken yet; of more
    /// than `max` files it only remembers that there are many.
    ///
    /// # Errors
    /// The system does not tell.
    pub fn listen(
        folder: &Folder,
        index: usize,
        matches: fn(&str) -> bool,
        max: usize,
        actor: Recipient<FolderMoved>,
    ) -> notify::Result<Self> {
        let changes = Arc::new(Mutex::new(Changes::default()));
        let (heard, path) = (Arc::clone(&changes), folder.path.clone());
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            let mut changes = heard.lock();
            if changes.note(event, &path, matches, max) && !changes.told {
                changes.told = true;
                actor.do_send(FolderMoved(index));
            }
        })?;
        watcher.watch(&folder.path, RecursiveMode::NonRecursive)?;
        Ok(Self { changes, _watcher: watcher })
    }

    /// Takes what changed.
    #[must_use]
    pub fn take(&self) -> Changes {
        std::mem::take(&mut *self.changes.lock())
    }
}

impl Changes {
    /// Notes an event; false when it changes nothing that anybody could read.
    fn note(&mut self, event: notify::Result<notify::Event>, folder: &Path, matches: fn(&str) -> bool, max: usize) -> bool {
        let Ok(event) = event else {
            self.all = true;
            return true;
        };
        self.all |= event.need_rescan();
        // a file is whole when its writer closes it or moves it here; what others do with it is found by polling
        let counts = match event.kind {
            EventKind::Access(kind) => kind == AccessKind::Close(AccessMode::Write),
            EventKind::Create(_) | EventKind::Modify(ModifyKind::Data(_)) => false,
            EventKind::Modify(_) | EventKind::Remove(_) | EventKind::Any | EventKind::Other => true,
        };
        for path in event.paths.iter().filter(|_| counts) {
            if path == folder {
                self.lost |= !matches!(event.kind, EventKind::Modify(ModifyKind::Metadata(_)));
                self.all = true;
            } else if let Some(name) = path.file_name().and_then(|name| name.to_str()).filter(|name| matches(name)) {
                self.names.insert(name.to_owned());
            }
        }
        if self.names.len() > max {
            self.names.clear();
            self.all = true;
        }
        self.all || self.lost || !self.names.is_empty()
    }
}
