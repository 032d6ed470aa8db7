//! The CRC-32C of a chunk that comes in several fetches: it is put together here, and the last one waits for the others before
//! it gives its last piece away.

use std::sync::PoisonError;

use tokio::sync::Notify;

use crate::{crc, sync::Mutex};

/// The spans of one chunk that is read in full.
pub(crate) struct Checksum {
    size: u64,
    spans: Mutex<Spans>,
    more: Notify,
}

#[derive(Default)]
struct Spans {
    /// Start, length and CRC of what each fetch has got.
    done: Vec<(u64, u64, u32)>,
    bytes: u64,
    failed: bool,
}

impl Checksum {
    /// For a chunk of `size` bytes.
    pub(crate) fn new(size: u64) -> Self {
        Self { size, spans: Mutex::default(), more: Notify::new() }
    }

    /// A fetch has got so many bytes from `start` on: a span, or one more of those that it began with there.
    pub(crate) fn add(&self, start: u64, len: u64, crc: u32) {
        let mut spans = self.spans.lock().unwrap_or_else(PoisonError::into_inner);
        spans.bytes += len;
        match spans.done.iter().position(|(begun, ..)| *begun == start) {
            Some(at) => {
                let (_, before, _) = std::mem::replace(&mut spans.done[at], (start, len, crc));
                spans.bytes -= before;
            }
            None => spans.done.push((start, len, crc)),
        }
        drop(spans);
        self.more.notify_waiters();
    }

    /// A span will never be done.
    pub(crate) fn give_up(&self) {
        self.spans.lock().unwrap_or_else(PoisonError::into_inner).failed = true;
        self.more.notify_waiters();
    }

    /// The CRC of the chunk, once all spans are done; `None`: one never will be.
    pub(crate) async fn of_chunk(&self) -> Option<u32> {
        loop {
            let mut more = std::pin::pin!(self.more.notified());
            more.as_mut().enable();
            if let Some(known) = self.known() {
                return known;
            }
            more.await;
        }
    }

    fn known(&self) -> Option<Option<u32>> {
        let mut spans = self.spans.lock().unwrap_or_else(PoisonError::into_inner);
        if spans.failed {
            return Some(None);
        }
        if spans.bytes < self.size {
            return None;
        }
        spans.done.sort_unstable();
        // One alone costs nothing.
        let joined = spans
            .done
            .iter()
            .copied()
            .reduce(|(_, _, before), (start, len, crc)| (start, len, crc::combine(before, crc, len)));
        Some(Some(joined.map_or(0, |(_, _, crc)| crc)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn spans_in_any_order_make_the_chunk() {
        let bytes: Vec<u8> = (0..100u8).collect();
        let checksum = Checksum::new(100);
        let mut chunk = std::pin::pin!(checksum.of_chunk());
        for (start, end) in [(30, 100), (0, 10)] {
            checksum.add(start as u64, (end - start) as u64, crc32c::crc32c(&bytes[start..end]));
            assert!(futures_util::poll!(chunk.as_mut()).is_pending());
        }
        // One that grows counts once.
        for end in [20, 25] {
            checksum.add(10, end as u64 - 10, crc32c::crc32c(&bytes[10..end]));
            assert!(futures_util::poll!(chunk.as_mut()).is_pending());
        }
        checksum.add(10, 20, crc32c::crc32c(&bytes[10..30]));
        assert_eq!(chunk.await, Some(crc32c::crc32c(&bytes)));
    }

    #[tokio::test]
    async fn nobody_waits_for_a_span_that_failed() {
        let checksum = Checksum::new(100);
        checksum.add(0, 10, 7);
        let mut chunk = std::pin::pin!(checksum.of_chunk());
        assert!(futures_util::poll!(chunk.as_mut()).is_pending());
        checksum.give_up();
        assert_eq!(chunk.await, None);
    }
}
