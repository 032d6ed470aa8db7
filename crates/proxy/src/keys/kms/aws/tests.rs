//! The provider against a scripted KMS on loopback.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use crypto::{CustomerKey, DataKey, Envelope, WrappedKey};
use md5::{Digest, Md5};
use tokio::sync::Notify;

use super::*;
use crate::{
    Blame,
    keys::{
        Urgency,
        hooks::{CacheOutcome, Hooks, KmsOutcome},
        kms::{
            scripted::{Reply, Scripted},
            unwrap,
        },
    },
};

const ARN: &str = "arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const KEY: [u8; 32] = *b"0123456789abcdef0123456789ABCDEF";

fn wrapped() -> KmsKey {
    let ciphertext = BASE64_STANDARD.encode(b"wrapped");
    let envelope =
        Envelope { provider: "aws".into(), key_id: ARN.into(), ciphertext, version: 1, provider_specific: None };
    let context = BTreeMap::from([("aws:s3:arn".to_owned(), "arn:aws:s3:::b/a <&> b".to_owned())]);
    KmsKey { key_id: ARN.into(), envelope, context, bucket_key_enabled: false, commitments: Vec::new() }
}

/// Keys cannot be looked at, but compared by the check that customer keys get.
fn is(key: &DataKey, bytes: &[u8]) -> bool {
    WrappedKey::Customer(CustomerKey { md5: Md5::digest(bytes).into() }).verify(key).is_ok()
}

fn provider(kms: &Scripted, settings: Settings) -> Aws {
    let settings = Settings {
        endpoint: Some(format!("http://{}", kms.address)),
        access_key: Some("AKIDEXAMPLE".to_owned().into()),
        secret_key: Some(SECRET.to_owned().into()),
        ..settings
    };
    Aws::new("main", settings).unwrap()
}

fn opened(key_id: &str) -> Reply {
    Reply::This(200, format!(r#"{{"KeyId":"{key_id}","Plaintext":"{}"}}"#, BASE64_STANDARD.encode(KEY)))
}

fn refused(status: u16, code: &str) -> Reply {
    Reply::This(status, format!(r#"{{"__type":"{code}","message":"words of the KMS"}}"#))
}

/// Keeps the outcomes and rings at each.
#[derive(Default)]
struct Seen(Mutex<Vec<KmsOutcome>>, Notify);

impl Hooks for Seen {
    fn on_kms_request(&self, provider: &str, outcome: KmsOutcome) {
        assert_eq!(provider, "main");
        self.0.lock().unwrap().push(outcome);
        self.1.notify_one();
    }

    fn on_cache(&self, _: &'static str, _: CacheOutcome) {
        unreachable!("there is no cache in these tests");
    }
}

#[tokio::test]
async fn asks_once_signed_and_gets_the_key() {
    let kms = Scripted::new([opened(ARN)]).await;
    let token = Settings {
        session_token: Some("tok/en==".to_owned().into()),
        region: "eu-west-1".into(),
        ..Settings::default()
    };
    let opened = provider(&kms, token).decrypt(&wrapped()).await.ok().unwrap();
    assert_eq!(opened.key_id, ARN);
    assert!(is(&opened.key, &KEY));

    let (parts, body) = kms.asked().remove(0);
    let access = sigv4::verify(&parts.method, &parts.uri, &parts.headers, &body, SECRET, "eu-west-1");
    assert_eq!(access, "AKIDEXAMPLE");
    assert_eq!(parts.headers["x-amz-security-token"], "tok/en==");
    assert_eq!(parts.headers["x-amz-target"], "TrentService.Decrypt");
    assert_eq!(parts.headers["content-type"], "application/x-amz-json-1.1");
    let sent: serde_json::Value = serde_json::from_slice(&body).unwrap();
    let expected = serde_json::json!({
        "CiphertextBlob": BASE64_STANDARD.encode(b"wrapped"),
        "EncryptionContext": {"aws:s3:arn": "arn:aws:s3:::b/a <&> b"},
    });
    assert_eq!(sent, expected);
}

#[tokio::test]
async fn an_empty_context_is_left_out() {
    let kms = Scripted::new([opened(ARN)]).await;
    let mut key = wrapped();
    key.context.clear();
    provider(&kms, Settings::default()).decrypt(&key).await.ok().unwrap();
    let sent: serde_json::Value = serde_json::from_slice(&kms.asked()[0].1).unwrap();
    assert_eq!(sent, serde_json::json!({"CiphertextBlob": BASE64_STANDARD.encode(b"wrapped")}));
}

#[tokio::test]
async fn throttling_and_failures_are_tried_again_after_a_pause() {
    let script =
        [refused(400, "ThrottlingException"), refused(500, "KMSInternalException"), Reply::HangUp, opened(ARN)];
    let kms = Scripted::new(script).await;
    let seen = Arc::new(Seen::default());
    let provider = Arc::new(provider(&kms, Settings::default()));
    let asking = tokio::spawn(unwrap(provider, wrapped(), Urgency::Head, seen.clone()));
    for _ in 0..3 {
        // The pause begins right after the outcome was told. The clock stands only while nothing is on the wire.
        seen.1.notified().await;
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(2)).await;
        tokio::time::resume();
    }
    assert!(is(&asking.await.unwrap().ok().unwrap(), &KEY));
    use KmsOutcome::*;
    assert_eq!(*seen.0.lock().unwrap(), [Throttled, Unreachable, Unreachable, Ok]);
    assert_eq!((kms.asked().len(), kms.left()), (4, 0));
}

#[tokio::test]
async fn refusals_are_told_at_once_with_the_kms_code() {
    let cases = [
        (refused(400, "AccessDeniedException"), 403, "AccessDeniedException", KmsOutcome::Denied),
        (refused(400, "NotFoundException"), 403, "NotFoundException", KmsOutcome::NotFound),
        (refused(400, "DisabledException"), 409, "DisabledException", KmsOutcome::Denied),
        (refused(400, "KMSInvalidStateException"), 409, "KMSInvalidStateException", KmsOutcome::Denied),
        (refused(400, "InvalidCiphertextException"), 403, "InvalidCiphertextException", KmsOutcome::Invalid),
        (refused(403, "InvalidSignatureException"), 500, "InvalidSignatureException", KmsOutcome::Denied),
        (opened("arn:aws:kms:us-east-1:123456789012:key/other"), 403, "KeyIdMismatch", KmsOutcome::Invalid),
        (Reply::This(200, "{}".into()), 502, "InvalidKmsAnswer", KmsOutcome::Invalid),
        (Reply::This(200, "x".repeat(100_000)), 502, "InvalidKmsAnswer", KmsOutcome::Invalid),
    ];
    for (say, status, code, outcome) in cases {
        let kms = Scripted::new([say]).await;
        let seen = Arc::new(Seen::default());
        let error = unwrap(Arc::new(provider(&kms, Settings::default())), wrapped(), Urgency::Head, seen.clone())
            .await
            .err()
            .unwrap();
        assert_eq!((error.status().as_u16(), error.short_code()), (status, Some(code)));
        assert_eq!(error.delay(), None, "{error}");
        assert_eq!(*seen.0.lock().unwrap(), [outcome]);
        assert_eq!(kms.asked().len(), 1);
        assert!(
            !error.message().contains(SECRET) && !error.message().contains(&BASE64_STANDARD.encode(KEY)),
            "{error}"
        );
    }
}

/// Keys that somebody writes into a shared file before each set ends were used for good, and refused from then on.
#[tokio::test]
async fn keys_that_were_replaced_in_their_file_are_read_again() {
    let file = std::env::temp_dir().join(format!("tidegate-credentials-{}", std::process::id()));
    let write = |access: &str| {
        let text = format!("[default]\naws_access_key_id = {access}\naws_secret_access_key = secret\n");
        std::fs::write(&file, text).unwrap();
    };
    let envs = [("AWS_SHARED_CREDENTIALS_FILE".to_owned(), file.to_string_lossy().into_owned())].into();
    let context = credentials::context().ok().unwrap().with_env(reqsign_core::StaticEnv { home_dir: None, envs });
    let expired = || refused(400, "ExpiredTokenException");
    let kms = Scripted::new([opened(ARN), expired(), opened(ARN), expired()]).await;
    let mut provider = provider(&kms, Settings::default());
    provider.credentials = Credentials::new("main", Settings::default(), context).ok().unwrap();
    let later = async || {
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(10)).await;
        tokio::time::resume();
    };

    write("AKIDOLD");
    assert!(provider.decrypt(&wrapped()).await.is_ok());
    write("AKIDNEW");
    later().await;
    assert!(provider.decrypt(&wrapped()).await.is_ok());
    // With the same ones it would be refused once more.
    later().await;
    assert_eq!(provider.decrypt(&wrapped()).await.err().unwrap().failure(), Failure::BadCredentials);
    std::fs::remove_file(&file).unwrap();

    let by = |(parts, _): (http::request::Parts, Bytes)| {
        let text = parts.headers["authorization"].to_str().unwrap().to_owned();
        text.split(['=', '/']).nth(1).unwrap().to_owned()
    };
    assert_eq!(kms.asked().into_iter().map(by).collect::<Vec<_>>(), ["AKIDOLD", "AKIDOLD", "AKIDNEW", "AKIDNEW"]);
}

#[tokio::test]
async fn a_silent_kms_is_given_up_after_request_timeout() {
    let kms = Scripted::new([Reply::Nothing]).await;
    let seen = Arc::new(Seen::default());
    let asking =
        tokio::spawn(unwrap(Arc::new(provider(&kms, Settings::default())), wrapped(), Urgency::Head, seen.clone()));
    kms.arrived().await;
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(29)).await;
    assert!(!asking.is_finished() && seen.0.lock().unwrap().is_empty());
    tokio::time::advance(Duration::from_secs(2)).await;
    // All patience went into the one try: no other follows.
    let error = asking.await.unwrap().err().unwrap();
    assert_eq!((error.status().as_u16(), error.blame()), (503, Blame::Kms));
    assert!(error.message().contains("no answer within request_timeout"), "{error}");
    assert!(error.delay().is_some());
    assert_eq!(kms.asked().len(), 1);
    assert_eq!(*seen.0.lock().unwrap(), [KmsOutcome::Unreachable]);
}

#[tokio::test]
async fn nobody_there_is_unreachable() {
    let kms = Scripted::new([]).await;
    let none = Settings { max_retries: 0, ..Settings::default() };
    let provider = provider(&kms, none);
    let gone = kms.address;
    drop(kms);
    // The listener goes with its task.
    while tokio::net::TcpStream::connect(gone).await.is_ok() {
        tokio::task::yield_now().await;
    }
    let error = unwrap(Arc::new(provider), wrapped(), Urgency::Head, Arc::new(())).await.err().unwrap();
    assert_eq!((error.status().as_u16(), error.short_code()), (503, Some("KmsUnreachable")));
}

#[tokio::test]
async fn broken_ciphertext_is_not_sent() {
    let kms = Scripted::new([]).await;
    let mut key = wrapped();
    key.envelope.ciphertext = "not base64".into();
    let error = provider(&kms, Settings::default()).decrypt(&key).await.err().unwrap();
    assert_eq!(error.failure(), Failure::Invalid);
    assert!(kms.asked().is_empty());
}

#[test]
fn endpoints() {
    let at = |region: &str, set: Option<&str>| {
        let settings = Settings { region: region.into(), endpoint: set.map(Into::into), ..Settings::default() };
        endpoint("main", &settings).map(|uri| uri.to_string()).map_err(|error| error.to_string())
    };
    assert_eq!(at("us-east-1", None).unwrap(), "https://kms.us-east-1.amazonaws.com/");
    assert_eq!(at("cn-north-1", None).unwrap(), "https://kms.cn-north-1.amazonaws.com.cn/");
    assert_eq!(at("x", Some("http://127.0.0.1:5555")).unwrap(), "http://127.0.0.1:5555/");
    assert_eq!(at("x", Some("kms.local:8443")).unwrap(), "https://kms.local:8443/");
    for bad in ["http://", "ftp://kms", "http://user:word@kms", "http://kms/?a=b", "kms local"] {
        let error = at("x", Some(bad)).unwrap_err();
        assert!(error.contains("kms.providers.main.endpoint") && !error.contains("word"), "{bad}: {error}");
    }
    assert!(at("not a region", None).unwrap_err().contains("kms.providers.main.region"));
}

#[tokio::test]
async fn blanks_are_as_good_as_unset() {
    let blank = || Some(String::new());
    let secret = || Some(String::new().into());
    let settings = Settings {
        region: String::new(),
        endpoint: blank(),
        profile: blank(),
        role_arn: blank(),
        external_id: blank(),
        access_key: secret(),
        secret_key: Some("secret".to_owned().into()),
        session_token: secret(),
        connect_timeout: Duration::ZERO,
        request_timeout: Duration::ZERO,
        max_retries: 0,
    };
    let settings = settings.without_blanks();
    assert_eq!((settings.region.as_str(), settings.max_retries), ("us-east-1", 0));
    assert_eq!((settings.connect_timeout.as_secs(), settings.request_timeout.as_secs()), (10, 30));
    assert!(settings.endpoint.is_none() && settings.profile.is_none() && settings.role_arn.is_none());
    assert!(settings.external_id.is_none() && settings.access_key.is_none() && settings.session_token.is_none());
    assert!(settings.secret_key.is_some());
}

#[test]
fn half_a_pair_of_keys_is_refused() {
    let half = Settings { access_key: Some("AKID".to_owned().into()), ..Settings::default() };
    assert!(Aws::new("main", half).err().unwrap().message().contains("secret_key"));
    let half = Settings { secret_key: Some("secret".to_owned().into()), ..Settings::default() };
    let message = Aws::new("main", half).err().unwrap().to_string();
    assert!(message.contains("access_key") && !message.contains("\"secret\""), "{message}");
}
