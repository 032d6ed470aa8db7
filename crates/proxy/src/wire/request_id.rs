//! The name of one request, by which what its client was told and what the log says are brought together.

use std::{
    fmt,
    hash::{BuildHasher as _, RandomState},
    sync::{
        LazyLock,
        atomic::{AtomicU32, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use http::{Extensions, HeaderMap, HeaderName, HeaderValue};

/// The filer's name for the header, which all of its answers have.
const HEADER: HeaderName = HeaderName::from_static("x-amz-request-id");

/// 24 hex digits in the filer's form: the time in nanoseconds, and four bytes that no other request of the time has
/// (`weed/util/request_id/request_id.go` @4.48).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestId {
    nanoseconds: u64,
    unique: u32,
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
        Self { nanoseconds, unique: NEXT.fetch_add(1, Ordering::Relaxed) }
    }

    /// That of a request, which its connection gave it; a new one where it has none.
    #[must_use]
    pub fn of(extensions: &Extensions) -> Self {
        extensions.get().copied().unwrap_or_default()
    }

    /// Names the request in an answer. One that is the filer's, found in its log, keeps its name.
    pub fn name(self, headers: &mut HeaderMap) {
        if let Ok(value) = HeaderValue::try_from(self.to_string()) {
            headers.entry(HEADER).or_insert(value);
        }
    }
}

impl Default for RequestId {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016X}{:08X}", self.nanoseconds, self.unique)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_another_in_the_filers_form() {
        let (one, two) = (RequestId::new().to_string(), RequestId::new().to_string());
        assert!(one.len() == 24 && one.bytes().all(|byte| byte.is_ascii_hexdigit()), "{one}");
        assert_ne!(one, two);
    }

    #[test]
    fn the_filers_own_stays() {
        let mut headers = HeaderMap::from_iter([(HEADER, HeaderValue::from_static("18"))]);
        RequestId::new().name(&mut headers);
        assert_eq!(headers[HEADER], "18");
    }
}
