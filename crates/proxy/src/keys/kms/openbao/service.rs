//! The HTTP API of OpenBao and Vault.

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Uri, header};

use super::super::{
    Failure, KmsError,
    http::{Answer, ExchangeError, HttpClient},
};

/// The HTTP API, below `/v1/`.
#[derive(Clone)]
pub(super) struct Service {
    pub(super) address: Uri,
    pub(super) http: HttpClient,
}

impl Service {
    pub(super) async fn get(&self, path: &str, token: &str) -> Result<Answer, KmsError> {
        self.send(Method::GET, path, Some(token), Bytes::new()).await
    }

    pub(super) async fn post(&self, path: &str, token: Option<&str>, body: Bytes) -> Result<Answer, KmsError> {
        self.send(Method::POST, path, token, body).await
    }

    async fn send(&self, method: Method, path: &str, token: Option<&str>, body: Bytes) -> Result<Answer, KmsError> {
        let invalid = |what: String| KmsError::new(Failure::Invalid, &what);
        let below = self.address.path().trim_end_matches('/');
        let uri = Uri::builder()
            .scheme(self.address.scheme_str().unwrap_or("https"))
            .authority(self.address.authority().map_or("", |authority| authority.as_str()))
            .path_and_query(format!("{below}/v1/{path}"))
            .build()
            .map_err(|error| invalid(error.to_string()))?;
        let mut request =
            Request::builder().method(method).uri(uri).body(body).map_err(|error| invalid(error.to_string()))?;
        let headers = request.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        // Both servers demand it where a proxy in front could be tricked into sending requests.
        headers.insert("x-vault-request", HeaderValue::from_static("true"));
        if let Some(token) = token {
            let mut token = HeaderValue::try_from(token)
                .map_err(|_| KmsError::new(Failure::BadCredentials, "the token has characters that no token has"))?;
            token.set_sensitive(true);
            headers.insert("x-vault-token", token);
        }
        self.http.send(request).await.map_err(ExchangeError::into_kms_error)
    }
}
