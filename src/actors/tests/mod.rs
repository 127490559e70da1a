//! Bus, journal, ring, readers and fan-out together, without HTTP: what a client sees of all of them.

mod artifacts;
mod engines;
mod follower;
mod ledger;
mod ledger_openings;
mod metrics;
mod risk;
mod risk_controls;
mod var;
mod world;

use std::cell::Cell;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::StreamExt as _;

use super::history::EventQuery;
use super::publisher::PublishError;
use super::sse_fanout::{EndAll, Start};
use super::sse_session::Limits;
use crate::domain::filter::Filter;
use crate::domain::id::EventId;
use crate::storage::StorageError;

use world::{LIMITS, World, draft, ids, ready, until};

#[actix_web::test]
async fn what_is_published_is_delivered_in_order_and_the_head_comes_first() {
    let world = World::new(100, LIMITS);
    let mut body = world.open(Start::Now).await;
    let head = ready(&mut body).await;
    assert!(head.starts_with("retry: ") && head.ends_with("\nid: 0-0\n\n"), "{head:?}");
    let published = world.publish(0..5).await;
    assert_eq!(ids(&until(&mut body, published[4]).await), published);
    assert_eq!(world.counters.clients.load(Ordering::SeqCst), 1);
    drop(body);
    assert_eq!(world.counters.clients.load(Ordering::SeqCst), 0);
}

#[actix_web::test]
async fn a_resume_from_any_event_gives_the_rest_once_from_journal_and_ring() {
    let world = World::new(7, LIMITS);
    let mut published = Vec::new();
    for group in 0..10 {
        published.extend(world.publish(group * 5..group * 5 + 5).await);
    }
    for at in 0..published.len() - 1 {
        let mut body = world.open(Start::After(published[at])).await;
        let text = until(&mut body, published[49]).await;
        assert_eq!(ids(&text), published[at + 1..], "after event {at}");
        assert!(!text.contains("stream_gap"));
    }
    let mut all = world.open(Start::After(EventId::ZERO)).await;
    assert_eq!(ids(&until(&mut all, published[49]).await), published);
    let mut last = world.open(Start::Replay(12)).await;
    assert_eq!(ids(&until(&mut last, published[49]).await), published[38..]);
}

#[actix_web::test]
async fn an_emptied_ring_takes_nothing_from_a_live_client() {
    let world = World::new(100, LIMITS);
    let mut body = world.open(Start::Now).await;
    let mut published = world.publish(0..3).await;
    world.bus.clear_ring().await.expect("cleared");
    published.extend(world.publish(3..6).await);
    assert_eq!(ids(&until(&mut body, published[5]).await), published);
}

#[actix_web::test]
async fn pages_visit_each_event_once_in_both_orders_over_the_seam() {
    let world = World::new(7, LIMITS);
    let mut published = Vec::new();
    for group in 0..6 {
        published.extend(world.publish(group * 5..group * 5 + 5).await);
    }
    for limit in 1..12 {
        let (mut up, mut down) = (Vec::new(), Vec::new());
        let query = |after, before, oldest_first| EventQuery { filter: Filter::default(), after, before, oldest_first, limit };
        let (mut after, mut before) = (EventId::ZERO, EventId::MAX);
        loop {
            let page = world.history.query(query(after, EventId::MAX, true)).await.expect("a page");
            up.extend(page.events.iter().map(|event| event.id()));
            let Some(next) = page.next else { break };
            after = next;
        }
        loop {
            let page = world.history.query(query(EventId::ZERO, before, false)).await.expect("a page");
            down.splice(0..0, page.events.iter().map(|event| event.id()));
            let Some(next) = page.next else { break };
            before = next;
        }
        assert_eq!(up, published, "limit {limit}");
        assert_eq!(down, published, "limit {limit}");
    }
}

#[actix_web::test]
async fn ids_go_on_when_the_clock_steps_back() {
    let world = World::new(100, LIMITS);
    let mut published = world.publish(0..2).await;
    world.hand.fetch_sub(3_600_000_000, Ordering::SeqCst);
    published.extend(world.publish(2..4).await);
    assert!(published.is_sorted_by(|a, b| a < b), "{published:?}");
}

#[actix_web::test]
async fn a_journal_that_fails_or_panics_fails_its_group_alone_and_nobody_sees_it() {
    let world = World::new(100, LIMITS);
    let mut body = world.open(Start::Now).await;
    world.fail.store(true, Ordering::SeqCst);
    let failed = world.bus.publish(vec![draft("tick", 0)]).await;
    assert!(matches!(failed, Err(PublishError::Journal(StorageError::Full(_)))), "{failed:?}");
    world.fail.store(false, Ordering::SeqCst);
    assert!(world.bus.publish(vec![draft("panic", 1)]).await.is_err());
    assert_eq!(world.panics.counts(), [("journal", 1)]);
    let published = world.publish(2..3).await;
    assert_eq!(ids(&until(&mut body, published[0]).await), published);
}

#[actix_web::test]
async fn a_full_queue_refuses_and_a_stopping_bus_takes_no_more_but_commits_what_it_took() {
    let world = World::new(100, LIMITS);
    let held = world.bus.admission().enter(100).await.expect("all of it");
    assert_eq!(world.bus.publish(vec![draft("tick", 0)]).await, Err(PublishError::Full));
    drop(held);
    let pending = world.bus.offer(vec![draft("tick", 1)]).await.expect("taken");
    world.bus.drain().await;
    assert_eq!(world.bus.publish(vec![draft("tick", 2)]).await, Err(PublishError::Stopping));
    assert_eq!(pending.published().await.expect("committed").len(), 1);
}

#[actix_web::test]
async fn every_batch_that_comes_to_a_stopped_bus_is_refused() {
    let world = World::new(100, LIMITS);
    let (first, second) = (world.bus.room(1).await.expect("room"), world.bus.room(1).await.expect("room"));
    world.bus.drain().await;
    for room in [first, second] {
        assert_eq!(world.bus.send(vec![draft("tick", 1)], room).published().await, Err(PublishError::Stopping));
    }
}

#[actix_web::test]
async fn posts_that_come_during_a_commit_are_one_commit_in_their_order() {
    let world = World::new(100, LIMITS);
    let mut pending = Vec::new();
    for n in 0..10 {
        pending.push(world.bus.offer(vec![draft("tick", n)]).await.expect("taken"));
        world.settle().await;
    }
    let mut ids = Vec::new();
    for pending in pending {
        ids.push(pending.published().await.expect("committed")[0].id);
    }
    assert!(ids.is_sorted_by(|a, b| a < b), "{ids:?}");
    assert_eq!(world.ring.head(), 10);
}

#[actix_web::test]
async fn a_client_that_comes_to_an_empty_worker_hears_of_what_follows() {
    let world = World::new(100, LIMITS);
    for n in 0..3 {
        world.publish(n..n + 1).await;
        world.settle().await;
    }
    let mut body = world.open(Start::Now).await;
    ready(&mut body).await;
    let published = world.publish(3..5).await;
    assert_eq!(ids(&until(&mut body, published[1]).await), published);
    drop(body);
    world.publish(5..6).await;
    world.settle().await;
    let mut again = world.open(Start::Now).await;
    ready(&mut again).await;
    let published = world.publish(6..7).await;
    assert_eq!(ids(&until(&mut again, published[0]).await), published);
}

#[actix_web::test]
async fn a_round_reaches_each_client_although_some_come_and_go_and_lets_others_work_meanwhile() {
    let world = World::new(1_000, Limits { max_clients: 1_000, ..LIMITS });
    let woken = Rc::new(Cell::new(0));
    let mut clients = Vec::new();
    for _ in 0..300 {
        clients.push(follow(&world, &woken).await);
    }
    world.settle().await;
    for turn in 0..20 {
        world.publish(turn..turn + 1).await;
        // within the round: some leave, others join, and the ring moves again
        clients.drain(..5).for_each(|client| client.abort());
        clients.push(follow(&world, &woken).await);
        world.publish(turn..turn + 1).await;
    }
    world.settle().await;
    woken.set(0);
    let pending = world.bus.offer(vec![draft("tick", 20)]).await.expect("taken");
    while woken.get() == 0 {
        tokio::task::yield_now().await;
    }
    let (seen, count) = (Rc::new(Cell::new(0)), Rc::clone(&woken));
    let noted = Rc::clone(&seen);
    actix::spawn(async move { noted.set(count.get()) }).await.expect("done");
    assert!(seen.get() < clients.len(), "what arrives during a round waits for one slice of it");
    pending.published().await.expect("committed");
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(woken.get(), clients.len(), "everybody has it, once");
}

/// A client that reads for as long as its task lives, and counts each piece that it gets.
async fn follow(world: &World, count: &Rc<Cell<usize>>) -> tokio::task::JoinHandle<()> {
    let (mut body, count) = (world.open(Start::Now).await, Rc::clone(count));
    actix::spawn(async move {
        while body.next().await.is_some() {
            count.set(count.get() + 1);
        }
    })
}

#[actix_web::test]
async fn a_quiet_stream_gets_a_heartbeat_that_carries_its_position() {
    let world = World::new(100, LIMITS);
    let published = world.publish(0..1).await;
    let mut body = world.open(Start::Now).await;
    ready(&mut body).await;
    tokio::time::pause();
    world.pass(Duration::from_secs(14)).await;
    assert_eq!(ready(&mut body).await, "");
    world.pass(Duration::from_secs(2)).await;
    assert_eq!(ready(&mut body).await, format!(": heartbeat\nid: {}\n\n", published[0]));
    world.pass(Duration::from_secs(14)).await;
    assert_eq!(ready(&mut body).await, "");
}

#[actix_web::test]
async fn a_client_that_takes_nothing_is_cut_and_one_that_reads_is_not() {
    let world = World::new(100, LIMITS);
    let mut stalled = world.open(Start::Now).await;
    let mut reading = world.open(Start::Now).await;
    ready(&mut stalled).await;
    ready(&mut reading).await;
    world.publish(0..1).await;
    tokio::time::pause();
    for _ in 0..40 {
        world.pass(Duration::from_secs(1)).await;
        ready(&mut reading).await;
    }
    assert!(world.connection.cut.get() > 0);
    assert_eq!(world.counters.stalled.load(Ordering::SeqCst), 1);
    assert_eq!(world.counters.slow.load(Ordering::SeqCst), 0);
    drop(stalled);
    assert_eq!(world.counters.clients.load(Ordering::SeqCst), 1);
    tokio::time::resume();
    let published = world.publish(1..2).await;
    assert_eq!(ids(&until(&mut reading, published[0]).await), published);
}

#[actix_web::test]
async fn a_client_that_takes_its_bytes_slowly_is_not_stalled() {
    let world = World::new(100, LIMITS);
    let mut body = world.open(Start::Now).await;
    ready(&mut body).await;
    world.publish(0..1).await;
    tokio::time::pause();
    for second in 0..50 {
        world.connection.taken.set(second);
        world.pass(Duration::from_secs(1)).await;
    }
    assert_eq!(world.connection.cut.get(), 0);
}

#[actix_web::test]
async fn a_live_client_that_falls_too_far_behind_is_ended_cleanly_and_can_resume() {
    let world = World::new(1000, Limits { max_lag_bytes: 10_000, chunk_bytes: 1024, ..LIMITS });
    let mut slow = world.open(Start::Now).await;
    ready(&mut slow).await;
    let mut published = world.publish(0..1).await;
    let mut text = until(&mut slow, published[0]).await;
    published.extend(world.publish(1..100).await);
    // it takes one piece, and no more until it is too late
    text.push_str(std::str::from_utf8(&slow.next().await.expect("more").expect("bytes")).expect("text"));
    tokio::time::pause();
    world.pass(Duration::from_secs(3)).await;
    let rest = ready(&mut slow).await;
    assert!(rest.starts_with("retry: "), "{} bytes more", rest.len());
    assert_eq!(slow.next().await, None, "the end");
    assert_eq!(world.counters.slow.load(Ordering::SeqCst), 1);
    tokio::time::resume();
    let seen = *ids(&text).last().expect("something");
    let mut again = world.open(Start::After(seen)).await;
    text.push_str(&until(&mut again, published[99]).await);
    assert_eq!(ids(&text), published);
}

#[actix_web::test]
async fn a_position_from_another_journal_is_told_and_the_stream_goes_on() {
    let world = World::new(100, LIMITS);
    let published = world.publish(0..1).await;
    let mut body = world.open(Start::After(EventId::MAX)).await;
    let head = ready(&mut body).await;
    assert!(head.contains("stream_gap") && head.contains("ahead_of_log"), "{head}");
    assert!(head.contains(&format!("\"newest\":\"{}\"", published[0])));
    let next = world.publish(1..2).await;
    assert_eq!(ids(&until(&mut body, next[0]).await), next);
}

#[actix_web::test]
async fn the_end_of_all_streams_is_clean_and_later_clients_are_told_to_come_back() {
    let world = World::new(100, LIMITS);
    let mut body = world.open(Start::Now).await;
    ready(&mut body).await;
    let all_gone = world.fanout.send(EndAll).await.expect("answered");
    let farewell = ready(&mut body).await;
    assert!(farewell.starts_with("retry: ") && farewell.ends_with("\n\n"));
    assert_eq!(body.next().await, None);
    all_gone.await.expect("all are gone");
    let mut late = world.open(Start::Now).await;
    assert!(ready(&mut late).await.starts_with("retry: "));
    assert_eq!(late.next().await, None);
}

#[actix_web::test]
async fn too_many_clients_are_told_to_come_back() {
    let world = World::new(100, Limits { max_clients: 1, ..LIMITS });
    let first = world.open(Start::Now).await;
    let mut second = world.open(Start::Now).await;
    assert!(ready(&mut second).await.starts_with("retry: "));
    assert_eq!(second.next().await, None);
    assert_eq!(world.counters.refused.load(Ordering::SeqCst), 1);
    drop(first);
    let mut third = world.open(Start::Now).await;
    assert!(ready(&mut third).await.contains("id: "));
    assert_eq!(world.ring.head(), 0);
}

#[actix_web::test]
async fn a_panic_in_a_delivery_loses_nothing_for_those_who_listen() {
    let world = World::new(100, LIMITS);
    let mut body = world.open(Start::Now).await;
    ready(&mut body).await;
    let mut published = world.publish(0..3).await;
    assert_eq!(world.bus.publish(vec![draft("undeliverable", 3)]).await, Err(PublishError::Unknown));
    assert_eq!(world.panics.counts(), [("event_bus", 1)]);
    published.extend(world.publish(4..6).await);
    let seen = ids(&until(&mut body, published[4]).await);
    assert_eq!(seen.len(), 6, "it was committed, so it is delivered, from the journal");
    assert!(published.iter().all(|id| seen.contains(id)));
}

#[actix_web::test]
async fn a_drained_bus_has_delivered_what_it_took() {
    let world = World::new(100, LIMITS);
    let pending = world.bus.offer(vec![draft("tick", 1)]).await.expect("taken");
    world.bus.drain().await;
    assert_eq!(world.ring.head(), 1);
    assert_eq!(pending.published().await.expect("committed").len(), 1);
}
