//! The risk evaluator: follows the events, folds them into the day's figures, compares these with the limits, and tells what
//! it finds: to the bus, to the kill switch, and at the end of a day to a file.
//!
//! At a start it folds the journal in silence and then tells exactly what no earlier run has told. Findings go out in their
//! order, through a queue of their own; what the bus does not take is offered again, under the same `event_id`.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use actix::fut::wrap_future;
use actix::{
    Actor, ActorContext as _, ActorFutureExt as _, AsyncContext as _, Context, Handler, Message, MessageResult, Recipient,
};
use rust_decimal::Decimal;
use tokio::sync::oneshot;

use super::day_file_queue::DayFileQueue;
use super::follower::{Follower, Follows, barrier, follow};
use super::history::History;
use super::kill_switch::Trip;
use super::publisher::{EventBusHandle, PublishError, Published};
use super::risk_handle::{GetBreaches, GetStartingCapital, GetStatus, RiskCounters, Sync};
use super::supervision::{Contained, Panics};
use super::wake::RingMoved;
use crate::domain::clock::{Clock, Timestamp};
use crate::domain::engine::PLIMSOLL;
use crate::domain::event::{Draft, Event, Header};
use crate::domain::id::EventId;
use crate::domain::risk::announce::Announcement;
use crate::domain::risk::evaluation::{Effect, Evaluation};
use crate::domain::risk::limits::Limits;
use crate::storage::atomic_file;

/// The evaluator's name in logs and `/health`.
pub const NAME: &str = "risk_evaluator";

/// Findings that wait for the bus; beyond it the oldest are lost, counted.
const MAX_WAITING: usize = 10_000;
/// Findings that are offered at once.
const BATCH: usize = 256;
/// When what the bus did not take is offered again, and a file that could not be written is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// How often the clock is looked at.
const TICK: Duration = Duration::from_millis(250);
/// A day is over by the clock so long after its end, in microseconds: what arrived before may still be on its way.
const GRACE: i64 = 1_000_000;

/// From now on these limits hold.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct LimitsChanged(pub Arc<Limits>);

/// Whom the evaluator speaks to.
pub struct Surroundings {
    /// Where findings are published.
    pub bus: EventBusHandle,
    /// The kill switch.
    pub trips: Option<Recipient<Trip>>,
    /// Folder of the files of days.
    pub folder: PathBuf,
    /// The time.
    pub clock: Clock,
    /// Contained panics.
    pub panics: Panics,
}

/// The actor.
pub struct RiskEvaluator {
    follower: Follower,
    evaluation: Evaluation,
    around: Surroundings,
    counters: Arc<RiskCounters>,
    /// The newest event of the time before this start.
    until: EventId,
    /// Findings that are not published yet, oldest first.
    findings: VecDeque<Announcement>,
    is_publishing: bool,
    files: DayFileQueue,
}

/// Look at the clock.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
struct Tick;

/// Take no more.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub(super) struct Stop;

impl RiskEvaluator {
    /// The evaluator of what is behind `cursor`.
    pub(super) fn new(
        history: History,
        cursor: EventId,
        evaluation: Evaluation,
        around: Surroundings,
        counters: Arc<RiskCounters>,
    ) -> Self {
        let until = history.ring().newest();
        // ids go on behind the newest one even when the clock was set back
        let cursor = cursor.min(until);
        // nothing to rebuild is no rebuilding
        counters.is_rebuilt.store(cursor >= until, Ordering::Release);
        Self {
            follower: Follower::new(history, cursor),
            evaluation,
            around,
            counters,
            until,
            findings: VecDeque::new(),
            is_publishing: false,
            files: DayFileQueue::default(),
        }
    }

    fn is_rebuilt(&self) -> bool {
        self.counters.is_rebuilt.load(Ordering::Acquire)
    }

    fn rebuilt(&mut self, ctx: &mut Context<Self>) {
        let panics = self.around.panics.clone();
        let is_rebuilt = panics.guard(NAME, || {
            let effects = self.evaluation.rebuilt(self.around.clock.now());
            tracing::debug!(effects = effects.len(), "the day's figures are known again");
            self.carry_out(effects, ctx);
        });
        self.counters.is_rebuilt.store(is_rebuilt.is_ok(), Ordering::Release);
        if is_rebuilt.is_err() {
            self.distrust();
        }
    }

    /// What a bug has interrupted may be missing in the figures.
    fn distrust(&mut self) {
        self.evaluation.distrust();
        self.counters.is_hurt.store(true, Ordering::Relaxed);
    }

    fn carry_out(&mut self, effects: Vec<Effect>, ctx: &mut Context<Self>) {
        for effect in effects {
            match effect {
                Effect::Announce(finding) => {
                    tracing::info!(event = finding.event_type, id = finding.event_id, "found");
                    self.findings.push_back(finding);
                    if self.findings.len() > MAX_WAITING {
                        self.findings.pop_front();
                        self.counters.lost.fetch_add(1, Ordering::Relaxed);
                        tracing::error!("a finding was given up: too many of them wait for the journal");
                    }
                }
                Effect::Trip(cause) => {
                    let trip = Trip { to: cause.to, reason: cause.reason, actor: cause.actor, cause: cause.cause };
                    self.around.trips.iter().for_each(|switch| switch.do_send(trip.clone()));
                }
                Effect::WriteDay { name, text } => {
                    if let Some(name) = self.files.push(name, text) {
                        tracing::error!(file = name, "the day's file was given up: too many of them wait to be written");
                        self.counters.files_lost.fetch_add(1, Ordering::Relaxed);
                    }
                }
            }
        }
        self.publish(ctx);
        self.write(ctx);
    }

    /// Offers the oldest findings to the bus, unless others are on their way.
    fn publish(&mut self, ctx: &mut Context<Self>) {
        self.counters.waiting.store(self.findings.len(), Ordering::Relaxed);
        if self.is_publishing || self.findings.is_empty() {
            return;
        }
        self.is_publishing = true;
        let count = self.findings.len().min(BATCH);
        let batch: Vec<Announcement> = self.findings.drain(..count).collect();
        let now = self.around.clock.now();
        let drafts = batch.iter().map(|finding| draft(finding, now)).collect();
        let bus = self.around.bus.clone();
        let published = async move { bus.publish(drafts).await };
        ctx.spawn(wrap_future::<_, Self>(published).map(move |outcome, evaluator, ctx| {
            let panics = evaluator.around.panics.clone();
            let _ = panics.guard(NAME, || evaluator.published(batch, &outcome, ctx));
        }));
    }

    fn published(&mut self, batch: Vec<Announcement>, outcome: &Published, ctx: &mut Context<Self>) {
        self.is_publishing = false;
        match outcome {
            Ok(receipts) => {
                self.counters.published.fetch_add(receipts.len() as u64, Ordering::Relaxed);
                self.publish(ctx);
            }
            // the next start tells what was not told
            Err(PublishError::Stopping) => {}
            Err(error) => {
                tracing::warn!(%error, findings = batch.len(), "findings wait to be published");
                self.counters.refused.fetch_add(1, Ordering::Relaxed);
                batch.into_iter().rev().for_each(|finding| self.findings.push_front(finding));
                self.counters.waiting.store(self.findings.len(), Ordering::Relaxed);
                ctx.run_later(RETRY, |evaluator, ctx| evaluator.publish(ctx));
            }
        }
    }

    /// Writes the oldest file that waits, unless one is being written.
    fn write(&mut self, ctx: &mut Context<Self>) {
        let Some((name, text)) = self.files.begin() else { return };
        let path = self.around.folder.join(&name);
        let written = tokio::task::spawn_blocking(move || {
            path.parent().map_or(Ok(()), std::fs::create_dir_all)?;
            atomic_file::create(&path, text.as_bytes())
        });
        ctx.spawn(wrap_future::<_, Self>(written).map(move |outcome, evaluator, ctx| {
            let outcome = outcome.map_err(std::io::Error::other).flatten();
            evaluator.files.end(&name, outcome.is_ok());
            evaluator.counters.files_waiting.store(evaluator.files.len(), Ordering::Relaxed);
            match outcome {
                Ok(is_new) => {
                    tracing::info!(file = name, is_new, "the day's file is there");
                    evaluator.write(ctx);
                }
                Err(error) => {
                    tracing::error!(file = name, %error, "the day's file cannot be written; trying again");
                    evaluator.counters.files_failed.fetch_add(1, Ordering::Relaxed);
                    ctx.run_later(RETRY, |evaluator, ctx| evaluator.write(ctx));
                }
            }
        }));
    }

    fn tick(&mut self, ctx: &mut Context<Self>) {
        let now = self.around.clock.now();
        let is_over = now.micros() >= self.evaluation.day_ends().micros().saturating_add(GRACE);
        // what arrived before the end but was not taken yet is of the day that is over
        if self.is_rebuilt() && is_over && self.follower.cursor() >= self.follower.newest() {
            let effects = self.evaluation.roll(now);
            self.carry_out(effects, ctx);
        }
        self.counters.is_hurt.store(self.evaluation.is_hurt(), Ordering::Relaxed);
    }

    /// Answers by `ask`, which is counted if it panics.
    fn answer<T>(&self, ask: impl FnOnce(&Evaluation) -> T) -> Result<T, Contained> {
        self.around.panics.guard(NAME, || ask(&self.evaluation))
    }
}

/// The event of a finding.
fn draft(finding: &Announcement, now: Timestamp) -> Draft {
    let header = Header {
        event_type: finding.event_type.into(),
        timestamp: now,
        source: Some(PLIMSOLL.into()),
        severity: Some(finding.severity),
        profile_id: None,
        event_id: Some(finding.event_id.as_str().into()),
        symbol: finding.symbol.clone(),
        strategy: None,
    };
    Draft::new(header, &finding.payload)
}

impl Follows for RiskEvaluator {
    fn follower(&mut self) -> &mut Follower {
        &mut self.follower
    }

    fn take(&mut self, events: Vec<Arc<Event>>, ctx: &mut Context<Self>) {
        let panics = self.around.panics.clone();
        for event in &events {
            let taken = panics.guard(NAME, || {
                let effects = self.evaluation.take(event);
                // at once: a finding does not wait for the rest of the turn
                if !effects.is_empty() {
                    self.carry_out(effects, ctx);
                }
            });
            if taken.is_err() {
                self.distrust();
            }
        }
        if !self.is_rebuilt() && self.follower.cursor() >= self.until {
            self.rebuilt(ctx);
        }
    }
}

impl Actor for RiskEvaluator {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.around.bus.subscribe(self.follower.subscriber(&ctx.address()));
        ctx.address().do_send(RingMoved);
        if self.follower.cursor() >= self.until {
            self.rebuilt(ctx);
        }
        ctx.run_interval(TICK, |_, ctx| ctx.address().do_send(Tick));
    }
}

impl Handler<RingMoved> for RiskEvaluator {
    type Result = ();

    fn handle(&mut self, _: RingMoved, ctx: &mut Self::Context) {
        let panics = self.around.panics.clone();
        let _ = panics.guard(NAME, || follow(self, ctx));
    }
}

impl Handler<LimitsChanged> for RiskEvaluator {
    type Result = ();

    fn handle(&mut self, LimitsChanged(limits): LimitsChanged, ctx: &mut Self::Context) {
        let panics = self.around.panics.clone();
        let now = self.around.clock.now();
        let _ = panics.guard(NAME, || {
            let effects = self.evaluation.set_limits(Limits::clone(&limits), now);
            self.carry_out(effects, ctx);
        });
    }
}

impl Handler<Tick> for RiskEvaluator {
    type Result = ();

    fn handle(&mut self, _: Tick, ctx: &mut Self::Context) {
        let panics = self.around.panics.clone();
        let _ = panics.guard(NAME, || self.tick(ctx));
    }
}

impl Handler<Sync> for RiskEvaluator {
    type Result = MessageResult<Sync>;

    fn handle(&mut self, Sync(_permit): Sync, ctx: &mut Self::Context) -> Self::Result {
        let panics = self.around.panics.clone();
        // who asks a question that is a bug's undoing hears at once that nobody will answer
        MessageResult(panics.guard(NAME, || barrier(self, ctx)).unwrap_or_else(|_| oneshot::channel().1))
    }
}

impl Handler<GetStatus> for RiskEvaluator {
    type Result = MessageResult<GetStatus>;

    fn handle(&mut self, GetStatus(switch, _permit): GetStatus, _: &mut Self::Context) -> Self::Result {
        let now = self.around.clock.now();
        MessageResult(self.answer(|evaluation| evaluation.view(now).status(switch)))
    }
}

impl Handler<GetBreaches> for RiskEvaluator {
    type Result = MessageResult<GetBreaches>;

    fn handle(&mut self, GetBreaches(_permit): GetBreaches, _: &mut Self::Context) -> Self::Result {
        MessageResult(self.answer(|evaluation| (!evaluation.is_rebuilding()).then(|| evaluation.breaches())))
    }
}

impl Handler<GetStartingCapital> for RiskEvaluator {
    type Result = Result<Option<Decimal>, Contained>;

    fn handle(&mut self, GetStartingCapital(_permit): GetStartingCapital, _: &mut Self::Context) -> Self::Result {
        self.answer(Evaluation::starting_capital)
    }
}

impl Handler<Stop> for RiskEvaluator {
    type Result = ();

    fn handle(&mut self, _: Stop, ctx: &mut Self::Context) {
        ctx.stop();
    }
}
