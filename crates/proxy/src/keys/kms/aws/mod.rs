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
#[cfg(test)]
pub(crate) mod sigv4;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, time::Duration};

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use crypto::KmsKey;
use futures_util::future::BoxFuture;
use http::{HeaderValue, Request, StatusCode, Uri, header, uri::Scheme};
use reqsign_aws_v4::Credential;
use reqsign_core::{ErrorKind, Signer, hash::hex_sha256};
use serde::Serialize;
use zeroize::Zeroizing;

use super::{
    About, Decrypted, Failure, KmsError, Provider,
    http::{Failed, HttpClient},
};
use crate::{Blame, Error, Result};

/// What `[kms.providers.<name>]` says with `type = "aws"`. Names and defaults are the S3 gateway's.
pub struct Settings {
    /// `region`; the gateway's default is `us-east-1`.
    pub region: String,
    /// `endpoint`: `http://host:port` or `https://host:port`; `None`: the region's own.
    pub endpoint: Option<String>,
    /// `access_key`; counts only together with `secret_key`.
    pub access_key: Option<Zeroizing<String>>,
    /// `secret_key`.
    pub secret_key: Option<Zeroizing<String>>,
    /// `session_token`, for temporary credentials.
    pub session_token: Option<Zeroizing<String>>,
    /// `profile` in the shared credentials files, where no keys are set.
    pub profile: Option<String>,
    /// `role_arn`: a role to assume with the credentials found. The gateway reads this setting and does nothing with it.
    pub role_arn: Option<String>,
    /// `external_id` for assuming that role.
    pub external_id: Option<String>,
    /// `connect_timeout`.
    pub connect_timeout: Duration,
    /// `request_timeout`, for one try; no new try begins once this much time has passed in all.
    pub request_timeout: Duration,
    /// `max_retries`: further tries when throttled or not reachable. Zero is none (to the gateway it is three).
    pub max_retries: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            region: "us-east-1".to_owned(),
            endpoint: None,
            access_key: None,
            secret_key: None,
            session_token: None,
            profile: None,
            role_arn: None,
            external_id: None,
            connect_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(30),
            max_retries: 3,
        }
    }
}

impl Settings {
    /// As in the gateway, an empty text or a timeout of zero is as good as none.
    fn without_blanks(mut self) -> Self {
        if self.region.is_empty() {
            self.region = Self::default().region;
        }
        if self.connect_timeout.is_zero() {
            self.connect_timeout = Self::default().connect_timeout;
        }
        if self.request_timeout.is_zero() {
            self.request_timeout = Self::default().request_timeout;
        }
        for text in [&mut self.endpoint, &mut self.profile, &mut self.role_arn, &mut self.external_id] {
            text.take_if(|text| text.is_empty());
        }
        for secret in [&mut self.access_key, &mut self.secret_key, &mut self.session_token] {
            secret.take_if(|secret| secret.is_empty());
        }
        self
    }
}

/// One AWS KMS.
pub struct Aws {
    about: About,
    endpoint: Uri,
    http: HttpClient,
    signer: Signer<Credential>,
}

impl Aws {
    /// The provider of this configured name. Asks nobody yet.
    ///
    /// # Errors
    /// [`Blame::Config`] for an endpoint or region that makes no address, half a pair of keys, or a system without root
    /// certificates.
    pub fn new(name: &str, settings: Settings) -> Result<Self> {
        let settings = settings.without_blanks();
        let endpoint = endpoint(name, &settings)?;
        let tls = endpoint.scheme() == Some(&Scheme::HTTPS);
        let http = HttpClient::new(settings.connect_timeout, settings.request_timeout, tls)?;
        let (max_retries, patience) = (settings.max_retries, settings.request_timeout);
        let about = About { name: name.to_owned(), kind: "aws", max_retries, patience };
        let signer = credentials::signer(name, settings, &credentials::context()?)?;
        Ok(Self { about, endpoint, http, signer })
    }

    async fn ask(&self, key: &KmsKey) -> Result<Decrypted, KmsError> {
        let request = self.request(key)?;
        let request = self.signed(request).await?;
        let answer = self.http.send(request).await.map_err(Failed::told)?;
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

    async fn signed(&self, request: Request<Bytes>) -> Result<Request<Bytes>, KmsError> {
        let (mut parts, body) = request.into_parts();
        tokio::time::timeout(self.about.patience, self.signer.sign(&mut parts, None))
            .await
            .map_err(|_| KmsError::new(Failure::NoCredentials, "none within request_timeout"))?
            .map_err(|error| {
                let refused = error.kind() == ErrorKind::PermissionDenied;
                let failure = if refused { Failure::BadCredentials } else { Failure::NoCredentials };
                KmsError::new(failure, &error.to_string())
            })?;
        Ok(Request::from_parts(parts, body))
    }
}

impl Provider for Aws {
    fn about(&self) -> &About {
        &self.about
    }

    fn decrypt<'a>(&'a self, key: &'a KmsKey) -> BoxFuture<'a, Result<Decrypted, KmsError>> {
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

fn broken(message: String) -> Error {
    Error::new(Blame::Config, StatusCode::INTERNAL_SERVER_ERROR, message)
}
