//! One test for each rule on where a keystream starts, on which scheme an object has, and on what is refused.

use proptest::prelude::*;

use super::made_up::{BOUNDARIES, Entry, MIB, base64, customer, iv, kms, s3, s3_without_iv};
use crate::{Attributes, Echo, History, Kind, Layout, Scheme, StoredChunk, UnlabelledReading, WrappedKey};

const CUSTOMER_IV: &str = "x-seaweedfs-sse-c-iv";
const CUSTOMER_MD5: &str = "X-Amz-Server-Side-Encryption-Customer-Key-MD5";
const CUSTOMER_ALGORITHM: &str = "X-Amz-Server-Side-Encryption-Customer-Algorithm";
const ALGORITHM: &str = "X-Amz-Server-Side-Encryption";
const KMS_KEY: &str = "x-seaweedfs-sse-kms-key";
const S3_KEY: &str = "x-seaweedfs-sse-s3-key";

fn customer_entry() -> Entry {
    let md5 = base64(&[9; 16]);
    Entry::new(&[(CUSTOMER_ALGORITHM, "AES256"), (CUSTOMER_MD5, &md5)], &[]).with(CUSTOMER_IV, &iv(1))
}

#[test]
fn customer_and_kms_chunks_start_at_their_part_offset() {
    let chunks = [customer(1, 0), customer(1, MIB as i64), customer(2, 0), customer(2, 7)];
    let entry = Entry::new(&[], &chunks.each_ref().map(|json| (1, json.as_str())));
    assert_eq!(entry.starts(), [Some((0, 1, 0)), Some((0, 1, MIB)), Some((0, 2, 0)), Some((0, 2, 7))]);

    let chunks = [kms("a", 1, 0), kms("a", 1, MIB as i64), kms("b", 1, 0)];
    let entry = Entry::new(&[], &chunks.each_ref().map(|json| (2, json.as_str())));
    assert_eq!(entry.starts(), [Some((0, 1, 0)), Some((0, 1, MIB)), Some((1, 1, 0))]);
}

#[test]
fn equal_customer_metadata_is_no_run() {
    let json = customer(1, 0);
    let entry = Entry::new(&[], &[(1, &json), (1, &json)]);
    assert_eq!(entry.starts(), [Some((0, 1, 0)), Some((0, 1, 0))]);
}

#[test]
fn s3_chunks_start_at_their_iv_as_it_is() {
    let chunks = [s3(1, 5), s3(2, 6)];
    let entry = Entry::new(&[], &chunks.each_ref().map(|json| (3, json.as_str())));
    assert_eq!(entry.starts(), [Some((0, 5, 0)), Some((1, 6, 0))]);
}

#[test]
fn the_chunk_wins_over_the_entry() {
    let entry = Entry::new(&[(KMS_KEY, &kms("entry", 8, 0))], &[(2, &kms("chunk", 1, 0))]);
    assert_eq!(entry.starts(), [Some((0, 1, 0))]);
    let layout = entry.read().unwrap();
    assert!(matches!(&layout.keys[..], [WrappedKey::Kms(key)] if key.envelope.ciphertext == "chunk"));
}

#[test]
fn chunks_without_metadata_are_one_stream_at_the_entrys_iv() {
    let mut entry = customer_entry();
    entry.chunks = vec![(1, String::new()), (1, String::new())];
    assert_eq!(entry.starts(), [Some((0, 1, 0)), Some((0, 1, MIB))]);

    let entry = Entry::new(&[(KMS_KEY, &kms("a", 3, 0))], &[(2, ""), (2, "")]);
    assert_eq!(entry.starts(), [Some((0, 3, 0)), Some((0, 3, MIB))]);

    let entry = Entry::new(&[(S3_KEY, &s3(1, 4))], &[(3, ""), (3, "")]);
    assert_eq!(entry.starts(), [Some((0, 4, 0)), Some((0, 4, MIB))]);
}

#[test]
fn an_s3_chunk_without_iv_takes_the_entrys() {
    let chunk = s3_without_iv(2);
    let entry = Entry::new(&[(S3_KEY, &s3(1, 4))], &[(3, &chunk), (3, &chunk)]);
    assert_eq!(entry.starts(), [Some((0, 4, 0)), Some((0, 4, MIB))]);
}

#[test]
fn one_iv_of_the_entry_is_not_taken_for_several_parts() {
    let parts = r#"[{"part":1,"start":0,"end":1},{"part":2,"start":1,"end":2}]"#;
    let entry = Entry::new(&[(S3_KEY, &s3(1, 4)), (BOUNDARIES, parts)], &[(3, ""), (3, "")]);
    assert_eq!(entry.fails(), "sse_metadata of chunk 0: missing");
    let one_part = r#"[{"part":1,"start":0,"end":2}]"#;
    let entry = Entry::new(&[(S3_KEY, &s3(1, 4)), (BOUNDARIES, one_part)], &[(3, ""), (3, "")]);
    assert_eq!(entry.starts(), [Some((0, 4, 0)), Some((0, 4, MIB))]);
}

#[test]
fn a_chunk_of_type_0_is_raw() {
    let entry = Entry::new(&[], &[(0, ""), (3, &s3(1, 5)), (0, "")]);
    assert_eq!(entry.starts(), [None, Some((0, 5, 0)), None]);
}

#[test]
fn inline_content_starts_at_the_entrys_iv() {
    let start = |entry: Entry| entry.read().unwrap().inline.map(|start| (start.key, start.iv[0], start.offset));
    assert_eq!(start(Entry { inline_len: 1, ..customer_entry() }), Some((0, 1, 0)));
    assert_eq!(start(Entry::inline(&[(KMS_KEY, &kms("a", 3, 0))])), Some((0, 3, 0)));
    assert_eq!(start(Entry::inline(&[(S3_KEY, &s3(1, 4))])), Some((0, 4, 0)));
    assert_eq!(start(Entry::inline(&[])), None);
    assert_eq!(start(Entry::inline(&[(ALGORITHM, "AES256")])), None);
}

#[test]
fn the_entrys_customer_iv_may_be_base64() {
    let md5 = base64(&[9; 16]);
    let entry = Entry::inline(&[(CUSTOMER_MD5, &md5), (CUSTOMER_IV, &base64(&iv(6)))]);
    assert_eq!(entry.read().unwrap().inline.unwrap().iv, iv(6));
    let entry = Entry::inline(&[(CUSTOMER_MD5, &md5), (CUSTOMER_IV, "seventeen bytes!!")]);
    assert_eq!(entry.fails(), "x-seaweedfs-sse-c-iv of the entry: 17 bytes instead of 16");
    let entry = Entry::inline(&[(CUSTOMER_MD5, &md5), (CUSTOMER_IV, "twenty-four other bytes!")]);
    assert_eq!(entry.fails(), "x-seaweedfs-sse-c-iv of the entry: not base64");
}

#[test]
fn the_scheme_is_found_in_the_chunks_or_in_the_entry() {
    let scheme = |entry: Entry| entry.read().unwrap().scheme;
    assert_eq!(scheme(Entry::default()), Scheme::None);
    assert_eq!(scheme(Entry::new(&[], &[(0, ""), (1, &customer(1, 0))])), Scheme::C);
    assert_eq!(scheme(Entry::new(&[], &[(2, &kms("a", 1, 0))])), Scheme::Kms);
    assert_eq!(scheme(Entry::new(&[], &[(3, &s3(1, 1))])), Scheme::S3);
    assert_eq!(scheme(customer_entry()), Scheme::C);
    assert_eq!(scheme(Entry::new(&[(CUSTOMER_ALGORITHM, "AES256"), (ALGORITHM, "AES256")], &[])), Scheme::C);
    assert_eq!(scheme(Entry::new(&[(ALGORITHM, "aws:kms")], &[])), Scheme::Kms);
    assert_eq!(scheme(Entry::new(&[("X-SEAWEEDFS-SSE-KMS-KEY", "{}")], &[])), Scheme::Kms);
    assert_eq!(scheme(Entry::new(&[(ALGORITHM, "AES256"), (S3_KEY, "{}")], &[])), Scheme::S3);
    assert_eq!(scheme(Entry::new(&[(S3_KEY, "{}")], &[])), Scheme::S3);
    // The entry says otherwise, as after a copy: the chunks are right.
    assert_eq!(scheme(Entry::new(&[(ALGORITHM, "aws:kms")], &[(3, &s3(1, 1))])), Scheme::S3);
}

#[test]
fn the_header_alone_does_not_make_an_object_encrypted() {
    let layout = Entry::new(&[(ALGORITHM, "AES256")], &[(0, "")]).read().unwrap();
    assert_eq!(layout.scheme, Scheme::None);
    assert_eq!(layout.chunks, [None]);
    assert_eq!(layout.echo, Echo::None);
}

#[test]
fn an_object_without_bytes_needs_no_key() {
    let stub = r#"{"algorithm":"aws:kms","keyId":"k","encryptedDataKey":"","encryptionContext":null,"iv":""}"#;
    let layout = Entry::new(&[(ALGORITHM, "aws:kms"), (KMS_KEY, stub)], &[]).read().unwrap();
    assert_eq!((layout.scheme, layout.keys.len()), (Scheme::Kms, 0));
    assert_eq!(
        layout.echo.pairs(),
        [(ALGORITHM, "aws:kms".to_owned()), ("X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id", "k".to_owned())]
    );
    let stub = r#"{"algorithm":"AES256","encryptedDEK":"","iv":"","nonce":""}"#;
    let layout = Entry::new(&[(ALGORITHM, "AES256"), (S3_KEY, stub)], &[]).read().unwrap();
    assert_eq!((layout.scheme, layout.keys.len()), (Scheme::S3, 0));
    let layout = customer_entry().read().unwrap();
    assert_eq!((layout.scheme, layout.keys.len(), layout.customer_key_md5), (Scheme::C, 0, Some([9; 16])));
}

#[test]
fn the_key_of_an_object_without_bytes_is_not_even_read() {
    let unreadable = kms("a\",\"provider\":\"", 1, 0);
    let entry = Entry::new(&[(KMS_KEY, &unreadable)], &[]);
    assert_eq!(entry.read().unwrap().echo.pairs()[1].1, "k");
    assert!(Entry::inline(&[(KMS_KEY, &unreadable)]).read().is_err());
    let entry = Entry::new(&[(S3_KEY, "no JSON")], &[]);
    assert_eq!(entry.read().unwrap().echo, Echo::S3);
}

#[test]
fn what_the_entry_does_not_tell_is_echoed_from_the_first_chunk_that_does() {
    let echo = |sse_type, json: &str| {
        // One without bytes or metadata says nothing.
        let entry = Entry::new(&[], &[(0, ""), (sse_type, ""), (sse_type, json)]);
        let mut chunks = entry.stored();
        chunks[1].size = 0;
        entry.read_with(&chunks).unwrap().echo.pairs()
    };
    let md5 = base64(&[9; 16]);
    assert_eq!(echo(1, &customer(1, 0)), [(CUSTOMER_ALGORITHM, "AES256".to_owned()), (CUSTOMER_MD5, md5)]);
    assert!(echo(2, &kms("a", 1, 0)).contains(&("X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id", "k".to_owned())));
}

#[test]
fn what_is_encrypted_but_not_understood_is_refused() {
    let chunk = |sse_type, json: &str| Entry::new(&[], &[(0, ""), (sse_type, json)]).fails();
    assert_eq!(chunk(1, "{"), "sse_metadata of chunk 1: not a JSON object");
    assert_eq!(chunk(4, ""), "sse_type of chunk 1: not supported by this version");
    assert_eq!(chunk(-1, ""), "sse_type of chunk 1: not supported by this version");
    assert_eq!(chunk(1, ""), format!("{CUSTOMER_IV} of the entry: missing"));
    assert_eq!(chunk(2, ""), format!("{KMS_KEY}.iv of the entry: missing"));
    assert_eq!(chunk(3, ""), format!("{S3_KEY}.iv of the entry: missing"));
    let with = |json: String, from: &str, to: &str| json.replace(from, to);
    let short = base64(&[1; 12]);
    let sixteen = base64(&iv(1));
    assert_eq!(chunk(1, &with(customer(1, 0), &sixteen, &short)), "sse_metadata.iv of chunk 1: 12 bytes instead of 16");
    assert_eq!(chunk(2, &with(kms("a", 1, 0), &sixteen, "%")), "sse_metadata.iv of chunk 1: not base64");
    assert_eq!(chunk(1, &customer(1, -1)), "sse_metadata.partOffset of chunk 1: out of range");
    assert_eq!(chunk(2, &kms("a", 1, i64::MIN)), "sse_metadata.partOffset of chunk 1: out of range");
    let other = with(kms("a", 1, 0), "aws:kms", "AES256");
    assert_eq!(chunk(2, &other), "sse_metadata.algorithm of chunk 1: not supported by this version");
    let no_key = kms("a", 1, 0);
    let (before, after) = no_key.split_once(r#""encryptedDataKey":""#).unwrap();
    let no_key = format!("{before}{}", after.split_once(',').unwrap().1);
    assert_eq!(chunk(2, &no_key), "sse_metadata.encryptedDataKey of chunk 1: missing");
    let no_provider = kms("a\",\"provider\":\"", 1, 0);
    assert_eq!(chunk(2, &no_provider), "sse_metadata.encryptedDataKey.provider of chunk 1: missing");
    // What 3.97 and 3.98 wrote: the key was never stored.
    let no_key = with(s3(1, 1), &base64(&[1; 48]), "");
    assert_eq!(chunk(3, &no_key), "sse_metadata.encryptedDEK of chunk 1: missing");
    let short_key = with(s3(1, 1), &base64(&[1; 48]), &base64(&[1; 32]));
    assert_eq!(chunk(3, &short_key), "sse_metadata.encryptedDEK of chunk 1: 32 bytes instead of 48");
    let number = with(s3(1, 1), r#""sse-s3-key-1""#, "7");
    assert_eq!(chunk(3, &number), "sse_metadata.keyId of chunk 1: not a string");
    let uncommitted = with(s3_without_iv(1), "}", &format!(r#","keyCommitment":"{}"}}"#, base64(&[1; 32])));
    assert_eq!(chunk(3, &uncommitted), "sse_metadata.iv of chunk 1: missing");
}

#[test]
fn a_field_that_is_not_known_is_refused_and_named() {
    let with = |json: String, more: &str| json.replacen('{', &format!("{{{more},"), 1);
    for (sse_type, json) in [(1, customer(1, 0)), (2, kms("a", 1, 0)), (3, s3(1, 1)), (3, s3_without_iv(1))] {
        let json = with(json, r#""cipherMode":"GCM""#);
        let refused = "a field that this version does not know";
        let fails = Entry::new(&[], &[(sse_type, &json)]).fails();
        assert_eq!(fails, format!("sse_metadata.cipherMode of chunk 0: {refused}"));
        let attribute = if sse_type == 2 { KMS_KEY } else { S3_KEY };
        if sse_type != 1 {
            let fails = Entry::inline(&[(attribute, &json)]).fails();
            assert_eq!(fails, format!("{attribute}.cipherMode of the entry: {refused}"));
        }
    }
    // Its name can be anything, and go on.
    let long = with(customer(1, 0), &format!(r#""\n{}":1"#, "x".repeat(1000)));
    let fails = Entry::new(&[], &[(1, &long)]).fails();
    assert!(fails.contains(r"sse_metadata.\nxxx") && fails.len() < 200, "{fails}");
}

#[test]
fn inline_content_that_is_encrypted_but_not_understood_is_refused() {
    assert_eq!(
        Entry::inline(&[(ALGORITHM, "aws:kms")]).fails(),
        format!("{KMS_KEY}.encryptedDataKey of the entry: missing")
    );
    assert_eq!(Entry::inline(&[(S3_KEY, &s3_without_iv(1))]).fails(), format!("{S3_KEY}.iv of the entry: missing"));
    assert_eq!(Entry::inline(&[(S3_KEY, "[]")]).fails(), format!("{S3_KEY} of the entry: not a JSON object"));
    assert_eq!(
        Entry::inline(&[(CUSTOMER_ALGORITHM, "AES256")]).fails(),
        format!("{CUSTOMER_MD5} of the entry: missing")
    );
    let other = Entry::inline(&[(CUSTOMER_ALGORITHM, "SM4")]);
    assert_eq!(other.fails(), format!("{CUSTOMER_ALGORITHM} of the entry: not supported by this version"));
    let other = Entry::inline(&[(ALGORITHM, "aws:kms:dsse")]);
    assert_eq!(other.fails(), format!("{ALGORITHM} of the entry: not supported by this version"));
}

#[test]
fn the_customers_key_is_one_key() {
    let other = customer(1, 0).replace(&base64(&[9; 16]), &base64(&[8; 16]));
    let entry = Entry::new(&[], &[(1, &customer(1, 0)), (1, &other)]);
    assert_eq!(entry.fails(), "sse_metadata.keyMD5 of chunk 1: differs from the rest of the object");
    let mut entry = customer_entry();
    entry.chunks = vec![(1, other)];
    assert_eq!(entry.fails(), "sse_metadata.keyMD5 of chunk 0: differs from the rest of the object");
    // Some gateways left it out of the chunk.
    let mut entry = customer_entry();
    entry.chunks = vec![(1, customer(2, 5).replace(&base64(&[9; 16]), ""))];
    assert_eq!(entry.starts(), [Some((0, 2, 5))]);
}

#[test]
fn two_schemes_in_one_object_are_refused() {
    let entry = Entry::new(&[], &[(1, &customer(1, 0)), (3, &s3(1, 1))]);
    assert_eq!(entry.fails(), "sse_type of chunk 1: differs from the rest of the object");
}

#[test]
fn positions_beyond_all_numbers_are_refused() {
    let json = customer(1, i64::MAX);
    let chunk = |size| StoredChunk { size, sse_type: 1, sse_metadata: json.as_bytes(), ..StoredChunk::default() };
    let read = |size| Layout::read(&Attributes::default(), &History::default(), &[chunk(size)], 0);
    assert!(read(1 << 62).is_ok());
    assert_eq!(read(u64::MAX).err().unwrap().to_string(), "sse_metadata.partOffset of chunk 0: out of range");
}

#[test]
fn nothing_stored_shows_in_debug_output() {
    let entry = Entry::new(&[(S3_KEY, &s3(1, 4))], &[(3, &s3(1, 77))]);
    let shown = format!("{:?}", entry.read().unwrap());
    assert!(!shown.contains("77") && shown.contains("scheme: S3"), "{shown}");
    assert!(shown.contains("KeyStart { key: 0, offset: 0"), "{shown}");
}

fn json() -> impl Strategy<Value = String> {
    let field = prop_oneof![
        Just("iv"),
        Just("keyMD5"),
        Just("partOffset"),
        Just("encryptedDataKey"),
        Just("encryptedDEK"),
        Just("nonce"),
        Just("keyId"),
        Just("keyCommitment"),
        Just("encryptionContext"),
        Just("algorithm"),
    ];
    let value = prop_oneof![
        any::<i64>().prop_map(|number| number.to_string()),
        prop::collection::vec(any::<u8>(), 0..50).prop_map(|bytes| format!("{:?}", base64(&bytes))),
        prop_oneof![Just("null"), Just("{}"), Just("[]"), Just("true"), Just("\"AES256\""), Just("\"aws:kms\"")]
            .prop_map(str::to_owned),
    ];
    prop::collection::vec((field, value), 0..6).prop_map(|fields| {
        let fields: Vec<_> = fields.into_iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
        format!("{{{}}}", fields.join(","))
    })
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![prop::collection::vec(any::<u8>(), 0..60), json().prop_map(String::into_bytes)]
}

fn history() -> impl Strategy<Value = History> {
    (any::<i64>(), any::<i64>(), any::<i64>(), any::<i64>(), any::<bool>()).prop_map(
        |(created, modified_ns, changed_ns, synced_ns, has_md5)| History {
            created,
            modified_ns,
            changed_ns,
            synced_ns,
            has_md5,
        },
    )
}

proptest! {
    /// Whatever is stored: no panic, and an encrypted chunk has a keystream or the whole is refused.
    #[test]
    fn no_metadata_makes_it_panic(
        chunks in prop::collection::vec((any::<u64>(), 1..u64::MAX, 0..4_i32, bytes()), 0..4),
        written in any::<i64>(),
        history in history(),
        attributes in prop::collection::vec((0..8_usize, bytes()), 0..4),
        inline_len in 0..2_usize,
    ) {
        let names = [
            CUSTOMER_IV, CUSTOMER_MD5, ALGORITHM, KMS_KEY, S3_KEY, BOUNDARIES, "x-seaweedfs-sse-s3-base-iv",
            "x-seaweedfs-sse-s3-key-data",
        ];
        let attributes = Attributes::new(attributes.iter().map(|(name, value)| (names[*name], value.as_slice())));
        let chunks: Vec<_> = chunks
            .iter()
            .map(|(offset, size, sse_type, json)| StoredChunk {
                offset: *offset, size: *size, sse_type: *sse_type, sse_metadata: json, modified_ts_ns: written,
                ..StoredChunk::default()
            })
            .collect();
        if let Ok(layout) = Layout::read(&attributes, &history, &chunks, inline_len) {
            prop_assert_eq!(layout.chunks.len(), chunks.len());
            let is_one_stream = layout.kind == Kind::Unlabelled(UnlabelledReading::Ciphertext);
            for (chunk, start) in chunks.iter().zip(&layout.chunks) {
                prop_assert_eq!(chunk.sse_type != 0 || is_one_stream, start.is_some());
                prop_assert!(start.is_none_or(|start| start.key < layout.keys.len()));
            }
        }
    }
}
