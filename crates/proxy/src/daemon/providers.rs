//! From `[kms.providers.<name>]` to the provider that it sets up.
//!
//! Knows which kinds this build has. Must not know what a provider does.

use std::sync::Arc;

use http::StatusCode;

use crate::{Blame, Error, Result, config, keys::kms::Provider, tls::ClientTls};

/// The provider of one table, which has `tls` where it names certificates of its own.
///
/// # Errors
/// Settings that make no provider, or a kind that this build was made without. Each begins with the name of the key or table.
pub(super) fn make(name: &str, provider: config::Provider, tls: Option<&ClientTls>) -> Result<Arc<dyn Provider>> {
    let table = format!("kms.providers.{name}");
    made(name, provider, tls).map_err(|error| match error.message().starts_with(&table) {
        true => error,
        false => broken(format!("{table}: {error}")).caused_by(error),
    })
}

#[cfg_attr(not(feature = "openbao"), expect(unused_variables, reason = "only openbao has certificates of its own"))]
fn made(name: &str, provider: config::Provider, tls: Option<&ClientTls>) -> Result<Arc<dyn Provider>> {
    match provider {
        #[cfg(feature = "aws")]
        config::Provider::Aws(settings) => Ok(Arc::new(crate::keys::kms::aws::Aws::new(name, aws(settings))?)),
        #[cfg(feature = "openbao")]
        config::Provider::OpenBao(settings) => {
            Ok(Arc::new(crate::keys::kms::openbao::OpenBao::new(name, openbao(settings, tls)?)?))
        }
        #[cfg(feature = "gcp")]
        config::Provider::Gcp(settings) => Ok(Arc::new(crate::keys::kms::gcp::Gcp::new(name, gcp(name, settings)?)?)),
        #[cfg(feature = "azure")]
        config::Provider::Azure(settings) => {
            Ok(Arc::new(crate::keys::kms::azure::Azure::new(name, azure(name, settings)?)?))
        }
        #[cfg(not(all(feature = "aws", feature = "openbao", feature = "gcp", feature = "azure")))]
        other => {
            let kind = other.kind();
            Err(broken(format!(
                "kms.providers.{name}.type: this tidegate was built without the feature {kind:?}; take a build with it, or \
                 remove the provider"
            )))
        }
    }
}

fn broken(message: String) -> Error {
    Error::new(Blame::Config, StatusCode::INTERNAL_SERVER_ERROR, message)
}

#[cfg(feature = "_http")]
fn text(secret: &config::Secret) -> zeroize::Zeroizing<String> {
    zeroize::Zeroizing::new(secret.expose().to_owned())
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
fn openbao(bao: config::OpenBao, tls: Option<&ClientTls>) -> Result<crate::keys::kms::openbao::Settings> {
    use crate::keys::kms::openbao::{Login, Settings};

    let login = match (&bao.token, &bao.role_id, &bao.secret_id) {
        (Some(token), ..) => Login::Token(text(token)),
        (None, Some(role), Some(secret)) => {
            Login::AppRole { role_id: text(role), secret_id: text(secret), path: bao.approle_path }
        }
        _ => {
            return Err(broken("an openbao provider needs a token, or role_id and secret_id".to_owned()));
        }
    };
    Ok(Settings {
        address: bao.address,
        login,
        transit_path: bao.transit_path,
        tls: ClientTls::config_of(tls).map_err(|error| broken(error.to_string()).caused_by(error))?,
        request_timeout: bao.request_timeout.0,
        max_retries: bao.max_retries,
    })
}

#[cfg(feature = "gcp")]
fn gcp(name: &str, gcp: config::Gcp) -> Result<crate::keys::kms::gcp::Settings> {
    use base64::{Engine, prelude::BASE64_STANDARD};

    use crate::keys::kms::gcp::{Login, Settings};

    let login = match (&gcp.credentials, &gcp.credentials_json) {
        (Some(json), _) => Login::ServiceAccount(text(json)),
        (None, Some(encoded)) => {
            let json = BASE64_STANDARD.decode(encoded.expose().trim()).ok();
            let json = json.and_then(|json| String::from_utf8(json).ok());
            let unreadable = || broken(format!("kms.providers.{name}.credentials_json is not base64 of JSON"));
            Login::ServiceAccount(json.map(zeroize::Zeroizing::new).ok_or_else(unreadable)?)
        }
        (None, None) => Login::Metadata(gcp.metadata_endpoint),
    };
    let (request_timeout, max_retries) = (gcp.request_timeout.0, gcp.max_retries);
    Ok(Settings { login, endpoint: gcp.endpoint, request_timeout, max_retries })
}

#[cfg(feature = "azure")]
fn azure(name: &str, azure: config::Azure) -> Result<crate::keys::kms::azure::Settings> {
    use crate::keys::kms::azure::{Login, Settings};

    let login = match (azure.tenant_id, azure.client_id, &azure.client_secret) {
        _ if azure.use_default_creds => Login::Machine(azure.identity_endpoint),
        (Some(tenant_id), Some(client_id), Some(secret)) => {
            let (authority_host, client_secret) = (azure.authority_host, text(secret));
            Login::Client { authority_host, tenant_id, client_id, client_secret }
        }
        _ => return Err(broken(format!("kms.providers.{name} needs tenant_id, client_id and client_secret"))),
    };
    let (request_timeout, max_retries) = (azure.request_timeout.0, azure.max_retries);
    Ok(Settings { vault_url: azure.vault_url, login, request_timeout, max_retries })
}
