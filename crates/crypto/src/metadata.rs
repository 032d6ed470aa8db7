//! Encryption metadata as SeaweedFS stores it: JSON in a chunk's `sse_metadata` and in attributes of the entry.
//!
//! Source: `SSECMetadata` and `SSEKMSMetadata` in `weed/s3api/s3_sse_kms.go` @4.48, `SerializeSSES3Metadata` in
//! `weed/s3api/s3_sse_s3.go` @4.48. An unknown field is an error, since AES-CTR gives noise without a word when one changes the
//! cipher, and so is a known one of the wrong type. The KMS's envelope is the KMS's to check.

use crate::{
    attributes::{Attributes, name},
    commitment::Commitment,
    envelope::Envelope,
    error::{MetadataError, Place, Problem},
    json::{JsonObject, decode},
    scheme::Scheme,
    wrapped::{CustomerKey, KmsKey, S3Key, WrappedKey},
};

const AES256: &str = "AES256";
const AWS_KMS: &str = "aws:kms";
/// The fields of SSE-C, 3.97 to 4.48.
const CUSTOMER: [&str; 4] = ["algorithm", "iv", "keyMD5", "partOffset"];
/// The fields of SSE-KMS; the last since 4.24.
const KMS: [&str; 8] = [
    "algorithm",
    "keyId",
    "encryptedDataKey",
    "encryptionContext",
    "bucketKeyEnabled",
    "iv",
    "partOffset",
    "keyCommitment",
];
/// The fields of SSE-S3; the last since 4.24.
const S3: [&str; 6] = ["algorithm", "keyId", "encryptedDEK", "nonce", "iv", "keyCommitment"];
/// A 32-byte data key under AES-256-GCM.
const SEALED_LEN: usize = 48;

/// What one piece of metadata says. Each part may be missing, for the caller to find it elsewhere.
#[derive(Default)]
pub(crate) struct Metadata {
    pub(crate) key: Option<WrappedKey>,
    pub(crate) iv: Option<[u8; 16]>,
    /// Where in its stream the first byte is; SSE-S3 has none.
    pub(crate) part_offset: u64,
}

impl Metadata {
    /// Reads the JSON of one chunk, or of the entry, at `place`.
    pub(crate) fn parse(scheme: Scheme, json: &[u8], place: Place) -> Result<Self, MetadataError> {
        let object = JsonObject::parse(json, place)?;
        match scheme {
            Scheme::None => Ok(Self::default()),
            Scheme::C => customer(&object),
            Scheme::Kms => kms(&object),
            Scheme::S3 => s3(&object),
        }
    }

    /// Reads what the entry itself says.
    pub(crate) fn of_entry(scheme: Scheme, attributes: &Attributes<'_>) -> Result<Self, MetadataError> {
        let attribute = match scheme {
            Scheme::None => return Ok(Self::default()),
            Scheme::C => return customer_of_entry(attributes),
            Scheme::Kms => name::KMS_KEY,
            Scheme::S3 => name::S3_KEY,
        };
        match attributes.filled(attribute) {
            Some(json) => Self::parse(scheme, json, entry(attribute)),
            None => Ok(Self::default()),
        }
    }
}

/// A whole attribute of the entry.
pub(crate) fn entry(attribute: &'static str) -> Place {
    Place::Entry { attribute, field: String::new() }
}

/// An IV in an attribute: 16 raw bytes, or 24 of base64.
pub(crate) fn attribute_iv(
    attributes: &Attributes<'_>,
    attribute: &'static str,
) -> Result<Option<[u8; 16]>, MetadataError> {
    let Some(stored) = attributes.filled(attribute) else { return Ok(None) };
    match <[u8; 16]>::try_from(stored) {
        Ok(raw) => Ok(Some(raw)),
        Err(_) if stored.len() == 24 => decode(stored, &entry(attribute)).map(Some),
        Err(_) => Err(entry(attribute).fails(Problem::Length { found: stored.len(), expected: 16 })),
    }
}

fn customer_of_entry(attributes: &Attributes<'_>) -> Result<Metadata, MetadataError> {
    let algorithm = attributes.filled(name::CUSTOMER_ALGORITHM);
    if algorithm.is_some_and(|algorithm| algorithm != AES256.as_bytes()) {
        return Err(entry(name::CUSTOMER_ALGORITHM).fails(Problem::Unsupported));
    }
    let md5 = match attributes.filled(name::CUSTOMER_KEY_MD5) {
        Some(stored) => Some(decode(stored, &entry(name::CUSTOMER_KEY_MD5))?),
        None => None,
    };
    let key = md5.map(|md5| WrappedKey::Customer(CustomerKey { md5 }));
    Ok(Metadata { key, iv: attribute_iv(attributes, name::CUSTOMER_IV)?, part_offset: 0 })
}

fn customer(object: &JsonObject) -> Result<Metadata, MetadataError> {
    object.only(&CUSTOMER)?;
    algorithm(object, AES256)?;
    let key = object.fixed("keyMD5")?.map(|md5| WrappedKey::Customer(CustomerKey { md5 }));
    Ok(Metadata { key, iv: object.fixed("iv")?, part_offset: object.integer("partOffset")?.unwrap_or(0) })
}

fn kms(object: &JsonObject) -> Result<Metadata, MetadataError> {
    object.only(&KMS)?;
    let algorithm = algorithm(object, AWS_KMS)?;
    let iv = object.fixed("iv")?;
    let commitments = commitment(object, iv, algorithm)?;
    let key = match object.bytes("encryptedDataKey")? {
        Some(envelope) => Some(WrappedKey::Kms(KmsKey {
            key_id: object.required("keyId")?.to_owned(),
            envelope: Envelope::parse(&envelope, &object.at("encryptedDataKey"))?,
            context: object.text_map("encryptionContext")?,
            bucket_key_enabled: object.flag("bucketKeyEnabled")?,
            commitments,
        })),
        None => None,
    };
    Ok(Metadata { key, iv, part_offset: object.integer("partOffset")?.unwrap_or(0) })
}

fn s3(object: &JsonObject) -> Result<Metadata, MetadataError> {
    object.only(&S3)?;
    let algorithm = algorithm(object, AES256)?;
    let iv = object.fixed("iv")?;
    let commitments = commitment(object, iv, algorithm)?;
    let key = match object.bytes("encryptedDEK")? {
        Some(sealed) if sealed.len() == SEALED_LEN => Some(WrappedKey::S3(S3Key {
            key_id: object.required("keyId")?.to_owned(),
            sealed,
            nonce: object.fixed("nonce")?.ok_or_else(|| object.at("nonce").fails(Problem::Missing))?,
            commitments,
        })),
        Some(sealed) => {
            let problem = Problem::Length { found: sealed.len(), expected: SEALED_LEN };
            return Err(object.at("encryptedDEK").fails(problem));
        }
        None => None,
    };
    Ok(Metadata { key, iv, part_offset: 0 })
}

/// The algorithm, which old writers left out.
fn algorithm<'a>(object: &'a JsonObject, expected: &'a str) -> Result<&'a str, MetadataError> {
    match object.text("algorithm")? {
        Some(stored) if stored != expected => Err(object.at("algorithm").fails(Problem::Unsupported)),
        _ => Ok(expected),
    }
}

/// The commitment, where there is one. It says nothing without the IV that it was made over.
fn commitment(object: &JsonObject, iv: Option<[u8; 16]>, algorithm: &str) -> Result<Vec<Commitment>, MetadataError> {
    let Some(mac) = object.fixed("keyCommitment")? else { return Ok(Vec::new()) };
    let iv = iv.ok_or_else(|| object.at("iv").fails(Problem::Missing))?;
    Ok(vec![Commitment { mac, iv, algorithm: algorithm.to_owned() }])
}
