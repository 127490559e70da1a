//! A large answer: it is handed over piece by piece, and counts against the memory for answers until its client has it.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use actix_web::body::{BodySize, MessageBody};
use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;

use super::problem::Problem;
use crate::actors::admission::Admission;

/// Bytes that the connection is handed at once.
const PIECE: usize = 32 << 10;

/// The body of such an answer.
#[derive(Debug)]
pub struct Answer {
    left: Bytes,
    _permit: OwnedSemaphorePermit,
}

impl Answer {
    /// An answer of at most about `size` bytes that `write` appends, held in `memory`.
    ///
    /// # Errors
    /// Clients that do not read their answers hold all of it.
    pub fn new(size: usize, memory: &Admission, write: impl FnOnce(&mut Vec<u8>)) -> Result<Self, Problem> {
        let permit = memory.try_enter(size.div_ceil(1024))?;
        let mut bytes = Vec::with_capacity(size);
        write(&mut bytes);
        Ok(Self::held(bytes.into(), permit))
    }

    /// An answer whose memory is held by `permit`.
    #[must_use]
    pub fn held(bytes: Bytes, permit: OwnedSemaphorePermit) -> Self {
        Self { left: bytes, _permit: permit }
    }
}

impl MessageBody for Answer {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        BodySize::Sized(self.left.len() as u64)
    }

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, Infallible>>> {
        let this = self.get_mut();
        let piece = this.left.split_to(this.left.len().min(PIECE));
        Poll::Ready((!piece.is_empty()).then_some(Ok(piece)))
    }
}
