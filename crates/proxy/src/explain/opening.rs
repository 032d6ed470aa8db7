//! Whether what is stored of a chunk opens and inflates, tried as a read does it.
//!
//! Knows which bytes of a chunk a read takes. Must not know seals or gzip.

use std::sync::Arc;

use futures_util::{StreamExt, stream};
use prefetch::{FetchError, Piece, Plan};

use super::report::Chunk;
use crate::{
    entry::visible::VisibleRun,
    pb,
    read::{Source, object},
};

/// Chunks that are opened, so that a file of any size is explained in a while.
const OPENED: usize = 100;
/// Chunks that are opened at once. Each is held whole, within `prefetch.memory`.
const AT_ONCE: usize = 4;

/// Opens those of the chunks that are sealed or compressed, and says in `chunks` how that went. `runs` are the bytes of the
/// file that come from them.
pub(super) async fn open(source: &Source, stored: &[pb::FileChunk], runs: &[VisibleRun], chunks: &mut [Chunk]) {
    let ends = ends(stored.len(), runs);
    let mut wanted = Vec::new();
    for (index, (stored, chunk)) in stored.iter().zip(chunks.iter_mut()).enumerate() {
        let is_wrapped = !stored.cipher_key.is_empty() || stored.is_compressed;
        chunk.visible = ends[index] > 0;
        if !is_wrapped || !chunk.visible || chunk.replicas.iter().all(|replica| !replica.answers) {
            continue;
        }
        if wanted.len() < OPENED {
            wanted.push(index);
        } else {
            chunk.why = Some(format!("only the first {OPENED} chunks are opened"));
        }
    }
    let opened = stream::iter(wanted)
        .map(async |index| (index, last_byte(source, &stored[index], ends[index]).await))
        .buffered(AT_ONCE)
        .collect::<Vec<_>>()
        .await;
    for (index, opened) in opened {
        let chunk = &mut chunks[index];
        chunk.opens = match &opened {
            Ok(()) => Some(true),
            // That says nothing about the chunk.
            Err(FetchError::NoMemory) => None,
            Err(_) => Some(false),
        };
        chunk.why = opened.err().map(|error| error.to_string());
    }
}

/// Where in each of so many chunks the last byte that is read of it ends; 0: none is.
fn ends(chunks: usize, runs: &[VisibleRun]) -> Vec<u64> {
    let mut ends = vec![0; chunks];
    for run in runs {
        let end = run.offset_in_chunk + (run.range.end - run.range.start);
        ends[run.chunk] = end.max(ends[run.chunk]);
    }
    ends
}

/// Reads the byte in front of `end`: all that is in front of it must be there too.
async fn last_byte(source: &Source, stored: &pb::FileChunk, end: u64) -> Result<(), FetchError> {
    // Who has no id was not found to answer.
    let Ok(fid) = object::fid(stored) else { return Ok(()) };
    let mut read = object::needle(&fid, stored, end - 1..end);
    read.opener = object::opener(stored).map(|opener| Arc::new(opener) as Arc<_>);
    source.engine.download(Plan::from_iter([Piece::Needle(read)])).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_byte_that_is_read_of_a_chunk_may_not_be_its_last() {
        let run = |range: std::ops::Range<u64>, chunk, offset_in_chunk| VisibleRun { range, chunk, offset_in_chunk };
        // The second chunk lies over the middle of the first, and the third under both.
        let runs = [run(0..10, 0, 0), run(10..20, 1, 0), run(20..25, 0, 20)];
        assert_eq!(ends(3, &runs), [25, 10, 0]);
    }
}
