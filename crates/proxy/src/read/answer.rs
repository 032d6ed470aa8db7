//! The answers of the front, put together from what the stages found.

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode,
    header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, SERVER, X_CONTENT_TYPE_OPTIONS},
    request::Parts,
};

use super::{
    AllowedOrigins,
    lookup::{self, File},
};
use crate::{
    entry::{ContentTypes, headers},
    pb,
    plan::{
        parts::{self, Extent, Section},
        range,
    },
    wire::{Body, SERVER as NAME},
};

/// The headers of a file, with what the S3 gateway tells about its encryption.
pub(super) fn of_file(
    file: &File,
    entry: &pb::Entry,
    request: &Parts,
    types: &ContentTypes,
    origins: &AllowedOrigins,
) -> HeaderMap {
    let of_file = match request.uri.query() {
        None | Some("") => file.headers.clone(),
        Some(query) => {
            let mut headers = headers::of_file(entry, query, types);
            lookup::add_echo(&mut headers, &file.layout);
            headers
        }
    };
    let mut headers = HeaderMap::new();
    origins.add(&mut headers, &request.headers);
    if headers.is_empty() {
        return of_file;
    }
    for (name, value) in of_file {
        if let Some(name) = name {
            headers.insert(name, value);
        }
    }
    headers
}

/// Adds length, and range or parts; gives the status, and what the body is made of.
pub(super) fn add_extent(
    headers: &mut HeaderMap,
    entry: &pb::Entry,
    extent: &Extent,
    size: u64,
    types: &ContentTypes,
) -> (StatusCode, Vec<Section>) {
    let (status, sections) = match extent {
        Extent::Whole => (StatusCode::OK, vec![Section::File(0..size)]),
        Extent::Part(part) => {
            insert_text(headers, CONTENT_RANGE, range::content_range(part, size));
            (StatusCode::PARTIAL_CONTENT, vec![Section::File(part.clone())])
        }
        Extent::Parts(ranges) => {
            let boundary = parts::boundary();
            insert_text(headers, CONTENT_TYPE, format!("multipart/byteranges; boundary={boundary}"));
            let media_type = headers::content_type(entry, types);
            let media_type = media_type.to_str().unwrap_or("application/octet-stream");
            (StatusCode::PARTIAL_CONTENT, parts::lay_out(ranges, size, media_type, &boundary))
        }
    };
    headers.insert(CONTENT_LENGTH, HeaderValue::from(sections.iter().map(Section::len).sum::<u64>()));
    (status, sections)
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
pub(super) fn bare(
    status: StatusCode,
    entry: &pb::Entry,
    request: &HeaderMap,
    origins: &AllowedOrigins,
) -> Response<Body> {
    let mut headers = headers::of_validators(entry);
    if status == StatusCode::PRECONDITION_FAILED {
        headers.remove(ETAG);
    }
    origins.add(&mut headers, request);
    with_body(status, headers, Body::empty())
}

/// 416, with all that the file's headers say; with the size where the range was understood.
pub(super) fn unsatisfiable(mut headers: HeaderMap, size: Option<u64>) -> Response<Body> {
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let text = match size {
        Some(size) => {
            insert_text(&mut headers, CONTENT_RANGE, range::unsatisfied(size));
            range::UNSATISFIABLE_BODY
        }
        None => range::MALFORMED_BODY,
    };
    headers.insert(CONTENT_LENGTH, HeaderValue::from(text.len()));
    with_body(StatusCode::RANGE_NOT_SATISFIABLE, headers, Body::full(text))
}

/// 404, which the filer gives without a body.
pub(super) fn not_found(request: &Parts, origins: &AllowedOrigins) -> Response<Body> {
    let mut headers = HeaderMap::new();
    origins.add(&mut headers, &request.headers);
    if request.method != Method::HEAD {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(0));
    }
    with_body(StatusCode::NOT_FOUND, headers, Body::empty())
}

fn insert_text(headers: &mut HeaderMap, name: HeaderName, text: String) {
    if let Ok(value) = HeaderValue::try_from(text) {
        headers.insert(name, value);
    }
}
