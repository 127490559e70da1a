//! The SSE stream of a log as it grows: one block a record, `{"line": text}`, where the text may have several lines.
//!
//! A record is sent when nothing was added to it for a moment. What comes later is a block of its own that goes on with the
//! record, `{"line": text, "continued": true}`; with a filter it is sent if the record is one that is asked for, and a record
//! that becomes one is sent whole. Where records may be missing there is a block
//! `{"type":"log_gap","payload":{"reason": text}}`; the reason is `rotated`, `truncated` or `unknown_position`.
//!
//! A task reads the log and hands blocks to the response through a channel of one. A response is not polled while its socket
//! takes nothing, so it is the task that judges the client, by what its socket has taken, and cuts it.

use std::convert::Infallible;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix_web::http::Method;
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use serde::Serialize;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::mpsc::{self, Sender};
use tokio::time::{Instant, sleep, timeout};

use crate::actors::sse_body::MOST_YIELDED;
use crate::actors::sse_session::Connection as _;
use crate::config::Sse;
use crate::domain::log::filter::LogFilter;
use crate::domain::sse;
use crate::http::connection::{Connections, Control, StreamLimits};
use crate::http::problem::Problem;
use crate::http::state::State;
use crate::storage::log_file::LogPlace;
use crate::storage::log_follow::{INTERVAL, LogFollower, News, Start, Step};

/// Opens the stream. A client that cannot be served is told when to come back, by a stream that ends at once.
///
/// # Errors
/// The engine has no log, or it cannot be read.
pub async fn open(
    request: &HttpRequest,
    state: web::Data<State>,
    place: LogPlace,
    filter: LogFilter,
    start: Start,
) -> Result<HttpResponse, Problem> {
    let linger = state.config.logs.linger;
    let follower = state.logs.run(move |limits| LogFollower::open(place, filter, start, limits, linger)).await?;
    let control = Connections::of(request).unwrap_or_default();
    let limits = &state.config.sse;
    control.limit(StreamLimits { send_buffer: limits.send_buffer, user_timeout: limits.stall_timeout });
    let (blocks, body) = mpsc::channel(1);
    let retry = retry(limits);
    match state.logs.followers.try_enter(1) {
        Ok(permit) if request.method() != Method::HEAD => {
            // who is still to be told of a gap keeps its position until then
            let id = if follower.is_lost() { String::new() } else { format!("id: {}\n", follower.mark()) };
            let head = format!("retry: {}\n{id}\n", retry.as_millis());
            let client = Client { blocks, control, limits: limits.clone(), sent_at: Instant::now() };
            actix_web::rt::spawn(serve(client, state.clone(), follower, head, permit));
        }
        _ => {
            control.released();
            // the channel has room for it
            let _ = blocks.try_send(Bytes::from(sse::farewell(retry)));
        }
    }
    let body = futures_util::stream::unfold(body, |mut body| async move {
        body.recv().await.map(|block| (Ok::<_, Infallible>(block), body))
    });
    Ok(super::stream::endless(request, body))
}

fn retry(limits: &Sse) -> Duration {
    let (least, most) = limits.retry;
    least + (most - least).mul_f64(fastrand::f64())
}

/// The other end of a response.
struct Client {
    blocks: Sender<Bytes>,
    control: Rc<Control>,
    limits: Sse,
    sent_at: Instant,
}

/// The client is gone.
struct Gone;

impl Client {
    /// Hands `bytes` over once there is room; a client whose socket takes nothing for `patience` is cut.
    async fn send(&mut self, bytes: Bytes, patience: Duration) -> Result<(), Gone> {
        let mut taken = self.control.taken();
        loop {
            match timeout(patience, self.blocks.reserve()).await {
                Ok(Ok(room)) => {
                    room.send(bytes);
                    self.sent_at = Instant::now();
                    return Ok(());
                }
                Ok(Err(_)) => return Err(Gone),
                Err(_) if self.control.taken() == taken => {
                    tracing::info!("cutting a log follower that takes nothing");
                    self.control.cut();
                    return Err(Gone);
                }
                Err(_) => taken = self.control.taken(),
            }
        }
    }

    /// Hands over what a step found, in pieces of bounded size.
    async fn send_news(&mut self, step: &Step) -> Result<(), Gone> {
        let (mut bytes, patience) = (Vec::new(), self.limits.stall_timeout);
        for news in &step.news {
            write_block(&mut bytes, news);
            if bytes.len() >= self.limits.chunk_bytes.min(MOST_YIELDED) {
                self.send(Bytes::from(std::mem::take(&mut bytes)), patience).await?;
            }
        }
        if bytes.is_empty() { Ok(()) } else { self.send(Bytes::from(bytes), patience).await }
    }
}

/// Writes the block of `news`. A gap does not move the client's position, so that whoever is cut in it is told again.
fn write_block(bytes: &mut Vec<u8>, news: &News) {
    #[derive(Serialize)]
    struct Line<'a> {
        line: &'a str,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        continued: bool,
    }
    match news {
        News::Record(record) => {
            bytes.extend_from_slice(format!("id: {}\ndata: ", record.mark).as_bytes());
            // text always has a JSON form, on one line
            let _ = serde_json::to_writer(&mut *bytes, &Line { line: &record.text, continued: record.continued });
        }
        News::Gap(gap) => {
            let reason = gap.as_str();
            bytes.extend_from_slice(format!("data: {{\"type\":\"log_gap\",\"payload\":{{\"reason\":\"{reason}\"}}}}").as_bytes());
        }
    }
    bytes.extend_from_slice(b"\n\n");
}

/// Serves one client until it is gone or the service stops.
async fn serve(mut client: Client, state: web::Data<State>, follower: LogFollower, head: String, permit: OwnedSemaphorePermit) {
    let _permit = permit;
    let farewell = Bytes::from(sse::farewell(retry(&client.limits)));
    let mut closing = pin!(Arc::clone(&state.closing).given());
    let gone = {
        let blocks = client.blocks.clone();
        async move { blocks.closed().await }
    };
    let ended = tokio::select! {
        biased;
        () = &mut closing => Ok(()),
        () = gone => Err(Gone),
        ended = follow(&mut client, &state, follower, head) => ended,
    };
    if ended.is_ok() {
        let grace = client.limits.close_grace;
        let _ = client.send(farewell, grace).await;
    }
    client.control.released();
}

/// Reads and sends; ends well when the log cannot be read any more.
async fn follow(client: &mut Client, state: &State, mut follower: LogFollower, head: String) -> Result<(), Gone> {
    client.send(Bytes::from(head), client.limits.stall_timeout).await?;
    loop {
        let read = state.logs.run(move |_| {
            let step = follower.step()?;
            Ok((follower, step))
        });
        let Ok((back, step)) = read.await else { return Ok(()) };
        follower = back;
        client.send_news(&step).await?;
        if step.more {
            continue;
        }
        if client.sent_at.elapsed() >= client.limits.heartbeat {
            let sign = format!(": heartbeat\nid: {}\n\n", follower.mark());
            client.send(Bytes::from(sign), client.limits.stall_timeout).await?;
        }
        let until_heartbeat = client.limits.heartbeat.saturating_sub(client.sent_at.elapsed());
        sleep(INTERVAL.min(until_heartbeat.max(Duration::from_millis(10)))).await;
    }
}
