//! From an entry to the chunks that hold its bytes and the layout of its encryption.
//!
//! Knows entries, manifests and layouts. Must not know the request, or keys.

use std::{borrow::Cow, ops::Range, pin::pin, sync::Arc};

use crypto::{Attributes, History, Kind, Layout, MetadataError, Scheme, StoredChunk};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use http::StatusCode;
use prefetch::{Engine, FetchError, NeedleRead};

use super::{decode, decode::OpenSealed, failure};
use crate::{
    Blame, Error, Result,
    entry::{
        Fid,
        manifest::{Manifests, Pending},
    },
    filer::pb,
};

/// The largest manifest that is read, stored or inflated, in bytes. SeaweedFS lists 10,000 chunks in one, at about 100 bytes
/// each.
const MANIFEST_LIMIT: u64 = 16 << 20;
/// What SeaweedFS writes is smaller, in bytes.
const USUAL_MANIFEST: u64 = 2 << 20;
/// How many manifests of one file are fetched at once.
const AT_ONCE: usize = 4;

/// How the entry is encrypted, by what the entry itself lists.
///
/// # Errors
/// 500 that names the field that is not understood.
pub(crate) fn layout(entry: &pb::Entry, chunks: &[pb::FileChunk]) -> Result<Layout> {
    look(entry, chunks, Layout::read).map_err(|error| {
        let message = format!("the object's encryption metadata cannot be used: {error}");
        Error::new(Blame::Filer, StatusCode::INTERNAL_SERVER_ERROR, message).code("InvalidEncryptionMetadata")
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

/// The chunks that `range` (bytes of the file) may need, manifests expanded, with the layout that goes with them.
///
/// # Errors
/// When a manifest cannot be fetched or is none.
pub(crate) async fn chunks<'e>(
    engine: &Engine,
    entry: &'e pb::Entry,
    layout: Arc<Layout>,
    range: Range<u64>,
) -> Result<(Cow<'e, [pb::FileChunk]>, Arc<Layout>)> {
    if !entry.chunks.iter().any(|chunk| chunk.is_chunk_manifest) {
        return Ok((Cow::Borrowed(&entry.chunks), layout));
    }
    // Where a keystream starts can depend on the chunks before, so of an encrypted object all are needed.
    let range = if layout.scheme == Scheme::None { range } else { 0..u64::MAX };
    let mut manifests = Manifests::new(entry.chunks.clone(), range)?;
    loop {
        let pending = manifests.take_pending();
        if pending.is_empty() {
            break;
        }
        let contents = pending.into_iter().map(async |manifest| Ok((content(engine, &manifest).await?, manifest)));
        let mut contents = pin!(stream::iter(contents).buffered(AT_ONCE));
        while let Some((content, manifest)) = contents.try_next().await? {
            manifests.resolve(&manifest, &content)?;
        }
    }
    let chunks = manifests.finish()?;
    let expanded = self::layout(entry, &chunks)?;
    // Who may have the object was judged by what the entry says of itself.
    if expanded.scheme != layout.scheme {
        let message = format!(
            "the object's encryption metadata cannot be used: its chunk manifests list chunks of sse {}, and the entry is {}",
            expanded.scheme.as_str(),
            layout.scheme.as_str()
        );
        return Err(
            Error::new(Blame::Filer, StatusCode::INTERNAL_SERVER_ERROR, message).code("InvalidEncryptionMetadata")
        );
    }
    Ok((Cow::Owned(chunks), Arc::new(expanded)))
}

/// The content of a manifest chunk.
async fn content(engine: &Engine, manifest: &Pending) -> Result<Vec<u8>> {
    let broken = |reason: String| {
        let message = format!("the chunk manifest {} cannot be read: {reason}", manifest.fid);
        Error::new(Blame::Volume, StatusCode::BAD_GATEWAY, message)
    };
    let chunk = &manifest.chunk;
    let read = needle(&manifest.fid, chunk, 0..0);
    // Hardly any is larger than the usual one, and memory for the largest is not always there.
    let stored = match engine.read_needle(read.clone(), USUAL_MANIFEST).await {
        Err(FetchError::TooLarge { .. }) => engine.read_needle(read, MANIFEST_LIMIT).await,
        stored => stored,
    };
    let stored = stored.map_err(|error| failure::to_error(&error))?;
    if chunk.cipher_key.is_empty() {
        // Compressed or not, the volume server has inflated it.
        return Ok(stored.into());
    }
    decode::open_sealed(&chunk.cipher_key, chunk.is_compressed, stored.into(), MANIFEST_LIMIT).map_err(broken)
}

/// A read of `range` (bytes of the chunk) of a chunk.
pub(crate) fn needle(fid: &Fid, chunk: &pb::FileChunk, range: Range<u64>) -> NeedleRead {
    NeedleRead {
        volume: fid.volume_id,
        fid: fid.to_string().into(),
        size: chunk.size,
        start: range.start,
        end: range.end,
        compressed: chunk.is_compressed,
        transform: None,
        opener: None,
        moved: None,
    }
}

/// The id of a chunk.
///
/// # Errors
/// 502 if there is none, or it is not one.
pub(crate) fn fid(chunk: &pb::FileChunk) -> Result<Fid> {
    Fid::of(chunk).map_err(|error| {
        Error::new(Blame::Filer, StatusCode::BAD_GATEWAY, format!("a chunk of the file has a bad id: {error}"))
    })
}

/// What opens a chunk that is sealed as a whole; `None`: it is not.
pub(crate) fn opener(chunk: &pb::FileChunk) -> Option<OpenSealed> {
    (!chunk.cipher_key.is_empty()).then(|| OpenSealed::new(&chunk.cipher_key))
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicUsize, Ordering},
        time::Duration,
    };

    use bytes::Bytes;
    use http::{Request, Response};
    use http_body_util::{BodyExt as _, Full};
    use prefetch::{Answer, Locate, Located, Settings, Upstream};
    use prost::Message as _;
    use tokio::time::{Instant, sleep};

    use super::*;

    const TAKES: Duration = Duration::from_secs(1);

    /// A volume server whose needle with key n is, after a second, a manifest of the one chunk n of the file.
    #[derive(Clone, Default)]
    struct Manifested(Arc<AtomicUsize>);

    impl Upstream for Manifested {
        fn send(&self, request: Request<()>) -> Answer<'_> {
            let fid: Fid = request.uri().path().trim_start_matches('/').parse().unwrap();
            Box::pin(async move {
                self.0.fetch_add(1, Ordering::SeqCst);
                // The later ones are faster.
                sleep(TAKES - Duration::from_millis(fid.key)).await;
                let list = pb::FileChunkManifest { chunks: vec![chunk(fid.key, false)] }.encode_to_vec();
                let length = list.len();
                let body = Full::new(Bytes::from(list)).map_err(|never| match never {}).boxed_unsync();
                Ok(Response::builder().header("Content-Length", length).body(body).unwrap())
            })
        }
    }

    impl Locate for Manifested {
        fn locate(&self, _volume: u32, _fresh: bool) -> Located<'_> {
            Box::pin(async { Ok([Arc::from("a:1")].into_iter().collect()) })
        }
    }

    /// The bytes of the file from ten times `key` on, or the manifest that lists them.
    fn chunk(key: u64, is_chunk_manifest: bool) -> pb::FileChunk {
        let fid = Some(pb::FileId { volume_id: 1, file_key: key, cookie: 7 });
        pb::FileChunk { fid, offset: 10 * key as i64, size: 10, is_chunk_manifest, ..Default::default() }
    }

    #[tokio::test(start_paused = true)]
    async fn manifests_are_fetched_four_at_once_and_taken_in_their_order() {
        let server = Manifested::default();
        let metrics = prefetch::Metrics::register(&prometheus::Registry::new()).unwrap();
        let engine = Engine::new(Settings::default(), server.clone(), Arc::new(server.clone()), metrics);
        let entry = pb::Entry { chunks: (1..=8).map(|key| chunk(key, true)).collect(), ..Default::default() };
        let layout = Arc::new(layout(&entry, &entry.chunks).unwrap());
        let begun = Instant::now();
        let (expanded, _) = chunks(&engine, &entry, layout, 0..u64::MAX).await.unwrap();
        assert_eq!(*expanded, (1..=8).map(|key| chunk(key, false)).collect::<Vec<_>>());
        assert_eq!(server.0.load(Ordering::SeqCst), 8);
        assert!(begun.elapsed() < 2 * TAKES, "{:?}", begun.elapsed());
    }
}
