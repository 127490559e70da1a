//! The kill switch and the limits as other actors meet them: trips, changes that are passed on, and a bus that takes nothing.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use actix::{Actor, Addr, Arbiter, Context, Handler, Message};
use rust_decimal::Decimal;
use tempfile::TempDir;

use super::world::{LIMITS, World, manual};
use crate::actors::kill_switch::{KillSwitchHandle, Trip};
use crate::actors::risk_evaluator::LimitsChanged;
use crate::actors::risk_limits::RiskLimitsHandle;
use crate::domain::clock::Timestamp;
use crate::domain::id::EventId;
use crate::domain::risk::kill_switch::Switch;
use crate::domain::risk::kill_switch::TradingState::{self, Active, Halted, Reducing};
use crate::domain::risk::limits::{LimitKind, Limits};
use crate::domain::risk::limits_change::{Effective, LimitsChange};
use crate::domain::risk::limits_patch::Patch;
use crate::domain::risk::overrides::Overrides;
use crate::storage::audit_log::KEPT;
use crate::storage::kill_switch_file::KillSwitchFile;
use crate::storage::limits_book::{LimitsBook, Places};

/// A folder, which a restart finds again.
fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

fn switch(world: &World, folder: &Path) -> KillSwitchHandle {
    let clock = manual(Arc::clone(&world.hand));
    let found = KillSwitchFile::open(folder.join("risk"), None, clock.now());
    KillSwitchHandle::start(&Arbiter::current(), found, 10, world.bus.clone(), clock, world.panics.clone())
}

fn limits(world: &World, folder: &Path, evaluator: &Addr<Evaluator>) -> RiskLimitsHandle {
    let clock = manual(Arc::clone(&world.hand));
    let places = Places { overrides: folder.join("overrides.yaml"), folder: folder.join("risk") };
    let book = LimitsBook::open(Limits::from_fn(|_| Decimal::from(50)), places, clock.now());
    let evaluator = Some(evaluator.clone().recipient());
    RiskLimitsHandle::start(&Arbiter::current(), book, world.bus.clone(), evaluator, clock, world.panics.clone())
}

async fn trip(switch: &KillSwitchHandle, to: TradingState, cause: &str) -> TradingState {
    let trip = Trip { to, reason: format!("because of {cause}"), actor: "risk_evaluator".to_owned(), cause: cause.to_owned() };
    switch.trips().do_send(trip);
    switch.settle().await;
    switch.current().position.state
}

async fn order(switch: &KillSwitchHandle, to: TradingState) {
    switch.order(to, "checked".to_owned(), "alice".to_owned()).await.expect("done");
}

/// The payloads of the events of `event_type` so far, oldest first.
fn events(world: &World, event_type: &str) -> Vec<String> {
    let all = world.history.recent(EventId::ZERO, 10_000).unwrap_or_default();
    all.iter().filter(|event| event.header().event_type == event_type).map(|event| event.payload().to_owned()).collect()
}

/// Keeps what it is told.
#[derive(Default)]
struct Evaluator(Vec<Decimal>);

impl Actor for Evaluator {
    type Context = Context<Self>;
}

impl Handler<LimitsChanged> for Evaluator {
    type Result = ();

    fn handle(&mut self, LimitsChanged(limits): LimitsChanged, _: &mut Self::Context) {
        self.0.push(limits.get(LimitKind::MaxTradesPerDay));
    }
}

#[derive(Message)]
#[rtype(result = "Vec<u32>")]
struct Told;

impl Handler<Told> for Evaluator {
    type Result = Vec<u32>;

    fn handle(&mut self, _: Told, _: &mut Self::Context) -> Self::Result {
        self.0.iter().filter_map(|value| u32::try_from(*value).ok()).collect()
    }
}

#[actix_web::test]
async fn a_trip_makes_trading_stricter_and_the_same_cause_never_again_not_even_after_a_restart() {
    let (world, folder) = (World::new(100, LIMITS), folder());
    let kill = switch(&world, folder.path());
    assert_eq!(trip(&kill, Active, "nonsense").await, Active);
    assert_eq!(trip(&kill, Halted, "loss").await, Halted);
    assert_eq!(trip(&kill, Reducing, "streak").await, Halted, "it is as strict already");
    assert_eq!(kill.current().position.actor, "risk_evaluator");
    order(&kill, Active).await;
    assert_eq!(trip(&kill, Halted, "loss").await, Active, "an operator has seen that one");
    assert_eq!(trip(&kill, Reducing, "streak").await, Active, "and that one");
    let again = switch(&world, folder.path());
    assert_eq!(again.current(), kill.current());
    assert_eq!(trip(&again, Halted, "loss").await, Active);
    assert_eq!(trip(&again, Reducing, "streak").await, Active);
    assert_eq!(trip(&again, Reducing, "another").await, Reducing);
}

#[actix_web::test]
async fn what_the_bus_did_not_take_is_announced_later_and_once() {
    tokio::time::pause();
    let (world, folder) = (World::new(100, LIMITS), folder());
    let kill = switch(&world, folder.path());
    world.fail.store(true, Ordering::SeqCst);
    order(&kill, Halted).await;
    order(&kill, Reducing).await;
    assert_eq!((kill.current().position.state, events(&world, "kill_switch_triggered").len()), (Reducing, 0));
    // the service ends before the bus takes anything: the next one finds it in the history
    let again = switch(&world, folder.path());
    world.fail.store(false, Ordering::SeqCst);
    world.pass(Duration::from_secs(8)).await;
    again.settle().await;
    let told = events(&world, "kill_switch_triggered");
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].contains(r#""state":"halted""#) && told[1].contains(r#""state":"reducing""#), "{told:?}");
}

#[actix_web::test]
async fn what_found_no_room_in_the_queue_is_announced_from_the_history_and_in_order() {
    tokio::time::pause();
    let (world, folder) = (World::new(10_000, LIMITS), folder());
    let lines = |line: &dyn Fn(usize) -> String| (1..=KEPT).map(line).collect::<String>();
    let file = |name: &str, text: String| std::fs::write(folder.path().join("risk").join(name), text).expect("written");
    std::fs::create_dir(folder.path().join("risk")).expect("made");
    let mut position = Switch::untouched(Timestamp::from_micros(0)).position().clone();
    position.seq = KEPT as u64;
    let position = serde_json::to_string(&position).expect("json");
    let last = format!(r#""seq":{KEPT}}}"#);
    let of_seq = |line: &str, seq: usize| line.replace(&last, &format!("\"seq\":{seq}}}\n"));
    file("kill_switch_history.jsonl", lines(&|seq| of_seq(&position, seq)));
    file("kill_switch.json", format!(r#"{{"position":{position},"announced":0,"causes":[]}}"#));
    let base = Effective::new(Limits::from_fn(|_| Decimal::from(50)), Overrides::default());
    let changed = Effective::new(Limits::from_fn(|_| Decimal::from(51)), Overrides::default());
    let mut change = LimitsChange::between(&changed, &base, None, None, Timestamp::from_micros(0)).expect("a change");
    change.seq = KEPT as u64;
    let change = serde_json::to_string(&change).expect("json");
    file("limits_history.jsonl", lines(&|seq| of_seq(&change, seq)));
    file("limits_state.json", r#"{"announced":0,"change":null}"#.to_owned());

    world.fail.store(true, Ordering::SeqCst);
    let evaluator = Evaluator::default().start();
    let (kill, handle) = (switch(&world, folder.path()), limits(&world, folder.path(), &evaluator));
    let set = async |value: usize| {
        let patch = Patch::parse(&format!(r#"{{"max_trades_per_day": {value}}}"#)).expect("valid");
        handle.change(patch, "alice".to_owned()).await.expect("changed");
    };
    order(&kill, Halted).await;
    set(1).await;
    assert_eq!((kill.current().postponed, handle.view().postponed), (1, 1));
    world.fail.store(false, Ordering::SeqCst);
    world.pass(Duration::from_secs(8)).await;
    order(&kill, Active).await;
    set(2).await;
    world.pass(Duration::from_secs(8)).await;
    for event_type in ["kill_switch_triggered", "risk_limits_updated"] {
        let told = events(&world, event_type);
        assert_eq!(told.len(), KEPT + 2, "{event_type}");
        let is_in_order = told.iter().zip(1..).all(|(payload, seq)| payload.ends_with(&format!("\"seq\":{seq}}}")));
        assert!(is_in_order, "{event_type}");
    }
}

#[actix_web::test]
async fn whoever_judges_by_the_limits_is_told_of_every_change() {
    let (world, folder) = (World::new(100, LIMITS), folder());
    let evaluator = Evaluator::default().start();
    let handle = limits(&world, folder.path(), &evaluator);
    let patch = Patch::parse(r#"{"max_trades_per_day": 15}"#).expect("valid");
    let view = handle.change(patch.clone(), "alice".to_owned()).await.expect("changed");
    assert_eq!(view.effective.get(LimitKind::MaxTradesPerDay), Decimal::from(15));
    handle.change(patch, "alice".to_owned()).await.expect("nothing is different");
    std::fs::write(folder.path().join("overrides.yaml"), "max_trades_per_day: 7\n").expect("edited");
    assert_eq!(handle.current().await.effective.get(LimitKind::MaxTradesPerDay), Decimal::from(7));
    assert_eq!(evaluator.send(Told).await.expect("alive"), [15, 7]);
    handle.settle().await;
}
