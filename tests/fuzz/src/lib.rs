//! What the fuzz targets do with their bytes. Each must end without a panic, and without memory beyond the order of the
//! input; `cargo fuzz` checks the latter with its limits on memory.
//!
//! They are functions of a library, so that the seeds also run as a plain test, without a fuzzer.

use crypto::{Attributes, History, Kek, Layout, StoredChunk, name};
use prost::Message;
use tidegate::{
    entry::{Fid, manifest::Manifests, visible::visible},
    pb,
    plan,
};

/// Metadata of chunks: the first byte says which `sse_type`, the rest is the JSON of one chunk or, cut at `\n`, of several.
pub fn sse_metadata(data: &[u8]) {
    let Some((&kind, json)) = data.split_first() else { return };
    let sse_type = i32::from(kind % 5);
    let chunks: Vec<_> = json
        .split(|byte| *byte == b'\n')
        .enumerate()
        .map(|(index, sse_metadata)| {
            let (offset, modified_ts_ns) = (index as u64 * 1000, index as i64);
            StoredChunk { offset, size: 1000, sse_type, sse_metadata, modified_ts_ns, ..StoredChunk::default() }
        })
        .collect();
    let _ = Layout::read(&Attributes::new([]), &History::default(), &chunks, 0);
    let first = chunks[0].sse_metadata;
    for entry in [
        [(name::ALGORITHM, &b"aws:kms"[..]), (name::KMS_KEY, first)],
        [(name::ALGORITHM, &b"AES256"[..]), (name::S3_KEY, first)],
        [(name::CUSTOMER_ALGORITHM, &b"AES256"[..]), (name::CUSTOMER_IV, first)],
    ] {
        let _ = Layout::read(&Attributes::new(entry), &History::default(), &[], 5);
        let _ = Layout::read(&Attributes::new(entry), &History::default(), &chunks, 0);
    }
}

/// The envelope of a KMS, in metadata that is sound around it.
pub fn envelope(data: &[u8]) {
    let json = format!(
        r#"{{"algorithm":"aws:kms","keyId":"k","encryptedDataKey":"{}","iv":"AwMDAwMDAwMDAwMDAwMDAw=="}}"#,
        base64(data)
    );
    let entry = [(name::ALGORITHM, &b"aws:kms"[..]), (name::KMS_KEY, json.as_bytes())];
    if let Ok(layout) = Layout::read(&Attributes::new(entry), &History::default(), &[], 5) {
        for key in &layout.keys {
            key.id();
        }
    }
}

/// The file of the SSE-S3 key, with and without a passphrase.
pub fn kek_file(data: &[u8]) {
    let _ = Kek::from_file(data, None);
    let _ = Kek::from_file(data, Some("a passphrase"));
}

/// An entry as the filer sends it, and a manifest with the same bytes.
pub fn entry(data: &[u8]) {
    if let Ok(entry) = pb::Entry::decode(data) {
        let _ = (entry.kind(), entry.size(), entry.etag(), entry.modified());
        for chunk in &entry.chunks {
            let _ = Fid::of(chunk).map(|fid| fid.to_string());
        }
        if let Ok(runs) = visible(&entry.chunks) {
            let size = entry.size();
            let _ = plan::plan(&runs, 0..size.min(1 << 40));
        }
        if let Ok(manifests) = Manifests::new(entry.chunks, 0..u64::MAX) {
            expand(manifests, data);
        }
    }
}

/// Gives every pending manifest the same content, as deep as is allowed.
fn expand(mut manifests: Manifests, content: &[u8]) {
    for _ in 0..4 {
        for pending in manifests.take_pending().into_iter().take(4) {
            if manifests.resolve(&pending, content).is_err() {
                return;
            }
        }
    }
    let _ = manifests.finish();
}

/// A `Range` header: the first 8 bytes are the size of the file.
pub fn range(data: &[u8]) {
    let Some((size, value)) = data.split_first_chunk::<8>() else { return };
    let size = u64::from_le_bytes(*size);
    let Ok(header) = http::HeaderValue::from_bytes(value) else { return };
    if let plan::range::Ranges::Some(ranges) = plan::range::parse(Some(&header), size) {
        for range in ranges {
            assert!(range.start < range.end && range.end <= size, "{range:?} of {size}");
        }
    }
}

/// What comes over a connection from a volume server: head and body of an answer. No body has more bytes than came.
pub fn answer(data: &[u8]) {
    if let Some((_, body)) = prefetch::recorded_answer(data) {
        assert!(body.len() < data.len());
    }
}

/// Standard base64, so that the envelope's bytes reach its parser.
fn base64(data: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(data.len().div_ceil(3) * 4);
    for three in data.chunks(3) {
        let number = three.iter().fold(0_u32, |number, byte| number << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        for digit in 0..4 {
            let index = (number >> (18 - 6 * digit)) as usize & 63;
            text.push(if digit <= three.len() { DIGITS[index] as char } else { '=' });
        }
    }
    text
}
