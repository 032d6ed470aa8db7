//! What an operator says of Google Cloud KMS.

use std::time::Duration;

use zeroize::Zeroizing;

/// What `[kms.providers.<name>]` says with `type = "gcp"`. Names and defaults are the S3 gateway's, but for those that it
/// does not have, which are marked.
pub struct Settings {
    /// How the daemon shows who it is.
    pub login: Login,
    /// `endpoint` (ours): `https://cloudkms.googleapis.com`.
    pub endpoint: String,
    /// `request_timeout`, for one try; no new try begins once this much time has passed in all.
    pub request_timeout: Duration,
    /// `max_retries` (ours): further tries when throttled or not reachable.
    pub max_retries: u32,
}

/// How the daemon shows who it is.
pub enum Login {
    /// The JSON of a service account's key, from `credentials_file` or `credentials_json`.
    ServiceAccount(Zeroizing<String>),
    /// `use_default_credentials`: the metadata server at this address gives tokens.
    Metadata(String),
}
