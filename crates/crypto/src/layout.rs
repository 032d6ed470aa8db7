//! From what is stored to what a reader needs: which keys, and where the keystream of each chunk starts.
//!
//! A chunk's own metadata wins over the entry's. What each scheme stores:
//!
//! | | where the stream of a chunk starts |
//! |---|---|
//! | SSE-C, SSE-KMS | the chunk's IV, `partOffset` bytes in |
//! | SSE-S3 | the chunk's IV as it is: the writer has advanced it |
//! | no IV in the chunk | the entry's IV, at the chunk's offset in the object |
//! | `sse_type` 0 in an encrypted object | nowhere: the chunk is raw |
//! | inline content | the entry's IV, from its first byte |
//!
//! What older gateways wrote is told apart as [`streams`] says.

mod detect;
mod keyring;
mod streams;

use std::fmt;

use crate::{
    attributes::Attributes,
    datakey::DataKey,
    echo::Echo,
    error::{MetadataError, Place, Problem},
    keystream::Keystream,
    metadata::Metadata,
    scheme::Scheme,
    wrapped::WrappedKey,
};
use keyring::Keyring;

/// What the filer stores of one chunk, as far as encryption goes.
#[derive(Clone, Copy)]
pub struct StoredChunk<'a> {
    /// First byte of the chunk in the object.
    pub offset: u64,
    /// Plaintext bytes of the chunk.
    pub size: u64,
    /// `FileChunk.sse_type`: 0 none, 1 SSE-C, 2 SSE-KMS, 3 SSE-S3.
    pub sse_type: i32,
    /// `FileChunk.sse_metadata`: JSON, or empty.
    pub sse_metadata: &'a [u8],
    /// When the chunk was written, in nanoseconds since 1970. Decides which of two overlapping chunks is read; the
    /// keystreams do not depend on it.
    pub modified_ts_ns: i64,
}

/// How to decrypt an object. See [`Layout::read`].
pub struct Layout {
    /// The object's encryption.
    pub scheme: Scheme,
    /// The keys it takes, each once. Empty where there is nothing to decrypt.
    ///
    /// SSE-S3 wraps one data key anew for each chunk, so there it is as many as chunks.
    pub keys: Vec<WrappedKey>,
    /// For each stored chunk, in the order given: where its keystream starts, or `None` if its bytes are raw.
    pub chunks: Vec<Option<KeyStart>>,
    /// Where the keystream of inline content starts, or `None` if it is raw or there is none.
    pub inline: Option<KeyStart>,
    /// What a response tells about the encryption.
    pub echo: Echo,
    /// SSE-C: MD5 of the customer's key, where stored, also for an object without bytes.
    pub customer_key_md5: Option<[u8; 16]>,
}

/// Where the keystream of a chunk starts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct KeyStart {
    /// Index into [`Layout::keys`].
    pub key: usize,
    /// IV of the stream.
    pub iv: [u8; 16],
    /// Position in the stream of the chunk's first byte.
    pub offset: u64,
}

impl KeyStart {
    /// The keystream from byte `from` of the chunk on, under the unwrapped key.
    pub fn keystream(&self, key: &DataKey, from: u64) -> Keystream {
        Keystream::new(key, self.iv, self.offset.wrapping_add(from))
    }
}

impl Layout {
    /// Reads how an object is encrypted.
    ///
    /// `inline_len` is the length in bytes of the entry's inline content, 0 if it has chunks. All that is stored and
    /// needed is checked here: an object that says it is encrypted, but not in a way that is understood, is an error.
    /// An object without bytes needs no key, so of a stub's metadata only the echo is read.
    pub fn read(
        attributes: &Attributes<'_>,
        chunks: &[StoredChunk<'_>],
        inline_len: usize,
    ) -> Result<Self, MetadataError> {
        let scheme = detect::scheme(attributes, chunks)?;
        let entry = match (scheme, inline_len, chunks) {
            (Scheme::Kms | Scheme::S3, 0, []) => Metadata::default(),
            _ => Metadata::of_entry(scheme, attributes)?,
        };
        let mut keyring = Keyring::new(&entry);
        let starts = streams::starts(scheme, attributes, &entry, chunks, &mut keyring)?;
        let inline = match (scheme, inline_len) {
            (Scheme::None, _) | (_, 0) => None,
            _ => Some(inline_start(scheme, &entry, &mut keyring)?),
        };
        keyring.absorb(entry.key);
        let customer_key_md5 = keyring.customer_key_md5();
        let echo = Echo::read(scheme, attributes, first_metadata(chunks))?;
        Ok(Self { scheme, keys: keyring.into_keys(), chunks: starts, inline, echo, customer_key_md5 })
    }
}

fn inline_start(scheme: Scheme, entry: &Metadata, keyring: &mut Keyring) -> Result<KeyStart, MetadataError> {
    let missing = |place: Place| place.fails(Problem::Missing);
    let key = keyring.entry_key().ok_or_else(|| missing(detect::key_place(scheme)))?;
    let iv = entry.iv.ok_or_else(|| missing(detect::iv_place(scheme)))?;
    Ok(KeyStart { key, iv, offset: 0 })
}

fn first_metadata<'a>(chunks: &[StoredChunk<'a>]) -> Option<(Place, &'a [u8])> {
    let first = chunks.iter().position(|chunk| chunk.sse_type != 0 && !chunk.sse_metadata.is_empty())?;
    Some((metadata_place(first), chunks[first].sse_metadata))
}

/// The `sse_metadata` of a chunk.
fn metadata_place(index: usize) -> Place {
    Place::Chunk { index, field: "sse_metadata".to_owned() }
}

// Wrapped keys and IVs have no business in a log.
impl fmt::Debug for KeyStart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyStart").field("key", &self.key).field("offset", &self.offset).finish_non_exhaustive()
    }
}

impl fmt::Debug for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Layout")
            .field("scheme", &self.scheme)
            .field("keys", &self.keys.len())
            .field("chunks", &self.chunks)
            .field("inline", &self.inline)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
