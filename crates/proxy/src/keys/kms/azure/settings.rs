//! What an operator says of Azure Key Vault.

use std::time::Duration;

use zeroize::Zeroizing;

/// What `[kms.providers.<name>]` says with `type = "azure"`. Names and defaults are the S3 gateway's, but for those that
/// it does not have, which are marked.
pub struct Settings {
    /// `vault_url`: `https://name.vault.azure.net/`.
    pub vault_url: String,
    /// How the daemon shows who it is.
    pub login: Login,
    /// `request_timeout`, for one try; no new try begins once this much time has passed in all.
    pub request_timeout: Duration,
    /// `max_retries` (ours): further tries when throttled or not reachable.
    pub max_retries: u32,
}

/// How the daemon shows who it is.
pub enum Login {
    /// A service principal.
    Client {
        /// `authority_host` (ours): `https://login.microsoftonline.com`.
        authority_host: String,
        /// `tenant_id`.
        tenant_id: String,
        /// `client_id`.
        client_id: String,
        /// `client_secret`.
        client_secret: Zeroizing<String>,
    },
    /// `use_default_creds`: the machine's managed identity, by the metadata server at this address.
    Machine(String),
}
