//! One object for each kind, and what a reader of a part of its chunks may conclude.

use super::made_up::{BOUNDARIES, Entry, MIB, base64, customer, iv, kms, s3, s3_without_iv};
use crate::{Attributes, Doubt, History, Kind, Layout, StoredChunk, UnlabelledReading};

const KMS_KEY: &str = "x-seaweedfs-sse-kms-key";
const S3_KEY: &str = "x-seaweedfs-sse-s3-key";
const BASE_IV: &str = "x-seaweedfs-sse-s3-base-iv";

fn kind(entry: &Entry) -> Kind {
    entry.read().unwrap().kind
}

#[test]
fn plain_is_what_has_no_encrypted_byte() {
    assert_eq!(kind(&Entry::new(&[], &[(0, ""), (0, "")])), Kind::Plain);
    assert_eq!(kind(&Entry::inline(&[])), Kind::Plain);
    assert_eq!(kind(&Entry::new(&[(KMS_KEY, &kms("a", 1, 0))], &[])), Kind::Plain);
}

#[test]
fn chunks_that_tell_all_are_self_describing() {
    for (sse_type, one, two) in [
        (1, customer(1, 0), customer(1, MIB as i64)),
        // Equal metadata of SSE-C means what it says.
        (1, customer(1, 0), customer(1, 0)),
        (2, kms("a", 1, 0), kms("a", 1, MIB as i64)),
        (3, s3(1, 5), s3(2, 6)),
    ] {
        assert_eq!(kind(&Entry::new(&[], &[(sse_type, &one), (sse_type, &two)])), Kind::SelfDescribing);
        assert_eq!(kind(&Entry::new(&[], &[(sse_type, &one), (0, ""), (sse_type, &two)])), Kind::SelfDescribing);
    }
    // What the upload began with is not asked for where the chunks tell all.
    let entry = Entry::new(&[(BASE_IV, "no IV"), (BOUNDARIES, "no JSON")], &[(3, &s3(1, 5)), (3, &s3(2, 6))]);
    assert_eq!(kind(&entry), Kind::SelfDescribing);
}

#[test]
fn neighbours_with_one_metadata_are_equal_runs() {
    for (sse_type, json) in [(2, kms("a", 1, 0)), (3, s3(1, 5))] {
        assert_eq!(kind(&Entry::new(&[], &[(sse_type, &json), (sse_type, &json)])), Kind::EqualRuns);
        assert_eq!(kind(&Entry::new(&[], &[(sse_type, &json), (0, ""), (sse_type, &json)])), Kind::SelfDescribing);
    }
}

#[test]
fn chunks_without_an_iv_beside_a_base_iv_are_upload_parts() {
    let json = s3_without_iv(1);
    assert_eq!(kind(&Entry::new(&[], &[(3, &json), (3, &json)]).with(BASE_IV, &iv(7))), Kind::UploadParts);
}

#[test]
fn other_chunks_without_an_iv_and_inline_content_are_the_entry_stream() {
    assert_eq!(kind(&Entry::new(&[(S3_KEY, &s3(1, 4))], &[(3, ""), (3, "")])), Kind::EntryStream);
    assert_eq!(kind(&Entry::new(&[(KMS_KEY, &kms("a", 3, 0))], &[(2, "")])), Kind::EntryStream);
    assert_eq!(kind(&Entry::inline(&[(S3_KEY, &s3(1, 4))])), Kind::EntryStream);
}

#[test]
fn without_any_label_the_past_of_the_entry_is_asked() {
    let mut entry = Entry::new(&[(S3_KEY, &s3(1, 4))], &[(0, ""), (0, "")]);
    entry.history = History { created: 100, modified_ns: 100_000_000_007, has_md5: true, ..History::default() };
    assert_eq!(kind(&entry), Kind::Unlabelled(UnlabelledReading::Ciphertext));
    assert_eq!(entry.starts(), [Some((0, 4, 0)), Some((0, 4, MIB))]);
}

#[test]
fn an_offset_that_contradicts_the_entry_stream_is_refused() {
    let without_iv = |offset| kms("a", 3, offset).replace(&base64(&iv(3)), "");
    let read = |offset| Entry::new(&[(KMS_KEY, &kms("a", 3, 0))], &[(0, ""), (2, &without_iv(offset))]);
    assert_eq!(read(0).starts(), [None, Some((0, 3, MIB))]);
    assert_eq!(read(MIB as i64).starts(), [None, Some((0, 3, MIB))]);
    assert_eq!(read(5).fails(), "sse_metadata.partOffset of chunk 1: differs from the rest of the object");
}

#[test]
fn reports_name_each_kind() {
    let unproven = UnlabelledReading::Unproven(Doubt::Changed);
    for (kind, name) in [
        (Kind::Plain, "plain"),
        (Kind::SelfDescribing, "self-describing"),
        (Kind::EqualRuns, "equal runs"),
        (Kind::UploadParts, "upload parts"),
        (Kind::EntryStream, "entry stream"),
        (Kind::Unlabelled(UnlabelledReading::Ciphertext), "unlabelled, one stream"),
        (Kind::Unlabelled(UnlabelledReading::Raw), "unlabelled, raw"),
        (Kind::Unlabelled(unproven), "unlabelled, unproven"),
    ] {
        assert_eq!(kind.as_str(), name);
    }
}

fn layout(chunks: &[StoredChunk<'_>]) -> Layout {
    Layout::read(&Attributes::default(), &History::default(), chunks, 0).unwrap()
}

#[test]
fn a_part_of_the_chunks_is_enough_where_each_tells_all_and_no_run_can_go_on_beyond() {
    let read = |chunks: &[(i32, &str)]| Entry::new(&[], chunks).read().unwrap().stands_alone;
    let (one, two) = (kms("a", 1, 0), kms("a", 1, MIB as i64));
    assert!(read(&[(0, "")]));
    assert!(read(&[(1, &customer(1, 0))]));
    assert!(read(&[(2, &one), (2, &two)]));
    assert!(read(&[(3, &s3(1, 5)), (3, &s3(2, 6))]));
    // It runs on in one stream, and may have begun before.
    assert!(!read(&[(2, &one), (2, &one)]));
    // The last chunk of such a run looks like this one.
    assert!(!read(&[(2, &one)]));
    assert!(!read(&[(3, &s3(1, 5))]));
    // Those gateways told no offset and had no commitments.
    assert!(read(&[(2, &two)]));
    let committed = s3(1, 5).replace('}', &format!(r#","keyCommitment":"{}"}}"#, base64(&[1; 32])));
    assert!(read(&[(3, &committed)]));
}

#[test]
fn what_a_manifest_lists_is_not_judged_before_it_is_expanded() {
    let md5 = base64(&[9; 16]);
    let name = "X-Amz-Server-Side-Encryption-Customer-Key-MD5";
    let attributes = Attributes::new([(name, md5.as_bytes())]);
    let manifest = StoredChunk { size: 10 * MIB, is_manifest: true, ..StoredChunk::default() };
    let read = Layout::read(&attributes, &History::default(), &[manifest], 0).unwrap();
    assert_eq!((read.chunks, read.stands_alone), (vec![None], false));
    let json = customer(1, 0);
    let listed = StoredChunk { size: MIB, sse_type: 1, sse_metadata: json.as_bytes(), ..StoredChunk::default() };
    assert!(layout(&[listed]).stands_alone);
}
