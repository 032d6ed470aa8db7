//! What a response tells about the encryption of its object.
//!
//! As the S3 gateway does it: `addSSEResponseHeadersFromEntry` in `weed/s3api/s3api_object_handlers.go` @4.48.

use base64::{Engine, engine::general_purpose::STANDARD};

use crate::{
    attributes::{Attributes, name},
    envelope::context_json,
    error::{MetadataError, Place, Problem},
    json::JsonObject,
    metadata::entry,
    scheme::Scheme,
};

/// What a response tells about the encryption of its object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Echo {
    /// Not encrypted, nothing to tell.
    None,
    /// SSE-C.
    Customer {
        /// The algorithm, `AES256`.
        algorithm: String,
        /// Base64 of the MD5 of the key, where stored.
        key_md5: Option<String>,
    },
    /// SSE-KMS.
    Kms {
        /// Id of the KMS key, where stored.
        key_id: Option<String>,
        /// Base64 of the encryption context as JSON, if it is not empty.
        context: Option<String>,
        /// Whether the bucket's own data key was used.
        bucket_key_enabled: bool,
    },
    /// SSE-S3.
    S3,
}

impl Echo {
    /// Reads it from the entry, or where the entry is silent from the metadata of its first encrypted chunk.
    pub(crate) fn read(
        scheme: Scheme,
        attributes: &Attributes<'_>,
        chunk: Option<(Place, &[u8])>,
    ) -> Result<Self, MetadataError> {
        match scheme {
            Scheme::None => Ok(Self::None),
            Scheme::C => customer(attributes, chunk),
            Scheme::Kms => kms(attributes, chunk),
            Scheme::S3 => Ok(Self::S3),
        }
    }

    /// Names and values, the names being those of the gateway's response headers.
    pub fn pairs(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::None => Vec::new(),
            Self::Customer { algorithm, key_md5 } => {
                let algorithm = (name::CUSTOMER_ALGORITHM, algorithm.clone());
                let key_md5 = key_md5.clone().map(|key_md5| (name::CUSTOMER_KEY_MD5, key_md5));
                [Some(algorithm), key_md5].into_iter().flatten().collect()
            }
            Self::Kms { key_id, context, bucket_key_enabled } => {
                let algorithm = (name::ALGORITHM, "aws:kms".to_owned());
                let key_id = key_id.clone().map(|key_id| (name::KMS_KEY_ID, key_id));
                let context = context.clone().map(|context| (name::KMS_CONTEXT, context));
                let bucket_key = bucket_key_enabled.then(|| (name::KMS_BUCKET_KEY, "true".to_owned()));
                [Some(algorithm), key_id, context, bucket_key].into_iter().flatten().collect()
            }
            Self::S3 => vec![(name::ALGORITHM, "AES256".to_owned())],
        }
    }
}

fn customer(attributes: &Attributes<'_>, chunk: Option<(Place, &[u8])>) -> Result<Echo, MetadataError> {
    let algorithm = text(attributes, name::CUSTOMER_ALGORITHM)?.unwrap_or_else(|| "AES256".to_owned());
    let mut key_md5 = text(attributes, name::CUSTOMER_KEY_MD5)?;
    if let (None, Some((place, json))) = (&key_md5, chunk) {
        key_md5 = JsonObject::parse(json, place)?.text("keyMD5")?.map(str::to_owned);
    }
    Ok(Echo::Customer { algorithm, key_md5 })
}

fn kms(attributes: &Attributes<'_>, chunk: Option<(Place, &[u8])>) -> Result<Echo, MetadataError> {
    let stored = attributes.filled(name::KMS_KEY).map(|json| (entry(name::KMS_KEY), json));
    let Some((place, json)) = stored.or(chunk) else {
        let key_id = text(attributes, name::KMS_KEY_ID)?;
        return Ok(Echo::Kms { key_id, context: None, bucket_key_enabled: false });
    };
    let object = JsonObject::parse(json, place)?;
    let context = object.text_map("encryptionContext")?;
    Ok(Echo::Kms {
        key_id: object.text("keyId")?.map(str::to_owned),
        context: (!context.is_empty()).then(|| STANDARD.encode(context_json(&context))),
        bucket_key_enabled: object.flag("bucketKeyEnabled")?,
    })
}

fn text(attributes: &Attributes<'_>, attribute: &'static str) -> Result<Option<String>, MetadataError> {
    let Some(value) = attributes.filled(attribute) else { return Ok(None) };
    match std::str::from_utf8(value) {
        Ok(text) => Ok(Some(text.to_owned())),
        Err(_) => Err(entry(attribute).fails(Problem::NotText)),
    }
}
