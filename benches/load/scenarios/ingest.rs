//! Events posted as fast as they are acknowledged: one by one, as arrays, as NDJSON.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use rusqlite::{Connection, params};

use super::{Bench, Measured};
use crate::posters::{self, Posting};
use crate::service::{Kind, Server};
use crate::wire::{FIRST_SEQ, Form, push_untimed, request};

const NAME: &str = "ingest";
const CONNECTIONS: [usize; 3] = [1, 16, 64];
const ARRAY: usize = 100;

pub fn run(bench: &mut Bench) {
    let mut group = None;
    for kind in Kind::ALL {
        if let Some(why) = bench.missing(kind) {
            bench.left_out(NAME, "all", kind, why);
            continue;
        }
        let server = match Server::start(kind, &[]).and_then(|server| warm(&server).map(|()| server)) {
            Ok(server) => server,
            Err(error) => {
                bench.add(NAME, "all", kind.name(), Err(error));
                continue;
            }
        };
        for form in [Form::Single, Form::Array, Form::Ndjson] {
            for connections in CONNECTIONS {
                let case = format!("{} x{connections}", name(form));
                let measured = measure(bench, &server, form, connections);
                if let (Ok((_, size)), Form::Ndjson, 1) = (&measured, form, connections) {
                    group = group.or(*size);
                }
                bench.add(NAME, &case, kind.name(), measured.map(|(measured, _)| measured));
            }
        }
    }
    let group = group.unwrap_or(4096);
    let bare = bare_inserts(bench.plan.ndjson_lines * 2, group);
    bench.add(NAME, "ndjson x1", "sqlite", bare);
}

const fn name(form: Form) -> &'static str {
    match form {
        Form::Single => "single",
        Form::Array => "array",
        Form::Ndjson => "ndjson",
    }
}

fn warm(server: &Server) -> Result<()> {
    let request = request(Form::Single, 1);
    let time = Duration::from_millis(100);
    posters::run(&Posting { address: server.address, connections: 4, request: &request, events: 1, time }).map(drop)
}

/// The row, and for our own service how many events a commit had.
fn measure(bench: &Bench, server: &Server, form: Form, connections: usize) -> Result<(Measured, Option<usize>)> {
    let events = match form {
        Form::Single => 1,
        Form::Array => ARRAY,
        Form::Ndjson => (bench.plan.ndjson_lines / connections).max(1),
    };
    let ours = server.kind == Kind::Plimsoll;
    let committed =
        || -> Result<(f64, f64)> { if ours { Ok((server.stat("events")?, server.stat("commits")?)) } else { Ok((0.0, 0.0)) } };
    let request = request(form, events);
    let (before, cpu) = (committed()?, server.process.cpu_seconds()?);
    let posting =
        Posting { address: server.address, connections, request: &request, events: events as u64, time: bench.plan.ingest_time };
    let posted = posters::run(&posting)?;
    let (after, cpu) = (committed()?, server.process.cpu_seconds()? - cpu);
    let mut figures = vec![
        ("events/s", posted.events as f64 / posted.seconds),
        ("p50 ms", posted.latency.quantile(0.5)),
        ("p99 ms", posted.latency.quantile(0.99)),
        ("CPU us/event", cpu * 1e6 / posted.events as f64),
        ("refused", posted.refused as f64),
    ];
    let group = (after.0 - before.0) / (after.1 - before.1);
    if ours {
        figures.push(("events/commit", group));
    }
    Ok((figures.into(), (ours && group >= 1.0).then_some(group as usize)))
}

/// The same rows into one table of the same columns, without any index, a commit and its fsync for each `group` of them.
fn bare_inserts(events: usize, group: usize) -> Result<Measured> {
    let folder = tempfile::tempdir()?;
    let mut connection = Connection::open(folder.path().join("bare.db"))?;
    connection.execute_batch(
        "pragma page_size = 8192; pragma auto_vacuum = incremental; pragma journal_mode = wal; pragma synchronous = full;
         pragma wal_autocheckpoint = 4096; pragma journal_size_limit = 67108864; pragma cache_size = -32768;
         create table events(
             id integer primary key, ts integer not null, type text not null, severity integer, profile_id integer,
             source text, symbol text, strategy text, body blob not null);",
    )?;
    let mut body = Vec::new();
    push_untimed(&mut body);
    let body = body.get(1..).context("an event is not empty")?;
    let first = i64::try_from(FIRST_SEQ)?;
    let begin = Instant::now();
    let mut done = 0;
    while done < events {
        let transaction = connection.transaction()?;
        let mut insert = transaction.prepare_cached("insert into events values(?, ?, ?, ?, ?, ?, ?, ?, ?)")?;
        for index in done..(done + group).min(events) {
            let id = first + i64::try_from(index)?;
            let (none, text) = (None::<i64>, None::<&str>);
            insert.execute(params![id, 1_767_604_500_000_000_i64, "tick", none, none, "load", "NIFTY", text, body])?;
        }
        drop(insert);
        transaction.commit()?;
        done += group;
    }
    let seconds = begin.elapsed().as_secs_f64();
    Ok(vec![("events/s", events as f64 / seconds), ("events/commit", group as f64)].into())
}
