//! Files of days that are not written yet, oldest first; one is being written at a time.

use std::collections::VecDeque;

/// Most files that wait; beyond it the oldest is given up.
const MAX_FILES: usize = 16;

/// The queue.
#[derive(Debug, Default)]
pub(super) struct DayFileQueue {
    /// Name and text.
    files: VecDeque<(String, String)>,
    /// Whether the first of them is being written.
    is_writing: bool,
}

impl DayFileQueue {
    /// Adds a file; gives the name of the one that was given up for it, which is none that is being written.
    pub(super) fn push(&mut self, name: String, text: String) -> Option<String> {
        self.files.push_back((name, text));
        if self.files.len() <= MAX_FILES {
            return None;
        }
        self.files.remove(usize::from(self.is_writing)).map(|(name, _)| name)
    }

    /// The next one to write; none while one is being written.
    pub(super) fn begin(&mut self) -> Option<(String, String)> {
        if self.is_writing {
            return None;
        }
        let next = self.files.front().cloned();
        self.is_writing = next.is_some();
        next
    }

    /// The one of this `name` was written, or is to be tried again.
    pub(super) fn end(&mut self, name: &str, is_written: bool) {
        self.is_writing = false;
        if is_written {
            self.files.retain(|(waiting, _)| waiting != name);
        }
    }

    /// How many are not written.
    pub(super) fn len(&self) -> usize {
        self.files.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_file_too_many_gives_up_the_oldest_that_waits_and_never_the_one_being_written() {
        let mut queue = DayFileQueue::default();
        assert_eq!(queue.push("0".into(), String::new()), None);
        assert_eq!(queue.begin().map(|(name, _)| name).as_deref(), Some("0"));
        let lost: Vec<_> = (1..=MAX_FILES).filter_map(|n| queue.push(n.to_string(), String::new())).collect();
        assert_eq!(lost, ["1"]);
        queue.end("0", true);
        let mut written = Vec::new();
        while let Some((name, _)) = queue.begin() {
            queue.end(&name, true);
            written.push(name);
        }
        assert_eq!(written, (2..=MAX_FILES).map(|n| n.to_string()).collect::<Vec<_>>());
        assert_eq!(queue.len(), 0);
    }
}
