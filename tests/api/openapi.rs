//! The API described by itself, against what the service answers.

use serde_json::{Value, json};

use crate::harness::{App, EVENTS, spawn_app};
use crate::http::{JSON, Response};
use crate::{ledger, samples};

fn document(app: &App) -> Value {
    app.get("/openapi.json").expect(200)
}

/// Everything about `value` that `schema` does not say; a field that is not described counts.
fn faults(document: &Value, schema: &Value, value: &Value, path: &str, found: &mut Vec<String>) {
    if let Some(reference) = schema["$ref"].as_str() {
        let target = document.pointer(reference.trim_start_matches('#')).expect("a reference that leads somewhere");
        return faults(document, target, value, path, found);
    }
    for key in ["oneOf", "anyOf"] {
        if let Some(choices) = schema[key].as_array() {
            let fits = |choice: &Value| {
                let mut inner = Vec::new();
                faults(document, choice, value, path, &mut inner);
                inner.is_empty()
            };
            if !choices.iter().any(fits) {
                found.push(format!("{path}: none of the choices fits {value}"));
            }
            return;
        }
    }
    let schema = &flattened(document, schema);
    let types = match &schema["type"] {
        Value::Array(types) => types.clone(),
        Value::Null => return,
        one => vec![one.clone()],
    };
    let is = |kind: &str| match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "null" => value.is_null(),
        other => panic!("type {other}"),
    };
    if !types.iter().any(|kind| is(kind.as_str().expect("a type"))) {
        found.push(format!("{path}: {value} is no {types:?}"));
    }
    if schema["enum"].as_array().is_some_and(|words| !words.contains(value)) {
        found.push(format!("{path}: {value} is no word of {}", schema["enum"]));
    }
    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
        faults(document, &schema["items"], item, &format!("{path}[{index}]"), found);
    }
    let Some(fields) = value.as_object() else { return };
    for name in schema["required"].as_array().into_iter().flatten() {
        if !fields.contains_key(name.as_str().expect("a name")) {
            found.push(format!("{path}: no {name}"));
        }
    }
    let is_open = schema["properties"].is_null() && schema["additionalProperties"].is_null();
    for (name, field) in fields {
        let described =
            if schema["properties"][name].is_null() { &schema["additionalProperties"] } else { &schema["properties"][name] };
        match described {
            Value::Object(_) => faults(document, described, field, &format!("{path}.{name}"), found),
            _ if is_open => {}
            _ => found.push(format!("{path}.{name} is not described")),
        }
    }
}

/// The parts of an `allOf` as one schema.
fn flattened(document: &Value, schema: &Value) -> Value {
    let Some(parts) = schema["allOf"].as_array() else { return schema.clone() };
    let (mut properties, mut required) = (serde_json::Map::new(), Vec::new());
    for part in parts {
        let part = match part["$ref"].as_str() {
            Some(reference) => document.pointer(reference.trim_start_matches('#')).expect("a reference that leads somewhere"),
            None => part,
        };
        properties.extend(part["properties"].as_object().cloned().unwrap_or_default());
        required.extend(part["required"].as_array().cloned().unwrap_or_default());
    }
    json!({"type": "object", "properties": properties, "required": required})
}

#[track_caller]
fn assert_described(document: &Value, method: &str, path: &str, answer: &Response) {
    let mut described = &document["paths"][path][method]["responses"][answer.status().to_string()];
    assert!(!described.is_null(), "{method} {path}: {} is not described", answer.status());
    if let Some(reference) = described["$ref"].as_str() {
        described = document.pointer(reference.trim_start_matches('#')).expect("a shared answer");
    }
    let kind = answer.header("content-type").unwrap_or_default().split(';').next().unwrap_or_default().to_owned();
    let schema = &described["content"][&kind]["schema"];
    assert!(!schema.is_null(), "{method} {path}: {kind} of {} is not described", answer.status());
    let mut found = Vec::new();
    faults(document, schema, &answer.json(), "", &mut found);
    assert!(found.is_empty(), "{method} {path}: {found:#?}");
}

#[test]
fn every_answer_is_as_it_is_described_field_by_field() {
    let app = spawn_app(&[]);
    let document = document(&app);
    app.health();
    app.publish_many(&samples::events(1, 300));
    app.post("/api/telemetry/engines/fno/heartbeat", JSON, br#"{"status":"running","loop_tick":1}"#).expect(201);
    app.post("/api/benchmarks", JSON, br#"{"nifty":24301.3,"finnifty":null}"#).expect(201);
    app.post("/api/risk/limits", JSON, br#"{"max_loss_streak":3}"#).expect(200);
    app.post("/api/risk/kill-switch", JSON, br#"{"state":"reducing","reason":"a drill"}"#).expect(200);
    std::fs::create_dir_all(app.artifacts().join("logs")).unwrap();
    std::fs::write(app.artifacts().join("logs/fno.log"), "2025-11-18 13:25:41 [INFO] fno - up\n").unwrap();
    let paths = document["paths"].as_object().unwrap();
    let asked = paths.iter().filter(|(path, item)| item["get"].is_object() && !path.contains("/stream") && !path.contains('{'));
    let mut count = 0;
    for (path, item) in asked.filter(|(_, item)| item["get"]["responses"]["200"]["content"]["application/json"].is_object()) {
        let query = if item["get"]["operationId"] == "read_engine_log" { "?engine=fno" } else { "" };
        let answer = app.get(&format!("{path}{query}"));
        assert_eq!(answer.status(), 200, "{path}: {}", answer.text());
        assert_described(&document, "get", path, &answer);
        count += 1;
    }
    assert!(count >= 15, "{count}");
    let posts = [
        (EVENTS, r#"{"type":"a","payload":{}}"#),
        (EVENTS, r#"[{"type":"a","payload":{}}]"#),
        (EVENTS, r#"[{"type":"a","payload":{}},{"type":"a"}]"#),
        (EVENTS, r#"[{"type":"a"}]"#),
        (EVENTS, r#"{"type":"a"}"#),
        (EVENTS, "{"),
        ("/api/benchmarks", r#"[{"nifty":1}]"#),
        ("/api/benchmarks", r#"[{"nifty":"x"}]"#),
        ("/api/risk/limits", r#"{"max_loss_streak":null}"#),
        ("/api/risk/limits", r#"{"max_loss_streak":-1}"#),
        ("/api/risk/kill-switch", r#"{"state":"active","reason":"done"}"#),
        ("/api/risk/kill-switch", r#"{"state":"off"}"#),
    ];
    for (path, body) in posts {
        assert_described(&document, "post", path, &app.post(path, JSON, body.as_bytes()));
        assert_described(&document, "post", path, &app.post(path, "text/plain", body.as_bytes()));
    }
    for (action, name, status) in
        [("heartbeat", "fno", 201), ("stopped", "fno", 201), ("stopped", "nobody", 404), ("heartbeat", "a.b", 400)]
    {
        let answer = app.post(&format!("/api/telemetry/engines/{name}/{action}"), JSON, b"{}");
        assert_eq!(answer.status(), status);
        assert_described(&document, "post", &format!("/api/telemetry/engines/{{name}}/{action}"), &answer);
    }
}

/// What trade analytics are made of, of 2025-11-18 and profile 1; of each kind also one with as little as there may be.
fn trading() -> Vec<Value> {
    let event = |kind: &str, payload: Value| json!({"type": kind, "profile_id": 1, "source": "fno", "timestamp": "2025-11-18T07:00:00Z", "payload": payload});
    let order = |id: &str, more: Value| {
        let mut payload = json!({"order_id": id, "symbol": "SPY", "side": "BUY", "status": "filled"});
        payload.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        event("order_event", payload)
    };
    let mut events = ledger::five();
    events.extend([
        ledger::snapshot(1, 10_000.0, "2025-11-17T20:00:00Z"),
        ledger::snapshot(1, 9_000.5, "2025-11-18T05:00:00Z"),
        order("1", json!({"order_type": "LIMIT", "api_latency_ms": 12.5})),
        order("1", json!({"order_type": "MARKET"})),
        order("2", json!({})),
        event("api_latency", json!({"script_name": "monitor", "latency_ms": 7})),
        event(
            "system_health",
            json!({"script_name": "monitor", "status": "healthy", "api_rate_limit_remaining": 180,
            "api_rate_limit_limit": 200, "api_error_count": 2, "cpu_usage_pct": 12.5, "memory_usage_mb": 0.1, "error_count": 3,
            "warning_count": 1}),
        ),
        event("system_health", json!({"script_name": "other", "status": "error"})),
    ]);
    events
}

#[test]
fn trade_analytics_are_answered_as_they_are_described_with_data_and_without() {
    let app = spawn_app(ledger::UTC);
    let document = document(&app);
    let paths: Vec<&String> =
        document["paths"].as_object().unwrap().keys().filter(|path| path.contains("{profile_id}")).collect();
    assert_eq!(paths.len(), 6, "{paths:?}");
    let hold = |query: &str, status: u16| {
        for path in &paths {
            let answer = app.get(&format!("{}{query}", path.replace("{profile_id}", "1")));
            assert_eq!(answer.status(), status, "{path}{query}: {}", answer.text());
            assert_described(&document, "get", path, &answer);
            // all fields are told, also those that nothing is known of
            let schema = &document["paths"][*path]["get"]["responses"]["200"]["content"][JSON]["schema"];
            let reference = schema["$ref"].as_str().or_else(|| schema["items"]["$ref"].as_str()).expect("a named schema");
            let named = document.pointer(reference.trim_start_matches('#')).expect("a schema");
            assert_eq!(
                named["required"].as_array().map(Vec::len),
                named["properties"].as_object().map(|each| each.len()),
                "{path}"
            );
        }
    };
    hold("", 200);
    app.publish_many(&trading());
    hold("?as_of=2025-11-18", 200);
    hold("?as_of=2025-11-16", 200);
    hold("", 200);
    hold("?as_of=tomorrow", 422);
    for path in &paths {
        let refused = app.get(&path.replace("{profile_id}", "one"));
        assert_eq!(refused.status(), 400, "{path}");
        assert_described(&document, "get", path, &refused);
    }
    for listed in ["trades/1?as_of=2025-11-18", "metrics/system/1?as_of=2025-11-18"] {
        assert!(ledger::get(&app, listed).as_array().is_some_and(|items| items.len() >= 2), "{listed}");
    }
}

#[test]
fn metrics_are_taken_and_told_as_they_are_described() {
    const METRICS: &str = "/api/metrics";
    let app = spawn_app(&[("metrics.max_series", "2")]);
    let document = document(&app);
    let body = &document["paths"][METRICS]["post"]["requestBody"]["content"][JSON]["schema"];
    assert_described(&document, "get", METRICS, &app.get(METRICS));
    let crowd = ["a", "b", "c"].map(|side| json!({"name": "full", "kind": "gauge", "value": 1, "labels": {"side": side}}));
    let good = [
        json!({"name": "orders", "kind": "counter", "value": 1, "labels": {"side": "BUY"}, "help": "Orders sent", "buckets": []}),
        json!({"name": "margin", "kind": "gauge", "value": -2.5, "op": "dec", "labels": null, "help": null}),
        json!({"metrics": [
            {"name": "took_seconds", "kind": "histogram", "value": 0.21, "buckets": [0.1, 0.5, 1]},
            {"name": "took_seconds", "kind": "histogram", "value": 7},
        ]}),
        json!({"metrics": crowd}),
    ];
    for metrics in good {
        let mut found = Vec::new();
        faults(&document, body, &metrics, "", &mut found);
        assert!(found.is_empty(), "{found:#?}");
        let answer = app.post(METRICS, JSON, metrics.to_string().as_bytes());
        assert_eq!(answer.status(), 200, "{}", answer.text());
        assert_described(&document, "post", METRICS, &answer);
    }
    let listing = app.get(METRICS);
    assert_described(&document, "get", METRICS, &listing);
    for name in ["orders", "margin", "took_seconds", "full"] {
        assert!(listing.text().contains(name), "{name} in {}", listing.text());
    }
    assert_described(&document, "get", METRICS, &app.get("/api/metrics?name=nothing"));
    let bad = [
        ("{", 400),
        ("7", 422),
        (r#"{"metrics":[]}"#, 400),
        (r#"{"metrics":[{"name":"a b","kind":"gauge"},{"name":"orders","kind":"gauge","value":1}]}"#, 422),
        (r#"{"name":"orders","kind":"counter","value":-1}"#, 422),
        (r#"{"name":"full","kind":"gauge","value":1,"labels":{"side":"d"}}"#, 422),
    ];
    for (text, status) in bad {
        let answer = app.post(METRICS, JSON, text.as_bytes());
        assert_eq!(answer.status(), status, "{text}: {}", answer.text());
        assert_described(&document, "post", METRICS, &answer);
    }
    let refused = app.post(METRICS, "text/plain", b"{}");
    assert_eq!(refused.status(), 415);
    assert_described(&document, "post", METRICS, &refused);
}

#[test]
fn the_document_is_the_one_in_the_repository_and_has_a_tag() {
    let app = spawn_app(&[]);
    let answer = app.get("/openapi.json");
    assert_eq!(answer.header("content-type"), Some(JSON));
    assert!(answer.text() == include_str!("../../docs/openapi.json"), "run `just openapi`");
    let tag = answer.header("etag").expect("a tag").to_owned();
    let headers = [("If-None-Match", tag.as_str()), ("Connection", "close")];
    let again = app.connect().exchange("GET", "/openapi.json", &headers, b"").unwrap();
    assert_eq!((again.status(), again.body.len(), again.header("etag")), (304, 0, Some(tag.as_str())));
}

#[test]
fn both_pages_and_all_that_they_load_come_from_the_service() {
    let app = spawn_app(&[]);
    for target in ["/docs", "/redoc"] {
        let page = app.get(target);
        assert_eq!(page.status(), 200);
        assert!(page.header("content-type").is_some_and(|kind| kind.starts_with("text/html")));
        let policy = page.header("content-security-policy").expect("a policy");
        assert!(policy.contains("default-src 'none'") && policy.contains("script-src 'self';"), "{policy}");
        assert!(!page.text().contains("http://") && !page.text().contains("https://"), "{}", page.text());
        for link in page.text().split('"').filter(|text| text.starts_with("/docs/assets/")) {
            let plain = app.get(link);
            let headers = [("Accept-Encoding", "gzip"), ("Connection", "close")];
            let packed = app.connect().exchange("GET", link, &headers, b"").unwrap();
            assert_eq!((plain.status(), packed.status(), plain.header("content-encoding")), (200, 200, None), "{link}");
            assert!(plain.body.len() >= packed.body.len() && !packed.body.is_empty(), "{link}");
        }
    }
    app.get("/docs/assets/nothing.js").expect_problem(404);
    app.get("/docs/assets/..%2f..%2fCargo.toml").expect_problem(404);
}
