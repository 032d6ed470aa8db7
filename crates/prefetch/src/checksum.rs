//! A chunk against the CRC-32C that its volume server has for it: the ETag, eight hex digits.
//!
//! A chunk that is fetched in several spans is put together here; the last span waits for the others before it gives its
//! last piece away. Source: `Needle.Etag` in `weed/storage/needle/crc.go`.

use std::sync::{Mutex, PoisonError};

use http::HeaderValue;
use tokio::sync::Notify;

/// The spans of one chunk that is read in full.
pub(crate) struct Checksum {
    size: u64,
    spans: Mutex<Spans>,
    more: Notify,
}

#[derive(Default)]
struct Spans {
    /// Start, length and CRC of those that are done.
    done: Vec<(u64, u64, u32)>,
    bytes: u64,
    failed: bool,
}

impl Checksum {
    /// For a chunk of `size` bytes.
    pub(crate) fn new(size: u64) -> Self {
        Self { size, spans: Mutex::default(), more: Notify::new() }
    }

    /// A span is done.
    pub(crate) fn add(&self, start: u64, len: u64, crc: u32) {
        let mut spans = self.spans.lock().unwrap_or_else(PoisonError::into_inner);
        spans.done.push((start, len, crc));
        spans.bytes += len;
        drop(spans);
        self.more.notify_waiters();
    }

    /// A span will never be done.
    pub(crate) fn give_up(&self) {
        self.spans.lock().unwrap_or_else(PoisonError::into_inner).failed = true;
        self.more.notify_waiters();
    }

    /// The CRC of the chunk, once all spans are done; `None`: one never will be.
    pub(crate) async fn whole(&self) -> Option<u32> {
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
        let join = |whole, (_, len, crc): &(u64, u64, u32)| crc32c::crc32c_combine(whole, *crc, *len as usize);
        Some(Some(spans.done.iter().fold(0, join)))
    }
}

/// The CRC in an ETag; `None`: it is none.
pub(crate) fn of_etag(etag: Option<&HeaderValue>) -> Option<u32> {
    let digits = etag?.to_str().ok()?.strip_prefix('"')?.strip_suffix('"')?;
    let is_crc = digits.len() == 8 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    is_crc.then(|| u32::from_str_radix(digits, 16).ok())?
}

/// Whether bytes with this CRC are those that the server means. Old volumes keep a CRC that was rotated and offset, and
/// give it as it is when a needle is streamed.
pub(crate) fn matches(crc: u32, stored: u32) -> bool {
    crc == stored || crc.rotate_right(15).wrapping_add(0xa282_ead8) == stored
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn spans_in_any_order_make_the_whole() {
        let bytes: Vec<u8> = (0..100u8).collect();
        let checksum = Checksum::new(100);
        let mut whole = std::pin::pin!(checksum.whole());
        for (start, end) in [(30, 100), (0, 10)] {
            checksum.add(start as u64, (end - start) as u64, crc32c::crc32c(&bytes[start..end]));
            assert!(futures_util::poll!(whole.as_mut()).is_pending());
        }
        checksum.add(10, 20, crc32c::crc32c(&bytes[10..30]));
        assert_eq!(whole.await, Some(crc32c::crc32c(&bytes)));
    }

    #[tokio::test]
    async fn nobody_waits_for_a_span_that_failed() {
        let checksum = Checksum::new(100);
        checksum.add(0, 10, 7);
        let mut whole = std::pin::pin!(checksum.whole());
        assert!(futures_util::poll!(whole.as_mut()).is_pending());
        checksum.give_up();
        assert_eq!(whole.await, None);
    }

    #[test]
    fn an_etag_is_eight_hex_digits_in_quotes() {
        let read = |text: &str| of_etag(Some(&HeaderValue::from_str(text).unwrap()));
        assert_eq!(read("\"0a1b2c3d\""), Some(0x0a1b_2c3d));
        for other in ["0a1b2c3d", "\"0a1b2c3\"", "\"0a1b2c3d4\"", "\"0a1b2c3x\"", "\"+a1b2c3d\"", "W/\"0a1b2c3d\""] {
            assert_eq!(read(other), None, "{other}");
        }
        assert_eq!(of_etag(None), None);
    }

    #[test]
    fn both_forms_of_the_stored_crc_are_taken() {
        // The CRC-32C of "123456789", and what weed's deprecated CRC.Value() makes of it.
        let crc = crc32c::crc32c(b"123456789");
        assert_eq!(crc, 0xe306_9283);
        let masked = crc.rotate_right(15).wrapping_add(0xa282_ead8);
        assert!(matches(crc, crc) && matches(crc, masked));
        assert!(!matches(crc, crc ^ 1) && !matches(crc, masked ^ 1));
    }
}
