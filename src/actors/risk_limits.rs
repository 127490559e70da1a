//! The limits: one actor that alone writes them, so that no change is lost, and looks after edits by hand.
//!
//! It lives on a thread of its own, since it waits for the disk. Routes read its view; only a change waits for it.

use std::sync::Arc;
use std::time::Duration;

use actix::fut::wrap_future;
use actix::{Actor, ActorFutureExt as _, Addr, ArbiterHandle, AsyncContext as _, Context, Handler, Message, Recipient};
use parking_lot::RwLock;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::timeout;

use super::admission::{Admission, Full};
use super::announcements::Announcements;
use super::publisher::EventBusHandle;
use super::risk_evaluator::LimitsChanged;
use super::supervision::Panics;
use crate::domain::clock::{Clock, Timestamp};
use crate::domain::engine::Notice;
use crate::domain::event::Severity;
use crate::domain::risk::limits_change::Effective;
use crate::domain::risk::limits_patch::Patch;
use crate::storage::audit_log::Recent;
use crate::storage::limits_book::{ChangeError, FileFault, LimitsBook};

/// The actor's name in logs and `/health`.
pub const NAME: &str = "risk_limits";
/// How often the overrides file is looked at, beside each question.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// So long a question waits for such a look.
const LOOK_WAIT: Duration = Duration::from_millis(500);
/// So long the answer to a change waits for its event, which is published in any case.
const EVENT_WAIT: Duration = Duration::from_secs(1);
/// Changes that may wait, and as many looks beside them.
const QUEUE: usize = 64;

/// The limits as routes see them.
#[derive(Debug, Clone)]
pub struct LimitsView {
    /// The limits that hold.
    pub effective: Effective,
    /// When they changed last, or the service first knew them.
    pub updated_at: Timestamp,
    /// Who changed them.
    pub updated_by: Option<String>,
    /// Whether there is an overrides file.
    pub has_file: bool,
    /// Why it cannot be used.
    pub fault: Option<FileFault>,
    /// Its keys that are no limits.
    pub other_keys: Vec<String>,
    /// Why the history is behind, or the overrides file may be.
    pub failure: Option<String>,
    /// How many events had to wait in the history, since the bus took nothing.
    pub postponed: u64,
}

impl LimitsView {
    fn of(book: &LimitsBook, started: Timestamp, announcements: &Announcements) -> Self {
        Self {
            effective: book.effective().clone(),
            updated_at: book.last().map_or(started, |last| last.timestamp),
            updated_by: book.last().map(|last| last.actor.clone()),
            has_file: book.has_file(),
            fault: book.file().err().cloned(),
            other_keys: book.file().map(|file| file.other_keys().take(QUEUE).collect()).unwrap_or_default(),
            failure: book.failure().map(str::to_owned),
            postponed: announcements.postponed(),
        }
    }
}

/// The actor.
pub struct RiskLimits {
    book: LimitsBook,
    view: Arc<RwLock<Arc<LimitsView>>>,
    announcements: Announcements,
    /// Who judges by the limits.
    evaluator: Option<Recipient<LimitsChanged>>,
    started: Timestamp,
    clock: Clock,
    panics: Panics,
}

/// Look at the file, then say so.
#[derive(Message)]
#[rtype(result = "()")]
struct Look {
    reply: oneshot::Sender<()>,
    _permit: OwnedSemaphorePermit,
}

/// Change limits.
#[derive(Message)]
#[rtype(result = "()")]
struct Change {
    patch: Patch,
    actor: String,
    reply: oneshot::Sender<Result<Changed, ChangeError>>,
    _permit: OwnedSemaphorePermit,
}

/// The limits after a change, and when its event is out.
struct Changed {
    view: Arc<LimitsView>,
    announced: oneshot::Receiver<()>,
}

/// Why limits were not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LimitsError {
    /// Too many changes wait.
    #[error("too many changes are waiting")]
    Busy,
    /// The change was refused, or could not be written down for certain.
    #[error(transparent)]
    Refused(#[from] ChangeError),
    /// An internal error hid what became of it.
    #[error("it is not known what became of the change")]
    Unknown,
}

impl From<Full> for LimitsError {
    fn from(_: Full) -> Self {
        Self::Busy
    }
}

/// Asks for the limits and changes them.
#[derive(Debug, Clone)]
pub struct RiskLimitsHandle {
    actor: Addr<RiskLimits>,
    view: Arc<RwLock<Arc<LimitsView>>>,
    recent: Recent,
    changes: Admission,
    looks: Admission,
}

impl RiskLimitsHandle {
    /// Starts the actor on `arbiter`; it tells `evaluator` of every change from now on.
    #[must_use]
    pub fn start(
        arbiter: &ArbiterHandle,
        book: LimitsBook,
        bus: EventBusHandle,
        evaluator: Option<Recipient<LimitsChanged>>,
        clock: Clock,
        panics: Panics,
    ) -> Self {
        let started = clock.now();
        let (recent, announcements) = (book.recent(), Announcements::new(bus));
        let view = Arc::new(RwLock::new(Arc::new(LimitsView::of(&book, started, &announcements))));
        let actor = RiskLimits { book, view: Arc::clone(&view), announcements, evaluator, started, clock, panics };
        let actor = RiskLimits::start_in_arbiter(arbiter, |_| actor);
        let queue = || Admission::new(QUEUE, Duration::ZERO);
        Self { actor, view, recent, changes: queue(), looks: queue() }
    }

    /// The limits, after a look at the overrides file, unless the disk or others take long.
    pub async fn current(&self) -> Arc<LimitsView> {
        if let Ok(permit) = self.looks.try_enter(1) {
            let (reply, looked) = oneshot::channel();
            self.actor.do_send(Look { reply, _permit: permit });
            // what is known is the answer in any case
            let _ = timeout(LOOK_WAIT, looked).await;
        }
        self.view()
    }

    /// The limits as they were last seen.
    #[must_use]
    pub fn view(&self) -> Arc<LimitsView> {
        Arc::clone(&self.view.read())
    }

    /// Changes limits for `actor`; gives them as they are then. Once this waits, it is done even if nobody waits for it.
    ///
    /// # Errors
    /// See [`LimitsError`].
    pub async fn change(&self, patch: Patch, actor: String) -> Result<Arc<LimitsView>, LimitsError> {
        let permit = self.changes.enter(1).await?;
        let (reply, answer) = oneshot::channel();
        self.actor.do_send(Change { patch, actor, reply, _permit: permit });
        let changed = answer.await.map_err(|_| LimitsError::Unknown)??;
        let _ = timeout(EVENT_WAIT, changed.announced).await;
        Ok(changed.view)
    }

    /// The newest lines of the history.
    #[must_use]
    pub fn recent(&self) -> &Recent {
        &self.recent
    }

    /// The queues of changes, and of looks at the overrides file.
    #[must_use]
    pub fn queues(&self) -> [&Admission; 2] {
        [&self.changes, &self.looks]
    }

    /// Returns when everything that was asked for before is done.
    pub async fn settle(&self) {
        let (reply, looked) = oneshot::channel();
        if let Ok(permit) = self.looks.enter(1).await {
            self.actor.do_send(Look { reply, _permit: permit });
            let _ = looked.await;
        }
    }
}

impl RiskLimits {
    fn look(&mut self, ctx: &mut Context<Self>) {
        let (panics, now) = (self.panics.clone(), self.clock.now());
        // a panic in here leaves what was known
        let _ = panics.guard(NAME, || self.book.look(now));
        self.tell(ctx);
    }

    /// Shows, announces and passes on what is new.
    fn tell(&mut self, ctx: &mut Context<Self>) {
        let now = self.clock.now();
        for news in self.book.take_news() {
            let notice = Notice {
                event_type: "risk_limits_updated",
                severity: Severity::Info,
                event_id: Some(news.event_id),
                payload: news.line,
            };
            self.announcements.add(news.seq, notice, now);
        }
        let is_changed = self.view.read().effective != *self.book.effective();
        *self.view.write() = Arc::new(LimitsView::of(&self.book, self.started, &self.announcements));
        if is_changed && let Some(evaluator) = &self.evaluator {
            evaluator.do_send(LimitsChanged(Arc::new(self.book.effective().limits())));
        }
        self.announce(ctx);
    }

    fn announce(&mut self, ctx: &mut Context<Self>) {
        let Some((seq, published)) = self.announcements.begin() else { return };
        ctx.spawn(wrap_future::<_, Self>(published).map(move |is_published, limits, ctx| {
            limits.announcements.end(seq, is_published);
            if is_published {
                let panics = limits.panics.clone();
                let _ = panics.guard(NAME, || limits.book.announced(seq));
                if limits.announcements.resume() {
                    limits.book.recall();
                }
                limits.tell(ctx);
            }
        }));
    }
}

impl Actor for RiskLimits {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.tell(ctx);
        ctx.run_interval(LOOK_EVERY, Self::look);
    }
}

impl Handler<Look> for RiskLimits {
    type Result = ();

    fn handle(&mut self, look: Look, ctx: &mut Self::Context) {
        self.look(ctx);
        // whoever asked may have given up
        let _ = look.reply.send(());
    }
}

impl Handler<Change> for RiskLimits {
    type Result = ();

    fn handle(&mut self, change: Change, ctx: &mut Self::Context) {
        let Change { patch, actor, reply, .. } = change;
        let (panics, now) = (self.panics.clone(), self.clock.now());
        let Ok(outcome) = panics.guard(NAME, || self.book.change(&patch, &actor, now)) else { return };
        match &outcome {
            Ok(true) => tracing::info!(actor, "the limits were changed"),
            Ok(false) => {}
            Err(error) => tracing::warn!(actor, %error, "a change of the limits failed"),
        }
        let (tried, announced) = oneshot::channel();
        self.tell(ctx);
        self.announcements.listen(tried);
        let view = self.view.read().clone();
        // the change is made, whoever waits for the answer
        let _ = reply.send(outcome.map(|_| Changed { view, announced }));
    }
}
