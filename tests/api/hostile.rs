//! Hostile bodies: a clear error or a closed connection, flat memory, and a service that goes on.

use std::io::{ErrorKind, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;

use crate::harness::{App, EVENTS, spawn_app};
use crate::http::{JSON, NDJSON, Response};
use crate::ingest::faulty_fields;
use crate::samples::tick;

const GIB: usize = 1 << 30;
const MIB: usize = 1 << 20;

/// What an attacker got for a body.
#[derive(Debug)]
struct Outcome {
    /// None when the connection was closed without a word.
    answer: Option<Response>,
    /// How much the service let in.
    sent: usize,
    /// How far its resident memory grew on the way, in KiB.
    growth: u64,
}

/// Sends `head` and then `piece` again and again, `total` bytes in all, until the service answers or closes.
fn flood(app: &App, head: &str, prefix: &[u8], piece: &[u8], total: usize, chunked: bool) -> Outcome {
    app.publish(&tick(0));
    let before = app.memory();
    app.forget_peak();
    let mut connection = app.connect();
    let mut writer = connection.socket.try_clone().unwrap();
    writer.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
    let done = AtomicBool::new(false);
    let (answer, sent) = std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let answer = connection.within(Duration::from_secs(60)).response().ok();
            done.store(true, Ordering::Release);
            answer
        });
        let framed = |bytes: &[u8]| match chunked {
            true => [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat(),
            false => bytes.to_vec(),
        };
        let mut sent = 0;
        let mut next = [head.as_bytes(), &framed(prefix)].concat();
        let again = framed(piece);
        'sending: while !done.load(Ordering::Acquire) {
            let mut left = next.as_slice();
            while !left.is_empty() {
                match writer.write(left) {
                    Ok(count) => left = &left[count..],
                    Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                        if done.load(Ordering::Acquire) {
                            break 'sending;
                        }
                    }
                    Err(_) => break 'sending,
                }
            }
            sent += piece.len();
            if sent >= total {
                if chunked {
                    drop(writer.write_all(b"0\r\n\r\n"));
                }
                break;
            }
            next.clear();
            next.extend_from_slice(&again);
        }
        (reader.join().unwrap(), sent)
    });
    Outcome { answer, sent, growth: app.peak_memory().saturating_sub(before) }
}

fn post_head(kind: &str, framing: &str) -> String {
    format!("POST {EVENTS} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\n{framing}\r\n\r\n")
}

const CHUNKED: &str = "Transfer-Encoding: chunked";

#[test]
fn a_declared_body_of_a_gigabyte_is_refused_before_it_is_read() {
    let app = spawn_app(&[]);
    let head = post_head(JSON, &format!("Content-Length: {GIB}"));
    let outcome = flood(&app, &head, b"", &vec![b' '; MIB], GIB, false);
    outcome.answer.as_ref().expect("an answer").expect_problem(413);
    assert!(outcome.sent < 64 * MIB && outcome.growth < 32 * 1024, "{outcome:?}");
    app.assert_unhurt();
}

#[test]
fn a_chunked_body_of_a_gigabyte_is_refused_at_the_limit() {
    let app = spawn_app(&[]);
    let item = format!("{},", tick(1)).repeat(10_000);
    for (prefix, piece) in [(b" ".as_slice(), vec![b' '; MIB]), (b"[", item.into_bytes())] {
        let outcome = flood(&app, &post_head(JSON, CHUNKED), prefix, &piece, GIB, true);
        outcome.answer.as_ref().expect("an answer").expect_problem(413);
        assert!(outcome.sent < 128 * MIB && outcome.growth < 96 * 1024, "{outcome:?}");
    }
    app.assert_unhurt();
}

#[test]
fn ndjson_of_a_gigabyte_without_a_line_end_is_not_kept() {
    let app = spawn_app(&[]);
    let outcome = flood(&app, &post_head(NDJSON, CHUNKED), b"{\"type\":\"", &vec![b'x'; MIB], GIB, true);
    let answer = outcome.answer.as_ref().expect("an answer");
    assert!(matches!(answer.status(), 400 | 413), "{}", answer.text());
    answer.expect_problem(answer.status());
    assert!(outcome.growth < 16 * 1024, "{outcome:?}");
    app.assert_unhurt();
}

#[test]
fn millions_of_bad_lines_cost_neither_memory_nor_an_endless_answer() {
    let app = spawn_app(&[]);
    let outcome = flood(&app, &post_head(NDJSON, CHUNKED), b"x\n", &b"x\n".repeat(MIB / 2), 32 * MIB, true);
    let answer = outcome.answer.as_ref().expect("an answer");
    assert!((400..500).contains(&answer.status()), "{}", answer.status());
    assert!(answer.body.len() < 8 * MIB, "an answer of {} bytes", answer.body.len());
    assert!(outcome.growth < 64 * 1024, "{} KiB", outcome.growth);
    app.assert_unhurt();
}

#[test]
fn a_long_stream_of_good_ndjson_is_taken_with_flat_memory() {
    let app = spawn_app(&[("journal.durability", "os")]);
    let pad = "x".repeat(4000);
    let piece = format!("{}\n", json!({"type": "tick", "payload": {"pad": pad}})).repeat(256);
    let outcome = flood(&app, &post_head(NDJSON, CHUNKED), piece.as_bytes(), piece.as_bytes(), 192 * MIB, true);
    let answer = outcome.answer.as_ref().expect("an answer").expect(201);
    let sent = (outcome.sent / piece.len()) as u64 * 256;
    assert_eq!(answer["accepted"], sent);
    assert_eq!(app.stats()["published_total"], sent + 1);
    // the ring takes 20 MiB, the database's cache 32, and what was freed is given back within a second or two
    assert!(outcome.growth < 128 * 1024, "{} KiB for a stream of 192 MiB", outcome.growth);
}

#[test]
fn ndjson_beyond_its_limit_is_cut_off() {
    let app = spawn_app(&[("telemetry.max_ndjson_bytes", "4MiB"), ("journal.durability", "os")]);
    let piece = format!("{}\n", tick(1)).repeat(1000);
    let outcome = flood(&app, &post_head(NDJSON, CHUNKED), piece.as_bytes(), piece.as_bytes(), GIB, true);
    outcome.answer.as_ref().expect("an answer").expect_problem(413);
    assert!(outcome.sent < 64 * MIB, "{} bytes went in", outcome.sent);
    app.assert_unhurt();
}

#[test]
fn atomic_ndjson_without_end_is_refused_before_it_fills_the_memory() {
    let app = spawn_app(&[]);
    let head = post_head(NDJSON, CHUNKED).replace(EVENTS, &format!("{EVENTS}?atomic=true"));
    let piece = format!("{}\n", tick(1)).repeat(10_000);
    let outcome = flood(&app, &head, piece.as_bytes(), piece.as_bytes(), GIB, true);
    outcome.answer.as_ref().expect("an answer").expect_problem(413);
    assert!(outcome.growth < 96 * 1024, "{} KiB", outcome.growth);
    assert_eq!(app.stats()["published_total"], 1, "all or nothing");
    app.assert_unhurt();
}

#[test]
fn a_hundred_thousand_levels_of_nesting_are_refused() {
    let app = spawn_app(&[]);
    let (levels, within) = (100_000, r#"{"type":"tick","payload":{"a":"#);
    for body in [
        "[".repeat(levels),
        format!("{}{}", "[".repeat(levels), "]".repeat(levels)),
        "{\"a\":".repeat(levels / 4),
        format!("{within}{}{}}}}}", "[".repeat(levels), "]".repeat(levels)),
        format!("[{within}{}1{}}}}}]", "{\"a\":".repeat(levels / 4), "}".repeat(levels / 4)),
        format!("{within}{}1{}}}}}", "[".repeat(65), "]".repeat(65)),
    ] {
        for kind in [JSON, NDJSON] {
            let answer = app.post(EVENTS, kind, body.as_bytes());
            assert!(matches!(answer.status(), 400 | 413 | 422), "{}", answer.status());
            answer.expect_problem(answer.status());
        }
    }
    app.post_json(&format!("{within}{}1{}}}}}", "[".repeat(50), "]".repeat(50))).expect(201);
    app.assert_unhurt();
}

#[test]
fn invalid_utf_8_is_refused_wherever_it_stands() {
    let app = spawn_app(&[]);
    for bad in [&b"\xff"[..], b"\xc3\x28", b"\xed\xa0\x80", b"\xf8\x88\x80\x80\x80", b"\xc0\xaf", b"\xf0\x9f"] {
        for (before, after) in [
            (&b"{\"type\":\"tick\",\"payload\":{\"a\":\""[..], &b"\"}}"[..]),
            (b"{\"type\":\"tick\",\"payload\":{\"", b"\":1}}"),
            (b"{\"type\":\"tick\",\"source\":\"", b"\",\"payload\":{}}"),
            (b"", b"{\"type\":\"tick\",\"payload\":{}}"),
        ] {
            let body = [before, bad, after].concat();
            for kind in [JSON, NDJSON] {
                app.post(EVENTS, kind, &body).expect_problem(400);
            }
        }
    }
    let mut lines = b"{\"type\":\"tick\",\"payload\":{\"a\":\"\xff\"}}\n".to_vec();
    lines.extend_from_slice(tick(0).to_string().as_bytes());
    let body = app.post(EVENTS, NDJSON, &lines).expect(207);
    assert_eq!((&body["accepted"], &body["rejected"][0]["index"]), (&json!(1), &json!(0)), "{body}");
    app.assert_unhurt();
}

#[test]
fn numbers_that_are_not_finite_are_refused_wherever_they_arrive() {
    let app = spawn_app(&[]);
    for number in
        ["NaN", "Infinity", "-Infinity", "nan", "1e999", "-1e999", "1E+400", "123456789e400", "0x10", "1_000", "+1", ".5"]
    {
        for body in [
            format!(r#"{{"type":"tick","payload":{{"deep":[{{"n":{number}}}]}}}}"#),
            format!(r#"{{"type":"api_latency","payload":{{"script_name":"x","latency_ms":{number}}}}}"#),
            format!(r#"{{"type":"tick","profile_id":{number},"payload":{{}}}}"#),
        ] {
            for body in [body.clone(), format!("[{body}]")] {
                let answer = app.post_json(&body);
                assert!(matches!(answer.status(), 400 | 422), "{} for {body}", answer.status());
                answer.expect_problem(answer.status());
            }
            assert_eq!(app.ndjson(&format!("{body}\n{}\n", tick(0))).status(), 207, "{body}");
        }
    }
    app.post_json(r#"{"type":"tick","payload":{"n":1e308,"tiny":1e-999,"text":"NaN"}}"#).expect(201);
}

#[test]
fn duplicate_keys_of_the_envelope_are_refused() {
    let app = spawn_app(&[]);
    for body in [
        r#"{"type":"tick","type":"tock","payload":{}}"#,
        r#"{"type":"tick","payload":{"n":1},"payload":{"n":2}}"#,
        r#"{"type":"tick","payload":{},"event_id":"a","event_id":"b"}"#,
        r#"{"type":"tick","event_type":"tock","payload":{}}"#,
        r#"{"type":"tick","payload":{},"data":{}}"#,
        r#"{"type":"tick","\u0074ype":"tock","payload":{}}"#,
    ] {
        let answer = app.post_json(body);
        assert!(matches!(answer.status(), 400 | 422), "{} for {body}", answer.status());
        answer.expect_problem(answer.status());
    }
    assert_eq!(app.stats()["published_total"], 0);
}

#[test]
fn a_duplicate_key_of_a_payload_cannot_make_filter_and_reader_disagree() {
    let app = spawn_app(&[]);
    let answer = app.post_json(r#"{"type":"tick","payload":{"symbol":"NIFTY","symbol":"BANKNIFTY"}}"#);
    if answer.status() != 201 {
        answer.expect_problem(answer.status());
        return;
    }
    let read = app.events("")["events"][0]["payload"]["symbol"].as_str().unwrap().to_owned();
    assert_eq!(app.all_ids(&format!("symbol={read}")).len(), 1, "a JSON reader sees {read}");
}

#[test]
fn many_unknown_fields_are_refused_with_an_answer_of_bounded_size() {
    let app = spawn_app(&[]);
    let fields: String = (0..10_000).map(|number| format!(",\"field{number}\":1")).collect();
    let answer = app.post_json(&format!(r#"{{"type":"tick","payload":{{}}{fields}}}"#));
    let problem = answer.expect_problem(422);
    assert!(faulty_fields(&problem).contains(&"field0"), "{}", &answer.text()[..200]);
    assert!(answer.body.len() < MIB, "an answer of {} bytes", answer.body.len());
    app.assert_unhurt();
}
