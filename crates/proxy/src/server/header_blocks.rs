//! Headers of HTTP/2 that are not whole, found in the frames that come.
//!
//! A header may come in several frames (RFC 9113, section 4.3). hyper keeps the fields of those that are here and shows nobody any of
//! them before the last: a field that was sent before is one byte of a frame and some hundred bytes of memory. So what may have
//! become of an open header is counted, until it is whole and a request, whose fields are counted as such.
//!
//! Knows how a connection of HTTP/2 begins, and a frame. Must not know what is in it, or who has room.

/// What a client of HTTP/2 begins with: RFC 9113, section 3.4.
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The bytes before a frame's payload.
const FRAME_HEAD: usize = 9;
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;

/// What a byte of a frame may take in memory, bytes: seen are 90.
const BYTE: usize = 128;
/// What a byte of a decoded header may, names and values with 32 for each field: seen are 5.
const DECODED: usize = 6;

/// Looks through the frames of one connection.
pub(super) struct HeaderBlocks {
    /// The most that one takes, bytes.
    most: usize,
    /// Bytes that come before the next frame.
    left: usize,
    /// Of the next frame, what is here of its beginning.
    head: [u8; FRAME_HEAD],
    here: usize,
    /// Bytes of the frames of an open header.
    open: usize,
    /// It is whole behind the frame that comes.
    ends: bool,
}

impl HeaderBlocks {
    /// Of a connection of which nothing was seen, with decoded headers of `max_header_bytes` at most.
    pub(super) fn new(max_header_bytes: usize) -> Self {
        let most = max_header_bytes.saturating_mul(DECODED);
        Self { most, left: PREFACE.len(), head: [0; FRAME_HEAD], here: 0, open: 0, ends: false }
    }

    /// These bytes have come. Answers what an open header may take; 0: none is open.
    pub(super) fn see(&mut self, mut bytes: &[u8]) -> usize {
        loop {
            let passed = self.left.min(bytes.len());
            (self.left, bytes) = (self.left - passed, &bytes[passed..]);
            if self.left == 0 && self.ends {
                (self.open, self.ends) = (0, false);
            }
            if bytes.is_empty() {
                return self.open.saturating_mul(BYTE).min(self.most);
            }
            let taken = (FRAME_HEAD - self.here).min(bytes.len());
            self.head[self.here..][..taken].copy_from_slice(&bytes[..taken]);
            (self.here, bytes) = (self.here + taken, &bytes[taken..]);
            if self.here == FRAME_HEAD {
                self.begin();
            }
        }
    }

    /// A frame begins.
    fn begin(&mut self) {
        let [a, b, c, kind, flags, ..] = self.head;
        (self.here, self.left) = (0, u32::from_be_bytes([0, a, b, c]) as usize);
        if matches!(kind, HEADERS | CONTINUATION) {
            match flags & END_HEADERS {
                0 => self.open += self.left,
                _ => self.ends = true,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(kind: u8, flags: u8, length: u8) -> Vec<u8> {
        [&[0, 0, length, kind, flags, 0, 0, 0, 1], &*vec![4; length.into()]].concat()
    }

    fn seen_of(blocks: &mut HeaderBlocks, pieces: &[&[u8]]) -> usize {
        pieces.iter().map(|piece| blocks.see(piece)).last().unwrap()
    }

    #[test]
    fn a_header_is_open_until_its_last_frame_is_here() {
        let mut blocks = HeaderBlocks::new(100);
        assert_eq!(blocks.see(PREFACE), 0);
        assert_eq!(seen_of(&mut blocks, &[&frame(4, 0, 12), &frame(0, 0, 200), &frame(HEADERS, END_HEADERS, 50)]), 0);
        assert_eq!(blocks.see(&frame(HEADERS, 1, 3)), 3 * BYTE);
        assert_eq!(blocks.see(&frame(CONTINUATION, 0, 1)), 4 * BYTE);
        assert_eq!(blocks.see(&frame(CONTINUATION, 0, 200)), 600, "it takes no more");
        let last = frame(CONTINUATION, END_HEADERS, 9);
        assert_eq!(blocks.see(&last[..last.len() - 1]), 600);
        assert_eq!(blocks.see(&last[last.len() - 1..]), 0);
        assert_eq!(seen_of(&mut blocks, &[&frame(HEADERS, 0, 1), &frame(CONTINUATION, END_HEADERS, 0)]), 0);
        assert_eq!(blocks.see(&frame(HEADERS, 0, 1)), BYTE);
    }

    proptest! {
        #[test]
        fn it_is_the_same_however_the_frames_are_cut(
            frames in prop::collection::vec((0..11_u8, any::<u8>(), any::<u8>()), 0..20),
            length in 1..30_usize,
        ) {
            let mut all = PREFACE.to_vec();
            frames.iter().for_each(|(kind, flags, length)| all.extend(frame(*kind, *flags, *length)));
            let at_once = HeaderBlocks::new(1 << 20).see(&all);
            let pieces: Vec<_> = all.chunks(length).collect();
            prop_assert_eq!(seen_of(&mut HeaderBlocks::new(1 << 20), &pieces), at_once);
        }
    }
}
