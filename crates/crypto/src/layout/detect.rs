//! Which scheme an object is encrypted with.

use crate::{
    attributes::{Attributes, name},
    error::{MetadataError, Place, Problem},
    metadata::entry,
    scheme::Scheme,
    stored::StoredChunk,
};

/// The scheme of an object: that of its chunks, or if they are silent, of its entry.
///
/// The `AES256` header alone does not make an object encrypted: copies leave it behind. What an SSE-S3 upload was begun
/// with does: gateways before 4.22 have left objects with nothing else, and copies drop it. Two schemes among the chunks
/// of one object are an error, since each has its own rules on who may read. Raw chunks under an entry that says encrypted
/// (the gateway makes them when it copies parts into an SSE-C upload) keep the entry's scheme, so that no one gets them
/// who could not read the object.
pub(super) fn scheme(attributes: &Attributes<'_>, chunks: &[StoredChunk<'_>]) -> Result<Scheme, MetadataError> {
    let mut found = Scheme::None;
    for (index, chunk) in chunks.iter().enumerate() {
        let fails = |problem| Place::Chunk { index, field: "sse_type".to_owned() }.fails(problem);
        let scheme = Scheme::of_sse_type(chunk.sse_type).ok_or_else(|| fails(Problem::Unsupported))?;
        match (found, scheme) {
            (_, Scheme::None) => {}
            (Scheme::None, scheme) => found = scheme,
            (found, scheme) if found == scheme => {}
            _ => return Err(fails(Problem::Disagrees)),
        }
    }
    match found {
        Scheme::None => of_entry(attributes),
        found => Ok(found),
    }
}

fn of_entry(attributes: &Attributes<'_>) -> Result<Scheme, MetadataError> {
    let has = |name| attributes.filled(name).is_some();
    if has(name::CUSTOMER_ALGORITHM) || has(name::CUSTOMER_KEY_MD5) || has(name::CUSTOMER_IV) {
        return Ok(Scheme::C);
    }
    match attributes.filled(name::ALGORITHM) {
        Some(b"aws:kms") => Ok(Scheme::Kms),
        Some(b"AES256") | None if has(name::S3_KEY) || has(name::S3_BASE_IV) => Ok(Scheme::S3),
        Some(b"AES256") | None if has(name::KMS_KEY) => Ok(Scheme::Kms),
        Some(b"AES256") | None => Ok(Scheme::None),
        Some(_) => Err(entry(name::ALGORITHM).fails(Problem::Unsupported)),
    }
}

/// Where an entry keeps its key.
pub(super) fn key_place(scheme: Scheme) -> Place {
    match scheme {
        Scheme::Kms => entry(name::KMS_KEY).join("encryptedDataKey"),
        Scheme::S3 => entry(name::S3_KEY).join("encryptedDEK"),
        Scheme::C | Scheme::None => entry(name::CUSTOMER_KEY_MD5),
    }
}

/// Where an entry keeps its IV.
pub(super) fn iv_place(scheme: Scheme) -> Place {
    match scheme {
        Scheme::Kms => entry(name::KMS_KEY).join("iv"),
        Scheme::S3 => entry(name::S3_KEY).join("iv"),
        Scheme::C | Scheme::None => entry(name::CUSTOMER_IV),
    }
}
