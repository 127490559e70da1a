//! The bound of a queue: a permit that a message carries until its work is done.
//!
//! An actix mailbox is no bound: every sender handle has room of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A queue with a number: so many units may be under way.
#[derive(Debug, Clone)]
pub struct Admission {
    units: Arc<Semaphore>,
    capacity: u32,
    max_wait: Duration,
    refused: Arc<AtomicU64>,
}

/// The queue stayed full for as long as one waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the queue is full")]
pub struct Full;

impl Admission {
    /// A queue of `capacity` units, for which one waits `max_wait`.
    #[must_use]
    pub fn new(capacity: usize, max_wait: Duration) -> Self {
        let capacity = u32::try_from(capacity.clamp(1, Semaphore::MAX_PERMITS)).unwrap_or(u32::MAX);
        Self { units: Arc::new(Semaphore::new(capacity as usize)), capacity, max_wait, refused: Arc::default() }
    }

    /// Waits for `units` of room; a want larger than the whole queue takes all of it.
    ///
    /// # Errors
    /// There was no room in time; counted.
    pub async fn enter(&self, units: usize) -> Result<OwnedSemaphorePermit, Full> {
        let units = u32::try_from(units).unwrap_or(u32::MAX).clamp(1, self.capacity);
        let entry = Arc::clone(&self.units).acquire_many_owned(units);
        match tokio::time::timeout(self.max_wait, entry).await {
            Ok(Ok(permit)) => Ok(permit),
            _ => Err(self.refuse()),
        }
    }

    /// Takes `units` of room if there is any now.
    ///
    /// # Errors
    /// There is none; counted.
    pub fn try_enter(&self, units: usize) -> Result<OwnedSemaphorePermit, Full> {
        let units = u32::try_from(units).unwrap_or(u32::MAX).max(1);
        Arc::clone(&self.units).try_acquire_many_owned(units).map_err(|_| self.refuse())
    }

    fn refuse(&self) -> Full {
        self.refused.fetch_add(1, Ordering::Relaxed);
        Full
    }

    /// Units in use.
    #[must_use]
    pub fn used(&self) -> usize {
        (self.capacity as usize).saturating_sub(self.units.available_permits())
    }

    /// Units there are.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.capacity as usize
    }

    /// How often somebody was refused.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[actix_web::test]
    async fn a_full_queue_refuses_after_its_wait_and_admits_again_when_there_is_room() {
        tokio::time::pause();
        let queue = Admission::new(10, Duration::from_millis(250));
        let all = queue.enter(1_000).await.expect("a want that is too large takes the whole queue");
        assert_eq!((queue.used(), queue.enter(1).await.err()), (10, Some(Full)));
        drop(all);
        assert!(queue.enter(10).await.is_ok());
        assert_eq!(queue.refused(), 1);
    }
}
