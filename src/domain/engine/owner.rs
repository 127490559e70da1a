//! Whose an event is that names no `source`.
//!
//! Engines in the field leave it out. What trades (signals, orders, positions, closed trades) belongs to the engine that
//! the payload names (`engine_name` or `engine`); else to the only engine that reports a strategy of that name in the
//! `strategies` of its own `engine_health`, and if the event names no strategy, to the only one that reports any; else to
//! the only engine known that trades at all, which are all but those for market data and universes. What is market data
//! (indicators, failed lookups, stale symbols) belongs to the engine that the payload names (there also `mde_name`), else
//! to the only market data engine known.
//!
//! What is still nobody's makes figures doubtful: of an engine to which no such event was attributed nothing is known
//! then, and nothing is not zero.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use compact_str::CompactString;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::terms::{EngineName, Kind};
use crate::domain::event::Event;
use crate::domain::payload::Payload;

/// Most strategies whose engine is remembered.
const MAX_STRATEGIES: usize = 10_000;

/// What is known of who publishes what.
#[derive(Debug, Default)]
pub struct Owners {
    kinds: HashMap<EngineName, Kind>,
    market_data: BTreeSet<EngineName>,
    trading: BTreeSet<EngineName>,
    /// Engines that report strategies.
    reporting: BTreeSet<EngineName>,
    /// Who reports a strategy; `None` where several do.
    strategies: HashMap<CompactString, Option<EngineName>>,
}

/// Whose an event is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner {
    /// This engine's.
    Engine(EngineName),
    /// Nobody can tell, though it belongs to one.
    Unknown(Share),
    /// It belongs to none.
    Nobody,
}

/// Figures that an event is a part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Share {
    /// Those of strategies.
    Trading,
    /// Those of market data.
    MarketData,
}

/// Of which figures something is nobody's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Doubt {
    /// Those of strategies.
    pub trading: bool,
    /// Those of market data.
    pub market_data: bool,
}

impl Doubt {
    /// Adds these figures; whether that is news.
    pub fn add(&mut self, share: Share) -> bool {
        let doubtful = match share {
            Share::Trading => &mut self.trading,
            Share::MarketData => &mut self.market_data,
        };
        !std::mem::replace(doubtful, true)
    }
}

impl Owners {
    /// Notes of what kind an engine is.
    pub fn know(&mut self, name: &EngineName, kind: Kind) {
        if self.kinds.get(name) == Some(&kind) {
            return;
        }
        self.kinds.insert(name.clone(), kind);
        self.market_data.remove(name);
        self.trading.remove(name);
        match kind {
            Kind::MarketData => self.market_data.insert(name.clone()),
            Kind::Universe => false,
            Kind::Strategy | Kind::Execution | Kind::Other => self.trading.insert(name.clone()),
        };
    }

    /// Notes which strategies an engine reports in its own metrics.
    pub fn reported(&mut self, name: &EngineName, metrics: &RawValue) {
        #[derive(serde::Deserialize)]
        struct Metrics {
            strategies: BTreeMap<CompactString, IgnoredAny>,
        }
        let Ok(Metrics { strategies }) = serde_json::from_str(metrics.get()) else { return };
        if !strategies.is_empty() && !self.reporting.contains(name) {
            self.reporting.insert(name.clone());
        }
        for strategy in strategies.into_keys() {
            if let Some(known) = self.strategies.get_mut(&strategy) {
                *known = known.take().filter(|known| known == name);
            } else if self.strategies.len() < MAX_STRATEGIES {
                self.strategies.insert(strategy, Some(name.clone()));
            }
        }
    }

    /// Whose `event` is, which names no source.
    #[must_use]
    pub fn of(&self, event: &Event) -> Owner {
        let header = event.header();
        let share = match header.event_type.as_str() {
            "signal_event" | "order_event" | "position_event" | "trade_closed" => Share::Trading,
            "indicator_event" | "data_error" | "quote_stale" | "mde_stale_symbols" => Share::MarketData,
            _ => return Owner::Nobody,
        };
        let owner = named(event).or_else(|| match (share, header.strategy.as_ref()) {
            (Share::MarketData, _) => only(&self.market_data),
            (Share::Trading, Some(strategy)) => match self.strategies.get(strategy) {
                Some(reporting) => reporting.clone(),
                None => only(&self.trading),
            },
            (Share::Trading, None) if self.reporting.is_empty() => only(&self.trading),
            (Share::Trading, None) => only(&self.reporting),
        });
        owner.map_or(Owner::Unknown(share), Owner::Engine)
    }
}

/// The engine that the payload names.
fn named(event: &Event) -> Option<EngineName> {
    let text = event.payload();
    // most name none, and need not be read
    if !text.contains("\"engine") && !text.contains("\"mde_name") {
        return None;
    }
    let payload = Payload::inspect(text, usize::MAX).ok()?;
    ["engine_name", "engine", "mde_name"].iter().find_map(|field| EngineName::parse(&payload.text(field)?).ok())
}

fn only(names: &BTreeSet<EngineName>) -> Option<EngineName> {
    names.first().filter(|_| names.len() == 1).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::clock::Timestamp;
    use crate::domain::envelope::{Rules, parse};
    use crate::domain::id::EventId;

    const RULES: Rules = Rules { max_event_bytes: 1 << 20, max_depth: 64, accept_unknown_types: true };
    // lines of a recording, shortened
    const ORDER: &str = r#"{"type": "order_event", "timestamp": "2024-08-05T03:59:59.009406+00:00", "payload": {"order_id": "paper-BANKNIFTY24FUT-1722830399", "symbol": "BANKNIFTY24FUT", "side": "SELL", "status": "FILLED", "quantity": 13, "price": 50414.65, "strategy": "PRICE_ACTION_V1", "mode": "SCALP"}}"#;
    const SNAPSHOT: &str = r#"{"type": "position_event", "payload": {"symbol": "portfolio", "position_size": 1, "positions": [{"symbol": "BANKNIFTY24FUT", "quantity": -13, "avg_price": 50414.65}], "equity": 5000000.0}}"#;
    const STALE: &str = r#"{"type": "mde_stale_symbols", "payload": {"count": 1, "symbols": [{"symbol": "NIFTY24FUT", "timeframe": "5m", "age_minutes": 3950}]}}"#;

    fn name(text: &str) -> EngineName {
        EngineName::parse(text).expect("a name")
    }

    fn owner(owners: &Owners, json: &str) -> Owner {
        let event = parse(json.as_bytes(), &RULES, Timestamp::from_micros(0)).expect("valid").stamp(EventId::ZERO);
        owners.of(&event)
    }

    fn reported(owners: &mut Owners, engine: &str, strategies: &str) {
        let metrics = RawValue::from_string(format!(r#"{{"total_strategies":1,"strategies":{strategies}}}"#)).expect("json");
        owners.reported(&name(engine), &metrics);
    }

    #[test]
    fn an_event_belongs_to_the_only_engine_that_reports_its_strategy() {
        let mut owners = Owners::default();
        for engine in ["paper_engine", "StrategyEngineV2"] {
            owners.know(&name(engine), Kind::Other);
        }
        assert_eq!(owner(&owners, ORDER), Owner::Unknown(Share::Trading), "either may have sent it");
        reported(&mut owners, "StrategyEngineV2", r#"{"EMA_20_50": {}, "PRICE_ACTION_V1": {"win_count": 0}}"#);
        assert_eq!(owner(&owners, ORDER), Owner::Engine(name("StrategyEngineV2")));
        assert_eq!(owner(&owners, SNAPSHOT), Owner::Engine(name("StrategyEngineV2")), "it names no strategy");
        reported(&mut owners, "another", r#"{"PRICE_ACTION_V1": {}}"#);
        reported(&mut owners, "StrategyEngineV2", r#"{"PRICE_ACTION_V1": {}}"#);
        assert_eq!(owner(&owners, ORDER), Owner::Unknown(Share::Trading), "two report it");
        assert_eq!(owner(&owners, SNAPSHOT), Owner::Unknown(Share::Trading));
    }

    #[test]
    fn an_event_belongs_to_the_only_engine_there_is_for_it() {
        let mut owners = Owners::default();
        assert_eq!(owner(&owners, ORDER), Owner::Unknown(Share::Trading));
        owners.know(&name("fno"), Kind::Other);
        owners.know(&name("MarketDataEngine"), Kind::MarketData);
        owners.know(&name("scanner"), Kind::Universe);
        assert_eq!(owner(&owners, ORDER), Owner::Engine(name("fno")));
        assert_eq!(owner(&owners, STALE), Owner::Engine(name("MarketDataEngine")));
        owners.know(&name("fno"), Kind::MarketData);
        assert_eq!(owner(&owners, STALE), Owner::Unknown(Share::MarketData));
        assert_eq!(owner(&owners, r#"{"type": "cycle_start", "payload": {}}"#), Owner::Nobody);
    }

    #[test]
    fn the_engine_that_a_payload_names_comes_first() {
        let mut owners = Owners::default();
        owners.know(&name("fno"), Kind::Other);
        let named = r#"{"type": "order_event", "payload": {"order_id": 1, "symbol": "N", "side": "BUY", "status": "filled", "engine": "equity"}}"#;
        assert_eq!(owner(&owners, named), Owner::Engine(name("equity")));
    }
}
