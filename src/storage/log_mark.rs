//! A position in a log that can be found again: how many bytes are before it, and a sum over the last of them, so that another
//! file of the same name is told from the one it was made for.

use std::fmt;
use std::fs::File;
use std::io;
use std::str::FromStr;

use super::log_tail;

/// Bytes before a position that tell whether it is in the same file.
pub(super) const PRINT: usize = 64;

/// Where a reader is in a log, in a form that it can come back with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    offset: u64,
    sum: u32,
}

impl Mark {
    /// The mark at `offset`, before which are the bytes of `print`.
    pub(super) fn new(offset: u64, print: &[u8]) -> Self {
        Self { offset, sum: sum(print) }
    }

    /// Bytes before it.
    #[must_use]
    pub fn offset(self) -> u64 {
        self.offset
    }

    /// Whether enough is before it that no other file is likely to have it.
    pub(super) fn is_telling(self) -> bool {
        self.offset >= PRINT as u64
    }

    /// Whether `file` has what was before it.
    pub(super) fn is_in(self, file: &File) -> io::Result<bool> {
        Ok(self.offset <= file.metadata()?.len() && sum(&print(file, self.offset)?) == self.sum)
    }
}

/// The last bytes before `offset`.
pub(super) fn print(file: &File, offset: u64) -> io::Result<Vec<u8>> {
    let before = PRINT.min(usize::try_from(offset).unwrap_or(PRINT));
    log_tail::read(file, offset - before as u64, before)
}

/// FNV-1a, which is the same in every version of this program.
fn sum(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |sum, byte| (sum ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.offset, self.sum)
    }
}

/// The text is no mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadMark;

impl FromStr for Mark {
    type Err = BadMark;

    fn from_str(text: &str) -> Result<Self, BadMark> {
        let (offset, sum) = text.split_once('-').ok_or(BadMark)?;
        Ok(Self { offset: offset.parse().map_err(|_| BadMark)?, sum: sum.parse().map_err(|_| BadMark)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_reads_back_and_other_text_is_none() {
        let mark = Mark::new(10 << 30, b"the last bytes");
        assert_eq!(mark.to_string().parse(), Ok(mark));
        for text in ["", "-", "1", "1-", "-1-1", "1-99999999999", "x-1"] {
            assert_eq!(text.parse::<Mark>(), Err(BadMark), "{text}");
        }
    }
}
