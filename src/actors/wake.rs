//! The one message of the bus to its subscribers: there is something new in the ring.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use actix::{Message, Recipient, WeakRecipient};

/// The ring has a new head, or was emptied. Each subscriber reads on from its own cursor.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct RingMoved;

/// A subscriber as the bus sees it; there is never more than one message on its way to it.
#[derive(Debug, Clone)]
pub struct Subscriber {
    /// Weak: the bus does not keep its subscribers alive.
    recipient: WeakRecipient<RingMoved>,
    on_its_way: Arc<AtomicBool>,
}

/// The subscriber's own side.
#[derive(Debug, Clone, Default)]
pub struct Bell(Arc<AtomicBool>);

impl Bell {
    /// The side that the bus keeps.
    #[must_use]
    pub fn subscriber(&self, recipient: &Recipient<RingMoved>) -> Subscriber {
        Subscriber { recipient: recipient.downgrade(), on_its_way: Arc::clone(&self.0) }
    }

    /// To be called first on each [`RingMoved`], but for those of a rest: whatever enters the ring from here on rings again.
    pub fn heard(&self) {
        // a swap, not a store: it orders what the subscriber reads next behind what the bus wrote before it rang
        self.0.swap(false, Ordering::SeqCst);
    }

    /// Keeps the bus from ringing until this is [`heard`](Self::heard), as if a message were on its way.
    pub fn hush(&self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl Subscriber {
    /// Tells the subscriber, unless it is being told already; false when it is gone.
    #[must_use]
    pub fn ring(&self) -> bool {
        let Some(recipient) = self.recipient.upgrade() else { return false };
        if !self.on_its_way.swap(true, Ordering::SeqCst) {
            recipient.do_send(RingMoved);
        }
        recipient.connected()
    }
}
