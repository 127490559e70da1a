//! How many events of each type there were, in bounded memory: engines choose types.

use std::collections::BTreeMap;

use compact_str::CompactString;

use super::schema;

/// So many types that Plimsoll does not know are counted by name.
pub const MOST_UNKNOWN: usize = 200;
/// The name under which the rest is counted.
pub const OTHER: &str = "other";
/// What Plimsoll itself publishes beside the types of [`schema`].
const OWN: &[&str] = &["engine_stale", "engine_recovered", "risk_breach", "risk_breach_cleared", "risk_limits_updated"];

/// Events by type. Known types are there from the start, so that their first event is seen as a step from 0.
#[derive(Debug)]
pub struct TypeCounts {
    counts: BTreeMap<CompactString, u64>,
    /// Names that there may be.
    most: usize,
    other: u64,
}

impl Default for TypeCounts {
    fn default() -> Self {
        let known = schema::known().chain(OWN.iter().copied());
        let counts: BTreeMap<_, _> = known.map(|name| (CompactString::const_new(name), 0)).collect();
        Self { most: counts.len() + MOST_UNKNOWN, counts, other: 0 }
    }
}

impl TypeCounts {
    /// Counts events of these types. Equal neighbours are looked up once.
    pub fn count<'a>(&mut self, types: impl IntoIterator<Item = &'a CompactString>) {
        let mut run: Option<(&CompactString, u64)> = None;
        for event_type in types {
            match &mut run {
                Some((same, count)) if *same == event_type => *count += 1,
                _ => {
                    self.add(run.take());
                    run = Some((event_type, 1));
                }
            }
        }
        self.add(run);
    }

    fn add(&mut self, run: Option<(&CompactString, u64)>) {
        let Some((event_type, more)) = run else { return };
        if let Some(count) = self.counts.get_mut(event_type) {
            *count += more;
        } else if self.counts.len() < self.most && event_type != OTHER {
            self.counts.insert(event_type.clone(), more);
        } else {
            self.other += more;
        }
    }

    /// The counts, sorted by name, those under [`OTHER`] last.
    #[must_use]
    pub fn all(&self) -> Vec<(CompactString, u64)> {
        let named = self.counts.iter().map(|(name, count)| (name.clone(), *count));
        named.chain([(CompactString::const_new(OTHER), self.other)]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of<'a>(all: &'a [(CompactString, u64)], name: &str) -> Vec<&'a u64> {
        all.iter().filter(|(each, _)| each == name).map(|(_, count)| count).collect()
    }

    proptest! {
        #[test]
        fn every_event_is_counted_once_and_names_are_bounded(types in proptest::collection::vec(0_u16..600, 0..900)) {
            let types: Vec<CompactString> = types.iter().map(|number| CompactString::from(format!("my_{number}"))).collect();
            let mut counts = TypeCounts::default();
            types.chunks(7).for_each(|group| counts.count(group));
            let all = counts.all();
            prop_assert_eq!(all.iter().map(|(_, count)| count).sum::<u64>(), types.len() as u64);
            prop_assert!(all.len() <= schema::known().count() + OWN.len() + MOST_UNKNOWN + 1);
            for (name, count) in &all {
                let naive = types.iter().filter(|each| *each == name).count() as u64;
                prop_assert!(name == OTHER || *count == naive, "{name}");
            }
        }
    }

    #[test]
    fn junk_takes_no_room_from_known_types_and_other_is_there_once() {
        let mut counts = TypeCounts::default();
        let junk: Vec<CompactString> = (0..1_000).map(|number| CompactString::from(format!("junk_{number}"))).collect();
        counts.count(&junk);
        counts.count([&CompactString::from("order_event"), &CompactString::from(OTHER)]);
        let all = counts.all();
        assert_eq!(of(&all, "order_event"), [&1]);
        assert_eq!(of(&all, "cycle_start"), [&0]);
        assert_eq!(of(&all, OTHER), [&(1_000 - MOST_UNKNOWN as u64 + 1)]);
    }
}
