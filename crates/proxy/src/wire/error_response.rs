//! How an error is written to a client of the filer front.
//!
//! Knows the filer's error format, a JSON object with `error` (`writeJsonError` in `weed/server/common.go` @4.48). Must not know
//! what failed.

use std::{borrow::Cow, time::Duration};

use http::{
    HeaderValue, Method, Response, StatusCode,
    header::{self, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS},
};
use serde::Serialize;

use super::{Body, RequestId, public::public};
use crate::Error;

/// The `Server` header of answers that are our own and not the filer's.
pub const SERVER: HeaderValue = HeaderValue::from_static(concat!("tidegate/", env!("CARGO_PKG_VERSION")));

#[derive(Serialize)]
struct ErrorBody<'a> {
    error: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'a str>,
    blame: &'a str,
    retry: bool,
}

/// Why an answer is a refusal. Goes with the answer as an extension, for whoever keeps the log.
#[derive(Clone)]
pub struct Refusal(pub Error);

/// Writes `error` as the filer writes its own: `{"error":"…"}`, to which `code` (where there is one), `blame` and
/// `retry` are added. `Retry-After` is in whole seconds, at least 1. The answer to a HEAD has the same headers and no
/// body.
///
/// What is the operator's business stays out of it, and is found in the log under `id`.
pub fn error_response(error: &Error, method: &Method, id: &RequestId) -> Response<Body> {
    let message = shown(error, id);
    let written = ErrorBody {
        error: &message,
        code: error.short_code(),
        blame: error.blame().as_str(),
        retry: error.delay().is_some(),
    };
    let mut response = write(&written, error.status(), method);
    id.name(response.headers_mut());
    response.extensions_mut().insert(Refusal(error.clone()));
    if let Some(delay) = error.delay() {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(whole_seconds(delay)));
    }
    response
}

/// The sentence that clients are shown of `error`.
pub(crate) fn shown<'e>(error: &'e Error, id: &RequestId) -> Cow<'e, str> {
    let message = public(error.public());
    match message == error.message() {
        true => message,
        false => format!("{message} (request {id} in tidegate's log)").into(),
    }
}

fn write(written: &ErrorBody<'_>, status: StatusCode, method: &Method) -> Response<Body> {
    let json = serde_json::to_vec(written).expect("an object of strings and a bool is always JSON");
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::SERVER, SERVER);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(json.len()));
    if *method != Method::HEAD {
        *response.body_mut() = Body::full(json);
    }
    response
}

/// Rounds up: a client that comes back early meets the same error.
pub(crate) fn whole_seconds(delay: Duration) -> u64 {
    delay.as_secs().saturating_add(u64::from(delay.subsec_nanos() > 0)).max(1)
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;
    use crate::Blame;

    async fn body(response: Response<Body>) -> String {
        String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
    }

    #[tokio::test]
    async fn says_what_the_filer_says_and_more() {
        let error =
            Error::new(Blame::Client, StatusCode::BAD_REQUEST, "the key's \"MD5\" is wrong").code("InvalidArgument");
        let response = error_response(&error, &Method::GET, &RequestId::new());
        assert_eq!(response.status(), 400);
        assert_eq!(response.headers()["content-type"], "application/json");
        assert_eq!(response.headers()["x-content-type-options"], "nosniff");
        assert!(response.headers()["server"].to_str().unwrap().starts_with("tidegate/"));
        assert!(!response.headers().contains_key("retry-after"));
        let length: usize = response.headers()["content-length"].to_str().unwrap().parse().unwrap();
        let body = body(response).await;
        assert_eq!(body.len(), length);
        assert_eq!(
            body,
            r#"{"error":"the key's \"MD5\" is wrong","code":"InvalidArgument","blame":"client","retry":false}"#
        );
    }

    #[tokio::test]
    async fn a_retry_is_promised_in_whole_seconds() {
        for (delay, seconds) in [(0, "1"), (300, "1"), (1000, "1"), (1001, "2"), (30_000, "30")] {
            let error = Error::new(Blame::Filer, StatusCode::SERVICE_UNAVAILABLE, "down")
                .retry_after(Duration::from_millis(delay));
            let response = error_response(&error, &Method::GET, &RequestId::new());
            assert_eq!(response.headers()["retry-after"], seconds, "{delay} ms");
            assert_eq!(body(response).await, r#"{"error":"down","blame":"filer","retry":true}"#);
        }
    }

    #[tokio::test]
    async fn what_is_for_the_log_is_there_under_the_id_that_the_client_gets() {
        let id = RequestId::new();
        let full = "needle 3,01637037d6: volume server 127.0.0.1:8080 does not have the needle (404)";
        let error = Error::new(Blame::Volume, StatusCode::BAD_GATEWAY, full);
        let response = error_response(&error, &Method::GET, &id);
        assert_eq!(response.headers()["x-amz-request-id"], id.to_string());
        let told = format!("needle …: volume server … does not have the needle (404) (request {id} in tidegate's log)");
        assert!(body(response).await.contains(&told));
        let error = error.publicly("it cannot be read");
        let told = body(error_response(&error, &Method::GET, &id)).await;
        assert!(told.contains(&format!("it cannot be read (request {id} in tidegate's log)")), "{told}");
        assert_eq!(error.to_string(), full);
    }

    #[tokio::test]
    async fn a_head_gets_the_headers_only() {
        let error = Error::new(Blame::Kms, StatusCode::FORBIDDEN, "no");
        let response = error_response(&error, &Method::HEAD, &RequestId::new());
        assert_eq!(response.headers()["content-length"], "42");
        assert_eq!(body(response).await, "");
    }
}
