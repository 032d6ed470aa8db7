//! Which parts of a multipart upload an object was made of.

use serde_json::Value;

use crate::{
    attributes::{Attributes, name},
    error::{MetadataError, Problem},
    metadata::entry,
    stored::StoredChunk,
};

/// What S3 allows.
const PART_NUMBERS: std::ops::RangeInclusive<u64> = 1..=10_000;

/// The parts of an object, by where they start. SeaweedFS has kept them since 4.01.
pub(crate) struct Parts(Vec<Part>);

/// One part.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Part {
    /// Its number, from 1.
    pub(crate) number: u64,
    /// Its first byte in the object.
    pub(crate) start: u64,
}

impl Parts {
    /// Reads them from the entry; nothing for an object that has none on record.
    ///
    /// The attribute is a JSON array of `{"part", "start", "end", "etag", "startOffset", "endOffset"}`: `start` is the
    /// index of the part's first chunk, the offsets are bytes and came later (`PartBoundaryInfo` in
    /// `weed/s3api/s3api_object_handlers.go` @4.48).
    pub(crate) fn read(attributes: &Attributes<'_>, chunks: &[StoredChunk<'_>]) -> Result<Option<Self>, MetadataError> {
        let Some(json) = attributes.filled(name::PART_BOUNDARIES) else { return Ok(None) };
        let place = entry(name::PART_BOUNDARIES);
        let stored: Vec<Value> = serde_json::from_slice(json).map_err(|_| place.fails(Problem::NotJson("array")))?;
        let mut parts = Vec::with_capacity(stored.len());
        for boundary in &stored {
            let number = boundary["part"].as_u64().filter(|number| PART_NUMBERS.contains(number));
            let by_byte = boundary["endOffset"].as_u64().map(|_| boundary["startOffset"].as_u64().unwrap_or(0));
            let by_chunk = || {
                let index = usize::try_from(boundary["start"].as_u64().unwrap_or(0)).ok()?;
                chunks.get(index).map(|chunk| chunk.offset)
            };
            let start = by_byte.or_else(by_chunk);
            let (Some(number), Some(start)) = (number, start) else { return Err(place.fails(Problem::OutOfRange)) };
            parts.push(Part { number, start });
        }
        parts.sort_by_key(|part| part.start);
        Ok(Some(Self(parts)).filter(|parts| !parts.0.is_empty()))
    }

    /// Whether there is more than one.
    pub(crate) fn are_many(&self) -> bool {
        self.0.len() > 1
    }

    /// The part that a byte of the object lies in.
    pub(crate) fn at(&self, offset: u64) -> Option<Part> {
        let behind = self.0.partition_point(|part| part.start <= offset);
        self.0[..behind].last().copied()
    }
}
