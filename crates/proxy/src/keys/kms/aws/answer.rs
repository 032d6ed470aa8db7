//! Reads the answers of the KMS JSON protocol.
//!
//! Knows field names and error codes. Must not know how the answer came. Data keys are moved through wiped buffers only.

use std::borrow::Cow;

use http::StatusCode;
use serde::Deserialize;

use super::super::{Failure, KmsError, UnwrappedKey, http::Answer, secret::Secret};

#[derive(Deserialize)]
struct DecryptOutput<'a> {
    #[serde(rename = "KeyId", borrow)]
    key_id: Cow<'a, str>,
    #[serde(rename = "Plaintext", borrow)]
    plaintext: Secret<'a>,
}

/// The data key in the answer to a `Decrypt`.
pub(super) fn key(body: &[u8]) -> Result<UnwrappedKey, KmsError> {
    // serde's messages quote what they did not expect, so none of them is passed on.
    let nonsense = |what: &str| KmsError::new(Failure::Nonsense, what);
    let output: DecryptOutput<'_> =
        serde_json::from_slice(body).map_err(|_| nonsense("the answer has no KeyId and Plaintext"))?;
    let key = output.plaintext.data_key()?;
    Ok(UnwrappedKey { key, key_id: output.key_id.into_owned() })
}

#[derive(Default, Deserialize)]
struct ErrorOutput {
    #[serde(rename = "__type", default)]
    kind: String,
    #[serde(rename = "message", alias = "Message", default)]
    message: String,
}

/// The failure in an answer that is no 200.
pub(super) fn refusal(answer: &Answer) -> KmsError {
    let output: ErrorOutput = serde_json::from_slice(&answer.body).unwrap_or_default();
    let header = answer.headers.get("x-amzn-errortype").and_then(|value| value.to_str().ok());
    // `com.amazonaws.kms#NotFoundException` in the body, `NotFoundException:http://...` in the header.
    let named = if output.kind.is_empty() { header.unwrap_or_default() } else { &output.kind };
    let code = named.split(':').next().unwrap_or_default().rsplit('#').next().unwrap_or_default();
    let failure = classify(code, answer.status);
    let detail = if output.message.is_empty() { format!("HTTP {}", answer.status.as_u16()) } else { output.message };
    KmsError::new(failure, &detail).code(code)
}

/// Codes: <https://docs.aws.amazon.com/kms/latest/APIReference/API_Decrypt.html#API_Decrypt_Errors> and `CommonErrors.html`
/// beside it; what is in neither goes by its status.
fn classify(code: &str, status: StatusCode) -> Failure {
    match code {
        "AccessDeniedException" | "AccessDenied" | "NotAuthorized" | "OptInRequired" => Failure::Denied,
        "NotFoundException" => Failure::NotFound,
        "DisabledException" | "KMSInvalidStateException" | "InvalidKeyUsageException" => Failure::Unusable,
        "InvalidCiphertextException" | "IncorrectKeyException" | "ValidationException" | "ValidationError" => {
            Failure::Invalid
        }
        "UnrecognizedClientException"
        | "InvalidClientTokenId"
        | "InvalidSignatureException"
        | "SignatureDoesNotMatch"
        | "IncompleteSignature"
        | "IncompleteSignatureException"
        | "MissingAuthenticationToken"
        | "MissingAuthenticationTokenException"
        | "ExpiredToken"
        | "ExpiredTokenException"
        | "RequestExpired" => Failure::BadCredentials,
        "ThrottlingException"
        | "Throttling"
        | "LimitExceededException"
        | "RequestLimitExceeded"
        | "TooManyRequestsException" => Failure::Throttled,
        "KMSInternalException"
        | "DependencyTimeoutException"
        | "KeyUnavailableException"
        | "InternalFailure"
        | "ServiceUnavailable" => Failure::Unreachable,
        _ if status == StatusCode::TOO_MANY_REQUESTS => Failure::Throttled,
        _ if status.is_server_error() => Failure::Unreachable,
        _ if matches!(status, StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED) => Failure::Denied,
        _ if status.is_client_error() => Failure::Invalid,
        _ => Failure::Nonsense,
    }
}

#[cfg(test)]
mod tests {
    use base64::{Engine, prelude::BASE64_STANDARD};
    use http::HeaderMap;
    use proptest::prelude::*;
    use zeroize::Zeroizing;

    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        Answer {
            status: StatusCode::from_u16(status).unwrap(),
            headers: HeaderMap::new(),
            body: Zeroizing::new(body.as_bytes().to_vec()),
        }
    }

    #[test]
    fn reads_the_key_with_and_without_escapes() {
        let base64 = "////////////////////////////////////////////";
        let base64 = &base64[..43];
        for plaintext in [format!("{base64}="), format!("{base64}=").replace('/', "\\/")] {
            let body =
                format!(r#"{{"KeyId":"k","Plaintext":"{plaintext}","EncryptionAlgorithm":"SYMMETRIC_DEFAULT"}}"#);
            // The last group's spare bits are set: not canonical, so refused either way; the canonical one follows.
            assert!(key(body.as_bytes()).is_err());
        }
        let base64 = BASE64_STANDARD.encode([0xff_u8; 32]);
        for plaintext in [base64.clone(), base64.replace('/', "\\/")] {
            let body = format!(r#"{{"KeyId":"k","Plaintext":"{plaintext}"}}"#);
            assert_eq!(key(body.as_bytes()).ok().unwrap().key_id, "k");
        }
    }

    #[test]
    fn other_lengths_and_shapes_are_nonsense() {
        let sized = |n: usize| format!(r#"{{"KeyId":"k","Plaintext":"{}"}}"#, BASE64_STANDARD.encode(vec![7_u8; n]));
        for body in
            [sized(0), sized(16), sized(31), sized(33), sized(48), sized(4096), "{}".into(), "[]".into(), "".into()]
        {
            let error = key(body.as_bytes()).err().unwrap();
            assert_eq!(error.failure(), Failure::Nonsense, "{body:.80}");
        }
    }

    #[test]
    fn codes_come_from_body_or_header() {
        let told = |error: KmsError| error.into_error("main", "k", std::time::Duration::ZERO);
        let error =
            refusal(&answer(400, r#"{"__type":"com.amazonaws.kms#DisabledException","message":"key is disabled."}"#));
        assert_eq!(error.failure(), Failure::Unusable);
        let error = told(error);
        assert_eq!((error.status().as_u16(), error.short_code()), (409, Some("DisabledException")));
        assert!(error.message().contains("key is disabled."), "{error}");

        let mut other = answer(400, "<html>");
        other.headers.insert("x-amzn-errortype", "NotFoundException:http://internal/coral".parse().unwrap());
        let error = refusal(&other);
        assert_eq!(error.failure(), Failure::NotFound);
        assert_eq!(told(error).short_code(), Some("NotFoundException"));
    }

    #[test]
    fn unknown_codes_go_by_their_status() {
        let class = |status| refusal(&answer(status, r#"{"__type":"Whatever"}"#)).failure();
        assert_eq!(class(429), Failure::Throttled);
        assert_eq!(class(500), Failure::Unreachable);
        assert_eq!(class(503), Failure::Unreachable);
        assert_eq!(class(403), Failure::Denied);
        assert_eq!(class(400), Failure::Invalid);
        assert_eq!(class(302), Failure::Nonsense);
    }

    proptest! {
        #[test]
        fn any_answer_is_survived(status in 100_u16..600, body in any::<Vec<u8>>()) {
            let mut any = answer(status, "");
            any.body = Zeroizing::new(body.clone());
            let _ = refusal(&any);
            prop_assert!(key(&body).is_err());
        }
    }
}
