//! From what is stored to what a reader needs: which keys, and where the keystream of each chunk starts.
//!
//! [`kind`] says what kind of object the entry is, and [`starts`] where the streams of that kind start. A chunk's own
//! metadata wins over the entry's. What each scheme stores today:
//!
//! | | where the stream of a chunk starts |
//! |---|---|
//! | SSE-C, SSE-KMS | the chunk's IV, `partOffset` bytes in |
//! | SSE-S3 | the chunk's IV as it is: the writer has advanced it |
//! | no IV in the chunk | the entry's IV, at the chunk's offset in the object |
//! | `sse_type` 0 beside other types | nowhere: the chunk is raw |
//! | `sse_type` 0 throughout | told from the entry's past, as [`unlabelled`] says |
//! | inline content | the entry's IV, from its first byte |

mod detect;
mod keyring;
mod kind;
mod parsed_entry;
mod starts;
mod unlabelled;

use std::fmt;

use crate::{
    attributes::Attributes,
    echo::Echo,
    error::{MetadataError, Place, Problem},
    metadata::Metadata,
    scheme::Scheme,
    stored::{History, StoredChunk},
    wrapped::WrappedKey,
};
use keyring::Keyring;
pub use kind::Kind;
use parsed_entry::{ParsedEntry, metadata_place};
pub use starts::KeyStart;
pub use unlabelled::UnlabelledReading;

/// How to decrypt an object. See [`Layout::read`].
pub struct Layout {
    /// The object's encryption.
    pub scheme: Scheme,
    /// How the object tells where keystreams start.
    pub kind: Kind,
    /// Whether each of the chunks given would start where it does whatever other chunks the object has: then a reader of
    /// a range needs no others. Without it, give all of them.
    pub stands_alone: bool,
    /// The keys it takes, each once. Empty where there is nothing to decrypt.
    ///
    /// SSE-S3 wraps one data key anew for each chunk, so there it is as many as chunks.
    pub keys: Vec<WrappedKey>,
    /// [`WrappedKey::id`] of each key.
    pub(crate) ids: Vec<[u8; 32]>,
    /// For each stored chunk, in the order given: where its keystream starts, or `None` if its bytes are raw.
    pub chunks: Vec<Option<KeyStart>>,
    /// Where the keystream of inline content starts, or `None` if it is raw or there is none.
    pub inline: Option<KeyStart>,
    /// What a response tells about the encryption.
    pub echo: Echo,
    /// SSE-C: MD5 of the customer's key, where stored, also for an object without bytes.
    pub customer_key_md5: Option<[u8; 16]>,
}

impl Layout {
    /// Reads how an object is encrypted.
    ///
    /// `inline_len` is the length in bytes of the entry's inline content, 0 if it has chunks. All that is stored and
    /// needed is checked here: an object that says it is encrypted, but not in a way that is understood, is an error.
    /// An object without bytes needs no key, so of a stub's metadata only the echo is read.
    pub fn read(
        attributes: &Attributes<'_>,
        history: &History,
        chunks: &[StoredChunk<'_>],
        inline_len: usize,
    ) -> Result<Self, MetadataError> {
        let object = ParsedEntry::new(attributes, history, chunks, inline_len)?;
        let scheme = object.scheme;
        let kind = kind::classify(&object)?;
        let mut keyring = Keyring::new(&object.entry);
        let starts = starts::starts(&object, kind, &mut keyring)?;
        let stands_alone = object.stands_alone(kind);
        let inline = match (scheme, inline_len) {
            (Scheme::None, _) | (_, 0) => None,
            _ => Some(inline_start(scheme, &object.entry, &mut keyring)?),
        };
        keyring.absorb(object.entry.key);
        let customer_key_md5 = keyring.customer_key_md5();
        let echo = Echo::read(scheme, attributes, first_metadata(chunks))?;
        let (keys, ids) = keyring.into_keys();
        Ok(Self { scheme, kind, stands_alone, keys, ids, chunks: starts, inline, echo, customer_key_md5 })
    }
}

impl Kind {
    /// The kind of an object, also of one that [`Layout::read`] refuses for where its keystreams start.
    ///
    /// # Errors
    /// When its metadata cannot be understood at all.
    pub fn of(
        attributes: &Attributes<'_>,
        history: &History,
        chunks: &[StoredChunk<'_>],
        inline_len: usize,
    ) -> Result<Self, MetadataError> {
        kind::classify(&ParsedEntry::new(attributes, history, chunks, inline_len)?)
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

// Wrapped keys and IVs have no business in a log.
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
