//! Files of lines that are only appended to.
//!
//! Lines are handed to the system in one write behind the end of the file, as wherever several processes append, and are
//! synced before that counts as done. A last line that an earlier crash cut off is ended first, so that it spoils no other.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;

use super::atomic_file::sync_folder;

/// Lines that were appended.
#[derive(Debug)]
pub struct Appended {
    file: File,
    before: u64,
    after: u64,
}

/// Appends `lines`, each with its end, to the file at `path`, which is made when it is not there. When this returns, all of
/// it is on the disk. The folder must exist.
///
/// # Errors
/// None of it was appended, as far as that can be helped: it cannot be written, is no file of its own (a link, a pipe), or
/// would be longer than `max_bytes`.
pub fn append(path: &Path, lines: &[u8], max_bytes: u64) -> io::Result<Appended> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let mut file = OpenOptions::new().read(true).append(true).create(true).custom_flags(flags).open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let before = metadata.len();
    let mut end = [b'\n'];
    if let Some(last) = before.checked_sub(1) {
        file.read_exact_at(&mut end, last)?;
    }
    let mut bytes = Vec::with_capacity(lines.len() + 1);
    if end != [b'\n'] {
        bytes.push(b'\n');
    }
    bytes.extend_from_slice(lines);
    let after = before + bytes.len() as u64;
    if after > max_bytes {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    let written = file.write(&bytes)?;
    let appended = Appended { file, before, after: before + written as u64 };
    let done = match written {
        // what did not fit is not tried again: the line in the middle would be open to others
        all if all == bytes.len() => appended.file.sync_all(),
        _ => Err(io::ErrorKind::StorageFull.into()),
    };
    let done = done.and_then(|()| if before == 0 { sync_folder(path) } else { Ok(()) });
    match done {
        Ok(()) => Ok(appended),
        Err(error) => {
            appended.undo();
            Err(error)
        }
    }
}

impl Appended {
    /// Takes the lines out again, unless somebody appended behind them.
    pub fn undo(self) {
        if self.file.metadata().is_ok_and(|metadata| metadata.len() == self.after) {
            // what cannot be taken out stays, as after a crash
            let _ = self.file.set_len(self.before).and_then(|()| self.file.sync_all());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn lines_follow_each_other_and_a_torn_one_is_ended_first() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("lines.jsonl");
        append(&path, b"one\n", 100).expect("appended");
        fs::write(&path, "one\ntw").expect("torn");
        append(&path, b"three\nfour\n", 100).expect("appended");
        assert_eq!(fs::read_to_string(&path).expect("there"), "one\ntw\nthree\nfour\n");
    }

    #[test]
    fn lines_can_be_taken_out_as_long_as_nobody_wrote_behind_them() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("lines.jsonl");
        fs::write(&path, "one").expect("written");
        append(&path, b"two\n", 100).expect("appended").undo();
        assert_eq!(fs::read_to_string(&path).expect("there"), "one");
        let appended = append(&path, b"two\n", 100).expect("appended");
        append(&path, b"three\n", 100).expect("appended");
        appended.undo();
        assert_eq!(fs::read_to_string(&path).expect("there"), "one\ntwo\nthree\n");
    }

    #[test]
    fn what_is_no_plain_file_or_grows_too_long_is_left_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, link) = (folder.path().join("lines.jsonl"), folder.path().join("link.jsonl"));
        fs::write(&path, "one\n").expect("written");
        std::os::unix::fs::symlink(&path, &link).expect("linked");
        assert!(append(&link, b"two\n", 100).is_err());
        assert!(append(folder.path(), b"two\n", 100).is_err());
        let full = append(&path, b"two\n", 7).expect_err("too long");
        assert_eq!((full.kind(), fs::read_to_string(&path).expect("there")), (io::ErrorKind::FileTooLarge, "one\n".to_owned()));
    }
}
