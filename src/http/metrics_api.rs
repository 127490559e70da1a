//! `/api/metrics`: what engines post, and all of it as JSON.

use std::collections::BTreeMap;
use std::io;

use actix_web::{HttpRequest, HttpResponse, web};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::answer::Answer;
use super::body::{Body, Form};
use super::openapi::errors;
use super::openapi::metric_shapes::NewMetrics;
use super::problem::{ItemFault, Problem};
use super::query::Params;
use super::state::State;
use crate::actors::admission::Admission;
use crate::actors::metrics_registry::MetricsError;
use crate::domain::envelope::say;
use crate::domain::fault::FieldFault;
use crate::domain::metrics::name::{Kind, Prefix};
use crate::domain::metrics::registry::{Metric, Registry, Value};
use crate::domain::metrics::write::Write;
use crate::domain::payload::Payload;

/// The listing's name among what panics are counted of.
const NAME: &str = "http";
/// Most changes of one request.
const MAX_ITEMS: usize = 10_000;
/// Its largest body, in bytes.
const MAX_BODY: usize = 4 << 20;
/// So many faults are listed.
const MAX_FAULTS: usize = 1_000;
/// When to try again while the queue is full, in seconds.
const RETRY: u32 = 1;

/// What became of a post.
#[derive(Debug, Serialize, ToSchema)]
pub struct Posted {
    /// Changes that were made.
    accepted: usize,
    /// Those that were not, because there is no room for another series or metric.
    refused: Vec<NoRoom>,
}

/// A change that found no room.
#[derive(Debug, Serialize, ToSchema)]
pub struct NoRoom {
    /// Its place in the batch, from 0 on.
    index: usize,
    /// `labels` when it would have been another series, `name` when it would have been another metric.
    field: String,
    /// Which bound was reached.
    message: String,
}

/// All metrics.
#[derive(Debug, Serialize, ToSchema)]
pub struct Listing<'a> {
    /// What stands before each name in Prometheus text.
    prefix: &'a str,
    /// The metrics, by name.
    metrics: Vec<Listed<'a>>,
}

/// One metric.
#[derive(Debug, Serialize, ToSchema)]
pub struct Listed<'a> {
    /// Its name as it is posted, without the prefix.
    name: &'a str,
    /// Its name in Prometheus text.
    prometheus_name: String,
    /// What it is.
    kind: Kind,
    /// What it means; `null` if nobody said.
    help: Option<&'a str>,
    /// Its series, by their labels; none while nothing is known.
    #[schema(value_type = Vec<Series>)]
    #[serde(serialize_with = "each_series")]
    series: &'a Metric,
}

/// One series: of a counter or gauge `value`, of a histogram `count`, `sum` and `buckets`.
#[derive(Debug, Serialize, ToSchema)]
pub struct Series {
    /// What tells it from the metric's other series.
    labels: BTreeMap<String, String>,
    /// The figure, in the unit that the name or the help text says.
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<f64>,
    /// Observations.
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
    /// Sum of the observations.
    #[serde(skip_serializing_if = "Option::is_none")]
    sum: Option<f64>,
    /// Observations by upper bound, ascending; the bucket of infinity is `count`.
    #[serde(skip_serializing_if = "Option::is_none")]
    buckets: Option<Vec<Bucket>>,
}

/// How many observations were at most so large.
#[derive(Debug, Serialize, ToSchema)]
pub struct Bucket {
    /// The upper bound, which belongs to it.
    le: f64,
    /// Observations up to it; those of smaller buckets are among them.
    count: u64,
}

/// All metrics, as JSON
///
/// Those that engines post and those that follow from their events. Counters and histograms count from the start of the
/// service; a gauge of which nothing is known has no series.
///
/// # Errors
/// The query cannot be read, or clients hold too many large answers.
#[utoipa::path(
    get,
    path = "/api/metrics",
    operation_id = "list_metrics",
    tag = "metrics",
    summary = "What engines have posted, as JSON",
    params(("name" = Option<String>, Query, description = "Only the metric of this name: without the prefix, with it, or as in Prometheus text")),
    responses(
        (status = 200, description = "The metrics, by name", body = Listing<'_>, content_type = "application/json", example = json!({
            "prefix": "live_trading",
            "metrics": [{
                "name": "positions_count", "prometheus_name": "live_trading_positions", "kind": "gauge",
                "help": "Open positions as told last.", "series": [{"labels": {"source": "fno"}, "value": 2.0}]
            }]
        })),
        errors::Unavailable,
    )
)]
pub async fn list(request: HttpRequest, state: web::Data<State>) -> Result<HttpResponse, Problem> {
    let params = Params::of(&request)?;
    let name = params.text("name").map(str::to_owned);
    params.finish()?;
    let registry = state.metrics_registry.snapshot().await;
    let made = {
        let state = state.clone();
        // beside the workers: nobody's post waits for it
        web::block(move || state.panics.guard(NAME, || answer(&registry, name.as_deref(), &state.answer_memory)))
    };
    let Ok(Ok(answer)) = made.await else { return Err(Problem::Internal) };
    Ok(HttpResponse::Ok().content_type("application/json").body(answer?))
}

/// All metrics or that of this name as JSON, for which there is room in `memory` before it is written.
fn answer(registry: &Registry, name: Option<&str>, memory: &Admission) -> Result<Answer, Problem> {
    let metrics = match name {
        Some(name) => registry.find(name).map(|metric| Listed::of(metric, registry)).into_iter().collect(),
        None => registry.metrics().map(|metric| Listed::of(metric, registry)).collect(),
    };
    let listing = Listing { prefix: registry.prefix().as_str(), metrics };
    let mut length = Length(0);
    serde_json::to_writer(&mut length, &listing).map_err(|_| Problem::Internal)?;
    Answer::new(length.0, memory, |out| {
        // a Vec takes every write, and there was a JSON form of all of it
        let _ = serde_json::to_writer(out, &listing);
    })
}

/// Posts metrics
///
/// One metric, or `{"metrics": [...]}` with up to 10,000 of them. A counter adds `value`, a gauge is set to it or moves by it
/// (`"op": "inc"` or `"dec"`), a histogram observes it. A metric is made by its first post, whose help text and buckets hold.
/// When anything is wrong nothing is done, and all faults are told; changes for which there is no room are left out alone.
/// Metrics are kept in memory: a restart forgets them.
///
/// # Errors
/// See [`Problem`].
#[utoipa::path(
    post,
    path = "/api/metrics",
    operation_id = "post_metrics",
    tag = "metrics",
    summary = "Change counters, gauges and histograms",
    request_body(content = NewMetrics, content_type = "application/json", description = "One metric, or a batch of them", example = json!({
        "metrics": [
            {"name": "orders", "kind": "counter", "value": 1, "labels": {"side": "BUY"}, "help": "Orders sent"},
            {"name": "margin_used", "kind": "gauge", "value": 1250.5},
            {"name": "fill_seconds", "kind": "histogram", "value": 0.21, "buckets": [0.1, 0.5, 1]}
        ]
    })),
    responses(
        (status = 200, description = "The changes were made", body = Posted, example = json!({"accepted": 3, "refused": []})),
        errors::Body,
    )
)]
pub async fn post(request: HttpRequest, payload: web::Payload, state: web::Data<State>) -> Result<HttpResponse, Problem> {
    Form::json(&request).map_err(|problem| problem.unread(&request))?;
    let body = Body::new(&request, payload, MAX_BODY as u64, state.config.http.body_timeout);
    let body = body.map_err(|problem| problem.unread(&request))?;
    let body = body.whole(MAX_BODY, &state.body_memory).await.map_err(|problem| problem.interrupting(None))?;
    let text = std::str::from_utf8(&body.bytes).map_err(|_| Problem::Malformed("the body is not UTF-8".into()))?;
    let text = text.trim_start_matches('\u{feff}').trim();
    let (items, is_one) = items(text)?;
    let writes = parse(&items, is_one, &state.config.metrics.prefix)?;
    // the items are good; what is left is a list that is there twice
    Payload::inspect(text, usize::MAX).map_err(|message| Problem::faults(vec![FieldFault::new("metrics", message)]))?;
    let taken = state.metrics_registry.post(writes).await.map_err(|error| refused(error, is_one))?;
    if taken.accepted == 0 {
        return Err(unacceptable(taken.refused, is_one));
    }
    let refused = taken.refused.into_iter().map(|(index, FieldFault { field, message })| NoRoom { index, field, message });
    Ok(HttpResponse::Ok().json(Posted { accepted: taken.accepted, refused: refused.collect() }))
}

/// The metrics of a body as raw JSON, and whether it is a single one.
fn items(text: &str) -> Result<(Vec<&str>, bool), Problem> {
    let malformed = |error: serde_json::Error| Problem::Malformed(format!("the body {}", say(&error)));
    let fault = |field: &str, message: &str| Problem::faults(vec![FieldFault::new(field, message)]);
    let body = serde_json::from_str::<&RawValue>(text).map_err(malformed)?.get();
    if !body.starts_with('{') {
        return Err(fault("metrics", "must be there: send one metric, or {\"metrics\": [...]}"));
    }
    let fields: BTreeMap<String, &RawValue> = serde_json::from_str(body).map_err(malformed)?;
    let Some(list) = fields.get("metrics") else { return Ok((vec![body], true)) };
    let unknown = fields.keys().filter(|name| *name != "metrics").map(|name| name.chars().take(64).collect::<String>());
    let unknown: Vec<FieldFault> = unknown.map(|name| FieldFault::new(name, "is not a field beside metrics")).collect();
    if !unknown.is_empty() {
        return Err(Problem::faults(unknown));
    }
    let Ok(list) = serde_json::from_str::<Vec<&RawValue>>(list.get()) else { return Err(fault("metrics", "must be a list")) };
    match list.len() {
        0 => Err(Problem::Malformed("the body holds no metric".into())),
        1..=MAX_ITEMS => Ok((list.into_iter().map(RawValue::get).collect(), false)),
        _ => Err(Problem::TooLarge(format!("at most {MAX_ITEMS} metrics in one request"))),
    }
}

fn parse(items: &[&str], is_one: bool, prefix: &Prefix) -> Result<Vec<Write>, Problem> {
    let (mut writes, mut faults) = (Vec::with_capacity(items.len()), Vec::new());
    for (index, item) in items.iter().enumerate() {
        match Write::parse(item, prefix) {
            Ok(write) => writes.push(write),
            Err(found) => faults.extend(found.into_iter().map(|fault| (index, fault))),
        }
        if faults.len() >= MAX_FAULTS {
            break;
        }
    }
    if faults.is_empty() { Ok(writes) } else { Err(unacceptable(faults, is_one)) }
}

fn unacceptable(faults: Vec<(usize, FieldFault)>, is_one: bool) -> Problem {
    let item = |(index, fault)| ItemFault { index: (!is_one).then_some(index), fault };
    Problem::Unacceptable(faults.into_iter().take(MAX_FAULTS).map(item).collect())
}

fn refused(error: MetricsError, is_one: bool) -> Problem {
    match error {
        MetricsError::Faults(faults) => unacceptable(faults, is_one),
        MetricsError::Busy => {
            Problem::Unavailable { detail: "too many posts of metrics are waiting; try again".to_owned(), retry_after: RETRY }
        }
        MetricsError::Lost => Problem::Internal,
    }
}

/// Counts what is written.
struct Length(usize);

impl io::Write for Length {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> Listed<'a> {
    fn of(metric: &'a Metric, registry: &Registry) -> Self {
        Self {
            name: metric.name.as_str(),
            prometheus_name: metric.name.in_prometheus(metric.kind, registry.prefix()),
            kind: metric.kind,
            help: metric.help.as_deref(),
            series: metric,
        }
    }
}

/// One after the other, so that not all of them are there twice.
fn each_series<S: Serializer>(metric: &Metric, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(metric.series.iter().map(|(labels, value)| {
        let labels = labels.pairs().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        match value {
            Value::Number(number) => Series { labels, value: Some(*number), count: None, sum: None, buckets: None },
            Value::Histogram(histogram) => {
                let buckets = histogram.cumulative(&metric.buckets).map(|(le, count)| Bucket { le, count }).collect();
                let (count, sum) = (Some(histogram.count()), Some(histogram.sum()));
                Series { labels, value: None, count, sum, buckets: Some(buckets) }
            }
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::metrics::registry::Limits;
    use actix_web::body::{BodySize, MessageBody as _};
    use std::time::Duration;

    #[test]
    fn a_listing_has_its_room_before_it_is_written_whatever_json_escapes_in_it() {
        let mut registry = Registry::new(Prefix::default(), Limits { metrics: 1, series: 1_000, memory: 32 << 20 });
        let long = "\\u0001".repeat(256);
        let batch = (0..200).map(|n| {
            let item = format!(r#"{{"name":"a","kind":"gauge","value":{n},"labels":{{"n":"{n}","x":"{long}"}}}}"#);
            Write::parse(&item, &Prefix::default()).expect("good")
        });
        registry.take(batch.collect()).expect("good");
        let memory = |kib| Admission::new(kib, Duration::ZERO);
        let whole = memory(1 << 20);
        let answer = answer(&registry, None, &whole).expect("room");
        let BodySize::Sized(length) = answer.size() else { panic!("a length is known") };
        assert_eq!(whole.used() as u64, length.div_ceil(1024));
        let narrow = memory(whole.used() - 1);
        assert!(matches!(super::answer(&registry, None, &narrow), Err(Problem::Unavailable { .. })));
        assert_eq!((narrow.used(), narrow.refused()), (0, 1));
    }
}
