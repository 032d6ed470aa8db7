//! Which bytes of which chunks an answer is made of, and in which order.
//!
//! Knows bytes, ranges and chunks. Must not know ciphers, sockets or where a chunk is kept.

pub mod conditional;
pub mod parts;
pub mod range;

use std::ops::Range;

use bytes::Bytes;

use self::parts::Section;
use crate::entry::visible::VisibleRun;

/// One part of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// A hole: bytes that were never written.
    Zeros {
        /// How many; not 0.
        len: u64,
    },
    /// Bytes of the entry's inline content.
    Inline {
        /// Which of them; not empty.
        range: Range<u64>,
    },
    /// Bytes of a chunk.
    Chunk {
        /// Index into the list of chunks that the runs were made from.
        index: usize,
        /// Which bytes of the chunk's plaintext; not empty.
        range: Range<u64>,
    },
    /// Bytes of the answer itself, between the parts of a multipart one; not empty.
    Framing(Bytes),
}

impl Piece {
    /// Length in bytes.
    pub fn len(&self) -> u64 {
        match self {
            Self::Zeros { len } => *len,
            Self::Inline { range } | Self::Chunk { range, .. } => range.end - range.start,
            Self::Framing(text) => text.len() as u64,
        }
    }

    /// Whether the piece has no bytes. Planned pieces always have some.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The pieces of a body: those that `of_file` gives for each stretch of the file, and what stands between.
pub fn assemble(sections: &[Section], of_file: impl Fn(Range<u64>) -> Vec<Piece>) -> Vec<Piece> {
    let pieces = sections.iter().flat_map(|section| match section {
        Section::Framing(text) => vec![Piece::Framing(text.clone())],
        Section::File(range) => of_file(range.clone()),
    });
    pieces.filter(|piece| !piece.is_empty()).collect()
}

/// The stretch of the file from the first to the last byte that a body has of it.
pub fn hull(sections: &[Section]) -> Range<u64> {
    let ranges = sections.iter().filter_map(|section| match section {
        Section::File(range) => Some(range.clone()),
        Section::Framing(_) => None,
    });
    ranges.reduce(|hull, range| hull.start.min(range.start)..hull.end.max(range.end)).unwrap_or(0..0)
}

/// The pieces of `range` (bytes of the file), in order and without gaps: their lengths add up to that of `range`.
/// `visible` is what [`visible`](crate::entry::visible::visible) gives. Takes time for the pieces that are needed only.
pub fn plan(visible: &[VisibleRun], range: Range<u64>) -> Vec<Piece> {
    let first = visible.partition_point(|run| run.range.end <= range.start);
    let mut pieces = Vec::new();
    let mut position = range.start;
    for run in visible[first..].iter().take_while(|run| run.range.start < range.end && !range.is_empty()) {
        let (start, end) = (run.range.start.max(range.start), run.range.end.min(range.end));
        push_zeros(&mut pieces, position..start);
        let in_chunk = run.offset_in_chunk + (start - run.range.start);
        pieces.push(Piece::Chunk { index: run.chunk, range: in_chunk..in_chunk + (end - start) });
        position = end;
    }
    push_zeros(&mut pieces, position..range.end);
    pieces
}

/// As [`plan`], for an entry whose `content` of that length (bytes) is the file. A file that is recorded as longer
/// ends in zeros.
pub fn plan_inline(content_len: u64, range: Range<u64>) -> Vec<Piece> {
    let stored = range.start..range.end.min(content_len);
    let mut pieces = Vec::new();
    if !stored.is_empty() {
        pieces.push(Piece::Inline { range: stored.clone() });
    }
    push_zeros(&mut pieces, stored.end.max(range.start)..range.end);
    pieces
}

fn push_zeros(pieces: &mut Vec<Piece>, hole: Range<u64>) {
    if !hole.is_empty() {
        pieces.push(Piece::Zeros { len: hole.end - hole.start });
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{entry::visible::visible, pb::FileChunk};

    fn chunk(offset: i64, size: u64, modified_ts_ns: i64) -> FileChunk {
        FileChunk { offset, size, modified_ts_ns, ..Default::default() }
    }

    #[test]
    fn pieces_come_in_order_with_holes_between() {
        let runs = visible(&[chunk(2, 4, 1), chunk(8, 4, 1)]).unwrap();
        let pieces = plan(&runs, 0..15);
        assert_eq!(
            pieces,
            [
                Piece::Zeros { len: 2 },
                Piece::Chunk { index: 0, range: 0..4 },
                Piece::Zeros { len: 2 },
                Piece::Chunk { index: 1, range: 0..4 },
                Piece::Zeros { len: 3 },
            ]
        );
    }

    #[test]
    fn a_range_takes_only_its_bytes_of_a_chunk() {
        let runs = visible(&[chunk(0, 100, 1), chunk(100, 100, 1)]).unwrap();
        assert_eq!(
            plan(&runs, 90..101),
            [Piece::Chunk { index: 0, range: 90..100 }, Piece::Chunk { index: 1, range: 0..1 }]
        );
        assert_eq!(plan(&runs, 150..150), []);
        assert_eq!(plan(&runs, 300..301), [Piece::Zeros { len: 1 }]);
    }

    #[test]
    fn a_body_of_parts_takes_only_their_bytes() {
        let text = |text: &'static str| Section::Framing(Bytes::from_static(text.as_bytes()));
        let sections = [text("a"), Section::File(90..101), text("b"), Section::File(2..3), text("")];
        assert_eq!(hull(&sections), 2..101);
        let runs = visible(&[chunk(0, 100, 1), chunk(100, 100, 1)]).unwrap();
        assert_eq!(
            assemble(&sections, |range| plan(&runs, range)),
            [
                Piece::Framing(Bytes::from_static(b"a")),
                Piece::Chunk { index: 0, range: 90..100 },
                Piece::Chunk { index: 1, range: 0..1 },
                Piece::Framing(Bytes::from_static(b"b")),
                Piece::Chunk { index: 0, range: 2..3 },
            ]
        );
        assert_eq!(hull(&[text("a")]), 0..0);
    }

    #[test]
    fn inline_content_ends_in_zeros() {
        assert_eq!(plan_inline(10, 2..5), [Piece::Inline { range: 2..5 }]);
        assert_eq!(plan_inline(3, 2..5), [Piece::Inline { range: 2..3 }, Piece::Zeros { len: 2 }]);
        assert_eq!(plan_inline(3, 4..5), [Piece::Zeros { len: 1 }]);
        assert_eq!(plan_inline(3, 3..3), []);
    }

    /// Byte `i` of chunk `n`, told apart from every other byte and from zero.
    fn byte(n: usize, i: u64) -> u64 {
        1 + n as u64 * 1_000 + i
    }

    fn rendered(pieces: &[Piece]) -> Vec<u64> {
        let bytes = |piece: &Piece| match piece.clone() {
            Piece::Zeros { len } => vec![0; usize::try_from(len).unwrap()],
            Piece::Framing(text) => text.iter().map(|&byte| u64::from(byte)).collect(),
            Piece::Inline { range } => range.map(|i| byte(99, i)).collect(),
            Piece::Chunk { index, range } => range.map(|i| byte(index, i)).collect::<Vec<_>>(),
        };
        pieces.iter().flat_map(bytes).collect()
    }

    proptest! {
        #[test]
        fn pieces_are_what_painting_gives(
            sizes in prop::collection::vec((0i64..40, 0u64..20), 0..10),
            start in 0u64..70,
            len in 0u64..70,
        ) {
            // Each chunk is newer than those before it, so painting in order is right.
            let chunks: Vec<_> = sizes.iter().zip(1..).map(|(&(offset, size), ts)| chunk(offset, size, ts)).collect();
            let mut file = vec![0; 200];
            for (n, chunk) in chunks.iter().enumerate() {
                for i in 0..chunk.size {
                    file[usize::try_from(chunk.offset).unwrap() + usize::try_from(i).unwrap()] = byte(n, i);
                }
            }
            let pieces = plan(&visible(&chunks).unwrap(), start..start + len);
            prop_assert!(pieces.iter().all(|piece| !piece.is_empty()));
            prop_assert_eq!(pieces.iter().map(Piece::len).sum::<u64>(), len);
            let wanted = &file[usize::try_from(start).unwrap()..usize::try_from(start + len).unwrap()];
            prop_assert_eq!(rendered(&pieces), wanted);
        }

        #[test]
        fn inline_pieces_fill_the_range(content in 0u64..50, start in 0u64..70, len in 0u64..70) {
            let pieces = plan_inline(content, start..start + len);
            let expected: Vec<_> = (start..start + len).map(|i| if i < content { byte(99, i) } else { 0 }).collect();
            prop_assert_eq!(rendered(&pieces), expected);
        }
    }
}
