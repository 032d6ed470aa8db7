//! Manifest chunks: a chunk whose content is a list of chunks, replaced by that list, as deep as it goes.
//!
//! Knows the format and the bounds. Fetching (with decryption and decompression) is the caller's: it takes what is
//! pending, brings the bytes, and repeats until nothing is. Source: `weed/filer/filechunk_manifest.go` @4.48.

use std::{collections::HashSet, ops::Range};

use http::StatusCode;
use prost::{
    DecodeError, Message,
    encoding::{DecodeContext, decode_key, skip_field},
};

use super::Fid;
use crate::{Blame, Error, Result, pb};

/// How deep manifests may nest. SeaweedFS writes one level; each level stands for ten thousand times more chunks.
const MAX_DEPTH: u32 = 4;
/// How many chunks an answer may need: 4 TiB of 4 MiB chunks. Bounds memory against an entry that is broken or hostile.
const MAX_CHUNKS: usize = 1 << 20;

/// How many chunks one manifest may list. SeaweedFS writes 10,000 (`ManifestBatch`).
const MAX_LISTED: usize = 100_000;

/// A list of chunks on its way to one without manifests.
#[derive(Debug)]
pub struct Manifests {
    range: Range<u64>,
    chunks: Vec<pb::FileChunk>,
    pending: Vec<PendingManifest>,
    /// How many were taken and not resolved yet.
    taken: usize,
    /// Manifests met so far. One that comes again, in a circle or not, adds nothing.
    seen: HashSet<Fid>,
}

/// A manifest chunk whose content is needed.
#[derive(Clone, Debug)]
pub struct PendingManifest {
    /// The needle that holds the manifest.
    pub fid: Fid,
    /// The chunk, for its cipher key and whether it is compressed. Its offset and size are those of the range that it
    /// stands for, not of its content.
    pub chunk: pb::FileChunk,
    depth: u32,
}

impl Manifests {
    /// Sorts chunks into data and manifests, leaving out what does not overlap `range` (bytes of the file).
    ///
    /// # Errors
    /// Blames the filer for an entry with too many chunks, or a manifest without an id.
    pub fn new(chunks: Vec<pb::FileChunk>, range: Range<u64>) -> Result<Self> {
        let mut this = Self { range, chunks: Vec::new(), pending: Vec::new(), taken: 0, seen: HashSet::new() };
        this.add(chunks, 0)?;
        Ok(this)
    }

    /// The manifests to fetch next; they may be fetched at the same time. Each must come back through
    /// [`resolve`](Self::resolve). Empty and nothing outstanding: done.
    pub fn take_pending(&mut self) -> Vec<PendingManifest> {
        self.taken += self.pending.len();
        std::mem::take(&mut self.pending)
    }

    /// Replaces a manifest by what it lists. `content` is the chunk's plaintext. May make more pending.
    ///
    /// # Errors
    /// Blames the filer if the content is no manifest, or the bounds are exceeded.
    pub fn resolve(&mut self, manifest: &PendingManifest, content: &[u8]) -> Result<()> {
        self.put(manifest, list(&manifest.fid, content)?)
    }

    /// The same with what [`list`] gave.
    ///
    /// # Errors
    /// Blames the filer if the bounds are exceeded.
    pub fn put(&mut self, manifest: &PendingManifest, mut listed: Vec<pb::FileChunk>) -> Result<()> {
        self.taken = self.taken.saturating_sub(1);
        // A mount that cuts a file short makes the manifest smaller and leaves the list as it is.
        let end = manifest.chunk.end();
        listed.retain_mut(|chunk| {
            let left = end.saturating_sub(u64::try_from(chunk.offset).unwrap_or(0));
            chunk.size = chunk.size.min(left);
            left > 0
        });
        self.add(listed, manifest.depth + 1)
    }

    /// The chunks without manifests, in the order in which they are listed.
    ///
    /// # Errors
    /// Blames the filer if a manifest was never resolved: a hole must not be made of it.
    pub fn finish(self) -> Result<Vec<pb::FileChunk>> {
        if self.taken > 0 || !self.pending.is_empty() {
            return Err(broken("a manifest of the file was not read".to_owned()));
        }
        Ok(self.chunks)
    }

    fn add(&mut self, chunks: Vec<pb::FileChunk>, depth: u32) -> Result<()> {
        let range = self.range.clone();
        let begins = |chunk: &pb::FileChunk| u64::try_from(chunk.offset).unwrap_or(0);
        for chunk in chunks.into_iter().filter(|chunk| begins(chunk) < range.end && range.start < chunk.end()) {
            if chunk.is_chunk_manifest {
                self.add_manifest(chunk, depth)?;
            } else {
                self.chunks.push(chunk);
            }
            if self.chunks.len() + self.pending.len() > MAX_CHUNKS {
                return Err(broken(format!("the file has more than {MAX_CHUNKS} chunks in the range; ask for less")));
            }
        }
        Ok(())
    }

    fn add_manifest(&mut self, chunk: pb::FileChunk, depth: u32) -> Result<()> {
        if depth >= MAX_DEPTH {
            return Err(broken(format!("the file's chunk manifests nest more than {MAX_DEPTH} deep")));
        }
        let fid = Fid::of(&chunk)
            .map_err(|error| broken(format!("a manifest of the file has a bad id: {error}")).caused_by(error))?;
        if self.seen.insert(fid) {
            self.pending.push(PendingManifest { fid, chunk, depth });
        }
        Ok(())
    }
}

/// The chunks that the content of a manifest lists.
///
/// # Errors
/// Blames the filer if it is no manifest, or lists too many.
pub fn list(fid: &Fid, content: &[u8]) -> Result<Vec<pb::FileChunk>> {
    let no_manifest =
        |error: DecodeError| broken(format!("chunk {fid} is marked as a manifest but is none")).caused_by(error);
    if listed(content).map_err(no_manifest)? > MAX_LISTED {
        return Err(broken(format!("the manifest {fid} lists more than {MAX_LISTED} chunks")));
    }
    Ok(pb::FileChunkManifest::decode(content).map_err(no_manifest)?.chunks)
}

/// How many chunks a manifest lists. They are counted before any is made: an empty one is two bytes here and two hundred
/// there.
fn listed(mut content: &[u8]) -> std::result::Result<usize, DecodeError> {
    let mut count = 0;
    while !content.is_empty() {
        let (field, wire_type) = decode_key(&mut content)?;
        skip_field(wire_type, field, &mut content, DecodeContext::default())?;
        count += 1;
    }
    Ok(count)
}

fn broken(message: String) -> Error {
    Error::new(Blame::Filer, StatusCode::BAD_GATEWAY, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pb::{FileChunk, FileChunkManifest, FileId};

    fn data(offset: i64, size: u64) -> FileChunk {
        FileChunk { offset, size, ..Default::default() }
    }

    fn manifest(key: u64, offset: i64, size: u64) -> FileChunk {
        let fid = Some(FileId { volume_id: 1, file_key: key, cookie: 7 });
        FileChunk { fid, is_chunk_manifest: true, ..data(offset, size) }
    }

    fn encoded(chunks: &[FileChunk]) -> Vec<u8> {
        FileChunkManifest { chunks: chunks.to_vec() }.encode_to_vec()
    }

    /// Resolves with `content(key)` until nothing is pending.
    fn expand(chunks: Vec<FileChunk>, range: Range<u64>, content: impl Fn(u64) -> Vec<u8>) -> Result<Vec<FileChunk>> {
        let mut manifests = Manifests::new(chunks, range)?;
        loop {
            let pending = manifests.take_pending();
            if pending.is_empty() {
                return manifests.finish();
            }
            for manifest in pending {
                manifests.resolve(&manifest, &content(manifest.fid.key))?;
            }
        }
    }

    /// What was cut off came back when the file had grown again, to who read it whole.
    #[test]
    fn what_a_manifest_lists_behind_its_own_end_is_not_of_the_file() {
        let contents = |key| match key {
            1 => encoded(&[data(0, 10), manifest(2, 10, 20)]),
            _ => encoded(&[data(10, 10), data(20, 10)]),
        };
        for (end, sizes) in [
            (30, vec![(0, 10), (10, 10), (20, 10)]),
            (25, vec![(0, 10), (10, 10), (20, 5)]),
            (20, vec![(0, 10), (10, 10)]),
        ] {
            let mut chunks = expand(vec![manifest(1, 0, end)], 0..u64::MAX, contents).unwrap();
            chunks.sort_by_key(|chunk| chunk.offset);
            assert_eq!(chunks.iter().map(|chunk| (chunk.offset, chunk.size)).collect::<Vec<_>>(), sizes, "{end}");
        }
    }

    #[test]
    fn nested_manifests_are_replaced_by_their_chunks() {
        let contents = |key| match key {
            1 => encoded(&[data(0, 10), manifest(2, 10, 20)]),
            _ => encoded(&[data(10, 10), data(20, 10)]),
        };
        let chunks = expand(vec![manifest(1, 0, 30), data(30, 5)], 0..35, contents).unwrap();
        let mut offsets: Vec<_> = chunks.iter().map(|chunk| chunk.offset).collect();
        offsets.sort_unstable();
        assert_eq!(offsets, [0, 10, 20, 30]);
    }

    #[test]
    fn only_what_overlaps_the_range_is_needed() {
        let chunks = vec![manifest(1, 0, 10), manifest(2, 10, 10), data(20, 10), data(30, 10)];
        let mut manifests = Manifests::new(chunks, 10..25).unwrap();
        let pending = manifests.take_pending();
        assert_eq!(pending.iter().map(|p| p.fid.key).collect::<Vec<_>>(), [2]);
        manifests.resolve(&pending[0], &encoded(&[data(5, 5), data(10, 4), data(14, 6)])).unwrap();
        let offsets: Vec<_> = manifests.finish().unwrap().iter().map(|chunk| chunk.offset).collect();
        assert_eq!(offsets, [20, 10, 14]);
    }

    #[test]
    fn a_circle_ends() {
        let contents = |key| encoded(&[manifest(3 - key, 0, 10), data(i64::try_from(key).unwrap(), 1)]);
        assert_eq!(expand(vec![manifest(1, 0, 10)], 0..10, contents).unwrap().len(), 2);
    }

    #[test]
    fn depth_is_bounded() {
        let error = expand(vec![manifest(1, 0, 10)], 0..10, |key| encoded(&[manifest(key + 1, 0, 10)])).unwrap_err();
        assert_eq!(error.blame(), Blame::Filer);
        assert!(error.message().contains("deep"), "{error}");
    }

    #[test]
    fn count_is_bounded() {
        let error = Manifests::new(vec![data(0, 1); MAX_CHUNKS + 1], 0..1).unwrap_err();
        assert!(error.message().contains("more than"), "{error}");
        assert!(Manifests::new(vec![data(0, 1); MAX_CHUNKS + 1], 1..2).is_ok());
        assert!(Manifests::new(vec![data(0, 1); MAX_CHUNKS], 0..1).is_ok());
    }

    #[test]
    fn a_manifest_of_a_million_empty_chunks_is_refused_before_they_are_made() {
        let empty = [0x0A, 0x00].repeat(MAX_LISTED);
        assert!(expand(vec![manifest(1, 0, 10)], 0..10, |_| empty.clone()).unwrap().is_empty());
        let more = [0x0A, 0x00].repeat(MAX_LISTED + 1);
        let error = expand(vec![manifest(1, 0, 10)], 0..10, |_| more.clone()).unwrap_err();
        assert!(error.message().contains("lists more than"), "{error}");
    }

    #[test]
    fn what_is_no_manifest_is_refused() {
        let mut manifests = Manifests::new(vec![manifest(1, 0, 10)], 0..10).unwrap();
        let pending = manifests.take_pending();
        assert!(manifests.resolve(&pending[0], b"\xff\xff").is_err());
        assert!(manifests.finish().is_err());
        let nameless = FileChunk { fid: None, ..manifest(1, 0, 10) };
        assert!(Manifests::new(vec![nameless], 0..10).is_err());
    }

    #[test]
    fn an_unread_manifest_is_no_hole() {
        assert!(Manifests::new(vec![manifest(1, 0, 10)], 0..10).unwrap().finish().is_err());
    }
}
