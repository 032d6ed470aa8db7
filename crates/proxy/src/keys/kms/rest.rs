//! Requests of REST services: an address, a path below it, a token; forms where logins want them.
//!
//! Knows how a request is put together. Must not know any service.

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Uri, header};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::{
    Failure, KmsError,
    http::{Answer, ExchangeError, HttpClient},
    secret::ZeroizedBody,
};

/// The header of a JSON body.
pub(super) const JSON: (&str, &str) = ("content-type", "application/json");
/// The header of a form.
pub(super) const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

impl HttpClient {
    /// Sends a request to `base` and the path below it, with a header that says what is sent or asked for, and a token.
    ///
    /// # Errors
    /// [`Failure::Unreachable`] without an answer in time, [`Failure::Nonsense`] with one that is too long.
    pub(super) async fn ask(
        &self,
        method: Method,
        base: &Uri,
        path: &str,
        (name, value): (&'static str, &'static str),
        token: Option<HeaderValue>,
        body: Bytes,
    ) -> Result<Answer, KmsError> {
        let invalid = |error: http::Error| KmsError::new(Failure::Invalid, &error.to_string());
        let below = base.path().trim_end_matches('/');
        let uri = Uri::builder()
            .scheme(base.scheme_str().unwrap_or("https"))
            .authority(base.authority().map_or("", |authority| authority.as_str()))
            .path_and_query(format!("{below}{path}"))
            .build()
            .map_err(invalid)?;
        let mut request = Request::builder().method(method).uri(uri).body(body).map_err(invalid)?;
        request.headers_mut().insert(name, HeaderValue::from_static(value));
        if let Some(token) = token {
            request.headers_mut().insert(header::AUTHORIZATION, token);
        }
        self.send(request).await.map_err(ExchangeError::into_kms_error)
    }
}

/// A form with secrets in it (`application/x-www-form-urlencoded`).
pub(super) struct Form(ZeroizedBody);

/// Room for a form from the start, in bytes: text that grows leaves copies behind.
const ROOM: usize = 8 << 10;

impl Form {
    pub(super) fn new() -> Self {
        Self(ZeroizedBody::new(String::with_capacity(ROOM)))
    }

    /// Adds a field.
    pub(super) fn with(mut self, name: &str, value: &str) -> Self {
        let text = &mut *self.0.0;
        if !text.is_empty() {
            text.push('&');
        }
        text.push_str(name);
        text.push('=');
        text.extend(utf8_percent_encode(value, NON_ALPHANUMERIC));
        self
    }

    /// The form as a body.
    pub(super) fn body(self) -> Bytes {
        Bytes::from_owner(self.0)
    }
}
