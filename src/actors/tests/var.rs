//! The VaR calculator: what equal questions share, what is remembered, and what a full queue and a bug do.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

use parking_lot::Mutex;

use super::super::artifact_folder::Folder;
use super::super::daily_files::DailyFiles;
use super::super::supervision::Panics;
use super::super::var_calculator::{NAME, Settings, VarCalculatorHandle, VarError};
use crate::domain::clock::{Clock, Timestamp};
use crate::domain::risk::daily_file::date;
use crate::domain::risk::daily_series::Window;
use crate::domain::risk::var::{Confidence, Horizon, Method, Quantile, Question};
use crate::domain::risk::var_answer::{Answer, Asked, Computed};

/// A calculator with one thread, which can be stopped in the middle of reading a file.
struct Desk {
    handle: VarCalculatorHandle,
    gate: Arc<Mutex<Option<Receiver<()>>>>,
    /// Hears of every file that is being read.
    reading: Receiver<()>,
    panic: Arc<AtomicBool>,
    panics: Panics,
}

fn desk(folder: &Path, queue: usize, cache: usize) -> Desk {
    let (gate, panic, panics) = (Arc::<Mutex<Option<Receiver<()>>>>::default(), Arc::<AtomicBool>::default(), Panics::default());
    let (tell, reading) = channel();
    let tell = Mutex::new(tell);
    let clock = {
        let (gate, panic) = (Arc::clone(&gate), Arc::clone(&panic));
        Clock::new(move || {
            assert!(!panic.load(Ordering::SeqCst), "on purpose");
            let _ = tell.lock().send(());
            let closed = gate.lock().take();
            let _ = closed.map(|closed| closed.recv());
            // long after all files were written
            Timestamp::from_micros(4_102_444_800_000_000)
        })
    };
    let files = DailyFiles::new(Folder::new(folder.to_owned(), 1 << 20), false, clock);
    let handle = VarCalculatorHandle::start(Settings { threads: 1, queue, cache }, files, panics.clone());
    Desk { handle, gate, reading, panic, panics }
}

/// Stops the thread at the next file until what this gives is dropped.
fn close(desk: &Desk) -> Sender<()> {
    let (open, closed) = channel();
    *desk.gate.lock() = Some(closed);
    open
}

fn put(folder: &Path, pnl: i32) {
    fs::write(folder.join("2024-08-23-metrics.json"), format!(r#"{{"overall":{{"net_pnl":{pnl}}}}}"#)).expect("written");
}

fn asked(days: u32) -> Asked {
    let confidence = Confidence::parse("0.95").expect("a confidence");
    let horizon = Horizon { days: 1, drift: false };
    let question = Question { confidence, method: Method::Historical, quantile: Quantile::Order, horizon };
    Asked { days: Window::ending(date("2024-08-23").expect("a date"), days), question, backtest: None }
}

fn worst(answer: &Answer) -> Option<f64> {
    match &answer.computed {
        Computed::Var(estimate) => estimate.worst_loss,
        Computed::Backtest(..) => None,
    }
}

/// Asks beside the test.
async fn ask(desk: &Desk, days: u32) -> tokio::task::JoinHandle<Result<Arc<Answer>, VarError>> {
    let handle = desk.handle.clone();
    let task = actix::spawn(async move { handle.ask(asked(days)).await });
    tokio::task::yield_now().await;
    task
}

fn counts(desk: &Desk) -> [u64; 4] {
    let counters = desk.handle.counters();
    [&counters.computed, &counters.recalled, &counters.joined, &counters.dropped].map(|count| count.load(Ordering::SeqCst))
}

#[actix_web::test]
async fn equal_questions_that_wait_are_one_and_those_behind_a_change_see_it() {
    let folder = tempfile::tempdir().expect("a folder");
    put(folder.path(), -1);
    let desk = desk(folder.path(), 10, 10);
    let closed = close(&desk);
    let first = ask(&desk, 30).await;
    desk.reading.recv().expect("it reads");
    put(folder.path(), -22);
    let (second, third) = (ask(&desk, 30).await, ask(&desk, 30).await);
    drop(closed);
    let answers = [first.await, second.await, third.await].map(|answer| answer.expect("joined").expect("answered"));
    assert_eq!(answers.each_ref().map(|answer| worst(answer)), [Some(1.0), Some(22.0), Some(22.0)]);
    assert!(Arc::ptr_eq(&answers[1], &answers[2]));
    assert_eq!(counts(&desk), [2, 0, 1, 0]);
    let again = ask(&desk, 30).await.await.expect("joined").expect("answered");
    assert!(Arc::ptr_eq(&answers[1], &again), "as long as no file changes");
    assert_eq!(counts(&desk), [2, 1, 1, 0]);
}

#[actix_web::test]
async fn a_full_queue_refuses_and_a_question_that_nobody_waits_for_is_dropped() {
    let folder = tempfile::tempdir().expect("a folder");
    put(folder.path(), -1);
    let desk = desk(folder.path(), 2, 10);
    let closed = close(&desk);
    let first = ask(&desk, 30).await;
    desk.reading.recv().expect("it reads");
    let waiting = [ask(&desk, 31).await, ask(&desk, 32).await, ask(&desk, 31).await];
    assert_eq!(desk.handle.ask(asked(33)).await.err(), Some(VarError::Busy));
    for question in waiting {
        question.abort();
        assert!(question.await.is_err());
    }
    drop(closed);
    assert!(first.await.expect("joined").is_ok());
    // behind the dropped ones
    assert!(desk.handle.ask(asked(34)).await.is_ok());
    assert_eq!(counts(&desk), [2, 0, 1, 2]);
    assert_eq!((desk.handle.admission().used(), desk.handle.admission().refused()), (0, 1));
}

#[actix_web::test]
async fn no_more_answers_are_remembered_than_allowed() {
    let folder = tempfile::tempdir().expect("a folder");
    put(folder.path(), -1);
    let desk = desk(folder.path(), 10, 2);
    for days in [1, 2, 1, 3, 1, 2] {
        assert!(desk.handle.ask(asked(days)).await.is_ok());
    }
    assert_eq!(counts(&desk), [4, 2, 0, 0], "the one that was asked longest ago goes first");
}

#[actix_web::test]
async fn a_bug_is_contained_and_the_next_question_is_answered() {
    let folder = tempfile::tempdir().expect("a folder");
    put(folder.path(), -1);
    let desk = desk(folder.path(), 10, 10);
    desk.panic.store(true, Ordering::SeqCst);
    assert_eq!(desk.handle.ask(asked(30)).await.err(), Some(VarError::Lost));
    desk.panic.store(false, Ordering::SeqCst);
    assert!(desk.handle.ask(asked(30)).await.is_ok());
    assert_eq!(desk.panics.counts(), [(NAME, 1)]);
}
