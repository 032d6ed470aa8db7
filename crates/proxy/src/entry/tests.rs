use proptest::prelude::*;

use super::*;
use crate::pb::{Entry, FileChunk, FuseAttributes, RemoteEntry};

fn chunk(offset: i64, size: u64, e_tag: &str) -> FileChunk {
    FileChunk { offset, size, e_tag: e_tag.to_owned(), ..Default::default() }
}

fn file(file_size: u64, chunks: Vec<FileChunk>) -> Entry {
    let attributes = FuseAttributes { file_size, mtime: 1_000, ..Default::default() };
    Entry { name: "f".to_owned(), chunks, attributes: Some(attributes), ..Default::default() }
}

fn remote(remote_mtime: i64, remote_size: i64) -> Option<RemoteEntry> {
    Some(RemoteEntry { remote_mtime, remote_size, remote_e_tag: "r".to_owned(), ..Default::default() })
}

#[test]
fn size_is_the_greatest_of_what_is_recorded() {
    assert_eq!(file(103, vec![chunk(100, 3, "")]).size(), 103);
    assert_eq!(file(0, vec![chunk(0, 10, ""), chunk(5, 4, "")]).size(), 10);
    assert_eq!(file(20, vec![chunk(0, 10, "")]).size(), 20);
    assert_eq!(Entry { remote_entry: remote(1_001, 30), ..file(20, vec![]) }.size(), 30);
    assert_eq!(Entry { remote_entry: remote(1_000, 30), ..file(20, vec![]) }.size(), 20);
    assert_eq!(Entry { remote_entry: remote(1_001, -1), ..file(20, vec![]) }.size(), 20);
    assert_eq!(Entry { attributes: None, ..file(20, vec![chunk(0, 10, "")]) }.size(), 0);
}

#[test]
fn content_is_the_file_if_it_has_all_of_it_or_if_there_is_nothing_else() {
    let kept = |bytes: usize, entry: Entry| {
        let mut entry = Entry { content: vec![7; bytes].into(), ..entry };
        entry.drop_stale_content();
        entry.content.len()
    };
    assert_eq!(kept(99, file(100, vec![chunk(0, 100, "")])), 0);
    assert_eq!(kept(100, file(100, vec![chunk(0, 100, "")])), 100);
    assert_eq!(kept(99, file(100, vec![])), 99, "it is all there is");
}

#[test]
fn etags_are_those_of_the_filer() {
    // Seen: a file overwritten in part, two chunks.
    let two = vec![chunk(0, 5000, "prt73jJRyi2BDTLa3Z6K5w=="), chunk(2000, 2000, "CwB15E1okv0vdPlw9awNng==")];
    assert_eq!(file(5000, two.clone()).etag().as_deref(), Some("75bd502fca5c54423ae641490ea1e452-2"));
    // Seen: one chunk.
    let one = file(103, vec![chunk(100, 3, "kAFQmDzST7DWlj99KOF/cg==")]);
    assert_eq!(one.etag().as_deref(), Some("900150983cd24fb0d6963f7d28e17f72"));
    let mut whole = file(5000, two);
    whole.attributes.as_mut().unwrap().md5 = Bytes::from_static(&[0xab; 16]);
    assert_eq!(whole.etag().as_deref(), Some("abababababababababababababababab"));
    assert_eq!(file(0, vec![]).etag().as_deref(), Some("d41d8cd98f00b204e9800998ecf8427e-0"));
    assert_eq!(file(1, vec![chunk(0, 1, "not base64")]).etag(), None);
}

#[test]
fn kinds_are_told_apart() {
    let with_mode = |mode| {
        let mut entry = file(0, vec![]);
        entry.attributes.as_mut().unwrap().file_mode = mode;
        entry.kind()
    };
    assert_eq!(with_mode(0o660), Kind::File);
    assert_eq!(with_mode(1 << 27 | 0o777), Kind::Symlink);
    for device in [26, 25, 24, 21, 19] {
        assert_eq!(with_mode(1 << device), Kind::Special, "{device}");
    }
    for other in [23, 22, 20] {
        assert_eq!(with_mode(1 << other | 0o777), with_mode(0o644), "{other}");
    }
    assert_eq!(Entry { is_directory: true, ..file(0, vec![]) }.kind(), Kind::Directory);
    assert_eq!(Entry { remote_entry: remote(1, 5), ..file(0, vec![]) }.kind(), Kind::RemoteOnly);
    assert_eq!(Entry { remote_entry: remote(1, 5), ..file(0, vec![chunk(0, 5, "")]) }.kind(), Kind::File);
    assert_eq!(Entry { remote_entry: remote(1, 0), ..file(0, vec![]) }.kind(), Kind::File);
}

#[test]
fn dates_that_http_cannot_name_are_none() {
    let with_mtime = |mtime| {
        let mut entry = file(0, vec![]);
        entry.attributes.as_mut().unwrap().mtime = mtime;
        entry.modified()
    };
    assert_eq!(with_mtime(1), Some(SystemTime::UNIX_EPOCH + Duration::from_secs(1)));
    assert!(with_mtime(253_402_300_799).is_some());
    assert_eq!(with_mtime(-1), None);
    assert_eq!(with_mtime(253_402_300_800), None);
}

#[test]
fn attributes_match_in_any_case() {
    let mut entry = file(0, vec![]);
    entry.extended.insert("X-Amz-Foo".to_owned(), Bytes::from_static(b"1"));
    entry.extended.insert("x-amz-foo".to_owned(), Bytes::from_static(b"2"));
    assert_eq!(entry.attribute("x-amz-foo").map(Bytes::as_ref), Some(&b"2"[..]));
    assert_eq!(entry.attribute("X-AMZ-FOO").map(Bytes::as_ref), Some(&b"1"[..]));
    assert_eq!(entry.attribute("x-amz-bar"), None);
}

#[test]
fn debug_shows_no_secrets() {
    let mut entry = file(3, vec![]);
    entry.content = Bytes::from_static(b"CONTENT");
    entry.extended.insert("x-seaweedfs-sse-kms-key".to_owned(), Bytes::from_static(b"WRAPPED"));
    let chunk = FileChunk {
        cipher_key: Bytes::from_static(b"CIPHERKEY"),
        sse_metadata: Bytes::from_static(b"METADATA"),
        ..chunk(0, 3, "")
    };
    entry.chunks.push(chunk.clone());
    let found = crate::filer::EntrySnapshot { entry: entry.clone(), log_ts_ns: 0, log_signature: 0 };
    let manifest = pb::FileChunkManifest { chunks: vec![chunk.clone()] };
    let answer = pb::LookupDirectoryEntryResponse { entry: Some(entry.clone()), log_ts_ns: 0, log_signature: 0 };
    for shown in [
        format!("{entry:#?}"),
        format!("{chunk:?}"),
        format!("{found:?}"),
        format!("{manifest:?}"),
        format!("{answer:?}"),
    ] {
        for secret in ["CONTENT", "WRAPPED", "CIPHERKEY", "METADATA", "[67, "] {
            assert!(!shown.contains(secret), "{secret} in {shown}");
        }
    }
}

proptest! {
    #[test]
    fn no_entry_makes_these_panic(
        offset: i64, size: u64, file_size: u64, mtime: i64, remote_size: i64, mode: u32,
        e_tag in "[A-Za-z0-9+/=]{0,30}",
    ) {
        let attributes = FuseAttributes { file_size, mtime, file_mode: mode, ..Default::default() };
        let remote_entry = remote(i64::MAX, remote_size);
        let entry = Entry {
            attributes: Some(attributes),
            chunks: vec![chunk(offset, size, &e_tag)],
            remote_entry,
            ..Default::default()
        };
        prop_assert!(entry.size() >= file_size);
        entry.etag();
        entry.modified();
        entry.kind();
    }
}
