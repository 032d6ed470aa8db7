//! Where the credentials for AWS come from.
//!
//! Knows the sources and their order. Must not know what is signed with them.
//!
//! `access_key` with `secret_key` come first, then `profile`, as in the S3 gateway. Without them it is the usual chain:
//! environment (`AWS_ACCESS_KEY_ID`, ...), shared files (`AWS_PROFILE`), single sign-on, web identity
//! (`AWS_WEB_IDENTITY_TOKEN_FILE`, `AWS_ROLE_ARN`), ECS and EKS containers, EC2 instance metadata (IMDSv2). `role_arn` is
//! assumed on top of whichever it was. `credential_process` is not supported: the daemon starts no programs. Credentials
//! are kept until two minutes before they expire, by the signer.

use std::time::Duration;

use reqsign_aws_v4::{
    AssumeRoleCredentialProvider, AssumeRoleWithWebIdentityCredentialProvider, Credential, DefaultCredentialProvider,
    ProfileCredentialProvider, RequestSigner, StaticCredentialProvider,
};
use reqsign_core::{
    Context, Error as SigningError, ErrorKind, FileRead, HttpSend, OsEnv, ProvideCredential, ProvideCredentialChain,
    Signer,
};

use super::{
    super::{
        address::broken,
        http::{ExchangeError, HttpClient},
    },
    settings::Settings,
};
use crate::Result;

/// The name that assumed sessions carry in CloudTrail.
const SESSION: &str = "tidegate";
/// Instance metadata is next door or not there at all, which must not take long to find out.
const CONNECT: Duration = Duration::from_secs(2);
/// Long enough for STS.
const ANSWER: Duration = Duration::from_secs(10);

/// A signer for KMS requests by these settings.
pub(super) fn signer(name: &str, settings: Settings, context: &Context) -> Result<Signer<Credential>> {
    let Settings { region, access_key, secret_key, session_token, profile, role_arn, external_id, .. } = settings;
    let source = match (access_key, secret_key) {
        (Some(access), Some(secret)) => {
            let fixed = StaticCredentialProvider::new(&access, &secret);
            chain(match session_token {
                Some(token) => fixed.with_session_token(&token),
                None => fixed,
            })
        }
        (None, None) => match profile {
            Some(profile) => chain(ProfileCredentialProvider::new().with_profile(profile)),
            None => {
                let web = AssumeRoleWithWebIdentityCredentialProvider::new();
                let web = web.with_region(region.clone()).with_regional_sts_endpoint();
                chain(DefaultCredentialProvider::builder().no_process().web_identity(web).build())
            }
        },
        (Some(_), None) => return Err(broken(format!("kms.providers.{name} has access_key without secret_key"))),
        (None, Some(_)) => return Err(broken(format!("kms.providers.{name} has secret_key without access_key"))),
    };
    let source = match role_arn {
        Some(role) => {
            let sts = Signer::new(context.clone(), source, RequestSigner::new("sts", &region));
            let assumed = AssumeRoleCredentialProvider::new(role, sts)
                .with_role_session_name(SESSION.to_owned())
                .with_region(region.clone())
                .with_regional_sts_endpoint();
            chain(match external_id {
                Some(id) => assumed.with_external_id(id),
                None => assumed,
            })
        }
        None => source,
    };
    // The standard token header: the other one is for S3 Express and is chosen by host name.
    let request = RequestSigner::new("kms", &region).with_standard_session_token();
    Ok(Signer::new(context.clone(), source, request))
}

fn chain(of: impl ProvideCredential<Credential = Credential> + 'static) -> ProvideCredentialChain<Credential> {
    ProvideCredentialChain::new().push(of)
}

/// What the sources may use: the environment, files, and HTTP through our own client.
pub(super) fn context() -> Result<Context> {
    let http = HttpClient::new(CONNECT, ANSWER, false)?;
    Ok(Context::new().with_env(OsEnv).with_file_read(Files).with_http_send(Http(http)))
}

#[derive(Debug)]
struct Files;

impl FileRead for Files {
    async fn file_read(&self, path: &str) -> reqsign_core::Result<Vec<u8>> {
        tokio::fs::read(path)
            .await
            .map_err(|error| SigningError::new(ErrorKind::ConfigInvalid, format!("{path}: {error}")))
    }
}

#[derive(Debug)]
struct Http(HttpClient);

impl HttpSend for Http {
    async fn http_send(
        &self,
        request: http::Request<bytes::Bytes>,
    ) -> reqsign_core::Result<http::Response<bytes::Bytes>> {
        let answer = self.0.send(request).await.map_err(|failed| {
            let why = match failed {
                ExchangeError::Connection(why) => why,
                ExchangeError::Late => "no answer in time".to_owned(),
                ExchangeError::TooLong => "the answer is too long".to_owned(),
            };
            SigningError::unexpected(why).set_retryable(true)
        })?;
        let mut response = http::Response::new(bytes::Bytes::copy_from_slice(&answer.body));
        *response.status_mut() = answer.status;
        *response.headers_mut() = answer.headers;
        Ok(response)
    }
}

#[cfg(test)]
mod tests;
