//! Cuts what is wanted of a chunk into pieces, and the work for one piece.
//!
//! A piece is worked out in one pass over the chunk, whatever the order of the ranges in it: who asks for a thousand bytes
//! back to front has the chunk inflated once.

use std::{collections::VecDeque, ops::Range};

use bytes::Bytes;

use super::content::Content;
use crate::{ContentError, Decode, plan::Slice};

/// Bytes that are worked out at a time, at most.
pub(super) const PIECE: u64 = 512 << 10;

/// The slices in their order, so that the ranges of each piece have at most [`PIECE`] bytes together.
pub(super) fn pieces(slices: Vec<Slice>) -> Vec<Vec<Slice>> {
    let mut pieces = Vec::new();
    let mut piece = Vec::new();
    let mut room = PIECE;
    for slice in slices {
        let Slice::Chunk(mut range) = slice else {
            piece.push(slice);
            continue;
        };
        while !range.is_empty() {
            let len = range.end - range.start;
            // What fits a piece of its own is not torn apart for the rest of one.
            if len > room && room < PIECE {
                pieces.push(std::mem::take(&mut piece));
                room = PIECE;
            }
            let end = range.start + len.min(room);
            piece.push(Slice::Chunk(range.start..end));
            room -= end - range.start;
            range.start = end;
        }
    }
    pieces.push(piece);
    pieces
}

/// The ranges of a piece from front to back, without overlap.
pub(super) fn runs(piece: &[Slice]) -> Vec<Range<u64>> {
    let mut ranges: Vec<_> = piece
        .iter()
        .filter_map(|slice| match slice {
            Slice::Chunk(range) => Some(range.clone()),
            Slice::Inline(_) => None,
        })
        .collect();
    ranges.sort_unstable_by_key(|range| range.start);
    let mut runs = Vec::<Range<u64>>::new();
    for range in ranges {
        match runs.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => runs.push(range),
        }
    }
    runs
}

/// A run, and what decodes it.
pub(super) type Run = (Range<u64>, Option<Box<dyn Decode>>);

/// One piece on its way: what is still to be done, and what has been.
pub(super) struct PieceWork {
    content: Content,
    /// The size of the chunk.
    size: u64,
    runs: VecDeque<Run>,
    done: Vec<(u64, Vec<u8>)>,
}

impl PieceWork {
    /// The work for the runs of a piece of a chunk of `size` bytes.
    pub(super) fn new(content: Content, size: u64, runs: impl IntoIterator<Item = Run>) -> Self {
        Self { content, size, runs: runs.into_iter().collect(), done: Vec::new() }
    }

    /// Does some of it. `false`: not all is done.
    ///
    /// # Errors
    /// When the content is broken.
    pub(super) fn go_on(&mut self) -> Result<bool, ContentError> {
        while let Some((run, decoder)) = self.runs.front_mut() {
            if !self.content.reach(run.start)? {
                return Ok(false);
            }
            let mut bytes = vec![0; (run.end - run.start) as usize];
            self.content.write(
                run.start,
                &mut bytes,
                decoder.as_deref_mut().map(|decoder| decoder as &mut dyn Decode),
            )?;
            self.content.check_end(self.size)?;
            self.done.push((run.start, bytes));
            self.runs.pop_front();
        }
        Ok(true)
    }

    /// The bytes of the piece, in the order of its slices; `own` keeps the memory for each run.
    pub(super) fn finish(self, piece: Vec<Slice>, own: impl Fn(Vec<u8>) -> Bytes) -> (Content, Vec<Bytes>) {
        let done: Vec<_> = self.done.into_iter().map(|(start, bytes)| (start, own(bytes))).collect();
        let slices = piece.into_iter().map(|slice| match slice {
            Slice::Inline(bytes) => bytes,
            Slice::Chunk(range) => {
                let run = done.partition_point(|(start, _)| *start <= range.start).saturating_sub(1);
                let (start, bytes) = &done[run];
                bytes.slice((range.start - start) as usize..(range.end - start) as usize)
            }
        });
        (self.content, slices.collect())
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Write as _, sync::Arc};

    use flate2::{Compression, write::GzEncoder};
    use prometheus::Registry;
    use proptest::{collection::vec, prelude::*};

    use super::{super::content::NeedleBytes, *};
    use crate::{
        Metrics, Share, Start, Transform,
        budget::{Budget, Reservation, blocks},
        testing::Positional,
        urgency::Urgency,
    };

    fn needle(bytes: Vec<u8>) -> NeedleBytes {
        let budget = Budget::new(64 << 20, 0, &Metrics::register(&Registry::new()).unwrap());
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let account = runtime.block_on(budget.admit(&Share::default()));
        let place = 0..bytes.len();
        let blocks = blocks(bytes.len() as u64 + 1);
        let memory = Reservation::take(&account, blocks, blocks, Urgency::Head).unwrap();
        NeedleBytes::new(memory.buffer(bytes), place)
    }

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn text(len: usize) -> Vec<u8> {
        (0..len).map(|at| (at / 5 % 251) as u8 ^ (at >> 9) as u8).collect()
    }

    /// All of the slices, by way of their pieces.
    fn cut(mut content: Content, size: u64, slices: Vec<Slice>, transform: Option<Arc<dyn Transform>>) -> Vec<u8> {
        let mut got = Vec::new();
        for piece in pieces(slices) {
            let decoder = |start| match transform.as_ref()?.start(start) {
                Start::Now(decoder) => Some(decoder),
                Start::Later(_) => None,
            };
            let with_decoder = |run: Range<u64>| (run.clone(), decoder(run.start));
            let mut work = PieceWork::new(content, size, runs(&piece).into_iter().map(with_decoder));
            while !work.go_on().unwrap() {}
            let (rest, bytes) = work.finish(piece, Bytes::from);
            content = rest;
            got.extend(bytes.concat());
        }
        got
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

        #[test]
        fn whatever_is_cut_in_whatever_order_comes_out_of_gzip_as_it_lies_in_the_text(
            size in prop_oneof![1usize..3000, 1_400_000usize..1_700_000],
            longer in prop_oneof![Just(0usize), 1usize..5000],
            wanted in vec((0.0..1.0f64, 0.0..1.0f64, any::<bool>()), 1..12),
            transformed: bool,
        ) {
            let stored = text(size + longer);
            let mut slices = Vec::new();
            let mut expected = Vec::new();
            let transform = transformed.then(|| Arc::new(Positional) as Arc<dyn Transform>);
            for (one, other, inline) in wanted {
                let (from, to) = ((size as f64 * one.min(other)) as usize, (size as f64 * one.max(other)) as usize + 1);
                slices.push(Slice::Chunk(from as u64..to as u64));
                expected.extend((from..to).map(|at| stored[at] ^ if transformed { at as u8 } else { 0 }));
                if inline {
                    slices.push(Slice::Inline(Bytes::from_static(b"between")));
                    expected.extend(b"between");
                }
            }
            for compressed in [false, true] {
                let bytes = if compressed { gzip(&stored) } else { stored.clone() };
                let content = Content::new(needle(bytes), compressed).unwrap();
                prop_assert!(cut(content, size as u64, slices.clone(), transform.clone()) == expected);
            }
        }

        #[test]
        fn pieces_are_small_and_leave_nothing_out(lens in vec(1u64..2_000_000, 1..9)) {
            let slices: Vec<_> = lens.iter().map(|len| Slice::Chunk(7..7 + len)).collect();
            let pieces = pieces(slices);
            let total = |piece: &Vec<Slice>| crate::plan::len(piece);
            prop_assert!(pieces.iter().all(|piece| (1..=PIECE).contains(&total(piece))));
            prop_assert_eq!(pieces.iter().map(total).sum::<u64>(), lens.iter().sum::<u64>());
        }
    }

    #[test]
    fn what_is_no_gzip_or_ends_too_soon_is_said() {
        let refused = |bytes: Vec<u8>| Content::new(needle(bytes), true).err().unwrap();
        assert!(matches!(refused(b"attack at dawn".to_vec()), ContentError::NotGzip));
        assert!(matches!(refused(vec![0x28, 0xb5, 0x2f, 0xfd, 0]), ContentError::Zstd));
        let read = |bytes: Vec<u8>, range: Range<u64>, size| {
            let content = Content::new(needle(bytes), true).unwrap();
            let mut work = PieceWork::new(content, size, [(range, None)]);
            work.go_on().map(|_| work.done)
        };
        let stored = gzip(&text(1000));
        assert_eq!(read(stored.clone(), 10..900, 900).unwrap(), [(10, text(1000)[10..900].to_vec())]);
        for (range, size) in [(0..1001, 1001), (1500..1501, 2000)] {
            assert!(matches!(read(stored.clone(), range, size), Err(ContentError::EndsEarly(1000))));
        }
        let mut flipped = stored.clone();
        *flipped.last_mut().unwrap() ^= 1;
        let is_broken = |bytes: Vec<u8>| matches!(read(bytes, 0..1000, 1000), Err(ContentError::Gzip(_)));
        assert!(is_broken(flipped.clone()), "its own length is wrong");
        let crc = flipped.len() - 8;
        let mut flipped = stored;
        flipped[crc] ^= 1;
        assert!(is_broken(flipped), "its own checksum is wrong");
    }

    #[test]
    fn runs_are_in_order_and_meet_nowhere() {
        let chunk = |range| Slice::Chunk(range);
        let text = Slice::Inline(Bytes::from_static(b"text"));
        let piece = [chunk(40..50), text, chunk(5..20), chunk(0..10), chunk(41..42), chunk(20..30), chunk(51..60)];
        assert_eq!(runs(&piece), [0..30, 40..50, 51..60]);
        assert!(runs(&piece[1..2]).is_empty());
    }

    #[test]
    fn what_fills_a_piece_to_its_end_is_not_torn_off_it() {
        let half = PIECE / 2;
        let chunk = |range: Range<u64>| Slice::Chunk(range);
        let made_of = |last: u64| pieces(vec![chunk(0..half), chunk(PIECE..PIECE + last)]).len();
        assert_eq!((made_of(half), made_of(half + 1)), (1, 2));
    }
}
