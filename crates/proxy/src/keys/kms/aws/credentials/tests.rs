//! Each source of credentials, over an environment, files and metadata services that are made up.

use std::{collections::HashMap, path::PathBuf, sync::Arc, sync::Mutex};

use bytes::Bytes;
use http::{Request, Response};

use super::*;

#[derive(Clone, Debug)]
struct NamedFiles(Arc<Mutex<HashMap<&'static str, &'static str>>>);

impl NamedFiles {
    fn of(files: &[(&'static str, &'static str)]) -> Self {
        Self(Arc::new(Mutex::new(files.iter().copied().collect())))
    }
}

impl FileRead for NamedFiles {
    async fn file_read(&self, path: &str) -> reqsign_core::Result<Vec<u8>> {
        let missing = || SigningError::new(ErrorKind::ConfigInvalid, "no such file");
        self.0.lock().unwrap().get(path).map(|text| text.as_bytes().to_vec()).ok_or_else(missing)
    }
}

/// Answers by the start of the address; keeps address and body of what it was asked.
#[derive(Clone, Debug, Default)]
struct Services {
    answers: Vec<(&'static str, &'static str)>,
    asked: Arc<Mutex<Vec<(String, String)>>>,
}

impl HttpSend for Services {
    async fn http_send(&self, request: Request<Bytes>) -> reqsign_core::Result<Response<Bytes>> {
        let address = request.uri().to_string();
        let body = String::from_utf8(request.body().to_vec()).unwrap();
        let answer = self.answers.iter().find(|(start, _)| address.starts_with(start));
        self.asked.lock().unwrap().push((address, body));
        let (_, answer) = answer.ok_or_else(|| SigningError::unexpected("nobody there"))?;
        Ok(Response::new(Bytes::from_static(answer.as_bytes())))
    }
}

fn made_up(env: &[(&str, &str)], files: &[(&'static str, &'static str)], services: &Services) -> Context {
    let variables = env.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
    Context::new()
        .with_env(environment(variables, Some(PathBuf::from("/home/op"))))
        .with_file_read(NamedFiles::of(files))
        .with_http_send(services.clone())
}

/// The access key that a request is signed with, and its session token.
async fn signed_by(settings: Settings, context: &Context) -> Result<(String, Option<String>), String> {
    let told = |error: KmsError| error.into_error("main", "k", Duration::ZERO).to_string();
    let credentials = Credentials::new("main", settings, context.clone()).map_err(|error| error.to_string())?;
    let found = credentials.current().await.map_err(told)?;
    signed_with(&credentials, &found).await.map_err(told)
}

async fn signed_with(credentials: &Credentials, found: &Found) -> Result<(String, Option<String>), KmsError> {
    let (mut parts, ()) = Request::post("https://kms.us-east-1.amazonaws.com/").body(()).unwrap().into_parts();
    credentials.sign(found, &mut parts).await?;
    let text = |name: &str| parts.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    let authorization = text("authorization").unwrap();
    let access = authorization.split("Credential=").nth(1).unwrap().split('/').next().unwrap();
    Ok((access.to_owned(), text("x-amz-security-token")))
}

const ENV: [(&str, &str); 2] = [("AWS_ACCESS_KEY_ID", "AKIDENV"), ("AWS_SECRET_ACCESS_KEY", "secret")];
const SHARED: (&str, &str) = (
    "/home/op/.aws/credentials",
    "[default]\naws_access_key_id = AKIDDEFAULT\naws_secret_access_key = s\n\
     [backup]\naws_access_key_id = AKIDBACKUP\naws_secret_access_key = s\n",
);
const STS_ANSWER: &str = "<Credentials><AccessKeyId>ASIAIOSFODNN7EXAMPLE</AccessKeyId><SecretAccessKey>s</SecretAccessKey>\
                          <SessionToken>session</SessionToken><Expiration>2999-01-01T00:00:00Z</Expiration></Credentials>";

fn fixed() -> Settings {
    Settings {
        access_key: Some("AKIAIOSFODNN7EXAMPLE".to_owned().into()),
        secret_key: Some("secret".to_owned().into()),
        ..Settings::default()
    }
}

#[tokio::test]
async fn configured_keys_come_before_everything() {
    let context = made_up(&ENV, &[SHARED], &Services::default());
    let settings = Settings { profile: Some("backup".into()), ..fixed() };
    assert_eq!(signed_by(settings, &context).await, Ok(("AKIAIOSFODNN7EXAMPLE".into(), None)));
}

#[tokio::test]
async fn a_configured_profile_comes_before_the_environment() {
    let context = made_up(&ENV, &[SHARED], &Services::default());
    let settings = Settings { profile: Some("backup".into()), ..Settings::default() };
    assert_eq!(signed_by(settings, &context).await, Ok(("AKIDBACKUP".into(), None)));
}

#[tokio::test]
async fn environment_then_shared_files() {
    let services = Services::default();
    let mut env = ENV.to_vec();
    env.push(("AWS_SESSION_TOKEN", "token"));
    let context = made_up(&env, &[SHARED], &services);
    assert_eq!(signed_by(Settings::default(), &context).await, Ok(("AKIDENV".into(), Some("token".into()))));
    let context = made_up(&[], &[SHARED], &services);
    assert_eq!(signed_by(Settings::default(), &context).await, Ok(("AKIDDEFAULT".into(), None)));
    let context = made_up(&[("AWS_PROFILE", "backup")], &[SHARED], &services);
    assert_eq!(signed_by(Settings::default(), &context).await, Ok(("AKIDBACKUP".into(), None)));
    assert!(services.asked.lock().unwrap().is_empty());
}

/// As `AWS_ACCESS_KEY_ID=` of a composed environment: each such one was taken for a value.
#[tokio::test]
async fn a_variable_that_is_set_to_nothing_is_not_set() {
    let blank = [
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_PROFILE",
        "AWS_SHARED_CREDENTIALS_FILE",
        "AWS_CONFIG_FILE",
        "AWS_ROLE_ARN",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    ];
    let blank = blank.map(|name| (name, ""));
    let context = made_up(&blank, &[SHARED], &Services::default());
    assert_eq!(signed_by(Settings::default(), &context).await, Ok(("AKIDDEFAULT".into(), None)));
    let context = made_up(&blank, &[], &machine());
    assert_eq!(signed_by(Settings::default(), &context).await, Ok(("ASIAIMDS".into(), Some("session".into()))));
    let context = made_up(&[&ENV[..], &blank[2..]].concat(), &[], &Services::default());
    assert_eq!(signed_by(Settings::default(), &context).await, Ok(("AKIDENV".into(), None)));
}

/// Every key was a panic.
#[test]
#[cfg(unix)]
fn a_variable_that_is_no_text_is_none() {
    use std::os::unix::ffi::OsStringExt;

    let no_text = || OsString::from_vec(b"\xfc".to_vec());
    let variables = [("AWS_PROFILE".into(), no_text()), (no_text(), "x".into()), ("AWS_REGION".into(), "r".into())];
    let found = environment(variables.into_iter(), None).envs;
    assert_eq!(found, HashMap::from([("AWS_REGION".to_owned(), "r".to_owned())]));
}

#[tokio::test]
async fn web_identity_asks_the_region_s_sts() {
    let answer = "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult>";
    let answer = format!("{answer}{STS_ANSWER}</AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>");
    let services =
        Services { answers: vec![("https://sts.eu-west-1.amazonaws.com/", answer.leak())], ..Services::default() };
    let env =
        [("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/reader"), ("AWS_WEB_IDENTITY_TOKEN_FILE", "/run/token")];
    let context = made_up(&env, &[("/run/token", "identity\n")], &services);
    let settings = Settings { region: "eu-west-1".into(), ..Settings::default() };
    assert_eq!(signed_by(settings, &context).await, Ok(("ASIAIOSFODNN7EXAMPLE".into(), Some("session".into()))));
    let asked = services.asked.lock().unwrap();
    assert!(asked[0].1.contains("WebIdentityToken=identity&"), "{asked:?}");
}

/// The metadata of a machine that has a role of its own.
fn machine() -> Services {
    const ROLE: &str = r#"{"Code":"Success","AccessKeyId":"ASIAIMDS","SecretAccessKey":"s","Token":"session",
        "LastUpdated":"2020-01-01T00:00:00Z","Type":"AWS-HMAC","Expiration":"2999-01-01T00:00:00Z"}"#;
    Services {
        answers: vec![
            ("http://169.254.169.254/latest/api/token", "metadata-token"),
            ("http://169.254.169.254/latest/meta-data/iam/security-credentials/reader", ROLE),
            ("http://169.254.169.254/latest/meta-data/iam/security-credentials/", "reader"),
        ],
        ..Services::default()
    }
}

/// The machine's role was taken, and kept for hours, while it was the pod's that may decrypt.
#[tokio::test]
async fn a_source_that_fails_does_not_make_us_somebody_else() {
    let web =
        [("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/reader"), ("AWS_WEB_IDENTITY_TOKEN_FILE", "/run/token")];
    let container = [("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://169.254.170.23/v1/credentials")];
    let shared = [("AWS_PROFILE", "reader"), ("AWS_CONFIG_FILE", "/config")];
    let sso =
        "[profile reader]\nsso_account_id = 1\nsso_region = us-east-1\nsso_role_name = r\nsso_start_url = https://x\n";
    for (env, said) in [(&web[..], "AssumeRoleWithWebIdentity"), (&container, "ECS"), (&shared, "aws sso login")] {
        let services = machine();
        let context = made_up(env, &[("/run/token", "identity"), ("/config", sso)], &services);
        let error = signed_by(Settings::default(), &context).await.unwrap_err();
        assert!(error.contains(said), "{error}");
        assert!(!services.asked.lock().unwrap().iter().any(|(address, _)| address.contains("169.254.169.254")));
    }
}

#[tokio::test(start_paused = true)]
async fn those_that_end_soon_are_used_until_then_if_there_are_no_others() {
    let ends = (Timestamp::now() + Duration::from_secs(90)).format_rfc3339_zulu();
    let answer = STS_ANSWER.replace("2999-01-01T00:00:00Z", &ends);
    let answer = format!(
        "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult>{answer}</AssumeRoleWithWebIdentityResult>\
         </AssumeRoleWithWebIdentityResponse>"
    );
    let services = Services { answers: vec![("https://sts.us-east-1.", answer.leak())], ..Services::default() };
    let files = NamedFiles::of(&[("/run/token", "identity")]);
    let env =
        [("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/reader"), ("AWS_WEB_IDENTITY_TOKEN_FILE", "/run/token")];
    let context = made_up(&env, &[], &services).with_file_read(files.clone());
    let credentials = Credentials::new("main", Settings::default(), context).ok().unwrap();
    let first = credentials.current().await.ok().unwrap();
    tokio::time::advance(AGAIN).await;
    let second = credentials.current().await.ok().unwrap();
    assert!(!Arc::ptr_eq(&first, &second));
    files.0.lock().unwrap().clear();
    for _ in 0..3 {
        tokio::time::advance(AGAIN).await;
        assert!(Arc::ptr_eq(&credentials.current().await.ok().unwrap(), &second));
    }
    assert_eq!(services.asked.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn instance_metadata_comes_last() {
    let services = machine();
    let context = made_up(&[], &[], &services);
    assert_eq!(signed_by(Settings::default(), &context).await, Ok(("ASIAIMDS".into(), Some("session".into()))));
    assert_eq!(services.asked.lock().unwrap().len(), 3);
}

#[tokio::test]
async fn a_role_is_assumed_with_its_external_id() {
    let answer = format!("<AssumeRoleResponse><AssumeRoleResult>{STS_ANSWER}</AssumeRoleResult></AssumeRoleResponse>");
    let services =
        Services { answers: vec![("https://sts.us-east-1.amazonaws.com/", answer.leak())], ..Services::default() };
    let context = made_up(&[], &[], &services);
    let settings = Settings {
        role_arn: Some("arn:aws:iam::123456789012:role/reader".into()),
        external_id: Some("outside".into()),
        ..fixed()
    };
    assert_eq!(signed_by(settings, &context).await, Ok(("ASIAIOSFODNN7EXAMPLE".into(), Some("session".into()))));
    let asked = services.asked.lock().unwrap();
    let said = format!("{}{}", asked[0].0, asked[0].1);
    for part in ["Action=AssumeRole&", "ExternalId=outside", "RoleSessionName=tidegate"] {
        assert!(said.contains(part), "{said}");
    }
}

#[tokio::test]
async fn none_at_all_is_an_error_without_programs_started() {
    let files = [("/home/op/.aws/config", "[default]\ncredential_process = /bin/false\n")];
    let context = made_up(&[], &files, &Services::default());
    let error = signed_by(Settings::default(), &context).await.unwrap_err();
    assert!(error.contains("credential"), "{error}");
}
