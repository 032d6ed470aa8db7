//! What the filer may answer where a read is left to it.
//!
//! The bytes of an encrypted file it would give as they are stored, and of whom they are for it knows nothing. So an answer
//! that is a file's is passed on only where a file without keys was to be expected.
//!
//! Knows what of an answer says that it is a file's. Must not know how entries are found.

use std::time::Duration;

use http::{HeaderMap, Response, StatusCode, header};

use crate::{Blame, Error, Result, entry::EntryPath, pb, wire::Body};

/// Why a request is left to the filer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// It is no read of a file.
    Anything,
    /// At that path there can be none.
    NoFile,
    /// What was at that path had no bytes that are served here: nothing, a directory, a link, what a remote store has.
    NotOurs(EntryPath),
}

/// What the names of all headers about encryption begin with, and of the attributes that they are made of.
const ENCRYPTION: &str = "x-amz-server-side-encryption";

/// The answer, unless it is a file's where there can be none.
///
/// # Errors
/// 400 for a path that the filer reads otherwise than it is read here.
pub(super) fn of_no_file(answer: Response<Body>) -> Result<Response<Body>> {
    if answer.headers().contains_key(header::ETAG) || names_encryption(answer.headers()) {
        let message = "the path can be read in two ways; write it without escaped dots and slashes";
        return Err(Error::new(Blame::Client, StatusCode::BAD_REQUEST, message).code("InvalidArgument"));
    }
    Ok(answer)
}

/// Whether the filer answers with a file, or a part of it, or of its headers.
pub(super) fn is_of_file(answer: &Response<Body>) -> bool {
    matches!(answer.status().as_u16(), 206 | 304 | 412 | 416)
        || answer.headers().contains_key(header::ETAG)
        || names_encryption(answer.headers())
}

/// Whether an answer may be that entry's: what tells of encryption in the one is in the other.
pub(super) fn may_be_of(answer: &Response<Body>, entry: &pb::Entry) -> bool {
    let is_told = |name: &str| name.get(..ENCRYPTION.len()).is_some_and(|name| name.eq_ignore_ascii_case(ENCRYPTION));
    !names_encryption(answer.headers()) || entry.extended.keys().any(|name| is_told(name))
}

fn names_encryption(headers: &HeaderMap) -> bool {
    headers.keys().any(|name| name.as_str().starts_with(ENCRYPTION))
}

/// What is answered when the entry was another one each time.
pub(super) fn restless() -> Error {
    let message = "what is at the path changes faster than it can be read";
    Error::new(Blame::Filer, StatusCode::SERVICE_UNAVAILABLE, message).retry_after(Duration::from_secs(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, headers: &[(&str, &str)]) -> Response<Body> {
        let builder =
            headers.iter().fold(Response::builder().status(status), |all, (name, value)| all.header(*name, *value));
        builder.body(Body::empty()).unwrap()
    }

    const SSE: (&str, &str) = ("X-Amz-Server-Side-Encryption", "AES256");
    const CUSTOMER: (&str, &str) = ("x-amz-server-side-encryption-customer-algorithm", "AES256");

    #[test]
    fn a_file_is_known_by_its_etag_its_encryption_and_its_status() {
        let etag = ("etag", "\"x\"");
        for of_file in [
            answer(200, &[etag]),
            answer(200, &[SSE]),
            answer(206, &[]),
            answer(304, &[]),
            answer(412, &[]),
            answer(416, &[]),
        ] {
            assert!(is_of_file(&of_file), "{of_file:?}");
        }
        for other in [answer(200, &[("accept-ranges", "bytes")]), answer(404, &[]), answer(301, &[])] {
            assert!(!is_of_file(&other), "{other:?}");
            assert!(of_no_file(other).is_ok());
        }
        for of_file in [answer(200, &[etag]), answer(404, &[CUSTOMER])] {
            assert_eq!(of_no_file(of_file).err().map(|error| error.status().as_u16()), Some(400));
        }
        // The filer's own pages can be had in ranges.
        assert!(of_no_file(answer(206, &[("accept-ranges", "bytes")])).is_ok());
    }

    #[test]
    fn what_tells_of_encryption_is_of_an_entry_that_tells_of_it() {
        let mut entry = pb::Entry::default();
        assert!(may_be_of(&answer(200, &[("etag", "x")]), &entry));
        assert!(!may_be_of(&answer(200, &[SSE]), &entry));
        entry.extended.insert("X-Amz-Server-Side-Encryptio".to_owned(), bytes::Bytes::new());
        assert!(!may_be_of(&answer(200, &[CUSTOMER]), &entry));
        entry.extended.insert("X-Amz-Server-Side-Encryption".to_owned(), bytes::Bytes::new());
        assert!(may_be_of(&answer(200, &[CUSTOMER]), &entry));
    }
}
