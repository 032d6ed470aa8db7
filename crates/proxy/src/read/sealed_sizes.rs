//! The sizes of sealed chunks that an entry alone does not tell: what is stored of a chunk tells them.
//!
//! Knows whom to ask. Must not know what the sizes mean; see [`sealed`].

use std::{borrow::Cow, ops::Range};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use prefetch::Engine;

use super::{failure, object};
use crate::{Result, entry::sealed, pb};

/// How many chunks are asked about at once.
const AT_ONCE: usize = 4;

/// Gives a file the size of its plaintext where it was recorded with that of what is stored. Asks about one chunk of files
/// whose chunks are sealed, and leaves the file as it is if nobody answers: who reads it hears of that.
pub(super) async fn of_file(engine: &Engine, entry: &mut pb::Entry) {
    let Some(witness) = sealed::witness(entry) else { return };
    let Ok(fid) = object::fid(witness) else { return };
    let size = witness.size;
    let stored = engine.stored_length(&object::needle(&fid, witness, 0..0)).await;
    if stored.is_ok_and(|stored| stored == size) {
        sealed::as_plain_by_witness(entry);
    }
}

/// The chunks, of which those that bytes of `range` (of the file) come out of have their true size. A file of `file_size`
/// bytes whose sealed text was written by SeaweedFS 4.05 to 4.07 looks like one full of holes, until a volume server says how
/// much it stores.
///
/// # Errors
/// When no replica says it.
pub(super) async fn of_range<'e>(
    engine: &Engine,
    mut chunks: Cow<'e, [pb::FileChunk]>,
    file_size: u64,
    range: &Range<u64>,
) -> Result<Cow<'e, [pb::FileChunk]>> {
    let doubtful = sealed::doubtful(&chunks, file_size, range);
    if doubtful.is_empty() {
        return Ok(chunks);
    }
    let stored = doubtful.iter().map(|(index, _)| {
        let chunk = &chunks[*index];
        let read = object::fid(chunk).map(|fid| object::needle(&fid, chunk, 0..0));
        async move { engine.stored_length(&read?).await.map_err(|error| failure::to_error(&error)) }
    });
    let stored: Vec<u64> = stream::iter(stored.collect::<Vec<_>>()).buffered(AT_ONCE).try_collect().await?;
    for ((index, size), stored) in doubtful.into_iter().zip(stored) {
        if chunks[index].size == stored {
            chunks.to_mut()[index].size = size;
        }
    }
    Ok(chunks)
}
