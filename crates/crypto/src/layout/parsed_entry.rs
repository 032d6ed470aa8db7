//! An entry, taken apart as far as its kind depends on it.

use super::detect;
use crate::{
    attributes::Attributes,
    error::{MetadataError, Place},
    metadata::Metadata,
    scheme::Scheme,
    stored::{History, StoredChunk},
};

/// An entry, taken apart as far as its kind depends on it.
pub(super) struct ParsedEntry<'a> {
    pub(super) scheme: Scheme,
    pub(super) attributes: &'a Attributes<'a>,
    pub(super) history: &'a History,
    /// What the entry says for all of its chunks.
    pub(super) entry: Metadata,
    pub(super) chunks: &'a [StoredChunk<'a>],
    /// The metadata of each chunk that says it is encrypted and has bytes: empty where it is silent otherwise.
    pub(super) labels: Vec<Option<Metadata>>,
    /// Indices of the chunks, by their offset.
    pub(super) order: Vec<usize>,
    pub(super) inline_len: usize,
}

impl<'a> ParsedEntry<'a> {
    /// Reads what the entry and each of its chunks say about the encryption.
    ///
    /// # Errors
    /// When they contradict each other, or one of them cannot be understood.
    pub(super) fn new(
        attributes: &'a Attributes<'a>,
        history: &'a History,
        chunks: &'a [StoredChunk<'a>],
        inline_len: usize,
    ) -> Result<Self, MetadataError> {
        let scheme = detect::scheme(attributes, chunks)?;
        let entry = match (scheme, inline_len, chunks) {
            (Scheme::Kms | Scheme::S3, 0, []) => Metadata::default(),
            _ => Metadata::of_entry(scheme, attributes)?,
        };
        let label = |(index, chunk): (usize, &StoredChunk<'_>)| match chunk {
            chunk if chunk.sse_type == 0 || chunk.size == 0 || chunk.is_manifest => Ok(None),
            chunk if chunk.sse_metadata.is_empty() => Ok(Some(Metadata::default())),
            chunk => Metadata::parse(scheme, chunk.sse_metadata, metadata_place(index)).map(Some),
        };
        let labels = chunks.iter().enumerate().map(label).collect::<Result<_, _>>()?;
        let mut order: Vec<usize> = (0..chunks.len()).collect();
        order.sort_by_key(|&index| chunks[index].offset);
        Ok(Self { scheme, attributes, history, entry, chunks, labels, order, inline_len })
    }

    /// The chunks that hold bytes of the object. What a manifest lists counts when it is expanded, not before.
    pub(super) fn data_chunks(&self) -> impl Iterator<Item = &'a StoredChunk<'a>> {
        self.chunks.iter().filter(|chunk| !chunk.is_manifest && chunk.size > 0)
    }
}

/// The `sse_metadata` of a chunk.
pub(super) fn metadata_place(index: usize) -> Place {
    Place::Chunk { index, field: "sse_metadata".to_owned() }
}
