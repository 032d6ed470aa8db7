//! `[kms.providers.<name>]` of type `azure`: the keys of SeaweedFS's `weed/kms/azure` @4.48, and a few of ours.

use super::url;
use crate::{
    config::{Secret, scope::Scope},
    settings::Error,
};

provider! {
    /// Azure Key Vault. Set `tenant_id`, `client_id` and `client_secret`, or `use_default_creds`. Needs the Cargo feature
    /// `azure`. SeaweedFS 4.48 writes no object that can be opened; see kms.md.
    pub struct Azure {
        /// The vault's URL, `https://name.vault.azure.net/`.
        vault_url: String;
        /// The tenant of the service principal.
        tenant_id: Option<String>;
        /// The service principal's client id.
        client_id: Option<String>;
        /// The service principal's secret.
        client_secret: Option<Secret>;
        /// The gateway has the name and no use for it. Not supported.
        certificate: Option<String>;
        /// Take tokens from the machine's managed identity. Other default credentials are not looked for.
        use_default_creds: bool = "false";
        /// The URL of the login endpoint; other clouds have their own. Ours.
        authority_host: String = "https://login.microsoftonline.com";
        /// The URL of the metadata server. Ours.
        identity_endpoint: String = "http://169.254.169.254";
        /// How often a failed request is tried again. Ours, under the name that it has with AWS.
        max_retries: u32 = "3", max "100";
    }
    check = complete;
}

fn complete(mut azure: Azure, scope: &Scope<'_>) -> Result<Azure, Error> {
    if azure.certificate.is_some() {
        return Err(scope.error("certificate", "is not supported, nor is it at the gateway; set client_secret"));
    }
    match (azure.use_default_creds, &azure.tenant_id, &azure.client_id, &azure.client_secret) {
        (false, Some(_), Some(_), Some(_)) | (true, None, None, None) => {}
        (true, ..) => {
            let both = "is true, and tenant_id, client_id or client_secret is set too; keep one way to log in";
            return Err(scope.error("use_default_creds", both));
        }
        (false, None, ..) => return Err(scope.error("tenant_id", "must be set, or else use_default_creds = true")),
        (false, _, None, _) => return Err(scope.error("client_id", "must be set, because tenant_id is")),
        (false, _, _, None) => return Err(scope.error("client_secret", "must be set, because client_id is")),
    }
    for (key, text) in [
        ("vault_url", &azure.vault_url),
        ("authority_host", &azure.authority_host),
        ("identity_endpoint", &azure.identity_endpoint),
    ] {
        url(scope, key, text)?;
    }
    azure.request_timeout.zero_counts_as(30);
    Ok(azure)
}
