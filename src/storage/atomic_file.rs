//! Files that are there whole or not at all.
//!
//! The content goes to a hidden file beside its place, is synced, and takes the place by one system call; then the folder is
//! synced. After a crash at any point the place has the old content or the new one.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// Puts `bytes` at `path`, over what is there. The folder must exist.
///
/// # Errors
/// It could not be written; what was there is still there, unless only the last sync failed.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let draft = write_draft(path, bytes)?;
    fs::rename(&draft, path).inspect_err(|_| discard(&draft))?;
    sync_folder(path)
}

/// Puts `bytes` at `path` unless something is there already; says whether it did. The folder must exist.
///
/// # Errors
/// It could not be written.
pub fn create(path: &Path, bytes: &[u8]) -> io::Result<bool> {
    let draft = write_draft(path, bytes)?;
    // a link, unlike a rename, never takes the place of another file
    let linked = fs::hard_link(&draft, path);
    discard(&draft);
    match linked {
        Ok(()) => sync_folder(path).map(|()| true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}

fn write_draft(path: &Path, bytes: &[u8]) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let draft = path.with_file_name(format!(".{}.new", name.to_string_lossy()));
    let written = File::create(&draft).and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()));
    written.inspect_err(|_| discard(&draft))?;
    Ok(draft)
}

fn discard(draft: &Path) {
    // one that stays is overwritten by the next
    let _ = fs::remove_file(draft);
}

/// Makes durable that `path` is in its folder.
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_created_only_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        assert!(create(&path, b"one").expect("created"));
        assert!(!create(&path, b"two").expect("left alone"));
        assert_eq!(fs::read(&path).expect("there"), b"one");
        replace(&path, b"three").expect("replaced");
        assert_eq!(fs::read(&path).expect("there"), b"three");
        assert_eq!(fs::read_dir(folder.path()).expect("listed").count(), 1, "no draft is left");
    }
}
