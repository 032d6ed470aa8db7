//! AWS KMS, and services that speak its protocol: one `Decrypt` per data key.
//!
//! Knows the request, the answer and the codes of the KMS JSON protocol
//! (<https://docs.aws.amazon.com/kms/latest/APIReference/API_Decrypt.html>). Must not know retries or caches.
//!
//! Signing is `reqsign-aws-v4`'s. Next to the official `aws-sigv4` it adds about as many crates (20) but brings the
//! credential sources too, needs no newer compiler than ours, and sends through our own HTTP client. It keeps credentials in
//! plain strings that are not wiped; this module cannot change that. Data keys never pass through it.
//!
//! Not there: `HTTPS_PROXY`, an STS endpoint other than the region's own, and `credential_process`.

mod answer;
mod credentials;
mod settings;
#[cfg(test)]
pub(crate) mod sigv4;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use crypto::KmsKey;
use futures_util::future::BoxFuture;
use http::{HeaderValue, Request, StatusCode, Uri, header, uri::Scheme};
use reqsign_core::hash::hex_sha256;
use serde::Serialize;

use self::credentials::{Credentials, Found};
pub use self::settings::Settings;
use super::{
    Failure, KmsError, Provider, ProviderInfo, UnwrappedKey,
    address::broken,
    http::{ExchangeError, HttpClient},
};
use crate::Result;

/// One AWS KMS.
pub struct Aws {
    about: ProviderInfo,
    endpoint: Uri,
    http: HttpClient,
    credentials: Credentials,
}

impl Aws {
    /// The provider of this configured name. Asks nobody yet.
    ///
    /// # Errors
    /// [`Blame::Config`](crate::Blame::Config) for an endpoint or region that makes no address, half a pair of keys, or a system without root
    /// certificates.
    pub fn new(name: &str, settings: Settings) -> Result<Self> {
        let settings = settings.without_blanks();
        let endpoint = endpoint(name, &settings)?;
        let tls = endpoint.scheme() == Some(&Scheme::HTTPS);
        let http = HttpClient::new(settings.connect_timeout, settings.request_timeout, tls)?;
        let (max_retries, patience) = (settings.max_retries, settings.request_timeout);
        let about = ProviderInfo { name: name.to_owned(), kind: "aws", max_retries, patience };
        let credentials = Credentials::new(name, settings, credentials::context()?)?;
        Ok(Self { about, endpoint, http, credentials })
    }

    async fn ask(&self, key: &KmsKey) -> Result<UnwrappedKey, KmsError> {
        let request = self.request(key)?;
        let found = self.credentials.current().await?;
        let refused = match self.send(request.clone(), &found).await {
            Err(error) if error.failure() == Failure::BadCredentials => error,
            other => return other,
        };
        // They were replaced or ended early, perhaps. With others we know.
        match self.credentials.instead_of(&found).await? {
            Some(others) => self.send(request, &others).await,
            None => Err(refused),
        }
    }

    async fn send(&self, request: Request<Bytes>, found: &Found) -> Result<UnwrappedKey, KmsError> {
        let (mut parts, body) = request.into_parts();
        self.credentials.sign(found, &mut parts).await?;
        let request = Request::from_parts(parts, body);
        let answer = self.http.send(request).await.map_err(ExchangeError::into_kms_error)?;
        if answer.status == StatusCode::OK { answer::key(&answer.body) } else { Err(answer::refusal(&answer)) }
    }

    /// The request without its signature. As the gateway does, it leaves the key id to the ciphertext, which names it;
    /// the answer's key id is compared afterwards.
    fn request(&self, key: &KmsKey) -> Result<Request<Bytes>, KmsError> {
        // Decoded to be checked before it is sent: the KMS would call it our fault.
        let wrapped = BASE64_STANDARD
            .decode(&key.envelope.ciphertext)
            .map_err(|_| KmsError::new(Failure::Invalid, "the envelope's ciphertext is not base64"))?;
        let body = serde_json::to_vec(&DecryptInput {
            ciphertext_blob: &BASE64_STANDARD.encode(wrapped),
            encryption_context: (!key.context.is_empty()).then_some(&key.context),
        })
        .map_err(|_| KmsError::new(Failure::Invalid, "the encryption context does not fit into a request"))?;
        let digest = HeaderValue::try_from(hex_sha256(&body))
            .map_err(|_| KmsError::new(Failure::Invalid, "the request has no digest"))?;
        let mut request = Request::post(self.endpoint.clone())
            .body(Bytes::from(body))
            .map_err(|error| KmsError::new(Failure::Invalid, &error.to_string()))?;
        let headers = request.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-amz-json-1.1"));
        headers.insert("x-amz-target", HeaderValue::from_static("TrentService.Decrypt"));
        headers.insert("x-amz-content-sha256", digest);
        Ok(request)
    }
}

impl Provider for Aws {
    fn about(&self) -> &ProviderInfo {
        &self.about
    }

    fn decrypt<'a>(&'a self, key: &'a KmsKey) -> BoxFuture<'a, Result<UnwrappedKey, KmsError>> {
        Box::pin(self.ask(key))
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct DecryptInput<'a> {
    ciphertext_blob: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    encryption_context: Option<&'a BTreeMap<String, String>>,
}

fn endpoint(name: &str, settings: &Settings) -> Result<Uri> {
    let region = &settings.region;
    let text = match settings.endpoint.as_deref() {
        // Like the AWS SDK that the gateway uses: no scheme means TLS.
        Some(set) if !set.contains("://") => format!("https://{set}"),
        Some(set) => set.to_owned(),
        None if region.starts_with("cn-") => format!("https://kms.{region}.amazonaws.com.cn"),
        None => format!("https://kms.{region}.amazonaws.com"),
    };
    let setting = if settings.endpoint.is_some() { "endpoint" } else { "region" };
    text.parse::<Uri>()
        .ok()
        .filter(|uri| {
            matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some_and(|host| !host.is_empty())
        })
        .filter(|uri| {
            uri.query().is_none() && !uri.authority().is_some_and(|authority| authority.as_str().contains('@'))
        })
        .ok_or_else(|| {
            broken(format!("kms.providers.{name}.{setting} makes no address like https://kms.us-east-1.amazonaws.com"))
        })
}
