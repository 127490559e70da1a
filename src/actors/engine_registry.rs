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

use super::engine_fold::{Change, EngineFold};
use super::engine_record::{RecordWriter, recall};
use super::engine_watcher::{EngineWatcher, Rest, Watch, draft};
use super::follower::{Follower, Follows, barrier, follow};
use super::history::History;
use super::publisher::{Published, Receipt};
use super::wake::RingMoved;
use crate::domain::clock::Timestamp;
use crate::domain::engine::patience::Patience;
use crate::domain::engine::{EngineName, Kind, State, Verdict};
use crate::domain::event::Event;
use crate::domain::id::EventId;

/// The registry's name in logs and `/health`.
pub const NAME: &str = "engine_registry";

/// How often changed records are written to files.
const WRITE_INTERVAL: Duration = Duration::from_secs(1);

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
    fold: EngineFold,
    /// Announcements on their way, with their ids once they are known.
    announcing: HashMap<EngineName, Option<EventId>>,
    /// Engines that are silent unless an event up to this one, which is yet to be taken, says otherwise.
    doubted: HashMap<EngineName, EventId>,
    /// The newest event of the time before this start.
    until: EventId,
    patience: Patience,
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
pub(super) struct Sync;

/// Watch no more, and take no more.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub(super) struct Stop;

/// Write the changed records.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
struct WriteFiles;

impl EngineRegistry {
    /// Starts the registry on `arbiter`, and its watchers on `watchers`.
    #[must_use]
    pub fn start(
        arbiter: &ArbiterHandle,
        watchers: &ArbiterHandle,
        history: History,
        watch: Watch,
        settings: Settings,
    ) -> Addr<Self> {
        let now = watch.clock.now();
        let rebuild = i64::try_from(settings.rebuild.as_micros()).unwrap_or(i64::MAX);
        let since = Timestamp::from_micros(now.micros().saturating_sub(rebuild));
        let until = history.ring().newest();
        // ids go on behind the newest one even when the clock was set back
        let cursor = EventId::first_at(since).before().min(until);
        let watchers_thread = watchers.clone();
        Self::start_in_arbiter(arbiter, move |_| Self {
            follower: Follower::unhurried(history, cursor),
            files: RecordWriter::new(settings.folder.clone()),
            fold: EngineFold::new(Arc::clone(&watch.engines), settings.max, settings.kinds.clone()),
            patience: Patience::new(now, watch.limits.stale_after),
            settings,
            watch: Arc::new(watch),
            watchers_thread,
            watchers: HashMap::new(),
            announcing: HashMap::new(),
            doubted: HashMap::new(),
            until,
        })
    }

    /// Takes one event.
    fn fold(&mut self, event: &Event, now: Timestamp, beaten: &mut HashSet<EngineName>) {
        match self.fold.take(event, now) {
            Some(Change::Beat(name, by_file)) => {
                self.files.changed(&name, by_file);
                beaten.insert(name);
            }
            // a restart that knows the engine from its file alone shall not announce it again
            Some(Change::Announced(name)) => self.files.changed(&name, false),
            None => {}
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

    /// The journal's past is taken: from here on the registry acts. What the journal no longer tells is in the files.
    fn rebuilt(&mut self, ctx: &mut Context<Self>) {
        let now = self.watch.clock.now();
        for (kept, modified) in recall(&self.settings.folder, self.settings.max) {
            self.fold.recall(kept, modified, now);
        }
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

    /// The time; and whether the service was away since the last look.
    fn look(&mut self) -> Timestamp {
        let now = self.watch.clock.now();
        if self.patience.look(now) {
            tracing::info!("the service was suspended; engines have time to beat again");
        }
        now
    }

    fn judge(&mut self, name: &EngineName, ctx: &mut Context<Self>) {
        let now = self.look();
        // what has arrived but was not taken yet may be a beat: nobody is silent beyond what was taken
        let newest = self.follower.newest();
        let cursor = self.follower.cursor();
        let taken = i64::try_from(cursor.millis()).unwrap_or(i64::MAX).saturating_mul(1_000);
        let horizon = if cursor < newest { now.min(Timestamp::from_micros(taken)) } else { now };
        let stale_after = self.watch.limits.stale_after;
        let Some((verdict, is_certain)) = self.watch.engines.engines.get(name).and_then(|engine| {
            let verdict = engine.verdict(now, stale_after)?;
            Some((verdict, verdict == Verdict::Recovered || engine.verdict(horizon, stale_after) == Some(verdict)))
        }) else {
            return;
        };
        if verdict == Verdict::Stale && !self.patience.is_over(now) {
            return;
        }
        if is_certain {
            self.announce(name, verdict, ctx);
        } else {
            self.doubted.insert(name.clone(), newest);
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
        if self.watch.engines.is_rebuilt.load(Ordering::Acquire) {
            for name in beaten {
                self.attend(name, None, ctx);
            }
        } else if cursor >= self.until {
            self.rebuilt(ctx);
        } else {
            // nobody is judged by records that are not complete
            return;
        }
        let certain: Vec<_> = self.doubted.extract_if(|_, id| *id <= cursor).map(|(name, _)| name).collect();
        for name in certain {
            self.judge(&name, ctx);
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
        ctx.run_interval(self.patience.interval(), |registry, _| {
            registry.look();
        });
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

    fn handle(&mut self, _: Sync, ctx: &mut Self::Context) -> Self::Result {
        let panics = self.watch.panics.clone();
        // who asks a question that is a bug's undoing hears at once that nobody will answer
        MessageResult(panics.guard(NAME, || barrier(self, ctx)).unwrap_or_else(|_| oneshot::channel().1))
    }
}

impl Handler<Stop> for EngineRegistry {
    type Result = ();

    fn handle(&mut self, _: Stop, ctx: &mut Self::Context) {
        self.watchers.drain().for_each(|(_, watcher)| watcher.do_send(Rest));
        ctx.stop();
    }
}
