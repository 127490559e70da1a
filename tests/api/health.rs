//! `GET /health`, `/health/live`, `/health/ready`.

use serde_json::json;

use crate::harness::spawn_app;

#[test]
fn a_fresh_service_is_healthy_live_and_ready() {
    let app = spawn_app(&[]);
    let health = app.health();
    assert_eq!(health["status"], "ok", "{health}");
    assert_eq!(health["version"], env!("CARGO_PKG_VERSION"));
    assert!(health["uptime_seconds"].as_f64().is_some_and(|seconds| (0.0..60.0).contains(&seconds)), "{health}");
    assert_eq!(health["components"]["sse"]["clients"], 0, "{health}");
    assert!(!health["components"]["actors"].is_null(), "{health}");
    assert_eq!(app.get("/health/live").status(), 200);
    assert_eq!(app.get("/health/ready").status(), 200);
}

#[test]
fn a_service_that_was_used_is_still_healthy() {
    let app = spawn_app(&[]);
    let mut stream = app.stream("");
    stream.block();
    app.publish_many(&crate::samples::events(2, 200));
    stream.ids(200);
    let health = app.health();
    assert_eq!((&health["status"], &health["components"]["sse"]["clients"]), (&json!("ok"), &json!(1)), "{health}");
}
