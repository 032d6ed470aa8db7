//! From `[kms.providers.<name>]` to the provider that it sets up.
//!
//! Knows which kinds this build has. Must not know what a provider does.

use std::sync::Arc;

use zeroize::Zeroizing;

use crate::{
    Result,
    config::{self, Secret},
    keys::kms::Provider,
};

/// The provider of one table.
///
/// # Errors
/// Settings that make no provider, or a kind that this build was made without.
pub(super) fn make(name: &str, provider: config::Provider) -> Result<Arc<dyn Provider>> {
    match provider {
        #[cfg(feature = "aws")]
        config::Provider::Aws(settings) => Ok(Arc::new(crate::keys::kms::aws::Aws::new(name, aws(settings))?)),
        #[cfg(feature = "openbao")]
        config::Provider::OpenBao(settings) => {
            Ok(Arc::new(crate::keys::kms::openbao::OpenBao::new(name, openbao(settings)?)?))
        }
        #[cfg(not(all(feature = "aws", feature = "openbao")))]
        other => {
            let kind = other.kind();
            let message = format!("kms.providers.{name}: this tidegate was built without the feature {kind:?}");
            Err(crate::Error::new(crate::Blame::Config, http::StatusCode::INTERNAL_SERVER_ERROR, message))
        }
    }
}

#[cfg(any(feature = "aws", feature = "openbao"))]
fn text(secret: &Secret) -> Zeroizing<String> {
    Zeroizing::new(secret.expose().to_owned())
}

#[cfg(feature = "aws")]
fn aws(aws: config::Aws) -> crate::keys::kms::aws::Settings {
    crate::keys::kms::aws::Settings {
        region: aws.region,
        endpoint: aws.endpoint,
        access_key: aws.access_key.as_ref().map(text),
        secret_key: aws.secret_key.as_ref().map(text),
        session_token: aws.session_token.as_ref().map(text),
        profile: aws.profile,
        role_arn: aws.role_arn,
        external_id: aws.external_id,
        connect_timeout: aws.connect_timeout.0,
        request_timeout: aws.request_timeout.0,
        max_retries: aws.max_retries,
    }
}

#[cfg(feature = "openbao")]
fn openbao(bao: config::OpenBao) -> Result<crate::keys::kms::openbao::Settings> {
    use crate::keys::kms::openbao::{Login, Settings};

    let login = match (&bao.token, &bao.role_id, &bao.secret_id) {
        (Some(token), ..) => Login::Token(text(token)),
        (None, Some(role), Some(secret)) => {
            Login::AppRole { role_id: text(role), secret_id: text(secret), path: bao.approle_path }
        }
        _ => {
            let message = "an openbao provider needs a token, or role_id and secret_id";
            return Err(crate::Error::new(crate::Blame::Config, http::StatusCode::INTERNAL_SERVER_ERROR, message));
        }
    };
    Ok(Settings {
        address: bao.address,
        login,
        transit_path: bao.transit_path,
        ca_cert: bao.ca_cert.map(Into::into),
        client_cert: bao.client_cert.zip(bao.client_key).map(|(certificate, key)| (certificate.into(), key.into())),
        request_timeout: bao.request_timeout.0,
        max_retries: bao.max_retries,
    })
}
