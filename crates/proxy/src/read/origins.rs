//! Which scripts in a browser may read: CORS as the filer has it.
//!
//! Knows the operator's list and the `Origin` header. Must not know what is read.

use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{ORIGIN, VARY},
};

use crate::{Blame, Error, Result, entry::headers};

/// The origins that the filer allows.
pub struct AllowedOrigins(Vec<String>);

impl AllowedOrigins {
    /// Reads a list separated by commas, as `cors.allowed_origins` of SeaweedFS's `security.toml` has it.
    pub fn new(list: &str) -> Self {
        Self(list.split(',').map(str::trim).filter(|origin| !origin.is_empty()).map(str::to_owned).collect())
    }

    /// Whether the filer would answer a request from there at all.
    ///
    /// # Errors
    /// 403 for an origin that is not listed.
    pub(super) fn check(&self, request: &HeaderMap) -> Result<()> {
        match request.get(ORIGIN).filter(|origin| !origin.is_empty()) {
            Some(origin) if headers::of_cors(origin, &self.0).is_none() => {
                Err(Error::new(Blame::Client, StatusCode::FORBIDDEN, "origin not allowed"))
            }
            _ => Ok(()),
        }
    }

    /// Adds what the filer adds for a request from a script. A cache is told where the answer depends on the origin.
    pub(super) fn add(&self, response: &mut HeaderMap, request: &HeaderMap) {
        let origin = request.get(ORIGIN).filter(|origin| !origin.is_empty());
        let Some(cors) = origin.and_then(|origin| headers::of_cors(origin, &self.0)) else { return };
        response.extend(cors);
        if self.0.first().is_some_and(|first| first != "*") {
            response.append(VARY, HeaderValue::from_static("Origin"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(origin: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(ORIGIN, HeaderValue::from_static(origin))])
    }

    fn answered(origins: &AllowedOrigins, origin: &'static str) -> Option<String> {
        let mut headers = HeaderMap::new();
        origins.check(&from(origin)).ok()?;
        origins.add(&mut headers, &from(origin));
        headers.get("access-control-allow-origin").map(|value| value.to_str().unwrap().to_owned())
    }

    #[test]
    fn all_unless_listed() {
        for list in ["*", "", "*,https://a.example"] {
            assert_eq!(answered(&AllowedOrigins::new(list), "https://x.example").as_deref(), Some("*"), "{list}");
        }
        let two = AllowedOrigins::new("https://a.example, https://b.example");
        assert_eq!(answered(&two, "https://b.example").as_deref(), Some("https://b.example"));
        assert_eq!(answered(&two, "https://x.example"), None);
        assert!(two.check(&from("https://x.example")).is_err());
        assert!(two.check(&HeaderMap::new()).is_ok());
        let mut headers = HeaderMap::new();
        two.add(&mut headers, &from("https://a.example"));
        assert_eq!(headers["vary"], "Origin");
    }
}
