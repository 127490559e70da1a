//! Reading a file that people and tools may be writing at the same moment.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use crate::domain::risk::overrides::MAX_BYTES;

/// A content that was different before is believed when it has stayed the same for so long: an editor that empties a file
/// before it writes shall not be taken at its word half-way.
const SETTLE: Duration = Duration::from_millis(20);
/// So often that is waited for.
const ROUNDS: usize = 10;

/// What is at the place of the overrides file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// Nothing.
    Missing,
    /// A file.
    Bytes(Vec<u8>),
    /// Something else, or a file that cannot be read; in words.
    Unreadable(String),
}

impl Content {
    /// Reads what is at `path`; blocks.
    #[must_use]
    pub fn read(path: &Path) -> Self {
        match bytes(path) {
            Ok(Ok(bytes)) => Self::Bytes(bytes),
            Ok(Err(detail)) => Self::Unreadable(detail),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::Missing,
            Err(error) => Self::Unreadable(format!("cannot be read: {error}")),
        }
    }

    /// The same, but when it is not `known`, or nothing is, waits a moment for whoever is still writing.
    #[must_use]
    pub fn settled(path: &Path, known: Option<&Self>) -> Self {
        settle(known, || Self::read(path))
    }
}

fn settle(known: Option<&Content>, mut read: impl FnMut() -> Content) -> Content {
    let mut content = read();
    for _ in 0..ROUNDS {
        if known == Some(&content) {
            break;
        }
        sleep(SETTLE);
        let again = read();
        if again == content {
            break;
        }
        content = again;
    }
    content
}

fn bytes(path: &Path) -> io::Result<Result<Vec<u8>, String>> {
    let file = fs::metadata(path)?;
    if !file.is_file() {
        return Ok(Err("is not a file".to_owned()));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    Ok(if bytes.len() as u64 > MAX_BYTES { Err(format!("is larger than {MAX_BYTES} bytes")) } else { Ok(bytes) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_empty_or_gone_while_it_is_written_is_not_believed_unless_that_was_known() {
        let written = || Content::Bytes(b"max_trades_per_day: 9".to_vec());
        for halfway in [Content::Missing, Content::Bytes(Vec::new())] {
            let settled = |known: Option<Content>| {
                let mut looks = [halfway.clone(), written(), written()].into_iter();
                settle(known.as_ref(), || looks.next().expect("no further look"))
            };
            assert_eq!(settled(None), written());
            assert_eq!(settled(Some(Content::Unreadable(String::new()))), written());
            assert_eq!(settled(Some(halfway.clone())), halfway);
        }
    }
}
