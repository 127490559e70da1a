//! The metrics registry: what it hears after a start, and what becomes of posts when it is full.

use std::sync::atomic::Ordering;
use std::time::Duration;

use actix::Arbiter;
use chrono::NaiveTime;
use futures_util::future::select;

use super::super::admission::Admission;
use super::super::metrics_registry::{MetricsError, MetricsRegistryHandle, Settings};
use super::world::{LIMITS, RULES, World};
use crate::domain::clock::Timestamp;
use crate::domain::envelope::parse;
use crate::domain::id::EventId;
use crate::domain::metrics::name::Prefix;
use crate::domain::metrics::registry::{Limits, Value};
use crate::domain::metrics::write::Write;
use crate::domain::risk::session::Session;

fn start(world: &World) -> MetricsRegistryHandle {
    let settings = Settings {
        prefix: Prefix::default(),
        limits: Limits { metrics: 10, series: 3, memory: 1 << 20 },
        session: Session::new(chrono_tz::Asia::Kolkata, NaiveTime::MIN),
        queue: Admission::new(1, Duration::from_millis(250)),
        cursor: EventId::ZERO,
    };
    MetricsRegistryHandle::start(&Arbiter::current(), settings, world.history.clone(), world.bus.clone(), world.panics.clone())
}

async fn publish(world: &World, json: &str) {
    let now = Timestamp::from_micros(world.hand.fetch_add(1_000_000, Ordering::SeqCst));
    world.bus.publish(vec![parse(json.as_bytes(), &RULES, now).expect(json)]).await.expect("published");
}

/// The sum over the series of a metric; `None` if it has none.
async fn total(metrics: &MetricsRegistryHandle, name: &str) -> Option<f64> {
    // the journal's readers have threads of their own; a runtime that idles meanwhile would let the paused time run
    let busy = Box::pin(async {
        loop {
            tokio::task::yield_now().await;
        }
    });
    select(Box::pin(metrics.synced()), busy).await;
    let registry = metrics.snapshot().await;
    let series = registry.find(name).expect(name).series.values();
    let numbers = series.map(|value| if let Value::Number(number) = value { *number } else { 0.0 });
    numbers.reduce(|one, other| one + other)
}

const ERROR: &str = r#"{"type":"error","payload":{}}"#;
const ORDER: &str =
    r#"{"type":"order_event","payload":{"order_id":"A","symbol":"N","side":"BUY","status":"FILLED","qty":1,"price":2}}"#;
const EQUITY: &str = r#"{"type":"performance_update","payload":{"metrics":{"equity":7.5}}}"#;

#[actix_web::test]
async fn a_new_registry_hears_the_journal_for_its_gauges_and_counts_only_what_is_new() {
    tokio::time::pause();
    // the ring holds less than what has to be heard again
    let world = World::new(5, LIMITS);
    let before = start(&world);
    for json in [EQUITY, ORDER, ERROR].into_iter().chain([ERROR; 20]) {
        publish(&world, json).await;
    }
    assert_eq!((total(&before, "errors_total").await, total(&before, "trades_total").await), (Some(21.0), Some(1.0)));
    let after = start(&world);
    assert_eq!((total(&after, "errors_total").await, total(&after, "trades_total").await), (Some(0.0), Some(0.0)));
    assert_eq!(total(&after, "portfolio_value_usd").await, Some(7.5));
    assert_eq!(total(&after, "cash_balance_usd").await, None);
    assert!(after.counters().is_rebuilt.load(Ordering::Acquire));
    publish(&world, ERROR).await;
    publish(&world, ORDER).await;
    assert_eq!((total(&after, "errors_total").await, total(&after, "trades_total").await), (Some(1.0), Some(0.0)));
}

#[actix_web::test]
async fn errors_of_too_many_sources_are_counted_together() {
    tokio::time::pause();
    let world = World::new(1_000, LIMITS);
    let metrics = start(&world);
    for source in 0..10 {
        publish(&world, &format!(r#"{{"type":"error","source":"s{source}","payload":{{}}}}"#)).await;
        publish(
            &world,
            &format!(r#"{{"type":"performance_update","source":"s{source}","payload":{{"metrics":{{"equity":1}}}}}}"#),
        )
        .await;
    }
    assert_eq!(total(&metrics, "errors_total").await, Some(10.0));
    assert_eq!(total(&metrics, "portfolio_value_usd").await, Some(3.0), "equities are not added up");
    assert_eq!(metrics.counters().series_refused.load(Ordering::Relaxed), 8 + 7);
}

#[actix_web::test]
async fn a_post_that_finds_the_queue_full_is_refused_and_counted() {
    tokio::time::pause();
    let world = World::new(1_000, LIMITS);
    let metrics = start(&world);
    let write = || vec![Write::parse(r#"{"name":"a","kind":"gauge","value":4}"#, &Prefix::default()).expect("good")];
    let permit = metrics.admission().enter(1).await.expect("room");
    assert_eq!(metrics.post(write()).await, Err(MetricsError::Busy));
    assert_eq!(metrics.admission().refused(), 1);
    drop(permit);
    assert_eq!(metrics.post(write()).await.map(|taken| taken.accepted), Ok(1));
    assert_eq!(total(&metrics, "a").await, Some(4.0));
    assert_eq!(metrics.counters().writes.load(Ordering::Relaxed), 1);
}
