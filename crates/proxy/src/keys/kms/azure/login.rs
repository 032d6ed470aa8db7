//! Who we are at Azure: a service principal with a secret, or the machine's managed identity.
//!
//! Knows the client credentials flow (<https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow>) and the
//! metadata server. Must not know what tokens are used for.

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Method, Uri};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use zeroize::Zeroizing;

use super::{
    super::{
        KmsError,
        address::{base_address, broken},
        bearer::{self, TokenGrant},
        http::HttpClient,
        rest::{FORM, Form},
    },
    settings::Login,
};
use crate::Result;

/// What a token is for where the vault's address does not say: the public cloud.
const PUBLIC: &str = "https://vault.azure.net";

pub(super) struct AzureLogin {
    who: Identity,
    /// What tokens are for: `https://vault.azure.net`.
    resource: String,
    http: HttpClient,
}

enum Identity {
    Client { authority: Uri, path: String, id: String, secret: Zeroizing<String> },
    Machine(Uri),
}

impl AzureLogin {
    pub(super) fn new(name: &str, login: Login, vault: &Uri, http: HttpClient) -> Result<Self> {
        let who = match login {
            Login::Client { authority_host, tenant_id, client_id, client_secret } => {
                let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
                if tenant_id.is_empty() || tenant_id.starts_with('.') || !tenant_id.chars().all(plain) {
                    return Err(broken(format!("kms.providers.{name}.tenant_id is no tenant's id or domain")));
                }
                let authority = base_address(name, "authority_host", &authority_host)?;
                let path = format!("/{tenant_id}/oauth2/v2.0/token");
                Identity::Client { authority, path, id: client_id, secret: client_secret }
            }
            Login::Machine(address) => Identity::Machine(base_address(name, "identity_endpoint", &address)?),
        };
        Ok(Self { who, resource: resource(vault), http })
    }

    async fn fetch(&self) -> Result<TokenGrant, KmsError> {
        let answer = match &self.who {
            Identity::Client { authority, path, id, secret } => {
                let form = Form::new()
                    .with("grant_type", "client_credentials")
                    .with("client_id", id)
                    .with("client_secret", secret)
                    .with("scope", &format!("{}/.default", self.resource));
                self.http.ask(Method::POST, authority, path, FORM, None, form.body()).await?
            }
            Identity::Machine(address) => {
                let resource = utf8_percent_encode(&self.resource, NON_ALPHANUMERIC);
                let path = format!("/metadata/identity/oauth2/token?api-version=2018-02-01&resource={resource}");
                self.http.ask(Method::GET, address, &path, ("metadata", "true"), None, Bytes::new()).await?
            }
        };
        bearer::granted(&answer)
    }
}

impl bearer::Login for AzureLogin {
    fn login(&self) -> BoxFuture<'_, Result<TokenGrant, KmsError>> {
        Box::pin(self.fetch())
    }
}

/// Each cloud's vaults are below the name that tokens for them carry: `name.vault.azure.cn`, `name.managedhsm.azure.net`.
fn resource(vault: &Uri) -> String {
    let below = vault.host().and_then(|host| host.split_once('.')).map(|(_, below)| below);
    match below.filter(|below| below.starts_with("vault.") || below.starts_with("managedhsm.")) {
        Some(below) => format!("https://{below}"),
        None => PUBLIC.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_for_the_vaults_own_cloud() {
        for (vault, wanted) in [
            ("https://mine.vault.azure.net", "https://vault.azure.net"),
            ("https://mine.vault.azure.cn/", "https://vault.azure.cn"),
            ("https://mine.managedhsm.azure.net", "https://managedhsm.azure.net"),
            ("http://127.0.0.1:8080", PUBLIC),
            ("https://evil.example", PUBLIC),
        ] {
            assert_eq!(resource(&vault.parse().unwrap()), wanted, "{vault}");
        }
    }
}
