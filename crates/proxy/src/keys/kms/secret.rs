//! Secrets in JSON answers and in the bodies of requests, read and written without leaving copies behind.
//!
//! Knows base64 and the length of a data key. Must not know any KMS's field names.

use base64::Engine;
use crypto::DataKey;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::{Failure, KmsError};

/// Borrowed from the body, which is wiped, wherever the JSON string has no escapes; else an own copy, wiped as well.
pub(super) enum Secret<'a> {
    Borrowed(&'a str),
    Owned(Zeroizing<String>),
}

impl<'de: 'a, 'a> Deserialize<'de> for Secret<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Secret<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("text")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Secret::Borrowed(text))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Secret::Owned(Zeroizing::new(text.to_owned())))
            }
        }
        from.deserialize_str(Visitor)
    }
}

impl Secret<'_> {
    pub(super) fn as_str(&self) -> &str {
        match self {
            Self::Borrowed(text) => text,
            Self::Owned(text) => text,
        }
    }

    /// The data key that this is base64 of.
    #[cfg(any(feature = "aws", feature = "gcp", feature = "openbao"))]
    pub(super) fn data_key(&self) -> Result<DataKey, KmsError> {
        self.decoded(&base64::prelude::BASE64_STANDARD)
    }

    /// The data key that this is base64url of, without padding.
    #[cfg(feature = "azure")]
    pub(super) fn data_key_url(&self) -> Result<DataKey, KmsError> {
        self.decoded(&base64::prelude::BASE64_URL_SAFE_NO_PAD)
    }

    fn decoded(&self, base64: &impl Engine) -> Result<DataKey, KmsError> {
        let nonsense = |what: &str| KmsError::new(Failure::Nonsense, what);
        let mut plain = Zeroizing::new([0_u8; 66]);
        let length = base64
            .decode_slice(self.as_str(), plain.as_mut_slice())
            .map_err(|_| nonsense("the data key is not 32 bytes in base64"))?;
        DataKey::from_slice(&plain[..length]).map_err(|_| nonsense("the data key is not 32 bytes"))
    }
}

/// A request body that is wiped when it has been sent.
#[cfg(feature = "_post")]
pub(super) struct ZeroizedBody(pub(super) Zeroizing<String>);

#[cfg(feature = "_post")]
impl ZeroizedBody {
    pub(super) fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

#[cfg(feature = "_post")]
impl AsRef<[u8]> for ZeroizedBody {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}
