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
use crate::{FetchError, NeedleRead, budget::BLOCK, handover::HandoverItem};

/// What holes are made of.
static ZEROS: [u8; BLOCK] = [0; BLOCK];

/// Something at its place in the order.
pub(super) enum Slot {
    /// That many zeros.
    Zeros(u64),
    /// Bytes that are here.
    Inline(Bytes),
    /// A needle that was in memory when it was looked for. It is decoded when the client comes to it, or fetched, into so many
    /// blocks at most to begin with, if it is gone by then.
    Cached(NeedleRead, usize),
    /// A span on its way.
    Fetch(SpanFetch),
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
        let needs = |slot: &Slot| if let Slot::Cached(_, blocks) = slot { *blocks } else { 0 };
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
    pub(super) fn cached(&self) -> Option<&NeedleRead> {
        match self.slots.front() {
            Some(Slot::Cached(read, _)) => Some(read),
            _ => None,
        }
    }

    /// That many bytes of it were taken out, or are fetched after all.
    pub(super) fn took_of_cached(&mut self, len: u64) {
        if let Some(Slot::Cached(read, _)) = self.slots.front_mut() {
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
            Slot::Cached(read, _) => read.end - read.start,
            Slot::Fetch(fetch) => fetch.reserved,
        };
        self.requests += 1;
        self.bytes += bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_out_of_memory_is_counted_off() {
        let mut slots = SlotQueue::default();
        let read = |start| NeedleRead { start, ..NeedleRead::of(3, "3,01".to_owned(), 100) };
        slots.push(Slot::Cached(read(0), 1));
        slots.push(Slot::Cached(read(40), 1));
        assert_eq!((slots.requests, slots.bytes), (2, 160));
        slots.took_of_cached(30);
        assert_eq!((slots.requests, slots.bytes), (2, 130));
        slots.took_of_cached(70);
        assert_eq!((slots.requests, slots.bytes), (1, 60));
        slots.took_of_cached(60);
        assert_eq!((slots.requests, slots.bytes, slots.is_empty()), (0, 0, true));
    }
}
