//! What an operator says of OpenBao and Vault.

use std::time::Duration;

use rustls::ClientConfig;
use zeroize::Zeroizing;

/// What `[kms.providers.<name>]` says with `type = "openbao"` or `"vault"`. Names and defaults are the S3 gateway's, but
/// for those that it does not have, which are marked.
pub struct Settings {
    /// `address`: `http://host:port` or `https://host:port`.
    pub address: String,
    /// How the daemon shows who it is.
    pub login: Login,
    /// `transit_path`: where the transit engine is mounted.
    pub transit_path: String,
    /// From `ca_cert`, `client_cert` and `client_key`; `None`: the system's authorities, and no certificate is shown.
    pub tls: Option<ClientConfig>,
    /// `request_timeout`, for one try; no new try begins once this much time has passed in all.
    pub request_timeout: Duration,
    /// `max_retries` (ours): further tries when throttled or not reachable.
    pub max_retries: u32,
}

/// How the daemon shows who it is.
pub enum Login {
    /// `token`, used as it is; somebody else renews it.
    Token(Zeroizing<String>),
    /// `role_id` and `secret_id`: a token is fetched, renewed before it ends, and fetched anew when it cannot be renewed.
    AppRole {
        /// `role_id`.
        role_id: Zeroizing<String>,
        /// `secret_id`.
        secret_id: Zeroizing<String>,
        /// `approle_path` (ours): where the AppRole method is mounted, `auth/approle` at the gateway.
        path: String,
    },
}
