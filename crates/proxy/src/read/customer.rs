//! The SSE-C key that a request brings.
//!
//! Knows the three headers and the answers that the S3 gateway gives for them. Must not know whether the object needs them.

use std::sync::Arc;

use crypto::{CustomerKeyError, DataKey, parse_customer_key};
use http::{HeaderMap, HeaderName, StatusCode};

use crate::{Blame, Error, Result, wire::Peer};

const ALGORITHM: HeaderName = HeaderName::from_static(HEADERS[0]);
const KEY: HeaderName = HeaderName::from_static(HEADERS[1]);
const KEY_MD5: HeaderName = HeaderName::from_static(HEADERS[2]);
/// The names of all three.
pub(super) const HEADERS: [&str; 3] = [
    "x-amz-server-side-encryption-customer-algorithm",
    "x-amz-server-side-encryption-customer-key",
    "x-amz-server-side-encryption-customer-key-md5",
];

/// Refuses a key that came over a wire where others can read it: plain HTTP from another host than this one.
///
/// # Errors
/// 400 if there is any of the three headers and `over_http` is not allowed.
pub(super) fn check_transport(headers: &HeaderMap, peer: &Peer, over_http: bool) -> Result<()> {
    let has_key = [ALGORITHM, KEY, KEY_MD5].iter().any(|name| headers.contains_key(name));
    if !has_key || over_http || peer.tls.is_some() || peer.is_loopback() {
        return Ok(());
    }
    let message = "a customer key (SSE-C) came over plain HTTP from another host, where anybody on the way can read it; use \
                   TLS in front of tidegate on this host, or set access.ssec_over_http = true";
    Err(Error::new(Blame::Client, StatusCode::BAD_REQUEST, message).code("InvalidRequest"))
}

/// The key of the request.
///
/// # Errors
/// 400 `InvalidArgument` if a header is missing or wrong in itself, as the gateway answers.
pub(super) fn key(headers: &HeaderMap) -> Result<Arc<DataKey>> {
    let [algorithm, key, md5] = [text(headers, &ALGORITHM)?, text(headers, &KEY)?, text(headers, &KEY_MD5)?];
    let (Some(algorithm), Some(key), Some(md5)) = (algorithm, key, md5) else {
        let absent = [(ALGORITHM, algorithm), (KEY, key), (KEY_MD5, md5)];
        let absent: Vec<_> =
            absent.iter().filter(|(_, value)| value.is_none()).map(|(name, _)| name.as_str()).collect();
        return Err(invalid(format!(
            "the object is encrypted with a customer key (SSE-C), which the request must bring; missing: {}",
            absent.join(", ")
        )));
    };
    match parse_customer_key(algorithm, key, md5) {
        Ok((key, _)) => Ok(Arc::new(key)),
        Err(error) => Err(invalid(match error {
            CustomerKeyError::Algorithm => format!("{ALGORITHM} must be AES256"),
            CustomerKeyError::KeyEncoding => format!("{KEY} is not base64"),
            CustomerKeyError::KeyLength => format!("{KEY} is not the base64 of 32 bytes"),
            CustomerKeyError::Md5Mismatch => format!("{KEY_MD5} is not the base64 of the MD5 of the key"),
        })),
    }
}

/// The answer to a key that is well-formed, but not the object's.
pub(super) fn wrong_key() -> Error {
    let message = "the customer key (SSE-C) is not the one that the object was written with";
    Error::new(Blame::Client, StatusCode::FORBIDDEN, message).code("AccessDenied")
}

fn text<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h str>> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    let text = value.to_str().map_err(|_| invalid(format!("{name} is not plain text")))?;
    Ok((!text.is_empty()).then_some(text))
}

fn invalid(message: String) -> Error {
    Error::new(Blame::Client, StatusCode::BAD_REQUEST, message).code("InvalidArgument")
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    // The key 0x00..0x1f and its MD5.
    const GOOD_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    const GOOD_MD5: &str = "tP+Zh3+PY3GSGZPe6HoRmQ==";

    fn headers(values: [Option<&'static str>; 3]) -> HeaderMap {
        let named = [ALGORITHM, KEY, KEY_MD5].into_iter().zip(values);
        named.filter_map(|(name, value)| Some((name, HeaderValue::from_static(value?)))).collect()
    }

    #[test]
    fn each_header_is_needed_and_checked_and_never_repeated_in_the_answer() {
        let refused = |values| {
            let error = key(&headers(values)).err().unwrap();
            assert_eq!((error.status(), error.short_code()), (StatusCode::BAD_REQUEST, Some("InvalidArgument")));
            assert!(!error.message().contains("AAEC"), "{error}");
            error.message().to_owned()
        };
        assert!(
            refused([None, None, None]).contains("customer-algorithm, x-amz-server-side-encryption-customer-key, ")
        );
        assert!(refused([Some("AES256"), Some(GOOD_KEY), None]).ends_with("customer-key-md5"));
        assert!(refused([None, Some(GOOD_KEY), Some(GOOD_MD5)]).ends_with("customer-algorithm"));
        assert!(refused([Some("AES128"), Some(GOOD_KEY), Some(GOOD_MD5)]).ends_with("must be AES256"));
        assert!(refused([Some("AES256"), Some("AAEC!"), Some(GOOD_MD5)]).ends_with("not base64"));
        assert!(refused([Some("AES256"), Some("AAEC"), Some(GOOD_MD5)]).ends_with("32 bytes"));
        assert!(refused([Some("AES256"), Some(GOOD_KEY), Some("AAEC")]).ends_with("of the key"));
    }

    #[test]
    fn a_key_over_plain_http_is_for_this_host_only_unless_allowed() {
        let far = Peer::plain("192.0.2.7:99".parse().unwrap());
        let near = Peer::plain("[::1]:99".parse().unwrap());
        let with_key = headers([None, Some(GOOD_KEY), None]);
        assert!(check_transport(&with_key, &near, false).is_ok());
        assert!(check_transport(&with_key, &far, true).is_ok());
        assert!(check_transport(&HeaderMap::new(), &far, false).is_ok());
        let error = check_transport(&with_key, &far, false).unwrap_err();
        assert_eq!(error.status(), StatusCode::BAD_REQUEST);
        assert!(error.message().contains("access.ssec_over_http"));
    }
}
