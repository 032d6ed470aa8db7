//! From an entry and its chunks to the layout of its encryption, and from a chunk to the needle that holds it.
//!
//! Knows entries and layouts. Must not know more of the request than its name, or keys.

use std::ops::Range;

use crypto::{Attributes, History, Kind, Layout, MetadataError, StoredChunk};
use http::StatusCode;
use prefetch::NeedleRead;

use super::decode::OpenSealed;
use crate::{Blame, Error, Result, correlation::Correlation, entry::Fid, pb};

/// How the entry is encrypted, by what the entry itself lists.
///
/// # Errors
/// 500 that names the field that is not understood.
pub(crate) fn layout(entry: &pb::Entry, chunks: &[pb::FileChunk]) -> Result<Layout> {
    look(entry, chunks, Layout::read).map_err(|error| {
        let message = format!("the object's encryption metadata cannot be used: {error}");
        Error::new(Blame::Filer, StatusCode::INTERNAL_SERVER_ERROR, message)
            .code("InvalidEncryptionMetadata")
            .caused_by(error)
    })
}

/// What kind of encrypted object the entry is, also of one whose layout is refused; `None`: that cannot be told.
pub(crate) fn kind(entry: &pb::Entry, chunks: &[pb::FileChunk]) -> Option<Kind> {
    look(entry, chunks, Kind::of).ok()
}

/// Asks `question` about an entry with these chunks, put as far as encryption goes.
fn look<T>(
    entry: &pb::Entry,
    chunks: &[pb::FileChunk],
    question: fn(&Attributes<'_>, &History, &[StoredChunk<'_>], usize) -> Result<T, MetadataError>,
) -> Result<T, MetadataError> {
    let attributes = Attributes::new(entry.extended.iter().map(|(name, value)| (name.as_str(), value.as_ref())));
    let chunks: Vec<_> = chunks.iter().map(stored).collect();
    question(&attributes, &history(entry), &chunks, entry.content.len())
}

fn stored(chunk: &pb::FileChunk) -> StoredChunk<'_> {
    StoredChunk {
        offset: u64::try_from(chunk.offset).unwrap_or(0),
        size: chunk.size,
        sse_type: chunk.sse_type,
        sse_metadata: &chunk.sse_metadata,
        modified_ts_ns: chunk.modified_ts_ns,
        e_tag: &chunk.e_tag,
        is_compressed: chunk.is_compressed,
        is_manifest: chunk.is_chunk_manifest,
    }
}

fn history(entry: &pb::Entry) -> History {
    let nanoseconds = |seconds: i64, rest: i32| seconds.saturating_mul(1_000_000_000).saturating_add(rest.into());
    let synced_ns = entry.remote_entry.as_ref().map_or(0, |remote| remote.last_local_sync_ts_ns);
    let Some(attributes) = &entry.attributes else { return History { synced_ns, ..History::default() } };
    History {
        created: attributes.crtime,
        modified_ns: nanoseconds(attributes.mtime, attributes.mtime_ns),
        changed_ns: nanoseconds(attributes.ctime, attributes.ctime_ns),
        synced_ns,
        has_md5: !attributes.md5.is_empty(),
    }
}

/// A read of `range` (bytes of the chunk) of the only chunk that is read, for the request for which this is called.
pub(crate) fn needle(fid: &Fid, chunk: &pb::FileChunk, range: Range<u64>) -> NeedleRead {
    NeedleRead {
        start: range.start,
        end: range.end,
        compressed: chunk.is_compressed,
        request: Correlation::current().map(|current| current.id.value().clone()),
        ..NeedleRead::of(fid.volume_id, fid.to_string(), chunk.size)
    }
}

/// The id of a chunk.
///
/// # Errors
/// 502 if there is none, or it is not one.
pub(crate) fn fid(chunk: &pb::FileChunk) -> Result<Fid> {
    Fid::of(chunk).map_err(|error| {
        Error::new(Blame::Filer, StatusCode::BAD_GATEWAY, format!("a chunk of the file has a bad id: {error}"))
            .caused_by(error)
    })
}

/// What opens a chunk that is sealed as a whole; `None`: it is not.
pub(crate) fn opener(chunk: &pb::FileChunk) -> Option<OpenSealed> {
    (!chunk.cipher_key.is_empty()).then(|| OpenSealed::new(&chunk.cipher_key))
}
