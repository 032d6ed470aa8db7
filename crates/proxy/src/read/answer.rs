//! The answers of the front, put together from what the stages found.

use std::ops::Range;

use crypto::Echo;
use http::{
    HeaderMap, HeaderName, HeaderValue, Response, StatusCode,
    header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, ORIGIN, SERVER},
    request::Parts,
};

use crate::{
    entry::{ContentTypes, headers},
    filer::pb,
    plan::range,
    server::{Body, SERVER as NAME},
};

/// The headers of a file, with what the S3 gateway tells about its encryption.
pub(super) fn of_file(entry: &pb::Entry, request: &Parts, types: &ContentTypes, echo: &Echo) -> HeaderMap {
    let mut headers = HeaderMap::new();
    add_cors(&mut headers, &request.headers);
    for (name, value) in headers::of_file(entry, request.uri.query().unwrap_or(""), types) {
        headers.extend(name.map(|name| (name, value)));
    }
    for (name, value) in echo.pairs() {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            headers.insert(name, value);
        }
    }
    headers
}

/// What the filer adds for a request from a script in a browser.
pub(super) fn add_cors(headers: &mut HeaderMap, request: &HeaderMap) {
    if let Some(cors) = request.get(ORIGIN).and_then(|origin| headers::of_cors(origin, &[])) {
        headers.extend(cors);
    }
}

/// Adds length and, for a part, its range; gives the status.
pub(super) fn add_length(
    headers: &mut HeaderMap,
    part: Option<&Range<u64>>,
    bytes: &Range<u64>,
    size: u64,
) -> StatusCode {
    headers.insert(CONTENT_LENGTH, HeaderValue::from(bytes.end - bytes.start));
    let Some(part) = part else { return StatusCode::OK };
    insert_text(headers, CONTENT_RANGE, range::content_range(part, size));
    StatusCode::PARTIAL_CONTENT
}

/// An answer with a body.
pub(super) fn with_body(status: StatusCode, headers: HeaderMap, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response.headers_mut().insert(SERVER, NAME);
    response
}

/// The answer to a HEAD: always of the whole file, as the filer has it.
pub(super) fn head(mut headers: HeaderMap, size: u64) -> Response<Body> {
    headers.insert(CONTENT_LENGTH, HeaderValue::from(size));
    with_body(StatusCode::OK, headers, Body::empty())
}

/// 304 or 412.
pub(super) fn bare(status: StatusCode, entry: &pb::Entry, request: &HeaderMap) -> Response<Body> {
    let mut headers = headers::of_validators(entry);
    if status == StatusCode::PRECONDITION_FAILED {
        headers.remove(ETAG);
    }
    add_cors(&mut headers, request);
    with_body(status, headers, Body::empty())
}

/// 416; with the size where the range was understood.
pub(super) fn unsatisfiable(entry: &pb::Entry, size: Option<u64>, request: &HeaderMap) -> Response<Body> {
    let mut headers = headers::of_validators(entry);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    let text = match size {
        Some(size) => {
            insert_text(&mut headers, CONTENT_RANGE, range::unsatisfied(size));
            range::UNSATISFIABLE_BODY
        }
        None => range::MALFORMED_BODY,
    };
    add_cors(&mut headers, request);
    headers.insert(CONTENT_LENGTH, HeaderValue::from(text.len()));
    with_body(StatusCode::RANGE_NOT_SATISFIABLE, headers, Body::full(text))
}

/// 404, which the filer gives without a body.
pub(super) fn not_found(request: &HeaderMap) -> Response<Body> {
    let mut headers = HeaderMap::new();
    add_cors(&mut headers, request);
    headers.insert(CONTENT_LENGTH, HeaderValue::from(0));
    with_body(StatusCode::NOT_FOUND, headers, Body::empty())
}

fn insert_text(headers: &mut HeaderMap, name: HeaderName, text: String) {
    if let Ok(value) = HeaderValue::try_from(text) {
        headers.insert(name, value);
    }
}
