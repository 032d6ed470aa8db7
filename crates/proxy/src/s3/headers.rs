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
    let ObjectFacts { entry, file, version } = object;
    let mut headers = decision.clone();
    for name in OF_THE_QUESTION {
        headers.remove(name);
    }
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    if let Some(modified) = entry.modified() {
        headers.insert(LAST_MODIFIED, value(httpdate::fmt_http_date(modified).as_bytes()));
    }
    headers.insert(CONTENT_TYPE, content_type(entry, types));
    let etag = headers.remove(ETAG);
    add_attributes(&mut headers, entry);
    headers.remove(ETAG);
    headers.extend(etag.map(|etag| (ETAG, etag)));
    add_tag_count(&mut headers, entry);
    if request.get(CHECKSUM_MODE).is_some_and(|mode| mode == "ENABLED") && !request.contains_key(RANGE) {
        add_checksum(&mut headers, entry);
    }
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
