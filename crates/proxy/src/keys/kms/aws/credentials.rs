//! Where the credentials for AWS come from, and for how long they are used.
//!
//! Knows the sources and their order. Must not know what is signed with them.
//!
//! `access_key` with `secret_key` come first, then `profile`, as in the S3 gateway. Without them it is the usual chain:
//! environment (`AWS_ACCESS_KEY_ID`, ...), shared files (`AWS_PROFILE`), single sign-on, web identity
//! (`AWS_WEB_IDENTITY_TOKEN_FILE`, `AWS_ROLE_ARN`), ECS and EKS containers, EC2 instance metadata (IMDSv2). `role_arn` is
//! assumed on top of whichever it was. `credential_process` is not supported: the daemon starts no programs.
//!
//! Credentials are renewed two minutes before they end, and used until then where that fails. Those of files have no end on
//! record, whoever writes others into them: so what the KMS does not accept is fetched once more.

use std::{ffi::OsString, fmt, path::PathBuf, sync::Arc, time::Duration};

use http::request::Parts;
use reqsign_aws_v4::{
    AssumeRoleCredentialProvider, AssumeRoleWithWebIdentityCredentialProvider, Credential, ECSCredentialProvider,
    EnvCredentialProvider, IMDSv2CredentialProvider, ProfileCredentialProvider, RequestSigner, SSOCredentialProvider,
    StaticCredentialProvider,
};
use reqsign_core::{
    Context, Env, Error as SigningError, ErrorKind, FileRead, HttpSend, OsEnv, ProvideCredential, ProvideCredentialDyn,
    SignRequest, Signer, SigningCredential, StaticEnv, time::Timestamp,
};
use tokio::time::Instant;

use super::{
    super::{
        Failure, KmsError,
        address::broken,
        http::{ExchangeError, HttpClient},
        token_slot::{AGAIN, Expires, TokenSlot},
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

/// Credentials that were found.
pub(super) struct Found {
    credential: Credential,
    at: Instant,
}

impl Expires for Found {
    fn is_expired(&self) -> bool {
        !self.credential.is_valid_at(Timestamp::now())
    }

    fn is_due(&self) -> bool {
        // The source may have no others yet.
        !self.credential.is_valid() && self.at.elapsed() >= AGAIN
    }
}

impl Found {
    fn is_like(&self, other: &Self) -> bool {
        let (one, two) = (&self.credential, &other.credential);
        one.access_key_id == two.access_key_id
            && one.secret_access_key == two.secret_access_key
            && one.session_token == two.session_token
    }
}

/// The credentials in use, and where others are found.
pub(super) struct Credentials {
    settings: Settings,
    context: Context,
    signer: RequestSigner,
    slot: TokenSlot<Found>,
}

impl Credentials {
    /// By these settings, for the provider of this name. Looks for none yet.
    ///
    /// # Errors
    /// [`Blame::Config`](crate::Blame::Config) for half a pair of keys.
    pub(super) fn new(name: &str, settings: Settings, context: Context) -> Result<Self> {
        match (&settings.access_key, &settings.secret_key) {
            (Some(_), None) => return Err(broken(format!("kms.providers.{name} has access_key without secret_key"))),
            (None, Some(_)) => return Err(broken(format!("kms.providers.{name} has secret_key without access_key"))),
            _ => {}
        }
        // The standard token header: the other one is for S3 Express and is chosen by host name.
        let signer = RequestSigner::new("kms", &settings.region).with_standard_session_token();
        Ok(Self { settings, context, signer, slot: TokenSlot::new() })
    }

    /// Those that should be good.
    ///
    /// # Errors
    /// When there are none, or their source fails.
    pub(super) async fn current(&self) -> Result<Arc<Found>, KmsError> {
        self.slot.get(self.find()).await
    }

    /// Others, after a request with these was refused for them; `None`: there are no others.
    ///
    /// # Errors
    /// As [`Credentials::current`].
    pub(super) async fn instead_of(&self, refused: &Arc<Found>) -> Result<Option<Arc<Found>>, KmsError> {
        let newer = self.slot.refresh_unless_newer(refused, async { Ok(false) }, self.find()).await?;
        Ok(newer.filter(|newer| !newer.is_like(refused)))
    }

    /// Signs a request.
    ///
    /// # Errors
    /// When it cannot be signed.
    pub(super) async fn sign(&self, found: &Found, parts: &mut Parts) -> Result<(), KmsError> {
        self.signer
            .sign_request(&self.context, parts, Some(&found.credential), None)
            .await
            .map_err(|error| failed(&error))
    }

    async fn find(&self) -> Result<Found, KmsError> {
        // Made anew, lest it has kept what others begin with.
        let source = source(&self.settings, &self.context);
        let credential = tokio::time::timeout(self.settings.request_timeout, source.provide_credential(&self.context))
            .await
            .map_err(|_| KmsError::new(Failure::NoCredentials, "none within request_timeout"))?
            .map_err(|error| failed(&error))?
            .ok_or_else(|| KmsError::new(Failure::NoCredentials, "there are none where they may be"))?;
        Ok(Found { credential, at: Instant::now() })
    }
}

fn failed(error: &SigningError) -> KmsError {
    let is_refusal = error.kind() == ErrorKind::PermissionDenied;
    let failure = if is_refusal { Failure::BadCredentials } else { Failure::NoCredentials };
    KmsError::new(failure, &error.to_string())
}

/// Where these settings have credentials from.
fn source(settings: &Settings, context: &Context) -> FirstOf {
    let Settings { region, access_key, secret_key, session_token, profile, role_arn, external_id, .. } = settings;
    let source = match (access_key, secret_key, profile) {
        (Some(access), Some(secret), _) => {
            let fixed = StaticCredentialProvider::new(access, secret);
            FirstOf::default().then(match session_token {
                Some(token) => fixed.with_session_token(token),
                None => fixed,
            })
        }
        (_, _, Some(profile)) => FirstOf::default().then(ProfileCredentialProvider::new().with_profile(profile)),
        _ => {
            let web = AssumeRoleWithWebIdentityCredentialProvider::new();
            FirstOf::default()
                .then(EnvCredentialProvider::new())
                .then(ProfileCredentialProvider::new())
                .then(SSOCredentialProvider::new())
                .then(web.with_region(region.clone()).with_regional_sts_endpoint())
                .then(ECSCredentialProvider::new())
                .then(IMDSv2CredentialProvider::new())
        }
    };
    let Some(role) = role_arn else { return source };
    let sts = Signer::new(context.clone(), source, RequestSigner::new("sts", region));
    let assumed = AssumeRoleCredentialProvider::new(role.clone(), sts)
        .with_role_session_name(SESSION.to_owned())
        .with_region(region.clone())
        .with_regional_sts_endpoint();
    FirstOf::default().then(match external_id {
        Some(id) => assumed.with_external_id(id.clone()),
        None => assumed,
    })
}

/// The first source that has credentials.
///
/// One that should have some and fails is the end of it, as in AWS's own clients: what comes after it would make us somebody
/// else, whom the KMS refuses, or allows more than it should, for as long as those credentials last. The chains of
/// `reqsign` go on.
#[derive(Default)]
struct FirstOf(Vec<Box<dyn ProvideCredentialDyn<Credential = Credential>>>);

impl FirstOf {
    fn then(mut self, source: impl ProvideCredential<Credential = Credential> + 'static) -> Self {
        self.0.push(Box::new(source));
        self
    }
}

impl ProvideCredential for FirstOf {
    type Credential = Credential;

    async fn provide_credential(&self, context: &Context) -> reqsign_core::Result<Option<Credential>> {
        for source in &self.0 {
            if let Some(found) = source.provide_credential_dyn(context).await? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }
}

// Some sources are secrets.
impl fmt::Debug for FirstOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FirstOf").finish_non_exhaustive()
    }
}

/// What the sources may use: the environment, files, and HTTP through our own client.
pub(super) fn context() -> Result<Context> {
    let http = HttpClient::new(CONNECT, ANSWER, false)?;
    let environment = environment(std::env::vars_os(), OsEnv.home_dir());
    Ok(Context::new().with_env(environment).with_file_read(Files).with_http_send(Http(http)))
}

/// The environment as AWS's own clients take it: what is set to nothing is not set. The library takes it for a value, and
/// panics where any variable, of whomever, is no text.
fn environment(variables: impl Iterator<Item = (OsString, OsString)>, home_dir: Option<PathBuf>) -> StaticEnv {
    let text = |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
    let is_set = |(name, value): &(String, String)| name.starts_with("AWS_") && !value.is_empty();
    StaticEnv { home_dir, envs: variables.filter_map(text).filter(is_set).collect() }
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
