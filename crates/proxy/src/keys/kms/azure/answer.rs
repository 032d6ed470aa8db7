//! Reads the answers of Azure Key Vault.
//!
//! Knows field names, statuses and codes. Must not know how the answer came.

use crypto::DataKey;
use serde::Deserialize;

use super::super::{Failure, KmsError, http::Answer, secret::Secret};

#[derive(Deserialize)]
struct DecryptOutput<'a> {
    kid: String,
    #[serde(borrow)]
    value: Secret<'a>,
}

/// The data key in the answer to a `decrypt`, and the id of the key that opened it.
pub(super) fn key(body: &[u8]) -> Result<(DataKey, String), KmsError> {
    // serde's messages quote what they did not expect, so none of them is passed on.
    let output: DecryptOutput<'_> = serde_json::from_slice(body)
        .map_err(|_| KmsError::new(Failure::Nonsense, "the answer has no kid or no value"))?;
    Ok((output.value.data_key_url()?, output.kid))
}

#[derive(Default, Deserialize)]
struct ErrorOutput {
    #[serde(default)]
    error: ErrorDetails,
}

#[derive(Default, Deserialize)]
struct ErrorDetails {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
    #[serde(default)]
    innererror: Option<Inner>,
}

#[derive(Default, Deserialize)]
struct Inner {
    #[serde(default)]
    code: String,
}

/// The failure in an answer that is no 200.
/// Source: <https://learn.microsoft.com/azure/key-vault/general/rest-error-codes>.
pub(super) fn refusal(answer: &Answer) -> KmsError {
    let ErrorDetails { code, message, innererror } =
        serde_json::from_slice::<ErrorOutput>(&answer.body).unwrap_or_default().error;
    let inner = innererror.map(|inner| inner.code).unwrap_or_default();
    let http = answer.status.as_u16();
    let failure = match http {
        401 => Failure::BadCredentials,
        403 if unusable(&inner, &message) => Failure::Unusable,
        403 => Failure::Denied,
        404 => Failure::NotFound,
        // Deleted, and not yet gone for good.
        409 => Failure::Unusable,
        400 => Failure::Invalid,
        429 => Failure::Throttled,
        408 | 500..=599 => Failure::Unreachable,
        _ => Failure::Nonsense,
    };
    let detail = if message.is_empty() { format!("HTTP {http}") } else { message };
    KmsError::new(failure, &detail).code(if inner.is_empty() { &code } else { &inner })
}

/// Whether a 403 is about the key's own state: disabled, expired, not valid yet, not for decrypting.
fn unusable(inner: &str, message: &str) -> bool {
    let codes = ["KeyDisabled", "KeyExpired", "KeyNotYetValid", "KeyOperationForbidden"];
    let words = ["disabled key", "expired key", "not yet valid", "not permitted on this key"];
    codes.contains(&inner) || words.iter().any(|words| message.contains(words))
}
