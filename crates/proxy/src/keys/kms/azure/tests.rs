//! The provider against a scripted service on loopback, which is login endpoint, metadata server and vault at once.

use std::collections::BTreeMap;

use crypto::{CustomerKey, DataKey, Envelope, WrappedKey};
use futures_util::future::join_all;
use md5::{Digest, Md5};
use tokio::time::Instant;

use super::*;
use crate::{
    correlation::Correlation,
    keys::kms::scripted::{Reply, Scripted},
};

const KEY: [u8; 32] = *b"0123456789abcdef0123456789ABCDEF";
const LOGIN: &str = "/tenant-1/oauth2/v2.0/token";
const DECRYPT: &str = "/keys/k-1/0af1/decrypt";

fn id(service: &Scripted) -> String {
    format!("https://{}/keys/k-1/0af1", service.address)
}

fn wrapped(key_id: &str, ciphertext: &str) -> KmsKey {
    let envelope = Envelope {
        provider: "azure".into(),
        key_id: key_id.into(),
        ciphertext: ciphertext.into(),
        version: 1,
        provider_specific: None,
    };
    let context = BTreeMap::from([("aws:s3:arn".to_owned(), "arn:aws:s3:::b/a & b".to_owned())]);
    KmsKey { key_id: key_id.into(), envelope, context, bucket_key_enabled: false, commitments: Vec::new() }
}

fn ours(service: &Scripted) -> KmsKey {
    wrapped(&id(service), "d3JhcHBlZA==")
}

fn client(service: &Scripted) -> Login {
    Login::Client {
        authority_host: format!("http://{}/", service.address),
        tenant_id: "tenant-1".into(),
        client_id: "client 1".into(),
        client_secret: "s3cr3t&=~".to_owned().into(),
    }
}

fn provider(service: &Scripted, login: Login) -> Azure {
    let vault_url = format!("http://{}/", service.address);
    Azure::new("a", Settings { vault_url, login, request_timeout: Duration::from_secs(30), max_retries: 3 }).unwrap()
}

fn granted(token: &str) -> Reply {
    Reply::This(200, format!(r#"{{"token_type":"Bearer","expires_in":3599,"access_token":"{token}"}}"#))
}

fn opened(kid: &str) -> Reply {
    Reply::This(200, format!(r#"{{"kid":"{kid}","value":"{}"}}"#, BASE64_URL_SAFE_NO_PAD.encode(KEY)))
}

fn refused(status: u16, code: &str, inner: &str) -> Reply {
    let error = serde_json::json!({"error": {"code": code, "message": "no", "innererror": {"code": inner}}});
    Reply::This(status, error.to_string())
}

fn is_key(opened: &DataKey) -> bool {
    WrappedKey::Customer(CustomerKey { md5: Md5::digest(KEY).into() }).verify(opened).is_ok()
}

/// Path and token of each request so far.
fn asked(service: &Scripted) -> Vec<(String, String)> {
    let token = |headers: &http::HeaderMap| headers.get("authorization").map_or("", |t| t.to_str().unwrap()).to_owned();
    service.asked().iter().map(|(head, _)| (head.uri.path().to_owned(), token(&head.headers))).collect()
}

fn pair(path: &str, token: &str) -> (String, String) {
    (path.to_owned(), token.to_owned())
}

#[tokio::test]
async fn a_service_principal_logs_in_and_asks_as_the_gateway_does() {
    let service = Scripted::new([]).await;
    let id = id(&service);
    service.say([granted("one"), opened(&id), opened(&id)]);
    let azure = provider(&service, client(&service));
    let key = ours(&service);
    let (a, b) = tokio::join!(azure.decrypt(&key), azure.decrypt(&key));
    let found = a.ok().unwrap();
    assert!(is_key(&found.key) && is_key(&b.ok().unwrap().key));
    assert_eq!(found.key_id, id);
    assert_eq!(asked(&service), [pair(LOGIN, ""), pair(DECRYPT, "Bearer one"), pair(DECRYPT, "Bearer one")]);

    let form = String::from_utf8(service.asked()[0].1.to_vec()).unwrap();
    let wanted = "grant_type=client%5Fcredentials&client_id=client%201&client_secret=s3cr3t%26%3D%7E\
                  &scope=https%3A%2F%2Fvault%2Eazure%2Enet%2F%2Edefault";
    assert_eq!(form, wanted);
    assert_eq!(service.asked()[1].0.uri.query(), Some("api-version=7.4"));
    let body: serde_json::Value = serde_json::from_slice(&service.asked()[1].1).unwrap();
    let aad = BASE64_URL_SAFE_NO_PAD.encode(r#"{"aws:s3:arn":"arn:aws:s3:::b/a \u0026 b"}"#);
    assert_eq!(body, serde_json::json!({"alg": "RSA-OAEP-256", "value": "d3JhcHBlZA", "aad": aad}));
}

#[tokio::test]
async fn the_vaults_log_has_the_name_of_the_request() {
    let service = Scripted::new([granted("t1")]).await;
    service.say([opened(&id(&service))]);
    let current = Correlation::of(&http::Extensions::new());
    let name = current.id.value().clone();
    current.scope(provider(&service, client(&service)).decrypt(&ours(&service))).await.unwrap();
    let told = service.asked().into_iter().map(|(head, _)| head.headers.get(CLIENT_REQUEST_ID).cloned());
    assert_eq!(told.collect::<Vec<_>>(), [Some(name.clone()), Some(name)]);
}

#[tokio::test]
async fn a_machine_has_an_identity() {
    let service = Scripted::new([]).await;
    let token = r#"{"access_token":"mine","expires_in":"3599","token_type":"Bearer"}"#;
    service.say([Reply::This(200, token.into()), opened(&id(&service))]);
    let login = Login::Machine(format!("http://{}", service.address));
    assert!(provider(&service, login).decrypt(&ours(&service)).await.is_ok());
    let (head, _) = &service.asked()[0];
    assert_eq!(
        (head.uri.path(), &head.headers["metadata"]),
        ("/metadata/identity/oauth2/token", &"true".parse().unwrap())
    );
}

#[tokio::test]
async fn the_answered_key_is_the_stored_one_or_told_as_another() {
    let service = Scripted::new([]).await;
    let azure = provider(&service, client(&service));
    let id = id(&service);
    service.say([granted("one")]);
    let same = [(id.clone(), id.clone()), ("k-1".to_owned(), id.clone()), ("k-1/0af1".to_owned(), id.clone())];
    for (stored, answered) in same {
        service.say([opened(&answered)]);
        assert_eq!(azure.decrypt(&wrapped(&stored, "YQ==")).await.ok().unwrap().key_id, stored);
    }
    for other in [id.replace("0af1", "0af2"), id.replace("k-1", "k-2"), "https://evil.example/keys/k-1/0af1".into()] {
        service.say([opened(&other)]);
        assert_eq!(azure.decrypt(&ours(&service)).await.ok().unwrap().key_id, other);
    }
    assert_eq!(asked(&service)[2].0, "/keys/k-1//decrypt");
}

#[tokio::test]
async fn refusals_are_told_apart() {
    let cases = [
        (refused(403, "Forbidden", "AccessDenied"), Failure::Denied),
        (refused(403, "Forbidden", "KeyDisabled"), Failure::Unusable),
        (refused(404, "KeyNotFound", ""), Failure::NotFound),
        (refused(409, "Conflict", "ObjectIsDeletedButRecoverable"), Failure::Unusable),
        (refused(400, "BadParameter", ""), Failure::Invalid),
        (refused(429, "Throttled", ""), Failure::Throttled),
        (refused(500, "InternalServerError", ""), Failure::Unreachable),
        (Reply::This(302, String::new()), Failure::Nonsense),
        (Reply::This(200, r#"{"value":"YQ"}"#.into()), Failure::Nonsense),
        (Reply::HangUp, Failure::Unreachable),
    ];
    for (answer, wanted) in cases {
        let service = Scripted::new([granted("one"), answer]).await;
        let error = provider(&service, client(&service)).decrypt(&ours(&service)).await.err().unwrap();
        assert_eq!(error.failure(), wanted);
        assert_eq!(service.left(), 0, "{wanted:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn tokens_that_were_revoked_or_are_over_are_replaced() {
    let service = Scripted::new([granted("one"), refused(401, "Unauthorized", "")]).await;
    let azure = provider(&service, client(&service));
    let key = ours(&service);
    assert_eq!(azure.decrypt(&key).await.err().unwrap().failure(), Failure::BadCredentials);
    tokio::time::advance(Duration::from_secs(11)).await;
    service.say([refused(401, "Unauthorized", ""), granted("two"), opened(&id(&service))]);
    assert!(azure.decrypt(&key).await.is_ok());
    tokio::time::advance(Duration::from_secs(3600)).await;
    service.say([granted("three"), opened(&id(&service))]);
    assert!(azure.decrypt(&key).await.is_ok());
    assert_eq!(asked(&service).last().unwrap(), &pair(DECRYPT, "Bearer three"));
}

#[tokio::test(start_paused = true)]
async fn a_login_that_gets_no_answer_is_waited_for_once_and_not_in_turns() {
    let service = Scripted::new([Reply::Nothing]).await;
    let azure = provider(&service, client(&service));
    let (key, begun) = (ours(&service), Instant::now());
    let all = join_all((0..12).map(|_| azure.decrypt(&key))).await;
    assert!(all.iter().all(|one| one.as_ref().is_err_and(|error| error.failure() == Failure::Unreachable)));
    assert!(begun.elapsed() < Duration::from_secs(31), "{:?}", begun.elapsed());
    assert_eq!(asked(&service), [pair(LOGIN, "")]);
}

#[tokio::test]
async fn a_refused_login_blames_the_credentials_without_showing_them() {
    let no = r#"{"error":"invalid_client","error_description":"AADSTS7000215: Invalid client secret.\r\nTrace ID: x"}"#;
    let service = Scripted::new([Reply::This(401, no.into())]).await;
    let error = provider(&service, client(&service)).decrypt(&ours(&service)).await.err().unwrap();
    assert_eq!(error.failure(), Failure::BadCredentials);
    let told = error.into_error("a", "k", Duration::ZERO);
    assert_eq!(told.short_code(), Some("invalid_client"));
    assert!(told.message().contains("AADSTS7000215") && !told.message().contains("s3cr3t"), "{told}");
    assert!(!told.message().contains("Trace"), "{told}");
}

#[tokio::test]
async fn what_cannot_be_asked_for_is_not() {
    let service = Scripted::new([]).await;
    let azure = provider(&service, client(&service));
    let at = |path: &str| format!("https://{}/{path}", service.address);
    let ids = ["", "a/b/c", "..", "a?b", "a%2fb", "a b", "k/0a?x"].map(str::to_owned);
    for id in ids.into_iter().chain([at("keys/"), at("secrets/k/0a"), at("keys/k/0a/../x")]) {
        assert_eq!(azure.decrypt(&wrapped(&id, "YQ==")).await.err().unwrap().failure(), Failure::Invalid, "{id}");
    }
    let elsewhere = wrapped("https://other.vault.azure.net/keys/k/0a", "YQ==");
    assert_eq!(azure.decrypt(&elsewhere).await.err().unwrap().failure(), Failure::NotFound);
    let lost = azure.decrypt(&wrapped("k", "\u{fffd}")).await.err().unwrap();
    assert!(lost.into_error("a", "k", Duration::ZERO).message().contains("lost bytes"));
    assert!(asked(&service).is_empty());

    let settings = |vault_url: &str, tenant_id: &str| {
        let Login::Client { authority_host, client_id, client_secret, .. } = client(&service) else { unreachable!() };
        let login = Login::Client { authority_host, tenant_id: tenant_id.into(), client_id, client_secret };
        Settings { vault_url: vault_url.into(), login, request_timeout: Duration::from_secs(1), max_retries: 0 }
    };
    assert!(Azure::new("a", settings("vault", "t")).is_err());
    assert!(Azure::new("a", settings("https://v.vault.azure.net", "../t")).is_err());
}
