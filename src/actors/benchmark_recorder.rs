//! The benchmark recorder: the folder of benchmarks, which it writes and reads on a thread that may wait for the disk.
//!
//! One message after the other, so nobody reads half of what is being recorded, and whoever asks after a record was
//! acknowledged sees it.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use actix::{Actor, Addr, ArbiterHandle, AsyncContext as _, Context, Handler, Message};
use chrono::NaiveDate;
use parking_lot::Mutex;
use tokio::sync::OwnedSemaphorePermit;

use super::admission::Admission;
use super::artifact_folder::Folder;
use super::benchmark_files::{BenchmarkFiles, Faults, Limits, TooMany};
use super::supervision::Panics;
use crate::domain::benchmark::Point;
use crate::domain::benchmark::file::DAY_PREFIX;
use crate::domain::clock::{Clock, Timestamp};
use crate::domain::risk::session::Session;
use crate::storage::line_file::{self, Appended};

/// The recorder's name in logs and `/health`.
pub const NAME: &str = "benchmark_recorder";

/// How to work.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where the files are.
    pub folder: PathBuf,
    /// The largest file that is read or written, in bytes.
    pub max_file_bytes: u64,
    /// How much is read.
    pub limits: Limits,
    /// How often the files are looked at when nobody asks.
    pub poll_interval: Duration,
    /// Requests that may wait, and for how long.
    pub queue: Admission,
    /// To which day's file a point belongs.
    pub session: Session,
}

/// Why a request was not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BenchmarkError {
    /// Too many requests are waiting.
    #[error("too many requests for benchmarks are waiting")]
    Busy,
    /// The answer would be too large.
    #[error("the benchmarks of that time are more than one answer holds")]
    TooMany,
    /// The disk said no.
    #[error("the benchmarks cannot be written: {0}")]
    Disk(io::ErrorKind),
    /// The recorder failed inside.
    #[error("the request was not done")]
    Lost,
}

/// What others may know; written by the recorder alone.
#[derive(Debug, Default)]
pub struct BenchmarkStatus {
    /// What is wrong with the files.
    pub faults: Mutex<Faults>,
    /// Points recorded since the start.
    pub recorded: AtomicU64,
    /// Requests whose points could not be written.
    pub failed: AtomicU64,
}

/// The actor.
pub struct BenchmarkRecorder {
    folder: PathBuf,
    max_file_bytes: u64,
    files: BenchmarkFiles,
    session: Session,
    poll_interval: Duration,
    clock: Clock,
    panics: Panics,
    status: Arc<BenchmarkStatus>,
}

/// Write these, all or none.
#[derive(Debug, Message)]
#[rtype(result = "Result<(), BenchmarkError>")]
struct Record(Vec<Point>, OwnedSemaphorePermit);

/// Read the points from the first instant on, and before the second.
#[derive(Debug, Message)]
#[rtype(result = "Result<Vec<Point>, BenchmarkError>")]
struct Read(Timestamp, Timestamp, OwnedSemaphorePermit);

impl BenchmarkRecorder {
    /// Appends each point to its day's file.
    fn record(&self, points: &[Point]) -> io::Result<()> {
        let mut days: BTreeMap<NaiveDate, Vec<u8>> = BTreeMap::new();
        for point in points {
            let lines = days.entry(self.session.date_of(point.ts)).or_default();
            point.write(lines);
            lines.push(b'\n');
        }
        fs::create_dir_all(&self.folder)?;
        let mut done: Vec<Appended> = Vec::new();
        for (day, lines) in days {
            let path = self.folder.join(format!("{DAY_PREFIX}{day}.jsonl"));
            match line_file::append(&path, &lines, self.max_file_bytes) {
                Ok(appended) => done.push(appended),
                Err(error) => {
                    done.into_iter().for_each(Appended::undo);
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    fn refresh(&mut self) {
        let now = self.clock.now();
        // what a panic leaves undone, the next look does
        let _ = self.panics.clone().guard(NAME, || {
            self.files.refresh(now);
            self.tell();
        });
    }

    fn tell(&self) {
        *self.status.faults.lock() = self.files.faults();
    }
}

impl Actor for BenchmarkRecorder {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.refresh();
        ctx.run_interval(self.poll_interval, |recorder, _| recorder.refresh());
    }
}

impl Handler<Record> for BenchmarkRecorder {
    type Result = Result<(), BenchmarkError>;

    fn handle(&mut self, Record(points, _permit): Record, _: &mut Self::Context) -> Self::Result {
        let written = self.panics.guard(NAME, || self.record(&points)).map_err(|_| BenchmarkError::Lost)?;
        if let Err(error) = written {
            tracing::warn!(%error, "benchmarks cannot be written");
            self.status.failed.fetch_add(1, Ordering::Relaxed);
            return Err(BenchmarkError::Disk(error.kind()));
        }
        self.status.recorded.fetch_add(points.len() as u64, Ordering::Relaxed);
        Ok(())
    }
}

impl Handler<Read> for BenchmarkRecorder {
    type Result = Result<Vec<Point>, BenchmarkError>;

    fn handle(&mut self, Read(from, until, _permit): Read, _: &mut Self::Context) -> Self::Result {
        let now = self.clock.now();
        let panics = self.panics.clone();
        let read = panics.guard(NAME, || {
            let points = self.files.window(from, until, now);
            self.tell();
            points
        });
        read.map_err(|_| BenchmarkError::Lost)?.map_err(|TooMany| BenchmarkError::TooMany)
    }
}

/// Records and reads.
#[derive(Debug, Clone)]
pub struct BenchmarkRecorderHandle {
    recorder: Addr<BenchmarkRecorder>,
    queue: Admission,
    status: Arc<BenchmarkStatus>,
}

impl BenchmarkRecorderHandle {
    /// Starts the recorder on `arbiter`, whose thread it may block.
    #[must_use]
    pub fn start(arbiter: &ArbiterHandle, settings: Settings, clock: Clock, panics: Panics) -> Self {
        let Settings { folder, max_file_bytes, limits, poll_interval, queue, session } = settings;
        let status = Arc::<BenchmarkStatus>::default();
        let recorder = {
            let status = Arc::clone(&status);
            let read = Folder::new(folder.clone(), max_file_bytes);
            let files = BenchmarkFiles::new(read, session.timezone(), limits);
            BenchmarkRecorder { folder, max_file_bytes, files, session, poll_interval, clock, panics, status }
        };
        let recorder = BenchmarkRecorder::start_in_arbiter(arbiter, |_| recorder);
        Self { recorder, queue, status }
    }

    /// Records `points`, all or none; they are on the disk when this returns.
    ///
    /// # Errors
    /// See [`BenchmarkError`].
    pub async fn record(&self, points: Vec<Point>) -> Result<(), BenchmarkError> {
        let permit = self.queue.enter(1).await.map_err(|_| BenchmarkError::Busy)?;
        self.recorder.send(Record(points, permit)).await.map_err(|_| BenchmarkError::Lost)?
    }

    /// The points with `from <= ts < until`, ascending.
    ///
    /// # Errors
    /// See [`BenchmarkError`].
    pub async fn read(&self, from: Timestamp, until: Timestamp) -> Result<Vec<Point>, BenchmarkError> {
        let permit = self.queue.enter(1).await.map_err(|_| BenchmarkError::Busy)?;
        self.recorder.send(Read(from, until, permit)).await.map_err(|_| BenchmarkError::Lost)?
    }

    /// The queue of requests.
    #[must_use]
    pub fn admission(&self) -> &Admission {
        &self.queue
    }

    /// What is known of the files.
    #[must_use]
    pub fn status(&self) -> &BenchmarkStatus {
        &self.status
    }
}
