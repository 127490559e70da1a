//! The risk evaluator on paused time: what it publishes, whom it tells, and what it leaves at the end of a day.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use actix::{Actor, Arbiter, Context, Handler};
use futures_util::future::select;
use parking_lot::Mutex;
use rust_decimal::Decimal;
use serde_json::Value;

use super::super::history::EventQuery;
use super::super::kill_switch::Trip;
use super::super::risk_evaluator::{LimitsChanged, Surroundings};
use super::super::risk_handle::{RiskError, RiskHandle};
use super::world::{LIMITS, RULES, World};
use crate::domain::clock::{Clock, Timestamp};
use crate::domain::envelope::parse;
use crate::domain::filter::Filter;
use crate::domain::id::EventId;
use crate::domain::risk::breach::Band;
use crate::domain::risk::evaluation::{Evaluation, Settings};
use crate::domain::risk::kill_switch::{Position, TradingState};
use crate::domain::risk::limits::{LimitKind, Limits};
use crate::domain::risk::session::Session;
use crate::domain::risk::state::Rules;

/// Remembers what it was told.
struct KillSwitch(Arc<Mutex<Vec<Trip>>>);

impl Actor for KillSwitch {
    type Context = Context<Self>;
}

impl Handler<Trip> for KillSwitch {
    type Result = ();

    fn handle(&mut self, trip: Trip, _: &mut Self::Context) {
        self.0.lock().push(trip);
    }
}

/// The world with an evaluator.
struct Harbour {
    world: World,
    clock: Clock,
    risk: RiskHandle,
    trips: Arc<Mutex<Vec<Trip>>>,
    folder: tempfile::TempDir,
}

fn limits(loss: i64) -> Limits {
    Limits::from_fn(|kind| Decimal::from(if kind == LimitKind::MaxDailyLoss { loss } else { 90 }))
}

fn start(world: &World, clock: &Clock, folder: &tempfile::TempDir, trips: &Arc<Mutex<Vec<Trip>>>) -> RiskHandle {
    let settings = Settings {
        session: Session::new(chrono_tz::Asia::Kolkata, chrono::NaiveTime::MIN),
        rules: Rules { include_unrealized: true, starting_capital: None },
        band: Band { warn_at_pct: Decimal::from(80), calm_below_pct: Decimal::from(75) },
        stale_after: Duration::from_secs(300),
        on_breach: vec![(LimitKind::MaxDailyLoss, TradingState::Halted)],
        on_engine_kill: None,
        complete_from: Timestamp::from_micros(0),
    };
    let around = Surroundings {
        bus: world.bus.clone(),
        trips: Some(KillSwitch(Arc::clone(trips)).start().recipient()),
        folder: folder.path().join("daily"),
        clock: clock.clone(),
        panics: world.panics.clone(),
    };
    let since = settings.session.day_of(clock.now()).start;
    let evaluation = Evaluation::new(settings, limits(1_000), since);
    RiskHandle::start(&Arbiter::current(), world.history.clone(), EventId::first_at(since).before(), evaluation, around)
}

impl Harbour {
    async fn new() -> Self {
        tokio::time::pause();
        let world = World::new(1_000, LIMITS);
        let clock = super::world::manual(Arc::clone(&world.hand));
        let (folder, trips) = (tempfile::tempdir().expect("a folder"), Arc::default());
        let risk = start(&world, &clock, &folder, &trips);
        let harbour = Self { world, clock, risk, trips, folder };
        harbour.settle().await;
        harbour
    }

    async fn settle(&self) {
        // the journal's readers have threads of their own; a runtime that idles meanwhile would let the paused time run
        let busy = Box::pin(async {
            loop {
                tokio::task::yield_now().await;
            }
        });
        select(Box::pin(self.risk.synced()), busy).await;
        self.world.settle().await;
    }

    async fn state(&self, realized: i64) {
        let json =
            format!(r#"{{"type":"performance_update","source":"fno","payload":{{"metrics":{{"realized_pnl":{realized}}}}}}}"#);
        let draft = parse(json.as_bytes(), &RULES, self.clock.now()).expect("valid");
        self.world.bus.publish(vec![draft]).await.expect("published");
        self.settle().await;
    }

    /// Lets `time` pass on both clocks, a quarter of a second at a time.
    async fn pass(&self, time: Duration) {
        let step = Duration::from_millis(250);
        for _ in 0..time.as_millis() / step.as_millis() {
            self.world.hand.fetch_add(250_000, Ordering::SeqCst);
            tokio::time::advance(step).await;
            self.world.settle().await;
        }
    }

    /// What the evaluator has published: types and payloads.
    async fn told(&self) -> Vec<(String, Value)> {
        let filter = Filter { sources: vec!["plimsoll".into()], ..Filter::default() };
        let query = EventQuery { filter, after: EventId::ZERO, before: EventId::MAX, oldest_first: true, limit: 1000 };
        let page = self.world.history.query(query).await.expect("answered");
        let read = |found: &super::super::history::Found| {
            let mut json = Vec::new();
            found.write_json(&mut json);
            let mut event: Value = serde_json::from_slice(&json).expect("json");
            (event["type"].as_str().expect("a type").to_owned(), event["payload"].take())
        };
        page.events.iter().map(read).collect()
    }

    async fn types(&self) -> Vec<String> {
        self.told().await.into_iter().map(|(event_type, _)| event_type).collect()
    }

    async fn status(&self) -> Value {
        let (state, now) = (TradingState::Active, self.clock.now());
        let (reason, actor) = (String::new(), String::new());
        let switch = Position { state, previous: state, reason, actor, since: now, timestamp: now, seq: 0 };
        let status = self.risk.status(switch).await.expect("there");
        serde_json::from_str(&serde_json::to_string(&status).expect("json")).expect("json")
    }
}

#[actix_web::test]
async fn a_breach_is_published_and_trips_the_kill_switch_once() {
    let harbour = Harbour::new().await;
    harbour.state(-1_500).await;
    harbour.state(-1_550).await;
    assert_eq!(harbour.types().await, ["risk_breach"]);
    let trips = harbour.trips.lock().clone();
    assert_eq!(trips.len(), 1);
    assert_eq!((trips[0].to, trips[0].actor.as_str()), (TradingState::Halted, "risk_evaluator"));
    assert!(trips[0].cause.starts_with("max_daily_loss::2025-11-18T07:55:41"), "{}", trips[0].cause);
}

#[actix_web::test]
async fn a_new_evaluator_says_that_it_rebuilds_until_it_has_taken_the_journal() {
    let mut harbour = Harbour::new().await;
    harbour.state(-1_500).await;
    harbour.risk.stop().await;
    assert!(!harbour.risk.is_running());
    assert_eq!(harbour.risk.breaches().await, Err(RiskError::Gone));
    let last = harbour.world.history.ring().newest();
    harbour.risk = start(&harbour.world, &harbour.clock, &harbour.folder, &harbour.trips);
    assert!(last > EventId::ZERO && !harbour.risk.counters().is_rebuilt.load(Ordering::Acquire));
    harbour.settle().await;
    assert!(harbour.risk.counters().is_rebuilt.load(Ordering::Acquire));
    assert_eq!(harbour.risk.breaches().await.map(|breaches| breaches.len()), Ok(1));
}

#[actix_web::test]
async fn a_lowered_limit_raises_at_once() {
    let harbour = Harbour::new().await;
    harbour.state(-500).await;
    harbour.risk.limits().do_send(LimitsChanged(Arc::new(limits(400))));
    harbour.settle().await;
    assert_eq!(harbour.types().await, ["risk_breach"]);
    harbour.risk.limits().do_send(LimitsChanged(Arc::new(limits(600))));
    harbour.settle().await;
    assert_eq!(harbour.types().await, ["risk_breach", "risk_breach_cleared"]);
}

#[actix_web::test]
async fn what_the_journal_did_not_take_is_published_when_it_takes_again_in_its_order() {
    let harbour = Harbour::new().await;
    harbour.state(-500).await;
    harbour.world.fail.store(true, Ordering::SeqCst);
    harbour.risk.limits().do_send(LimitsChanged(Arc::new(limits(400))));
    harbour.settle().await;
    harbour.risk.limits().do_send(LimitsChanged(Arc::new(limits(600))));
    harbour.settle().await;
    assert_eq!(harbour.types().await, [""; 0]);
    harbour.world.fail.store(false, Ordering::SeqCst);
    harbour.pass(Duration::from_secs(40)).await;
    assert_eq!(harbour.types().await, ["risk_breach", "risk_breach_cleared"]);
    assert_eq!(harbour.risk.counters().waiting.load(Ordering::Relaxed), 0);
}

#[actix_web::test]
async fn the_clock_rolls_the_day_which_ends_its_breaches_and_leaves_its_file() {
    let harbour = Harbour::new().await;
    harbour.state(-1_500).await;
    // 2025-11-19T00:00:00+05:30
    harbour.world.hand.store(1_763_490_600_000_000, Ordering::SeqCst);
    harbour.pass(Duration::from_millis(500)).await;
    assert_eq!(harbour.status().await["trading_day"], "2025-11-18", "what arrived before may be on its way");
    harbour.pass(Duration::from_secs(1)).await;
    let status = harbour.status().await;
    assert_eq!((&status["trading_day"], &status["figures"]["daily_pnl"]["value"]), (&Value::from("2025-11-19"), &Value::Null));
    let told = harbour.told().await;
    assert_eq!(
        told.last().map(|(event_type, told)| (event_type.as_str(), &told["reason"])),
        Some(("risk_breach_cleared", &Value::from("day_rolled")))
    );
    let file = harbour.folder.path().join("daily").join("2025-11-18-metrics.json");
    let written = loop {
        // it is written on another thread
        tokio::task::yield_now().await;
        if let Ok(text) = std::fs::read_to_string(&file) {
            break text;
        }
    };
    let written: Value = serde_json::from_str(&written).expect("json");
    assert_eq!((&written["overall"]["net_pnl"], &written["written_by"]), (&Value::from(-1_500), &Value::from("plimsoll")));
}

#[actix_web::test]
async fn another_run_over_the_same_journal_tells_nothing_twice() {
    let mut harbour = Harbour::new().await;
    harbour.state(-1_500).await;
    let before = harbour.risk.breaches().await.expect("there");
    harbour.risk.stop().await;
    harbour.risk = start(&harbour.world, &harbour.clock, &harbour.folder, &harbour.trips);
    harbour.settle().await;
    assert_eq!(harbour.risk.breaches().await.expect("there"), before);
    assert_eq!(harbour.types().await, ["risk_breach"]);
    let causes: Vec<String> = harbour.trips.lock().iter().map(|trip| trip.cause.clone()).collect();
    assert_eq!(causes.first(), causes.last(), "the kill switch knows it by its cause");
}
