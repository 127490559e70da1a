//! What databases spell differently, in one place.

/// Puts a row in the place of the one with the same key, if there is one: understood by SQLite and MySQL alike.
pub(super) const PUT: &str = "replace into";

/// Behind a table's name: it is to be read through `index`. A planner that knows nothing of the rows may choose one that leads
/// through a million of them; MySQL spells it `force index (name)`.
pub(super) fn through(index: &str) -> String {
    format!("indexed by {index}")
}
