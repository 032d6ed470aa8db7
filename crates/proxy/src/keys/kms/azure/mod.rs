//! Azure Key Vault: one `decrypt` per data key.
//!
//! Knows the REST API (<https://learn.microsoft.com/rest/api/keyvault/keys/decrypt>). Must not know retries or caches. The
//! algorithm, the version of the API, and what goes into `aad`, are as in `weed/kms/azure` @4.48 and the client that it uses
//! (azkeys 0.10.0).
//!
//! The call is our own on hyper: the official client brings a second HTTP and TLS stack for two POSTs.

mod answer;
mod login;
mod settings;
#[cfg(test)]
mod tests;

use std::time::Duration;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use bytes::Bytes;
use crypto::{KmsKey, context_json};
use futures_util::future::BoxFuture;
use http::{HeaderName, HeaderValue, Method, StatusCode, Uri, uri::Scheme};
use serde::Serialize;

use self::login::AzureLogin;
pub use self::settings::{Login, Settings};
use super::{
    Failure, KmsError, Provider, ProviderInfo, UnwrappedKey,
    address::base_address,
    bearer::Tokens,
    ciphertext,
    http::{Answer, HttpClient},
    rest::JSON,
};
use crate::Result;

/// How long connecting may take; the gateway's client has no such setting.
const CONNECT: Duration = Duration::from_secs(10);
const ALGORITHM: &str = "RSA-OAEP-256";
const API_VERSION: &str = "7.4";
/// What the vault's own log calls `clientRequestId`.
const CLIENT_REQUEST_ID: HeaderName = HeaderName::from_static("x-ms-client-request-id");

/// One Azure Key Vault.
pub struct Azure {
    about: ProviderInfo,
    vault: Uri,
    http: HttpClient,
    tokens: Tokens<AzureLogin>,
}

impl Azure {
    /// The provider of this configured name. Asks nobody yet.
    ///
    /// # Errors
    /// [`Blame::Config`](crate::Blame::Config) for addresses that make no URL and ids that are none.
    pub fn new(name: &str, settings: Settings) -> Result<Self> {
        let vault = base_address(name, "vault_url", &settings.vault_url)?;
        let http = HttpClient::new(CONNECT, settings.request_timeout, vault.scheme() == Some(&Scheme::HTTPS))?;
        let http = http.named_by(CLIENT_REQUEST_ID);
        let tokens = Tokens::new(AzureLogin::new(name, settings.login, &vault, http.clone())?);
        let (max_retries, patience) = (settings.max_retries, settings.request_timeout);
        let about = ProviderInfo { name: name.to_owned(), kind: "azure", max_retries, patience };
        Ok(Self { about, vault, http, tokens })
    }

    async fn ask(&self, key: &KmsKey) -> Result<UnwrappedKey, KmsError> {
        let id = &key.envelope.key_id;
        let vault_key = VaultKey::of(id, &self.vault)?;
        let ciphertext = ciphertext::bytes(&key.envelope.ciphertext)?;
        let aad = (!key.context.is_empty()).then(|| BASE64_URL_SAFE_NO_PAD.encode(context_json(&key.context)));
        let value = BASE64_URL_SAFE_NO_PAD.encode(ciphertext);
        let body = serde_json::to_vec(&DecryptInput { alg: ALGORITHM, value, aad })
            .map_err(|_| KmsError::new(Failure::Invalid, "the wrapped key does not fit into a request"))?;
        let VaultKey { name, version } = vault_key;
        let path = format!("/keys/{name}/{version}/decrypt?api-version={API_VERSION}");
        let body = Bytes::from(body);

        let answer = self.tokens.ask(|token| self.post(&path, token, body.clone())).await?;
        if answer.status != StatusCode::OK {
            return Err(answer::refusal(&answer));
        }
        let (opened, answered) = answer::key(&answer.body)?;
        Ok(UnwrappedKey { key: opened, key_id: self.stored_id(&answered, id, vault_key).to_owned() })
    }

    /// The stored id where the answered one names the same key in other words: the stored one may do without address or
    /// version. Else the answered one.
    fn stored_id<'a>(&self, answered: &'a str, stored: &'a str, asked: VaultKey<'_>) -> &'a str {
        let same = VaultKey::of(answered, &self.vault).is_ok_and(|answered| {
            answered.name == asked.name && (asked.version.is_empty() || answered.version == asked.version)
        });
        if same { stored } else { answered }
    }

    async fn post(&self, path: &str, token: HeaderValue, body: Bytes) -> Result<Answer, KmsError> {
        self.http.ask(Method::POST, &self.vault, path, JSON, Some(token), body).await
    }
}

impl Provider for Azure {
    fn about(&self) -> &ProviderInfo {
        &self.about
    }

    fn decrypt<'a>(&'a self, key: &'a KmsKey) -> BoxFuture<'a, Result<UnwrappedKey, KmsError>> {
        Box::pin(self.ask(key))
    }
}

#[derive(Serialize)]
struct DecryptInput {
    alg: &'static str,
    value: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    aad: Option<String>,
}

/// A key by its name and version, the latter empty for the newest.
#[derive(Clone, Copy)]
struct VaultKey<'a> {
    name: &'a str,
    version: &'a str,
}

impl<'a> VaultKey<'a> {
    /// Of what the gateway stores: the service's own `https://name.vault.azure.net/keys/<name>/<version>`, or a bare name. Both
    /// go into a path: anything else could lead our token elsewhere.
    fn of(id: &'a str, vault: &Uri) -> Result<Self, KmsError> {
        let path = match id.split_once("://") {
            None => id,
            Some((_, rest)) => {
                let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
                let ours = vault.authority().map_or("", |authority| authority.as_str());
                if !authority.eq_ignore_ascii_case(ours) {
                    return Err(KmsError::new(Failure::NotFound, "the key is in another vault than vault_url"));
                }
                path.strip_prefix("keys/").unwrap_or_default()
            }
        };
        let (name, version) = path.split_once('/').unwrap_or((path, ""));
        let named = |part: &str, more: &[char]| part.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(&c));
        if name.is_empty() || !named(name, &['-']) || !named(version, &[]) {
            return Err(KmsError::new(Failure::Invalid, "the key id is not the name of a Key Vault key"));
        }
        Ok(Self { name, version })
    }
}
