//! How a market data engine does: a pure fold over what it says and publishes.
//!
//! | figure | from |
//! |---|---|
//! | `cached_symbols` | the engine's own last `mde_status` (or `engine_health` with such metrics), else the symbols of its `indicator_event`s |
//! | `total_candles` | the engine's own last `mde_status`, else its `indicator_event`s, one for each candle and symbol |
//! | `lookup_failures` | all symbols of its `data_error`s and of `failed_symbols` in its `mde_status`; the engine's own number if that is larger |
//! | `failed_symbols` | those of them that no tick has told yet, so never more than `lookup_failures` |
//! | `stale_symbols_count` | symbols without an `indicator_event` for `engines.symbol_silence`, and those of a later `quote_stale` or `mde_stale_symbols`; the engine's own number if that is larger. Its own 0 takes back its word on single symbols |
//!
//! Silence is counted from the arrival of the last event. A symbol's failed lookup is reported in one tick: the tick is an
//! event too, and the fold remembers what it told.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use compact_str::CompactString;
use serde::Serialize;
use serde_json::Value;

use crate::domain::clock::Timestamp;

/// Most symbols of an engine; further ones are not followed.
const MAX_SYMBOLS: usize = 5_000;
/// Longest symbol that is followed, in bytes.
const MAX_SYMBOL: usize = 128;
/// So many names are told in a tick.
const MAX_NAMES: usize = 100;

/// What is known of one engine's market data.
#[derive(Debug, Clone, Default)]
pub struct MarketData {
    said: SaidFigures,
    candles: u64,
    symbols: BTreeMap<CompactString, Symbol>,
    failed: BTreeSet<CompactString>,
    reported: BTreeSet<CompactString>,
}

#[derive(Debug, Clone, Copy, Default)]
struct SaidFigures {
    cached_symbols: Option<u64>,
    total_candles: Option<u64>,
    lookup_failures: Option<u64>,
    stale_symbols: Option<u64>,
}

#[derive(Debug, Clone, Copy)]
struct Symbol {
    last: Timestamp,
    said_stale: bool,
}

/// The figures as a watcher publishes them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Figures {
    /// Symbols that the engine holds data of.
    pub cached_symbols: u64,
    /// Candles that it holds.
    pub total_candles: u64,
    /// Symbols that it could not look up.
    pub lookup_failures: u64,
    /// Symbols that are silent for too long.
    pub stale_symbols_count: u64,
    /// Failed symbols that no tick has told before, at most 100.
    pub failed_symbols: Vec<CompactString>,
    /// The stale symbols that are known by name, at most 100.
    pub stale_symbols: Vec<CompactString>,
}

impl MarketData {
    /// Takes the `metrics` of the engine's own `mde_status`.
    pub fn status(&mut self, metrics: &Value) {
        let count = |field| metrics.get(field).and_then(whole);
        let said = SaidFigures {
            cached_symbols: count("cached_symbols"),
            total_candles: count("total_candles"),
            lookup_failures: count("lookup_failures"),
            stale_symbols: count("stale_symbols_count"),
        };
        self.said = SaidFigures {
            cached_symbols: said.cached_symbols.or(self.said.cached_symbols),
            total_candles: said.total_candles.or(self.said.total_candles),
            lookup_failures: said.lookup_failures.or(self.said.lookup_failures),
            stale_symbols: said.stale_symbols.or(self.said.stale_symbols),
        };
        if said.stale_symbols == Some(0) {
            self.symbols.values_mut().for_each(|symbol| symbol.said_stale = false);
        }
        for symbol in names(metrics.get("failed_symbols")) {
            self.failed(symbol);
        }
    }

    /// Takes an indicator of `symbol` that arrived `at`.
    pub fn indicator(&mut self, symbol: &str, at: Timestamp) {
        self.candles += 1;
        self.see(symbol, Symbol { last: at, said_stale: false });
    }

    /// Takes a failed lookup.
    pub fn failed(&mut self, symbol: &str) {
        if self.failed.len() < MAX_SYMBOLS && symbol.len() <= MAX_SYMBOL {
            self.failed.insert(symbol.into());
        }
    }

    /// Takes the engine's word, arrived `at`, that `symbol` is stale.
    pub fn stale(&mut self, symbol: &str, at: Timestamp) {
        let last = self.symbols.get(symbol).map_or(at, |known| known.last);
        self.see(symbol, Symbol { last, said_stale: true });
    }

    /// Takes a tick that was published: what it reported is not reported again.
    pub fn ticked(&mut self, metrics: &Value) {
        for symbol in names(metrics.get("failed_symbols")) {
            if self.failed.contains(symbol) {
                self.reported.insert(symbol.into());
            }
        }
    }

    /// Whether anything is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let SaidFigures { cached_symbols, total_candles, lookup_failures, stale_symbols } = self.said;
        let said = [cached_symbols, total_candles, lookup_failures, stale_symbols];
        said.iter().all(Option::is_none) && self.symbols.is_empty() && self.failed.is_empty()
    }

    /// The figures at `now`; symbols without news for `silence` are stale.
    #[must_use]
    pub fn figures(&self, now: Timestamp, silence: Duration) -> Figures {
        let silence = i64::try_from(silence.as_micros()).unwrap_or(i64::MAX);
        let is_stale = |symbol: &Symbol| symbol.said_stale || now.micros().saturating_sub(symbol.last.micros()) > silence;
        let stale = || self.symbols.iter().filter(|(_, symbol)| is_stale(symbol)).map(|(name, _)| name);
        Figures {
            cached_symbols: self.said.cached_symbols.unwrap_or(self.symbols.len() as u64),
            total_candles: self.said.total_candles.unwrap_or(self.candles),
            lookup_failures: self.said.lookup_failures.unwrap_or(0).max(self.failed.len() as u64),
            stale_symbols_count: self.said.stale_symbols.unwrap_or(0).max(stale().count() as u64),
            failed_symbols: self.failed.difference(&self.reported).take(MAX_NAMES).cloned().collect(),
            stale_symbols: stale().take(MAX_NAMES).cloned().collect(),
        }
    }

    fn see(&mut self, symbol: &str, seen: Symbol) {
        if let Some(known) = self.symbols.get_mut(symbol) {
            *known = seen;
        } else if self.symbols.len() < MAX_SYMBOLS && symbol.len() <= MAX_SYMBOL {
            self.symbols.insert(symbol.into(), seen);
        }
    }
}

fn whole(value: &Value) -> Option<u64> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a cast from a float saturates")]
    value.as_u64().or_else(|| value.as_f64().filter(|number| *number >= 0.0).map(|number| number as u64))
}

fn names(value: Option<&Value>) -> impl Iterator<Item = &str> {
    value.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    const SILENCE: Duration = Duration::from_secs(3600);

    fn at(minute: i64) -> Timestamp {
        Timestamp::from_micros(minute * 60_000_000)
    }

    #[test]
    fn without_a_word_of_the_engine_symbols_and_candles_are_counted() {
        let mut data = MarketData::default();
        for (symbol, minute) in [("A", 0), ("B", 0), ("A", 1)] {
            data.indicator(symbol, at(minute));
        }
        let figures = data.figures(at(1), SILENCE);
        assert_eq!((figures.cached_symbols, figures.total_candles, figures.stale_symbols_count), (2, 3, 0));
        data.status(&json!({"cached_symbols": 50, "total_candles": 9000.0, "lookup_failures": 2}));
        let figures = data.figures(at(1), SILENCE);
        assert_eq!((figures.cached_symbols, figures.total_candles, figures.lookup_failures), (50, 9000, 2));
    }

    #[test]
    fn a_symbol_is_stale_after_its_silence_or_by_the_engines_word_until_its_next_candle() {
        let mut data = MarketData::default();
        data.indicator("A", at(0));
        data.indicator("B", at(30));
        assert_eq!(data.figures(at(60), SILENCE).stale_symbols_count, 0, "60 minutes are not over 60 minutes");
        assert_eq!(data.figures(at(61), SILENCE).stale_symbols, ["A"]);
        data.stale("B", at(61));
        assert_eq!(data.figures(at(61), SILENCE).stale_symbols, ["A", "B"]);
        data.indicator("B", at(62));
        data.indicator("A", at(62));
        assert_eq!(data.figures(at(62), SILENCE).stale_symbols_count, 0);
    }

    #[test]
    fn an_engine_that_says_that_no_symbol_is_stale_takes_its_word_back() {
        let mut data = MarketData::default();
        data.stale("A", at(0));
        data.indicator("B", at(0));
        data.status(&json!({"cached_symbols": 2}));
        assert_eq!(data.figures(at(1), SILENCE).stale_symbols, ["A"]);
        data.status(&json!({"stale_symbols_count": 0}));
        assert_eq!(data.figures(at(1), SILENCE).stale_symbols_count, 0);
        assert_eq!(data.figures(at(61), SILENCE).stale_symbols, ["A", "B"], "silence is silence");
    }

    proptest! {
        #[test]
        fn no_figure_is_less_than_the_symbols_that_are_named_for_it(
            steps in proptest::collection::vec((0..5_u8, 0..4_u8, 0..4_u64), 0..40),
        ) {
            let mut data = MarketData::default();
            for ((step, symbol, number), minute) in steps.into_iter().zip(0..) {
                let symbol = symbol.to_string();
                match step {
                    0 => data.failed(&symbol),
                    1 => data.stale(&symbol, at(minute)),
                    2 => data.indicator(&symbol, at(minute)),
                    3 => data.status(&json!({"lookup_failures": number, "stale_symbols_count": number, "failed_symbols": [symbol]})),
                    _ => data.ticked(&json!(data.figures(at(minute), SILENCE))),
                }
                let figures = data.figures(at(minute), SILENCE);
                prop_assert!(figures.lookup_failures >= figures.failed_symbols.len() as u64);
                prop_assert!(figures.stale_symbols_count >= figures.stale_symbols.len() as u64);
            }
        }
    }

    #[test]
    fn each_failed_lookup_is_reported_in_one_tick_and_counted_in_all() {
        let mut data = MarketData::default();
        data.failed("X");
        data.failed("X");
        let tick = data.figures(at(0), SILENCE);
        assert_eq!((tick.lookup_failures, tick.failed_symbols.as_slice()), (1, ["X".into()].as_slice()));
        data.ticked(&json!({"failed_symbols": ["X"]}));
        data.failed("X");
        data.failed("Y");
        let tick = data.figures(at(0), SILENCE);
        assert_eq!((tick.lookup_failures, tick.failed_symbols.as_slice()), (2, ["Y".into()].as_slice()));
    }

    #[test]
    fn the_number_of_symbols_is_bounded() {
        let mut data = MarketData::default();
        for n in 0..MAX_SYMBOLS + 10 {
            data.indicator(&n.to_string(), at(0));
            data.failed(&n.to_string());
        }
        let figures = data.figures(at(100), SILENCE);
        assert_eq!((figures.cached_symbols, figures.lookup_failures), (MAX_SYMBOLS as u64, MAX_SYMBOLS as u64));
        assert_eq!((figures.stale_symbols.len(), figures.failed_symbols.len()), (MAX_NAMES, MAX_NAMES));
    }
}
