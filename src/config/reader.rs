//! Takes typed values out of raw YAML by path, and gathers every fault on the way.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use rust_decimal::Decimal;
use serde_yaml::Value;

/// Raw YAML that is being turned into a configuration.
pub(super) struct Reader {
    /// Every scalar and list, by its dotted path.
    values: BTreeMap<String, Value>,
    asked: Vec<String>,
    faults: Vec<String>,
}

impl Reader {
    /// Reads `yaml`; each of `overrides` replaces the value at its path, later ones winning.
    pub(super) fn new(yaml: &str, overrides: &[(String, String)]) -> Self {
        let mut reader = Self { values: BTreeMap::new(), asked: Vec::new(), faults: Vec::new() };
        match serde_yaml::from_str::<Value>(yaml) {
            Ok(Value::Null) => {}
            Ok(root @ Value::Mapping(_)) => reader.flatten("", root),
            Ok(_) => reader.faults.push("the file: must be a mapping of sections".to_owned()),
            Err(error) => reader.faults.push(format!("the file: {error}")),
        }
        for (path, text) in overrides {
            let value = serde_yaml::from_str(text).ok().filter(|value| !matches!(value, Value::Mapping(_)));
            reader.values.insert(path.clone(), value.unwrap_or_else(|| Value::String(text.clone())));
        }
        reader
    }

    fn flatten(&mut self, path: &str, value: Value) {
        let Value::Mapping(mapping) = value else {
            self.values.insert(path.to_owned(), value);
            return;
        };
        if mapping.is_empty() && !path.is_empty() {
            self.values.insert(path.to_owned(), Value::Null);
        }
        for (key, value) in mapping {
            let key = key.as_str().map_or_else(|| format!("{key:?}"), str::to_owned);
            self.flatten(&if path.is_empty() { key } else { format!("{path}.{key}") }, value);
        }
    }

    /// Notes a fault of the value at `path`.
    pub(super) fn fault(&mut self, path: &str, message: impl AsRef<str>) {
        self.faults.push(format!("{path}: {}", message.as_ref()));
    }

    /// All faults, among them the keys that nobody asked for.
    pub(super) fn finish(mut self) -> Result<(), Vec<String>> {
        for (path, value) in &self.values {
            let is_section = self.asked.iter().any(|asked| asked.starts_with(&format!("{path}.")));
            if is_section && !value.is_null() {
                self.faults.push(format!("{path}: must be a mapping"));
            } else if !is_section && !self.asked.contains(path) {
                self.faults.push(format!("{path}: is not a key of the configuration"));
            }
        }
        if self.faults.is_empty() { Ok(()) } else { Err(self.faults) }
    }

    fn take(&mut self, path: &str) -> Option<Value> {
        self.asked.push(path.to_owned());
        self.values.get(path).filter(|value| !value.is_null()).cloned()
    }

    /// Reads the value at `path` with `read`; a fault is noted as `expected`.
    fn read<T>(&mut self, path: &str, default: T, expected: &str, read: impl FnOnce(&Value) -> Option<T>) -> T {
        let Some(value) = self.take(path) else { return default };
        read(&value).unwrap_or_else(|| {
            self.fault(path, expected);
            default
        })
    }

    pub(super) fn flag(&mut self, path: &str, default: bool) -> bool {
        self.read(path, default, "must be true or false", Value::as_bool)
    }

    pub(super) fn text(&mut self, path: &str, default: &str) -> String {
        self.read(path, default.to_owned(), "must be text", |value| value.as_str().map(str::to_owned))
    }

    pub(super) fn texts(&mut self, path: &str) -> Vec<String> {
        self.texts_or(path, &[])
    }

    pub(super) fn texts_or(&mut self, path: &str, default: &[&str]) -> Vec<String> {
        let default = default.iter().map(|text| (*text).to_owned()).collect();
        self.read(path, default, "must be a list of texts", |value| {
            // in the environment a list may be written a,b
            if let Some(text) = value.as_str() {
                return Some(text.split(',').map(|part| part.trim().to_owned()).collect());
            }
            value.as_sequence()?.iter().map(|each| each.as_str().map(str::to_owned)).collect()
        })
    }

    pub(super) fn parsed<T: FromStr>(&mut self, path: &str, default: T, expected: &str) -> T {
        self.read(path, default, expected, |value| value.as_str()?.parse().ok())
    }

    /// A value that may be missing.
    pub(super) fn optional<T: FromStr>(&mut self, path: &str, expected: &str) -> Option<T> {
        self.read(path, None, expected, |value| value.as_str()?.parse().ok().map(Some))
    }

    /// The keys of the mapping at `path`, sorted; an empty mapping is as good as none.
    pub(super) fn names(&mut self, path: &str) -> Vec<String> {
        self.asked.push(path.to_owned());
        let within = format!("{path}.");
        let keys = self.values.keys().filter_map(|key| key.strip_prefix(&within)?.split('.').next());
        let mut names: Vec<String> = keys.map(str::to_owned).collect();
        names.dedup();
        names
    }

    /// One of `words`; the first is the default.
    pub(super) fn one_of(&mut self, path: &str, words: &[&'static str]) -> &'static str {
        let default = words.first().copied().unwrap_or_default();
        self.read(path, default, &format!("must be one of {}", words.join(", ")), |value| {
            words.iter().copied().find(|word| value.as_str() == Some(word))
        })
    }

    pub(super) fn count(&mut self, path: &str, default: usize, range: RangeInclusive<usize>) -> usize {
        let expected = format!("must be a whole number from {} to {}", range.start(), range.end());
        self.read(path, default, &expected, |value| {
            value.as_u64().and_then(|n| usize::try_from(n).ok()).filter(|n| range.contains(n))
        })
    }

    /// A decimal number, exactly as it is written.
    pub(super) fn decimal(&mut self, path: &str, default: Decimal) -> Decimal {
        self.read(path, default, "must be a number", |value| {
            let text = value
                .as_str()
                .map_or_else(|| Some(serde_yaml::to_string(value).ok()?.trim().to_owned()), |text| Some(text.to_owned()))?;
            Decimal::from_str(&text).or_else(|_| Decimal::from_scientific(&text)).ok()
        })
    }

    /// A length of time such as 250ms, 5s, 2m, 24h or 30d; not zero.
    pub(super) fn duration(&mut self, path: &str, default: Duration) -> Duration {
        self.read(path, default, "must be a length of time such as 250ms, 5s, 2m, 24h or 30d", |value| {
            let units = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
            quantity(value.as_str()?, &units).filter(|ms| (1..=3_650 * 86_400_000).contains(ms)).map(Duration::from_millis)
        })
    }

    /// A number of bytes such as 4096, 64KiB, 16MiB or 8GiB; at least `least`.
    pub(super) fn size(&mut self, path: &str, default: usize, least: usize) -> usize {
        let expected = format!("must be a size such as 64KiB, 16MiB or 8GiB, at least {least} bytes");
        self.read(path, default, &expected, |value| {
            let units = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40), ("B", 1)];
            let bytes = value.as_u64().or_else(|| quantity(value.as_str()?, &units))?;
            usize::try_from(bytes).ok().filter(|bytes| (least..=1 << 50).contains(bytes))
        })
    }
}

/// A whole number with one of `units`.
fn quantity(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit.trim())?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

/// Every path that `yaml` has a value at.
#[cfg(test)]
pub(super) fn paths_in(yaml: &str) -> Vec<String> {
    Reader::new(yaml, &[]).values.into_keys().collect()
}

/// Every path that `read` asks for.
#[cfg(test)]
pub(super) fn keys_of(read: impl FnOnce(&mut Reader)) -> Vec<String> {
    let mut reader = Reader::new("", &[]);
    read(&mut reader);
    reader.asked
}
