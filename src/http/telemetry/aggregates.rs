//! `GET /api/telemetry/aggregates`: counts per bucket of time.

use std::collections::BTreeMap;

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::clock::Timestamp;
use crate::domain::filter::Filter;
use crate::http::openapi::errors;
use crate::http::openapi::params::{FilterParams, GroupWord, SpanParams};
use crate::http::problem::Problem;
use crate::http::query::Params;
use crate::http::state::State;
use crate::storage::{Count, GroupBy};

/// What is counted when no time is given: the last hour.
const DEFAULT_SPAN: i64 = 3_600 * 1_000_000;

struct Query {
    filter: Filter,
    since: Timestamp,
    until: Timestamp,
    /// Seconds.
    bucket: i64,
    bucket_text: String,
    group: Option<(GroupBy, &'static str)>,
}

/// Counts of events per bucket of time.
#[derive(Serialize, ToSchema)]
#[schema(as = Aggregates, example = json!({
    "bucket": "5m", "group_by": "type", "since_ts": "2025-11-18T07:00:00.000000Z", "until_ts": "2025-11-18T08:00:00.000000Z",
    "buckets": [{"ts": "2025-11-18T07:55:00.000000Z", "total": 3, "counts": {"cycle_end": 1, "order_event": 2}}]
}))]
struct Answer {
    /// The length of a bucket, as it was asked for.
    bucket: String,
    /// By what is counted within a bucket.
    #[schema(required)]
    group_by: Option<&'static str>,
    /// From this time on.
    #[schema(format = DateTime)]
    since_ts: String,
    /// Before this time.
    #[schema(format = DateTime)]
    until_ts: String,
    /// Ascending; empty ones are left out.
    buckets: Vec<Bucket>,
}

/// What was counted in one bucket.
#[derive(Serialize, ToSchema)]
#[schema(as = AggregateBucket)]
struct Bucket {
    /// When it begins.
    #[schema(format = DateTime)]
    ts: String,
    /// Events in it.
    total: u64,
    /// Events by group; those without a symbol, strategy or source are counted under the empty name.
    counts: BTreeMap<String, u64>,
}

/// The route.
///
/// # Errors
/// Faults of the query, or a journal that does not answer.
#[utoipa::path(
    get,
    path = "/api/telemetry/aggregates",
    operation_id = "aggregate_events",
    tag = "telemetry",
    summary = "Counts of events per bucket of time",
    params(
        ("bucket" = Option<String>, Query, pattern = "^[0-9]{1,5}[smhd]$", example = "5m", description = "Length of a bucket, 1s to 1d; 1m unless given"),
        ("group_by" = inline(Option<GroupWord>), Query, description = "By what is counted within a bucket"),
        SpanParams,
        FilterParams,
    ),
    responses((status = 200, description = "The counts of the span, which is the last hour unless given", body = Answer), errors::Query, errors::Unavailable)
)]
pub async fn aggregates(request: HttpRequest, state: web::Data<State>) -> Result<HttpResponse, Problem> {
    let Query { filter, since, until, bucket, bucket_text, group } = read(Params::of(&request)?, state.clock.now())?;
    let by = group.map(|(by, _)| by);
    let buckets = state.readers.ask(move |reader| reader.counts(&filter, bucket, by).map(|counts| gather(counts, by.is_some())));
    let answer = HttpResponse::Ok().json(Answer {
        buckets: buckets.await?,
        bucket: bucket_text,
        group_by: group.map(|(_, name)| name),
        since_ts: since.to_string(),
        until_ts: until.to_string(),
    });
    Ok(answer)
}

/// The counts, bucket by bucket.
fn gather(counts: Vec<Count>, grouped: bool) -> Vec<Bucket> {
    let mut buckets: Vec<Bucket> = Vec::new();
    for count in counts {
        let ts = count.bucket.to_string();
        if buckets.last().is_none_or(|bucket| bucket.ts != ts) {
            buckets.push(Bucket { ts, total: 0, counts: BTreeMap::new() });
        }
        let Some(bucket) = buckets.last_mut() else { continue };
        bucket.total += count.count;
        if grouped {
            // events without a symbol, strategy or source are counted under the empty name
            bucket.counts.insert(count.group.unwrap_or_default(), count.count);
        }
    }
    buckets
}

fn read(mut params: Params, now: Timestamp) -> Result<Query, Problem> {
    let mut filter = params.filter();
    let until = params.time("until_ts").unwrap_or(Timestamp::from_micros(now.micros() + 1));
    let since = params.time("since_ts").unwrap_or(Timestamp::from_micros(until.micros() - DEFAULT_SPAN));
    if since >= until {
        params.fault("since_ts", "must be before until_ts");
    }
    let bucket_text = params.text("bucket").unwrap_or("1m").to_owned();
    let bucket = seconds(&bucket_text).unwrap_or_else(|| {
        params.fault("bucket", "must be a length of time from 1s to 1d, such as 10s, 5m, 1h or 1d");
        60
    });
    let groups =
        [(GroupBy::Type, "type"), (GroupBy::Symbol, "symbol"), (GroupBy::Strategy, "strategy"), (GroupBy::Source, "source")];
    let wanted = params.text("group_by").map(str::to_owned);
    let group = wanted.as_ref().and_then(|wanted| groups.into_iter().find(|(_, name)| name == wanted));
    if wanted.is_some() && group.is_none() {
        params.fault("group_by", "must be one of type, symbol, strategy, source");
    }
    filter.since = Some(since);
    filter.until = Some(until);
    params.finish()?;
    Ok(Query { filter, since, until, bucket, bucket_text, group })
}

fn seconds(text: &str) -> Option<i64> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let factor = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return None,
    };
    let plain = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
    number.parse::<i64>().ok().filter(|_| plain)?.checked_mul(factor).filter(|seconds| (1..=86_400).contains(seconds))
}

#[cfg(test)]
mod tests {
    use super::seconds;

    #[test]
    fn a_bucket_is_one_second_to_one_day() {
        assert_eq!(
            [seconds("1s"), seconds("5m"), seconds("1d"), seconds("24h")],
            [Some(1), Some(300), Some(86_400), Some(86_400)]
        );
        for bad in ["", "s", "0s", "2d", "1w", "-1s", "1.5m", "é", "99999999999999999999s"] {
            assert_eq!(seconds(bad), None, "{bad:?}");
        }
    }
}
