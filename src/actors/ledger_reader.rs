//! The ledger's readers: a pool of threads with a connection each, so that a slow question delays neither the ledger's
//! writing nor the journal's readers.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use actix::{Actor, Addr, Handler, Message, SyncArbiter, SyncContext};

use super::ledger_handle::{LedgerError, LedgerStatus};
use super::supervision::Panics;
use crate::storage::StorageError;
use crate::storage::ledger::LedgerReader;

/// The readers' name in logs and `/health`.
pub const NAME: &str = "ledger_reader";

/// How a reader gets its connection; called on the reader's own thread.
pub type OpenReader = dyn Fn() -> Result<Box<dyn LedgerReader>, StorageError> + Send + Sync;

/// One thread of the pool.
pub struct Reader {
    open: Arc<OpenReader>,
    /// The connection, and which opening of the ledger it is of: another may be another file.
    reader: Option<(u64, Box<dyn LedgerReader>)>,
    status: Arc<LedgerStatus>,
    panics: Panics,
}

type Work = Box<dyn FnOnce(Result<&mut dyn LedgerReader, LedgerError>) + Send>;

/// Run `work` on a reader of the file of `opening`, and of no other.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Run {
    pub(super) opening: u64,
    pub(super) work: Work,
}

/// Starts `threads` readers.
pub(super) fn start(threads: usize, open: Arc<OpenReader>, status: &Arc<LedgerStatus>, panics: &Panics) -> Addr<Reader> {
    let (status, panics) = (Arc::clone(status), panics.clone());
    SyncArbiter::start(threads, move || Reader {
        open: Arc::clone(&open),
        reader: None,
        status: Arc::clone(&status),
        panics: panics.clone(),
    })
}

impl Actor for Reader {
    type Context = SyncContext<Self>;
}

impl Handler<Run> for Reader {
    type Result = ();

    fn handle(&mut self, Run { opening, work }: Run, _: &mut Self::Context) {
        let Self { open, reader, status, panics } = self;
        let done = panics.guard(NAME, || {
            if reader.as_ref().is_none_or(|(of, _)| *of != opening) {
                // the old connection is closed before there is a new one
                *reader = None;
                match open() {
                    Ok(opened) => *reader = Some((opening, opened)),
                    Err(error) => return work(Err(error.into())),
                }
            }
            // looked at when the connection is open: a file is not set aside before its opening is over
            match reader.as_mut().filter(|_| status.opening.load(Ordering::Acquire) == opening) {
                Some((_, reader)) => work(Ok(reader.as_mut())),
                None => {
                    *reader = None;
                    work(Err(LedgerError::Rebuilding));
                }
            }
        });
        if done.is_err() {
            // whatever state it was left in, the next question gets a new connection
            self.reader = None;
        }
    }
}
