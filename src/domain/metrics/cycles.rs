//! Cycles that have begun and not ended.

use std::collections::{BTreeMap, HashMap};

use compact_str::CompactString;

/// Which cycle: of which source, and under which name.
pub type Cycle = (Option<CompactString>, Option<CompactString>);

/// So many cycles are remembered.
const MAX_OPEN: usize = 10_000;

/// When each of them began, in microseconds.
#[derive(Debug, Default)]
pub struct Cycles {
    /// Its place in `order`, and when it began.
    begun: HashMap<Cycle, (u64, i64)>,
    /// As they were told, the oldest first.
    order: BTreeMap<u64, Cycle>,
    next: u64,
    forgotten: u64,
}

impl Cycles {
    /// `cycle` begins at `at`. When too many are open that which was told first is forgotten: most likely it never ends.
    pub fn begin(&mut self, cycle: Cycle, at: i64) {
        if let Some((place, _)) = self.begun.insert(cycle.clone(), (self.next, at)) {
            self.order.remove(&place);
        }
        self.order.insert(self.next, cycle);
        self.next += 1;
        if self.begun.len() > MAX_OPEN
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.begun.remove(&oldest);
            self.forgotten += 1;
        }
    }

    /// `cycle` ends; when it began, if that is known.
    pub fn end(&mut self, cycle: &Cycle) -> Option<i64> {
        let (place, at) = self.begun.remove(cycle)?;
        self.order.remove(&place);
        Some(at)
    }

    /// How many were forgotten before they ended.
    #[must_use]
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cycle(number: usize) -> Cycle {
        (Some("fno".into()), Some(number.to_string().into()))
    }

    #[test]
    fn too_many_open_cycles_cost_the_oldest_its_start_and_no_other() {
        let mut cycles = Cycles::default();
        (0..=MAX_OPEN).for_each(|number| cycles.begin(cycle(number), number as i64));
        assert_eq!((cycles.forgotten(), cycles.end(&cycle(0)), cycles.end(&cycle(1))), (1, None, Some(1)));
        cycles.begin(cycle(2), -2);
        (MAX_OPEN + 1..MAX_OPEN + 3).for_each(|number| cycles.begin(cycle(number), number as i64));
        assert_eq!((cycles.end(&cycle(2)), cycles.end(&cycle(3))), (Some(-2), None), "it has begun anew");
        assert_eq!((cycles.forgotten(), cycles.begun.len(), cycles.order.len()), (2, MAX_OPEN - 1, MAX_OPEN - 1));
    }
}
