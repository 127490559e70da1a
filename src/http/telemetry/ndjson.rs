//! A stream of events, one a line: parsed as it arrives, several commits under way, never held whole.

use std::collections::VecDeque;

use actix_web::HttpResponse;
use bytes::{Buf as _, BytesMut};

use super::ingest::{BREATH, parse};
use super::tally::Tally;
use crate::actors::publisher::{Pending, PublishError};
use crate::domain::envelope::Refusal;
use crate::domain::event::Draft;
use crate::http::body::{Body, too_large};
use crate::http::problem::Problem;
use crate::http::state::State;

/// So many batches may wait for their commit; then no more is read from the client.
const UNDER_WAY: usize = 32;

/// What the list of refused lines takes at most, about.
const TALLY_BYTES: usize = 2 << 20;

/// Publishes what `body` streams, and answers at its end.
///
/// # Errors
/// Nothing was good, or the stream was interrupted; then what was taken is told.
pub async fn publish(state: &State, mut body: Body, limit: u64) -> Result<HttpResponse, Problem> {
    // the line that is arriving, and what is to be told of those that were refused
    let held = state.config.telemetry.rules.max_event_bytes + TALLY_BYTES;
    let _memory = state.body_memory.try_enter(held / 1024).map_err(|full| Problem::from(full).interrupting(None))?;
    let mut lines =
        Lines { state, buffer: BytesMut::new(), index: 0, skipping: false, tally: Tally::default(), under_way: VecDeque::new() };
    match lines.take_all(&mut body, limit).await {
        Ok(()) => lines.tally.answer(),
        Err(cause) => {
            // what is under way is settled first, so that the counts are true
            let _ = lines.settle(0).await;
            // counts and texts always have a JSON form
            let taken = serde_json::to_value(lines.tally.summary(Some(lines.index))).ok();
            body.drain().await;
            Err(cause.interrupting(taken))
        }
    }
}

struct Lines<'a> {
    state: &'a State,
    /// What has arrived of the current line.
    buffer: BytesMut,
    /// Lines so far; blank ones do not count.
    index: usize,
    /// Whether the current line was refused for its length, and its rest is to be passed over.
    skipping: bool,
    tally: Tally,
    under_way: VecDeque<Pending>,
}

impl Lines<'_> {
    async fn take_all(&mut self, body: &mut Body, limit: u64) -> Result<(), Problem> {
        let mut received = 0;
        while let Some(piece) = body.piece().await? {
            received += piece.len() as u64;
            if received > limit {
                return Err(too_large(limit));
            }
            self.buffer.extend_from_slice(&piece);
            let drafts = self.take_lines().await;
            self.offer(drafts).await?;
        }
        let last = self.buffer.split();
        let drafts = self.line(&last).into_iter().collect();
        self.offer(drafts).await?;
        Ok(self.settle(0).await?)
    }

    /// Parses the whole lines in the buffer, and forgets the beginning of one that is too long.
    async fn take_lines(&mut self) -> Vec<Draft> {
        let mut drafts = Vec::new();
        while let Some(end) = memchr::memchr(b'\n', &self.buffer) {
            let line = self.buffer.split_to(end);
            self.buffer.advance(1);
            drafts.extend(self.line(&line));
            if drafts.len() % BREATH == BREATH - 1 {
                tokio::task::yield_now().await;
            }
        }
        if self.buffer.len() > self.state.config.telemetry.rules.max_event_bytes && !self.skipping {
            self.too_long();
            self.skipping = true;
        }
        if self.skipping {
            self.buffer.clear();
        }
        drafts
    }

    fn line(&mut self, line: &[u8]) -> Option<Draft> {
        if std::mem::take(&mut self.skipping) || line.trim_ascii().is_empty() {
            return None;
        }
        let index = self.index;
        self.index += 1;
        parse(self.state, index, line, self.state.clock.now(), &mut self.tally)
    }

    fn too_long(&mut self) {
        let limit = self.state.config.telemetry.rules.max_event_bytes;
        let refusal = Refusal::TooLarge(limit);
        self.state.ingest.rejected(&refusal);
        self.tally.rejected(self.index, refusal.into_faults());
        self.index += 1;
    }

    async fn offer(&mut self, drafts: Vec<Draft>) -> Result<(), PublishError> {
        if drafts.is_empty() {
            return Ok(());
        }
        self.settle(UNDER_WAY - 1).await?;
        self.under_way.push_back(self.state.bus.offer(drafts).await?);
        Ok(())
    }

    /// Waits until no more than `most` batches are under way.
    async fn settle(&mut self, most: usize) -> Result<(), PublishError> {
        let mut outcome = Ok(());
        while self.under_way.len() > most {
            let Some(oldest) = self.under_way.pop_front() else { break };
            match oldest.published().await {
                Ok(receipts) => self.tally.published(&receipts),
                Err(error) => outcome = outcome.and(Err(error)),
            }
        }
        outcome
    }
}
