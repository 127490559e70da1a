//! Readers of the journal: a pool of threads, each with a connection of its own, behind admission permits.

use std::time::Duration;

use actix::{Actor, Addr, Handler, Message, SyncArbiter, SyncContext};

use super::admission::Admission;
use super::supervision::Panics;
use crate::storage::{EventReader, StorageError};

/// The readers' name in logs and `/health`.
pub const NAME: &str = "journal_reader";

/// So many queries may wait for each reader.
const QUEUE_PER_READER: usize = 64;

/// How a reader gets its connection; called on the reader's own thread.
pub type OpenReader = dyn Fn() -> Result<Box<dyn EventReader>, StorageError> + Send + Sync;

/// One thread of the pool.
pub struct JournalReader {
    open: std::sync::Arc<OpenReader>,
    reader: Option<Box<dyn EventReader>>,
    panics: Panics,
}

type Work = Box<dyn FnOnce(Result<&mut dyn EventReader, StorageError>) + Send>;

/// Run this on a reader.
#[derive(Message)]
#[rtype(result = "()")]
struct Run(Work);

impl Actor for JournalReader {
    type Context = SyncContext<Self>;
}

impl Handler<Run> for JournalReader {
    type Result = ();

    fn handle(&mut self, Run(work): Run, _: &mut Self::Context) {
        let Self { open, reader, panics } = self;
        let done = panics.guard(NAME, || {
            if reader.is_none() {
                match open() {
                    Ok(opened) => *reader = Some(opened),
                    Err(error) => return work(Err(error)),
                }
            }
            match reader {
                Some(reader) => work(Ok(reader.as_mut())),
                None => work(Err(StorageError::Failed("no reader".into()))),
            }
        });
        if done.is_err() {
            // whatever state it was left in, the next query gets a new connection
            self.reader = None;
        }
    }
}

/// Why a question to the journal has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// Too many questions are waiting.
    #[error("too many queries are waiting for the journal")]
    Busy,
    /// The reader failed inside.
    #[error("the query was not answered")]
    Lost,
    /// The store said no.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Asks the pool.
#[derive(Debug, Clone)]
pub struct JournalReaderHandle {
    pool: Addr<JournalReader>,
    admission: Admission,
}

impl JournalReaderHandle {
    /// Starts `threads` readers.
    #[must_use]
    pub fn start(threads: usize, max_wait: Duration, open: std::sync::Arc<OpenReader>, panics: Panics) -> Self {
        let pool =
            SyncArbiter::start(threads, move || JournalReader { open: open.clone(), reader: None, panics: panics.clone() });
        Self { pool, admission: Admission::new(threads * QUEUE_PER_READER, max_wait) }
    }

    /// Runs `query` on one of the readers.
    ///
    /// # Errors
    /// The pool is busy, the query panicked, or the store failed.
    pub async fn ask<T: Send + 'static>(
        &self,
        query: impl FnOnce(&mut dyn EventReader) -> Result<T, StorageError> + Send + 'static,
    ) -> Result<T, ReadError> {
        let permit = self.admission.enter(1).await.map_err(|_| ReadError::Busy)?;
        let (answer, answered) = tokio::sync::oneshot::channel();
        self.pool.do_send(Run(Box::new(move |reader| {
            let _permit = permit;
            // nobody waits any more when the client is gone: then the work is not done either
            if !answer.is_closed() {
                let _ = answer.send(reader.and_then(query));
            }
        })));
        Ok(answered.await.map_err(|_| ReadError::Lost)??)
    }

    /// The queue of questions.
    #[must_use]
    pub fn admission(&self) -> &Admission {
        &self.admission
    }
}
