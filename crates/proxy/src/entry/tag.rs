//! The entity tag of a file.
//!
//! The filer makes it of the MD5 of the file, or of those of its chunks. A chunk that records none counts as nothing there:
//! all files of two such chunks have one tag, and so have all that are kept in their entries; of a file of 20,001 chunks, which
//! the filer lists in two manifests without an MD5, the last chunk alone decides. Whoever goes on with a download by such a tag joins two versions. So where the
//! filer's tag says nothing of some of the bytes, the file has another one here, made of what the entry lists.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use md5::{Digest, Md5};

use super::{Fid, Kind};
use crate::pb;

/// Length of an MD5, bytes.
const MD5: usize = 16;

impl pb::Entry {
    /// The ETag without quotes, a strong validator: that of the filer where it depends on all bytes of the file, else one
    /// in the same form that depends on them. `None`: the filer gives none.
    pub fn etag(&self) -> Option<String> {
        let of_filer = self.etag_of_filer()?;
        Some(if self.kind() == Kind::RemoteOnly || self.has_all_digests() { of_filer } else { self.etag_of_list() })
    }

    /// From `ETagEntry` in `weed/filer/filechunks.go` @4.48. For S3 multipart objects it is not the ETag that the S3 gateway
    /// gives; that one is the attribute `Seaweed-X-Amz-ETag`, which goes out as a header of its own.
    fn etag_of_filer(&self) -> Option<String> {
        if self.kind() == Kind::RemoteOnly {
            return self.remote_entry.as_ref().map(|remote| remote.remote_e_tag.clone()).filter(|tag| !tag.is_empty());
        }
        match self.recorded_md5() {
            [] => {}
            md5 => return Some(hex::encode(md5)),
        }
        if let [only] = self.chunks.as_slice() {
            return Some(hex::encode(digest(only))).filter(|tag| !tag.is_empty());
        }
        let mut joined = Md5::new();
        for chunk in &self.chunks {
            joined.update(digest(chunk));
        }
        Some(format!("{}-{}", hex::encode(joined.finalize()), self.chunks.len()))
    }

    fn recorded_md5(&self) -> &[u8] {
        self.attributes.as_ref().map_or(&[], |attributes| &attributes.md5)
    }

    /// Whether the MD5s that the filer's tag is made of are those of all bytes that are stored and served.
    fn has_all_digests(&self) -> bool {
        let has_content = !self.content.is_empty() && self.size() > 0;
        !self.recorded_md5().is_empty() || (!has_content && self.chunks.iter().all(|chunk| digest(chunk).len() == MD5))
    }

    /// A tag of what the entry lists. What is stored under a key never changes; what is written later has another key.
    ///
    /// The volume is left out, since a chunk may move, and the cookie, since it opens the chunk to whoever knows it.
    fn etag_of_list(&self) -> String {
        let mut listed = Md5::new();
        listed.update(self.size().to_le_bytes());
        listed.update(&self.content);
        for chunk in &self.chunks {
            let key = Fid::of(chunk).map_or(0, |fid| fid.key);
            let numbers = [key, chunk.offset.cast_unsigned(), chunk.size, chunk.modified_ts_ns.cast_unsigned()];
            numbers.iter().for_each(|number| listed.update(number.to_le_bytes()));
            listed.update((chunk.e_tag.len() as u64).to_le_bytes());
            listed.update(&chunk.e_tag);
        }
        format!("{}-{}", hex::encode(listed.finalize()), self.chunks.len())
    }
}

/// The MD5 that is recorded of a chunk. One that cannot be decoded counts as no bytes.
fn digest(chunk: &pb::FileChunk) -> Vec<u8> {
    STANDARD.decode(&chunk.e_tag).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use crate::pb::{Entry, FileChunk, FileId, FuseAttributes, RemoteEntry};

    const DIGEST: &str = "kAFQmDzST7DWlj99KOF/cg==";

    fn chunk(key: u64, e_tag: &str) -> FileChunk {
        let fid = Some(FileId { volume_id: 3, file_key: key, cookie: 7 });
        FileChunk { fid, offset: 10, size: 10, e_tag: e_tag.to_owned(), modified_ts_ns: 1, ..Default::default() }
    }

    fn file(chunks: Vec<FileChunk>) -> Entry {
        Entry { chunks, attributes: Some(FuseAttributes::default()), ..Default::default() }
    }

    fn tag(chunks: Vec<FileChunk>) -> String {
        file(chunks).etag().unwrap()
    }

    #[test]
    fn chunks_without_an_md5_do_not_share_one_tag() {
        let filers = "d41d8cd98f00b204e9800998ecf8427e-2";
        let (first, second) = (tag(vec![chunk(1, ""), chunk(2, "")]), tag(vec![chunk(3, ""), chunk(4, "")]));
        assert_eq!(file(vec![chunk(1, ""), chunk(2, "")]).etag_of_filer().as_deref(), Some(filers));
        assert!(first != filers && first != second && first.ends_with("-2"), "{first} {second}");
        assert_eq!(first, tag(vec![chunk(1, ""), chunk(2, "")]), "and each keeps its own");
    }

    #[test]
    fn behind_manifests_the_last_chunk_does_not_decide_alone() {
        let of = |manifest| tag(vec![chunk(manifest, ""), chunk(8, ""), chunk(9, DIGEST)]);
        assert_ne!(of(1), of(2));
    }

    #[test]
    fn everything_that_places_a_chunk_counts_but_where_it_is_kept() {
        let base = || [chunk(1, ""), chunk(2, DIGEST)];
        let changed = |change: &dyn Fn(&mut FileChunk)| {
            let [mut first, second] = base();
            change(&mut first);
            tag(vec![first, second]) != tag(base().to_vec())
        };
        assert!(changed(&|chunk| chunk.offset = 11));
        assert!(changed(&|chunk| chunk.size = 9));
        assert!(changed(&|chunk| chunk.modified_ts_ns = 2));
        assert!(changed(&|chunk| chunk.e_tag = "x".to_owned()));
        assert!(!changed(&|chunk| chunk.fid.as_mut().unwrap().volume_id = 4));
        assert!(!changed(&|chunk| chunk.fid.as_mut().unwrap().cookie = 8));
        let longer =
            Entry { attributes: Some(FuseAttributes { file_size: 99, ..Default::default() }), ..file(base().into()) };
        assert_ne!(longer.etag().unwrap(), tag(base().to_vec()));
    }

    #[test]
    fn of_a_file_that_is_elsewhere_the_tag_there_counts_if_there_is_one() {
        let of = |remote_e_tag: &str| {
            let remote = RemoteEntry { remote_size: 9, remote_e_tag: remote_e_tag.to_owned(), ..Default::default() };
            Entry { remote_entry: Some(remote), ..file(vec![]) }.etag()
        };
        assert_eq!((of("abc-2").as_deref(), of("")), (Some("abc-2"), None));
    }

    #[test]
    fn content_in_the_entry_counts() {
        let of = |content: &'static [u8], file_size| {
            let attributes = Some(FuseAttributes { file_size, ..Default::default() });
            Entry { content: Bytes::from_static(content), attributes, ..file(vec![]) }.etag()
        };
        assert_ne!(of(b"a", 1), of(b"b", 1));
        assert_ne!(of(b"a", 1), of(b"", 1));
        assert_eq!(of(b"a", 0), of(b"b", 0), "of a file that is recorded as empty nothing is served");
    }

    #[test]
    fn where_all_is_covered_the_tag_is_the_filers() {
        for whole in [
            file(vec![chunk(1, DIGEST), chunk(2, DIGEST)]),
            file(vec![chunk(1, DIGEST)]),
            file(vec![chunk(1, "")]),
            file(vec![]),
            Entry {
                attributes: Some(FuseAttributes { md5: Bytes::from_static(&[1; 16]), ..Default::default() }),
                ..file(vec![chunk(1, ""), chunk(2, "")])
            },
        ] {
            assert_eq!(whole.etag(), whole.etag_of_filer());
        }
    }
}
