//! Google Cloud KMS: one `cryptoKeys:decrypt` per data key.
//!
//! Knows the REST API (<https://cloud.google.com/kms/docs/reference/rest/v1/projects.locations.keyRings.cryptoKeys/decrypt>).
//! Must not know retries or caches. What a data key is wrapped under is as in `weed/kms/gcp` @4.48.
//!
//! The call is our own on hyper: the official client brings gRPC and a second token cache for one POST.

mod answer;
mod login;
mod settings;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, time::Duration};

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use crypto::{DataKey, KmsKey};
use futures_util::future::BoxFuture;
use http::{HeaderValue, Method, StatusCode, Uri, uri::Scheme};
use serde::Serialize;

use self::login::GoogleLogin;
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
/// With this many pairs, each order of them is tried: two for two, six for three.
const MOST_PAIRS_IN_ANY_ORDER: usize = 3;

/// One Google Cloud KMS.
pub struct Gcp {
    about: ProviderInfo,
    endpoint: Uri,
    http: HttpClient,
    tokens: Tokens<GoogleLogin>,
}

impl Gcp {
    /// The provider of this configured name. Asks nobody yet.
    ///
    /// # Errors
    /// [`Blame::Config`](crate::Blame::Config) for an endpoint that makes no URL, and credentials that are no service
    /// account's; never with what is in them.
    pub fn new(name: &str, settings: Settings) -> Result<Self> {
        let endpoint = base_address(name, "endpoint", &settings.endpoint)?;
        let http = HttpClient::new(CONNECT, settings.request_timeout, endpoint.scheme() == Some(&Scheme::HTTPS))?;
        let tokens = Tokens::new(GoogleLogin::new(name, settings.login, http.clone())?);
        let (max_retries, patience) = (settings.max_retries, settings.request_timeout);
        let about = ProviderInfo { name: name.to_owned(), kind: "gcp", max_retries, patience };
        Ok(Self { about, endpoint, http, tokens })
    }

    async fn ask(&self, key: &KmsKey) -> Result<UnwrappedKey, KmsError> {
        let name = crypto_key(&key.envelope.key_id)?;
        let ciphertext = ciphertext::bytes(&key.envelope.ciphertext)?;
        let mut refused = None;
        for context in contexts(&key.context) {
            match self.decrypt_under(name, &ciphertext, context.as_deref()).await {
                // The answer names no key: that it opened is what shows that it was the right one.
                Ok(opened) => return Ok(UnwrappedKey { key: opened, key_id: key.envelope.key_id.clone() }),
                Err(error) if error.failure() == Failure::Invalid => refused = Some(error),
                Err(error) => return Err(error),
            }
        }
        Err(refused.unwrap_or_else(|| KmsError::new(Failure::Invalid, "")))
    }

    async fn decrypt_under(&self, name: &str, ciphertext: &[u8], context: Option<&str>) -> Result<DataKey, KmsError> {
        let body = serde_json::to_vec(&DecryptInput {
            ciphertext: BASE64_STANDARD.encode(ciphertext),
            ciphertext_crc32c: crc32c::crc32c(ciphertext).to_string(),
            additional_authenticated_data: context.map(|context| BASE64_STANDARD.encode(context)),
            additional_authenticated_data_crc32c: context.map(|context| crc32c::crc32c(context.as_bytes()).to_string()),
        })
        .map_err(|_| KmsError::new(Failure::Invalid, "the wrapped key does not fit into a request"))?;
        let (path, body) = (format!("/v1/{name}:decrypt"), Bytes::from(body));
        let answer = self.tokens.ask(|token| self.post(&path, token, body.clone())).await?;
        if answer.status == StatusCode::OK { answer::key(&answer.body) } else { Err(answer::refusal(&answer)) }
    }

    async fn post(&self, path: &str, token: HeaderValue, body: Bytes) -> Result<Answer, KmsError> {
        self.http.ask(Method::POST, &self.endpoint, path, JSON, Some(token), body).await
    }
}

impl Provider for Gcp {
    fn about(&self) -> &ProviderInfo {
        &self.about
    }

    fn decrypt<'a>(&'a self, key: &'a KmsKey) -> BoxFuture<'a, Result<UnwrappedKey, KmsError>> {
        Box::pin(self.ask(key))
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DecryptInput {
    ciphertext: String,
    ciphertext_crc32c: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    additional_authenticated_data: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    additional_authenticated_data_crc32c: Option<String>,
}

/// The name of the key, which goes into a path: anything else could lead our token elsewhere. The service's answer to
/// `encrypt`, which the gateway stores, names the key's version too; `decrypt` wants it without.
fn crypto_key(id: &str) -> Result<&str, KmsError> {
    const COLLECTIONS: [&str; 5] = ["projects", "locations", "keyRings", "cryptoKeys", "cryptoKeyVersions"];
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ':');
    let segments: Vec<&str> = id.split('/').collect();
    let named = matches!(segments.len(), 8 | 10)
        && segments.chunks(2).zip(COLLECTIONS).all(|(pair, collection)| {
            let [is, name] = pair else { return false };
            *is == collection && name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.chars().all(plain)
        });
    if !named {
        return Err(KmsError::new(Failure::Invalid, "the key id is not the resource name of a Cloud KMS key"));
    }
    Ok(id.split_once("/cryptoKeyVersions/").map_or(id, |(key, _)| key))
}

/// The context as the gateway joins it: `key=value&key=value`, none if there is none. It takes the pairs in the order of
/// a Go map, which is another each time and not stored, so of a few pairs every order is tried.
fn contexts(context: &BTreeMap<String, String>) -> Vec<Option<String>> {
    if context.is_empty() {
        return vec![None];
    }
    let mut pairs: Vec<String> = context.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let mut orders = vec![pairs.join("&")];
    if pairs.len() <= MOST_PAIRS_IN_ANY_ORDER {
        permute(&mut pairs, 0, &mut |order| {
            let joined = order.join("&");
            if !orders.contains(&joined) {
                orders.push(joined);
            }
        });
    }
    orders.into_iter().map(Some).collect()
}

/// Shows every order of what is from `first` on.
fn permute(pairs: &mut [String], first: usize, see: &mut dyn FnMut(&[String])) {
    if first == pairs.len() {
        return see(pairs);
    }
    for next in first..pairs.len() {
        pairs.swap(first, next);
        permute(pairs, first + 1, see);
        pairs.swap(first, next);
    }
}
