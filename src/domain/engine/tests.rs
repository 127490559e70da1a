use serde_json::json;

use super::*;
use crate::domain::envelope::{Rules, parse};
use crate::domain::event::{Draft, Header};
use proptest::prelude::*;

const RULES: Rules = Rules { max_event_bytes: 1 << 20, max_depth: 64, accept_unknown_types: true };
const LIMITS: Limits = Limits { stale_after: Duration::from_secs(15), symbol_silence: Duration::from_secs(3600) };

/// The time of `second`.
fn at(second: i64) -> Timestamp {
    Timestamp::from_micros((1_763_452_541 + second) * 1_000_000)
}

fn name() -> EngineName {
    EngineName::parse("fno").expect("a name")
}

fn event(second: i64, json: &Value) -> Event {
    parse(json.to_string().as_bytes(), &RULES, at(second)).expect("valid").stamp(EventId::first_at(at(second)))
}

/// An event of Plimsoll itself.
fn ours(second: i64, event_type: &str, stamp: Timestamp, payload: &Value) -> Event {
    let header = Header {
        event_type: event_type.into(),
        timestamp: stamp,
        source: Some(PLIMSOLL.into()),
        severity: None,
        profile_id: None,
        event_id: None,
        symbol: None,
        strategy: None,
    };
    Draft::new(header, &payload.to_string()).stamp(EventId::first_at(at(second)))
}

fn beat(second: i64, record: &Value) -> Event {
    let mut payload = json!({"name": "fno"});
    payload.as_object_mut().expect("an object").extend(record.as_object().expect("an object").clone());
    event(second, &json!({"type": "engine_heartbeat", "source": "fno", "payload": payload}))
}

fn take(engine: &mut Engine, event: &Event) {
    if let Some(news) = News::of(event) {
        engine.observe(news, event, at(1_000_000));
    }
}

fn engine(events: &[Event]) -> Engine {
    let mut engine = Engine::new(name(), None);
    events.iter().for_each(|event| take(&mut engine, event));
    engine
}

fn state(engine: &Engine, second: i64) -> State {
    engine.state(at(second), LIMITS.stale_after)
}

fn verdict(engine: &Engine, second: i64) -> Option<Verdict> {
    engine.verdict(at(second), LIMITS.stale_after)
}

#[test]
fn an_engine_is_as_it_says_while_its_beat_is_fresh_and_stale_afterwards() {
    let words =
        [("starting", State::Starting), ("running", State::Running), ("DEGRADED", State::Degraded), ("error", State::Error)];
    for (word, said) in words {
        let engine = engine(&[beat(0, &json!({"status": word}))]);
        assert_eq!([state(&engine, 0), state(&engine, 15), state(&engine, 16)], [said, said, State::Stale]);
        assert_eq!(engine.view(at(16), LIMITS)["status"], word.to_ascii_lowercase(), "the status stays what it said");
    }
    let stopped = engine(&[beat(0, &json!({"status": "stopped"}))]);
    assert_eq!([state(&stopped, 0), state(&stopped, 99)], [State::Stopped, State::Stopped]);
    assert_eq!(verdict(&stopped, 99), None, "it owes no beat");
    assert_eq!(state(&engine(&[]), 0), State::Stale, "nothing is known of it");
}

#[test]
fn silence_and_return_are_each_announced_once() {
    let mut engine = engine(&[beat(0, &json!({"status": "running"}))]);
    assert_eq!(verdict(&engine, 15), None);
    assert_eq!(verdict(&engine, 16), Some(Verdict::Stale));
    let stale = engine.announcement(Verdict::Stale, at(16), LIMITS);
    let payload: Value = serde_json::from_str(&stale.payload).expect("json");
    assert_eq!((&payload["name"], &payload["state"]), (&json!("fno"), &json!("stale")));
    take(&mut engine, &ours(16, "engine_stale", at(16), &payload));
    assert_eq!(verdict(&engine, 17), None);
    take(&mut engine, &beat(60, &json!({})));
    assert_eq!(verdict(&engine, 60), Some(Verdict::Recovered));
    assert_eq!(verdict(&engine, 99), None, "gone again before it was said to be back");
    take(&mut engine, &ours(60, "engine_recovered", at(60), &json!({"name": "fno"})));
    assert_eq!([verdict(&engine, 61), verdict(&engine, 99)], [None, Some(Verdict::Stale)]);
}

#[test]
fn a_stopped_engine_is_not_back_but_one_that_reports_an_error_is() {
    let silent = [beat(0, &json!({})), ours(16, "engine_stale", at(16), &json!({"name": "fno"}))];
    let mut stopped = engine(&silent);
    take(&mut stopped, &beat(20, &json!({"status": "stopped"})));
    assert_eq!(verdict(&stopped, 20), None);
    take(&mut stopped, &beat(30, &json!({"status": "running"})));
    assert_eq!(verdict(&stopped, 30), Some(Verdict::Recovered));
    let mut failed = engine(&silent);
    take(&mut failed, &beat(20, &json!({"status": "error"})));
    assert_eq!(verdict(&failed, 20), Some(Verdict::Recovered));
}

#[test]
fn a_partial_beat_keeps_what_it_does_not_name() {
    let full = json!({"mode": "paper", "pid": 7, "status": "degraded", "started_at": "2025-11-18T09:00:00", "loop_tick": 3,
        "universe_size": 50, "open_positions": 2, "last_error": "reset", "kind": "execution"});
    let engine = engine(&[beat(0, &full), beat(1, &json!({"loop_tick": 4})), beat(2, &json!({"last_error": null, "pid": null}))]);
    let view = engine.view(at(2), LIMITS);
    assert_eq!((&view["loop_tick"], &view["last_error"]), (&json!(4), &Value::Null));
    for field in ["mode", "pid", "status", "started_at", "universe_size", "open_positions", "kind"] {
        assert_eq!(view[field], full[field], "{field}");
    }
}

#[test]
fn a_view_has_the_record_first_and_then_the_judgement() {
    let view = engine(&[beat(0, &json!({}))]).view(at(2), LIMITS);
    let keys: Vec<&str> = view.as_object().expect("an object").keys().map(String::as_str).collect();
    let record = "name mode pid status started_at last_heartbeat loop_tick universe_size open_positions last_error";
    let judgement = "state heartbeat_age_seconds stale kind metrics restarts clock_skew_seconds reported";
    assert_eq!(keys.join(" "), format!("{record} {judgement}"));
    assert_eq!((&view["heartbeat_age_seconds"], &view["stale"]), (&json!(2.0), &json!(false)));
}

#[test]
fn a_new_pid_or_start_is_one_restart_even_in_two_beats() {
    let run = |pid: u64, hour: u64| json!({"pid": pid, "started_at": format!("2025-11-18T{hour:02}:00:00Z")});
    let count = |beats: &[Value]| {
        let events: Vec<Event> = beats.iter().zip(0..).map(|(record, second)| beat(second, record)).collect();
        engine(&events).view(at(0), LIMITS)["restarts"].as_u64()
    };
    assert_eq!(count(&[run(1, 1), run(1, 1), json!({"loop_tick": 1})]), Some(0));
    assert_eq!(count(&[run(1, 1), run(2, 2), run(3, 3)]), Some(2));
    assert_eq!(count(&[run(1, 1), json!({"pid": 2}), run(2, 2), json!({"pid": 3})]), Some(2));
    assert_eq!(count(&[run(1, 1), json!({"started_at": "2025-11-18T02:00:00Z"}), json!({"pid": 2})]), Some(1));
    assert_eq!(count(&[run(1, 1), json!({"pid": 2}), json!({"pid": 3})]), Some(2));
}

#[test]
fn an_engine_that_starts_again_without_a_word_runs() {
    let mut engine = engine(&[beat(0, &json!({"pid": 1, "status": "error"})), beat(1, &json!({"loop_tick": 1}))]);
    assert_eq!(state(&engine, 1), State::Error, "the same process");
    take(&mut engine, &beat(2, &json!({"pid": 2})));
    assert_eq!(state(&engine, 2), State::Running);
}

#[test]
fn an_engine_that_beats_without_a_status_runs_and_has_said_none() {
    let mut engine = engine(&[beat(0, &json!({"pid": 1}))]);
    assert_eq!((state(&engine, 0), &engine.view(at(0), LIMITS)["status"]), (State::Running, &Value::Null));
    take(&mut engine, &beat(1, &json!({"status": "error"})));
    take(&mut engine, &beat(2, &json!({"pid": 2})));
    assert_eq!((state(&engine, 2), &engine.view(at(2), LIMITS)["status"]), (State::Running, &Value::Null), "a new process");
}

#[test]
fn what_the_file_kept_of_an_engine_is_known_again_but_is_no_fresh_beat() {
    let mut before = engine(&[
        beat(0, &json!({"pid": 1, "status": "running", "kind": "execution", "loop_tick": 5})),
        beat(1, &json!({"pid": 2})),
        ours(20, "engine_stale", at(20), &json!({"name": "fno"})),
    ]);
    let kept = |engine: &Engine| {
        let mut record = engine.kept();
        record["written_by"] = PLIMSOLL.into();
        Kept::parse("fno_engine.json", &record.to_string()).expect("ours")
    };
    let mut after = Engine::new(name(), None);
    after.recall(kept(&before), at(9_999), at(30));
    let (view, old) = (after.view(at(30), LIMITS), before.view(at(30), LIMITS));
    for field in ["pid", "status", "loop_tick", "kind", "restarts", "heartbeat_age_seconds", "state"] {
        assert_eq!(view[field], old[field], "{field}");
    }
    assert_eq!(verdict(&after, 30), None, "its silence was announced before");
    take(&mut after, &beat(31, &json!({"pid": 3})));
    assert_eq!((state(&after, 31), verdict(&after, 31)), (State::Running, Some(Verdict::Recovered)));
    assert_eq!(after.view(at(31), LIMITS)["restarts"], 2);

    take(&mut before, &beat(40, &json!({})));
    let mut fresh = Engine::new(name(), None);
    fresh.recall(kept(&before), at(40), at(41));
    assert_eq!(state(&fresh, 41), State::Stale, "a file of ours proves no life");
    let mut journalled = engine(&[beat(50, &json!({"pid": 9, "status": "degraded"}))]);
    journalled.recall(kept(&before), at(40), at(51));
    let view = journalled.view(at(51), LIMITS);
    assert_eq!((&view["pid"], &view["state"], &view["restarts"]), (&json!(9), &json!("degraded"), &json!(1)));
}

#[test]
fn an_engine_whose_health_tells_of_market_data_or_that_lists_stale_symbols_is_one_for_market_data() {
    let metrics = json!({"cached_symbols": 8, "total_candles": 1602, "meta_entries": 0, "lookup_failures": 0,
        "stale_symbols_count": 2, "has_kite_client": false});
    let health = json!({"engine_name": "fno", "status": "active", "metrics": metrics});
    let engine_by_health = engine(&[event(0, &json!({"type": "engine_health", "payload": health}))]);
    let tick = engine_by_health.tick(at(1), LIMITS);
    let payload: Value = serde_json::from_str(&tick.payload).expect("json");
    assert_eq!((tick.event_type, &payload["metrics"]["total_candles"]), ("mde_status", &json!(1602)));
    let stale = json!({"count": 1, "symbols": [{"symbol": "NIFTY24FUT", "timeframe": "5m"}]});
    let by_list = engine(&[event(0, &json!({"type": "mde_stale_symbols", "source": "fno", "payload": stale}))]);
    assert_eq!(by_list.kind(), Kind::MarketData);
}

#[test]
fn figures_that_may_be_another_engines_are_unknown_and_not_zero() {
    let mut engine = engine(&[beat(0, &json!({}))]);
    assert_eq!(engine.view(at(0), LIMITS)["metrics"]["total_strategies"], 0, "every event tells whose it is");
    engine.doubt(Doubt { trading: true, market_data: true });
    let metrics = engine.view(at(0), LIMITS)["metrics"].clone();
    for figure in ["total_strategies", "avg_win_rate", "max_loss_streak", "avg_confidence"] {
        assert_eq!(metrics.get(figure), Some(&Value::Null), "{figure}");
    }
    let signal = json!({"symbol": "N", "strategy_name": "S", "signal": "BUY"});
    take(&mut engine, &event(1, &json!({"type": "signal_event", "source": "fno", "payload": signal})));
    assert_eq!(engine.view(at(1), LIMITS)["metrics"]["total_strategies"], 1);
    take(&mut engine, &beat(2, &json!({"kind": "market_data"})));
    assert_eq!(engine.view(at(2), LIMITS)["metrics"]["cached_symbols"], Value::Null);
}

#[test]
fn health_events_are_beats_but_the_services_own_are_not() {
    let health = json!({"engine_name": "fno", "status": "active", "metrics": {"mode": "paper", "universe_size": 2, "pnl": 1.5}});
    let mut engine = engine(&[event(0, &json!({"type": "engine_health", "payload": health}))]);
    let view = engine.view(at(0), LIMITS);
    assert_eq!((&view["state"], &view["mode"], &view["universe_size"]), (&json!("running"), &json!("paper"), &json!(2)));
    assert_eq!(view["reported"], health["metrics"]);
    take(&mut engine, &ours(100, "engine_health", at(100), &health));
    take(&mut engine, &ours(100, "engine_heartbeat", at(100), &json!({"name": "fno"})));
    assert_eq!(state(&engine, 100), State::Stale);
    let signal = json!({"symbol": "N", "strategy_name": "S", "signal": "BUY"});
    take(&mut engine, &event(100, &json!({"type": "signal_event", "source": "fno", "payload": signal})));
    assert_eq!(state(&engine, 100), State::Stale, "what it publishes is no heartbeat");
}

#[test]
fn a_file_is_as_old_as_its_modification_and_says_nothing_over_a_later_beat() {
    let file = |stamp, status: &str| {
        ours(100, "engine_heartbeat", stamp, &json!({"name": "fno", "status": status, "file": "fno_engine.json"}))
    };
    assert_eq!(state(&engine(&[file(at(0), "running")]), 100), State::Stale);
    assert_eq!(state(&engine(&[file(at(95), "running")]), 100), State::Running);
    let ahead = engine(&[file(at(9_999), "running")]);
    assert_eq!([state(&ahead, 115), state(&ahead, 116)], [State::Running, State::Stale], "no later than its arrival");
    let engine = engine(&[beat(90, &json!({"status": "stopped"})), file(at(80), "running")]);
    assert_eq!(state(&engine, 100), State::Stopped);
}

#[test]
fn the_kind_is_the_engines_word_then_the_configurations_then_what_it_publishes() {
    let status = json!({"mde_name": "fno", "status": "running", "metrics": {"cached_symbols": 9}});
    let published = [
        event(
            0,
            &json!({"type": "order_event", "source": "fno", "payload": {"order_id": 1, "symbol": "N", "side": "BUY", "status": "filled"}}),
        ),
        event(1, &json!({"type": "mde_status", "payload": status})),
    ];
    assert_eq!(engine(&published[..1]).kind(), Kind::Execution);
    let mut engine = engine(&published);
    assert_eq!(engine.kind(), Kind::MarketData);
    assert_eq!(engine.tick(at(1), LIMITS).event_type, "mde_status");
    engine.configured = Some(Kind::Universe);
    assert_eq!(engine.kind(), Kind::Universe);
    take(&mut engine, &beat(2, &json!({"kind": "strategy"})));
    assert_eq!(engine.kind(), Kind::Strategy);
    assert_eq!(engine.tick(at(2), LIMITS).event_type, "engine_health");
}

#[test]
fn a_tick_of_market_data_reports_each_failed_lookup_once() {
    let failed =
        |second, symbol: &str| event(second, &json!({"type": "data_error", "source": "fno", "payload": {"symbol": symbol}}));
    let mut engine = engine(&[beat(0, &json!({"kind": "market_data"})), failed(1, "X")]);
    let tick = |engine: &Engine| serde_json::from_str::<Value>(&engine.tick(at(2), LIMITS).payload).expect("json");
    let first = tick(&engine);
    assert_eq!((&first["mde_name"], &first["metrics"]["failed_symbols"]), (&json!("fno"), &json!(["X"])));
    take(&mut engine, &ours(2, "mde_status", at(2), &first));
    take(&mut engine, &failed(3, "X"));
    let second = tick(&engine);
    assert_eq!((&second["metrics"]["lookup_failures"], &second["metrics"]["failed_symbols"]), (&json!(1), &json!([])));
}

#[test]
fn the_engines_clock_is_reported_and_trusted_for_nothing() {
    let ahead = at(7_200).to_string();
    let engine = engine(&[beat(0, &json!({"last_heartbeat": ahead}))]);
    let view = engine.view(at(16), LIMITS);
    assert_eq!((&view["clock_skew_seconds"], &view["last_heartbeat"]), (&json!(7_200.0), &json!(ahead)));
    assert_eq!(view["state"], "stale");
}

#[test]
fn after_the_servers_clock_was_set_back_an_old_beat_is_not_fresh() {
    let mut engine = engine(&[beat(3_600, &json!({}))]);
    assert_eq!(state(&engine, 0), State::Stale);
    let late = beat(3_600, &json!({}));
    engine.observe(News::of(&late).expect("a beat"), &late, at(1));
    assert_eq!([state(&engine, 1), state(&engine, 17)], [State::Running, State::Stale], "ids go on where they were");
}

#[derive(Debug, Clone)]
enum Step {
    Beat(Option<&'static str>, Option<u64>),
    File(i64),
    Signal,
    OwnTick,
    Stale,
    Recovered,
    Wait(i64),
}

fn step() -> impl Strategy<Value = Step> {
    let words = [None, Some("starting"), Some("running"), Some("degraded"), Some("stopped"), Some("error")];
    prop_oneof![
        (proptest::sample::select(words.to_vec()), proptest::option::of(0..3_u64)).prop_map(|(word, pid)| Step::Beat(word, pid)),
        (-50..50_i64).prop_map(Step::File),
        Just(Step::Signal),
        Just(Step::OwnTick),
        Just(Step::Stale),
        Just(Step::Recovered),
        (0..40_i64).prop_map(Step::Wait),
    ]
}

proptest! {
    #[test]
    fn the_state_is_never_running_without_a_fresh_beat(steps in proptest::collection::vec(step(), 0..60), look in 0..40_i64) {
        let mut engine = Engine::new(name(), None);
        let (mut now, mut freshest) = (1_000, None::<i64>);
        for step in steps {
            let file = |stamp: i64| json!({"name": "fno", "status": "running", "last_heartbeat": at(99_999).to_string(), "file": stamp.to_string()});
            let event = match step {
                Step::Wait(seconds) => {
                    now += seconds;
                    continue;
                }
                Step::Beat(word, pid) => {
                    freshest = freshest.max(Some(now));
                    beat(now, &json!({"status": word, "pid": pid, "last_heartbeat": at(99_999).to_string()}))
                }
                Step::File(offset) => {
                    freshest = freshest.max(Some(now.min(now + offset)));
                    ours(now, "engine_heartbeat", at(now + offset), &file(offset))
                }
                Step::Signal => event(now, &json!({"type": "cycle_start", "source": "fno", "payload": {}})),
                Step::OwnTick => ours(now, "engine_health", at(now), &json!({"engine_name": "fno", "status": "running", "metrics": {}})),
                Step::Stale => ours(now, "engine_stale", at(now), &json!({"name": "fno"})),
                Step::Recovered => ours(now, "engine_recovered", at(now), &json!({"name": "fno"})),
            };
            if let Some(news) = News::of(&event) {
                engine.observe(news, &event, at(now));
            }
            for second in [now, now + look] {
                let is_fresh = freshest.is_some_and(|beat| second - beat <= 15);
                let alive = matches!(state(&engine, second), State::Starting | State::Running | State::Degraded);
                prop_assert!(!alive || is_fresh, "alive at {second} after {freshest:?}");
                prop_assert!(state(&engine, second) != State::Stale || !is_fresh);
            }
        }
    }
}

#[test]
fn one_start_in_many_notations_is_one_start() {
    let beats = ["2026-11-20T08:00:00Z", "2026-11-20T08:00:00.000000Z", "2026-11-20T13:30:00+05:30", "2026-11-20T13:30:00"];
    let beats: Vec<_> = beats.iter().zip(0..).map(|(start, second)| beat(second, &json!({"started_at": start}))).collect();
    let engine = engine(&beats);
    assert_eq!(engine.view(at(5), LIMITS)["restarts"], 0);
}

#[test]
fn a_word_of_health_that_nobody_knows_is_no_sign_of_health() {
    for (word, status) in
        [("healthy", Status::Running), ("crashed", Status::Error), ("offline", Status::Stopped), ("wobbly", Status::Degraded)]
    {
        assert_eq!(Status::of_health(word), Some(status), "{word}");
    }
}
