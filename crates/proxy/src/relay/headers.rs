//! Which headers end at a hop, and which one adds (RFC 9110, 7.6; RFC 9113, 8.2).

use std::hash::{BuildHasher as _, RandomState};

use http::{
    HeaderMap, HeaderName, HeaderValue, StatusCode, Version,
    header::{
        CONNECTION, CONTENT_LENGTH, COOKIE, HOST, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING,
        UPGRADE, VIA,
    },
    request::Parts,
};

use crate::{
    Blame, Error, Result,
    correlation::{Correlation, REQUEST_ID, TRACEPARENT, TraceParent},
    wire::Peer,
};

/// Names that concern one hop, whatever `Connection` says. `Trailer` is not among them: it announces what a trailer
/// section that is passed on will hold.
const ONE_HOP: [HeaderName; 8] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    HeaderName::from_static("proxy-connection"),
    TE,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// Names that `Connection` cannot take away: without them the next hop would misread the message, or be lied to.
const NOT_NAMEABLE: [HeaderName; 2] = [CONTENT_LENGTH, HOST];

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Removes what concerns the hop that the message came by.
pub(super) fn end_hop(headers: &mut HeaderMap) {
    for name in named_by_connection(headers) {
        headers.remove(name);
    }
    end_hop_of_fixed_names(headers);
}

/// The same without what `Connection` names: a client could have it take away what tells the next hop who asked.
pub(super) fn end_hop_of_fixed_names(headers: &mut HeaderMap) {
    // A length beside a transfer coding is not the body's (RFC 9112, 6.3): never let the next hop believe it.
    if headers.contains_key(TRANSFER_ENCODING) {
        headers.remove(CONTENT_LENGTH);
    }
    for name in &ONE_HOP {
        headers.remove(name);
    }
}

fn named_by_connection(headers: &HeaderMap) -> Vec<HeaderName> {
    headers
        .get_all(CONNECTION)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
        .filter(|name| !NOT_NAMEABLE.contains(name))
        .collect()
}

/// HTTP/2 may send cookies in crumbs; HTTP/1.1 has them in one line.
pub(super) fn join_cookies(headers: &mut HeaderMap) {
    let mut crumbs = headers.get_all(COOKIE).iter();
    let (Some(first), Some(second)) = (crumbs.next(), crumbs.next()) else { return };
    let mut joined = first.as_bytes().to_vec();
    for crumb in std::iter::once(second).chain(crumbs) {
        joined.extend_from_slice(b"; ");
        joined.extend_from_slice(crumb.as_bytes());
    }
    if let Ok(joined) = HeaderValue::from_bytes(&joined) {
        headers.insert(COOKIE, joined);
    }
}

/// Takes the keys of SSE-C out of a read. The filer has no use for them and might log them.
pub(super) fn strip_customer_keys(headers: &mut HeaderMap) {
    const KEYS: [&str; 2] =
        ["x-amz-server-side-encryption-customer-key", "x-amz-copy-source-server-side-encryption-customer-key"];
    let keys: Vec<_> =
        headers.keys().filter(|name| KEYS.iter().any(|key| name.as_str().starts_with(key))).cloned().collect();
    for key in keys {
        headers.remove(key);
    }
}

/// The `Host` that the client asked for: the filer builds no URL from its own name, so whatever it might write of it
/// should lead back here. An absolute request target (which HTTP/2 always has) overrides the header (RFC 9112, 3.2.2). An
/// HTTP/1.0 client may have named none: then it is the filer's own.
///
/// # Errors
/// 400 when the name cannot be written as a header.
pub(super) fn host(parts: &Parts, filer: &str) -> Result<HeaderValue> {
    let named = parts.uri.authority().map(|authority| {
        let authority = authority.as_str();
        // The part before an @ is a credential, and none of the filer's business.
        authority.rsplit_once('@').map_or(authority, |(_, host)| host)
    });
    match (named, parts.headers.get(HOST)) {
        (None, Some(host)) => Ok(host.clone()),
        (named, _) => HeaderValue::from_str(named.unwrap_or(filer))
            .map_err(|_| Error::new(Blame::Client, StatusCode::BAD_REQUEST, "the request's host is not a host name")),
    }
}

/// Tells the filer's log who asked, by the customary names. `X-Forwarded-For` grows by one; what an outer proxy said of
/// the scheme and the host stays, since it saw the client's own.
pub(super) fn tell_origin(headers: &mut HeaderMap, host: &HeaderValue, peer: &Peer) {
    let mut path = Vec::new();
    for before in headers.get_all(&X_FORWARDED_FOR) {
        path.extend_from_slice(before.as_bytes());
        path.extend_from_slice(b", ");
    }
    path.extend_from_slice(peer.addr.ip().to_canonical().to_string().as_bytes());
    if let Ok(path) = HeaderValue::from_bytes(&path) {
        headers.insert(X_FORWARDED_FOR, path);
    }
    headers.entry(X_FORWARDED_PROTO).or_insert(HeaderValue::from_static(peer.scheme()));
    headers.entry(X_FORWARDED_HOST).or_insert_with(|| host.clone());
}

/// Says what the request is called here, whatever its client calls it; of a trace that a trusted proxy told of, that this
/// was a hop. A trace that a client alone knows of goes on as it is.
pub(super) fn tell_name(headers: &mut HeaderMap, request: &Correlation) {
    headers.insert(REQUEST_ID, request.id.value().clone());
    if let Some(hop) = request.trace.and_then(TraceParent::value) {
        headers.insert(TRACEPARENT, hop);
    }
}

/// Our line in `Via`, by which a request that comes back to us is known.
pub(super) struct Via {
    pseudonym: String,
}

impl Via {
    /// Takes a pseudonym that no other process has.
    pub(super) fn new() -> Self {
        // Each RandomState is seeded by the operating system.
        let unique = RandomState::new().hash_one(std::process::id());
        Self { pseudonym: format!("tidegate-{unique:016x}") }
    }

    /// Whether the request has been through this process before.
    pub(super) fn names_us(&self, headers: &HeaderMap) -> bool {
        let us = self.pseudonym.as_bytes();
        headers.get_all(VIA).iter().any(|via| via.as_bytes().windows(us.len()).any(|part| part == us))
    }

    /// Appends our line: the version that the request came in, and who we are.
    pub(super) fn append(&self, headers: &mut HeaderMap, version: Version) {
        let version = match version {
            Version::HTTP_2 => "2",
            Version::HTTP_10 => "1.0",
            _ => "1.1",
        };
        if let Ok(line) = HeaderValue::from_str(&format!("{version} {}", self.pseudonym)) {
            headers.append(VIA, line);
        }
    }
}

#[cfg(test)]
mod tests {
    use http::Request;
    use proptest::prelude::*;

    use super::*;

    fn map(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn a_hop_takes_its_headers_with_it() {
        let mut headers = map(&[
            ("connection", "keep-alive, X-Private"),
            ("connection", " x-second "),
            ("keep-alive", "timeout=5"),
            ("proxy-authorization", "Basic x"),
            ("proxy-connection", "close"),
            ("te", "trailers"),
            ("trailer", "x-checksum"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("x-private", "1"),
            ("x-second", "2"),
            ("x-kept", "3"),
        ]);
        end_hop(&mut headers);
        assert_eq!(headers, map(&[("trailer", "x-checksum"), ("x-kept", "3")]));
    }

    #[test]
    fn connection_cannot_take_the_length_or_the_host() {
        let mut headers = map(&[("connection", "content-length, host"), ("content-length", "5"), ("host", "a")]);
        end_hop(&mut headers);
        assert_eq!(headers, map(&[("content-length", "5"), ("host", "a")]));
    }

    #[test]
    fn a_length_beside_a_transfer_coding_is_dropped() {
        let mut headers = map(&[("transfer-encoding", "chunked"), ("content-length", "5")]);
        end_hop(&mut headers);
        assert!(headers.is_empty());
    }

    #[test]
    fn crumbs_become_one_cookie() {
        let mut headers = map(&[("cookie", "a=1"), ("cookie", "b=2"), ("cookie", "c=3")]);
        join_cookies(&mut headers);
        assert_eq!(headers, map(&[("cookie", "a=1; b=2; c=3")]));
    }

    #[test]
    fn customer_keys_stay_here() {
        let mut headers = map(&[
            ("x-amz-server-side-encryption-customer-algorithm", "AES256"),
            ("x-amz-server-side-encryption-customer-key", "secret"),
            ("x-amz-server-side-encryption-customer-key-md5", "sum"),
            ("x-amz-copy-source-server-side-encryption-customer-key", "secret"),
        ]);
        strip_customer_keys(&mut headers);
        assert_eq!(headers, map(&[("x-amz-server-side-encryption-customer-algorithm", "AES256")]));
    }

    #[test]
    fn the_host_is_the_one_asked_for() {
        for (uri, header, expected) in [
            ("/a", Some("front.example"), "front.example"),
            ("http://target.example:81/a", Some("front.example"), "target.example:81"),
            ("http://user:pass@target.example/a", None, "target.example"),
            ("/a", None, "filer:8888"),
        ] {
            let mut request = Request::builder().uri(uri);
            if let Some(header) = header {
                request = request.header(HOST, header);
            }
            let (parts, ()) = request.body(()).unwrap().into_parts();
            assert_eq!(host(&parts, "filer:8888").unwrap(), expected, "{uri} {header:?}");
        }
    }

    #[test]
    fn the_origin_is_told() {
        let mut peer = Peer::plain("[::ffff:10.0.0.9]:5000".parse().unwrap());
        // Whom trusted proxies say that the request is from stands in the header already.
        peer.client = "1.1.1.1".parse().unwrap();
        let mut headers =
            map(&[("x-forwarded-for", "1.1.1.1"), ("x-forwarded-for", "2.2.2.2"), ("x-forwarded-proto", "https")]);
        tell_origin(&mut headers, &HeaderValue::from_static("front"), &peer);
        assert_eq!(headers["x-forwarded-for"], "1.1.1.1, 2.2.2.2, 10.0.0.9");
        assert_eq!(headers.get_all("x-forwarded-for").iter().count(), 1);
        assert_eq!(headers["x-forwarded-proto"], "https");
        assert_eq!(headers["x-forwarded-host"], "front");
    }

    #[test]
    fn a_loop_is_seen_and_another_tidegate_is_not_one() {
        let (us, other) = (Via::new(), Via::new());
        let mut headers = map(&[("via", "1.1 cdn")]);
        other.append(&mut headers, Version::HTTP_2);
        assert!(!us.names_us(&headers));
        us.append(&mut headers, Version::HTTP_11);
        assert!(us.names_us(&headers));
    }

    proptest! {
        #[test]
        fn whatever_connection_names_is_gone(
            named in prop::collection::vec("[a-zA-Z][a-zA-Z0-9-]{0,8}", 0..6),
            separator in "[ \t]{0,2},[ \t,]{0,2}",
            others in prop::collection::vec("[a-z]{1,9}", 0..6),
        ) {
            let mut headers = HeaderMap::new();
            headers.insert(CONNECTION, HeaderValue::from_str(&named.join(&separator)).unwrap());
            for name in named.iter().chain(&others) {
                headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_static("x"));
            }
            end_hop(&mut headers);
            let one_hop = |name: &HeaderName| ONE_HOP.contains(name) || named.iter().any(|n| n.eq_ignore_ascii_case(name.as_str()));
            for name in &others {
                let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
                prop_assert!(headers.contains_key(&name) != one_hop(&name) || NOT_NAMEABLE.contains(&name));
            }
            prop_assert!(!headers.keys().any(|name| one_hop(name) && !NOT_NAMEABLE.contains(name)));
        }

        #[test]
        fn a_connection_header_of_any_bytes_is_survived(value in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                let mut headers = HeaderMap::new();
                headers.insert(CONNECTION, value);
                end_hop(&mut headers);
                prop_assert!(headers.is_empty());
            }
        }
    }
}
