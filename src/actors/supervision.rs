//! Panics are bugs; they are contained where they happen, counted, and shown in `/health`.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use dashmap::DashMap;

/// Panics that were contained, by actor. Read by routes, written by each actor for itself.
#[derive(Debug, Clone, Default)]
pub struct Panics(Arc<DashMap<&'static str, u64>>);

/// A panic that was contained; its text is in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an internal error was contained")]
pub struct Contained;

impl Panics {
    /// Runs `work` of `actor`; a panic in it is counted and logged instead of ending the actor.
    ///
    /// An actor that panics is dead for good, since actix closes its mailbox; so every handler runs its work in here and
    /// leaves its state whole, or makes it whole when this returns an error.
    ///
    /// # Errors
    /// `work` panicked.
    pub fn guard<T>(&self, actor: &'static str, work: impl FnOnce() -> T) -> Result<T, Contained> {
        catch_unwind(AssertUnwindSafe(work)).map_err(|panic| {
            self.contained(actor, panic.as_ref());
            Contained
        })
    }

    /// Counts and logs a panic of `actor` that was contained.
    pub fn contained(&self, actor: &'static str, panic: &(dyn Any + Send)) {
        // some hand over the box itself
        let panic = panic.downcast_ref::<Box<dyn Any + Send>>().map_or(panic, AsRef::as_ref);
        let text = panic.downcast_ref::<&str>().map(ToString::to_string);
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
        tracing::error!(actor, panic = text.as_deref().unwrap_or("unknown"), "contained a panic");
        *self.0.entry(actor).or_default() += 1;
    }

    /// The counts so far, sorted by actor.
    #[must_use]
    pub fn counts(&self) -> Vec<(&'static str, u64)> {
        let mut counts: Vec<_> = self.0.iter().map(|each| (*each.key(), *each.value())).collect();
        counts.sort_unstable();
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_contained_and_counted_and_the_next_work_runs() {
        let panics = Panics::default();
        assert_eq!(panics.guard("event_bus", || -> u8 { panic!("on purpose") }), Err(Contained));
        assert_eq!(panics.guard("event_bus", || 7), Ok(7));
        assert_eq!(panics.counts(), [("event_bus", 1)]);
    }
}
