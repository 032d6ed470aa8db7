//! Reads the answers of Google Cloud KMS.
//!
//! Knows field names, statuses and checksums. Must not know how the answer came.

use base64::{Engine, prelude::BASE64_STANDARD};
use crypto::DataKey;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::super::{Failure, KmsError, http::Answer, secret::Secret};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DecryptOutput<'a> {
    #[serde(borrow)]
    plaintext: Secret<'a>,
    /// A 64-bit number, which JSON has as text.
    #[serde(default)]
    plaintext_crc32c: Option<String>,
}

/// The data key in the answer to a `decrypt`, held against its checksum where there is one.
pub(super) fn key(body: &[u8]) -> Result<DataKey, KmsError> {
    // serde's messages quote what they did not expect, so none of them is passed on.
    let output: DecryptOutput<'_> =
        serde_json::from_slice(body).map_err(|_| KmsError::new(Failure::Nonsense, "the answer has no plaintext"))?;
    if let Some(wanted) = &output.plaintext_crc32c {
        let mut plain = Zeroizing::new([0_u8; 66]);
        let found = BASE64_STANDARD
            .decode_slice(output.plaintext.as_str(), plain.as_mut_slice())
            .map(|length| crc32c::crc32c(&plain[..length]));
        if found.is_ok_and(|found| wanted.parse() != Ok(found)) {
            // Damaged on its way, as the service's own advice has it: ask again.
            return Err(KmsError::new(Failure::Unreachable, "the answer does not match its plaintextCrc32c"));
        }
    }
    output.plaintext.data_key()
}

#[derive(Default, Deserialize)]
struct ErrorOutput {
    #[serde(default)]
    error: ErrorDetails,
}

#[derive(Default, Deserialize)]
struct ErrorDetails {
    #[serde(default)]
    message: String,
    #[serde(default)]
    status: String,
}

/// The failure in an answer that is no 200. Source: <https://cloud.google.com/apis/design/errors>.
pub(super) fn refusal(answer: &Answer) -> KmsError {
    let ErrorDetails { message, status } =
        serde_json::from_slice::<ErrorOutput>(&answer.body).unwrap_or_default().error;
    let http = answer.status.as_u16();
    let failure = match (status.as_str(), http) {
        ("UNAUTHENTICATED", _) | (_, 401) => Failure::BadCredentials,
        ("PERMISSION_DENIED", _) | (_, 403) => Failure::Denied,
        ("NOT_FOUND", _) | (_, 404) => Failure::NotFound,
        // The key's version is disabled, destroyed or still being made; or the key is of another purpose.
        ("FAILED_PRECONDITION", _) => Failure::Unusable,
        ("INVALID_ARGUMENT", _) | (_, 400) => Failure::Invalid,
        ("RESOURCE_EXHAUSTED", _) | (_, 429) => Failure::Throttled,
        (_, 408 | 499..=599) => Failure::Unreachable,
        _ => Failure::Nonsense,
    };
    let detail = if message.is_empty() { format!("HTTP {http}") } else { message };
    KmsError::new(failure, &detail).code(&status)
}
