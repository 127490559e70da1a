//! The obvious alternative: axum with a broadcast channel, as its documentation puts them together.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Result;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::routing::{get, post};
use axum::serve::ListenerExt as _;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::sync::broadcast;
use tokio_stream::wrappers::BroadcastStream;
use tokio_stream::{Stream, StreamExt as _};

use crate::role::{end_with_parent, say_ready};
use crate::wire::{EVENTS, NDJSON, STREAM};

/// Events that a subscriber may lag behind; then it loses some.
const CAPACITY: usize = 8_192;

/// An event as subscribers get it.
#[derive(Debug, Clone)]
struct Message {
    id: Arc<str>,
    json: Arc<str>,
}

#[derive(Debug, Clone)]
struct App {
    sender: broadcast::Sender<Message>,
    next: Arc<AtomicU64>,
}

/// Serves until the parent is gone.
pub fn run() -> Result<()> {
    end_with_parent();
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(serve())
}

async fn serve() -> Result<()> {
    let app = App { sender: broadcast::channel(CAPACITY).0, next: Arc::default() };
    let routes = Router::new().route(EVENTS, post(publish)).route(STREAM, get(stream));
    let routes = routes.layer(DefaultBodyLimit::disable()).with_state(app);
    let socket = tokio::net::TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    let listener = socket.listen(4096)?;
    say_ready(listener.local_addr()?)?;
    // without it small events would wait for the acknowledgement of the ones before
    let listener = listener.tap_io(|socket| drop(socket.set_nodelay(true)));
    Ok(axum::serve(listener, routes).await?)
}

async fn publish(State(app): State<App>, headers: HeaderMap, body: Bytes) -> Result<(StatusCode, Json<Value>), StatusCode> {
    let is_ndjson = headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes() == NDJSON.as_bytes());
    let parse = |json: &[u8]| serde_json::from_slice::<Value>(json).map_err(|_| StatusCode::BAD_REQUEST);
    let events = if is_ndjson {
        let lines = body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines.map(parse).collect::<Result<Vec<_>, _>>()?
    } else {
        match parse(&body)? {
            Value::Array(events) => events,
            event => vec![event],
        }
    };
    let mut last = String::new();
    for mut event in events {
        let id = format!("{:013}-0", app.next.fetch_add(1, Ordering::Relaxed));
        if let Value::Object(fields) = &mut event {
            fields.insert("id".to_owned(), Value::from(id.as_str()));
        }
        // an error means that nobody listens
        drop(app.sender.send(Message { id: Arc::from(id.as_str()), json: Arc::from(event.to_string()) }));
        last = id;
    }
    Ok((StatusCode::CREATED, Json(json!({ "id": last, "duplicate": false }))))
}

async fn stream(State(app): State<App>) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    // one that lags goes on with what there still is
    let messages = BroadcastStream::new(app.sender.subscribe()).filter_map(Result::ok);
    let events = messages.map(|message| Ok(Event::default().id(message.id.as_ref()).data(message.json.as_ref())));
    Sse::new(events).keep_alive(KeepAlive::default())
}
