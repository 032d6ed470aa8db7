//! Where a file's chunks are now: volumes that are merged or emptied give them other file ids under running downloads.
//!
//! Knows when two chunks are the same. Must not know how the file is asked for.

use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::BoxFuture;
use prefetch::{ChunkLocation, ChunkTracker, RelocationFuture};

use crate::{entry::Fid, pb};

/// Gives the chunks that the file has now, from that byte of it on; `None`: there is no such file, or nobody says.
pub(super) type ChunkLookup = Box<dyn Fn(u64) -> BoxFuture<'static, Option<Vec<pb::FileChunk>>> + Send + Sync>;

/// One file under one download.
pub(super) struct FileMoves {
    ask: ChunkLookup,
    /// What was answered last. Held while somebody asks, so that the others find the answer.
    asking: tokio::sync::Mutex<()>,
    chunks: Mutex<Arc<[pb::FileChunk]>>,
}

impl FileMoves {
    pub(super) fn new(ask: ChunkLookup) -> Arc<Self> {
        Arc::new(Self { ask, asking: tokio::sync::Mutex::default(), chunks: Mutex::new(Arc::new([])) })
    }

    /// Follows one of its chunks. `None`: nothing tells that chunk from others.
    pub(super) fn of(self: &Arc<Self>, chunk: &pb::FileChunk) -> Option<Arc<dyn ChunkTracker>> {
        let is_told_apart = !chunk.e_tag.is_empty() || !chunk.cipher_key.is_empty();
        is_told_apart.then(|| Arc::new(ChunkMoves { file: Arc::clone(self), chunk: chunk.clone() }) as Arc<_>)
    }

    fn known(&self) -> Arc<[pb::FileChunk]> {
        Arc::clone(&self.chunks.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

struct ChunkMoves {
    file: Arc<FileMoves>,
    chunk: pb::FileChunk,
}

impl ChunkMoves {
    /// Where the chunk is by what is known, if that is not `fid`.
    fn known(&self, fid: Option<&str>) -> Option<ChunkLocation> {
        let chunks = self.file.known();
        let first = chunks.partition_point(|chunk| chunk.offset < self.chunk.offset);
        let same = chunks[first..].iter().take_while(|chunk| chunk.offset == self.chunk.offset);
        let found = same.filter(|chunk| is_same(chunk, &self.chunk)).filter_map(|chunk| Fid::of(chunk).ok());
        let mut found = found.map(|fid| ChunkLocation { volume: fid.volume_id, fid: fid.to_string().into() });
        found.find(|found| Some(&*found.fid) != fid)
    }
}

impl ChunkTracker for ChunkMoves {
    fn elsewhere<'a>(&'a self, fid: &'a str) -> RelocationFuture<'a> {
        Box::pin(async move {
            let _asking = self.file.asking.lock().await;
            // Somebody else may have asked meanwhile.
            if let Some(found) = self.known(Some(fid)) {
                return Some(found);
            }
            let from = u64::try_from(self.chunk.offset).unwrap_or(0);
            let mut chunks = (self.file.ask)(from).await?;
            chunks.sort_by_key(|chunk| chunk.offset);
            *self.file.chunks.lock().unwrap_or_else(PoisonError::into_inner) = chunks.into();
            self.known(Some(fid))
        })
    }

    fn by_now(&self) -> Option<ChunkLocation> {
        self.known(None)
    }
}

/// Whether two chunks hold the same bytes of the file, stored alike.
fn is_same(one: &pb::FileChunk, two: &pb::FileChunk) -> bool {
    let stored = |chunk: &pb::FileChunk| (chunk.offset, chunk.size, chunk.is_compressed, chunk.sse_type);
    stored(one) == stored(two)
        && one.e_tag == two.e_tag
        && one.cipher_key == two.cipher_key
        && one.sse_metadata == two.sse_metadata
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::future::{FutureExt, join_all};

    use super::*;

    fn chunk(offset: i64, volume: u32) -> pb::FileChunk {
        let e_tag = format!("md5 of {offset}");
        let fid = Some(pb::FileId { volume_id: volume, file_key: offset as u64 + 1, cookie: 7 });
        pb::FileChunk { fid, offset, size: 10, e_tag, ..Default::default() }
    }

    /// A file whose answers are those lists, one after the other, and how often it was asked for.
    fn file(lists: Vec<Vec<pb::FileChunk>>) -> (Arc<FileMoves>, Arc<AtomicUsize>) {
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&asked);
        let ask = move |_| {
            let list = lists.get(counted.fetch_add(1, Ordering::SeqCst)).cloned();
            async { list }.boxed()
        };
        (FileMoves::new(Box::new(ask)), asked)
    }

    async fn volume(moved: &Arc<dyn ChunkTracker>, fid: &str) -> Option<u32> {
        moved.elsewhere(fid).await.map(|found| found.volume)
    }

    #[tokio::test]
    async fn a_chunk_is_followed_from_one_volume_to_the_next() {
        let (file, asked) = file(vec![vec![chunk(10, 4), chunk(0, 4)], vec![chunk(0, 5), chunk(10, 5)], vec![]]);
        let (one, two) = (file.of(&chunk(0, 3)).unwrap(), file.of(&chunk(10, 3)).unwrap());
        assert_eq!(one.by_now(), None);
        assert_eq!(volume(&one, "3,0100000007").await, Some(4));
        assert_eq!(two.by_now().map(|found| found.volume), Some(4), "the other has moved with it");
        assert_eq!(volume(&two, "4,0b00000007").await, Some(5));
        assert_eq!(volume(&two, "5,0b00000007").await, None);
        assert_eq!(asked.load(Ordering::SeqCst), 3);
        assert_eq!(volume(&two, "5,0b00000007").await, None, "the file is gone");
    }

    #[tokio::test]
    async fn those_that_ask_at_once_ask_once() {
        let (file, asked) = file(vec![vec![chunk(0, 4), chunk(10, 4)]; 9]);
        let chunks: Vec<_> = [0, 10, 0, 10].map(|offset| file.of(&chunk(offset, 3)).unwrap()).into();
        let fids = ["3,0100000007", "3,0b00000007"];
        let found = join_all(chunks.iter().enumerate().map(|(index, moved)| volume(moved, fids[index % 2]))).await;
        assert_eq!(found, [Some(4); 4]);
        assert_eq!(asked.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn another_chunk_in_its_place_is_not_taken_for_it() {
        let same = chunk(0, 4);
        let others = [
            pb::FileChunk { size: 11, ..same.clone() },
            pb::FileChunk { offset: 1, ..same.clone() },
            pb::FileChunk { e_tag: "md5 of another".into(), ..same.clone() },
            pb::FileChunk { cipher_key: vec![1; 32].into(), ..same.clone() },
            pb::FileChunk { is_compressed: true, ..same.clone() },
            pb::FileChunk { sse_type: 1, ..same.clone() },
            pb::FileChunk { sse_metadata: b"{}".to_vec().into(), ..same.clone() },
        ];
        for other in others {
            let (file, _) = file(vec![vec![other]]);
            assert_eq!(volume(&file.of(&chunk(0, 3)).unwrap(), "3,0100000007").await, None);
        }
        let (file, _) = file(vec![]);
        let nameless = pb::FileChunk { e_tag: String::new(), ..chunk(0, 3) };
        assert!(file.of(&nameless).is_none(), "nothing tells it from another of its size");
        assert!(file.of(&pb::FileChunk { cipher_key: vec![1; 32].into(), ..nameless }).is_some());
    }
}
