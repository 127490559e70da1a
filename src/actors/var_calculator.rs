//! The VaR calculator: threads that read the daily files and compute, behind admission permits.
//!
//! Equal questions that wait are one, and an answer is computed once for as long as the files say the same. The files are
//! looked at anew for every question that was asked after the last look, so nobody sees less than what was on disk when he
//! asked.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use actix::{Actor, Addr, Handler, Message, SyncArbiter, SyncContext};
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::admission::{Admission, Full};
use super::daily_files::DailyFiles;
use super::supervision::Panics;
use crate::domain::risk::var_answer::{Answer, Asked};

/// The calculator's name in logs and `/health`.
pub const NAME: &str = "var_calculator";

/// How much of everything.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Threads that compute.
    pub threads: usize,
    /// Questions that may wait for them.
    pub queue: usize,
    /// Answers that are remembered.
    pub cache: usize,
}

/// Why a question has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VarError {
    /// Too many questions are waiting.
    #[error("too many questions are waiting")]
    Busy,
    /// The calculator failed inside.
    #[error("the question was not answered")]
    Lost,
}

/// Counts for `/health`.
#[derive(Debug, Default)]
pub struct VarCounters {
    /// Answers that were computed.
    pub computed: AtomicU64,
    /// Questions that joined an equal one.
    pub joined: AtomicU64,
    /// Questions that were answered from memory.
    pub recalled: AtomicU64,
    /// Questions that nobody waited for any more.
    pub dropped: AtomicU64,
}

/// What the threads share.
#[derive(Debug)]
struct Desk {
    files: DailyFiles,
    /// Questions that wait, by their key.
    waiting: Mutex<HashMap<String, Weak<Flight>>>,
    answers: Mutex<Answers>,
    counters: VarCounters,
}

/// A question that waits, and all who asked it.
#[derive(Debug)]
struct Flight {
    asked: Asked,
    key: String,
    /// `None` once it is being answered: whoever comes now has to have the files looked at again.
    askers: Mutex<Option<Vec<oneshot::Sender<Arc<Answer>>>>>,
    /// Its place in the queue.
    permit: Mutex<Option<OwnedSemaphorePermit>>,
}

/// Answers by their question.
#[derive(Debug)]
struct Answers {
    most: usize,
    turn: u64,
    by_key: HashMap<String, Remembered>,
}

/// An answer, or the place for one that is being computed.
#[derive(Debug)]
struct Remembered {
    digest: u64,
    used: u64,
    place: Arc<OnceLock<Arc<Answer>>>,
}

impl Answers {
    /// The place of the answer to `key` from the series with this digest.
    fn place(&mut self, key: &str, digest: u64) -> Arc<OnceLock<Arc<Answer>>> {
        self.turn += 1;
        let turn = self.turn;
        if let Some(known) = self.by_key.get_mut(key).filter(|known| known.digest == digest) {
            known.used = turn;
            return Arc::clone(&known.place);
        }
        self.by_key.remove(key);
        if self.by_key.len() >= self.most {
            let oldest = self.by_key.iter().min_by_key(|(_, known)| known.used).map(|(key, _)| key.clone());
            oldest.and_then(|oldest| self.by_key.remove(&oldest));
        }
        let place = Arc::<OnceLock<_>>::default();
        self.by_key.insert(key.to_owned(), Remembered { digest, used: turn, place: Arc::clone(&place) });
        place
    }
}

impl Desk {
    fn answer(&self, flight: &Flight) -> Arc<Answer> {
        let series = self.files.series(flight.asked.days);
        let place = self.answers.lock().place(&flight.key, series.digest());
        let mut counter = &self.counters.recalled;
        // another thread that computes the same is waited for
        let answer = place.get_or_init(|| {
            counter = &self.counters.computed;
            Arc::new(flight.asked.answer(series))
        });
        counter.fetch_add(1, Ordering::Relaxed);
        Arc::clone(answer)
    }
}

/// One thread of the pool.
pub struct VarCalculator {
    desk: Arc<Desk>,
    panics: Panics,
}

/// Answer this.
#[derive(Message)]
#[rtype(result = "()")]
struct Compute(Arc<Flight>);

impl Actor for VarCalculator {
    type Context = SyncContext<Self>;
}

impl Handler<Compute> for VarCalculator {
    type Result = ();

    fn handle(&mut self, Compute(flight): Compute, _: &mut Self::Context) {
        self.desk.waiting.lock().retain(|_, waiting| !std::ptr::eq(waiting.as_ptr(), Arc::as_ptr(&flight)));
        let mut askers = flight.askers.lock().take().unwrap_or_default();
        askers.retain(|asker| !asker.is_closed());
        if askers.is_empty() {
            self.desk.counters.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let answer = self.panics.guard(NAME, || self.desk.answer(&flight));
        // whoever has the answer may ask again
        drop(flight.permit.lock().take());
        if let Ok(answer) = answer {
            for asker in askers {
                // one who is gone needs no answer
                let _ = asker.send(Arc::clone(&answer));
            }
        }
    }
}

/// Asks the pool.
#[derive(Debug, Clone)]
pub struct VarCalculatorHandle {
    pool: Addr<VarCalculator>,
    admission: Admission,
    desk: Arc<Desk>,
}

impl VarCalculatorHandle {
    /// Starts the threads.
    #[must_use]
    pub fn start(settings: Settings, files: DailyFiles, panics: Panics) -> Self {
        let answers = Answers { most: settings.cache, turn: 0, by_key: HashMap::new() };
        let answers = Mutex::new(answers);
        let desk = Arc::new(Desk { files, waiting: Mutex::default(), answers, counters: VarCounters::default() });
        let pool = {
            let desk = Arc::clone(&desk);
            SyncArbiter::start(settings.threads, move || VarCalculator { desk: Arc::clone(&desk), panics: panics.clone() })
        };
        // those that are being answered have their permits too
        let admission = Admission::new(settings.queue + settings.threads, Duration::ZERO);
        Self { pool, admission, desk }
    }

    /// The answer to `asked`, from the files as they are now.
    ///
    /// # Errors
    /// The queue is full, or the computation failed.
    pub async fn ask(&self, asked: Asked) -> Result<Arc<Answer>, VarError> {
        let answered = self.join(asked).map_err(|Full| VarError::Busy)?;
        answered.await.map_err(|_| VarError::Lost)
    }

    fn join(&self, asked: Asked) -> Result<oneshot::Receiver<Arc<Answer>>, Full> {
        let (asker, answered) = oneshot::channel();
        let key = asked.key();
        let mut waiting = self.desk.waiting.lock();
        if let Some(flight) = waiting.get(&key).and_then(Weak::upgrade)
            && let Some(askers) = flight.askers.lock().as_mut()
        {
            self.desk.counters.joined.fetch_add(1, Ordering::Relaxed);
            askers.push(asker);
            return Ok(answered);
        }
        let permit = self.admission.try_enter(1)?;
        let flight = Flight { asked, key: key.clone(), askers: Mutex::new(Some(vec![asker])), permit: Mutex::new(Some(permit)) };
        let flight = Arc::new(flight);
        waiting.insert(key, Arc::downgrade(&flight));
        self.pool.do_send(Compute(flight));
        Ok(answered)
    }

    /// The queue of questions.
    #[must_use]
    pub fn admission(&self) -> &Admission {
        &self.admission
    }

    /// The counts.
    #[must_use]
    pub fn counters(&self) -> &VarCounters {
        &self.desk.counters
    }
}
