//! What can be wrong with stored encryption metadata.

use std::fmt;

/// Stored metadata that cannot be understood. The object's fault, so no retry helps.
///
/// Says which field, and what is wrong with it, without its value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {problem}")]
pub struct MetadataError {
    /// Where it is.
    pub place: Place,
    /// What is wrong there.
    pub problem: Problem,
}

/// Where a field is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In the entry's Extended attributes.
    Entry {
        /// Name of the attribute.
        attribute: &'static str,
        /// Path inside it, empty for the attribute itself.
        field: String,
    },
    /// In a chunk.
    Chunk {
        /// Index of the chunk in the entry, from 0.
        index: usize,
        /// Path inside it, as `sse_metadata.iv`.
        field: String,
    },
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Entry { attribute, field } if field.is_empty() => write!(f, "{attribute} of the entry"),
            Self::Entry { attribute, field } => write!(f, "{attribute}.{field} of the entry"),
            Self::Chunk { index, field } => write!(f, "{field} of chunk {index}"),
        }
    }
}

impl Place {
    /// The same place, one level deeper.
    pub(crate) fn join(&self, name: &str) -> Self {
        let below = |field: &str| if field.is_empty() { name.to_owned() } else { format!("{field}.{name}") };
        match self {
            Self::Entry { attribute, field } => Self::Entry { attribute, field: below(field) },
            Self::Chunk { index, field } => Self::Chunk { index: *index, field: below(field) },
        }
    }

    pub(crate) fn fails(&self, problem: Problem) -> MetadataError {
        MetadataError { place: self.clone(), problem }
    }
}

/// What is wrong with a field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Not there, or empty, though needed.
    #[error("missing")]
    Missing,
    /// Not standard base64.
    #[error("not base64")]
    NotBase64,
    /// Not UTF-8 text.
    #[error("not UTF-8")]
    NotText,
    /// Not a JSON document of the expected shape.
    #[error("not a JSON {0}")]
    NotJson(&'static str),
    /// Another JSON type.
    #[error("not a {0}")]
    NotA(&'static str),
    /// Wrong number of bytes.
    #[error("{found} bytes instead of {expected}")]
    Length {
        /// How many there are.
        found: usize,
        /// How many there must be.
        expected: usize,
    },
    /// Below zero, or too far from it to be added up.
    #[error("out of range")]
    OutOfRange,
    /// An algorithm, version or type that this program does not know.
    #[error("not supported by this version")]
    Unsupported,
    /// A field that is not known, where any could change what the others mean.
    #[error("a field that this version does not know")]
    Unknown,
    /// Chunks of an encrypted object that do not say how they are encrypted, and nothing else does.
    #[error(
        "missing, as after a copy that bypassed the S3 gateway, and {0}; write the object anew, or copy its source \
         through the S3 gateway"
    )]
    Unlabelled(Doubt),
    /// Differs from the same field stored elsewhere in the entry.
    #[error("differs from the rest of the object")]
    Disagrees,
}

/// Why chunks without a label cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Doubt {
    /// The entry has no data key, or no IV.
    #[error("the entry has not kept the key and IV that they were encrypted with")]
    KeyLost,
    /// Each part of an upload starts its own stream, and often under its own key.
    #[error("the object has several parts, and each one's key or IV is lost")]
    Parts,
    /// It may be the copy of an object whose chunks each start their own stream.
    #[error("the object has several chunks and no MD5, so that each may have had a key or IV of its own, now lost")]
    NoMd5,
    /// Gateways before 4.22 left encrypted chunks without a label in uploads, and plain ones copied from elsewhere.
    #[error("the upload's other chunks have one, and whether this one is encrypted cannot be told")]
    Upload,
    /// Ciphertext and plain bytes may be mixed, or one be taken for the other.
    #[error("the file was changed since, and whether its bytes are encrypted cannot be told")]
    Changed,
}
