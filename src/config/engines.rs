//! `engines:`

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::reader::Reader;
use crate::domain::engine::{EngineName, Kind};

/// `engines:`: how engines are watched.
#[derive(Debug, Clone)]
pub struct Engines {
    /// An engine without a beat for so long is stale.
    pub stale_after: Duration,
    /// How much of the journal is read at a start.
    pub rebuild: Duration,
    /// Most engines.
    pub max: usize,
    /// Ticks of market data engines, and of all others.
    pub tick: (Duration, Duration),
    /// A symbol without news for longer than this is stale.
    pub symbol_silence: Duration,
    /// An engine that is silent for so long is watched no more until it beats again.
    pub rest_after: Duration,
    /// Bytes of ticks and announcements that wait for their commit.
    pub queue_bytes: usize,
    /// What is known of single engines.
    pub by_name: BTreeMap<String, EngineConfig>,
}

/// `engines.by_name.NAME:`
#[derive(Debug, Clone, Default)]
pub struct EngineConfig {
    /// What it is for, if it does not say so itself.
    pub kind: Option<Kind>,
    /// Its log.
    pub log: Option<PathBuf>,
    /// How often its watcher ticks, whatever its kind.
    pub tick: Option<Duration>,
}

impl Engines {
    pub(super) fn read(r: &mut Reader) -> Self {
        let stale_after = r.duration("engines.stale_after", Duration::from_secs(15));
        let rest_after = r.duration("engines.rest_after", Duration::from_secs(900));
        if rest_after < stale_after {
            r.fault("engines.rest_after", "must not be shorter than engines.stale_after");
        }
        let market_data = r.duration("engines.tick.market_data", Duration::from_secs(3));
        let other = r.duration("engines.tick.other", Duration::from_secs(5));
        Self {
            stale_after,
            rebuild: r.duration("engines.rebuild", Duration::from_secs(86_400)),
            max: r.count("engines.max", 10_000, 1..=1_000_000),
            tick: (market_data, other),
            symbol_silence: r.duration("engines.symbol_silence", Duration::from_secs(3_600)),
            rest_after,
            queue_bytes: r.size("engines.queue_bytes", 16 << 20, 1 << 20),
            by_name: by_name(r),
        }
    }
}

/// Keys of the section that name no engine.
const OWN_KEYS: [&str; 8] = ["stale_after", "rebuild", "max", "tick", "symbol_silence", "rest_after", "queue_bytes", "by_name"];

/// The engines that the configuration names: `engines.NAME`, or `engines.by_name.NAME` for names that are keys.
fn by_name(r: &mut Reader) -> BTreeMap<String, EngineConfig> {
    let plain = r.names("engines").into_iter().filter(|name| !OWN_KEYS.contains(&name.as_str()));
    let plain: Vec<_> = plain.map(|name| (format!("engines.{name}"), name)).collect();
    let quoted = r.names("engines.by_name").into_iter().map(|name| (format!("engines.by_name.{name}"), name));
    plain.into_iter().chain(quoted).map(|(path, name)| (name.clone(), EngineConfig::read(r, &path, &name))).collect()
}

impl EngineConfig {
    fn read(r: &mut Reader, path: &str, name: &str) -> Self {
        if let Err(expected) = EngineName::parse(name) {
            r.fault(path, expected);
        }
        let log = r.text(&format!("{path}.log"), "");
        // both defaults are ignored
        let no_tick = Duration::ZERO;
        let tick = r.duration(&format!("{path}.tick"), no_tick);
        let kind = r.optional(&format!("{path}.kind"), &format!("must be one of {}", Kind::WORDS.join(", ")));
        Self { kind, log: (!log.is_empty()).then(|| log.into()), tick: (tick != no_tick).then_some(tick) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_may_be_named_right_in_the_section() {
        let mut reader = Reader::new("engines: {fno: {log: logs/fno.log}, stale_after: 20s}", &[]);
        let engines = Engines::read(&mut reader);
        reader.finish().expect("valid");
        assert!(engines.by_name.get("fno").is_some_and(|fno| fno.log.is_some()));
        let mut reader = Reader::new("engines: {stale_afterr: 20s}", &[]);
        Engines::read(&mut reader);
        let faults = reader.finish().expect_err("refused");
        assert!(faults[0].starts_with("engines.stale_afterr:"), "{faults:?}");
    }

    #[test]
    fn engines_are_named_freely_and_their_faults_told_with_their_paths() {
        let yaml = "engines: {tick: {other: 1s}, by_name: {fno: {kind: strategy, tick: 250ms, log: logs/fno.log}, mde: {}}}";
        let mut reader = Reader::new(yaml, &[]);
        let engines = Engines::read(&mut reader);
        reader.finish().expect("valid");
        let fno = engines.by_name.get("fno").expect("named");
        assert_eq!((fno.kind, fno.tick), (Some(Kind::Strategy), Some(Duration::from_millis(250))));
        assert_eq!(fno.log.as_deref(), Some(std::path::Path::new("logs/fno.log")));
        assert!(engines.by_name.get("mde").is_some_and(|mde| mde.kind.is_none() && mde.tick.is_none()));
        assert_eq!(engines.tick, (Duration::from_secs(3), Duration::from_secs(1)));

        let yaml = "engines: {rest_after: 1s, by_name: {'a b': {kind: boat}, fno: {tick: soon, colour: red}, mde: 7}}";
        let mut reader = Reader::new(yaml, &[]);
        Engines::read(&mut reader);
        let faults = reader.finish().expect_err("refused");
        for path in [
            "engines.rest_after",
            "engines.by_name.a b",
            "engines.by_name.a b.kind",
            "engines.by_name.fno.tick",
            "engines.by_name.fno.colour",
            "engines.by_name.mde",
        ] {
            assert!(faults.iter().any(|fault| fault.starts_with(&format!("{path}:"))), "{path} in {faults:#?}");
        }
    }
}
