//! `GET /api/telemetry/engine_logs`: the last records of an engine's log, or the log as it grows.

use std::path::{Path, PathBuf};
use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;
use utoipa::ToSchema;

use super::log_stream;
use crate::actors::admission::Admission;
use crate::actors::supervision::Panics;
use crate::config::Config;
use crate::domain::engine::EngineName;
use crate::domain::log::filter::LogFilter;
use crate::domain::log::line::Level;
use crate::http::answer::Answer;
use crate::http::openapi::errors;
use crate::http::openapi::params::LevelWord;
use crate::http::problem::Problem;
use crate::http::query::Params;
use crate::http::state::State;
use crate::storage::log_file::{LogError, LogPlace};
use crate::storage::log_follow::Start;
use crate::storage::log_mark::Mark;
use crate::storage::log_tail::{self, Tail, TailLimits};

/// Most records that may be asked for.
const MAX_LINES: usize = 5_000;

/// The logs of the engines.
#[derive(Debug)]
pub struct Logs {
    folder: PathBuf,
    /// The work of one question.
    limits: TailLimits,
    /// Logs that are read at once; others wait.
    pub reads: Admission,
    /// Followers there may be.
    pub followers: Admission,
    panics: Panics,
}

impl Logs {
    /// The logs in the folder of `config`.
    #[must_use]
    pub fn new(config: &Config, panics: Panics) -> Self {
        Self {
            folder: config.artifacts.join("logs"),
            limits: config.logs.limits,
            reads: Admission::new(config.logs.reads, config.logs.read_wait),
            followers: Admission::new(config.logs.max_followers, Duration::ZERO),
            panics,
        }
    }

    fn place(&self, engine: &EngineName, configured: Option<&Path>) -> LogPlace {
        LogPlace::new(engine.clone(), &self.folder, configured)
    }

    /// Runs `work`, which may wait for a disk, beside the HTTP workers.
    ///
    /// # Errors
    /// Too many wait already, or `work` failed.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(TailLimits) -> Result<T, LogError> + Send + 'static,
    ) -> Result<T, Problem> {
        let permit = self.reads.enter(1).await?;
        let (limits, panics) = (self.limits, self.panics.clone());
        let work = web::block(move || {
            let _permit = permit;
            panics.guard("engine_logs", || work(limits))
        });
        let Ok(Ok(outcome)) = work.await else { return Err(Problem::Internal) };
        Ok(outcome?)
    }
}

/// What is asked for.
#[derive(Debug)]
struct Question {
    engine: EngineName,
    lines: usize,
    filter: LogFilter,
    /// Where to begin, if it is to be followed.
    follow: Option<Start>,
}

/// The route.
///
/// # Errors
/// Faults of the query, an engine without a log, or a log that cannot be read.
#[utoipa::path(
    get,
    path = "/api/telemetry/engine_logs",
    operation_id = "read_engine_log",
    tag = "engines",
    summary = "The last records of an engine's log, or the log as it grows",
    description = "With `follow=true` the answer is an SSE stream that survives rotation: a block a record, `{\"line\": text}`; \
        what comes late for a record is `{\"line\": text, \"continued\": true}`; where records may be missing there is \
        `{\"type\":\"log_gap\",\"payload\":{\"reason\": \"rotated\"}}` (or `truncated`, `unknown_position`).",
    params(
        ("engine" = String, Query, pattern = "^[A-Za-z0-9_-]{1,64}$", description = "The engine", example = "fno"),
        ("lines" = Option<u32>, Query, minimum = 1, maximum = 5000, description = "Most records; 100 unless given"),
        ("level" = inline(Option<LevelWord>), Query, description = "At least this level"),
        ("q" = Option<String>, Query, description = "Text that a record must hold"),
        ("follow" = Option<bool>, Query, description = "Whether to go on as the log grows"),
        ("last_event_id" = Option<String>, Query, description = "Resume a followed log after this position"),
        ("Last-Event-ID" = Option<String>, Header, description = "The same; an EventSource sends it by itself"),
    ),
    responses(
        (status = 200, description = "The records", content(
            (Body<'_> = "application/json"),
            (String = "text/event-stream", example = "retry: 2917\nid: 1-2049-917-0\n\nid: 1-2049-917-58\ndata: {\"line\":\"2025-11-18 13:25:41 [INFO] fno - cycle 17 done\"}\n\n"),
        )),
        errors::Missing,
        errors::Query,
        errors::Unavailable,
    )
)]
pub async fn engine_logs(request: HttpRequest, state: web::Data<State>) -> Result<HttpResponse, Problem> {
    let Question { engine, lines, filter, follow } = read(&request)?;
    let place = state.logs.place(&engine, configured(&state.config, &engine));
    if let Some(start) = follow {
        return log_stream::open(&request, state, place, filter, start).await;
    }
    let (name, tail) = state
        .logs
        .run(move |limits| {
            let log = place.open()?;
            let name = log.name.to_string_lossy().into_owned();
            Ok((name, log_tail::tail(&log.file, lines, &filter, limits)?))
        })
        .await?;
    answer(engine.as_str(), &name, tail, &state)
}

/// The file that the configuration names as the log of `engine`.
fn configured<'a>(config: &'a Config, engine: &EngineName) -> Option<&'a Path> {
    config.engines.by_name.get(engine.as_str())?.log.as_deref()
}

/// The last records of a log.
#[derive(Serialize, ToSchema)]
#[schema(as = EngineLog, example = json!({
    "engine": "fno", "file": "fno_paper.log", "lines": ["2025-11-18 13:25:41 [INFO] fno - cycle 17 done"],
    "scanned_bytes": 8192, "truncated": false
}))]
struct Body<'a> {
    engine: &'a str,
    /// The name of the file.
    file: &'a str,
    /// Records, newest last; one may have several lines.
    lines: &'a [String],
    /// Bytes that were searched.
    scanned_bytes: u64,
    /// Whether the search was ended by a limit, not by the log's front or by having enough.
    truncated: bool,
}

fn answer(engine: &str, file: &str, tail: Tail, state: &State) -> Result<HttpResponse, Problem> {
    let body = Body { engine, file, lines: &tail.records, scanned_bytes: tail.scanned, truncated: tail.limited };
    let size = 256 + tail.records.iter().map(|record| record.len() + record.len() / 8 + 8).sum::<usize>();
    let answer = Answer::new(size, &state.answer_memory, |out| {
        // texts and numbers always have a JSON form
        let _ = serde_json::to_writer(out, &body);
    })?;
    Ok(HttpResponse::Ok().content_type("application/json").body(answer))
}

fn read(request: &HttpRequest) -> Result<Question, Problem> {
    let mut params = Params::of(request)?;
    // a name that could be a path is not looked at any further
    let malformed = |fault| Problem::Malformed(format!("engine {fault}"));
    let engine = params.text("engine").map(EngineName::parse).transpose().map_err(malformed)?;
    let filter = LogFilter {
        at_least: params.parsed::<Level>("level", "must be trace, debug, info, warning, error or critical"),
        text: params.text("q").map(str::to_owned),
    };
    let lines = params.number("lines", 1..=MAX_LINES).unwrap_or(100);
    let header = request.headers().get("Last-Event-ID").map(|value| value.to_str().unwrap_or("?").trim());
    // a position that is not one of ours is no reason to refuse a browser, which would give up for ever
    let start = match header.filter(|text| !text.is_empty()).or_else(|| params.text("last_event_id")) {
        Some(position) => position.parse::<Mark>().map_or(Start::Lost(lines), |mark| Start::After(mark, MAX_LINES)),
        None => Start::Last(lines),
    };
    let follow = params.flag("follow").then_some(start);
    let Some(engine) = engine else {
        params.fault("engine", "is required");
        return Err(params.finish().err().unwrap_or(Problem::Internal));
    };
    params.finish().map(|()| Question { engine, lines, filter, follow })
}

impl From<LogError> for Problem {
    fn from(error: LogError) -> Self {
        match error {
            LogError::None => Self::Missing(format!("{error}; one is artifacts/logs/NAME*.log, or what the configuration names")),
            LogError::Io(error) => {
                tracing::error!(%error, "a log cannot be read");
                Self::Unavailable { detail: "the log cannot be read".into(), retry_after: 5 }
            }
        }
    }
}
