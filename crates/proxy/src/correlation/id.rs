//! The name of one request, by which what its client was told and what logs say are brought together.

use std::{
    fmt::{self, Write as _},
    hash::{BuildHasher as _, RandomState},
    sync::{
        LazyLock,
        atomic::{AtomicU32, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use http::{Extensions, HeaderMap, HeaderName, HeaderValue};

use super::TraceParent;

/// The filer's name for the header, which all of its answers have.
const AMZ: HeaderName = HeaderName::from_static("x-amz-request-id");
/// The name that proxies have for it.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The longest name that is taken from others, bytes: it stands in each line of the logs.
const LONGEST: usize = 128;

/// What a request is called. One that was made here is 24 hex digits in the filer's form: the time in nanoseconds, and four
/// bytes that no other request of the time has (`weed/util/request_id/request_id.go` @4.48). Clones share the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId {
    /// Nothing but [these](is_plain).
    text: HeaderValue,
    /// Somebody else has chosen it.
    foreign: bool,
}

impl RequestId {
    /// A new one.
    #[must_use]
    pub fn new() -> Self {
        static NEXT: LazyLock<AtomicU32> = LazyLock::new(|| {
            // Each RandomState is seeded by the operating system.
            AtomicU32::new(RandomState::new().hash_one(std::process::id()) as u32)
        });
        let nanoseconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64);
        let mut text = String::with_capacity(24);
        // Writing to a text does not fail, and hex digits are a header's value.
        let _ = write!(text, "{nanoseconds:016X}{:08X}", NEXT.fetch_add(1, Ordering::Relaxed));
        let text = HeaderValue::try_from(text).unwrap_or(const { HeaderValue::from_static("none") });
        Self { text, foreign: false }
    }

    /// What headers of somebody who is believed call their request: by `X-Request-Id`, or else by the trace of `traceparent`.
    /// `None`: nothing that can be used.
    pub(crate) fn from_headers(headers: &HeaderMap) -> Option<Self> {
        let named = TraceParent::only(headers, &REQUEST_ID).filter(|name| is_plain(name));
        // Copied: a part of the request's head would keep all of it in memory.
        let text = match named {
            Some(name) => HeaderValue::from_bytes(name),
            None => HeaderValue::try_from(TraceParent::of(headers)?.trace()),
        };
        Some(Self { text: text.ok()?, foreign: true })
    }

    /// That of a request, which its connection gave it; a new one where it has none.
    #[must_use]
    pub fn of(extensions: &Extensions) -> Self {
        extensions.get().cloned().unwrap_or_default()
    }

    /// Names the request in an answer. One that is the filer's, found in its log, keeps its name. Whoever has chosen a name
    /// is told that it was taken.
    pub fn name(&self, headers: &mut HeaderMap) {
        if self.foreign {
            headers.insert(REQUEST_ID, self.text.clone());
        }
        headers.entry(AMZ).or_insert_with(|| self.text.clone());
    }

    /// The same as the value of a header.
    pub(crate) fn value(&self) -> &HeaderValue {
        &self.text
    }

    fn as_str(&self) -> &str {
        std::str::from_utf8(self.text.as_bytes()).unwrap_or_default()
    }
}

/// Whether it can stand in headers, in lines of text and in JSON and XML as it is.
fn is_plain(name: &[u8]) -> bool {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:/+=@~".contains(byte);
    (1..=LONGEST).contains(&name.len()) && name.iter().all(plain)
}

impl Default for RequestId {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_is_another_in_the_filers_form() {
        let (one, two) = (RequestId::new().to_string(), RequestId::new().to_string());
        assert!(one.len() == 24 && one.bytes().all(|byte| byte.is_ascii_hexdigit()), "{one}");
        assert_ne!(one, two);
    }

    #[test]
    fn the_filers_own_stays() {
        let mut headers = HeaderMap::from_iter([(AMZ, HeaderValue::from_static("18"))]);
        RequestId::new().name(&mut headers);
        assert_eq!((&headers[AMZ], headers.len()), (&HeaderValue::from_static("18"), 1));
    }

    fn named_by(lines: &[(&'static str, &str)]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        RequestId::from_headers(&headers).map(|id| id.to_string())
    }

    const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_name_is_taken_from_others_where_it_can_be_used() {
        assert_eq!(named_by(&[("x-request-id", "a-1_B.:/+=@~")]).as_deref(), Some("a-1_B.:/+=@~"));
        assert_eq!(named_by(&[("x-request-id", &"a".repeat(128))]), Some("a".repeat(128)));
        assert_eq!(named_by(&[("traceparent", TRACE)]).as_deref(), Some("0af7651916cd43dd8448eb211c80319c"));
        assert_eq!(named_by(&[("x-request-id", "one"), ("traceparent", TRACE)]).as_deref(), Some("one"));
        for unusable in ["", "a b", "a\"b", "<a>", "a&b", "ä", "a,b", "a\\b", "{a}", &"a".repeat(129)] {
            assert_eq!(named_by(&[("x-request-id", unusable)]), None, "{unusable}");
            let traced = named_by(&[("x-request-id", unusable), ("traceparent", TRACE)]);
            assert_eq!(traced.as_deref(), Some("0af7651916cd43dd8448eb211c80319c"), "{unusable}");
        }
        assert_eq!(named_by(&[("x-request-id", "one"), ("x-request-id", "two")]), None, "which of them?");
        assert_eq!(named_by(&[]), None);
    }

    #[test]
    fn whoever_has_chosen_a_name_is_told_that_it_was_taken() {
        let mut headers = HeaderMap::from_iter([(REQUEST_ID, HeaderValue::from_static("one"))]);
        let id = RequestId::from_headers(&headers).unwrap();
        headers.clear();
        id.name(&mut headers);
        assert_eq!((&headers[REQUEST_ID], &headers[AMZ]), (id.value(), id.value()));
    }

    proptest! {
        #[test]
        fn what_is_taken_needs_no_quotes(name in "[ -~]{0,140}") {
            if let Some(taken) = named_by(&[("x-request-id", &name)]) {
                prop_assert_eq!(&taken, &name);
                prop_assert_eq!(serde_json::to_string(&taken).unwrap(), format!("\"{name}\""));
                prop_assert!(taken.len() <= 128 && !taken.contains(['<', '>', '&', '\'', ' ', ',', ';']));
            }
        }
    }
}
