//! Pages of other origins.

use crate::harness::{App, EVENTS, STREAM, spawn_app};
use crate::http::{JSON, Response};
use crate::samples::tick;

const FRIEND: &str = "http://localhost:3000";
const STRANGER: &str = "http://evil.example";

fn ask(app: &App, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Response {
    let headers = [headers, &[("Connection", "close")]].concat();
    app.connect().exchange(method, target, &headers, body).expect("an answer")
}

fn vary(answer: &Response) -> String {
    let all = answer.head.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("vary"));
    all.map(|(_, value)| value.to_ascii_lowercase()).collect::<Vec<_>>().join(", ")
}

fn granted(answer: &Response) -> Vec<&str> {
    answer.head.headers.iter().map(|(name, _)| name.as_str()).filter(|name| name.starts_with("access-control-")).collect()
}

#[test]
fn the_dashboards_of_the_default_configuration_may_read_and_publish() {
    let app = spawn_app(&[]);
    for origin in [FRIEND, "http://localhost:3001"] {
        let read = ask(&app, "GET", EVENTS, &[("Origin", origin)], b"");
        assert_eq!((read.status(), read.header("access-control-allow-origin")), (200, Some(origin)));
        assert!(read.header("access-control-expose-headers").is_some_and(|names| names.contains("retry-after")));
        assert!(vary(&read).contains("origin"), "{:?}", read.head);
        let event = tick(0).to_string();
        let posted = ask(&app, "POST", EVENTS, &[("Origin", origin), ("Content-Type", JSON)], event.as_bytes());
        assert_eq!((posted.status(), posted.header("access-control-allow-origin")), (201, Some(origin)));
    }
    assert_eq!(app.stats()["published_total"], 2);
}

#[test]
fn a_preflight_allows_resuming_and_authorization() {
    let app = spawn_app(&[]);
    for target in [EVENTS, STREAM, "/api/risk/limits", "/api/risk/kill-switch"] {
        let headers = [
            ("Origin", FRIEND),
            ("Access-Control-Request-Method", "POST"),
            ("Access-Control-Request-Headers", "last-event-id,authorization,content-type"),
        ];
        let answer = ask(&app, "OPTIONS", target, &headers, b"");
        assert_eq!((answer.status(), answer.header("access-control-allow-origin")), (204, Some(FRIEND)), "{target}");
        let allowed = answer.header("access-control-allow-headers").expect("headers").to_ascii_lowercase();
        for header in ["last-event-id", "authorization", "content-type"] {
            assert!(allowed.contains(header), "{header} in {allowed}");
        }
        let methods = answer.header("access-control-allow-methods").expect("methods");
        assert!(["GET", "POST", "DELETE"].iter().all(|method| methods.contains(method)), "{methods}");
        assert!(answer.header("access-control-max-age").is_some_and(|age| age.parse::<u32>().is_ok()));
    }
}

#[test]
fn a_stream_and_a_refusal_can_be_read_too() {
    let app = spawn_app(&[]);
    let stream = app.stream_with("", &[("Origin", FRIEND)]);
    assert_eq!(stream.head.header("access-control-allow-origin"), Some(FRIEND));
    for (target, status) in [("/api/telemetry/events?limit=0", 422), ("/nothing", 404)] {
        let refused = ask(&app, "GET", target, &[("Origin", FRIEND)], b"");
        refused.expect_problem(status);
        assert_eq!(refused.header("access-control-allow-origin"), Some(FRIEND), "{target}");
    }
}

#[test]
fn a_foreign_page_gets_no_permission_and_changes_nothing() {
    let app = spawn_app(&[]);
    for origin in [STRANGER, "null", "http://localhost:30000", "https://localhost:3000", "http://localhost:3000.evil.example"] {
        let read = ask(&app, "GET", EVENTS, &[("Origin", origin)], b"");
        assert!(granted(&read).is_empty() && vary(&read).contains("origin"), "{origin}: {:?}", read.head);
        let headers = [("Origin", origin), ("Access-Control-Request-Method", "POST")];
        let asked = ask(&app, "OPTIONS", "/api/risk/limits", &headers, b"");
        assert!(asked.status() >= 400 && granted(&asked).is_empty(), "{origin}: {:?}", asked.head);
        let limits = br#"{"max_daily_loss_rupees":1}"#;
        let changed = ask(&app, "POST", "/api/risk/limits", &[("Origin", origin), ("Content-Type", JSON)], limits);
        changed.expect_problem(403);
        // what a page may send without a preflight
        ask(&app, "POST", "/api/telemetry/engines/fno/stopped", &[("Origin", origin)], b"").expect_problem(403);
        ask(&app, "DELETE", EVENTS, &[("Origin", origin)], b"").expect_problem(403);
    }
    assert_eq!(app.get("/api/risk/limits").expect(200)["source"]["max_daily_loss_rupees"], "base");
    assert_eq!(app.stats()["published_total"], 0);
}

#[test]
fn the_own_pages_and_those_that_are_no_pages_need_no_permission() {
    let app = spawn_app(&[]);
    let own = format!("http://{}", app.address);
    let event = tick(0).to_string();
    for headers in [&[("Origin", own.as_str()), ("Content-Type", JSON)][..], &[("Content-Type", JSON)]] {
        let posted = ask(&app, "POST", EVENTS, headers, event.as_bytes());
        assert_eq!(posted.status(), 201);
        assert!(granted(&posted).is_empty());
    }
    assert_eq!(vary(&app.get("/health/live")), "accept-encoding");
}

#[test]
fn the_configuration_names_the_origins() {
    let app = spawn_app(&[("http.cors_origins", "[\"https://Desk.example/\"]")]);
    let read = ask(&app, "GET", EVENTS, &[("Origin", "https://desk.example")], b"");
    assert_eq!(read.header("access-control-allow-origin"), Some("https://desk.example"));
    assert!(granted(&ask(&app, "GET", EVENTS, &[("Origin", FRIEND)], b"")).is_empty());
    let app = spawn_app(&[("http.cors_origins", "[]")]);
    assert!(granted(&ask(&app, "GET", EVENTS, &[("Origin", FRIEND)], b"")).is_empty());
}
