//! Fills the ledger through its writer, in batches as the actor does.

use std::time::Instant;

use plimsoll::domain::analytics::entry::Entry;
use plimsoll::domain::clock::Timestamp;
use plimsoll::domain::id::EventId;
use plimsoll::domain::risk::session::Session;
use plimsoll::storage::ledger::sqlite::{SqliteLedger, open};
use plimsoll::storage::ledger::{LedgerWriter as _, Span};
use plimsoll::storage::sqlite::Place;

use crate::entries::{read, signal, snapshot, trade};

const SECOND: i64 = 1_000_000;
const HOUR: i64 = 3_600 * SECOND;
const DAY: i64 = 24 * HOUR;
/// Entries of one transaction.
const BATCH: usize = 5_000;

pub struct Filler {
    ledger: SqliteLedger,
    session: Session,
    now: i64,
    next: u64,
    pending: Vec<Entry>,
}

impl Filler {
    /// An id is an arrival, by which slices of latencies are kept or deleted: so they begin with those of `now`.
    pub fn new(place: &Place, session: Session, now: Timestamp) -> Self {
        let ledger = open(place, session, now).unwrap().ledger;
        Self { ledger, session, now: now.micros(), next: EventId::first_at(now).get(), pending: Vec::with_capacity(BATCH) }
    }

    fn put(&mut self, make: impl FnOnce(u64) -> Entry) {
        self.next += 1;
        self.pending.push(make(self.next));
        if self.pending.len() == BATCH {
            self.flush();
        }
    }

    fn flush(&mut self) {
        self.ledger.write(&self.pending, EventId::from_u64(self.next)).unwrap();
        self.pending.clear();
    }

    fn add(&mut self, event_type: &str, profile_id: i64, micros: i64, payload: &str) {
        let session = self.session;
        self.put(|id| read(id, event_type, profile_id, micros, payload, &session));
    }

    /// `count` trades, evenly from `start` on over `length`, and a signal and a snapshot beside each tenth.
    fn trades(&mut self, profile_id: i64, count: i64, start: i64, length: i64) {
        for number in 0..count {
            let micros = start + number * (length / count);
            if number % 10 == 0 {
                self.put(|id| signal(id, profile_id, micros, number));
                self.put(|id| snapshot(id, profile_id, micros, number));
            }
            self.put(|id| trade(id, profile_id, micros, number));
        }
    }

    fn order(&mut self, profile_id: i64, number: i64, placed: i64, ended: i64) {
        let order = |status: &str, form: &str| {
            format!(r#"{{"order_id":"PAPER-{number}","symbol":"NIFTY","side":"BUY","status":"{status}","order_type":"{form}"}}"#)
        };
        let end = ["filled", "filled", "cancelled", "rejected"][usize::try_from(number % 4).unwrap()];
        self.add("order_event", profile_id, placed, &order("submitted", "LIMIT"));
        self.add("order_event", profile_id, ended, &order(end, if number % 7 == 0 { "MARKET" } else { "LIMIT" }));
    }

    fn latency(&mut self, profile_id: i64, script: i64, micros: i64) {
        let ms = (1.0 - fastrand::f64()).ln() * -40.0;
        self.add("api_latency", profile_id, micros, &format!(r#"{{"script_name":"script-{script}","latency_ms":{ms}}}"#));
    }

    /// Writes what waits, and says how fast `what` was written since `begun`.
    fn finish(&mut self, what: &str, entries: i64, begun: Instant) {
        self.flush();
        let seconds = begun.elapsed().as_secs_f64();
        println!("{entries} {what} in {seconds:.1} s, {:.0} a second", f64::from(u32::try_from(entries).unwrap()) / seconds);
    }
}

/// Writes all that the questions are about; a million of each is `count`.
pub fn fill(mut filler: Filler, year: Span, count: i64) {
    fastrand::seed(7);
    let (start, today) = (year.start.micros(), year.end.micros() - DAY);
    let begun = Instant::now();
    filler.trades(1, count, start, 365 * DAY);
    filler.finish("trades of a year, and signals and snapshots beside them", count, begun);
    let begun = Instant::now();
    filler.trades(2, count, today, DAY);
    filler.finish("trades of one day, and signals and snapshots beside them", count, begun);

    let begun = Instant::now();
    for number in 0..count {
        let day = start + (number * 365 / count) * DAY;
        // each fifth is filled on the next day
        let after = if number % 5 == 0 && day + DAY < today { DAY } else { 60 * SECOND };
        filler.order(1, number, day + HOUR, day + HOUR + after);
    }
    filler.finish("orders of a year, two reports each", count, begun);
    let begun = Instant::now();
    for number in 0..count / 10 {
        filler.order(2, number, today, today + 60 * SECOND);
    }
    filler.finish("orders of one day", count / 10, begun);

    let begun = Instant::now();
    for number in 0..count {
        let recent = filler.now - fastrand::i64(0..HOUR);
        let micros = if number % 2 == 0 { recent } else { start + number * (364 * DAY / count) };
        filler.latency(1, number % 100, micros);
    }
    for script in 0..1_000 {
        for call in 0..20 {
            filler.latency(2, script, filler.now - call * 3 * 60 * SECOND);
            filler.latency(2, script, today - HOUR);
        }
        let payload = format!(r#"{{"script_name":"script-{script}","status":"healthy","error_count":3}}"#);
        filler.add("system_health", 2, filler.now, &payload);
    }
    filler.finish("latencies of 100 scripts, and 1,000 scripts more", count, begun);
}
