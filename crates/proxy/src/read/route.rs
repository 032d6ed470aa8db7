//! Which requests are reads of ours, by what stands in the request alone.
//!
//! What is left to the filer here, the filer must not answer with a file's bytes: of an encrypted file it would send the
//! ciphertext. So path and query are read exactly as the filer reads them, and its answer is looked at ([`Left`]).

use http::{Method, StatusCode, request::Parts};

use super::left::Left;
use crate::{
    Blame, Error, Result,
    entry::{EntryPath, EntryPathError, Fid, query},
};

/// The path that the request reads.
///
/// `?proxyChunkId=` counts only at the root, which is no file; `?tagging` only for PUT and DELETE.
///
/// # Errors
/// What is left to the filer.
pub(super) fn read_of(request: &Parts) -> std::result::Result<EntryPath, Left> {
    if request.method != Method::GET && request.method != Method::HEAD {
        return Err(Left::Anything);
    }
    if query::first(request.uri.query().unwrap_or(""), "metadata").is_some_and(|value| value == b"true") {
        return Err(Left::Anything);
    }
    EntryPath::parse(request.uri.path()).map_err(|why| match why {
        EntryPathError::Root => Left::Anything,
        EntryPathError::Reserved | EntryPathError::Odd => Left::NoFile,
    })
}

/// Refuses a query that the filer would not read, whatever the request is: older filers would.
///
/// # Errors
/// 400 for more than 10,000 parameters.
pub(super) fn check_query(request: &Parts) -> Result<()> {
    match request.uri.query().is_some_and(query::is_too_long) {
        true => Err(Error::new(Blame::Client, StatusCode::BAD_REQUEST, "more than 10,000 parameters in the query")),
        false => Ok(()),
    }
}

/// Refuses what is no chunk's id before it becomes part of an address.
///
/// # Errors
/// 400 for a `proxyChunkId` that is not one.
pub(super) fn check_chunk(request: &Parts) -> Result<()> {
    let Some(id) = chunk_id(request) else { return Ok(()) };
    match std::str::from_utf8(&id).ok().and_then(|id| id.parse::<Fid>().ok()) {
        Some(_) => Ok(()),
        None => Err(Error::new(Blame::Client, StatusCode::BAD_REQUEST, "proxyChunkId is not a chunk's id")),
    }
}

/// `?proxyChunkId=` counts only at the root, after cleaning; what is odd may be the root to the filer.
fn chunk_id(request: &Parts) -> Option<Vec<u8>> {
    let query = request.uri.query()?;
    let reads = request.method == Method::GET || request.method == Method::HEAD;
    let at = EntryPath::parse(request.uri.path());
    if !reads || !matches!(at, Err(EntryPathError::Root | EntryPathError::Odd)) {
        return None;
    }
    query::first(query, "proxyChunkId").filter(|id| !id.is_empty())
}

/// Whether the request may ask how far a resumable upload (tus) has come, should there be no entry at its path. Where the
/// filer keeps uploads (`-tusBasePath`) it does not say; of what is no entry it can tell nothing else.
pub(super) fn may_be_upload(request: &Parts) -> bool {
    request.method == Method::HEAD && request.headers.contains_key("tus-resumable")
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn path_of(method: &str, uri: &str) -> Option<String> {
        let (parts, ()) = Request::builder().method(method).uri(uri).body(()).unwrap().into_parts();
        read_of(&parts).ok().map(|path| path.as_str().to_owned())
    }

    #[test]
    fn reads_are_ours_whatever_else_the_query_says() {
        for uri in
            ["/a/b", "/a/b?dl=1", "/a/b?tagging", "/a/b?metadata=false", "/a/b?Metadata=true", "/a/b?proxyChunkId=3,01"]
        {
            assert_eq!(path_of("GET", uri).as_deref(), Some("/a/b"), "{uri}");
            assert_eq!(path_of("HEAD", uri).as_deref(), Some("/a/b"), "{uri}");
        }
    }

    #[test]
    fn the_rest_is_the_filers() {
        for (method, uri) in [
            ("PUT", "/a/b"),
            ("DELETE", "/a/b"),
            ("OPTIONS", "/a/b"),
            ("GET", "/"),
            ("GET", "/?proxyChunkId=3,01637037d6"),
            ("GET", "/a/b?metadata=true"),
            ("GET", "/a/b?%6detadata=true&x"),
        ] {
            assert_eq!(path_of(method, uri), None, "{method} {uri}");
        }
    }

    #[test]
    fn a_chunk_is_asked_for_at_the_root_by_a_whole_id() {
        let judged = |method: &str, uri: &str| {
            let (parts, ()) = Request::builder().method(method).uri(uri).body(()).unwrap().into_parts();
            (chunk_id(&parts).is_some(), check_chunk(&parts).is_ok())
        };
        for uri in ["/?proxyChunkId=3,01637037d6", "//?a=b&proxyChunkId=3%2C01637037d6_2"] {
            assert_eq!(judged("GET", uri), (true, true), "{uri}");
        }
        for uri in ["/?proxyChunkId=3,x/../../status", "/?proxyChunkId=3", "/?proxyChunkId=3,01637037d6_1/../x"] {
            assert_eq!(judged("HEAD", uri), (true, false), "{uri}");
        }
        assert_eq!(judged("GET", "/{/%2e%2e?proxyChunkId=3,x/../../status"), (true, false));
        assert_eq!(judged("GET", "/a/%2e%2e?proxyChunkId=3,x/../../status"), (true, false));
        for (method, uri) in
            [("GET", "/?proxyChunkId="), ("GET", "/a?proxyChunkId=x"), ("PUT", "/?proxyChunkId=x"), ("GET", "/")]
        {
            assert_eq!(judged(method, uri), (false, true), "{method} {uri}");
        }
    }
}
