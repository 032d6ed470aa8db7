//! What a request says of who sent it, before the gateway sees it.
//!
//! Knows that a signature may cover what is said. Must not know who may do what.

use http::{HeaderName, HeaderValue, StatusCode, header::AUTHORIZATION, request::Parts};
use percent_encoding::percent_decode_str;

use crate::{
    Blame, Error, Result,
    correlation::{Correlation, REQUEST_ID, TRACEPARENT, TraceParent},
    wire::Peer,
};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// Who a client says it is; gateways before 4.48 believe it of whoever connects from a private address, tidegate among them.
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
/// What the gateway tells its own servers by. It takes them out itself; that it does is not for us to rely on.
const INTERNAL: &str = "x-seaweedfs-";

/// Adds the peer to `X-Forwarded-For`, and takes out what only the cluster's own servers may say.
///
/// The header is always there afterwards: without it a gateway that trusts us would take the client for us. `X-Real-IP` never
/// is. A request that signed a value is refused by the gateway, for it is another one now: if it passed as it was, a client
/// could name any address as its own.
///
/// # Errors
/// 403 where the header was signed without being sent: adding it could make the signature valid, which it is not.
pub(super) fn prepare(parts: &mut Parts, peer: &Peer) -> Result<()> {
    let internal: Vec<_> = parts.headers.keys().filter(|name| name.as_str().starts_with(INTERNAL)).cloned().collect();
    for name in internal {
        parts.headers.remove(name);
    }
    parts.headers.remove(&X_REAL_IP);
    name(parts);
    if !parts.headers.contains_key(&X_FORWARDED_FOR) && is_signed(parts, &X_FORWARDED_FOR) {
        let text = "the request signs X-Forwarded-For and does not have it";
        return Err(Error::new(Blame::Client, StatusCode::FORBIDDEN, text));
    }
    let mut path = Vec::new();
    for before in parts.headers.get_all(&X_FORWARDED_FOR) {
        path.extend_from_slice(before.as_bytes());
        path.extend_from_slice(b", ");
    }
    path.extend_from_slice(peer.addr.ip().to_canonical().to_string().as_bytes());
    let path = HeaderValue::from_bytes(&path);
    let path =
        path.map_err(|_| Error::new(Blame::Client, StatusCode::BAD_REQUEST, "X-Forwarded-For is not a header"))?;
    parts.headers.insert(X_FORWARDED_FOR, path);
    Ok(())
}

/// Says what the request is called, where that can change nothing that was signed: by `X-Request-Id`, if the client has not
/// said it, and by our hop of the trace that a trusted proxy told of.
fn name(parts: &mut Parts) {
    let request = Correlation::of(&parts.extensions);
    if !parts.headers.contains_key(&REQUEST_ID) && !is_signed(parts, &REQUEST_ID) {
        parts.headers.insert(REQUEST_ID, request.id.value().clone());
    }
    if let Some(hop) = request.trace.and_then(TraceParent::value)
        && !is_signed(parts, &TRACEPARENT)
    {
        parts.headers.insert(TRACEPARENT, hop);
    }
}

/// Whether what signs the request names the header, however it is written.
fn is_signed(parts: &Parts, header: &HeaderName) -> bool {
    let names = |text: &[u8]| {
        let name = header.as_str().as_bytes();
        text.to_ascii_lowercase().windows(name.len()).any(|part| part == name)
    };
    let in_header = parts.headers.get_all(AUTHORIZATION).iter().any(|value| names(value.as_bytes()));
    let decoded = |text: &str| percent_decode_str(text).collect::<Vec<u8>>();
    let in_query = parts.uri.query().unwrap_or("").split(['&', ';']).any(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        decoded(name).eq_ignore_ascii_case(b"x-amz-signedheaders") && names(&decoded(value))
            || names(&decoded(pair)) && !pair.contains('=')
    });
    in_header || in_query
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn prepared(uri: &str, headers: &[(&str, &str)]) -> Result<Parts> {
        let mut request = Request::builder().uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        prepare(&mut parts, &Peer::plain("[::ffff:192.0.2.9]:5000".parse().unwrap()))?;
        Ok(parts)
    }

    fn told(uri: &str, headers: &[(&str, &str)]) -> String {
        let parts = prepared(uri, headers).unwrap();
        assert_eq!(parts.headers.get_all(X_FORWARDED_FOR).iter().count(), 1);
        parts.headers[X_FORWARDED_FOR].to_str().unwrap().to_owned()
    }

    const SIGNED: &str = "AWS4-HMAC-SHA256 Credential=a, SignedHeaders=host;X-Forwarded-For, Signature=b";

    #[test]
    fn the_peer_is_the_last_that_is_named() {
        assert_eq!(told("/b/k", &[]), "192.0.2.9");
        let two = [("x-forwarded-for", "10.0.0.1"), ("x-forwarded-for", "10.0.0.2")];
        assert_eq!(told("/b/k", &two), "10.0.0.1, 10.0.0.2, 192.0.2.9");
        // A value that was signed and sent is no longer the one that was signed.
        assert_eq!(told("/b/k", &[("authorization", SIGNED), ("x-forwarded-for", "10.0.0.1")]), "10.0.0.1, 192.0.2.9");
    }

    #[test]
    fn a_header_that_was_signed_and_not_sent_is_refused() {
        assert_eq!(prepared("/b/k", &[("authorization", SIGNED)]).unwrap_err().status(), StatusCode::FORBIDDEN);
        for query in [
            "X-Amz-SignedHeaders=host%3Bx-forwarded-for",
            "a=1&%58-amz-signedHeaders=host%3B%78-Forwarded-For",
            "X-Amz-SignedHeaders=host;x-forwarded-for",
        ] {
            assert_eq!(prepared(&format!("/b/k?{query}"), &[]).unwrap_err().status(), StatusCode::FORBIDDEN, "{query}");
        }
    }

    #[test]
    fn nobody_gets_past_by_writing_the_name_elsewhere() {
        for query in ["x=x-forwarded-for", "prefix=X-Amz-SignedHeaders%3Dx-forwarded-for"] {
            assert_eq!(told(&format!("/b/k?{query}"), &[("x-real-ip", "10.0.0.1")]), "192.0.2.9", "{query}");
        }
    }

    #[test]
    fn what_only_servers_may_say_is_taken_out() {
        let said = [("X-SeaweedFS-Principal", "admin"), ("X-Real-IP", "10.0.0.1"), ("x-amz-meta-a", "1")];
        let parts = prepared("/b/k", &said).unwrap();
        assert!(!parts.headers.contains_key("x-seaweedfs-principal"));
        assert!(!parts.headers.contains_key("x-real-ip"));
        assert!(parts.headers.contains_key("x-amz-meta-a"));
    }
}
