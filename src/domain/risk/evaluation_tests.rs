use std::time::Duration;

use chrono::NaiveTime;
use proptest::prelude::*;
use rust_decimal::Decimal;

use super::super::kill_switch::Position;
use super::*;
use crate::domain::envelope::{Rules as Envelope, parse};
use crate::domain::event::Draft;
use crate::domain::id::EventId;

const ENVELOPE: Envelope = Envelope { max_event_bytes: 1 << 20, max_depth: 64, accept_unknown_types: true };
/// 2025-11-18T06:00:00+05:30, in milliseconds.
const MORNING: u64 = 1_763_425_800_000;

fn settings() -> Settings {
    Settings {
        session: Session::new(chrono_tz::Asia::Kolkata, NaiveTime::MIN),
        rules: Rules { include_unrealized: true, starting_capital: None },
        band: Band { warn_at_pct: Decimal::from(80), calm_below_pct: Decimal::from(75) },
        stale_after: Duration::from_secs(300),
        on_breach: vec![(LimitKind::MaxDailyLoss, TradingState::Halted)],
        on_engine_kill: Some(TradingState::Reducing),
        complete_from: Timestamp::from_micros(0),
    }
}

fn limits(loss: i64) -> Limits {
    Limits::from_fn(|kind| Decimal::from(if kind == LimitKind::MaxDailyLoss { loss } else { 1_000 }))
}

fn time(ms: u64) -> Timestamp {
    Timestamp::from_micros(i64::try_from(ms).expect("small") * 1_000)
}

fn live() -> Evaluation {
    let mut live = Evaluation::new(settings(), limits(1_000), time(MORNING));
    assert_eq!(live.rebuilt(time(MORNING)), []);
    live
}

fn event(json: &str, ms: u64) -> Event {
    parse(json.as_bytes(), &ENVELOPE, time(ms)).expect("valid").stamp(EventId::first_at(time(ms)))
}

fn pnl(pnl: i64, ms: u64) -> Event {
    let json = format!(r#"{{"type":"performance_update","source":"fno","payload":{{"metrics":{{"realized_pnl":{pnl}}}}}}}"#);
    event(&json, ms)
}

fn own(told: &Announcement, ms: u64) -> Event {
    let header = crate::domain::event::Header {
        event_type: told.event_type.into(),
        timestamp: time(ms),
        source: Some(PLIMSOLL.into()),
        severity: Some(told.severity),
        profile_id: None,
        event_id: Some(told.event_id.clone().into()),
        symbol: told.symbol.clone(),
        strategy: None,
    };
    Draft::new(header, &told.payload).stamp(EventId::first_at(time(ms)))
}

fn words(effects: &[Effect]) -> Vec<String> {
    let word = |effect: &Effect| match effect {
        Effect::Announce(told) => told.event_type.to_owned(),
        Effect::Trip(cause) => format!("trip {}", cause.to.as_str()),
        Effect::WriteDay { name, .. } => name.clone(),
    };
    effects.iter().map(word).collect()
}

#[test]
fn a_loss_over_the_limit_trips_and_is_announced_and_less_of_it_clears() {
    let mut live = live();
    assert_eq!(words(&live.take(&pnl(-1_001, MORNING + 5))), ["trip halted", "risk_breach"]);
    let breaches = live.breaches();
    assert_eq!(breaches.first().map(|breach| breach.since.at), Some(time(MORNING + 5)));
    assert_eq!(words(&live.take(&pnl(-900, MORNING + 6))), ["risk_breach_cleared"]);
}

#[test]
fn lower_limits_raise_at_once_and_higher_ones_clear() {
    let mut live = live();
    live.take(&pnl(-500, MORNING + 5));
    assert_eq!(words(&live.set_limits(limits(400), time(MORNING + 9))), ["trip halted", "risk_breach"]);
    assert_eq!(words(&live.set_limits(limits(600), time(MORNING + 10))), ["risk_breach_cleared"]);
}

#[test]
fn what_ended_under_a_limit_that_was_taken_back_while_nobody_ran_begins_anew() {
    let restarted = |limit: i64, journal: &[Event], at: u64| {
        let mut evaluation = Evaluation::new(settings(), limits(limit), time(MORNING));
        journal.iter().for_each(|event| assert_eq!(evaluation.take(event), []));
        evaluation.rebuilt(time(at))
    };
    let announced = |effects: &[Effect], at: u64| -> Vec<Event> {
        let told = effects.iter().filter_map(|effect| if let Effect::Announce(told) = effect { Some(told) } else { None });
        told.enumerate().map(|(n, told)| own(told, at + u64::try_from(n).expect("small"))).collect()
    };
    let mut journal = vec![pnl(-1_500, MORNING + 1_000)];
    let raised = live().take(&journal[0]);
    journal.extend(announced(&raised, MORNING + 1_010));
    let cleared = restarted(5_000, &journal, MORNING + 2_000);
    assert_eq!(words(&cleared), ["risk_breach_cleared"]);
    journal.extend(announced(&cleared, MORNING + 2_010));
    let again = restarted(1_000, &journal, MORNING + 3_000);
    assert_eq!(words(&again), ["risk_breach", "trip halted"]);
    let cause = |effects: &[Effect]| {
        effects.iter().find_map(|effect| if let Effect::Trip(trip) = effect { Some(trip.cause.clone()) } else { None })
    };
    assert_ne!(cause(&again), cause(&raised), "another cause, which trips again");
    journal.extend(announced(&again, MORNING + 3_010));
    assert_eq!(words(&restarted(1_000, &journal, MORNING + 4_000)), ["trip halted"], "told; the switch knows the cause");
}

#[test]
fn a_day_that_is_over_ends_its_breaches_and_leaves_its_file() {
    let mut live = live();
    live.take(&pnl(-2_000, MORNING + 5));
    let tomorrow = live.day_ends();
    let effects = live.roll(tomorrow);
    assert_eq!(words(&effects), ["risk_breach_cleared", "2025-11-18-metrics.json"]);
    let Some(Effect::WriteDay { text, .. }) = effects.last() else { panic!("a file") };
    let file: serde_json::Value = serde_json::from_str(text).expect("json");
    assert_eq!(file["overall"]["net_pnl"], -2_000);
    assert_eq!(file["equity"].get("starting_capital"), None, "nobody said it: {file}");
    assert_eq!(live.roll(tomorrow), []);
    live.take(&pnl(0, MORNING + 86_400_000));
    assert_eq!(words(&live.roll(live.day_ends())), [""; 0], "nothing was traded");
}

#[test]
fn after_a_restart_on_the_next_day_yesterdays_breach_is_ended() {
    let mut before = live();
    let raised = before.take(&pnl(-2_000, MORNING + 5));
    let Some(Effect::Announce(told)) = raised.last() else { panic!("announced") };
    let mut after = Evaluation::new(settings(), limits(1_000), time(MORNING));
    assert_eq!(after.take(&pnl(-2_000, MORNING + 5)), []);
    assert_eq!(after.take(&own(told, MORNING + 6)), []);
    let tomorrow = before.day_ends();
    assert_eq!(words(&after.rebuilt(tomorrow)), ["2025-11-18-metrics.json", "risk_breach_cleared"]);
}

#[test]
fn limits_that_come_during_the_replay_neither_end_nor_repeat_what_was_told() {
    let mut before = live();
    let raised = before.take(&pnl(-2_000, MORNING + 5));
    let Some(Effect::Announce(told)) = raised.last() else { panic!("announced") };
    for (others, late_event) in [(false, false), (true, false), (true, true)] {
        let mut after = Evaluation::new(settings(), limits(10_000), time(MORNING));
        if others {
            after.take(&pnl(-2_000, MORNING + 5));
        }
        assert_eq!(after.set_limits(limits(1_000), time(MORNING + 50)), []);
        if !others || late_event {
            after.take(&pnl(-2_000, MORNING + 5));
        }
        after.take(&own(told, MORNING + 6));
        assert_eq!(words(&after.rebuilt(time(MORNING + 60))), ["trip halted"]);
        assert_eq!(after.breaches().first().map(|breach| breach.since), before.breaches().first().map(|breach| breach.since));
    }
}

#[test]
fn an_engines_own_kill_switch_trips_and_is_shown() {
    let mut live = live();
    let killed = event(r#"{"type":"kill_switch_triggered","source":"fno","payload":{"reason":"margin"}}"#, MORNING + 7);
    assert_eq!(words(&live.take(&killed)), ["trip reducing"]);
    let view = live.view(time(MORNING + 8));
    assert_eq!(view.engine_kill.and_then(|kill| kill.reason.as_deref()), Some("margin"));
    live.roll(live.day_ends());
    assert_eq!(live.view(time(MORNING + 86_400_000)).engine_kill, None, "it was of the day before");
}

#[test]
fn of_many_kills_in_a_replay_the_newest_are_passed_on() {
    let mut replaying = Evaluation::new(settings(), limits(1_000), time(MORNING));
    for n in 0..=MAX_KILLS as u64 {
        replaying.take(&event(&format!(r#"{{"type":"kill_switch_triggered","source":"e{n}","payload":{{}}}}"#), MORNING + n));
    }
    let actors: Vec<String> = replaying
        .rebuilt(time(MORNING + 1_000))
        .into_iter()
        .filter_map(|effect| match effect {
            Effect::Trip(cause) => Some(cause.actor),
            _ => None,
        })
        .collect();
    assert_eq!((actors.len(), actors[0].as_str(), actors[MAX_KILLS - 1].as_str()), (MAX_KILLS, "e1", "e100"));
}

#[test]
fn an_open_position_that_nobody_marks_lets_no_new_one_be_opened() {
    let mut live = live();
    let order = |side: &str, ms: u64| {
        let json = format!(
            r#"{{"type":"order_event","source":"fno","payload":{{"order_id":"{ms}","symbol":"N","side":"{side}","status":"filled","qty":5,"price":100}}}}"#
        );
        event(&json, MORNING + ms)
    };
    let position = |fields: &str, ms: u64| {
        event(&format!(r#"{{"type":"position_event","source":"fno","payload":{{"symbol":"N"{fields}}}}}"#), MORNING + ms)
    };
    live.take(&order("BUY", 5));
    assert_eq!(live.view(time(MORNING + 6)).day.unmarked(), 1);
    live.take(&position(r#","position_size":5,"unrealized_pnl":-3"#, 7));
    assert_eq!(live.view(time(MORNING + 8)).day.unmarked(), 0);
    live.take(&order("SELL", 9));
    live.take(&order("SELL", 10));
    assert_eq!(live.view(time(MORNING + 11)).day.unmarked(), 1, "another one");
    live.take(&event(
        r#"{"type":"performance_update","source":"fno","payload":{"metrics":{"realized_pnl":0,"unrealized_pnl":0}}}"#,
        MORNING + 12,
    ));
    assert_eq!(live.view(time(MORNING + 13)).day.unmarked(), 0, "the engine states it");
}

#[test]
fn what_makes_the_figures_incomplete_is_a_reason_of_its_own() {
    let reasons = |live: &Evaluation| {
        let now = time(MORNING + 8);
        let switch = Position {
            state: TradingState::Active,
            previous: TradingState::Active,
            reason: String::new(),
            actor: String::new(),
            since: now,
            timestamp: now,
            seq: 0,
        };
        let status = serde_json::to_value(live.view(now).status(switch)).expect("json");
        assert_eq!(status["trading"]["new_positions_allowed"], false, "{status}");
        status["trading"]["reasons"].to_string()
    };
    let mut hurt = live();
    hurt.take(&pnl(1, MORNING + 5));
    hurt.distrust();
    assert!(reasons(&hurt).contains("internal error") && !reasons(&hurt).contains("journal.max_bytes"));
    let mut unread = live();
    unread.take(&pnl(1, MORNING + 5));
    let bad = r#"{"type":"performance_update","source":"fno","payload":{"metrics":{"realized_pnl":"a lot"}}}"#;
    unread.take(&event(bad, MORNING + 6));
    assert!(reasons(&unread).contains("1 trades, fills or statements could not be read"), "{}", reasons(&unread));
}

proptest! {
    /// What a run announces, and what it announces when it is cut anywhere, with only a part of it journalled.
    #[test]
    fn a_restart_anywhere_gives_the_same_breaches_and_says_nothing_twice(
        losses in proptest::collection::vec(0_i64..3_000, 1..30), cut in 0_usize..30, unjournalled in 0_usize..3,
    ) {
        let events: Vec<Event> =
            losses.iter().enumerate().map(|(n, loss)| pnl(-loss, MORNING + 10 * n as u64)).collect();
        let mut whole = live();
        let mut told = Vec::new();
        let cut = cut.min(events.len());
        for (n, event) in events.iter().take(cut).enumerate() {
            told.extend(whole.take(event).into_iter().filter_map(|effect| match effect {
                Effect::Announce(told) => Some((n, told)),
                _ => None,
            }));
        }
        let journalled = told.len().saturating_sub(unjournalled);
        let mut again = Evaluation::new(settings(), limits(1_000), time(MORNING));
        for event in events.iter().take(cut) {
            again.take(event);
        }
        for (n, told) in told.iter().take(journalled) {
            again.take(&own(told, MORNING + 10 * *n as u64 + 1));
        }
        let late = again.rebuilt(time(MORNING + 10_000));
        let since = |evaluation: &Evaluation| evaluation.breaches().into_iter().map(|breach| (breach.key, breach.current, breach.since)).collect::<Vec<_>>();
        prop_assert_eq!(since(&whole), since(&again));
        for effect in &late {
            if let Effect::Announce(late) = effect {
                prop_assert!(told.iter().take(journalled).all(|(_, told)| told.event_id != late.event_id), "{late:?} twice");
            }
        }
        if unjournalled == 0 {
            prop_assert!(late.iter().all(|effect| matches!(effect, Effect::Trip(_))), "{late:?}");
        }
    }
}
