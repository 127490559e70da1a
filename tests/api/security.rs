//! Safe by default: hosts of requests, content types, and refusals that give nothing away.

use crate::harness::{App, EVENTS, STREAM, spawn_app};
use crate::http::{Connection, JSON, Response};
use crate::samples::tick;

/// A request as a browser makes it on behalf of a page.
fn from_browser(app: &App, method: &str, target: &str, host: &str) -> Response {
    let origin = format!("http://{host}");
    let headers = [
        ("Host", host),
        ("Origin", origin.as_str()),
        ("Sec-Fetch-Site", "same-origin"),
        ("Sec-Fetch-Mode", "cors"),
        ("User-Agent", "Mozilla/5.0"),
        ("Content-Type", JSON),
        ("Connection", "close"),
    ];
    let body = if method == "POST" { tick(0).to_string() } else { String::new() };
    app.connect().exchange(method, target, &headers, body.as_bytes()).expect("an answer")
}

#[test]
fn a_foreign_host_is_refused_on_every_route() {
    let app = spawn_app(&[]);
    let port = app.address.port();
    for host in [
        "evil.example".to_owned(),
        format!("evil.example:{port}"),
        format!("localhost.evil.example:{port}"),
        format!("127.0.0.1.evil.example:{port}"),
        format!("localhost@evil.example:{port}"),
        format!("evil.example#localhost:{port}"),
    ] {
        for (method, target) in [
            ("GET", EVENTS),
            ("POST", EVENTS),
            ("DELETE", EVENTS),
            ("GET", STREAM),
            ("GET", "/health"),
            ("GET", "/api/telemetry/stats"),
            ("GET", "/api/telemetry/aggregates"),
            ("GET", "/nothing/here"),
        ] {
            let answer = from_browser(&app, method, target, &host);
            assert!(matches!(answer.status(), 400 | 403), "{} for {method} {target} at {host}", answer.status());
            answer.expect_problem(answer.status());
        }
    }
    assert_eq!(app.stats()["published_total"], 0);
}

#[test]
fn the_loopback_names_are_good_hosts() {
    let app = spawn_app(&[]);
    let port = app.address.port();
    for host in ["localhost", "LOCALHOST", "127.0.0.1", "[::1]"] {
        for host in [host.to_owned(), format!("{host}:{port}"), format!("{host}:9")] {
            assert_eq!(from_browser(&app, "GET", EVENTS, &host).status(), 200, "{host}");
        }
    }
    assert_eq!(from_browser(&app, "POST", EVENTS, &format!("localhost:{port}")).status(), 201);
}

#[test]
fn the_config_names_more_hosts() {
    let app = spawn_app(&[("http.allowed_hosts", "[\"plimsoll.desk.example\"]")]);
    assert_eq!(from_browser(&app, "GET", EVENTS, "plimsoll.desk.example").status(), 200);
    assert_eq!(from_browser(&app, "GET", EVENTS, "other.desk.example").status(), 403);
    assert_eq!(from_browser(&app, "GET", EVENTS, "localhost").status(), 200);
}

#[test]
fn a_request_needs_exactly_one_host() {
    let app = spawn_app(&[]);
    for (request, name) in [
        (format!("GET {EVENTS} HTTP/1.1\r\n\r\n"), "none"),
        (format!("GET {EVENTS} HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n"), "two"),
        (format!("GET {EVENTS} HTTP/1.1\r\nHost: evil.example\r\nHost: localhost\r\n\r\n"), "two"),
    ] {
        let mut connection = app.connect();
        connection.send(request.as_bytes()).unwrap();
        let status = connection.response().unwrap().status();
        assert!(matches!(status, 400 | 403), "{status} with {name}");
    }
}

#[test]
fn a_host_in_the_request_target_is_the_one_that_counts() {
    let app = spawn_app(&[]);
    for (target, host, status) in [
        ("http://evil.example", "localhost", 403),
        ("http://localhost", "localhost", 200),
        ("http://localhost", "evil.example", 403),
    ] {
        let mut connection = app.connect();
        connection.send(format!("GET {target}{EVENTS} HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes()).unwrap();
        assert_eq!(connection.response().unwrap().status(), status, "{target} with Host: {host}");
    }
}

#[test]
fn a_form_of_a_foreign_page_cannot_publish() {
    let app = spawn_app(&[]);
    for kind in
        ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain; application/json"]
    {
        app.post(EVENTS, kind, tick(0).to_string().as_bytes()).expect_problem(415);
    }
    assert_eq!(app.stats()["published_total"], 0);
}

#[test]
fn no_foreign_page_may_read_an_answer() {
    let app = spawn_app(&[]);
    let headers = [("Origin", "http://evil.example"), ("Connection", "close")];
    for target in [EVENTS, STREAM, "/api/telemetry/stats", "/health"] {
        let mut connection = app.connect();
        connection.request("GET", target, &headers, b"").unwrap();
        let (head, _) = connection.head().unwrap();
        let allowed = head.header("access-control-allow-origin");
        assert!(allowed != Some("*") && allowed != Some("http://evil.example"), "{target} is open to {allowed:?}");
    }
}

#[test]
fn what_does_not_exist_is_a_problem_in_json() {
    let app = spawn_app(&[]);
    for target in
        ["/nothing", "/api", "/api/telemetry", "/api/telemetry/events/1", "/health/", "//", "/..%2f..%2fetc/passwd", "/%00"]
    {
        let answer = app.get(target);
        let problem = answer.expect_problem(404);
        assert!(!problem.to_string().contains("/work") && !problem.to_string().contains("src/"), "{problem}");
    }
}

#[test]
fn a_wrong_method_is_a_problem_that_names_the_right_ones() {
    let app = spawn_app(&[]);
    for (target, wrong, right) in [
        (EVENTS, "PUT", &["GET", "POST", "DELETE"][..]),
        (EVENTS, "PATCH", &["GET", "POST", "DELETE"]),
        (STREAM, "POST", &["GET"]),
        (STREAM, "DELETE", &["GET"]),
        ("/api/telemetry/stats", "POST", &["GET"]),
        ("/api/telemetry/aggregates", "DELETE", &["GET"]),
        ("/health", "POST", &["GET"]),
        ("/health/live", "PUT", &["GET"]),
        ("/health/ready", "DELETE", &["GET"]),
    ] {
        let answer = app.connect().exchange(wrong, target, &[("Content-Type", JSON)], b"{}").unwrap();
        answer.expect_problem(405);
        let allow = answer.header("allow").unwrap_or_else(|| panic!("no Allow for {wrong} {target}"));
        let named: Vec<_> = allow.split(',').map(str::trim).collect();
        assert!(right.iter().all(|method| named.contains(method)), "{allow} for {target}");
        assert!(!named.contains(&wrong), "{allow} for {wrong} {target}");
    }
}

#[test]
fn refusals_do_not_echo_what_could_be_markup_or_a_header() {
    let app = spawn_app(&[]);
    let answer = app.get(&format!("{EVENTS}?limit=%0d%0aSet-Cookie:%20a=b&order=%3Cscript%3E"));
    answer.expect_problem(422);
    assert_eq!(answer.header("set-cookie"), None);
    let mut connection = Connection::open(app.address).unwrap();
    let answer = connection.exchange("GET", "/%3Cscript%3E", &[], b"").unwrap();
    assert!(answer.header("content-type").unwrap().contains("json"));
}
