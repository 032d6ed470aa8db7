//! Which way a request goes: relayed to the gateway as it is, or answered by us once the gateway has allowed it.
//!
//! Knows what may be added to a request without changing what the gateway decides. Must not know whether the gateway allows
//! it. Whatever is not surely one of the understood shapes is relayed.
//!
//! The gateway is asked by the client's own request and one header more. With `If-None-Match: *` it answers 304 when it would
//! send the object, before it reads a byte of it; with a `Range` of one byte it answers 206 after all of its checks. What either
//! proves was seen on 4.48.

use http::{
    HeaderMap, Method,
    header::{self, HeaderName},
    request::Parts,
};

use super::{
    query::Query,
    signed::Signature,
    target::{Host, Target},
};
use crate::filer::BucketsFolder;

/// Why a request is relayed without a question. The value is a label of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum RelayReason {
    /// It reads no object.
    NotRead,
    /// Its host or key may mean something else to the gateway.
    Target,
    /// Its query asks for more than a read, or can be read in two ways.
    Query,
    /// How it is signed is not plain, or it signs the header that we would add.
    Signature,
    /// It has conditions that the question would change.
    Conditions,
    /// Its range is not one plain range, or none of the object.
    Range,
    /// It brings encryption headers that are not those of the object, or the object has not what it says that it has.
    Encryption,
    /// There is no such object, or it is not one with its bytes in this cluster.
    Object,
    /// It is plain, and so small that the gateway's answer is as good.
    Small,
    /// The gateway decided about another version than the one that we know.
    Stale,
    /// We could not have read it.
    Failed,
}

impl RelayReason {
    /// All there are.
    pub(crate) const ALL: [Self; 11] = [
        Self::NotRead,
        Self::Target,
        Self::Query,
        Self::Signature,
        Self::Conditions,
        Self::Range,
        Self::Encryption,
        Self::Object,
        Self::Small,
        Self::Stale,
        Self::Failed,
    ];

    /// The label's value.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::NotRead => "not_read",
            Self::Target => "target",
            Self::Query => "query",
            Self::Signature => "signature",
            Self::Conditions => "conditions",
            Self::Range => "range",
            Self::Encryption => "encryption",
            Self::Object => "object",
            Self::Small => "small",
            Self::Stale => "stale",
            Self::Failed => "failed",
        }
    }
}

impl RelayReason {
    /// The reason, for people.
    pub(crate) fn sentence(self) -> &'static str {
        match self {
            Self::NotRead => "it reads no object",
            Self::Target => "its host or key may mean something else to the gateway",
            Self::Query => "its query asks for more than a read",
            Self::Signature => "it signs a header that would have to be added, or is signed in no plain way",
            Self::Conditions => "its conditions are those that the question to the gateway needs",
            Self::Range => "its range is not one plain range of the object",
            Self::Encryption => {
                "its encryption headers are not those of the object, or the object says that it is encrypted and has no key"
            }
            Self::Object => "there is no such object, or its bytes are not in this cluster",
            Self::Small => "it is plain, and so small that the gateway's answer is as good",
            Self::Stale => "the gateway decided about another version",
            Self::Failed => "it could not be read here",
        }
    }
}

/// A request that reads one object, in a shape that is understood.
#[derive(Debug)]
pub(crate) struct ObjectRead<'q> {
    pub(crate) target: Target,
    pub(crate) query: Query<'q>,
    /// Whether `If-None-Match` may be added.
    may_add_condition: bool,
    /// Whether `Range` may be added, or be another one.
    may_set_range: bool,
}

/// What the gateway is asked with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Question {
    /// `If-None-Match: *`, whose answer is 304.
    Condition,
    /// `Range` of one byte, whose answer is 206.
    OneByte,
}

impl Question {
    /// All there are.
    pub(crate) const ALL: [Self; 2] = [Self::Condition, Self::OneByte];

    /// The label's value: the status that allows.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Condition => "304",
            Self::OneByte => "206",
        }
    }
}

impl ObjectRead<'_> {
    /// The question that proves that this read is allowed. `proven`: 304 is known to prove it, of this gateway and bucket.
    ///
    /// # Errors
    /// The reason why none can be asked.
    pub(crate) fn question(&self, proven: bool) -> Result<Question, RelayReason> {
        match (proven, self.may_add_condition, self.may_set_range) {
            (true, true, _) => Ok(Question::Condition),
            (_, _, true) => Ok(Question::OneByte),
            _ => Err(RelayReason::Signature),
        }
    }
}

/// The read that a request asks for. `has_body`: more comes than its head. `host`: how its host is read, and `folder`: where
/// buckets are, if that is known.
///
/// # Errors
/// The reason why it is relayed.
pub(crate) fn read_of<'q>(
    request: &'q Parts,
    has_body: bool,
    host: Option<&Host>,
    folder: Option<&BucketsFolder>,
) -> Result<ObjectRead<'q>, RelayReason> {
    let headers = &request.headers;
    if request.method != Method::GET || has_body || headers.contains_key(header::EXPECT) {
        return Err(RelayReason::NotRead);
    }
    let folder = folder.ok_or(RelayReason::Failed)?;
    let target = host.and_then(|host| Target::of(folder, host, request.uri.path())).ok_or(RelayReason::Target)?;
    let query = Query::parse(request.uri.query().unwrap_or("")).ok_or(RelayReason::Query)?;
    if !query.is_of_read() {
        return Err(RelayReason::Query);
    }
    let signature = Signature::of(headers, &query).ok_or(RelayReason::Signature)?;
    // S3 lets only signed requests choose headers of the answer.
    if signature == Signature::None && query.overrides().next().is_some() {
        return Err(RelayReason::Query);
    }
    if CONDITIONS.iter().any(|name| headers.contains_key(name)) || !at_most_one(headers, &header::IF_MATCH) {
        return Err(RelayReason::Conditions);
    }
    if !at_most_one(headers, &header::RANGE) {
        return Err(RelayReason::Range);
    }
    if headers.keys().any(is_foreign_encryption) {
        return Err(RelayReason::Encryption);
    }
    Ok(ObjectRead {
        target,
        query,
        may_add_condition: signature.leaves_free("if-none-match"),
        may_set_range: signature.leaves_free("range"),
    })
}

/// Conditions that are decided in the place where our own would be, or about which the gateway has a mind of its own.
const CONDITIONS: [HeaderName; 4] =
    [header::IF_NONE_MATCH, header::IF_MODIFIED_SINCE, header::IF_UNMODIFIED_SINCE, header::IF_RANGE];

/// The host that is asked, with its port: of HTTP/2 it stands in the target. `None`: there is none, or more than one.
pub(super) fn host(request: &Parts) -> Option<&str> {
    if let Some(authority) = request.uri.authority() {
        let is_plain = !authority.as_str().contains('@') && !request.headers.contains_key(header::HOST);
        return is_plain.then(|| authority.as_str());
    }
    let mut hosts = request.headers.get_all(header::HOST).iter();
    let host = hosts.next()?.to_str().ok()?;
    hosts.next().is_none().then_some(host)
}

fn at_most_one(headers: &HeaderMap, name: &HeaderName) -> bool {
    headers.get_all(name).iter().nth(1).is_none()
}

/// Headers that belong to writes; the three of a customer's key belong to reads as well.
fn is_foreign_encryption(name: &HeaderName) -> bool {
    let of_encryption = ["x-amz-server-side-encryption", "x-amz-copy-source"];
    of_encryption.iter().any(|prefix| name.as_str().starts_with(prefix)) && !is_customer_key(name)
}

/// Whether this is one of the headers in which a customer's key comes.
pub(crate) fn is_customer_key(name: &HeaderName) -> bool {
    name.as_str().starts_with("x-amz-server-side-encryption-customer-")
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn parts(uri: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::builder().uri(uri);
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            request = request.header("host", "127.0.0.1:8333");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn folder() -> BucketsFolder {
        BucketsFolder::of("/buckets").unwrap()
    }

    fn reading(parts: &Parts) -> Option<Host> {
        Host::of_address(crate::s3::target::without_port(host(parts)?)?)
    }

    fn way(uri: &str, headers: &[(&str, &str)]) -> Result<(Question, Question), RelayReason> {
        let parts = parts(uri, headers);
        let read = read_of(&parts, false, reading(&parts).as_ref(), Some(&folder()))?;
        Ok((read.question(true)?, read.question(false)?))
    }

    fn signing(names: &str) -> String {
        format!("AWS4-HMAC-SHA256 Credential=a, SignedHeaders={names}, Signature=b")
    }

    const BOTH: Result<(Question, Question), RelayReason> = Ok((Question::Condition, Question::OneByte));

    #[test]
    fn a_plain_read_is_asked_about() {
        assert_eq!(way("/bucket/key", &[]), BOTH);
        assert_eq!(way("/bucket/key?versionId=null", &[]), BOTH);
        assert_eq!(way("/bucket/key", &[("authorization", &signing("host;x-amz-date"))]), BOTH);
        assert_eq!(way("/bucket/key", &[("range", "bytes=0-1"), ("authorization", &signing("host"))]), BOTH);
        assert_eq!(way("/bucket/key", &[("if-match", "\"a\"")]), BOTH);
    }

    #[test]
    fn what_is_signed_is_not_added() {
        let with = |names| way("/bucket/key", &[("authorization", &signing(names))]);
        assert_eq!(with("host;if-none-match;range"), Err(RelayReason::Signature));
        assert_eq!(with("host;If-None-Match;x-amz-date").map(|(first, _)| first), Ok(Question::OneByte));
        let parts = parts("/bucket/key", &[("authorization", &signing("host;range")), ("range", "bytes=0-1")]);
        let read = read_of(&parts, false, Some(&Host::PathStyle), Some(&folder())).unwrap();
        assert_eq!(read.question(true), Ok(Question::Condition));
        assert_eq!(read.question(false), Err(RelayReason::Signature));
    }

    #[test]
    fn what_is_not_understood_is_relayed() {
        for (uri, headers, reason) in [
            ("/bucket/key", &[("expect", "100-continue")][..], RelayReason::NotRead),
            ("/bucket/key", &[("host", "other.example.org")], RelayReason::Target),
            ("/bucket/key", &[("host", "127.0.0.1"), ("host", "127.0.0.2")], RelayReason::Target),
            ("http://127.0.0.1/bucket/key", &[("host", "127.0.0.1")], RelayReason::Target),
            ("http://user@127.0.0.1/bucket/key", &[], RelayReason::Target),
            ("/bucket", &[], RelayReason::Target),
            ("/bucket/a/../b", &[], RelayReason::Target),
            ("/bucket/key?partNumber=1", &[], RelayReason::Query),
            ("/bucket/key?versionId=1&versionId=2", &[], RelayReason::Query),
            ("/bucket/key?versionId=1;a", &[], RelayReason::Query),
            ("/bucket/key?response-content-type=a", &[], RelayReason::Query),
            ("/bucket/key", &[("authorization", "Basic a")], RelayReason::Signature),
            ("/bucket/key", &[("if-none-match", "\"a\"")], RelayReason::Conditions),
            ("/bucket/key", &[("if-range", "\"a\"")], RelayReason::Conditions),
            ("/bucket/key", &[("if-modified-since", "x")], RelayReason::Conditions),
            ("/bucket/key", &[("if-unmodified-since", "x")], RelayReason::Conditions),
            ("/bucket/key", &[("if-match", "a"), ("if-match", "b")], RelayReason::Conditions),
            ("/bucket/key", &[("range", "bytes=0-1"), ("range", "bytes=2-3")], RelayReason::Range),
            ("/bucket/key", &[("x-amz-server-side-encryption", "AES256")], RelayReason::Encryption),
            ("/bucket/key", &[("x-amz-copy-source", "/a/b")], RelayReason::Encryption),
        ] {
            assert_eq!(way(uri, headers), Err(reason), "{uri} {headers:?}");
        }
        let get = parts("/bucket/key", &[]);
        let reason = |request, has_body| read_of(request, has_body, Some(&Host::PathStyle), Some(&folder())).err();
        assert_eq!(reason(&get, true), Some(RelayReason::NotRead));
        let mut head = parts("/bucket/key", &[]);
        head.method = Method::HEAD;
        assert_eq!(reason(&head, false), Some(RelayReason::NotRead));
        assert_eq!(
            read_of(&get, false, Some(&Host::PathStyle), None).err(),
            Some(RelayReason::Failed),
            "where are buckets?"
        );
    }

    #[test]
    fn in_http_2_the_host_is_in_the_target() {
        let (mut request, ()) = Request::builder().uri("http://127.0.0.1:1/bucket/key").body(()).unwrap().into_parts();
        request.headers.clear();
        assert_eq!(host(&request), Some("127.0.0.1:1"));
    }
}
