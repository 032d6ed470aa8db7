//! The chunks behind an entry's manifests: those that a range needs, worked out once and kept for the next range.
//!
//! Knows which manifests cover a range, and how long what came out of them is of use. Must not know the request, or what the
//! chunks are read for.

use std::{borrow::Cow, ops::Range, pin::pin, sync::Arc, time::Duration};

use crypto::{Layout, Scheme};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use http::StatusCode;
use moka::{future::Cache, policy::EvictionPolicy};
use prefetch::Engine;

use super::{manifest, object};
use crate::{
    Blame, Error, Result,
    entry::{
        manifest::Manifests,
        sealed,
        visible::{VisibleRun, visible},
    },
    metrics::{CacheContents, CacheCounters, CacheOutcome},
    pb,
};

/// How many manifests of one file are fetched at once.
const AT_ONCE: usize = 4;
/// What nobody asks for is forgotten after this long: the file may be gone.
const IDLE: Duration = Duration::from_secs(600);
/// What a chunk takes in memory beside its texts, with where its keystream starts and its place in the file, in bytes.
const CHUNK: usize = 400;
/// Laying out so many chunks keeps others waiting.
const MANY: usize = 500;
/// Every byte of a file.
const ALL: Range<u64> = 0..u64::MAX;

/// The chunks of a stretch of a file, and how they are read.
pub(crate) struct Expansion {
    /// Without manifests.
    pub(crate) chunks: Vec<pb::FileChunk>,
    /// How they are encrypted.
    pub(crate) layout: Arc<Layout>,
    /// Which byte comes from which of them.
    pub(super) runs: Vec<VisibleRun>,
    /// Whether some of them may be smaller than they say.
    pub(super) has_doubtful: bool,
    /// The entry's own layout. While this is here, no other has its address.
    _of: Arc<Layout>,
}

/// Why what was expanded is not good for all ranges of the stretch.
enum ExpansionError {
    /// Manifests list manifests, which nothing writes: the stretch may be endless.
    Nested,
    /// Where keystreams start depends on the chunks outside.
    Dependent,
    /// It cannot be read.
    Failed(Error),
}

/// The address of an entry's layout, and a stretch of the file.
type Key = (usize, Range<u64>);

/// What was expanded, by the address of its entry's layout and the stretch of the file.
pub(crate) struct Expansions {
    /// `None`: nothing is kept.
    kept: Option<Cache<Key, Arc<Expansion>>>,
    counters: CacheCounters,
}

impl Expansions {
    /// Keeps what takes `bytes` together; 0 keeps nothing.
    pub(crate) fn new(bytes: u64, counters: CacheCounters) -> Self {
        let kept = (bytes > 0).then(|| {
            Cache::builder()
                .max_capacity(bytes)
                .weigher(|_, expanded: &Arc<Expansion>| expanded.weight())
                .eviction_policy(EvictionPolicy::lru())
                .time_to_idle(IDLE)
                .build()
        });
        Self { kept, counters }
    }

    /// What is kept, as of when that was last [swept](Self::sweep) or found out by itself.
    pub(crate) fn contents(&self) -> CacheContents {
        let (entries, bytes) = self.kept.as_ref().map_or((0, 0), |kept| (kept.entry_count(), kept.weighted_size()));
        CacheContents { entries, bytes: Some(bytes) }
    }

    /// Drops what is over its time, which happens by itself only while it is used.
    pub(crate) async fn sweep(&self) {
        if let Some(kept) = &self.kept {
            kept.run_pending_tasks().await;
        }
    }

    /// The chunks that `range` (bytes of the file) may need. `layout` is the entry's own, and stands for the entry as long as
    /// somebody has it. Manifests that do not cover the range are not looked at, unless keystreams depend on all of them.
    ///
    /// # Errors
    /// When a manifest cannot be fetched or is none.
    pub(super) async fn of(
        &self,
        engine: &Engine,
        entry: &pb::Entry,
        layout: &Arc<Layout>,
        range: Range<u64>,
    ) -> Result<Arc<Expansion>> {
        // Keys in the clear are not kept.
        let kept = self.kept.as_ref().filter(|_| entry.chunks.iter().all(|chunk| chunk.cipher_key.is_empty()));
        let Some(kept) = kept else { return uncached(engine, entry, layout, range).await.map(Arc::new) };
        let key = |stretch: &Range<u64>| (Arc::as_ptr(layout) as usize, stretch.clone());
        if let Some(expanded) = kept.get(&key(&ALL)).await {
            self.counters.record(CacheOutcome::Hit);
            return Ok(expanded);
        }
        let stretch = stretch(&entry.chunks, range.clone());
        for stretch in [stretch, ALL] {
            let expanding = async { expand(engine, entry, layout, stretch.clone(), true).await.map(Arc::new) };
            let expanded = kept.entry(key(&stretch)).or_try_insert_with(Box::pin(expanding)).await;
            match expanded.as_ref().map_err(|why| &**why) {
                Ok(expanded) => {
                    let hit = !expanded.is_fresh();
                    self.counters.record(if hit { CacheOutcome::Hit } else { CacheOutcome::Miss });
                    if expanded.value().chunks.iter().any(|chunk| !chunk.cipher_key.is_empty()) {
                        kept.invalidate(&key(&stretch)).await;
                    }
                    return Ok(Arc::clone(expanded.value()));
                }
                Err(ExpansionError::Failed(error)) => return Err(error.clone()),
                Err(ExpansionError::Dependent) => {}
                Err(ExpansionError::Nested) => break,
            }
        }
        self.counters.record(CacheOutcome::Miss);
        uncached(engine, entry, layout, range).await.map(Arc::new)
    }
}

impl Expansion {
    fn weight(&self) -> u32 {
        let texts = self.chunks.iter().map(|chunk| {
            // The wrapped key is here twice: as it was read, and in the layout.
            CHUNK + chunk.file_id.len() + chunk.e_tag.len() + 2 * chunk.sse_metadata.len()
        });
        u32::try_from(texts.sum::<usize>()).unwrap_or(u32::MAX)
    }
}

/// The chunks that `range` (bytes of the file) may need, manifests expanded, with the layout that goes with them. Keeps nothing.
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
    let expanded = uncached(engine, entry, &layout, range).await?;
    Ok((Cow::Owned(expanded.chunks), expanded.layout))
}

async fn uncached(engine: &Engine, entry: &pb::Entry, layout: &Arc<Layout>, range: Range<u64>) -> Result<Expansion> {
    match expand(engine, entry, layout, range, false).await {
        Err(ExpansionError::Dependent) => expand(engine, entry, layout, ALL, false).await,
        expanded => expanded,
    }
    .map_err(|why| match why {
        ExpansionError::Failed(error) => error,
        ExpansionError::Nested | ExpansionError::Dependent => {
            let message = "all manifests of the file were read, and are not enough; this is a defect of tidegate";
            Error::new(Blame::Filer, StatusCode::INTERNAL_SERVER_ERROR, message)
        }
    })
}

/// The stretch of the file that is expanded for `range`, and then good for all ranges of it: the manifests that cover bytes of
/// the range, and what lies between them and the next ones.
fn stretch(chunks: &[pb::FileChunk], range: Range<u64>) -> Range<u64> {
    let place = |chunk: &pb::FileChunk| u64::try_from(chunk.offset).unwrap_or(0)..chunk.end();
    let manifests: Vec<_> = chunks.iter().filter(|chunk| chunk.is_chunk_manifest).map(place).collect();
    let mut stretch = range;
    loop {
        let before = stretch.clone();
        for place in manifests.iter().filter(|place| place.start < before.end && before.start < place.end) {
            stretch = stretch.start.min(place.start)..stretch.end.max(place.end);
        }
        if stretch == before {
            break;
        }
    }
    let start = manifests.iter().map(|place| place.end).filter(|end| *end <= stretch.start).max();
    let end = manifests.iter().map(|place| place.start).filter(|start| *start >= stretch.end).min();
    start.unwrap_or(0)..end.unwrap_or(u64::MAX)
}

/// Expands what overlaps `stretch`. `flat`: not if manifests list manifests.
async fn expand(
    engine: &Engine,
    entry: &pb::Entry,
    layout: &Arc<Layout>,
    stretch: Range<u64>,
    flat: bool,
) -> Result<Expansion, ExpansionError> {
    let chunks = listed(engine, entry, stretch.clone(), flat).await?;
    let (layout, of) = (laid_out(entry, chunks, layout.scheme), Arc::clone(layout));
    let (chunks, layout, runs) = match layout.await {
        Ok(laid_out) if stretch == ALL || laid_out.1.stands_alone => laid_out,
        Err(error) if stretch == ALL => return Err(ExpansionError::Failed(error)),
        // What makes no sense by itself may do so beside the others.
        Ok(_) | Err(_) => return Err(ExpansionError::Dependent),
    };
    let has_doubtful = chunks.iter().any(sealed::may_be_smaller);
    Ok(Expansion { chunks, layout: Arc::new(layout), runs, has_doubtful, _of: of })
}

/// What overlaps `stretch`, manifests replaced by what they list.
async fn listed(
    engine: &Engine,
    entry: &pb::Entry,
    stretch: Range<u64>,
    flat: bool,
) -> Result<Vec<pb::FileChunk>, ExpansionError> {
    let mut manifests = Manifests::new(entry.chunks.clone(), stretch).map_err(ExpansionError::Failed)?;
    let mut deep = false;
    loop {
        let pending = manifests.take_pending();
        if pending.is_empty() {
            return manifests.finish().map_err(ExpansionError::Failed);
        }
        if flat && std::mem::replace(&mut deep, true) {
            return Err(ExpansionError::Nested);
        }
        let contents = pending.into_iter().map(async |pending| Ok((manifest::read(engine, &pending).await?, pending)));
        let mut contents = pin!(stream::iter(contents).buffered(AT_ONCE));
        while let Some((listed, pending)) = contents.try_next().await.map_err(ExpansionError::Failed)? {
            manifests.put(&pending, listed).map_err(ExpansionError::Failed)?;
        }
    }
}

type Listing = (Vec<pb::FileChunk>, Layout, Vec<VisibleRun>);

/// How the chunks of an entry of that scheme are read.
async fn laid_out(entry: &pb::Entry, chunks: Vec<pb::FileChunk>, scheme: Scheme) -> Result<Listing> {
    if chunks.len() < MANY {
        return lay_out(entry, chunks, scheme);
    }
    let entry = pb::Entry { chunks: Vec::new(), ..entry.clone() };
    let laid_out = tokio::task::spawn_blocking(move || lay_out(&entry, chunks, scheme)).await;
    laid_out.map_err(|error| {
        Error::new(Blame::Filer, StatusCode::SERVICE_UNAVAILABLE, "the daemon is stopping").caused_by(error)
    })?
}

fn lay_out(entry: &pb::Entry, chunks: Vec<pb::FileChunk>, scheme: Scheme) -> Result<Listing> {
    let layout = object::layout(entry, &chunks)?;
    // Who may have the object was judged by what the entry says of itself.
    if layout.scheme != scheme && !chunks.is_empty() {
        let message = format!(
            "the object's encryption metadata cannot be used: its chunk manifests list chunks of sse {}, and the entry is {}",
            layout.scheme.as_str(),
            scheme.as_str()
        );
        return Err(
            Error::new(Blame::Filer, StatusCode::INTERNAL_SERVER_ERROR, message).code("InvalidEncryptionMetadata")
        );
    }
    let runs = visible(&chunks)?;
    Ok((chunks, layout, runs))
}

#[cfg(test)]
mod tests {
    use std::{
        io::Cursor,
        sync::atomic::{AtomicUsize, Ordering},
        time::Duration,
    };

    use bytes::Bytes;
    use http::{Request, Response};
    use prefetch::{Answer, Locate, LocationsFuture, Settings, Upstream, UpstreamBody};
    use prost::Message as _;
    use tokio::time::{Instant, sleep};

    use super::*;
    use crate::entry::Fid;

    const TAKES: Duration = Duration::from_secs(1);

    /// A volume server whose needle with key n is, after a second, a manifest of the one chunk n of the file, which is encrypted
    /// if that is what the server has.
    #[derive(Clone, Default)]
    struct Manifested(Arc<AtomicUsize>, Option<u64>);

    impl Upstream for Manifested {
        fn send(&self, request: Request<()>) -> Answer<'_> {
            let fid: Fid = request.uri().path().trim_start_matches('/').parse().unwrap();
            Box::pin(async move {
                self.0.fetch_add(1, Ordering::SeqCst);
                // The later ones are faster.
                sleep(TAKES - Duration::from_millis(fid.key)).await;
                let plain = chunk(fid.key, false);
                let listed = if self.1 == Some(fid.key) { encrypted(plain) } else { plain };
                let list = pb::FileChunkManifest { chunks: vec![listed] }.encode_to_vec();
                let length = list.len();
                let body: UpstreamBody = Box::pin(Cursor::new(Bytes::from(list)));
                Ok(Response::builder().header("Content-Length", length).body(body).unwrap())
            })
        }
    }

    impl Locate for Manifested {
        fn locate(&self, _volume: u32, _fresh: bool) -> LocationsFuture<'_> {
            Box::pin(async { Ok([Arc::from("a:1")].into_iter().collect()) })
        }
    }

    /// The bytes of the file from ten times `key` on, or the manifest that lists them.
    fn chunk(key: u64, is_chunk_manifest: bool) -> pb::FileChunk {
        let fid = Some(pb::FileId { volume_id: 1, file_key: key, cookie: 7 });
        pb::FileChunk { fid, offset: 10 * key as i64, size: 10, is_chunk_manifest, ..Default::default() }
    }

    /// The name of the customer's key, in the entry and its chunks.
    const KEY_MD5: &str = "CQkJCQkJCQkJCQkJCQkJCQ==";

    /// The chunk, labelled as SSE-C.
    fn encrypted(chunk: pb::FileChunk) -> pb::FileChunk {
        let iv = "AQEBAQEBAQEBAQEBAQEBAQ==";
        let label = format!(r#"{{"algorithm":"AES256","iv":"{iv}","keyMD5":"{KEY_MD5}","partOffset":0}}"#);
        pb::FileChunk { sse_type: 1, sse_metadata: label.into(), ..chunk }
    }

    #[tokio::test(start_paused = true)]
    async fn manifests_are_fetched_four_at_once_and_taken_in_their_order() {
        let server = Manifested::default();
        let metrics = prefetch::Metrics::register(&prometheus::Registry::new()).unwrap();
        let engine =
            Engine::new(Settings::default(), Arc::new(server.clone()), None, Arc::new(server.clone()), metrics);
        let entry = pb::Entry { chunks: (1..=8).map(|key| chunk(key, true)).collect(), ..Default::default() };
        let layout = Arc::new(object::layout(&entry, &entry.chunks).unwrap());
        let begun = Instant::now();
        let (expanded, _) = chunks(&engine, &entry, layout, 0..u64::MAX).await.unwrap();
        assert_eq!(*expanded, (1..=8).map(|key| chunk(key, false)).collect::<Vec<_>>());
        assert_eq!(server.0.load(Ordering::SeqCst), 8);
        assert!(begun.elapsed() < 2 * TAKES, "{:?}", begun.elapsed());
    }

    fn expansions(bytes: u64) -> Expansions {
        let metrics = crate::metrics::Metrics::new([]).unwrap();
        Expansions::new(bytes, metrics.caches.of(crate::metrics::Cache::Manifests))
    }

    #[tokio::test(start_paused = true)]
    async fn a_range_reads_its_manifest_once_and_no_other() {
        let server = Manifested::default();
        let metrics = prefetch::Metrics::register(&prometheus::Registry::new()).unwrap();
        let engine =
            Engine::new(Settings::default(), Arc::new(server.clone()), None, Arc::new(server.clone()), metrics);
        let mut entry = pb::Entry { chunks: (1..=8).map(|key| chunk(key, true)).collect(), ..Default::default() };
        entry.chunks.extend([chunk(9, false), chunk(10, false)]);
        let layout = Arc::new(object::layout(&entry, &entry.chunks).unwrap());
        for (bytes, reads) in [(1 << 20, [1, 1, 1, 3, 3]), (0, [1, 2, 3, 5, 7])] {
            let (kept, before) = (expansions(bytes), server.0.load(Ordering::SeqCst));
            for (range, reads) in [30..31, 35..40, 30..40, 45..55, 41..59].into_iter().zip(reads) {
                let expanded = kept.of(&engine, &entry, &layout, range.clone()).await.unwrap();
                assert_eq!(expanded.runs.first().map(|run| run.range.start), Some(range.start / 10 * 10));
                assert_eq!(server.0.load(Ordering::SeqCst) - before, reads, "{bytes} {range:?}");
            }
            // Outside of all manifests none is read.
            let last = kept.of(&engine, &entry, &layout, 95..105).await.unwrap();
            assert_eq!((last.chunks.len(), server.0.load(Ordering::SeqCst) - before), (2, reads[4]));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn many_at_once_read_a_manifest_once() {
        let server = Manifested::default();
        let metrics = prefetch::Metrics::register(&prometheus::Registry::new()).unwrap();
        let engine =
            Engine::new(Settings::default(), Arc::new(server.clone()), None, Arc::new(server.clone()), metrics);
        let entry = pb::Entry { chunks: vec![chunk(1, true)], ..Default::default() };
        let layout = Arc::new(object::layout(&entry, &entry.chunks).unwrap());
        let kept = expansions(1 << 20);
        let all = (10..20).map(|at| kept.of(&engine, &entry, &layout, at..20));
        assert!(futures_util::future::join_all(all).await.iter().all(Result::is_ok));
        assert_eq!(server.0.load(Ordering::SeqCst), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_manifest_without_labels_is_read_beside_those_that_have_some() {
        for bytes in [1 << 20, 0] {
            let server = Manifested(Arc::default(), Some(1));
            let metrics = prefetch::Metrics::register(&prometheus::Registry::new()).unwrap();
            let engine =
                Engine::new(Settings::default(), Arc::new(server.clone()), None, Arc::new(server.clone()), metrics);
            let mut entry = pb::Entry { chunks: (1..=3).map(|key| chunk(key, true)).collect(), ..Default::default() };
            let name = "X-Amz-Server-Side-Encryption-Customer-Key-MD5";
            entry.extended.insert(name.to_owned(), KEY_MD5.as_bytes().to_vec().into());
            assert!(object::layout(&entry, &[chunk(2, false)]).is_err(), "by itself it may be anything");
            let layout = Arc::new(object::layout(&entry, &entry.chunks).unwrap());
            let kept = expansions(bytes);
            let expanded = kept.of(&engine, &entry, &layout, 20..21).await.unwrap();
            assert_eq!(expanded.chunks, [encrypted(chunk(1, false)), chunk(2, false), chunk(3, false)]);
            assert_eq!(expanded.layout.chunks.iter().map(Option::is_some).collect::<Vec<_>>(), [true, false, false]);
            if bytes > 0 {
                // What was read of all of it is there for every other range.
                let before = server.0.load(Ordering::SeqCst);
                assert!(Arc::ptr_eq(&expanded, &kept.of(&engine, &entry, &layout, 35..36).await.unwrap()));
                assert_eq!(server.0.load(Ordering::SeqCst), before);
            }
            // One that tells all by itself is enough for its bytes.
            let (alone, _) = chunks(&engine, &entry, layout, 10..11).await.unwrap();
            assert_eq!(*alone, [encrypted(chunk(1, false))]);
        }
    }

    #[test]
    fn ranges_of_one_manifest_and_of_one_gap_share_a_stretch() {
        let chunks: Vec<_> = [2, 3, 6].map(|key| chunk(key, true)).into_iter().chain([chunk(8, false)]).collect();
        for (range, wanted) in [
            (0..5, 0..20),
            (20..21, 0..30),
            (29..30, 0..30),
            (29..31, 0..60),
            (30..31, 30..60),
            (45..50, 40..60),
            (60..61, 40..u64::MAX),
            (70..71, 70..u64::MAX),
            (95..99, 70..u64::MAX),
            (20..61, 0..u64::MAX),
        ] {
            assert_eq!(stretch(&chunks, range.clone()), wanted, "{range:?}");
        }
    }
}
