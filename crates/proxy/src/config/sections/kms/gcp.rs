//! `[kms.providers.<name>]` of type `gcp`: the keys of SeaweedFS's `weed/kms/gcp` @4.48, and a few of ours.

use super::url;
use crate::{
    config::{Secret, scope::Scope},
    settings::Error,
};

provider! {
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
        /// How often a failed request is tried again. Ours, under the name that it has with AWS.
        max_retries: u32 = "3", max "100";
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
    url(scope, "endpoint", &gcp.endpoint)?;
    url(scope, "metadata_endpoint", &gcp.metadata_endpoint)?;
    gcp.request_timeout.zero_counts_as(30);
    Ok(gcp)
}
