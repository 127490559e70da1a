//! Bytes that all clients with the same wish at the same position are handed: read from the ring once, and framed once.
//!
//! A response without a length is sent in chunks, each behind its length and before an end of line. A shared chunk has its
//! frame in the same allocation, so that a socket that is free takes it from there: no client has a copy of its own.

use bytes::Bytes;

use super::sse_session::Wish;
use crate::domain::ring::{Read, Ring};

/// Room for the longest length, and its end of line.
const HEAD: usize = 18;
const END: &[u8] = b"\r\n";

/// What a read of the ring gave.
#[derive(Debug, Clone)]
pub(super) struct Chunk {
    /// The blocks in their frame.
    framed: Bytes,
    /// Where in it they begin.
    blocks: usize,
    pub(super) read: Read,
}

impl Chunk {
    /// Reads what `wish` wants from `position` on, some `max_bytes`; `None` if the ring lacks that position.
    pub(super) fn read(ring: &Ring, position: u64, wish: &Wish, max_bytes: usize) -> Option<Self> {
        let mut bytes = vec![0; HEAD];
        let read = ring.read(position, &wish.filter, wish.named, HEAD + max_bytes, &mut bytes)?;
        if bytes.len() == HEAD {
            return Some(Self { framed: Bytes::new(), blocks: 0, read });
        }
        let head = format!("{:X}\r\n", bytes.len() - HEAD);
        let begin = HEAD - head.len();
        bytes.splice(begin..HEAD, head.bytes());
        bytes.extend_from_slice(END);
        if bytes.capacity() > bytes.len() / 4 * 5 {
            // a client that stalls holds it
            bytes.shrink_to_fit();
        }
        Some(Self { framed: Bytes::from(bytes).slice(begin..), blocks: head.len(), read })
    }

    /// Memory that it takes, in bytes.
    pub(super) fn size(&self) -> usize {
        self.framed.len() + size_of::<Self>()
    }

    /// The chunk as it goes over the wire; `None` where nothing matched, since an empty one would end the response.
    pub(super) fn framed(&self) -> Option<&Bytes> {
        (!self.framed.is_empty()).then_some(&self.framed)
    }

    /// The blocks alone.
    pub(super) fn blocks(&self) -> Bytes {
        self.framed.slice(self.blocks..self.framed.len().saturating_sub(END.len()).max(self.blocks))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::event::Draft;
    use crate::domain::filter::Filter;
    use crate::domain::filter::tests::{filter, header};
    use crate::domain::id::EventId;
    use crate::domain::ring::RingLimits;
    use proptest::prelude::*;
    use std::sync::Arc;

    proptest! {
        #[test]
        fn a_frame_says_how_long_the_blocks_are_and_ends_behind_them(
            headers in proptest::collection::vec(header(), 0..60), filter in filter(), named in any::<bool>(),
            max_bytes in 1_usize..20_000,
        ) {
            let ring = Ring::new(RingLimits { events: 100, bytes: usize::MAX }, EventId::ZERO);
            let stamped = headers.into_iter().zip(1..);
            ring.append(stamped.map(|(header, id)| Arc::new(Draft::new(header, "{}").stamp(EventId::from_u64(id)))).collect());
            let mut plain = Vec::new();
            let read = ring.read(0, &filter, named, max_bytes, &mut plain);
            let chunk = Chunk::read(&ring, 0, &Wish { filter, named }, max_bytes).expect("there");
            prop_assert_eq!(Some(chunk.read), read);
            prop_assert_eq!(&chunk.blocks()[..], &plain[..]);
            let framed = [format!("{:X}\r\n", plain.len()).as_bytes(), &plain, b"\r\n"].concat();
            prop_assert_eq!(chunk.framed().map(|framed| framed.to_vec()), (!plain.is_empty()).then_some(framed));
        }
    }

    #[test]
    fn a_ring_that_lacks_the_position_has_no_chunk() {
        let ring = Ring::new(RingLimits { events: 1, bytes: usize::MAX }, EventId::ZERO);
        ring.forget(EventId::from_u64(1));
        assert!(Chunk::read(&ring, 0, &Wish { filter: Filter::default(), named: false }, 1).is_none());
    }
}
