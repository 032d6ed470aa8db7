//! OpenBao and HashiCorp Vault: one `decrypt` of the transit engine per data key.
//!
//! Knows the transit API (<https://openbao.org/api-docs/secret/transit/#decrypt-data>) and its answers. Must not know
//! retries or caches. What a data key is wrapped under, and what goes into `context`, is as in `weed/kms/openbao` @4.48.
//!
//! The call is our own on hyper: the client crates bring a second HTTP client and TLS stack for three POSTs.

mod answer;
mod service;
mod settings;
#[cfg(test)]
mod tests;
mod token;

use std::{sync::Arc, time::Duration};

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use crypto::{KmsKey, context_json};
use futures_util::future::BoxFuture;
use http::{StatusCode, uri::Scheme};
use serde::Serialize;

pub use self::settings::{Login, Settings};
use self::{service::Service, token::Tokens};
use super::{
    Failure, KmsError, Provider, ProviderInfo, UnwrappedKey,
    address::{base_address, broken},
    http::HttpClient,
};
use crate::Result;

/// How long connecting may take; the gateway's client has no such setting.
const CONNECT: Duration = Duration::from_secs(10);

/// One OpenBao or Vault.
pub struct OpenBao {
    about: ProviderInfo,
    service: Service,
    transit_path: String,
    tokens: Arc<Tokens>,
}

impl OpenBao {
    /// The provider of this configured name. Asks nobody yet.
    ///
    /// # Errors
    /// [`Blame::Config`](crate::Blame::Config) for an address or path that makes no URL, and certificate files that cannot be read.
    pub fn new(name: &str, settings: Settings) -> Result<Self> {
        let address = base_address(name, "address", &settings.address)?;
        let https = address.scheme() == Some(&Scheme::HTTPS);
        let http = match settings.tls {
            Some(tls) => HttpClient::with_tls(CONNECT, settings.request_timeout, tls),
            None => HttpClient::new(CONNECT, settings.request_timeout, https)?,
        };
        let service = Service { address, http };
        let transit_path = mount(name, "transit_path", &settings.transit_path)?;
        let login = match settings.login {
            Login::AppRole { role_id, secret_id, path } => {
                let path = mount(name, "approle_path", &path)?;
                Login::AppRole { role_id, secret_id, path }
            }
            token => token,
        };
        let (max_retries, patience) = (settings.max_retries, settings.request_timeout);
        let about = ProviderInfo { name: name.to_owned(), kind: "openbao", max_retries, patience };
        let tokens = Tokens::new(service.clone(), login);
        Ok(Self { about, service, transit_path, tokens })
    }

    async fn ask(&self, key: &KmsKey) -> Result<UnwrappedKey, KmsError> {
        let path = format!("{}/decrypt/{}", self.transit_path, transit_key(&key.envelope.key_id)?);
        let context = (!key.context.is_empty()).then(|| BASE64_STANDARD.encode(context_json(&key.context)));
        let body = serde_json::to_vec(&DecryptInput { ciphertext: &key.envelope.ciphertext, context })
            .map_err(|_| KmsError::new(Failure::Invalid, "the wrapped key does not fit into a request"))?;
        let body = Bytes::from(body);

        let token = self.tokens.current().await?;
        let mut answer = self.service.post(&path, Some(token.text()), body.clone()).await?;
        // A token that ended early is refused in the same words as a request that is not allowed.
        if answer.status == StatusCode::FORBIDDEN
            && let Some(token) = self.tokens.instead_of(&token).await?
        {
            answer = self.service.post(&path, Some(token.text()), body).await?;
        }
        if answer.status != StatusCode::OK {
            return Err(answer::refusal(&answer));
        }
        // The answer names no key: that it opened is what shows that it was the right one.
        Ok(UnwrappedKey { key: answer::key(&answer.body)?, key_id: key.envelope.key_id.clone() })
    }
}

impl Provider for OpenBao {
    fn about(&self) -> &ProviderInfo {
        &self.about
    }

    fn decrypt<'a>(&'a self, key: &'a KmsKey) -> BoxFuture<'a, Result<UnwrappedKey, KmsError>> {
        Box::pin(self.ask(key))
    }
}

#[derive(Serialize)]
struct DecryptInput<'a> {
    ciphertext: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    context: Option<String>,
}

/// The name of a transit key, which goes into a path: anything else could lead our token elsewhere.
fn transit_key(id: &str) -> Result<&str, KmsError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let named = id.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_') && id.chars().all(plain);
    if named { Ok(id) } else { Err(KmsError::new(Failure::Invalid, "the key id is not the name of a transit key")) }
}

/// A mount path without slashes at its ends.
fn mount(name: &str, setting: &str, path: &str) -> Result<String> {
    let path = path.trim_matches('/');
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let good = path.split('/').all(|part| !part.is_empty() && !part.starts_with('.') && part.chars().all(plain));
    if good {
        return Ok(path.to_owned());
    }
    Err(broken(format!("kms.providers.{name}.{setting} is not a mount path like transit")))
}
