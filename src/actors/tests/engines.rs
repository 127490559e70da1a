//! Registry and watchers on paused time: what is published, when, and how often.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use actix::Arbiter;
use futures_util::future::{Either, select};
use serde_json::Value;

use super::super::admission::Admission;
use super::super::engine_model::EngineModel;
use super::super::engine_reader::EngineRegistryHandle;
use super::super::engine_registry::Settings;
use super::super::engine_watcher::{Ticks, Watch};
use super::super::history::EventQuery;
use super::world::{LIMITS, RULES, World};
use crate::domain::clock::{Clock, Timestamp};
use crate::domain::engine::{Kind, Limits, State};
use crate::domain::envelope::parse;
use crate::domain::filter::Filter;
use crate::domain::id::EventId;

const STALE_AFTER: Duration = Duration::from_secs(15);

/// The world with a registry; time stands still until it is passed.
struct Harbour {
    world: World,
    clock: Clock,
    registry: EngineRegistryHandle,
    engines: Arc<EngineModel>,
    folder: tempfile::TempDir,
}

impl Harbour {
    async fn new(ring_events: usize) -> Self {
        tokio::time::pause();
        let world = World::new(ring_events, LIMITS);
        let clock = super::world::manual(Arc::clone(&world.hand));
        let folder = tempfile::tempdir().expect("a folder");
        let (registry, engines) = registry(&world, &clock, &folder);
        let harbour = Self { world, clock, registry, engines, folder };
        harbour.world.settle().await;
        harbour
    }

    /// The registry ends, and another one starts over the same journal.
    async fn restart(&mut self) {
        self.registry.stop().await;
        (self.registry, self.engines) = registry(&self.world, &self.clock, &self.folder);
        self.settle_all().await;
    }

    async fn post(&self, event_type: &str, source: &str, payload: &str) {
        let json = format!(r#"{{"type":"{event_type}","source":"{source}","payload":{payload}}}"#);
        self.line(&json).await;
    }

    async fn beat(&self, name: &str, fields: &str) {
        self.post("engine_heartbeat", name, &format!(r#"{{"name":"{name}"{fields}}}"#)).await;
    }

    /// Posts an event as it is.
    async fn line(&self, json: &str) {
        let draft = parse(json.as_bytes(), &RULES, self.clock.now()).expect("valid");
        self.world.bus.publish(vec![draft]).await.expect("published");
        self.settle_all().await;
    }

    fn view(&self, name: &str) -> Value {
        let limits = Limits { stale_after: STALE_AFTER, symbol_silence: Duration::from_secs(3600) };
        self.engines.engines.get(name).expect("known").view(self.clock.now(), limits)
    }

    async fn settle_all(&self) {
        at_once(self.registry.synced()).await;
        self.world.settle().await;
    }

    /// Lets `time` pass on both clocks, a tenth of a second at a time.
    async fn pass(&self, time: Duration) {
        let step = Duration::from_millis(100);
        for _ in 0..time.as_millis() / step.as_millis() {
            self.world.hand.fetch_add(100_000, Ordering::SeqCst);
            tokio::time::advance(step).await;
            self.world.settle().await;
        }
    }

    /// Everything of this type that was ever published, as seconds since the start and payload.
    async fn published(&self, event_type: &str) -> Vec<(f64, Value)> {
        let filter = Filter { event_types: vec![event_type.into()], sources: vec!["plimsoll".into()], ..Filter::default() };
        let query = EventQuery { filter, after: EventId::ZERO, before: EventId::MAX, oldest_first: true, limit: 1000 };
        let page = at_once(self.world.history.query(query)).await.expect("answered");
        let mut found = Vec::new();
        for event in page.events {
            let mut json = Vec::new();
            event.write_json(&mut json);
            let mut event: Value = serde_json::from_slice(&json).expect("json");
            let at = Timestamp::parse(event["timestamp"].as_str().expect("a time")).expect("a time");
            found.push(((at.micros() - 1_763_452_541_000_000) as f64 / 1e6, event["payload"].take()));
        }
        found
    }

    /// When this type was published, in whole seconds; time passes in tenths.
    async fn times(&self, event_type: &str) -> Vec<f64> {
        let times = self.published(event_type).await.into_iter().map(|(at, _)| at);
        times.inspect(|at| assert!((at - at.round()).abs() < 0.15, "{at}")).map(f64::round).collect()
    }

    fn state(&self, name: &str) -> State {
        self.engines.engines.get(name).expect("known").state(self.clock.now(), STALE_AFTER)
    }
}

/// Awaits what threads of their own do, such as the journal's readers: a runtime that idles meanwhile would let the paused
/// time run, hours of ticks in a moment.
async fn at_once<T>(work: impl Future<Output = T>) -> T {
    let busy = Box::pin(async {
        loop {
            tokio::task::yield_now().await;
        }
    });
    match select(Box::pin(work), busy).await {
        Either::Left((done, _)) => done,
        Either::Right((never, _)) => never,
    }
}

fn registry(world: &World, clock: &Clock, folder: &tempfile::TempDir) -> (EngineRegistryHandle, Arc<EngineModel>) {
    let engines = Arc::<EngineModel>::default();
    let watch = Watch {
        engines: Arc::clone(&engines),
        ticks: Ticks {
            market_data: Duration::from_secs(3),
            other: Duration::from_secs(5),
            by_name: HashMap::from([("quick".to_owned(), Duration::from_secs(1))]),
        },
        limits: Limits { stale_after: STALE_AFTER, symbol_silence: Duration::from_secs(3600) },
        rest_after: Duration::from_secs(60),
        bus: world.bus.with_queue(Admission::new(1_000, Duration::from_millis(250))),
        clock: clock.clone(),
        panics: world.panics.clone(),
    };
    let settings = Settings {
        max: 3,
        rebuild: Duration::from_secs(86_400),
        kinds: HashMap::from([("configured".to_owned(), Kind::MarketData)]),
        folder: folder.path().to_owned(),
    };
    let here = Arbiter::current();
    (EngineRegistryHandle::start(&here, &here, world.history.clone(), watch, settings), engines)
}

#[actix_web::test]
async fn market_data_engines_tick_every_three_seconds_and_all_others_every_five() {
    let harbour = Harbour::new(100).await;
    harbour.beat("fno", r#","status":"running""#).await;
    harbour.post("mde_status", "mde", r#"{"mde_name":"mde","status":"running","metrics":{"cached_symbols":50}}"#).await;
    harbour.pass(Duration::from_secs(14)).await;
    assert_eq!(harbour.times("engine_health").await, [5.0, 10.0]);
    assert_eq!(harbour.times("mde_status").await, [3.0, 6.0, 9.0, 12.0]);
    let (_, tick) = harbour.published("mde_status").await.remove(0);
    assert_eq!((&tick["mde_name"], &tick["metrics"]["cached_symbols"]), (&"mde".into(), &50.into()));
}

#[actix_web::test]
async fn the_configuration_sets_the_interval_and_the_kind_of_single_engines() {
    let harbour = Harbour::new(100).await;
    harbour.beat("quick", "").await;
    harbour.beat("configured", "").await;
    harbour.pass(Duration::from_millis(3_500)).await;
    assert_eq!(harbour.times("engine_health").await, [1.0, 2.0, 3.0]);
    assert_eq!(harbour.times("mde_status").await, [3.0]);
}

#[actix_web::test]
async fn silence_is_announced_once_within_one_tick_and_so_is_the_return() {
    let harbour = Harbour::new(100).await;
    harbour.pass(Duration::from_secs(20)).await;
    harbour.beat("fno", r#","status":"running""#).await;
    harbour.pass(Duration::from_secs(60)).await;
    let stale = harbour.times("engine_stale").await;
    assert_eq!(stale.len(), 1, "{stale:?}");
    assert!((35.0..=40.0).contains(&stale[0]), "{stale:?}");
    assert_eq!(harbour.state("fno"), State::Stale);
    harbour.beat("fno", "").await;
    harbour.pass(Duration::from_secs(10)).await;
    harbour.beat("fno", "").await;
    harbour.pass(Duration::from_secs(10)).await;
    assert_eq!(harbour.times("engine_recovered").await, [80.0], "at once, and once");
    assert_eq!(harbour.times("engine_stale").await, stale);
    assert_eq!(harbour.state("fno"), State::Running);
}

#[actix_web::test]
async fn silence_that_is_found_while_events_wait_to_be_taken_is_announced_as_soon_as_they_are() {
    let harbour = Harbour::new(100).await;
    harbour.pass(Duration::from_secs(20)).await;
    harbour.beat("quick", r#","status":"running""#).await;
    harbour.pass(Duration::from_millis(900)).await;
    harbour.beat("quick", "").await;
    harbour.pass(STALE_AFTER).await;
    // more than the ring holds, so that the registry has to ask the journal while the tick at 36 s comes
    harbour.world.publish(0..500).await;
    // timers count whole milliseconds, so that it may come just behind 36 s
    harbour.pass(Duration::from_millis(200)).await;
    harbour.settle_all().await;
    assert_eq!(harbour.times("engine_stale").await, [36.0]);
}

#[actix_web::test]
async fn a_stopped_engine_is_neither_watched_nor_called_silent_and_is_watched_again_when_it_starts() {
    let harbour = Harbour::new(100).await;
    harbour.beat("fno", r#","status":"running""#).await;
    harbour.pass(Duration::from_secs(6)).await;
    harbour.beat("fno", r#","status":"stopped""#).await;
    harbour.pass(Duration::from_secs(60)).await;
    assert_eq!((harbour.times("engine_health").await.len(), harbour.engines.watchers.load(Ordering::SeqCst)), (1, 0));
    assert_eq!((harbour.times("engine_stale").await.len(), harbour.state("fno")), (0, State::Stopped));
    harbour.beat("fno", r#","status":"starting""#).await;
    harbour.pass(Duration::from_secs(6)).await;
    assert_eq!(harbour.times("engine_health").await, [5.0, 71.0]);
}

#[actix_web::test]
async fn a_silent_engine_is_watched_for_a_while_only_until_it_beats_again() {
    let harbour = Harbour::new(100).await;
    harbour.beat("fno", "").await;
    harbour.pass(Duration::from_secs(100)).await;
    assert_eq!(harbour.times("engine_health").await.last(), Some(&55.0), "not a minute later");
    harbour.beat("fno", "").await;
    harbour.pass(Duration::from_secs(6)).await;
    assert_eq!(harbour.times("engine_health").await.last(), Some(&105.0));
}

#[actix_web::test]
async fn a_restart_knows_the_engines_from_the_journal_and_announces_nothing_twice() {
    // the ring is too short for what is folded
    let mut harbour = Harbour::new(2).await;
    let order = |side: &str, price: f64| {
        format!(r#"{{"order_id":1,"symbol":"N","side":"{side}","status":"FILLED","qty":1,"price":{price},"strategy":"S"}}"#)
    };
    harbour.post("order_event", "fno", &order("BUY", 100.0)).await;
    harbour.beat("fno", r#","pid":7,"status":"running""#).await;
    harbour.post("order_event", "fno", &order("SELL", 101.0)).await;
    harbour.pass(Duration::from_secs(40)).await;
    let stale = harbour.times("engine_stale").await;
    assert_eq!(stale.len(), 1);
    harbour.restart().await;
    harbour.pass(Duration::from_secs(40)).await;
    assert_eq!(harbour.times("engine_stale").await, stale);
    let view = harbour.view("fno");
    assert_eq!((&view["pid"], &view["state"]), (&7.into(), &"stale".into()));
    assert_eq!(view["metrics"]["strategies"]["S"]["win_count"], 1, "the order before the first beat counts too: {view}");
}

#[actix_web::test]
async fn an_engine_that_beat_until_the_service_went_away_has_time_to_beat_again() {
    let mut harbour = Harbour::new(100).await;
    harbour.beat("fno", "").await;
    // an hour in which the service did not run
    harbour.world.hand.fetch_add(3_600_000_000, Ordering::SeqCst);
    harbour.restart().await;
    assert_eq!(harbour.state("fno"), State::Stale, "nobody knows better");
    harbour.pass(Duration::from_secs(4)).await;
    harbour.beat("fno", "").await;
    harbour.pass(Duration::from_secs(10)).await;
    assert_eq!(harbour.times("engine_stale").await, [0.0; 0]);
    assert_eq!(harbour.state("fno"), State::Running);
}

#[actix_web::test]
async fn engines_beyond_the_limit_are_ignored_and_counted() {
    let harbour = Harbour::new(100).await;
    for name in ["a", "b", "c", "d", "a"] {
        harbour.beat(name, "").await;
    }
    assert_eq!((harbour.engines.engines.len(), harbour.engines.ignored.load(Ordering::SeqCst)), (3, 1));
    assert!(harbour.registry.is_full_for(&crate::domain::engine::EngineName::parse("d").expect("a name")));
}

#[actix_web::test]
async fn announcements_that_the_journal_refuses_are_made_on_a_later_tick() {
    let harbour = Harbour::new(100).await;
    harbour.pass(Duration::from_secs(20)).await;
    harbour.beat("fno", "").await;
    harbour.world.fail.store(true, Ordering::SeqCst);
    harbour.pass(Duration::from_secs(30)).await;
    assert!(harbour.engines.ticks_lost.load(Ordering::SeqCst) > 0);
    harbour.world.fail.store(false, Ordering::SeqCst);
    harbour.pass(Duration::from_secs(10)).await;
    assert_eq!(harbour.times("engine_stale").await.len(), 1);
}

#[actix_web::test]
async fn after_the_service_was_suspended_engines_have_time_to_beat_again() {
    let harbour = Harbour::new(100).await;
    harbour.pass(Duration::from_secs(20)).await;
    harbour.beat("fno", "").await;
    // the machine sleeps for an hour: the clock goes on, timers do not
    harbour.world.hand.fetch_add(3_600_000_000, Ordering::SeqCst);
    harbour.pass(Duration::from_secs(12)).await;
    assert_eq!(harbour.times("engine_stale").await, [0.0; 0]);
    harbour.beat("fno", "").await;
    harbour.pass(Duration::from_secs(10)).await;
    assert_eq!((harbour.times("engine_stale").await.len(), harbour.state("fno")), (0, State::Running));
    harbour.pass(Duration::from_secs(20)).await;
    assert_eq!(harbour.times("engine_stale").await.len(), 1, "this silence is its own");
}

#[actix_web::test]
async fn engines_that_the_journal_no_longer_tells_of_are_known_from_their_files() {
    let mut harbour = Harbour::new(100).await;
    let file = |name: &str, fields: &str| {
        let record = format!(r#"{{"name":"{name}",{fields},"written_by":"plimsoll"}}"#);
        std::fs::write(harbour.folder.path().join(format!("{name}_engine.json")), record).expect("written");
    };
    file("old", r#""status":"running","pid":7,"restarts":2,"last_beat":"2025-11-16T07:55:41Z","silence":"1763279756000-0""#);
    file("ended", r#""status":"stopped","last_heartbeat":"2025-11-16T07:55:41Z""#);
    file("now", r#""status":"running","last_heartbeat":"2025-11-18T07:55:41Z""#);
    std::fs::write(harbour.folder.path().join("broken_engine.json"), r#"{"written_by":"plimsoll""#).expect("written");
    harbour.restart().await;
    assert_eq!(harbour.engines.engines.len(), 3);
    assert_eq!(["old", "ended", "now"].map(|name| harbour.state(name)), [State::Stale, State::Stopped, State::Stale]);
    let old = harbour.view("old");
    assert_eq!((&old["pid"], &old["restarts"], &old["heartbeat_age_seconds"]), (&7.into(), &2.into(), &172_800.0.into()));
    harbour.pass(Duration::from_secs(40)).await;
    let stale: Vec<_> = harbour.published("engine_stale").await.into_iter().map(|(_, payload)| payload["name"].clone()).collect();
    assert_eq!(stale, ["now"], "the silence of the other one was announced");
    harbour.beat("old", r#","pid":8"#).await;
    harbour.world.settle().await;
    assert_eq!((harbour.view("old")["restarts"].as_u64(), harbour.times("engine_recovered").await.len()), (Some(3), 1));
}

#[actix_web::test]
async fn health_of_a_name_that_no_engine_may_have_is_counted() {
    let harbour = Harbour::new(100).await;
    harbour.line(r#"{"type":"engine_health","payload":{"engine_name":"my engine","status":"active","metrics":{}}}"#).await;
    assert_eq!((harbour.engines.engines.len(), harbour.engines.misnamed.load(Ordering::SeqCst)), (0, 1));
}

/// Lines of a recording, some of them shortened.
const RECORDED: [&str; 8] = [
    r#"{"type": "engine_health", "timestamp": "2024-08-05T03:44:50.084278+00:00", "payload": {"engine_name": "paper_engine", "status": "starting", "metrics": {"mode": "paper", "universe_size": 2, "strategy_name": "EMA_TREND"}}}"#,
    r#"{"type": "indicator_event", "timestamp": "2024-08-05T03:45:59.008304+00:00", "payload": {"symbol": "NIFTY24FUT", "timeframe": "1m", "indicators": {"ema9": 24639.551453048378}, "strategy": "EMA_20_50"}}"#,
    r#"{"type": "engine_health", "timestamp": "2024-08-05T03:45:59.021385+00:00", "payload": {"engine_name": "StrategyEngineV2", "status": "active", "metrics": {"total_strategies": 2, "avg_win_rate": 0.0, "max_loss_streak": 0, "avg_confidence": 0.0, "strategies": {"EMA_20_50": {"win_count": 0}, "PRICE_ACTION_V1": {"win_count": 0}}}}}"#,
    r#"{"type": "engine_health", "timestamp": "2024-08-05T03:45:59.021428+00:00", "payload": {"engine_name": "MarketDataEngine", "status": "active", "metrics": {"cached_symbols": 8, "total_candles": 1602, "meta_entries": 0, "lookup_failures": 0, "stale_symbols_count": 2, "has_kite_client": false}}}"#,
    r#"{"type": "mde_stale_symbols", "timestamp": "2024-08-05T03:45:59.021460+00:00", "payload": {"count": 2, "symbols": [{"symbol": "NIFTY24FUT", "timeframe": "5m", "last_update": "2024-08-02T15:25:00+05:30", "age_minutes": 3950}, {"symbol": "BANKNIFTY24FUT", "timeframe": "5m", "last_update": "2024-08-02T15:25:00+05:30", "age_minutes": 3950}]}}"#,
    r#"{"type": "signal_event", "timestamp": "2024-08-05T03:59:59.008520+00:00", "payload": {"symbol": "BANKNIFTY24FUT", "strategy_name": "PRICE_ACTION_V1", "signal": "SELL", "confidence": 0.7000000000000001, "reason": "bearish_confluence", "timeframe": "1m"}}"#,
    r#"{"type": "order_event", "timestamp": "2024-08-05T03:59:59.009406+00:00", "payload": {"order_id": "paper-BANKNIFTY24FUT-1722830399", "symbol": "BANKNIFTY24FUT", "side": "SELL", "status": "FILLED", "quantity": 13, "price": 50414.65, "strategy": "PRICE_ACTION_V1", "mode": "SCALP"}}"#,
    r#"{"type": "position_event", "timestamp": "2024-08-05T03:59:59.011443+00:00", "payload": {"symbol": "portfolio", "position_size": 1, "positions": [{"symbol": "BANKNIFTY24FUT", "quantity": -13, "avg_price": 50414.65, "realized_pnl": 0.0, "last_price": 50414.65}], "equity": 5000000.0, "total_notional": 655390.4500000001}}"#,
];

#[actix_web::test]
async fn engines_as_a_recording_has_them_get_their_figures_though_no_event_names_its_source() {
    let mut harbour = Harbour::new(100).await;
    for line in RECORDED {
        harbour.line(line).await;
    }
    harbour.pass(Duration::from_millis(3_500)).await;
    let (_, tick) = harbour.published("mde_status").await.remove(0);
    assert_eq!((&tick["mde_name"], &tick["metrics"]["cached_symbols"]), (&"MarketDataEngine".into(), &8.into()));
    let stale = serde_json::json!(["BANKNIFTY24FUT", "NIFTY24FUT"]);
    assert_eq!((&tick["metrics"]["stale_symbols"], &tick["metrics"]["total_candles"]), (&stale, &1602.into()));
    for _ in 0..2 {
        let engine = harbour.view("StrategyEngineV2");
        assert_eq!((&engine["kind"], &engine["metrics"]["total_strategies"]), (&"strategy".into(), &1.into()), "{engine}");
        let strategy = &engine["metrics"]["strategies"]["PRICE_ACTION_V1"];
        assert_eq!((&strategy["signals"], &strategy["open_positions"]), (&1.into(), &1.into()), "{engine}");
        harbour.restart().await;
    }
}

#[actix_web::test]
async fn what_nobody_can_be_told_to_have_published_makes_figures_unknown_and_not_zero() {
    let harbour = Harbour::new(100).await;
    harbour.beat("a", "").await;
    harbour.line(RECORDED[6]).await;
    let figure = |name: &str| harbour.view(name)["metrics"]["total_strategies"].clone();
    assert_eq!(figure("a"), 1, "there is nobody else");
    harbour.beat("b", "").await;
    assert_eq!(figure("b"), 0);
    harbour.line(RECORDED[6]).await;
    harbour.beat("c", "").await;
    assert_eq!([figure("a"), figure("b"), figure("c")], [1.into(), Value::Null, Value::Null]);
}
