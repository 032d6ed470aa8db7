//! What has begun, in the order in which the client gets it.

use std::{
    collections::VecDeque,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use tokio::time::Instant;

use super::span_fetch::SpanFetch;
use crate::{FetchError, NeedleRead, budget::BLOCK, fetch::Version, handover::HandoverItem};

/// What holes are made of.
static ZEROS: [u8; BLOCK] = [0; BLOCK];

/// Something at its place in the order.
pub(super) enum Slot {
    /// That many zeros.
    Zeros(u64),
    /// Bytes that are here.
    Inline(Bytes),
    /// A needle that was in memory when it was looked for.
    Cached(CachedSlot),
    /// A span on its way.
    Fetch(SpanFetch),
}

/// A needle that was in memory when it was looked for. It is decoded when the client comes to it, or fetched if it is gone by
/// then.
pub(super) struct CachedSlot {
    pub(super) read: NeedleRead,
    /// The blocks that it is fetched into at most, to begin with.
    pub(super) needs: usize,
    /// What all that the download reads of the needle must be of.
    pub(super) version: Arc<Version>,
    /// Whether what is read of it in memory has been counted in that.
    pub(super) joined: bool,
}

/// What the client finds.
pub(super) enum HeadState {
    /// The next bytes, and how long the first byte of their span took, if they are its first and it was asked for alone.
    Bytes(Bytes, Option<Duration>),
    /// A needle that was in memory: the next bytes are to be taken out of it.
    Cached,
    /// A span of which everything was given: how long all of it had been here.
    Ended(Duration),
    /// A span that has nothing yet; whether the client has come to it just now, and when it was asked for, if that was for it
    /// alone and nothing of it has come.
    Late(bool, Option<Instant>),
    /// A span that failed.
    Failed(FetchError),
}

/// What has begun, in order.
#[derive(Default)]
pub(super) struct SlotQueue {
    slots: VecDeque<Slot>,
    requests: usize,
    bytes: u64,
}

impl SlotQueue {
    /// Whether nothing has begun.
    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// How many spans and needles that are in memory lie before the client.
    pub(super) fn requests(&self) -> usize {
        self.requests
    }

    /// The bytes of memory that they take or would take.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The blocks that a needle in memory may need before what comes after it has gone out.
    pub(super) fn needs(&self) -> usize {
        let needs = |slot: &Slot| if let Slot::Cached(cached) = slot { cached.needs } else { 0 };
        self.slots.iter().map(needs).max().unwrap_or(0)
    }

    /// Something comes after all that has begun.
    pub(super) fn push(&mut self, slot: Slot) {
        self.count(&slot);
        self.slots.push_back(slot);
    }

    /// Something comes before all that has begun.
    pub(super) fn push_first(&mut self, slot: Slot) {
        self.count(&slot);
        self.slots.push_front(slot);
    }

    /// Nothing of it is wanted any more.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// The needle in memory that the client has come to.
    pub(super) fn cached(&mut self) -> Option<&mut CachedSlot> {
        match self.slots.front_mut() {
            Some(Slot::Cached(cached)) => Some(cached),
            _ => None,
        }
    }

    /// That many bytes of it were taken out, or are fetched after all.
    pub(super) fn took_of_cached(&mut self, len: u64) {
        if let Some(Slot::Cached(CachedSlot { read, .. })) = self.slots.front_mut() {
            read.start += len;
            self.bytes -= len;
            if read.start >= read.end {
                self.requests -= 1;
                self.slots.pop_front();
            }
        }
    }

    /// What the client finds at the head of what has begun; `None`: nothing has. Who finds nothing yet is woken later.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Option<HeadState> {
        Some(match self.slots.front_mut()? {
            Slot::Zeros(left) => {
                let bytes = Bytes::from_static(&ZEROS).slice(..(*left).min(BLOCK as u64) as usize);
                *left -= bytes.len() as u64;
                if *left == 0 {
                    self.slots.pop_front();
                }
                HeadState::Bytes(bytes, None)
            }
            Slot::Inline(bytes) => {
                let bytes = std::mem::take(bytes);
                self.slots.pop_front();
                HeadState::Bytes(bytes, None)
            }
            Slot::Cached(..) => HeadState::Cached,
            Slot::Fetch(fetch) => {
                fetch.priority.reach();
                let reached = std::mem::replace(&mut fetch.reached, true);
                let Poll::Ready(next) = fetch.poll(cx) else {
                    return Some(HeadState::Late(!reached, fetch.asked));
                };
                match next {
                    HandoverItem::Bytes(bytes) if bytes.len() as u64 <= fetch.left => {
                        let len = bytes.len() as u64;
                        fetch.left -= len;
                        // An opened chunk may give more than it takes: the text between its parts is here already.
                        let freed = len.min(fetch.reserved);
                        fetch.reserved -= freed;
                        self.bytes -= freed;
                        let asked = fetch.asked.take();
                        HeadState::Bytes(bytes, asked.and_then(|asked| Some(fetch.handover.begun()? - asked)))
                    }
                    HandoverItem::End(at) if fetch.left == 0 => {
                        self.bytes -= fetch.reserved;
                        self.requests -= 1;
                        self.slots.pop_front();
                        HeadState::Ended(at.elapsed())
                    }
                    HandoverItem::Failed(error) => HeadState::Failed(error),
                    HandoverItem::Bytes(_) | HandoverItem::End(_) => {
                        HeadState::Failed(FetchError::Lost(Arc::clone(&fetch.fid)))
                    }
                }
            }
        })
    }

    fn count(&mut self, slot: &Slot) {
        let bytes = match slot {
            Slot::Zeros(_) | Slot::Inline(_) => return,
            Slot::Cached(cached) => cached.read.end - cached.read.start,
            Slot::Fetch(fetch) => fetch.reserved,
        };
        self.requests += 1;
        self.bytes += bytes;
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;
    use crate::handover::{Handover, Part};

    #[test]
    fn what_is_taken_out_of_memory_is_counted_off() {
        let mut slots = SlotQueue::default();
        for start in [0, 40] {
            let read = NeedleRead { start, ..NeedleRead::of(3, "3,01".to_owned(), 100) };
            slots.push(Slot::Cached(CachedSlot { read, needs: 1, version: Arc::default(), joined: false }));
        }
        assert_eq!((slots.requests, slots.bytes), (2, 160));
        slots.took_of_cached(30);
        assert_eq!((slots.requests, slots.bytes), (2, 130));
        slots.took_of_cached(70);
        assert_eq!((slots.requests, slots.bytes), (1, 60));
        slots.took_of_cached(60);
        assert_eq!((slots.requests, slots.bytes, slots.is_empty()), (0, 0, true));
    }

    #[test]
    fn what_is_given_of_a_span_is_counted_off_and_the_rest_of_its_memory_at_its_end() {
        // The memory of whole blocks, or of a chunk that holds less than what comes out of it.
        for (reserved, after) in [(16, [12, 6]), (7, [3, 0])] {
            let (mut slots, handover) = (SlotQueue::default(), Arc::<Handover>::default());
            slots.push(Slot::Fetch(SpanFetch::handed_over(10, reserved, Arc::clone(&handover))));
            let mut look = || {
                slots.poll(&mut Context::from_waker(Waker::noop()));
                (slots.requests(), slots.bytes())
            };
            gives(b"four")(&handover);
            assert_eq!(look(), (1, after[0]));
            gives(b"sixsix")(&handover);
            assert_eq!(look(), (1, after[1]));
            handover.end(Ok(()));
            assert_eq!(look(), (0, 0));
        }
    }

    /// What a client finds of a span of ten bytes, look by look.
    fn found(looks: &mut [&mut dyn FnMut(&Handover)]) -> Vec<HeadState> {
        let (mut slots, handover) = (SlotQueue::default(), Arc::<Handover>::default());
        slots.push(Slot::Fetch(SpanFetch::handed_over(10, 10, Arc::clone(&handover))));
        let mut look = |happens: &mut &mut dyn FnMut(&Handover)| {
            happens(&handover);
            slots.poll(&mut Context::from_waker(Waker::noop())).unwrap()
        };
        looks.iter_mut().map(&mut look).collect()
    }

    fn gives(bytes: &'static [u8]) -> impl FnMut(&Handover) {
        move |handover| handover.push(Part::Bytes(Bytes::from_static(bytes)))
    }

    #[test]
    fn a_client_comes_to_a_span_once() {
        let found = found(&mut [&mut |_| {}, &mut |_| {}, &mut gives(b"ten bytes."), &mut |on| on.end(Ok(()))]);
        assert!(matches!(&found[..2], [HeadState::Late(true, _), HeadState::Late(false, _)]));
        assert!(matches!(&found[2..], [HeadState::Bytes(_, None), HeadState::Ended(_)]));
    }

    #[test]
    fn a_span_that_gives_more_than_its_bytes_or_ends_before_them_is_lost() {
        for is_lost in [
            found(&mut [&mut gives(b"eleven byte")]),
            found(&mut [&mut gives(b"ten bytes."), &mut gives(b"!")]),
            found(&mut [&mut gives(b"few"), &mut |on| on.end(Ok(()))]),
        ] {
            assert!(matches!(is_lost.last(), Some(HeadState::Failed(FetchError::Lost(_)))));
        }
    }
}
