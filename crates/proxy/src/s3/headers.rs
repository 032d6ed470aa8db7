//! The headers of an object as the S3 gateway gives them.
//!
//! Sources: `setResponseHeaders` and `addObjectLockHeadersToResponse` in `weed/s3api/s3api_object_handlers.go` @4.48; checked
//! against the running gateway. What depends on the request alone (CORS, request id, `Server`) stands in the gateway's answer
//! to our question and is taken from there.

use std::time::{Duration, UNIX_EPOCH};

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{
        ACCEPT_RANGES, CONNECTION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, DATE, ETAG, LAST_MODIFIED, RANGE,
        TRAILER, TRANSFER_ENCODING,
    },
};

use super::query::Query;
use crate::{
    entry::{
        ContentTypes,
        headers::{add_attributes, content_type, value},
    },
    pb,
    read::{File, add_echo},
};

/// Of the gateway's answer to a question, what is about that answer and not about the object.
const OF_THE_QUESTION: [HeaderName; 6] = [CONTENT_LENGTH, CONTENT_RANGE, CONNECTION, DATE, TRAILER, TRANSFER_ENCODING];

/// An object that the gateway has decided about.
pub(super) struct ObjectFacts<'o> {
    pub(super) entry: &'o pb::Entry,
    pub(super) file: &'o File,
    /// As `x-amz-version-id` has it; `None`: the bucket never had versions.
    pub(super) version: Option<&'o str>,
}

/// The headers of an answer with the object, short of its length and range. `decision`: the gateway's answer to the question.
pub(super) fn of_object(
    object: &ObjectFacts<'_>,
    decision: &HeaderMap,
    request: &HeaderMap,
    query: &Query<'_>,
    types: &ContentTypes,
) -> HeaderMap {
    let mut headers = decision.clone();
    for name in OF_THE_QUESTION {
        headers.remove(name);
    }
    let etag = headers.remove(ETAG);
    headers.extend(of_itself(object, query, types));
    headers.extend(etag.map(|etag| (ETAG, etag)));
    let is_asked_for = request.get(CHECKSUM_MODE).is_some_and(|mode| mode.as_bytes().eq_ignore_ascii_case(b"ENABLED"));
    if is_asked_for && !request.contains_key(RANGE) {
        add_checksum(&mut headers, object.entry);
    }
    headers
}

/// Whether the gateway's answer with a byte of an object tells of this one: of the same size and with the same headers. Those
/// that no object has are about the request. The ETag is not among them.
pub(super) fn tells_of(
    decision: &HeaderMap,
    object: &ObjectFacts<'_>,
    query: &Query<'_>,
    types: &ContentTypes,
) -> bool {
    let total = decision.get(CONTENT_RANGE).and_then(|range| range.to_str().ok()?.rsplit('/').next()?.parse().ok());
    let own = of_itself(object, query, types);
    let is_told = |(name, value): (&HeaderName, &HeaderValue)| decision.get(name) == Some(value);
    let is_own = |name: &HeaderName| own.contains_key(name) || !is_of_an_object(name);
    total == Some(object.file.size) && own.iter().all(is_told) && decision.keys().all(is_own)
}

/// The headers of an object whoever asks, and for whatever part of it, short of its ETag.
fn of_itself(object: &ObjectFacts<'_>, query: &Query<'_>, types: &ContentTypes) -> HeaderMap {
    let ObjectFacts { entry, file, version } = object;
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    if let Some(modified) = entry.modified() {
        headers.insert(LAST_MODIFIED, value(httpdate::fmt_http_date(modified).as_bytes()));
    }
    headers.insert(CONTENT_TYPE, content_type(entry, types));
    add_attributes(&mut headers, entry);
    headers.remove(ETAG);
    add_tag_count(&mut headers, entry);
    for (name, text) in query.overrides() {
        if let Ok(name) = HeaderName::try_from(name) {
            headers.insert(name, value(text.as_bytes()));
        }
    }
    add_echo(&mut headers, &file.layout);
    if let Some(version) = version {
        headers.insert(VERSION_ID, value(version.as_bytes()));
        add_lock(&mut headers, entry);
    }
    headers
}

/// Whether an answer has a header of that name because the object has it, or an attribute called so. What a gateway of another
/// version, or who stands before it, says besides is about the request.
fn is_of_an_object(name: &HeaderName) -> bool {
    let is_of_question = OF_THE_QUESTION.contains(name) || OF_THE_REQUEST.contains(&name.as_str());
    let of_object = ["x-amz-", "seaweed-", "cache-", "content-", "expires", "last-modified"];
    !is_of_question && of_object.iter().any(|start| name.as_str().starts_with(start))
}

/// What names the request, of what else would be taken for the object's.
const OF_THE_REQUEST: [&str; 3] = ["x-amz-request-id", "x-amz-id-2", "content-security-policy"];

const CHECKSUM_MODE: HeaderName = HeaderName::from_static("x-amz-checksum-mode");
const CHECKSUM_TYPE: HeaderName = HeaderName::from_static("x-amz-checksum-type");
const VERSION_ID: HeaderName = HeaderName::from_static("x-amz-version-id");
const TAG_COUNT: HeaderName = HeaderName::from_static("x-amz-tagging-count");
const LOCK_MODE: HeaderName = HeaderName::from_static("x-amz-object-lock-mode");
const RETAIN_UNTIL: HeaderName = HeaderName::from_static("x-amz-object-lock-retain-until-date");
const LEGAL_HOLD: HeaderName = HeaderName::from_static("x-amz-object-lock-legal-hold");

/// Each tag is an attribute, its name behind this prefix.
const TAG: &str = "X-Amz-Tagging-";

fn add_tag_count(headers: &mut HeaderMap, entry: &pb::Entry) {
    let tags = entry.extended.keys().filter(|name| name.starts_with(TAG)).count();
    if tags > 0 {
        headers.insert(TAG_COUNT, HeaderValue::from(tags));
    }
}

/// The checksum is that of the whole object.
fn add_checksum(headers: &mut HeaderMap, entry: &pb::Entry) {
    let stored = |name| entry.extended.get(name).filter(|value| !value.is_empty());
    let (Some(algorithm), Some(checksum)) =
        (stored("x-seaweedfs-checksum-algorithm"), stored("x-seaweedfs-checksum-value"))
    else {
        return;
    };
    if let Ok(name) = HeaderName::from_bytes(algorithm) {
        headers.insert(name, value(checksum));
        headers.extend(stored("x-seaweedfs-checksum-type").map(|kind| (CHECKSUM_TYPE, value(kind))));
    }
}

fn add_lock(headers: &mut HeaderMap, entry: &pb::Entry) {
    let stored = |name| entry.extended.get(name).filter(|value| !value.is_empty());
    let mode = stored("Seaweed-X-Amz-Object-Lock-Mode");
    let until = stored("Seaweed-X-Amz-Retention-Until-Date").and_then(|seconds| rfc_3339(seconds));
    let is_locked = mode.is_some() || until.is_some();
    headers.extend(mode.map(|mode| (LOCK_MODE, value(mode))));
    headers.extend(until.map(|until| (RETAIN_UNTIL, value(until.as_bytes()))));
    match stored("Seaweed-X-Amz-Legal-Hold") {
        Some(hold) => drop(headers.insert(LEGAL_HOLD, value(hold))),
        None if is_locked => drop(headers.insert(LEGAL_HOLD, HeaderValue::from_static("OFF"))),
        None => {}
    }
}

/// Seconds since 1970 as a date of RFC 3339. `None`: they are none, or beyond the year 9999.
fn rfc_3339(seconds: &[u8]) -> Option<String> {
    let seconds: u64 = std::str::from_utf8(seconds).ok()?.parse().ok()?;
    const YEAR_10000: u64 = 253_402_300_800;
    (seconds < YEAR_10000)
        .then(|| humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(seconds)).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(attributes: &[(&str, &str)]) -> pb::Entry {
        let extended = attributes.iter().map(|(name, value)| ((*name).to_owned(), value.to_string().into())).collect();
        let attributes = Some(pb::FuseAttributes { file_size: 9, mtime: 1, ..pb::FuseAttributes::default() });
        pb::Entry { name: "k".into(), extended, attributes, ..pb::Entry::default() }
    }

    fn about<T>(entry: &pb::Entry, ask: impl FnOnce(ObjectFacts<'_>, &Query<'_>, &ContentTypes) -> T) -> T {
        let types = ContentTypes::of_this_machine();
        let file = File::of(entry, &types).unwrap();
        let object = ObjectFacts { entry, file: &file, version: Some("67a") };
        ask(object, &Query::parse("response-content-language=de").unwrap(), &types)
    }

    /// What the gateway answers about the entry, with a byte of it.
    fn decision(entry: &pb::Entry, total: &str) -> HeaderMap {
        let mut headers = about(entry, |object, query, types| of_itself(&object, query, types));
        for (name, value) in [
            ("etag", "\"ab\""),
            ("date", "Thu, 01 Jan 1970 00:00:09 GMT"),
            ("server", "SeaweedFS 8000GB 4.48"),
            ("vary", "Origin"),
            ("access-control-allow-origin", "*"),
            ("x-amz-request-id", "1"),
            ("x-of-a-proxy", "1"),
            ("content-length", "1"),
        ] {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        headers.insert(CONTENT_RANGE, HeaderValue::try_from(format!("bytes 0-0/{total}")).unwrap());
        headers
    }

    const NOW: [(&str, &str); 3] = [("X-Amz-Meta-Is", "new"), ("Cache-Control", "no-store"), ("X-Amz-Tagging-a", "1")];

    fn is_told(decision: &HeaderMap) -> bool {
        about(&entry(&NOW), |object, query, types| tells_of(decision, &object, query, types))
    }

    #[test]
    fn a_decision_about_the_same_entry_tells_of_it() {
        let decision = decision(&entry(&NOW), "9");
        assert!(is_told(&decision));
        let answer =
            about(&entry(&NOW), |object, query, types| of_object(&object, &decision, &HeaderMap::new(), query, types));
        for (name, value) in
            [("etag", "\"ab\""), ("x-of-a-proxy", "1"), ("x-amz-meta-is", "new"), ("x-amz-version-id", "67a")]
        {
            assert_eq!(answer[name], value, "{name}");
        }
        assert!(OF_THE_QUESTION.iter().all(|name| !answer.contains_key(name)));
    }

    /// Only those who wrote it in capitals got it, though the gateway gives it to all.
    #[test]
    fn a_checksum_is_asked_for_in_any_case() {
        let entry = entry(&[
            ("x-seaweedfs-checksum-algorithm", "X-Amz-Checksum-Sha1"),
            ("x-seaweedfs-checksum-value", "LL6ApKRwo3ngNUa17VBGUBS76DA="),
        ]);
        let decision = decision(&entry, "9");
        let is_told = |mode: &'static str| {
            let request = HeaderMap::from_iter([(CHECKSUM_MODE, HeaderValue::from_static(mode))]);
            let answer = about(&entry, |object, query, types| of_object(&object, &decision, &request, query, types));
            answer.contains_key("x-amz-checksum-sha1")
        };
        assert!(["ENABLED", "enabled", "Enabled"].into_iter().all(is_told));
        assert!(!["", "ENABLE", "true"].into_iter().any(is_told));
    }

    /// The bytes, and so the ETag, may be the same: the answer had the headers of both.
    #[test]
    fn a_decision_about_another_entry_with_the_same_bytes_does_not() {
        let [is, cache, tag] = NOW;
        for (what, other) in [
            ("a value", &[("X-Amz-Meta-Is", "old"), cache, tag][..]),
            ("one more", &[is, cache, tag, ("X-Amz-Meta-Was", "1")]),
            ("one more of SeaweedFS's", &[is, cache, tag, ("Seaweed-X-Amz-Owner", "1")]),
            ("one less", &[is, tag]),
            ("one tag more", &[is, cache, tag, ("X-Amz-Tagging-b", "1")]),
            ("encryption", &[is, cache, tag, ("X-Amz-Server-Side-Encryption", "AES256")]),
        ] {
            assert!(!is_told(&decision(&entry(other), "9")), "{what}");
        }
        assert!(!is_told(&decision(&entry(&NOW), "10")), "the size");
        let mut touched = entry(&NOW);
        touched.attributes.as_mut().unwrap().mtime = 2;
        assert!(!is_told(&decision(&touched, "9")), "when it was written");
        touched = entry(&NOW);
        touched.attributes.as_mut().unwrap().mime = "text/x-tide".into();
        assert!(!is_told(&decision(&touched, "9")), "its type");
    }
}
