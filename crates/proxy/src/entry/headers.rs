//! The headers of a file as the filer gives them, short of `Content-Length` and `Content-Range`.
//!
//! Sources: `weed/server/filer_server_handlers_read.go` @4.48 and `common.go`, `weed/s3api/s3_constants/header.go` @4.48; checked
//! against the running filer. Attributes that SeaweedFS keeps for itself, wrapped keys and IVs among them, never
//! become headers.

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{
        ACCEPT_RANGES, ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
        ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, CACHE_CONTROL, CONNECTION, CONTENT_DISPOSITION,
        CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, EXPIRES, LAST_MODIFIED,
        TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
    },
};

use super::{ContentTypes, disposition::content_disposition, query};
use crate::pb;

/// Attributes with these prefixes stay inside: the first are a file system's, the second SeaweedFS's own, in any case.
const FILE_SYSTEM_PREFIX: &str = "xattr-";
const INTERNAL_PREFIX: &str = "x-seaweedfs-";

/// Attributes that would contradict how the answer is framed, or name another request. The filer overwrites the first, and
/// breaks with most of the others.
const FRAMING: [HeaderName; 8] = [
    CONTENT_LENGTH,
    CONTENT_RANGE,
    CONNECTION,
    TRANSFER_ENCODING,
    TRAILER,
    TE,
    UPGRADE,
    HeaderName::from_static("x-amz-request-id"),
];

/// The query parameters that replace a header, by their lower-case names.
const OVERRIDES: [(&str, HeaderName); 6] = [
    ("response-cache-control", CACHE_CONTROL),
    ("response-content-disposition", CONTENT_DISPOSITION),
    ("response-content-encoding", CONTENT_ENCODING),
    ("response-content-language", CONTENT_LANGUAGE),
    ("response-content-type", CONTENT_TYPE),
    ("response-expires", EXPIRES),
];

/// The headers of a file for a GET or HEAD with that query (without the `?`). Holds what every answer that carries
/// the file or a part of it needs, except its length, range, server and request id.
pub fn of_file(entry: &pb::Entry, query: &str, types: &ContentTypes) -> HeaderMap {
    let mut headers = of_validators(entry);
    let etag = headers.remove(ETAG);
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(CONTENT_TYPE, content_type(entry, types));
    add_attributes(&mut headers, entry);
    let exposed = exposed(&headers);
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
    // Set after the attributes, so that none of them can stand in for it.
    headers.remove(ETAG);
    headers.extend(etag.map(|etag| (ETAG, etag)));
    add_overrides(&mut headers, query);
    if headers.get(CONTENT_DISPOSITION).is_none_or(HeaderValue::is_empty) {
        let disposition = content_disposition(wants_attachment(query), &entry.name);
        headers.insert(CONTENT_DISPOSITION, value(disposition.as_bytes()));
    }
    headers
}

/// The media type of the file itself, whatever an attribute or the query would have the header say.
pub fn content_type(entry: &pb::Entry, types: &ContentTypes) -> HeaderValue {
    let recorded = entry.attributes.as_ref().map_or("", |attributes| &attributes.mime);
    value(if recorded.is_empty() { types.of(&entry.name) } else { recorded }.as_bytes())
}

/// `ETag` and `Last-Modified` only: all that a 304 carries. A 412 carries `Last-Modified`.
pub fn of_validators(entry: &pb::Entry) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if let Some(etag) = entry.etag() {
        let quoted = if etag.starts_with('"') { etag } else { format!("\"{etag}\"") };
        headers.insert(ETAG, value(quoted.as_bytes()));
    }
    if let Some(modified) = entry.modified() {
        headers.insert(LAST_MODIFIED, value(httpdate::fmt_http_date(modified).as_bytes()));
    }
    headers
}

/// The CORS headers that the filer adds to every answer for a request with an `Origin`; `None`: the origin is refused
/// with 403. `allowed` is the filer's `-allowedOrigins`; empty or beginning with `*` allows all. For a file,
/// [`of_file`]'s `Access-Control-Expose-Headers` replaces the one given here.
pub fn of_cors(origin: &HeaderValue, allowed: &[String]) -> Option<HeaderMap> {
    let allow = match allowed.first().map(String::as_str) {
        None | Some("*") => HeaderValue::from_static("*"),
        Some(_) if allowed.iter().any(|known| known.as_bytes() == origin.as_bytes()) => origin.clone(),
        Some(_) => return None,
    };
    Some(HeaderMap::from_iter([
        (ACCESS_CONTROL_ALLOW_ORIGIN, allow),
        (ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("*")),
        (ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("*")),
        (ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true")),
        (ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("PUT, POST, GET, DELETE, OPTIONS")),
    ]))
}

/// The `Server` header of a filer that reports this version (`8000GB 4.48 abc`: the last word is its build).
pub fn of_server(version: &str) -> HeaderValue {
    let words: Vec<_> = std::iter::once("SeaweedFS").chain(version.split_whitespace().take(2)).collect();
    value(words.join(" ").as_bytes())
}

/// A header map panics at 24,576 names, and no client takes that many.
const MOST_ATTRIBUTES: usize = 16_384;

/// Adds what was stored with the file, short of what is SeaweedFS's own.
pub(crate) fn add_attributes(headers: &mut HeaderMap, entry: &pb::Entry) {
    for (key, attribute) in entry.extended.iter().filter(|(key, _)| may_leave(key)).take(MOST_ATTRIBUTES) {
        // A key that is no header name can't be sent; the filer drops it too.
        if let Ok(name) = HeaderName::from_bytes(key.as_bytes())
            && !FRAMING.contains(&name)
        {
            headers.insert(name, value(attribute));
        }
    }
}

fn may_leave(key: &str) -> bool {
    let is_internal = key.get(..INTERNAL_PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(INTERNAL_PREFIX));
    !key.starts_with(FILE_SYSTEM_PREFIX) && !is_internal
}

/// The names that scripts in a browser may read: SeaweedFS's own and `Content-Disposition`. The filer lists them in no
/// particular order; ours is alphabetic.
fn exposed(headers: &HeaderMap) -> HeaderValue {
    let mut names: Vec<_> = headers
        .keys()
        .filter(|name| name.as_str().starts_with("seaweed-"))
        .map(|name| canonical(name.as_str()))
        .collect();
    names.sort_unstable();
    names.push("Content-Disposition".to_owned());
    value(names.join(",").as_bytes())
}

/// A header's name with capitals after hyphens, as Go writes it.
fn canonical(name: &str) -> String {
    let mut after_hyphen = true;
    let capitalize = |c: char| {
        let c = if after_hyphen { c.to_ascii_uppercase() } else { c };
        after_hyphen = c == '-';
        c
    };
    name.chars().map(capitalize).collect()
}

fn add_overrides(headers: &mut HeaderMap, query: &str) {
    for (header, replacement) in overrides(query) {
        headers.insert(header, value(&replacement));
    }
}

/// The first value of each override; later ones of the same name are ignored.
fn overrides(query: &str) -> Vec<(HeaderName, Vec<u8>)> {
    let mut found: Vec<(HeaderName, Vec<u8>)> = Vec::new();
    for (parameter, replacement) in query::pairs(query) {
        let header = OVERRIDES.iter().find(|(name, _)| parameter.eq_ignore_ascii_case(name.as_bytes()));
        if let Some((_, header)) = header
            && found.iter().all(|(known, _)| known != header)
        {
            found.push((header.clone(), replacement));
        }
    }
    found
}

/// Whether `dl` is true, as Go's `strconv.ParseBool` reads it.
fn wants_attachment(query: &str) -> bool {
    query::first(query, "dl")
        .is_some_and(|value| matches!(value.as_slice(), b"1" | b"t" | b"T" | b"true" | b"TRUE" | b"True"))
}

/// Bytes as a header's value: trimmed, with a space for what must not stand there. Go does so for line breaks; other
/// control characters it sends as they are, which no HTTP/1.1 parser has to take.
pub(crate) fn value(bytes: &[u8]) -> HeaderValue {
    let clean: Vec<u8> = bytes.iter().map(|&b| if b == b'\t' || (b >= b' ' && b != 0x7f) { b } else { b' ' }).collect();
    HeaderValue::from_bytes(clean.trim_ascii()).expect("control characters were replaced just now")
}

#[cfg(test)]
mod tests;
