//! The artifact watcher: makes events of the files that engines leave on disk.
//!
//! It has a thread of its own, which may wait for the disk. The system tells it of changes; in addition it looks
//! through its folders now and then, because not every file system tells, and not everything is told. One broken file
//! never hides another: each is judged by itself, and the broken ones are shown in `/health` with the reason.

use std::collections::{HashMap, HashSet, VecDeque};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use actix::fut::wrap_future;
use actix::{Actor, ActorContext as _, ActorFutureExt as _, Addr, ArbiterHandle, AsyncContext as _, Context, Handler, Message};
use dashmap::DashMap;
use futures_util::FutureExt as _;
use tokio::time::Instant;

use super::artifact_folder::{Ear, FolderMoved, Sight, unreadable};
use super::artifact_publisher::{Candidate, Outcome, Publisher};
use super::artifact_table::Watch;
use super::supervision::Panics;
use crate::domain::artifact::{Artifact, Reading, Step};
use crate::domain::clock::{Clock, Timestamp};

/// The watcher's name in logs and `/health`.
pub const NAME: &str = "artifact_watcher";

/// So many files are looked at before others have their turn.
const LOOKS_A_TURN: usize = 256;
/// So many files, or bytes of events, are published at once.
const BATCH: (usize, usize) = (64, 1 << 20);
/// A folder may have so many other entries for each file that is looked at.
const ENTRIES_A_FILE: usize = 10;

/// Why no file of a folder is read that was there and is not any more.
const GONE: &str = "is gone; its files are read again when it is back";

/// How to watch.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// How often each folder is looked through.
    pub poll_interval: Duration,
    /// Most files of a folder.
    pub max_files: usize,
    /// Whether the system is asked to tell of changes.
    pub listen: bool,
}

/// Why a file is not understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileFault {
    /// A sentence for the operator.
    pub reason: String,
    /// Since when.
    pub since: Timestamp,
}

/// What others may know of the files; written by the watcher alone.
#[derive(Debug, Default)]
pub struct ArtifactStatus {
    /// The broken files, and folders that cannot be looked through, by name.
    pub broken: DashMap<String, FileFault>,
    /// Files that are being watched.
    pub files: AtomicUsize,
    /// Whether there is more in a folder than is looked at.
    pub is_cut: AtomicBool,
    /// Events made of files since the start.
    pub published: AtomicU64,
}

/// The actor.
pub struct ArtifactWatcher {
    watched: Vec<Watched>,
    settings: Settings,
    /// What is to be looked at, each file once.
    queue: VecDeque<Key>,
    queued: HashSet<Key>,
    /// Whether events are on their way; one batch at a time is.
    publishing: bool,
    publisher: Publisher,
    started: Instant,
    clock: Clock,
    panics: Panics,
    status: Arc<ArtifactStatus>,
}

/// A folder that is being watched.
struct Watched {
    watch: Watch,
    files: HashMap<String, Artifact>,
    /// Which folder it was when the ear was opened, and the ear; an ear that could not be opened is not tried again.
    ear: Option<((u64, u64), Option<Ear>)>,
    is_cut: bool,
    /// Whether the folder was ever there.
    was_there: bool,
}

/// A file: which of the watched folders, and its name there.
type Key = (usize, String);

/// Look at nothing any more.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct Stop;

/// Look through all folders.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
struct Scan;

/// Look at what is queued.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
struct Turn;

impl ArtifactWatcher {
    /// Starts the watcher on `arbiter`, whose thread it may block.
    pub fn start(
        arbiter: &ArbiterHandle,
        watches: Vec<Watch>,
        settings: Settings,
        publisher: Publisher,
        clock: Clock,
        panics: Panics,
        status: Arc<ArtifactStatus>,
    ) -> Addr<Self> {
        Self::start_in_arbiter(arbiter, move |_| Self {
            watched: watches
                .into_iter()
                .map(|watch| Watched { watch, files: HashMap::new(), ear: None, is_cut: false, was_there: false })
                .collect(),
            settings,
            queue: VecDeque::new(),
            queued: HashSet::new(),
            publishing: false,
            publisher,
            started: Instant::now(),
            clock,
            panics,
            status,
        })
    }

    fn enqueue(&mut self, key: Key) {
        if self.queued.insert(key.clone()) {
            self.queue.push_back(key);
        }
    }

    /// Queues what is in folder `index`, and what was.
    fn scan(&mut self, index: usize, ctx: &mut Context<Self>) {
        let Settings { max_files, listen, .. } = self.settings;
        let Some(watched) = self.watched.get_mut(index) else { return };
        if listen {
            // from before the look, so that nothing changes between the two unseen
            watched.listen(index, max_files, ctx);
        }
        let Watch { name, folder, matches, .. } = &watched.watch;
        let name = *name;
        let listing = folder.list(*matches, max_files.saturating_mul(ENTRIES_A_FILE));
        watched.was_there |= listing.is_ok();
        let fault = match &listing {
            // nobody has to make it before there is something to write
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => watched.was_there.then(|| GONE.to_owned()),
            Err(error) => Some(unreadable(error)),
            Ok(_) => None,
        };
        let (mut names, cut) = listing.map_or_else(|_| (Vec::new(), false), |listing| (listing.names, listing.cut));
        // where not all fit, which ones do shall not depend on the file system's order
        names.sort_unstable();
        watched.is_cut = cut || names.len() > max_files;
        names.extend(watched.files.keys().cloned());
        names.into_iter().for_each(|file| self.enqueue((index, file)));
        match fault {
            Some(reason) => self.report(name, reason),
            None => self.absolve(name),
        }
        self.status.is_cut.store(self.watched.iter().any(|watched| watched.is_cut), Ordering::Relaxed);
    }

    /// Queues what the system told of folder `index`.
    fn hear(&mut self, index: usize, ctx: &mut Context<Self>) {
        let Some(watched) = self.watched.get_mut(index) else { return };
        let Some((_, Some(ear))) = &watched.ear else { return };
        let changes = ear.take();
        if changes.lost {
            watched.ear = None;
        }
        changes.names.into_iter().for_each(|name| self.enqueue((index, name)));
        if changes.all {
            self.scan(index, ctx);
        }
    }

    /// Looks at what is queued, and publishes what is new.
    fn turn(&mut self, ctx: &mut Context<Self>) {
        if self.publishing {
            return;
        }
        let (mut batch, mut bytes) = (Vec::new(), 0);
        for _ in 0..LOOKS_A_TURN {
            let Some((index, name)) = self.queue.pop_front() else { break };
            let key = (index, name);
            self.queued.remove(&key);
            if let Some(candidate) = self.look(key, ctx) {
                bytes += candidate.news.finding.payload.len();
                batch.push(candidate);
            }
            if batch.len() >= BATCH.0 || bytes >= BATCH.1 {
                break;
            }
        }
        self.status.files.store(self.watched.iter().map(|watched| watched.files.len()).sum(), Ordering::Relaxed);
        if batch.is_empty() {
            if !self.queue.is_empty() {
                ctx.notify(Turn);
            }
            return;
        }
        self.publishing = true;
        let files: Vec<Key> = batch.iter().map(|candidate| (candidate.folder, candidate.file.clone())).collect();
        let delivery = AssertUnwindSafe(self.publisher.clone().deliver(batch)).catch_unwind();
        ctx.spawn(wrap_future::<_, Self>(delivery).map(move |outcomes, watcher, ctx| {
            watcher.publishing = false;
            match outcomes {
                Ok(outcomes) => outcomes.into_iter().for_each(|(candidate, outcome)| watcher.settle(&candidate, outcome)),
                Err(panic) => {
                    watcher.panics.contained(NAME, panic.as_ref());
                    for (folder, file) in files {
                        watcher.artifact(folder, &file).into_iter().for_each(Artifact::forget);
                    }
                }
            }
            ctx.notify(Turn);
        }));
    }

    /// Looks at one file; gives what it has to say, if that is new.
    fn look(&mut self, key: Key, ctx: &mut Context<Self>) -> Option<Candidate> {
        let (index, name) = (key.0, key.1.as_str());
        let watched = self.watched.get_mut(index)?;
        let sight = watched.watch.folder.see(name);
        if sight == Sight::Gone {
            watched.files.remove(name);
            self.absolve(name);
            return None;
        }
        if !watched.files.contains_key(name) {
            if watched.files.len() >= self.settings.max_files {
                return None;
            }
            watched.files.insert(name.to_owned(), Artifact::default());
        }
        let artifact = watched.files.get_mut(name)?;
        let (Sight::File(_, version) | Sight::Bad(version, _)) = sight else { return None };
        let now = self.started.elapsed();
        if !artifact.is_news(&version, now) {
            return None;
        }
        let Watch { folder, read, .. } = &watched.watch;
        let reading = match sight {
            Sight::File(path, _) => match folder.read(&path, version) {
                Ok(bytes) => self.panics.guard(NAME, || read(name, &bytes)).unwrap_or_else(|bug| Reading::Bad(bug.to_string())),
                Err(reason) => Reading::Bad(reason),
            },
            Sight::Bad(_, reason) => Reading::Bad(reason),
            Sight::Gone => return None,
        };
        match artifact.read(version, reading, now, self.clock.now()) {
            Step::Rest => self.absolve(name),
            Step::Report(reason) => self.report(name, reason),
            Step::Again(wait) => {
                ctx.run_later(wait, move |watcher, ctx| {
                    watcher.enqueue(key);
                    ctx.notify(Turn);
                });
            }
            Step::Publish(news) => {
                self.absolve(name);
                return Some(Candidate { folder: index, file: key.1, news });
            }
        }
        None
    }

    /// Notes what became of an event.
    fn settle(&mut self, candidate: &Candidate, outcome: Outcome) {
        if outcome == Outcome::Published {
            self.status.published.fetch_add(1, Ordering::Relaxed);
        }
        let Some(artifact) = self.artifact(candidate.folder, &candidate.file) else { return };
        match outcome {
            Outcome::Published | Outcome::Known => artifact.published(candidate.news.mark),
            // the next look through the folder tries again
            Outcome::Failed => artifact.forget(),
            Outcome::Unclear => {
                artifact.forget();
                self.enqueue((candidate.folder, candidate.file.clone()));
            }
        }
    }

    fn artifact(&mut self, folder: usize, file: &str) -> Option<&mut Artifact> {
        self.watched.get_mut(folder)?.files.get_mut(file)
    }

    fn report(&self, file: &str, reason: String) {
        let known = self.status.broken.get(file).map(|fault| (fault.reason == reason, fault.since));
        if known.is_none_or(|(is_same, _)| !is_same) {
            tracing::warn!(file, reason, "a file is not understood");
            let since = known.map_or_else(|| self.clock.now(), |(_, since)| since);
            self.status.broken.insert(file.to_owned(), FileFault { reason, since });
        }
    }

    fn absolve(&self, file: &str) {
        if self.status.broken.remove(file).is_some() {
            tracing::info!(file, "a broken file is good again or gone");
        }
    }
}

impl Watched {
    /// Keeps an ear at the folder that is there now.
    fn listen(&mut self, index: usize, max_files: usize, ctx: &Context<ArtifactWatcher>) {
        let Watch { folder, matches, name, .. } = &self.watch;
        let Ok(identity) = folder.identity() else {
            self.ear = None;
            return;
        };
        if self.ear.as_ref().is_some_and(|(heard, _)| *heard == identity) {
            return;
        }
        let actor = ctx.address().recipient();
        let ear = Ear::listen(folder, index, *matches, max_files, actor).inspect_err(|error| {
            tracing::warn!(folder = name, reason = ?error.kind, "changes are not told by the system; polling finds them");
        });
        self.ear = Some((identity, ear.ok()));
    }
}

impl Actor for ArtifactWatcher {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.notify(Scan);
        ctx.run_interval(self.settings.poll_interval, |_, ctx| ctx.notify(Scan));
    }
}

impl Handler<Scan> for ArtifactWatcher {
    type Result = ();

    fn handle(&mut self, _: Scan, ctx: &mut Self::Context) {
        // whatever a panic leaves undone, the next look does
        let _ = self.panics.clone().guard(NAME, || (0..self.watched.len()).for_each(|index| self.scan(index, ctx)));
        ctx.notify(Turn);
    }
}

impl Handler<Stop> for ArtifactWatcher {
    type Result = ();

    fn handle(&mut self, _: Stop, ctx: &mut Self::Context) {
        ctx.stop();
    }
}

impl Handler<FolderMoved> for ArtifactWatcher {
    type Result = ();

    fn handle(&mut self, FolderMoved(index): FolderMoved, ctx: &mut Self::Context) {
        let _ = self.panics.clone().guard(NAME, || self.hear(index, ctx));
        ctx.notify(Turn);
    }
}

impl Handler<Turn> for ArtifactWatcher {
    type Result = ();

    fn handle(&mut self, _: Turn, ctx: &mut Self::Context) {
        let _ = self.panics.clone().guard(NAME, || self.turn(ctx));
    }
}
