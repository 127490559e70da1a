//! Labels: what tells the series of one metric apart.

use std::sync::Arc;

use compact_str::CompactString;

use super::name::is_name;
use crate::domain::fault::FieldFault;
use crate::domain::payload::{Payload, unquote};

/// Most labels of one series.
const MAX_LABELS: usize = 16;
/// The longest name of a label, in bytes.
const MAX_LABEL_NAME: usize = 64;
/// The longest value, in characters.
const MAX_VALUE: usize = 256;
/// Prometheus puts the bounds of buckets and quantiles under these names.
const TAKEN: [&str; 2] = ["le", "quantile"];

/// The labels of one series, by name; two with the same pairs are the same, in whatever order they were written.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Labels(Arc<[(CompactString, CompactString)]>);

impl Labels {
    /// Reads the text of a JSON object. A label with an empty value is as good as none, as in Prometheus.
    ///
    /// # Errors
    /// All faults, under `labels`.
    pub fn parse(json: &str) -> Result<Self, Vec<FieldFault>> {
        if !json.starts_with('{') {
            return Err(vec![FieldFault::new("labels", "must be an object of names and texts, such as {\"side\": \"BUY\"}")]);
        }
        let fields = Payload::inspect(json, 4).map_err(|message| vec![FieldFault::new("labels", message)])?;
        let (mut pairs, mut faults) = (Vec::new(), Vec::new());
        for (count, (name, raw)) in fields.fields().enumerate() {
            if count == MAX_LABELS {
                faults.push(FieldFault::new("labels", format!("must not be more than {MAX_LABELS}")));
                break;
            }
            match (check(name), value(raw)) {
                (Ok(()), Ok(value)) if value.is_empty() => {}
                (Ok(()), Ok(value)) => pairs.push((CompactString::from(name), value)),
                (Err(expected), _) | (_, Err(expected)) => {
                    let shown: String = name.chars().take(MAX_LABEL_NAME).collect();
                    faults.push(FieldFault::new(format!("labels.{shown}"), expected));
                }
            }
        }
        if faults.is_empty() { Ok(Self::sorted(pairs)) } else { Err(faults) }
    }

    /// Labels whose names are known to be good; of a value what Prometheus cannot read is replaced, and a pair without a
    /// value is left out.
    pub(super) fn known<const N: usize>(pairs: [(&'static str, Option<&str>); N]) -> Self {
        let kept = pairs.into_iter().filter_map(|(name, value)| Some((name, value.filter(|value| !value.is_empty())?)));
        let readable = |value: &str| if value.contains('\0') { value.replace('\0', "\u{fffd}").into() } else { value.into() };
        Self::sorted(kept.map(|(name, value)| (CompactString::const_new(name), readable(value))).collect())
    }

    /// The labels of the one series that takes what found no room for a series of its own.
    #[must_use]
    pub fn of_the_rest() -> Self {
        Self::known([("source", Some("other"))])
    }

    fn sorted(mut pairs: Vec<(CompactString, CompactString)>) -> Self {
        pairs.sort_unstable();
        Self(pairs.into())
    }

    /// Names and values, by name.
    pub fn pairs(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Bytes of its names and values, and of what holds them.
    #[must_use]
    pub fn size(&self) -> usize {
        let pair = 2 * size_of::<CompactString>();
        self.pairs().map(|(name, value)| name.len() + value.len() + pair).sum()
    }
}

fn check(name: &str) -> Result<(), &'static str> {
    if !is_name(name) || name.len() > MAX_LABEL_NAME {
        return Err("must have a name of 1 to 64 of a-z, A-Z, 0-9 and _ that does not begin with a digit");
    }
    if name.starts_with("__") || TAKEN.contains(&name) {
        return Err("has a name that Prometheus keeps for itself");
    }
    Ok(())
}

fn value(raw: &str) -> Result<CompactString, &'static str> {
    let text = unquote(raw).ok_or("must be a text")?;
    if text.contains('\0') {
        return Err("must not hold a NUL, which Prometheus cannot read");
    }
    if text.chars().take(MAX_VALUE + 1).count() > MAX_VALUE {
        return Err("must be at most 256 characters long");
    }
    Ok(text.as_ref().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_text_is_a_value_and_the_order_of_labels_does_not_matter(
            pairs in proptest::collection::btree_map("[a-z]{3,5}", "[^\\x00]{0,40}", 0..8).prop_map(|map| map.into_iter().collect::<Vec<_>>()),
            shuffled in any::<prop::sample::Index>(),
        ) {
            let object = |pairs: &[(String, String)]| {
                serde_json::Value::Object(pairs.iter().map(|(name, value)| (name.clone(), value.clone().into())).collect()).to_string()
            };
            let mut turned = pairs.clone();
            turned.rotate_left(if pairs.is_empty() { 0 } else { shuffled.index(pairs.len()) });
            turned.reverse();
            let labels = Labels::parse(&object(&pairs)).expect("good");
            prop_assert_eq!(&labels, &Labels::parse(&object(&turned)).expect("good"));
            let kept: Vec<_> = pairs.iter().filter(|(_, value)| !value.is_empty()).map(|(n, v)| (n.as_str(), v.as_str())).collect();
            prop_assert_eq!(labels.pairs().collect::<Vec<_>>(), kept);
        }
    }

    #[test]
    fn labels_with_the_same_text_written_together_are_not_the_same() {
        let one = Labels::parse(r#"{"a":"1,b=2"}"#).expect("good");
        let two = Labels::parse(r#"{"a":"1","b":"2"}"#).expect("good");
        assert_ne!(one, two);
        assert_eq!(Labels::parse(r#"{"a":"x","b":""}"#), Labels::parse(r#"{"a":"x"}"#), "an empty value is none");
    }

    #[test]
    fn all_faults_of_labels_are_told_by_name() {
        let faults =
            Labels::parse(r#"{"le":"1","__name__":"x","1a":"x","a-b":"x","n":1,"o":{},"z":null,"ok":"x","nul":"\u0000"}"#);
        let fields: Vec<String> = faults.expect_err("refused").into_iter().map(|fault| fault.field).collect();
        let names = ["le", "__name__", "1a", "a-b", "n", "o", "z", "nul"];
        assert_eq!(fields, names.map(|name| format!("labels.{name}")));
        let many: Vec<String> = (0..17).map(|n| format!("\"k{n}\":\"v\"")).collect();
        for bad in ["[]", "7", "\"a\"", r#"{"a":"1","a":"2"}"#, &format!("{{{}}}", many.join(","))] {
            assert_eq!(Labels::parse(bad).expect_err("refused")[0].field, "labels", "{bad}");
        }
        assert!(Labels::parse(&format!("{{\"a\":\"{}\"}}", "ü".repeat(256))).is_ok());
        assert!(Labels::parse(&format!("{{\"a\":\"{}\"}}", "ü".repeat(257))).is_err());
    }
}
