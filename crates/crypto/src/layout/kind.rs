//! Which kind of object an entry is: how it tells, or fails to tell, where the keystreams of its chunks start.
//!
//! One look at the whole entry names the kind; everything after it follows the kind and asks nothing twice.

use super::{
    parsed_entry::ParsedEntry,
    unlabelled::{self, UnlabelledReading},
};
use crate::{attributes::name, error::MetadataError, scheme::Scheme};

/// How an object tells where the keystreams of its chunks start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It is not encrypted, or has no bytes.
    Plain,
    /// Each encrypted chunk says itself where it starts. All that SeaweedFS has written since 4.01 is of this kind, if
    /// nobody copied it past the S3 gateway. A chunk without a label beside labelled ones is raw: a part that the gateway
    /// copied from a plain source into an SSE-C upload, or what a mount wrote over the object.
    SelfDescribing,
    /// Neighbours have identical metadata and are one stream, which runs on from the first of them: what 3.97 to 4.00
    /// wrote in one SSE-KMS or SSE-S3 PUT. Nothing written later looks like that: since then a chunk's `partOffset` or IV
    /// differs from its neighbour's, and each SSE-S3 chunk has its key wrapped anew. A part boundary ends a run.
    EqualRuns,
    /// SSE-S3 chunks without an IV of their own, in an object that remembers the base IV of its upload
    /// (`x-seaweedfs-sse-s3-base-iv`): multipart uploads to 3.99 and 4.00, and chunks that were later left without
    /// metadata.
    UploadParts,
    /// Chunks, or inline content, without an IV of their own are one stream over the whole object, at the entry's IV.
    EntryStream,
    /// No chunk says that it is encrypted, though the entry does; how they are read is told from the entry's past.
    Unlabelled(UnlabelledReading),
}

impl Kind {
    /// The name that reports give it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::SelfDescribing => "self-describing",
            Self::EqualRuns => "equal runs",
            Self::UploadParts => "upload parts",
            Self::EntryStream => "entry stream",
            Self::Unlabelled(UnlabelledReading::Ciphertext) => "unlabelled, one stream",
            Self::Unlabelled(UnlabelledReading::Raw) => "unlabelled, raw",
            Self::Unlabelled(UnlabelledReading::Unproven(_)) => "unlabelled, unproven",
        }
    }
}

/// Names the kind of an object.
///
/// # Errors
/// When the part boundaries are needed and cannot be understood.
pub(super) fn classify(parsed: &ParsedEntry<'_>) -> Result<Kind, MetadataError> {
    if parsed.scheme == Scheme::None {
        return Ok(Kind::Plain);
    }
    if parsed.inline_len > 0 {
        return Ok(Kind::EntryStream);
    }
    if parsed.labels.iter().all(Option::is_none) {
        return match parsed.data_chunks().next() {
            None => Ok(Kind::Plain),
            Some(_) => unlabelled::reading(parsed).map(Kind::Unlabelled),
        };
    }
    if parsed.labels.iter().flatten().any(|label| label.iv.is_none()) {
        return Ok(match parsed.scheme {
            Scheme::S3 if parsed.attributes.filled(name::S3_BASE_IV).is_some() => Kind::UploadParts,
            _ => Kind::EntryStream,
        });
    }
    // SSE-C has always told its offset, so equal metadata means what it says.
    if parsed.scheme != Scheme::C && parsed.has_equal_neighbours() {
        return Ok(Kind::EqualRuns);
    }
    Ok(Kind::SelfDescribing)
}

impl ParsedEntry<'_> {
    fn has_equal_neighbours(&self) -> bool {
        let is_labelled = |index: usize| self.labels[index].is_some();
        let alike = |pair: &[usize]| {
            let [one, two] = [pair[0], pair[1]];
            is_labelled(one) && is_labelled(two) && self.chunks[one].sse_metadata == self.chunks[two].sse_metadata
        };
        self.order.windows(2).any(alike)
    }

    /// Whether each of these chunks would start where it does whatever other chunks the object has.
    ///
    /// Other chunks matter where neighbours with identical metadata are one stream, and where none of them has a label.
    /// Two labelled neighbours that differ rule out the first, since a PUT that left runs made one of all its chunks; so
    /// does a commitment, or an offset into the stream, in a lone chunk's own metadata.
    pub(super) fn stands_alone(&self, kind: Kind) -> bool {
        if kind != Kind::SelfDescribing {
            return kind == Kind::Plain && self.scheme == Scheme::None;
        }
        let mut labels = self.labels.iter().flatten();
        match (labels.next(), labels.next()) {
            (Some(only), None) if self.scheme != Scheme::C => {
                let is_committed = only.key.as_ref().is_some_and(|key| !key.commitments().is_empty());
                only.key.is_some() && (is_committed || only.part_offset > 0)
            }
            _ => true,
        }
    }
}
