//! What an operator sends, and who changed something.

use serde_json::value::RawValue;

use crate::domain::envelope::say;
use crate::domain::fault::FieldFault;

/// Names of what changes limits or trading without a person; nobody else may act under them.
const TAKEN: [&str; 4] = [FILE, CONFIG, "plimsoll", "risk_evaluator"];
/// Somebody who edited a file by hand.
pub const FILE: &str = "file";
/// The configuration.
pub const CONFIG: &str = "config";
/// Longest name, in bytes.
pub const MAX_NAME: usize = 64;

/// Reads an operator's name.
///
/// # Errors
/// Says what a name must look like.
pub fn name(text: &str) -> Result<String, &'static str> {
    if text.is_empty() || text.len() > MAX_NAME || !text.bytes().all(|b| b.is_ascii_graphic()) {
        return Err("must be 1 to 64 visible ASCII characters");
    }
    if TAKEN.iter().any(|taken| text.eq_ignore_ascii_case(taken)) {
        return Err("is taken: it marks what no operator did");
    }
    Ok(text.to_owned())
}

/// The text of the JSON object in `json`.
///
/// # Errors
/// One fault without a field: it is none.
pub fn object(json: &str) -> Result<&str, Vec<FieldFault>> {
    match serde_json::from_str::<&RawValue>(json) {
        Ok(value) if value.get().starts_with('{') => Ok(value.get()),
        Ok(_) => Err(broken("must be an object")),
        Err(error) => Err(broken(say(&error))),
    }
}

/// The fault of a body as a whole.
pub fn broken(message: impl Into<String>) -> Vec<FieldFault> {
    vec![FieldFault::new("", message)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_visible_ascii_of_bounded_length_and_not_one_of_ours() {
        for good in ["alice", "a", "ops@desk-7", &"x".repeat(64)] {
            assert_eq!(name(good).as_deref(), Ok(good));
        }
        for bad in ["", " ", "a b", "jos\u{e9}", "a\n", &"x".repeat(65), "file", "Plimsoll", "CONFIG"] {
            assert!(name(bad).is_err(), "{bad:?}");
        }
    }
}
