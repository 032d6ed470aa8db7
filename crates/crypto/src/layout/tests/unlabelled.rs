//! Objects without any label on their chunks: what each writer leaves, with the times that the real ones left on 4.48.

use proptest::prelude::*;

use super::made_up::{BOUNDARIES, Entry, MIB, base64, customer, iv, kms, s3};
use crate::{Doubt, History, Kind, UnlabelledReading};

const CUSTOMER_IV: &str = "x-seaweedfs-sse-c-iv";
const CUSTOMER_MD5: &str = "X-Amz-Server-Side-Encryption-Customer-Key-MD5";
const KMS_KEY: &str = "x-seaweedfs-sse-kms-key";
const S3_KEY: &str = "x-seaweedfs-sse-s3-key";
const BASE_IV: &str = "x-seaweedfs-sse-s3-base-iv";

const SECOND: i64 = 1_000_000_000;
/// When the objects were written, in seconds, and in nanoseconds.
const BORN: i64 = 1_795_661_554;
const BORN_NS: i64 = BORN * SECOND;
/// A minute later, by a clock with nanoseconds.
const LATER_NS: i64 = BORN_NS + 60 * SECOND + 317_452_974;

const TWO_PARTS: &str = r#"[{"part":1,"start":0,"end":1},{"part":2,"start":1,"end":2}]"#;
const ONE_PART: &str = r#"[{"part":1,"start":0,"end":2}]"#;

/// What one PUT leaves.
const PUT: History = History { created: BORN, modified_ns: BORN_NS, changed_ns: BORN_NS, synced_ns: 0, has_md5: true };
/// What the filer's copy makes of it: only `ctime` is the source's.
const FILER_COPY: History = History { created: BORN + 60, modified_ns: LATER_NS, ..PUT };
/// What a mount makes of it that writes all of the file.
const REWRITTEN: History = History { modified_ns: LATER_NS, changed_ns: LATER_NS, ..PUT };

fn customer_entry() -> Entry {
    Entry::new(&[(CUSTOMER_MD5, &base64(&[9; 16]))], &[]).with(CUSTOMER_IV, &iv(1))
}

fn kms_entry() -> Entry {
    Entry::new(&[(KMS_KEY, &kms("a", 1, 0))], &[])
}

fn s3_entry() -> Entry {
    Entry::new(&[(S3_KEY, &s3(1, 1))], &[])
}

fn entries() -> [Entry; 3] {
    [customer_entry(), kms_entry(), s3_entry()]
}

impl Entry {
    /// As many chunks without a label, written then.
    fn unlabelled(mut self, history: History, written: &[i64]) -> Self {
        self.history = history;
        self.chunks = written.iter().map(|_| (0, String::new())).collect();
        self.written = written.to_vec();
        self
    }

    fn tags(mut self, e_tag: &'static str) -> Self {
        self.e_tag = e_tag;
        self
    }

    fn compressed(mut self) -> Self {
        self.compressed = true;
        self
    }

    fn without_md5(mut self) -> Self {
        self.history.has_md5 = false;
        self
    }

    fn is_one_stream(&self) -> bool {
        let offsets: Vec<_> = (0..self.chunks.len() as u64).map(|index| Some((0, 1, index * MIB))).collect();
        let is_one = self.read().is_ok_and(|layout| layout.kind == Kind::Unlabelled(UnlabelledReading::Ciphertext));
        is_one && self.starts() == offsets
    }

    fn is_raw(&self) -> bool {
        let layout = self.read();
        layout.is_ok_and(|layout| {
            layout.kind == Kind::Unlabelled(UnlabelledReading::Raw) && layout.chunks.iter().all(Option::is_none)
        })
    }

    fn is_refused_for(&self, doubt: Doubt) -> bool {
        self.fails() == format!("sse_type of chunk 0: {}", crate::error::Problem::Unlabelled(doubt))
    }
}

#[test]
fn ciphertext_under_the_plaintexts_etag() {
    for entry in entries() {
        for chunks in [&[0][..], &[0, 0, 0, 0]] {
            assert!(entry.clone().unlabelled(FILER_COPY, chunks).is_one_stream());
        }
    }
}

#[test]
fn a_filer_copy_of_an_object_of_several_parts() {
    for entry in entries() {
        let entry = entry.with(BOUNDARIES, TWO_PARTS.as_bytes());
        assert!(entry.unlabelled(FILER_COPY, &[0, 0]).without_md5().is_refused_for(Doubt::Parts));
    }
    // To 4.00 the parts were not on record.
    let entry = s3_entry().with(BASE_IV, &iv(1)).unlabelled(FILER_COPY, &[0, 0]).without_md5();
    assert!(entry.is_refused_for(Doubt::Parts));
}

#[test]
fn a_filer_copy_of_a_gateways_copy_has_lost_the_keys_of_all_chunks_but_the_first() {
    for entry in entries() {
        let copy = entry.clone().unlabelled(FILER_COPY, &[0, 0]).without_md5();
        assert!(copy.is_refused_for(Doubt::NoMd5));
        assert!(entry.unlabelled(FILER_COPY, &[0]).without_md5().is_one_stream());
    }
}

#[test]
fn a_filer_copy_of_parts_that_were_copied_from_a_plain_object() {
    let md5 = base64(&[9; 16]);
    for parts in [ONE_PART, TWO_PARTS] {
        let entry = Entry::new(&[(CUSTOMER_MD5, &md5), (BOUNDARIES, parts)], &[]);
        // Nothing was encrypted; but of the copy it could have been one part, and then the IV is lost.
        assert!(entry.clone().unlabelled(PUT, &[BORN_NS - 7]).without_md5().is_raw());
        assert!(entry.unlabelled(FILER_COPY, &[0, 0]).without_md5().is_refused_for(Doubt::KeyLost));
    }
}

#[test]
fn a_filer_copy_of_what_a_mount_had_rewritten() {
    for entry in entries() {
        let history = History { changed_ns: LATER_NS, ..FILER_COPY };
        assert!(entry.clone().unlabelled(history, &[0]).is_refused_for(Doubt::Changed));
        // And a copy over an encrypted object, which keeps when that was created.
        let history = History { modified_ns: LATER_NS, ..PUT };
        assert!(entry.unlabelled(history, &[0]).is_refused_for(Doubt::Changed));
    }
}

#[test]
fn a_remote_object_that_was_fetched_again() {
    for entry in entries() {
        let history = History { synced_ns: LATER_NS, ..PUT };
        let fetched = entry.clone().unlabelled(history, &[LATER_NS - 9, LATER_NS - 5]).tags("973909aa");
        assert!(fetched.is_one_stream());
        assert!(fetched.without_md5().is_refused_for(Doubt::NoMd5));
        // A mount had written plain bytes, which went to the remote store and came back.
        let history = History { synced_ns: LATER_NS + 60 * SECOND, ..REWRITTEN };
        let fetched = entry.unlabelled(history, &[history.synced_ns - 9]).tags("973909aa");
        assert!(fetched.is_refused_for(Doubt::Changed));
    }
}

#[test]
fn a_file_that_a_mount_rewrote_in_place() {
    for entry in entries() {
        assert!(entry.clone().unlabelled(REWRITTEN, &[LATER_NS]).is_raw());
        assert!(entry.clone().unlabelled(REWRITTEN, &[LATER_NS - 3 * SECOND, LATER_NS]).is_raw());
        // An object of several parts or a gateway's copy, which have no MD5.
        let parts = entry.clone().with(BOUNDARIES, TWO_PARTS.as_bytes());
        assert!(parts.unlabelled(REWRITTEN, &[LATER_NS]).without_md5().is_raw());
        // Within the second that the object was created in.
        let at_once = BORN_NS + 123_456_789;
        let history = History { modified_ns: at_once, changed_ns: at_once, ..PUT };
        assert!(entry.clone().unlabelled(history, &[at_once]).is_raw());
        // `cp -p` sets a time of its own afterwards; `cp` writes after the time that cutting the file has left.
        let history = History { modified_ns: BORN_NS - 7 * SECOND, ..REWRITTEN };
        assert!(entry.clone().unlabelled(history, &[LATER_NS - 40]).is_raw());
        assert!(entry.clone().unlabelled(REWRITTEN, &[LATER_NS + 184_584]).is_raw());
        // Text is stored compressed.
        assert!(entry.clone().unlabelled(REWRITTEN, &[BORN_NS + 7 * SECOND]).compressed().is_raw());
        // An hour of writing.
        let history = History { modified_ns: LATER_NS + 3600 * SECOND, changed_ns: LATER_NS + 3600 * SECOND, ..PUT };
        assert!(entry.clone().unlabelled(history, &[LATER_NS, LATER_NS + 3600 * SECOND]).is_raw());
        // It went to a remote store since.
        let history = History { synced_ns: LATER_NS + 60 * SECOND, ..REWRITTEN };
        assert!(entry.clone().unlabelled(history, &[LATER_NS]).tags("8QZ80llkQnmQEc7ZpOuytw==").is_raw());
    }
}

#[test]
fn what_copies_and_mounts_may_both_have_written_is_refused() {
    for entry in entries() {
        // A copy, then plain bytes in one chunk of it.
        let history = History { changed_ns: LATER_NS, ..FILER_COPY };
        assert!(entry.clone().unlabelled(history, &[0, LATER_NS]).is_refused_for(Doubt::Changed));
        // Chunks later than the object, and no mount that keeps nanoseconds.
        assert!(entry.clone().unlabelled(PUT, &[LATER_NS]).is_refused_for(Doubt::Changed));
        // Permissions changed long after.
        let history = History { changed_ns: LATER_NS + 3600 * SECOND, ..PUT };
        assert!(entry.clone().unlabelled(history, &[LATER_NS]).without_md5().is_refused_for(Doubt::Changed));
    }
}

#[test]
fn what_copy_object_of_3_97_to_4_22_left() {
    // To SSE-C: one IV for all chunks. The time of creation is that of the source.
    let history = History { modified_ns: BORN_NS + 60 * SECOND, changed_ns: 0, has_md5: false, ..PUT };
    let written = [LATER_NS, LATER_NS + 5];
    assert!(customer_entry().unlabelled(history, &written).is_one_stream());
    assert!(customer_entry().unlabelled(History { created: BORN + 60, ..history }, &written).is_one_stream());
    // To SSE-KMS: the new data key was thrown away, or what replaced the source's metadata names none. A copy to the same
    // key kept the MD5.
    let stub = r#"{"algorithm":"aws:kms","keyId":"k","encryptedDataKey":"","encryptionContext":{"a":"b"},"iv":""}"#;
    for has_md5 in [false, true] {
        let entry = Entry::new(&[("X-Amz-Server-Side-Encryption", "aws:kms"), (KMS_KEY, stub)], &[]);
        let entry = entry.unlabelled(History { has_md5, ..history }, &[LATER_NS]);
        let doubt = if has_md5 { Doubt::Changed } else { Doubt::KeyLost };
        assert!(entry.is_refused_for(doubt), "{}", entry.fails());
    }
}

#[test]
fn labels_that_were_lost_after_the_gateway_wrote_them() {
    for entry in entries() {
        let chunks = [BORN_NS - SECOND, BORN_NS + 5];
        assert!(entry.clone().unlabelled(PUT, &chunks).is_one_stream());
        // Permissions changed since: what a chunk holds is not.
        let history = History { changed_ns: LATER_NS, ..PUT };
        assert!(entry.unlabelled(history, &chunks).is_one_stream());
    }
    assert!(kms_entry().unlabelled(PUT, &[BORN_NS, BORN_NS]).without_md5().is_refused_for(Doubt::NoMd5));
}

#[test]
fn sse_s3_parts_that_gateways_before_4_22_left_without_a_label() {
    let begun = [("x-seaweedfs-sse-s3-key-data", base64(s3(1, 1).as_bytes()))];
    let begun = begun.each_ref().map(|(name, value)| (*name, value.as_str()));
    let entry = Entry::new(&begun, &[]).with(BASE_IV, &iv(1)).unlabelled(PUT, &[BORN_NS]).without_md5();
    assert!(entry.is_refused_for(Doubt::KeyLost));
    let entry = s3_entry().with(BASE_IV, &iv(1)).with(BOUNDARIES, TWO_PARTS.as_bytes());
    assert!(entry.clone().unlabelled(PUT, &[BORN_NS, BORN_NS]).without_md5().is_refused_for(Doubt::Parts));
    let entry = s3_entry().with(BASE_IV, &iv(1)).with(BOUNDARIES, ONE_PART.as_bytes());
    assert!(entry.unlabelled(PUT, &[BORN_NS, BORN_NS]).without_md5().is_one_stream());
}

#[test]
fn a_chunk_without_a_label_in_such_an_upload_is_refused_and_one_that_came_later_is_raw() {
    let mut entry = Entry::new(&[], &[(3, &s3(1, 1)), (0, "")]).with(BASE_IV, &iv(1));
    entry.history = PUT;
    entry.written = vec![BORN_NS, BORN_NS];
    assert_eq!(entry.fails(), format!("sse_type of chunk 1: {}", crate::error::Problem::Unlabelled(Doubt::Upload)));
    entry.written = vec![BORN_NS, LATER_NS];
    assert_eq!(entry.starts(), [Some((0, 1, 0)), None]);
}

#[test]
fn a_mixed_sse_c_upload_has_raw_chunks_beside_labelled_ones_and_an_iv_of_its_own() {
    let mut entry = customer_entry().with(BOUNDARIES, TWO_PARTS.as_bytes());
    entry.chunks = vec![(1, customer(1, 0)), (0, String::new())];
    entry.history = History { has_md5: false, ..PUT };
    entry.written = vec![BORN_NS, BORN_NS];
    assert_eq!(entry.starts(), [Some((0, 1, 0)), None]);
}

#[test]
fn chunks_without_bytes_and_manifests_say_nothing_and_have_no_keystream() {
    let entry = s3_entry().unlabelled(FILER_COPY, &[0, LATER_NS, LATER_NS]);
    let mut chunks = entry.stored();
    chunks[1].size = 0;
    chunks[2].is_manifest = true;
    let layout = entry.read_with(&chunks).unwrap();
    assert_eq!(layout.kind, Kind::Unlabelled(UnlabelledReading::Ciphertext));
    assert_eq!(layout.chunks.iter().map(Option::is_some).collect::<Vec<_>>(), [true, false, false]);

    // The chunk that a refusal names is the first that holds bytes.
    let entry = s3_entry().unlabelled(PUT, &[0, 0, LATER_NS]);
    let mut chunks = entry.stored();
    chunks[0].is_manifest = true;
    chunks[1].size = 0;
    let refused = entry.read_with(&chunks).err().unwrap().to_string();
    assert!(refused.starts_with("sse_type of chunk 2:"), "{refused}");
}

#[test]
fn neither_are_such_chunks_doubted_beside_labelled_ones() {
    let mut entry = Entry::new(&[], &[(3, &s3(1, 1)), (0, ""), (0, "")]).with(BASE_IV, &iv(1));
    entry.history = PUT;
    entry.written = vec![BORN_NS; 3];
    let mut chunks = entry.stored();
    chunks[1].is_manifest = true;
    chunks[2].size = 0;
    let layout = entry.read_with(&chunks).unwrap();
    assert_eq!(layout.chunks.iter().map(Option::is_some).collect::<Vec<_>>(), [true, false, false]);
}

#[test]
fn an_upload_ends_with_the_second_in_which_the_object_was_created() {
    let last = BORN_NS + SECOND - 1;
    for entry in entries() {
        let lone = |written| entry.clone().unlabelled(PUT, &[written]);
        assert!(lone(last).is_one_stream());
        assert!(lone(last + 1).is_refused_for(Doubt::Changed));
    }
    let mut entry = Entry::new(&[], &[(3, &s3(1, 1)), (0, "")]).with(BASE_IV, &iv(1));
    entry.history = PUT;
    entry.written = vec![BORN_NS, last];
    assert!(entry.read().is_err());
    entry.written = vec![BORN_NS, last + 1];
    assert_eq!(entry.starts(), [Some((0, 1, 0)), None]);
}

#[test]
fn a_mount_is_told_from_others_for_ten_minutes() {
    let ten_minutes = 600 * SECOND;
    for entry in entries() {
        let written = |before| entry.clone().unlabelled(REWRITTEN, &[LATER_NS + before]).without_md5();
        assert!(written(ten_minutes).is_raw());
        assert!(written(ten_minutes + 1).is_refused_for(Doubt::Changed));
        // In the second of the creation it is that second.
        let history = |after| History { modified_ns: BORN_NS + after, changed_ns: BORN_NS + after, ..PUT };
        assert!(entry.clone().unlabelled(history(SECOND + 5), &[BORN_NS + 5]).is_raw());
        assert!(entry.clone().unlabelled(history(SECOND + 6), &[BORN_NS + 5]).is_one_stream());
    }
}

#[test]
fn longer_writing_is_that_of_a_mount_only_where_the_key_is_there_and_nothing_is_newer_than_the_file() {
    let hour = 3600 * SECOND;
    let whole_second = BORN_NS + 60 * SECOND;
    let history = |modified_ns| History { modified_ns, changed_ns: LATER_NS + 2 * hour, ..PUT };
    for entry in entries() {
        let read = |modified_ns, written| entry.clone().unlabelled(history(modified_ns), &[written]);
        assert!(read(LATER_NS + hour, LATER_NS).is_raw());
        assert!(read(whole_second, whole_second).is_raw());
        assert!(read(whole_second, whole_second + 1).is_refused_for(Doubt::Changed));
    }
    let keyless = Entry::new(&[(CUSTOMER_MD5, &base64(&[9; 16]))], &[]);
    let keyless = keyless.unlabelled(history(LATER_NS + hour), &[LATER_NS]);
    assert!(keyless.is_refused_for(Doubt::Changed));
}

#[test]
fn what_came_from_a_remote_store_is_doubted_once_a_mount_touched_it() {
    for entry in entries() {
        let fetched = |history: History, written| entry.clone().unlabelled(history, &[written]).tags("973909aa");
        let synced = History { synced_ns: LATER_NS, ..PUT };
        assert!(fetched(synced, LATER_NS).is_one_stream());
        assert!(fetched(synced, LATER_NS + 1).is_refused_for(Doubt::Changed));
        for touched in [History { modified_ns: BORN_NS + 7, ..synced }, History { changed_ns: BORN_NS + 7, ..synced }] {
            assert!(fetched(touched, LATER_NS).is_refused_for(Doubt::Changed));
        }
        // Of a copy of it nothing tells whether its only chunk was the source's first.
        assert!(fetched(FILER_COPY, 0).without_md5().is_refused_for(Doubt::NoMd5));
    }
}

#[test]
fn a_lone_chunk_of_the_gateways_is_one_stream_without_an_md5() {
    for entry in entries() {
        assert!(entry.unlabelled(PUT, &[BORN_NS]).without_md5().is_one_stream());
    }
}

#[test]
fn an_entry_that_tells_no_time_proves_nothing() {
    for entry in entries() {
        let history = History { has_md5: true, ..History::default() };
        assert!(entry.unlabelled(history, &[0]).is_refused_for(Doubt::Changed));
    }
}

proptest! {
    /// What a mount wrote is never decrypted, and what is ciphertext never goes out as it is.
    #[test]
    fn whoever_wrote_it_no_reading_is_the_wrong_one(
        which in 0..3_usize,
        writing in 0..30 * SECOND,
        delay in 0..7200 * SECOND,
        fraction in 1..SECOND,
        has_md5: bool,
        touched: bool,
    ) {
        let entry = || entries()[which].clone();
        let then = BORN_NS + delay / SECOND * SECOND + fraction;
        let history = History { has_md5, ..PUT };
        let mount = History { modified_ns: then, changed_ns: then, ..history };
        let rewritten = entry().unlabelled(mount, &[then - writing.min(delay), then]);
        prop_assert!(!rewritten.is_one_stream());

        let changed_ns = if touched { then } else { BORN_NS };
        let copy = History { created: then / SECOND, modified_ns: then, changed_ns, ..history };
        prop_assert!(!entry().unlabelled(copy, &[0, 0]).is_raw());
        let synced_ns = then + writing;
        let fetched = History { synced_ns, changed_ns, ..history };
        prop_assert!(!entry().unlabelled(fetched, &[then, synced_ns]).tags("1f4a5c66").is_raw());
        let old_copy = History { modified_ns: then / SECOND * SECOND, changed_ns: 0, has_md5: false, ..PUT };
        prop_assert!(!entry().unlabelled(old_copy, &[then, then + writing]).is_raw());
    }
}
