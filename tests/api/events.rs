//! `GET` and `DELETE /api/telemetry/events`: paging, filters, the seam between ring and journal.

use serde_json::{Value, json};

use crate::harness::{App, EVENTS, Settings, spawn_app};
use crate::ingest::faulty_fields;
use crate::samples::{self, Filter, naive, tick, ticks};
use crate::sse::order;

/// A ring that holds but the newest few, so that most answers need the journal too.
const SMALL_RING: Settings<'_> = &[("telemetry.ring_events", "50")];

fn ids(page: &Value) -> Vec<String> {
    let events = page["events"].as_array().unwrap();
    events.iter().map(|event| event["id"].as_str().unwrap().to_owned()).collect()
}

/// Pages through with a limit, in either direction, and gives all ids oldest first.
fn paged(app: &App, limit: usize, ascending: bool, query: &str) -> Vec<String> {
    let mut pages = Vec::new();
    let (order, cursor) = if ascending { ("&order=asc", "since_id") } else { ("", "before_id") };
    let mut page = app.events(&format!("limit={limit}{order}&{query}"));
    loop {
        assert_eq!(page["count"], page["events"].as_array().unwrap().len());
        assert!(ids(&page).len() <= limit);
        assert!(ids(&page).is_sorted_by(|a, b| self::order(a) < self::order(b)), "newest last: {page}");
        pages.push(ids(&page));
        let Some(next) = page["next"].as_str() else {
            break;
        };
        page = app.events(&format!("limit={limit}{order}&{cursor}={next}&{query}"));
    }
    if !ascending {
        pages.reverse();
    }
    pages.concat()
}

#[test]
fn without_parameters_the_newest_hundred_are_given_newest_last() {
    let app = spawn_app(SMALL_RING);
    assert_eq!(app.events(""), json!({"events": [], "count": 0, "next": null}));
    app.publish_many(&ticks(0..150));
    let page = app.events("");
    let numbers: Vec<_> = page["events"].as_array().unwrap().iter().map(|event| event["payload"]["n"].clone()).collect();
    assert_eq!(json!(numbers), json!((50..150).collect::<Vec<_>>()));
    assert_eq!(page["count"], 100);
    assert!(page["next"].is_string(), "there is more");
}

#[test]
fn paging_visits_each_event_once_across_the_seam_in_both_directions() {
    let app = spawn_app(SMALL_RING);
    app.publish_many(&ticks(0..333));
    let all = paged(&app, 1000, true, "");
    assert_eq!(all.len(), 333);
    for limit in [1000, 334, 333, 332, 100, 50, 49, 7] {
        for ascending in [true, false] {
            assert_eq!(paged(&app, limit, ascending, ""), all, "limit {limit}, ascending {ascending}");
        }
    }
}

#[test]
fn a_page_that_ends_exactly_at_the_oldest_edge_of_the_ring_is_continued_by_the_journal() {
    let app = spawn_app(SMALL_RING);
    app.publish_many(&ticks(0..120));
    let all = app.all_ids("");
    let edge = app.stats()["oldest_id"].as_str().unwrap().to_owned();
    let at = all.iter().position(|id| *id == edge).expect("the oldest of the ring is one of them");
    for around in at - 2..at + 3 {
        let before = app.events(&format!("limit=10&before_id={}", all[around]));
        assert_eq!(ids(&before), all[around - 10..around]);
        let since = app.events(&format!("limit=10&order=asc&since_id={}", all[around]));
        assert_eq!(ids(&since), all[around + 1..around + 11]);
    }
}

#[test]
fn every_filter_gives_what_a_naive_filter_gives() {
    let app = spawn_app(SMALL_RING);
    app.publish_many(&samples::events(7, 600));
    let all = app.all_events("");
    assert_eq!(all.len(), 600);
    let mut rng = fastrand::Rng::with_seed(11);
    for round in 0..60 {
        let filter = Filter::any(&mut rng);
        let expected = naive(&filter, &all);
        let query = filter.query(round % 2 == 0);
        assert_eq!(paged(&app, 40 + round, round % 3 == 0, &query), expected, "{query}");
    }
}

#[test]
fn a_name_is_what_a_reader_of_json_and_of_the_query_sees() {
    let app = spawn_app(SMALL_RING);
    let posted = [
        (r#"{"symbol":"M&M"}"#, "symbol=M%26M"),
        (r#"{"symbol":"NIFTY 50"}"#, "symbol=NIFTY%2050"),
        (r#"{"\u0073ymbol":"BANK\u004eIFTY"}"#, "symbol=BANKNIFTY"),
        (r#"{"symbol":"ü,🦀"}"#, "symbol=%C3%BC%2C%F0%9F%A6%80"),
        (r#"{"strategy":"a+b=c"}"#, "strategy=a%2Bb%3Dc"),
        (r#"{"strategy_name":"100%"}"#, "strategy=100%25"),
    ];
    let ids: Vec<_> = posted
        .iter()
        .map(|(payload, _)| {
            let answer = app.post_json(&format!(r#"{{"type":"tick","payload":{payload}}}"#)).expect(201);
            answer["id"].as_str().unwrap().to_owned()
        })
        .collect();
    for ((_, query), id) in posted.iter().zip(&ids) {
        assert_eq!(app.all_ids(query), [id.as_str()], "{query}, from the ring");
        assert_eq!(app.stream(&format!("replay=10&{query}")).event().id(), id, "{query}, on the stream");
    }
    app.publish_many(&ticks(0..60));
    for ((_, query), id) in posted.iter().zip(&ids) {
        assert_eq!(app.all_ids(query), [id.as_str()], "{query}, from the journal");
    }
}

#[test]
fn a_search_that_takes_long_says_how_far_it_came_and_a_count_that_takes_long_is_given_up() {
    let app = spawn_app(&[("journal.query_timeout", "10ms"), ("journal.durability", "os"), ("telemetry.ring_events", "50")]);
    let rare = app.publish(&json!({"type": "tick", "source": "rare", "payload": {}}));
    for batch in 0..8 {
        app.publish_many(&ticks(batch * 10_000..(batch + 1) * 10_000));
    }
    let mut pages = 1;
    let mut answer = app.get(&format!("{EVENTS}?source=rare")).expect(200);
    while let Some(next) = answer["next"].as_str().filter(|_| answer["count"] == 0) {
        answer = app.get(&format!("{EVENTS}?source=rare&before_id={next}")).expect(200);
        pages += 1;
    }
    assert_eq!(answer["events"][0]["id"], rare, "after {pages} pages");
    let answer = app.get("/api/telemetry/aggregates?group_by=symbol");
    answer.expect_problem(503);
    assert!(answer.header("retry-after").is_some());
    app.assert_unhurt();
}

#[test]
fn a_client_with_a_rare_filter_catches_up_over_a_long_journal() {
    let app = spawn_app(&[("journal.query_timeout", "10ms"), ("journal.durability", "os"), ("telemetry.ring_events", "50")]);
    let before = app.publish(&tick(0));
    let mut rare = Vec::new();
    for batch in 0..6 {
        app.publish_many(&ticks(batch * 10_000..(batch + 1) * 10_000));
        rare.push(app.publish(&json!({"type": "tick", "source": "rare", "payload": {}})));
    }
    let mut stream = app.stream(&format!("source=rare&since_id={before}"));
    assert_eq!(stream.ids(rare.len()), rare);
}

#[test]
fn an_ask_between_two_ids_gives_only_what_is_between() {
    let app = spawn_app(SMALL_RING);
    app.publish_many(&ticks(0..200));
    let all = app.all_ids("");
    let between = format!("since_id={}&before_id={}", all[20], all[180]);
    assert_eq!(paged(&app, 1000, true, &between), all[21..180]);
    let page = app.events(&format!("limit=10&{between}"));
    assert_eq!(ids(&page), all[170..180], "the newest of them");
    assert_eq!(ids(&app.events(&format!("since_id={}", all[199]))), [""; 0]);
    assert_eq!(ids(&app.events(&format!("before_id={}", all[0]))), [""; 0]);
}

#[test]
fn times_are_compared_with_the_events_own_timestamp() {
    let app = spawn_app(SMALL_RING);
    let at = |minute: usize| format!("2025-11-18T07:{minute:02}:00.000000Z");
    let events: Vec<_> =
        (0..60).map(|minute| json!({"type": "tick", "timestamp": at(59 - minute), "payload": {"n": 59 - minute}})).collect();
    app.publish_many(&events);
    app.publish(&tick(1000));
    let query = format!("since_ts={}&until_ts={}", at(10), at(20));
    let mut numbers: Vec<_> = app.all_events(&query).iter().map(|event| event["payload"]["n"].as_u64().unwrap()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (10..20).collect::<Vec<_>>(), "since is inclusive, until is exclusive");
    let with_offset = "since_ts=2025-11-18T12:40:00%2B05:30&until_ts=2025-11-18T12:41:00%2B05:30";
    assert_eq!(app.all_events(with_offset).len(), 1);
}

#[test]
fn a_fault_of_a_parameter_is_refused_by_its_name() {
    let app = spawn_app(&[]);
    for (field, value) in [
        ("limit", "0"),
        ("limit", "1001"),
        ("limit", "-1"),
        ("limit", "ten"),
        ("limit", "NaN"),
        ("limit", "1e999"),
        ("since_id", "yesterday"),
        ("before_id", "-"),
        ("before_id", "1-0-0"),
        ("before_id", "99999999999999999999-0"),
        ("since_ts", "noon"),
        ("until_ts", "2025-13-01T00:00:00Z"),
        ("severity", "loud"),
        ("profile_id", "one"),
        ("order", "sideways"),
    ] {
        let answer = app.get(&format!("{EVENTS}?{field}={value}"));
        assert_eq!(answer.status(), 422, "{field}={value}: {}", answer.text());
        assert!(faulty_fields(&answer.expect_problem(422)).contains(&field), "{field}={value}: {}", answer.text());
    }
    let problem = app.get(&format!("{EVENTS}?limit=0&order=up&severity=loud")).expect_problem(422);
    assert_eq!(faulty_fields(&problem).len(), 3, "all faults at once: {problem}");
    assert_eq!(app.get(&format!("{EVENTS}?colour=red")).status(), 200, "unknown parameters are ignored");
}

#[test]
fn delete_empties_the_ring_and_the_journal_stays() {
    let app = spawn_app(&[]);
    app.publish_many(&ticks(0..20));
    let all = app.all_ids("");
    let answer = app.connect().exchange("DELETE", EVENTS, &[], b"").unwrap();
    assert!(matches!(answer.status(), 200 | 204), "{}", answer.status());
    let stats = app.stats();
    assert_eq!((&stats["total_events"], &stats["published_total"]), (&json!(0), &json!(20)), "{stats}");
    assert_eq!(app.all_ids(""), all);
    let next = app.publish(&tick(20));
    assert!(order(&next) > order(&all[19]));
    let mut stream = app.stream(&format!("since_id={}", all[4]));
    assert_eq!(stream.ids(16), [&all[5..], &[next]].concat(), "a client resumes over the emptied ring");
}

#[test]
fn events_survive_a_restart_with_their_ids() {
    let mut app = spawn_app(&[]);
    app.publish_many(&samples::events(3, 100));
    let before = app.all_events("");
    assert_eq!(app.terminate(), Some(0));
    app.restart();
    assert_eq!(app.all_events(""), before);
    let id = app.publish(&tick(0));
    assert!(order(&id) > order(before[99]["id"].as_str().unwrap()));
}
