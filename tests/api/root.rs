//! `GET /`.

use serde_json::json;

use crate::harness::{App, spawn_app};
use crate::http::{JSON, Response};

const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8";

fn ask(app: &App, method: &str, accept: &str) -> Response {
    app.connect().exchange(method, "/", &[("Accept", accept), ("Connection", "close")], b"").expect("an answer")
}

#[test]
fn programs_get_the_name_the_version_and_where_the_api_is_described() {
    let app = spawn_app(&[]);
    let expected = json!({"service": "plimsoll", "version": env!("CARGO_PKG_VERSION"), "docs": "/docs"});
    for accept in ["*/*", JSON, "text/html;q=0.1, application/json"] {
        assert_eq!(ask(&app, "GET", accept).expect(200), expected, "{accept}");
    }
    let answer = app.get("/");
    assert_eq!(answer.expect(200), expected);
    let vary: Vec<_> = answer.head.headers.iter().filter(|(name, _)| name == "vary").map(|(_, value)| value.as_str()).collect();
    assert!(vary.contains(&"Accept"), "{vary:?}");
}

#[test]
fn browsers_get_a_page_with_the_state_and_links_that_loads_nothing_from_elsewhere() {
    let app = spawn_app(&[]);
    app.health();
    let answer = ask(&app, "GET", BROWSER);
    assert_eq!(answer.status(), 200);
    assert!(answer.header("content-type").is_some_and(|kind| kind.starts_with("text/html")));
    let policy = answer.header("content-security-policy").expect("a policy");
    assert!(policy.starts_with("default-src 'none'") && !policy.contains("script-src"), "{policy}");
    let page = answer.text();
    for text in [
        "Plimsoll",
        env!("CARGO_PKG_VERSION"),
        "active",
        "href=\"/docs\"",
        "href=\"/redoc\"",
        "href=\"/health\"",
        "href=\"/metrics\"",
        "max daily loss",
    ] {
        assert!(page.contains(text), "{text} in {page}");
    }
    assert!(!page.contains("<script") && !page.contains("http://") && !page.contains("https://"), "{page}");
    for link in page.split(['"']).filter(|text| text.starts_with("/docs")) {
        assert_eq!(app.get(link).status(), 200, "{link}");
    }
}

#[test]
fn what_an_operator_wrote_is_no_markup_on_the_page() {
    let app = spawn_app(&[]);
    let order = json!({"state": "halted", "reason": "<script>alert('x')</script>", "actor": "<b>&\"me\"</b>"});
    app.post("/api/risk/kill-switch", JSON, order.to_string().as_bytes()).expect(200);
    let answer = ask(&app, "GET", BROWSER);
    assert!(answer.text().contains("halted") && answer.text().contains("&lt;script&gt;"), "{}", answer.text());
    assert!(!answer.text().contains("<script") && !answer.text().contains("<b>"), "{}", answer.text());
}

#[test]
fn head_is_answered_for_both_and_other_methods_are_refused() {
    let app = spawn_app(&[]);
    for accept in [BROWSER, JSON] {
        let mut connection = app.connect();
        connection.request("HEAD", "/", &[("Accept", accept), ("Connection", "close")], b"").unwrap();
        let (head, _) = connection.head().unwrap();
        assert_eq!(head.status, 200);
        assert!(head.header("content-length").is_some_and(|length| length != "0"), "{head:?}");
    }
    let refused = app.post("/", JSON, b"{}");
    refused.expect_problem(405);
    assert_eq!(refused.header("allow"), Some("GET, HEAD"));
}
