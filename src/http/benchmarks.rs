//! `/api/benchmarks`: market indices, recorded and read.

use actix_web::{HttpRequest, HttpResponse, web};
use chrono::{Days, NaiveDate};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::answer::Answer;
use super::body::{Body, Form};
use super::openapi::errors;
use super::openapi::shapes::{Benchmark, NewBenchmark, NewBenchmarks};
use super::problem::{ItemFault, Problem};
use super::query::Params;
use super::state::State;
use crate::actors::benchmark_recorder::BenchmarkError;
use crate::domain::benchmark::Point;
use crate::domain::clock::Timestamp;
use crate::domain::envelope::say;
use crate::domain::fault::FieldFault;

/// Most points of one request.
const MAX_POINTS: usize = 10_000;
/// Its largest body, in bytes.
const MAX_BODY: usize = 2 << 20;
/// So many faults are listed.
const MAX_FAULTS: usize = 1_000;
/// A point may lie so far ahead of our clock, in microseconds: clocks differ.
const MAX_AHEAD: i64 = 86_400_000_000;
/// The points of one request may belong to so many trading days, since each has a file.
const MAX_DAYS: usize = 366;
/// When to try again while the disk or the queue is full, in seconds.
const RETRY: (u32, u32) = (1, 5);

/// What became of a post.
#[derive(Serialize, ToSchema)]
#[schema(as = RecordedBenchmarks, example = json!({"recorded": 1}))]
struct Recorded {
    /// Points that are on the disk.
    recorded: usize,
}

/// `GET /api/benchmarks`: the points of the `days` trading days that end with `as_of`, ascending.
///
/// # Errors
/// Faults of the query, or too much at once.
#[utoipa::path(
    get,
    path = "/api/benchmarks",
    operation_id = "list_benchmarks",
    tag = "benchmarks",
    summary = "The values of market indices",
    params(
        ("days" = Option<u32>, Query, minimum = 1, maximum = 365, description = "Trading days that end with `as_of`; 1 unless given"),
        ("as_of" = Option<String>, Query, format = Date, example = "2024-08-05", description = "The last trading day; today unless given"),
    ),
    responses((status = 200, description = "The points, ascending", body = Vec<Benchmark>), errors::Query, errors::Unavailable)
)]
pub async fn list(request: HttpRequest, state: web::Data<State>) -> Result<HttpResponse, Problem> {
    let mut params = Params::of(&request)?;
    let days = params.number("days", 1..=365).unwrap_or(1);
    let as_of = params.date("as_of").unwrap_or_else(|| state.session.date_of(state.clock.now()));
    params.finish()?;
    let first = as_of.checked_sub_days(Days::new(days as u64 - 1)).unwrap_or(NaiveDate::MIN);
    let next = as_of.succ_opt().unwrap_or(as_of);
    let points = state.benchmarks.read(state.session.start_of(first), state.session.start_of(next)).await?;
    let size = 2 + points.iter().map(|point| point.size() + 1).sum::<usize>();
    let answer = Answer::new(size, &state.answer_memory, |out| {
        out.push(b'[');
        for point in &points {
            if out.len() > 1 {
                out.push(b',');
            }
            point.write(out);
        }
        out.push(b']');
    })?;
    Ok(HttpResponse::Ok().content_type("application/json").body(answer))
}

/// `POST /api/benchmarks`: one point, an array, or one a line (NDJSON); all of them are recorded or none. Answered when they
/// are on the disk.
///
/// # Errors
/// See [`Problem`].
#[utoipa::path(
    post,
    path = "/api/benchmarks",
    operation_id = "record_benchmarks",
    tag = "benchmarks",
    summary = "Record values of market indices",
    description = "One point, an array, or one a line; all of them are recorded or none. Answered when they are on the disk.",
    request_body(description = "The points; of NDJSON one a line", content(
        (NewBenchmarks = "application/json"),
        (NewBenchmark = "application/x-ndjson"),
    )),
    responses((status = 201, description = "They are on the disk", body = Recorded), errors::Body)
)]
pub async fn record(request: HttpRequest, payload: web::Payload, state: web::Data<State>) -> Result<HttpResponse, Problem> {
    let form = Form::of(&request).map_err(|problem| problem.unread(&request))?;
    let body = Body::new(&request, payload, MAX_BODY as u64, state.config.http.body_timeout);
    let body = body.map_err(|problem| problem.unread(&request))?;
    let body = body.whole(MAX_BODY, &state.body_memory).await.map_err(|problem| problem.interrupting(None))?;
    let text = std::str::from_utf8(&body.bytes).map_err(|_| Problem::Malformed("the body is not UTF-8".into()))?;
    let points = parse(text.trim_start_matches('\u{feff}').trim(), form, &state)?;
    let recorded = points.len();
    state.benchmarks.record(points).await?;
    Ok(HttpResponse::Created().json(Recorded { recorded }))
}

fn parse(text: &str, form: Form, state: &State) -> Result<Vec<Point>, Problem> {
    let malformed = |error: serde_json::Error| Problem::Malformed(format!("the body {}", say(&error)));
    let is_one = form == Form::Json && !text.starts_with('[');
    let items: Vec<&str> = match form {
        Form::Ndjson => text.lines().filter(|line| !line.trim().is_empty()).collect(),
        Form::Json if is_one => vec![serde_json::from_str::<&RawValue>(text).map_err(malformed)?.get()],
        Form::Json => serde_json::from_str::<Vec<&RawValue>>(text).map_err(malformed)?.into_iter().map(RawValue::get).collect(),
    };
    if items.is_empty() {
        return Err(Problem::Malformed("the body holds no benchmark".into()));
    }
    if items.len() > MAX_POINTS {
        return Err(Problem::TooLarge(format!("at most {MAX_POINTS} benchmarks in one request")));
    }
    let now = state.clock.now();
    let (mut points, mut faults) = (Vec::with_capacity(items.len()), Vec::new());
    for (index, item) in items.into_iter().enumerate() {
        match Point::parse(item, state.session.timezone(), Some(now)).and_then(|point| not_ahead(point, now)) {
            Ok(point) => points.push(point),
            Err(found) if faults.len() < MAX_FAULTS => {
                let index = (!is_one).then_some(index);
                faults.extend(found.into_iter().map(|fault| ItemFault { index, fault }));
            }
            Err(_) => {}
        }
    }
    let mut days: Vec<NaiveDate> = points.iter().map(|point| state.session.date_of(point.ts)).collect();
    days.sort_unstable();
    days.dedup();
    if days.len() > MAX_DAYS {
        let fault = FieldFault::new("ts", format!("must not be of more than {MAX_DAYS} trading days in one request"));
        faults.push(ItemFault { index: None, fault });
    }
    if faults.is_empty() { Ok(points) } else { Err(Problem::Unacceptable(faults)) }
}

fn not_ahead(point: Point, now: Timestamp) -> Result<Point, Vec<FieldFault>> {
    if point.ts.micros() - now.micros() <= MAX_AHEAD {
        return Ok(point);
    }
    Err(vec![FieldFault::new("ts", "must not be more than a day ahead of the service's clock")])
}

impl From<BenchmarkError> for Problem {
    fn from(error: BenchmarkError) -> Self {
        let unavailable = |detail: &str, retry_after| Self::Unavailable { detail: detail.to_owned(), retry_after };
        match error {
            BenchmarkError::Busy => unavailable("too many requests for benchmarks are waiting; try again", RETRY.0),
            BenchmarkError::TooMany => {
                Self::faults(vec![FieldFault::new("days", "has more benchmarks than one answer holds; ask for fewer days")])
            }
            BenchmarkError::Disk(std::io::ErrorKind::StorageFull) => {
                unavailable("the disk is full; nothing was recorded", RETRY.1)
            }
            BenchmarkError::Disk(std::io::ErrorKind::FileTooLarge) => {
                unavailable("the day's file is as long as benchmarks.max_file_bytes allows; nothing was recorded", RETRY.1)
            }
            BenchmarkError::Disk(_) => unavailable("the benchmarks cannot be written; nothing was recorded", RETRY.1),
            BenchmarkError::Lost => Self::Internal,
        }
    }
}
