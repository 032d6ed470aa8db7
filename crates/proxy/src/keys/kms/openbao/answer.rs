//! Reads the answers of OpenBao and Vault.
//!
//! Knows field names, statuses and the few messages that tell one refusal from another. Must not know how the answer came.

use std::time::Duration;

use crypto::DataKey;
use http::StatusCode;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::super::{Failure, KmsError, http::Answer, secret::Secret};

#[derive(Deserialize)]
struct DecryptOutput<'a> {
    #[serde(borrow)]
    data: Plaintext<'a>,
}

#[derive(Deserialize)]
struct Plaintext<'a> {
    #[serde(borrow)]
    plaintext: Secret<'a>,
}

/// The data key in the answer to a `decrypt`.
pub(super) fn key(body: &[u8]) -> Result<DataKey, KmsError> {
    // serde's messages quote what they did not expect, so none of them is passed on.
    let output: DecryptOutput<'_> = serde_json::from_slice(body)
        .map_err(|_| KmsError::new(Failure::Nonsense, "the answer has no data.plaintext"))?;
    output.data.plaintext.data_key()
}

#[derive(Deserialize)]
struct AuthOutput<'a> {
    #[serde(borrow)]
    auth: Auth<'a>,
}

#[derive(Deserialize)]
struct Auth<'a> {
    #[serde(borrow)]
    client_token: Secret<'a>,
    #[serde(default)]
    lease_duration: u64,
    #[serde(default)]
    renewable: bool,
}

/// A token as it was given.
pub(super) struct TokenGrant {
    pub(super) token: Zeroizing<String>,
    /// Zero: it does not end.
    pub(super) lasts: Duration,
    pub(super) renewable: bool,
}

/// The token in the answer to a login or a renewal.
pub(super) fn granted(body: &[u8]) -> Result<TokenGrant, KmsError> {
    let output: AuthOutput<'_> = serde_json::from_slice(body)
        .map_err(|_| KmsError::new(Failure::Nonsense, "the answer to the login has no auth.client_token"))?;
    let Auth { client_token, lease_duration, renewable } = output.auth;
    // Bounded, so that adding it to a time cannot overflow.
    let lasts = Duration::from_secs(lease_duration.min(10 * 365 * 24 * 3600));
    Ok(TokenGrant { token: Zeroizing::new(client_token.as_str().to_owned()), lasts, renewable })
}

#[derive(Default, Deserialize)]
struct ErrorOutput {
    #[serde(default)]
    errors: Vec<String>,
}

/// The failure in an answer that is no 200. There are no codes, only statuses and sentences.
pub(super) fn refusal(answer: &Answer) -> KmsError {
    let output: ErrorOutput = serde_json::from_slice(&answer.body).unwrap_or_default();
    let said = output.errors.join("; ");
    let failure = classify(answer.status, &said);
    let status = answer.status.as_u16();
    let detail = if said.is_empty() { format!("HTTP {status}") } else { said };
    KmsError::new(failure, &detail)
}

/// What a refused login or renewal means for whoever wanted a key.
pub(super) fn refused_login(answer: &Answer) -> KmsError {
    let refused = refusal(answer);
    if refused.failure().passing() { refused } else { refused.because(Failure::BadCredentials) }
}

/// Sources: `builtin/logical/transit/path_decrypt.go`, `sdk/helper/keysutil/policy.go`, `sdk/logical/response_util.go`.
fn classify(status: StatusCode, said: &str) -> Failure {
    let says = |words: &str| said.contains(words);
    match status.as_u16() {
        403 | 401 => Failure::Denied,
        404 | 405 => Failure::NotFound,
        400 if says("encryption key not found") || says("no handler for route") => Failure::NotFound,
        400 if says("disallowed by policy") || says("soft-deleted") || says("not supported for key type") => {
            Failure::Unusable
        }
        429 => Failure::Throttled,
        // A standby that does not hand on, and a performance standby that is behind.
        412 | 472 | 473 | 500..600 => Failure::Unreachable,
        400..500 => Failure::Invalid,
        _ => Failure::Nonsense,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use proptest::prelude::*;

    use super::*;

    fn answer(status: u16, body: &[u8]) -> Answer {
        let body = Zeroizing::new(body.to_vec());
        Answer { status: StatusCode::from_u16(status).unwrap(), headers: HeaderMap::new(), body }
    }

    #[test]
    fn refusals_go_by_status_and_sentence() {
        let class =
            |status, said: &str| refusal(&answer(status, format!(r#"{{"errors":["{said}"]}}"#).as_bytes())).failure();
        assert_eq!(class(403, "permission denied"), Failure::Denied);
        assert_eq!(class(400, "encryption key not found"), Failure::NotFound);
        assert_eq!(class(404, "no handler for route \\\"transit/decrypt/k\\\""), Failure::NotFound);
        let old = "ciphertext or signature version is disallowed by policy (too old)";
        assert_eq!(class(400, old), Failure::Unusable);
        assert_eq!(class(400, "cipher: message authentication failed"), Failure::Invalid);
        assert_eq!(class(429, "request path rate limit quota exceeded"), Failure::Throttled);
        assert_eq!(class(503, "Vault is sealed"), Failure::Unreachable);
        assert_eq!(class(302, ""), Failure::Nonsense);
    }

    #[test]
    fn a_refused_login_is_about_our_credentials_unless_it_may_pass() {
        let class = |status| refused_login(&answer(status, b"{}")).failure();
        assert_eq!((class(400), class(403)), (Failure::BadCredentials, Failure::BadCredentials));
        assert_eq!((class(429), class(503)), (Failure::Throttled, Failure::Unreachable));
    }

    proptest! {
        #[test]
        fn any_answer_is_survived(status in 100_u16..600, body in any::<Vec<u8>>()) {
            let _ = refusal(&answer(status, &body));
            prop_assert!(key(&body).is_err());
            prop_assert!(granted(&body).is_err());
        }
    }
}
