//! `[kms.providers.<name>]` of type `gcp`: the keys of SeaweedFS's `weed/kms/gcp`, and a few of ours.

use std::time::Duration;

use crate::config::{Error, Seconds, Secret, declare::section, scope::Scope};

section! {
    /// Google Cloud KMS. Set one of `credentials_file`, `credentials_json` and `use_default_credentials`. Needs the Cargo
    /// feature `gcp`. SeaweedFS 4.48 writes hardly any object that can be opened; see kms.md.
    pub struct Gcp {
        /// The project. Required, as at the gateway; keys are named in full.
        project_id: String;
        /// The JSON of a service account's key. The gateway knows only `credentials_file`.
        credentials: Option<Secret>;
        /// The same in base64.
        credentials_json: Option<Secret>;
        /// Take tokens from the machine's metadata server. Files of `gcloud` are not looked for.
        use_default_credentials: bool = "false";
        /// The URL of the service. Ours.
        endpoint: String = "https://cloudkms.googleapis.com";
        /// The URL of the metadata server. Ours.
        metadata_endpoint: String = "http://metadata.google.internal";
        /// How long a request may take. 0 counts as 30, as at the gateway.
        request_timeout: Seconds = "30", max "1h";
        /// How often a failed request is tried again. Ours, under the name that it has with AWS.
        max_retries: u32 = "3", max "100";
        /// Accepted for the gateway's sake, without effect: `kms.cache_ttl` and `kms.cache_entries` rule.
        cache_enabled: bool = "true";
        /// Accepted for the gateway's sake, without effect.
        cache_ttl: Seconds = "1h";
        /// Accepted for the gateway's sake, without effect.
        max_cache_size: u32 = "1000";
    }
    check = complete;
}

fn complete(mut gcp: Gcp, scope: &Scope<'_>) -> Result<Gcp, Error> {
    if gcp.project_id.is_empty() {
        return Err(scope.error("project_id", "must be set, as at the S3 gateway"));
    }
    // The gateway takes the first that is set; here two of them are a mistake.
    match (&gcp.credentials, &gcp.credentials_json, gcp.use_default_credentials) {
        (None, None, false) => {
            let ways = "must be set, or else credentials_json, or use_default_credentials = true";
            return Err(scope.error("credentials_file", ways));
        }
        (Some(_), Some(_), _) => {
            return Err(scope.error("credentials_json", "is set, and credentials_file too; keep one of them"));
        }
        (Some(_), ..) | (_, Some(_), _) if gcp.use_default_credentials => {
            return Err(
                scope.error("use_default_credentials", "is true, and other credentials are set; keep one of them")
            );
        }
        _ => {}
    }
    if gcp.request_timeout.0.is_zero() {
        gcp.request_timeout = Seconds(Duration::from_secs(30));
    }
    Ok(gcp)
}
