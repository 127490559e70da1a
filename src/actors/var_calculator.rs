//! The VaR calculator: threads that read the daily files and compute, behind admission permits.
//!
//! Equal questions that wait are one, and an answer is computed once for as long as the files say the same. The files are
//! looked at anew for every question that was asked after the last look, so nobody sees less than what was on disk when he
//! asked. If they say what an answer that is being computed is computed from, whoever asks waits for that answer, and the
//! thread does not.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
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

/// So many may wait for answers, since equal questions take one place in the queue; the next one is told to come back.
const MOST_ASKERS: usize = 10_000;

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
    askers: Mutex<Option<Vec<Asker>>>,
    /// Its place in the queue.
    permit: Mutex<Option<OwnedSemaphorePermit>>,
}

/// Somebody who waits for an answer.
#[derive(Debug)]
struct Asker {
    waits: oneshot::Sender<Arc<Answer>>,
    /// His place among all who wait.
    _permit: OwnedSemaphorePermit,
}

/// A question, and the digest of the series that answers it.
type Basis = (String, u64);

/// Answers by their question.
#[derive(Debug)]
struct Answers {
    most: usize,
    turn: u64,
    by_key: HashMap<String, Remembered>,
    /// What is being computed, and who came for it since; one a thread at most.
    computing: HashMap<Basis, Vec<Asker>>,
}

/// An answer from the series with this digest.
#[derive(Debug)]
struct Remembered {
    digest: u64,
    used: u64,
    answer: Arc<Answer>,
}

impl Answers {
    fn recall(&mut self, (key, digest): &Basis) -> Option<Arc<Answer>> {
        self.turn += 1;
        let known = self.by_key.get_mut(key).filter(|known| known.digest == *digest)?;
        known.used = self.turn;
        Some(Arc::clone(&known.answer))
    }

    fn remember(&mut self, (key, digest): Basis, answer: Arc<Answer>) {
        self.by_key.remove(&key);
        if self.by_key.len() >= self.most {
            let oldest = self.by_key.iter().min_by_key(|(_, known)| known.used).map(|(key, _)| key.clone());
            oldest.and_then(|oldest| self.by_key.remove(&oldest));
        }
        self.by_key.insert(key, Remembered { digest, used: self.turn, answer });
    }
}

/// One thread of the pool.
pub struct VarCalculator {
    desk: Arc<Desk>,
    panics: Panics,
}

impl VarCalculator {
    /// The answer for `askers`, and for those who came for it meanwhile. `None` if there is none, or if another thread is
    /// computing it, which `askers` are left to then.
    fn answer(&self, flight: &Flight, askers: &mut Vec<Asker>) -> Option<Arc<Answer>> {
        let Desk { files, answers, counters, .. } = &*self.desk;
        let read = self.panics.guard(NAME, || {
            let series = files.series(flight.asked.days);
            ((flight.key.clone(), series.digest()), series)
        });
        let (basis, series) = read.ok()?;
        {
            let mut answers = answers.lock();
            if let Some(answer) = answers.recall(&basis) {
                counters.recalled.fetch_add(1, Ordering::Relaxed);
                return Some(answer);
            }
            if let Some(others) = answers.computing.get_mut(&basis) {
                counters.joined.fetch_add(1, Ordering::Relaxed);
                others.append(askers);
                return None;
            }
            answers.computing.insert(basis.clone(), Vec::new());
        }
        let computed = self.panics.guard(NAME, || Arc::new(flight.asked.answer(series)));
        let mut answers = answers.lock();
        askers.extend(answers.computing.remove(&basis).into_iter().flatten());
        let answer = computed.ok()?;
        counters.computed.fetch_add(1, Ordering::Relaxed);
        answers.remember(basis, Arc::clone(&answer));
        Some(answer)
    }
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
        askers.retain(|asker| !asker.waits.is_closed());
        if askers.is_empty() {
            self.desk.counters.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let answer = self.answer(&flight, &mut askers);
        // whoever has the answer may ask again
        drop(flight.permit.lock().take());
        if let Some(answer) = answer {
            for asker in askers {
                // one who is gone needs no answer
                let _ = asker.waits.send(Arc::clone(&answer));
            }
        }
    }
}

/// Asks the pool.
#[derive(Debug, Clone)]
pub struct VarCalculatorHandle {
    pool: Addr<VarCalculator>,
    admission: Admission,
    askers: Admission,
    desk: Arc<Desk>,
}

impl VarCalculatorHandle {
    /// Starts the threads.
    #[must_use]
    pub fn start(settings: Settings, files: DailyFiles, panics: Panics) -> Self {
        let answers = Answers { most: settings.cache, turn: 0, by_key: HashMap::new(), computing: HashMap::new() };
        let answers = Mutex::new(answers);
        let desk = Arc::new(Desk { files, waiting: Mutex::default(), answers, counters: VarCounters::default() });
        let pool = {
            let desk = Arc::clone(&desk);
            SyncArbiter::start(settings.threads, move || VarCalculator { desk: Arc::clone(&desk), panics: panics.clone() })
        };
        // those that are being answered have their permits too
        let admission = Admission::new(settings.queue + settings.threads, Duration::ZERO);
        Self { pool, admission, askers: Admission::new(MOST_ASKERS, Duration::ZERO), desk }
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
        let (waits, answered) = oneshot::channel();
        let asker = Asker { waits, _permit: self.askers.try_enter(1)? };
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

    /// Those who wait for answers.
    #[must_use]
    pub fn askers(&self) -> &Admission {
        &self.askers
    }

    /// Those who were refused because the queue was full, or because too many waited for answers.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.admission.refused() + self.askers.refused()
    }

    /// The counts.
    #[must_use]
    pub fn counters(&self) -> &VarCounters {
        &self.desk.counters
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actors::artifact_folder::Folder;
    use crate::domain::clock::{Clock, Timestamp};
    use crate::domain::risk::daily_file::date;
    use crate::domain::risk::daily_series::Window;
    use crate::domain::risk::var::{Confidence, Horizon, Method, Quantile, Question};

    fn asked(days: u32) -> Asked {
        let confidence = Confidence::parse("0.95").expect("a confidence");
        let horizon = Horizon { days: 1, drift: false };
        let question = Question { confidence, method: Method::Historical, quantile: Quantile::Order, horizon };
        Asked { days: Window::ending(date("2024-08-23").expect("a date"), days), question, backtest: None }
    }

    /// A calculator with one thread.
    fn calculator(folder: &tempfile::TempDir) -> VarCalculatorHandle {
        let folder = Folder::new(folder.path().to_owned(), 1 << 20);
        let files = DailyFiles::new(folder, false, Clock::new(|| Timestamp::from_micros(0)));
        VarCalculatorHandle::start(Settings { threads: 1, queue: 10, cache: 10 }, files, Panics::default())
    }

    #[actix_web::test]
    async fn who_asks_for_what_is_being_computed_waits_for_it_and_the_thread_does_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let calculator = calculator(&folder);
        // as if another thread were at it
        let basis = (asked(30).key(), calculator.desk.files.series(asked(30).days).digest());
        calculator.desk.answers.lock().computing.insert(basis.clone(), Vec::new());
        let late = [calculator.join(asked(30)).expect("room"), calculator.join(asked(30)).expect("room")];
        let answer = calculator.ask(asked(31)).await.expect("answered");
        assert_eq!(calculator.admission().used(), 0, "they have no place in the queue any more");
        let waiting = calculator.desk.answers.lock().computing.remove(&basis).expect("computing");
        assert_eq!(waiting.len(), 2);
        for asker in waiting {
            asker.waits.send(Arc::clone(&answer)).expect("somebody waits");
        }
        for answered in late {
            assert!(Arc::ptr_eq(&answered.await.expect("answered"), &answer));
        }
    }

    #[actix_web::test]
    async fn those_who_join_an_equal_question_are_bounded_too() {
        let folder = tempfile::tempdir().expect("a folder");
        let calculator = calculator(&folder);
        let basis = (asked(30).key(), calculator.desk.files.series(asked(30).days).digest());
        calculator.desk.answers.lock().computing.insert(basis.clone(), Vec::new());
        let mut waiting = Vec::new();
        while let Ok(answered) = calculator.join(asked(30)) {
            waiting.push(answered);
        }
        assert_eq!((waiting.len(), calculator.refused()), (MOST_ASKERS, 1));
    }
}
