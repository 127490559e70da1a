//! Which records of a log are asked for.

use super::json;
use super::line::{Level, level};

/// Which records are asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogFilter {
    /// Only those at least so serious; a record that names no level is not.
    pub at_least: Option<Level>,
    /// Only those with this text, in any case.
    pub text: Option<String>,
}

impl LogFilter {
    /// Whether every record is asked for.
    #[must_use]
    pub fn takes_all(&self) -> bool {
        *self == Self::default()
    }

    /// Whether `record` is asked for.
    #[must_use]
    pub fn takes(&self, record: &[u8]) -> bool {
        if self.at_least.is_some_and(|least| level(record).is_none_or(|level| level < least)) {
            return false;
        }
        let Some(text) = &self.text else { return true };
        // what is escaped in JSON is asked for as people read it
        contains(record, text) || json::Record::parse(record).is_some_and(|json| contains(json.to_string().as_bytes(), text))
    }
}

/// Whether `text` is in `bytes`, in any case.
fn contains(bytes: &[u8], text: &str) -> bool {
    let needle = text.as_bytes();
    let Some(first) = needle.first() else { return true };
    if !text.is_ascii() {
        return String::from_utf8_lossy(bytes).to_lowercase().contains(&text.to_lowercase());
    }
    let (lower, upper) = (first.to_ascii_lowercase(), first.to_ascii_uppercase());
    memchr::memchr2_iter(lower, upper, bytes)
        .any(|at| bytes.get(at..at + needle.len()).is_some_and(|found| found.eq_ignore_ascii_case(needle)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_filter_takes_what_is_serious_enough_and_has_the_text_in_any_case() {
        let take = |least: Option<Level>, text: Option<&str>, record: &str| {
            LogFilter { at_least: least, text: text.map(str::to_owned) }.takes(record.as_bytes())
        };
        let record = "2024-08-05 09:29:59 [WARNING] e - Order für NIFTY\nTypeError: no";
        for (least, text, taken) in [
            (None, None, true),
            (Some(Level::Warning), None, true),
            (Some(Level::Error), None, false),
            (None, Some("nifty"), true),
            (None, Some("FÜR"), true),
            (None, Some("typeerror"), true),
            (None, Some("banknifty"), false),
            (Some(Level::Info), Some("order"), true),
        ] {
            assert_eq!(take(least, text, record), taken, "{least:?} {text:?}");
        }
        assert!(!take(Some(Level::Trace), None, "no level at all"));
        assert!(take(None, Some("a\"b"), r#"{"level":"INFO","message":"a\"b"}"#), "as people read it");
        assert!(take(None, Some(r#"a\"b"#), r#"{"level":"INFO","message":"a\"b"}"#), "as it is written");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(record: Vec<u8>, text in "[ -~é]{0,5}") {
            let _ = LogFilter { at_least: Some(Level::Info), text: Some(text) }.takes(&record);
        }

        #[test]
        fn text_is_found_wherever_it_stands(before in "[a-zé ]{0,20}", text in "[A-Z]{1,5}", after in "[a-z]{0,5}") {
            let record = format!("{before}{text}{after}");
            prop_assert!(contains(record.as_bytes(), &text.to_lowercase()));
        }
    }
}
