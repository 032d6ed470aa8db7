//! One bit changed in what is stored: refused, or known not to be noticed.
//!
//! AES-CTR notices nothing by itself. What SeaweedFS stores beside it notices these:
//!
//! | changed | SSE-C | SSE-KMS | SSE-S3 |
//! |---|---|---|---|
//! | wrapped key | the client has it | by the KMS | by the GCM tag of the wrapped key |
//! | nonce of the wrapped key | - | by the KMS | by the same tag |
//! | encryption context, key id | - | by the KMS, and the key id it answers | the key id is a label: not noticed |
//! | key commitment | none stored | where there is one | refused |
//! | IV | not noticed | where there is a commitment | refused |
//! | `partOffset` | not noticed | not noticed | not stored |
//! | stored bytes | by the needle's CRC, not by CTR | the same | the same |
//! | a sealed chunk (`cipher_key`) | refused, whatever is inside | the same | the same |

#![allow(clippy::unwrap_used, missing_docs, reason = "a test fails loudly and has no callers")]

use std::sync::Arc;

use crypto::{Attributes, ChunkError, DataKey, History, Kek, Layout, StoredChunk, WrappedKey, open_chunk};

const KEK: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const NONCE: &str = "BwcHBwcHBwcHBwcH";
const IV: &str = "AwMDAwMDAwMDAwMDAwMDAw==";
const SEALED: &str = "P1uUb1s64cP+pHLi4zWR/ZFtv0C8wrcuxoIfuEead13fraiwc0tPei+Ee3Hw3K94";
const COMMITMENT: &str = "6eJu3mJUyTElvwB1KG8turXreOa/+uDUECODOEmUUbw=";

/// Standard base64 with one bit of the bytes turned.
fn turned(base64: &str, bit: usize) -> String {
    use base64::{Engine, prelude::BASE64_STANDARD};
    let mut bytes = BASE64_STANDARD.decode(base64).unwrap();
    bytes[bit / 8] ^= 1 << (bit % 8);
    BASE64_STANDARD.encode(bytes)
}

fn bits(base64: &str) -> usize {
    base64.trim_end_matches('=').len() * 6 / 8 * 8
}

/// Whether an object whose SSE-S3 metadata has `changed` in the place of `stored` gives a key.
fn opens(stored: &str, changed: &str) -> bool {
    let json = format!(
        r#"{{"algorithm":"AES256","keyId":"sse-s3-key-1","nonce":"{NONCE}","iv":"{IV}","encryptedDEK":"{SEALED}","keyCommitment":"{COMMITMENT}"}}"#
    );
    let json = json.replacen(stored, changed, 1);
    let entry = [("X-Amz-Server-Side-Encryption", &b"AES256"[..]), ("x-seaweedfs-sse-s3-key", json.as_bytes())];
    let Ok(layout) = Layout::read(&Attributes::new(entry), &History::default(), &[], 5) else { return false };
    let WrappedKey::S3(key) = &layout.keys[0] else { panic!("the metadata is one of SSE-S3") };
    Kek::from_hex(KEK).unwrap().open(key).is_ok_and(|opened| layout.keys[0].verify(&opened).is_ok())
}

#[test]
fn every_bit_of_a_committed_sse_s3_key_counts() {
    assert!(opens("", ""));
    for stored in [NONCE, IV, SEALED, COMMITMENT] {
        for bit in 0..bits(stored) {
            assert!(!opens(stored, &turned(stored, bit)), "bit {bit} of {stored}");
        }
    }
    // A label for people; which key it is stands in the wrapped key.
    assert!(opens("sse-s3-key-1", "sse-s3-key-0"));
}

#[test]
fn every_bit_of_a_sealed_chunk_counts_and_nothing_of_a_changed_one_comes_out() {
    const CHUNK: &str = "000102030405060708090a0b2676a27aa68ee27af961f3eac6874a645e8e20a54e0ea3a3e272247f1284";
    let key: Vec<u8> = (0..32).collect();
    let sound = hex::decode(CHUNK).unwrap();
    let mut opened = sound.clone();
    let plain = open_chunk(&key, &mut opened).unwrap();
    assert_eq!(&opened[plain], b"attack at dawn");
    for bit in 0..sound.len() * 8 {
        let mut changed = sound.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(open_chunk(&key, &mut changed), Err(ChunkError::Tag), "bit {bit}");
        assert!(changed.iter().all(|byte| *byte == 0), "unchecked bytes were left behind");
    }
    for bit in 0..256 {
        let mut other = key.clone();
        other[bit / 8] ^= 1 << (bit % 8);
        assert!(open_chunk(&other, &mut sound.clone()).is_err());
    }
}

fn kms(key_id: &str, ciphertext: &str, context: &str) -> [u8; 32] {
    use base64::{Engine, prelude::BASE64_STANDARD};
    let envelope = format!(r#"{{"provider":"aws","key_id":"k","ciphertext":"{ciphertext}","version":1}}"#);
    let envelope = BASE64_STANDARD.encode(envelope);
    let json = format!(
        r#"{{"algorithm":"aws:kms","keyId":"{key_id}","encryptedDataKey":"{envelope}","iv":"{IV}","encryptionContext":{{"a":"{context}"}}}}"#
    );
    let entry = [("X-Amz-Server-Side-Encryption", &b"aws:kms"[..]), ("x-seaweedfs-sse-kms-key", json.as_bytes())];
    Layout::read(&Attributes::new(entry), &History::default(), &[], 5).unwrap().keys[0].id()
}

/// The KMS is what notices; it must be asked, and not a cache that knows the key of the unchanged object.
#[test]
fn what_a_kms_checks_is_part_of_what_a_key_is_cached_by() {
    let sound = kms("k", "d3JhcHBlZA==", "b/a");
    assert_eq!(sound, kms("k", "d3JhcHBlZA==", "b/a"));
    for changed in [kms("j", "d3JhcHBlZA==", "b/a"), kms("k", "d3JhcHBlZQ==", "b/a"), kms("k", "d3JhcHBlZA==", "b/c")] {
        assert_ne!(sound, changed);
    }
}

/// Not a wish but a fact: whoever can change an entry of an SSE-C object can turn it to noise, and nobody can tell.
#[test]
fn ctr_does_not_notice_another_offset_or_an_uncommitted_iv() {
    let read = |iv: &str, offset: u64| {
        let json = format!(
            r#"{{"algorithm":"AES256","iv":"{iv}","keyMD5":"y4HAEFCYWuvAXWFTtA1Qpg==","partOffset":{offset}}}"#
        );
        let metadata = json.as_bytes();
        let chunk = StoredChunk { size: 16, sse_type: 1, sse_metadata: metadata, ..StoredChunk::default() };
        let layout = Layout::read(&Attributes::new([]), &History::default(), &[chunk], 0).unwrap();
        let mut bytes = [0; 16];
        let key = layout.keys[0].accept(Arc::new(DataKey::from_slice(&[7; 32]).unwrap())).ok().unwrap();
        layout.decryption(layout.chunks[0].unwrap(), &key).ok().unwrap().keystream(0).apply_to(&[0; 16], &mut bytes);
        bytes
    };
    let sound = read(IV, 0);
    assert_ne!(sound, read(IV, 16));
    assert_ne!(sound, read(&turned(IV, 0), 0));
}
