//! Which events a client wants.

use compact_str::CompactString;

use super::clock::Timestamp;
use super::event::{Header, Severity, event_type};
use super::fault::FieldFault;

/// A choice of events: each field that is set must match; within a field any of its values will do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Filter {
    /// Wanted types.
    pub event_types: Vec<CompactString>,
    /// Wanted symbols.
    pub symbols: Vec<CompactString>,
    /// Wanted strategies.
    pub strategies: Vec<CompactString>,
    /// Wanted sources.
    pub sources: Vec<CompactString>,
    /// Wanted profile.
    pub profile_id: Option<i64>,
    /// At least this severity; an event without one counts as info.
    pub severity: Option<Severity>,
    /// Not before this timestamp of the event.
    pub since: Option<Timestamp>,
    /// Before this timestamp of the event.
    pub until: Option<Timestamp>,
}

/// More values than this in one filter are refused.
const MAX_VALUES: usize = 64;

impl Filter {
    /// Whether every event matches.
    #[must_use]
    pub fn is_all(&self) -> bool {
        *self == Self::default()
    }

    /// Whether an event with this header is wanted.
    #[must_use]
    pub fn matches(&self, header: &Header) -> bool {
        let among = |wanted: &[CompactString], value: Option<&CompactString>| {
            wanted.is_empty() || value.is_some_and(|value| wanted.contains(value))
        };
        among(&self.event_types, Some(&header.event_type))
            && among(&self.symbols, header.symbol.as_ref())
            && among(&self.strategies, header.strategy.as_ref())
            && among(&self.sources, header.source.as_ref())
            && self.profile_id.is_none_or(|wanted| header.profile_id == Some(wanted))
            && self.severity.is_none_or(|least| header.severity.unwrap_or(Severity::Info) >= least)
            && self.since.is_none_or(|since| header.timestamp >= since)
            && self.until.is_none_or(|until| header.timestamp < until)
    }

    /// Reads the filter parameters of a query; other parameters are not its business.
    pub fn from_query(query: &[(String, String)], faults: &mut Vec<FieldFault>) -> Self {
        let mut filter = Self::default();
        for (key, value) in query {
            let outcome = match key.as_str() {
                "event_type" => value
                    .split(',')
                    .map(str::trim)
                    .try_for_each(|name| event_type(name).map(|name| filter.event_types.push(name)).map_err(str::to_owned)),
                "symbol" => name(value).map(|name| filter.symbols.push(name)),
                "strategy" => name(value).map(|name| filter.strategies.push(name)),
                "source" => name(value).map(|name| filter.sources.push(name)),
                "profile_id" => match value.parse() {
                    Ok(id) => {
                        filter.profile_id = Some(id);
                        Ok(())
                    }
                    Err(_) => Err("must be an integer".to_owned()),
                },
                "severity" => value.parse().map(|least| filter.severity = Some(least)).map_err(str::to_owned),
                _ => Ok(()),
            };
            if let Err(message) = outcome {
                faults.push(FieldFault::new(key, message));
            }
        }
        for (key, values) in [
            ("event_type", &mut filter.event_types),
            ("symbol", &mut filter.symbols),
            ("strategy", &mut filter.strategies),
            ("source", &mut filter.sources),
        ] {
            // one form for equal filters, so that equal clients share their work
            values.sort_unstable();
            values.dedup();
            if values.len() > MAX_VALUES {
                faults.push(FieldFault::new(key, format!("must be at most {MAX_VALUES} values")));
            }
        }
        filter
    }
}

fn name(value: &str) -> Result<CompactString, String> {
    let fits = (1..=512).contains(&value.len());
    if fits { Ok(value.into()) } else { Err("must be 1 to 512 bytes long".to_owned()) }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::option;
    use proptest::prelude::*;

    /// Headers that differ in few values, so that filters often match.
    pub(crate) fn header() -> impl Strategy<Value = Header> {
        let word = || prop_oneof![Just("a"), Just("b"), Just("c")].prop_map(CompactString::new);
        let severity = option::of(prop::sample::select(Severity::ALL.to_vec()));
        let fields =
            (word(), 0_i64..50, option::of(word()), severity, option::of(0_i64..3), option::of(word()), option::of(word()));
        fields.prop_map(|(event_type, micros, source, severity, profile_id, symbol, strategy)| Header {
            event_type,
            timestamp: Timestamp::from_micros(micros),
            source,
            severity,
            profile_id,
            event_id: None,
            symbol,
            strategy,
        })
    }

    pub(crate) fn filter() -> impl Strategy<Value = Filter> {
        let words = || proptest::collection::vec(prop_oneof![Just("a"), Just("b"), Just("d")].prop_map(CompactString::new), 0..3);
        let severity = option::of(prop::sample::select(Severity::ALL.to_vec()));
        let time = || option::of((0_i64..50).prop_map(Timestamp::from_micros));
        let fields = (words(), words(), words(), words(), option::of(0_i64..3), severity, time(), time());
        fields.prop_map(|(event_types, symbols, strategies, sources, profile_id, severity, since, until)| Filter {
            event_types,
            symbols,
            strategies,
            sources,
            profile_id,
            severity,
            since,
            until,
        })
    }

    /// The contract's words, one by one, on plain strings.
    fn naive(filter: &Filter, header: &Header) -> bool {
        fn listed(wanted: &[CompactString], value: &str) -> bool {
            wanted.is_empty() || wanted.iter().any(|w| w.as_str() == value)
        }
        let order = ["debug", "info", "warning", "error", "critical"];
        let rank = |s: Severity| order.iter().position(|word| *word == s.as_str());
        if !listed(&filter.event_types, &header.event_type) {
            return false;
        }
        for (wanted, value) in
            [(&filter.symbols, &header.symbol), (&filter.strategies, &header.strategy), (&filter.sources, &header.source)]
        {
            if !wanted.is_empty() && !value.as_deref().is_some_and(|value| listed(wanted, value)) {
                return false;
            }
        }
        if filter.profile_id.is_some() && filter.profile_id != header.profile_id {
            return false;
        }
        if let Some(least) = filter.severity
            && rank(header.severity.unwrap_or(Severity::Info)) < rank(least)
        {
            return false;
        }
        let micros = header.timestamp.micros();
        filter.since.is_none_or(|t| t.micros() <= micros) && filter.until.is_none_or(|t| micros < t.micros())
    }

    proptest! {
        #[test]
        fn a_filter_equals_a_naive_one(filter in filter(), header in header()) {
            prop_assert_eq!(filter.matches(&header), naive(&filter, &header));
        }
    }

    fn query(pairs: &[(&str, &str)]) -> (Filter, Vec<FieldFault>) {
        let pairs: Vec<_> = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let mut faults = Vec::new();
        (Filter::from_query(&pairs, &mut faults), faults)
    }

    #[test]
    fn types_may_be_repeated_or_listed_in_any_case_and_order() {
        let (one, _) = query(&[("event_type", "B,a"), ("symbol", "N")]);
        let (other, faults) = query(&[("symbol", "N"), ("event_type", "a"), ("event_type", "b"), ("event_type", "A")]);
        assert_eq!(one, other);
        assert!(faults.is_empty());
    }

    #[test]
    fn all_faults_of_a_query_are_told() {
        let (_, faults) = query(&[("event_type", "a b"), ("profile_id", "x"), ("severity", "loud"), ("symbol", "")]);
        assert_eq!(faults.len(), 4);
    }
}
