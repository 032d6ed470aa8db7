//! What an operator says of AWS KMS.

use std::time::Duration;

use zeroize::Zeroizing;

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
    pub(super) fn without_blanks(mut self) -> Self {
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
