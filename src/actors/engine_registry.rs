//! The registry of engines: follows the events, folds them into one record an engine, keeps a watcher for each engine that
//! is not stopped, and announces once when one goes silent and once when it is back.
//!
//! The records are a read model: written here alone, read by routes and watchers. At a start they are folded anew from the
//! journal, and nothing is published before that is done. Announcements are events too and part of the fold, so a restart
//! repeats none.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use actix::fut::wrap_future;
use actix::{
    Actor, ActorContext as _, ActorFutureExt as _, Addr, ArbiterHandle, AsyncContext as _, Context, Handler, Message,
    MessageResult,
};
use tokio::sync::oneshot;

use super::engine_model::EngineModel;
use super::engine_record::RecordWriter;
use super::engine_watcher::{EngineWatcher, Rest, Watch, draft};
use super::follower::{Follower, Follows, follow};
use super::history::History;
use super::publisher::{Published, Receipt};
use super::wake::RingMoved;
use crate::domain::clock::Timestamp;
use crate::domain::engine::{Engine, EngineName, Kind, News, State, Verdict};
use crate::domain::event::Event;
use crate::domain::id::EventId;

/// The registry's name in logs and `/health`.
pub const NAME: &str = "engine_registry";

/// Sources that published something before their first beat: what they said is kept for so many.
const MAX_EARLY: usize = 1_000;
/// How often changed records are written to files.
const WRITE_INTERVAL: Duration = Duration::from_secs(1);
/// How long a reader waits for the registry to have taken what was acknowledged before.
const SYNC_WAIT: Duration = Duration::from_millis(250);

/// What the registry goes by.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Most engines.
    pub max: usize,
    /// How far back the journal is read at a start.
    pub rebuild: Duration,
    /// Kinds that the configuration names.
    pub kinds: HashMap<String, Kind>,
    /// Folder of the engines' files.
    pub folder: PathBuf,
}

/// The actor.
pub struct EngineRegistry {
    follower: Follower,
    settings: Settings,
    watch: Arc<Watch>,
    watchers_thread: ArbiterHandle,
    watchers: HashMap<EngineName, Addr<EngineWatcher>>,
    /// Sources that have not beaten yet.
    early: HashMap<EngineName, Engine>,
    /// Announcements on their way, with their ids once they are known.
    announcing: HashMap<EngineName, Option<EventId>>,
    /// Who waits until an event is taken.
    waiting: Vec<(EventId, oneshot::Sender<()>)>,
    /// The newest event of the time before this start.
    until: EventId,
    /// Before this time nobody is called silent: while the service was away nobody could beat.
    patience: Timestamp,
    /// The engines' files.
    files: RecordWriter,
}

/// This engine's announcement may no longer be true.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct Judge(pub EngineName);

/// Answer when everything that is committed now was taken.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "oneshot::Receiver<()>")]
struct Sync;

/// Watch no more, and take no more.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
struct Stop;

/// Write the changed records.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
struct WriteFiles;

impl EngineRegistry {
    /// Takes one event.
    fn fold(&mut self, event: &Event, now: Timestamp, beaten: &mut HashSet<EngineName>) {
        let Some(news) = News::of(event) else { return };
        let name = news.engine().clone();
        let model = &self.watch.engines;
        if let Some(mut engine) = model.engines.get_mut(&name) {
            if let News::Beat(beat) = &news {
                self.files.changed(&name, beat.is_file);
                beaten.insert(name);
            }
            return engine.observe(news, event, now);
        }
        let fresh = || Engine::new(name.clone(), self.settings.kinds.get(name.as_str()).copied());
        match &news {
            News::Beat(beat) => {
                if model.engines.len() >= self.settings.max {
                    model.ignored.fetch_add(1, Ordering::Relaxed);
                    return;
                }
                let mut engine = self.early.remove(&name).unwrap_or_else(fresh);
                self.files.changed(&name, beat.is_file);
                engine.observe(news, event, now);
                beaten.insert(name.clone());
                model.engines.insert(name, engine);
            }
            News::Published(_) if self.early.len() < MAX_EARLY || self.early.contains_key(&name) => {
                self.early.entry(name.clone()).or_insert_with(fresh).observe(news, event, now);
            }
            _ => {}
        }
    }

    /// Watches an engine that beats, and no longer one that stopped.
    fn attend(&mut self, name: &EngineName, first: Option<Duration>, ctx: &mut Context<Self>) {
        let now = self.watch.clock.now();
        let Some((state, kind, verdict)) = self.watch.engines.engines.get(name).map(|engine| {
            let stale_after = self.watch.limits.stale_after;
            (engine.state(now, stale_after), engine.kind(), engine.verdict(now, stale_after))
        }) else {
            return;
        };
        if state == State::Stopped {
            self.watchers.remove(name).into_iter().for_each(|watcher| watcher.do_send(Rest));
        } else if !self.watchers.get(name).is_some_and(Addr::connected) {
            let first = first.unwrap_or_else(|| self.watch.ticks.of(name, kind));
            let (watch, registry) = (Arc::clone(&self.watch), ctx.address().recipient());
            let watcher = EngineWatcher::start(&self.watchers_thread, name.clone(), watch, registry, first);
            self.watchers.insert(name.clone(), watcher);
        }
        if verdict == Some(Verdict::Recovered) {
            self.announce(name, Verdict::Recovered, ctx);
        }
    }

    /// The journal's past is taken: from here on the registry acts.
    fn rebuilt(&mut self, ctx: &mut Context<Self>) {
        self.watch.engines.is_rebuilt.store(true, Ordering::Release);
        let names: Vec<(EngineName, Kind)> =
            self.watch.engines.engines.iter().map(|each| (each.key().clone(), each.kind())).collect();
        tracing::debug!(engines = names.len(), "the engines are known again");
        for (name, kind) in names {
            // spread over the interval, so that they do not all tick at once for ever
            let first = self.watch.ticks.of(&name, kind).mul_f64(fastrand::f64());
            self.attend(&name, Some(first), ctx);
        }
        self.files.clear();
    }

    fn judge(&mut self, name: &EngineName, ctx: &mut Context<Self>) {
        let now = self.watch.clock.now();
        // what has arrived but was not taken yet may be a beat: nobody is silent beyond what was taken
        let newest = self.follower.newest();
        let cursor = self.follower.cursor();
        let taken = i64::try_from(cursor.millis()).unwrap_or(i64::MAX).saturating_mul(1_000);
        let horizon = if cursor < newest { now.min(Timestamp::from_micros(taken)) } else { now };
        let stale_after = self.watch.limits.stale_after;
        let verdict = self.watch.engines.engines.get(name).and_then(|engine| match engine.verdict(now, stale_after)? {
            Verdict::Stale => engine.verdict(horizon, stale_after).filter(|_| now >= self.patience),
            Verdict::Recovered => Some(Verdict::Recovered),
        });
        if let Some(verdict) = verdict {
            self.announce(name, verdict, ctx);
        }
    }

    fn announce(&mut self, name: &EngineName, verdict: Verdict, ctx: &mut Context<Self>) {
        let now = self.watch.clock.now();
        let is_possible = self.watch.engines.is_rebuilt.load(Ordering::Acquire) && !self.announcing.contains_key(name);
        let Some(engine) = self.watch.engines.engines.get(name).filter(|_| is_possible) else { return };
        let notice = engine.announcement(verdict, now, self.watch.limits);
        drop(engine);
        tracing::info!(engine = %name, event = notice.event_type, "announcing");
        self.announcing.insert(name.clone(), None);
        let (bus, name) = (self.watch.bus.clone(), name.clone());
        let published = async move { bus.publish(vec![draft(notice, now)]).await };
        ctx.spawn(wrap_future::<_, Self>(published).map(move |outcome, registry, _| {
            let panics = registry.watch.panics.clone();
            let _ = panics.guard(NAME, || registry.announced(name, verdict, &outcome));
        }));
    }

    fn announced(&mut self, name: EngineName, verdict: Verdict, outcome: &Published) {
        match outcome.as_deref() {
            Ok([Receipt { id, duplicate }, ..]) => {
                if *duplicate && let Some(mut engine) = self.watch.engines.engines.get_mut(&name) {
                    // announced before what the journal was read from
                    engine.announced((verdict == Verdict::Stale).then_some(*id));
                }
                if *duplicate || self.follower.cursor() >= *id {
                    self.announcing.remove(&name);
                } else {
                    // until it was taken nothing more is said of this engine
                    self.announcing.insert(name, Some(*id));
                }
            }
            _ => {
                // the next tick finds it out again
                self.announcing.remove(&name);
            }
        }
    }

    fn write_files(&mut self, ctx: &mut Context<Self>) {
        let Some(written) = self.files.write(&self.watch.engines) else { return };
        ctx.spawn(wrap_future::<_, Self>(written).map(|outcome, registry, _| {
            let failed = registry.files.written(outcome);
            registry.watch.engines.files_failed.fetch_add(failed, Ordering::Relaxed);
        }));
    }
}

impl Follows for EngineRegistry {
    fn follower(&mut self) -> &mut Follower {
        &mut self.follower
    }

    fn take(&mut self, events: Vec<Arc<Event>>, ctx: &mut Context<Self>) {
        let now = self.watch.clock.now();
        let panics = self.watch.panics.clone();
        let mut beaten = HashSet::new();
        for event in &events {
            // an event that is a bug's undoing is left out; the next one is taken
            let _ = panics.guard(NAME, || self.fold(event, now, &mut beaten));
        }
        let _ = panics.guard(NAME, || self.act(&beaten, ctx));
    }
}

impl EngineRegistry {
    /// Does what follows from the events that were taken.
    fn act(&mut self, beaten: &HashSet<EngineName>, ctx: &mut Context<Self>) {
        let cursor = self.follower.cursor();
        self.announcing.retain(|_, id| id.is_none_or(|id| id > cursor));
        for (_, waiter) in self.waiting.extract_if(.., |(id, _)| *id <= cursor) {
            // a reader that is gone needs no answer
            let _ = waiter.send(());
        }
        if !self.watch.engines.is_rebuilt.load(Ordering::Acquire) {
            if cursor >= self.until {
                self.rebuilt(ctx);
            }
            return;
        }
        for name in beaten {
            self.attend(name, None, ctx);
        }
    }
}

impl Actor for EngineRegistry {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.watch.bus.subscribe(self.follower.subscriber(&ctx.address()));
        ctx.address().do_send(RingMoved);
        if self.follower.cursor() >= self.until {
            self.rebuilt(ctx);
        }
        ctx.run_interval(WRITE_INTERVAL, |_, ctx| ctx.address().do_send(WriteFiles));
    }
}

impl Handler<RingMoved> for EngineRegistry {
    type Result = ();

    fn handle(&mut self, _: RingMoved, ctx: &mut Self::Context) {
        let panics = self.watch.panics.clone();
        let _ = panics.guard(NAME, || follow(self, ctx));
    }
}

impl Handler<Judge> for EngineRegistry {
    type Result = ();

    fn handle(&mut self, Judge(name): Judge, ctx: &mut Self::Context) {
        let panics = self.watch.panics.clone();
        let _ = panics.guard(NAME, || self.judge(&name, ctx));
    }
}

impl Handler<WriteFiles> for EngineRegistry {
    type Result = ();

    fn handle(&mut self, _: WriteFiles, ctx: &mut Self::Context) {
        let panics = self.watch.panics.clone();
        let _ = panics.guard(NAME, || self.write_files(ctx));
    }
}

impl Handler<Sync> for EngineRegistry {
    type Result = MessageResult<Sync>;

    fn handle(&mut self, _: Sync, _: &mut Self::Context) -> Self::Result {
        let (done, taken) = oneshot::channel();
        let newest = self.follower.newest();
        if self.follower.cursor() >= newest {
            let _ = done.send(());
        } else {
            self.waiting.push((newest, done));
        }
        MessageResult(taken)
    }
}

impl Handler<Stop> for EngineRegistry {
    type Result = ();

    fn handle(&mut self, _: Stop, ctx: &mut Self::Context) {
        self.watchers.drain().for_each(|(_, watcher)| watcher.do_send(Rest));
        ctx.stop();
    }
}

/// Reads the engines.
#[derive(Debug, Clone)]
pub struct EngineRegistryHandle {
    registry: Addr<EngineRegistry>,
    engines: Arc<EngineModel>,
    max: usize,
}

impl EngineRegistryHandle {
    /// Starts the registry on `arbiter`, and its watchers on `watchers`.
    #[must_use]
    pub fn start(arbiter: &ArbiterHandle, watchers: &ArbiterHandle, history: History, watch: Watch, settings: Settings) -> Self {
        let (engines, max) = (Arc::clone(&watch.engines), settings.max);
        let now = watch.clock.now();
        let before = |time: Duration| i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
        let since = Timestamp::from_micros(now.micros().saturating_sub(before(settings.rebuild)));
        let patience = Timestamp::from_micros(now.micros().saturating_add(before(watch.limits.stale_after)));
        let until = history.ring().newest();
        // ids go on behind the newest one even when the clock was set back
        let cursor = EventId::first_at(since).before().min(until);
        let watchers_thread = watchers.clone();
        let registry = EngineRegistry::start_in_arbiter(arbiter, move |_| EngineRegistry {
            follower: Follower::new(history, cursor),
            files: RecordWriter::new(settings.folder.clone()),
            settings,
            watch: Arc::new(watch),
            watchers_thread,
            watchers: HashMap::new(),
            early: HashMap::new(),
            announcing: HashMap::new(),
            waiting: Vec::new(),
            until,
            patience,
        });
        Self { registry, engines, max }
    }

    /// The engines, after waiting a moment for what was acknowledged before this call.
    pub async fn current(&self) -> &EngineModel {
        // it is a courtesy: under load the records are told as they are
        let _ = tokio::time::timeout(SYNC_WAIT, self.synced()).await;
        &self.engines
    }

    /// Returns when everything that is committed now was taken.
    pub async fn synced(&self) {
        if let Ok(taken) = self.registry.send(Sync).await {
            // a registry that is gone knows no more than it knew
            let _ = taken.await;
        }
    }

    /// Ends the watchers and the registry; the records stay as they are.
    pub async fn stop(&self) {
        // one that is gone has ended
        let _ = self.registry.send(Stop).await;
    }

    /// The engines as they are.
    #[must_use]
    pub fn engines(&self) -> &EngineModel {
        &self.engines
    }

    /// Whether a beat of `name` would be of one engine too many.
    #[must_use]
    pub fn is_full_for(&self, name: &EngineName) -> bool {
        self.engines.engines.len() >= self.max && !self.engines.engines.contains_key(name)
    }
}
