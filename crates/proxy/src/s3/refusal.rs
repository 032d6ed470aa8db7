//! Our own errors as S3 writes them.

use http::{
    HeaderValue, Method, Response, StatusCode,
    header::{CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, SERVER},
};

use crate::{
    Error,
    wire::{self, Body, Refusal, RequestId},
};

/// The answer that says `error` of a request for `resource`.
pub(super) fn of(error: &Error, method: &Method, resource: &str, id: &RequestId) -> Response<Body> {
    let xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{}</Code><Message>{}</Message><Resource>{}</Resource><RequestId>{id}</RequestId></Error>",
        code(error),
        escaped(&wire::shown(error, id)),
        escaped(resource),
    );
    let mut response = Response::new(Body::empty());
    *response.status_mut() = error.status();
    let headers = response.headers_mut();
    headers.insert(SERVER, wire::SERVER);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(xml.len()));
    if let Some(delay) = error.delay() {
        headers.insert(RETRY_AFTER, HeaderValue::from(wire::whole_seconds(delay)));
    }
    id.name(headers);
    if *method != Method::HEAD {
        *response.body_mut() = Body::full(xml);
    }
    response.extensions_mut().insert(Refusal(error.clone()));
    response
}

/// That the client asks too much. Others stand for what is our fault, or the cluster's.
const SLOW_DOWN: &str = "SlowDown";

/// What S3 calls it; clients decide by it whether to try again.
fn code(error: &Error) -> &'static str {
    match error.status() {
        _ if error.short_code() == Some(SLOW_DOWN) => SLOW_DOWN,
        StatusCode::BAD_REQUEST => "InvalidRequest",
        StatusCode::FORBIDDEN => "AccessDenied",
        StatusCode::METHOD_NOT_ALLOWED => "MethodNotAllowed",
        StatusCode::REQUEST_TIMEOUT => "RequestTimeout",
        StatusCode::TOO_MANY_REQUESTS => SLOW_DOWN,
        StatusCode::NOT_IMPLEMENTED => "NotImplemented",
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => "ServiceUnavailable",
        _ => "InternalError",
    }
}

fn escaped(text: &str) -> String {
    let mut xml = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => xml.push_str("&amp;"),
            '<' => xml.push_str("&lt;"),
            '>' => xml.push_str("&gt;"),
            c if c.is_control() => xml.push(' '),
            c => xml.push(c),
        }
    }
    xml
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http_body_util::BodyExt as _;

    use super::*;
    use crate::Blame;

    #[tokio::test]
    async fn an_error_is_an_xml_document_of_s3() {
        let error = Error::new(Blame::Gateway, StatusCode::SERVICE_UNAVAILABLE, "a <b> & c")
            .retry_after(Duration::from_secs(2));
        let id = RequestId::new();
        let answer = of(&error, &Method::GET, "/bucket/<k>", &id);
        assert_eq!(
            (answer.status(), &answer.headers()[RETRY_AFTER]),
            (StatusCode::SERVICE_UNAVAILABLE, &HeaderValue::from(2))
        );
        assert_eq!(answer.headers()["x-amz-request-id"], id.to_string());
        let length: usize = answer.headers()[CONTENT_LENGTH].to_str().unwrap().parse().unwrap();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body.len(), length);
        let text = String::from_utf8(body.to_vec()).unwrap();
        assert!(text.contains("<Code>ServiceUnavailable</Code><Message>a &lt;b&gt; &amp; c</Message>"), "{text}");
        assert!(text.contains("<Resource>/bucket/&lt;k&gt;</Resource>"), "{text}");
        let head = of(&error, &Method::HEAD, "/bucket/k", &id).into_body();
        assert!(head.collect().await.unwrap().to_bytes().is_empty());
    }
}
