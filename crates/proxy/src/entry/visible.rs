//! Which chunk each byte of a file comes from, where chunks overlap.
//!
//! The chunk with the greatest `modified_ts_ns` wins. At a tie the one that begins first wins, then the one listed
//! first: so does `weed/filer/filechunks_read.go` @4.48, except that there the loser's bytes beyond the winner's end read
//! as zeros, a fault that is not copied.

use std::{cmp::Reverse, collections::BinaryHeap, ops::Range};

use http::StatusCode;

use crate::{Blame, Error, Result, pb};

/// A run of bytes that one chunk provides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VisibleRun {
    /// Bytes of the file; not empty.
    pub range: Range<u64>,
    /// Index into the list of chunks.
    pub chunk: usize,
    /// Where in the chunk's plaintext the run begins, in bytes.
    pub offset_in_chunk: u64,
}

/// A chunk's place, checked. Ordered by what wins: later, then beginning earlier, then listed earlier.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Layer {
    modified_ts_ns: i64,
    start: Reverse<u64>,
    index: Reverse<usize>,
    end: u64,
}

/// The visible runs of chunks that are no manifests, in order, not overlapping, each as long as can be. What lies
/// between and after them are holes, which read as zeros. O(n log n).
///
/// # Errors
/// Blames the filer for a chunk at a negative offset, or one that ends after the last byte that SeaweedFS can
/// address.
pub fn visible(chunks: &[pb::FileChunk]) -> Result<Vec<VisibleRun>> {
    let mut layers = layers(chunks)?;
    layers.sort_unstable_by_key(|layer| layer.start);
    let mut runs: Vec<VisibleRun> = Vec::with_capacity(layers.len());
    let mut covering = BinaryHeap::new();
    let mut position = 0;
    // `layers` is sorted so that the next one to begin is the last.
    loop {
        step();
        while let Some(layer) = layers.pop_if(|layer| layer.start.0 <= position) {
            step();
            covering.push(layer);
        }
        while covering.peek().is_some_and(|top| top.end <= position) {
            step();
            covering.pop();
        }
        let next_start = layers.last().map(|layer| layer.start.0);
        match (covering.peek(), next_start) {
            (Some(top), next_start) => {
                let end = next_start.map_or(top.end, |next| next.min(top.end));
                extend(&mut runs, top, position..end);
                position = end;
            }
            (None, Some(next)) => position = next,
            (None, None) => return Ok(runs),
        }
    }
}

fn layers(chunks: &[pb::FileChunk]) -> Result<Vec<Layer>> {
    let mut layers = Vec::with_capacity(chunks.len());
    for (index, chunk) in chunks.iter().enumerate().filter(|(_, chunk)| chunk.size > 0) {
        let start = u64::try_from(chunk.offset).ok();
        let end = start.and_then(|start| start.checked_add(chunk.size)).filter(|end| i64::try_from(*end).is_ok());
        let (Some(start), Some(end)) = (start, end) else {
            let message =
                format!("chunk {index} of the file lies at {} with size {}: out of range", chunk.offset, chunk.size);
            return Err(Error::new(Blame::Filer, StatusCode::BAD_GATEWAY, message));
        };
        layers.push(Layer { modified_ts_ns: chunk.modified_ts_ns, start: Reverse(start), index: Reverse(index), end });
    }
    Ok(layers)
}

/// Adds a run of a chunk's bytes, joined to the last one if that is of the same chunk.
fn extend(runs: &mut Vec<VisibleRun>, layer: &Layer, range: Range<u64>) {
    match runs.last_mut() {
        Some(last) if last.chunk == layer.index.0 && last.range.end == range.start => last.range.end = range.end,
        _ => {
            let offset_in_chunk = range.start - layer.start.0;
            runs.push(VisibleRun { range, chunk: layer.index.0, offset_in_chunk });
        }
    }
}

/// A test counts them: what a file of many chunks costs must not depend on how fast a machine is.
#[inline]
fn step() {
    #[cfg(test)]
    tests::STEPS.set(tests::STEPS.get() + 1);
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use proptest::prelude::*;

    use super::*;
    use crate::pb::FileChunk;

    fn chunk(offset: i64, size: u64, modified_ts_ns: i64) -> FileChunk {
        FileChunk { offset, size, modified_ts_ns, ..Default::default() }
    }

    fn runs(chunks: &[FileChunk]) -> Vec<(Range<u64>, usize, u64)> {
        visible(chunks).unwrap().into_iter().map(|run| (run.range, run.chunk, run.offset_in_chunk)).collect()
    }

    #[test]
    fn chunks_side_by_side_stay_as_they_are() {
        assert_eq!(runs(&[chunk(4, 4, 1), chunk(0, 4, 2)]), [(0..4, 1, 0), (4..8, 0, 0)]);
    }

    #[test]
    fn the_later_chunk_covers_the_earlier() {
        assert_eq!(runs(&[chunk(0, 10, 1), chunk(3, 4, 2)]), [(0..3, 0, 0), (3..7, 1, 0), (7..10, 0, 7)]);
        assert_eq!(runs(&[chunk(0, 10, 2), chunk(3, 4, 1)]), [(0..10, 0, 0)]);
        assert_eq!(runs(&[chunk(0, 10, 1), chunk(0, 10, 2)]), [(0..10, 1, 0)]);
    }

    #[test]
    fn at_a_tie_the_first_wins_and_the_rest_still_shows() {
        assert_eq!(runs(&[chunk(5, 10, 5), chunk(0, 10, 5)]), [(0..10, 1, 0), (10..15, 0, 5)]);
        assert_eq!(runs(&[chunk(0, 4, 5), chunk(0, 4, 5)]), [(0..4, 0, 0)]);
    }

    #[test]
    fn holes_are_left_out() {
        assert_eq!(runs(&[chunk(100, 3, 1), chunk(5, 0, 9)]), [(100..103, 0, 0)]);
        assert_eq!(runs(&[chunk(-1, 0, 1), chunk(0, 3, 1)]), [(0..3, 1, 0)], "what has no bytes is nowhere");
        assert_eq!(runs(&[]), []);
    }

    #[test]
    fn nonsense_is_refused() {
        for bad in [chunk(-1, 5, 1), chunk(i64::MAX, 1, 1), chunk(1, u64::MAX, 1), chunk(0, 1 << 63, 1)] {
            assert_eq!(visible(&[bad]).unwrap_err().blame(), Blame::Filer);
        }
        assert!(visible(&[chunk(i64::MAX - 1, 1, 1)]).is_ok());
    }

    thread_local! {
        pub(super) static STEPS: Cell<usize> = const { Cell::new(0) };
    }

    #[test]
    fn many_chunks_take_steps_as_they_are_many() {
        for many in [1_000, 100_000] {
            let place = |at: i64| (4 * at, 1 + at);
            let side_by_side = |at| chunk(place(at).0, 4, place(at).1);
            let all_over_each_other = |at| chunk(place(at).0, 8 * many as u64, place(at).1);
            let each_in_those_before = |at| chunk(at, 2 * (many - at) as u64, 1 + at);
            let kinds: [&dyn Fn(i64) -> FileChunk; 3] = [&side_by_side, &all_over_each_other, &each_in_those_before];
            for kind in kinds {
                let chunks: Vec<_> = (0..many).map(kind).collect();
                STEPS.set(0);
                let runs = visible(&chunks).unwrap();
                assert!(runs.len() >= many as usize);
                assert!((1..=4 * chunks.len() + 1).contains(&STEPS.get()), "{many}: {}", STEPS.get());
            }
        }
    }

    /// One byte after the other, each chunk painted over the ones that it beats.
    fn painted(chunks: &[FileChunk]) -> Vec<Option<(usize, u64)>> {
        let mut order: Vec<usize> = (0..chunks.len()).collect();
        order.sort_by_key(|&i| (chunks[i].modified_ts_ns, Reverse(chunks[i].offset), Reverse(i)));
        let mut bytes = vec![None; 64];
        for i in order {
            for at in 0..chunks[i].size {
                bytes[usize::try_from(chunks[i].offset).unwrap() + usize::try_from(at).unwrap()] = Some((i, at));
            }
        }
        bytes
    }

    proptest! {
        #[test]
        fn runs_are_what_painting_gives(places in prop::collection::vec((0i64..40, 0u64..20, 0i64..6), 0..12)) {
            let chunks: Vec<_> = places.into_iter().map(|(offset, size, ts)| chunk(offset, size, ts)).collect();
            let runs = visible(&chunks).unwrap();
            let mut bytes = vec![None; 64];
            let mut position = 0;
            for run in &runs {
                prop_assert!(run.range.start >= position && run.range.start < run.range.end);
                position = run.range.end;
                for (i, at) in run.range.clone().enumerate() {
                    bytes[usize::try_from(at).unwrap()] = Some((run.chunk, run.offset_in_chunk + i as u64));
                }
            }
            prop_assert_eq!(bytes, painted(&chunks));
            let joinable = runs.windows(2).any(|w| w[0].chunk == w[1].chunk && w[0].range.end == w[1].range.start);
            prop_assert!(!joinable);
        }
    }
}
