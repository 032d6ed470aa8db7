//! Metadata made up for tests.

use base64::{Engine, engine::general_purpose::STANDARD};

use crate::{Attributes, History, Layout, MetadataError, StoredChunk};

pub(super) const MIB: u64 = 1 << 20;
/// An entry's part boundaries.
pub(super) const BOUNDARIES: &str = "X-Seaweedfs-Multipart-Part-Boundaries";

/// An IV of one byte, sixteen times.
pub(super) fn iv(byte: u8) -> [u8; 16] {
    [byte; 16]
}

pub(super) fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// SSE-C metadata.
pub(super) fn customer(iv_byte: u8, part_offset: i64) -> String {
    let (iv, md5) = (base64(&iv(iv_byte)), base64(&[9; 16]));
    format!(r#"{{"algorithm":"AES256","iv":"{iv}","keyMD5":"{md5}","partOffset":{part_offset}}}"#)
}

/// SSE-KMS metadata, with the data key `key`.
pub(super) fn kms(key: &str, iv_byte: u8, part_offset: i64) -> String {
    let envelope = format!(r#"{{"provider":"aws","key_id":"k","ciphertext":"{key}","version":1}}"#);
    let (envelope, iv) = (base64(envelope.as_bytes()), base64(&iv(iv_byte)));
    format!(
        r#"{{"algorithm":"aws:kms","keyId":"k","encryptedDataKey":"{envelope}","encryptionContext":{{"a":"b"}},
        "bucketKeyEnabled":false,"iv":"{iv}","partOffset":{part_offset}}}"#
    )
}

/// SSE-S3 metadata with an IV, the data key being wrapped under `nonce`.
pub(super) fn s3(nonce: u8, iv_byte: u8) -> String {
    s3_without_iv(nonce).replace('}', &format!(r#","iv":"{}"}}"#, base64(&iv(iv_byte))))
}

/// SSE-S3 metadata without IV.
pub(super) fn s3_without_iv(nonce: u8) -> String {
    let (sealed, nonce) = (base64(&[1; 48]), base64(&[nonce; 12]));
    format!(r#"{{"algorithm":"AES256","keyId":"sse-s3-key-1","encryptedDEK":"{sealed}","nonce":"{nonce}"}}"#)
}

/// An entry, with chunks of one MiB that follow each other.
#[derive(Clone, Default)]
pub(super) struct Entry {
    pub(super) extended: Vec<(&'static str, Vec<u8>)>,
    pub(super) history: History,
    pub(super) chunks: Vec<(i32, String)>,
    /// When each chunk was written; 0 where it does not say.
    pub(super) written: Vec<i64>,
    /// Of all chunks.
    pub(super) e_tag: &'static str,
    /// All chunks.
    pub(super) compressed: bool,
    pub(super) inline_len: usize,
}

impl Entry {
    pub(super) fn new(extended: &[(&'static str, &str)], chunks: &[(i32, &str)]) -> Self {
        let extended = extended.iter().map(|(name, value)| (*name, value.as_bytes().to_vec())).collect();
        let chunks = chunks.iter().map(|(sse_type, json)| (*sse_type, (*json).to_owned())).collect();
        Self { extended, chunks, ..Self::default() }
    }

    pub(super) fn inline(extended: &[(&'static str, &str)]) -> Self {
        Self { inline_len: 100, ..Self::new(extended, &[]) }
    }

    pub(super) fn with(mut self, name: &'static str, value: &[u8]) -> Self {
        self.extended.push((name, value.to_vec()));
        self
    }

    pub(super) fn read(&self) -> Result<Layout, MetadataError> {
        self.read_with(&self.stored())
    }

    /// Reads it with other chunks than its own.
    pub(super) fn read_with(&self, chunks: &[StoredChunk<'_>]) -> Result<Layout, MetadataError> {
        let attributes = Attributes::new(self.extended.iter().map(|(name, value)| (*name, value.as_slice())));
        Layout::read(&attributes, &self.history, chunks, self.inline_len)
    }

    /// Its chunks.
    pub(super) fn stored(&self) -> Vec<StoredChunk<'_>> {
        let mut chunks = Vec::new();
        for (index, (sse_type, json)) in self.chunks.iter().enumerate() {
            chunks.push(StoredChunk {
                offset: index as u64 * MIB,
                size: MIB,
                sse_type: *sse_type,
                sse_metadata: json.as_bytes(),
                modified_ts_ns: self.written.get(index).copied().unwrap_or(0),
                e_tag: self.e_tag,
                is_compressed: self.compressed,
                is_manifest: false,
            });
        }
        chunks
    }

    /// For each chunk: index of its key, first byte of its IV, position in the stream.
    pub(super) fn starts(&self) -> Vec<Option<(usize, u8, u64)>> {
        let layout = self.read().unwrap();
        layout.chunks.iter().map(|start| start.map(|start| (start.key, start.iv[0], start.offset))).collect()
    }

    pub(super) fn fails(&self) -> String {
        self.read().err().unwrap().to_string()
    }
}
