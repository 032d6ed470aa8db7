//! `[kms.providers.<name>]` of type `aws`: the keys of SeaweedFS's `weed/kms/aws` and `weed/kms/config_loader.go` @4.48.

use super::url;
use crate::{
    config::{Seconds, Secret, scope::Scope},
    settings::Error,
};

provider! {
    /// AWS KMS, or a service that speaks its API.
    pub struct Aws {
        /// The region.
        region: String = "us-east-1";
        /// The access key id.
        access_key: Option<Secret>;
        /// The secret access key; it goes with `access_key`.
        secret_key: Option<Secret>;
        /// The session token of temporary keys; it goes with `access_key`.
        session_token: Option<Secret>;
        /// The URL of the service, where it is not AWS's own.
        endpoint: Option<String>;
        /// A profile of the shared AWS configuration, instead of `access_key`.
        profile: Option<String>;
        /// The role to assume.
        role_arn: Option<String>;
        /// The external id that the role asks for; it goes with `role_arn`.
        external_id: Option<String>;
        /// How long a connection may take. 0 counts as 10, as at the gateway.
        connect_timeout: Seconds = "10", max "1h";
        /// How often a failed request is tried again. 0 counts as 3, as at the gateway.
        max_retries: u32 = "3", max "100";
    }
    check = complete;
}

fn complete(mut aws: Aws, scope: &Scope<'_>) -> Result<Aws, Error> {
    match (&aws.access_key, &aws.secret_key) {
        (Some(_), None) => return Err(scope.error("secret_key", "must be set, because access_key is")),
        (None, Some(_)) => return Err(scope.error("access_key", "must be set, because secret_key is")),
        _ => {}
    }
    // The gateway passes over what stands here in vain; whoever wrote it meant something by it.
    if aws.session_token.is_some() && aws.access_key.is_none() {
        return Err(
            scope.error("session_token", "has no use without access_key and secret_key; set them, or remove it")
        );
    }
    if aws.profile.is_some() && aws.access_key.is_some() {
        return Err(scope.error("profile", "is set, and access_key too; keep one of them"));
    }
    if aws.external_id.is_some() && aws.role_arn.is_none() {
        return Err(scope.error("external_id", "has no use without role_arn; set it, or remove external_id"));
    }
    if let Some(endpoint) = &aws.endpoint {
        url(scope, "endpoint", endpoint)?;
    }
    if aws.region.is_empty() {
        aws.region = "us-east-1".to_owned();
    }
    aws.connect_timeout.zero_counts_as(10);
    aws.request_timeout.zero_counts_as(30);
    if aws.max_retries == 0 {
        aws.max_retries = 3;
    }
    Ok(aws)
}
