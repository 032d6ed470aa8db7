//! The provider against a scripted service on loopback.

use std::collections::BTreeMap;

use crypto::{CustomerKey, Envelope, WrappedKey};
use futures_util::future::join_all;
use http::Method;
use md5::{Digest, Md5};
use tokio::time::Instant;

use super::*;
use crate::keys::kms::scripted::{Reply, Scripted};

const KEY: [u8; 32] = *b"0123456789abcdef0123456789ABCDEF";
const CIPHERTEXT: &str = "vault:v1:d3JhcHBlZA==";

fn wrapped(key_id: &str) -> KmsKey {
    let envelope = Envelope {
        provider: "openbao".into(),
        key_id: key_id.into(),
        ciphertext: CIPHERTEXT.into(),
        version: 1,
        provider_specific: None,
    };
    let context = BTreeMap::from([("aws:s3:arn".to_owned(), "arn:aws:s3:::b/a <&> b".to_owned())]);
    KmsKey { key_id: key_id.into(), envelope, context, bucket_key_enabled: false, commitments: Vec::new() }
}

fn provider(service: &Scripted, login: Login) -> OpenBao {
    let settings = Settings {
        address: format!("http://{}", service.address),
        login,
        transit_path: "/my/transit/".into(),
        tls: None,
        request_timeout: Duration::from_secs(30),
        max_retries: 3,
    };
    OpenBao::new("bao", settings).unwrap()
}

fn token() -> Login {
    Login::Token("hvs.given".to_owned().into())
}

fn app_role() -> Login {
    Login::AppRole {
        role_id: "role".to_owned().into(),
        secret_id: "s\"ecret".to_owned().into(),
        path: "auth/approle".into(),
    }
}

fn opened() -> Reply {
    Reply::This(
        200,
        format!(r#"{{"lease_id":"","data":{{"plaintext":"{}"}},"auth":null}}"#, BASE64_STANDARD.encode(KEY)),
    )
}

fn granted(token: &str, seconds: u64) -> Reply {
    let auth = format!(r#"{{"client_token":"{token}","lease_duration":{seconds},"renewable":true,"policies":["p"]}}"#);
    Reply::This(200, format!(r#"{{"data":null,"auth":{auth}}}"#))
}

fn refused(status: u16, words: &str) -> Reply {
    Reply::This(status, format!(r#"{{"errors":["{words}"]}}"#))
}

/// Path and token of each request so far.
fn asked(service: &Scripted) -> Vec<(String, String)> {
    let token = |headers: &http::HeaderMap| headers.get("x-vault-token").map_or("", |t| t.to_str().unwrap()).to_owned();
    service.asked().iter().map(|(head, _)| (head.uri.path().to_owned(), token(&head.headers))).collect()
}

fn pair(path: &str, token: &str) -> (String, String) {
    (path.to_owned(), token.to_owned())
}

const DECRYPT: &str = "/v1/my/transit/decrypt/k-1";
const LOGIN: &str = "/v1/auth/approle/login";
const RENEW: &str = "/v1/auth/token/renew-self";
const LOOKUP: &str = "/v1/auth/token/lookup-self";

#[tokio::test]
async fn asks_as_the_gateway_does_and_gets_the_key() {
    let service = Scripted::new([opened()]).await;
    let opened = provider(&service, token()).decrypt(&wrapped("k-1")).await.ok().unwrap();
    assert_eq!(opened.key_id, "k-1");
    assert!(WrappedKey::Customer(CustomerKey { md5: Md5::digest(KEY).into() }).verify(&opened.key).is_ok());
    assert_eq!(asked(&service), [pair(DECRYPT, "hvs.given")]);
    let body: serde_json::Value = serde_json::from_slice(&service.asked()[0].1).unwrap();
    let context = BASE64_STANDARD.encode(r#"{"aws:s3:arn":"arn:aws:s3:::b/a \u003c\u0026\u003e b"}"#);
    assert_eq!(body, serde_json::json!({"ciphertext": CIPHERTEXT, "context": context}));

    let mut bare = wrapped("k-1");
    bare.context.clear();
    let service = Scripted::new([refused(403, "permission denied")]).await;
    let error = provider(&service, token()).decrypt(&bare).await.err().unwrap();
    assert_eq!(error.failure(), Failure::Denied);
    let body: serde_json::Value = serde_json::from_slice(&service.asked()[0].1).unwrap();
    assert_eq!(body, serde_json::json!({"ciphertext": CIPHERTEXT}));
}

#[tokio::test]
async fn key_ids_that_would_lead_elsewhere_are_not_asked_for() {
    let service = Scripted::new([]).await;
    let bao = provider(&service, token());
    for id in ["", "..", ".k", "a/b", "../../sys/seal", "a?b", "a%2fb", "a b", "-a"] {
        let error = bao.decrypt(&wrapped(id)).await.err().unwrap();
        assert_eq!(error.failure(), Failure::Invalid, "{id}");
    }
    assert!(asked(&service).is_empty());
}

#[tokio::test]
async fn logs_in_once_for_all() {
    let service = Scripted::new([granted("one", 3600), opened(), opened()]).await;
    let bao = provider(&service, app_role());
    let key = wrapped("k-1");
    let (a, b) = tokio::join!(bao.decrypt(&key), bao.decrypt(&key));
    assert!(a.is_ok() && b.is_ok());
    assert_eq!(asked(&service), [pair(LOGIN, ""), pair(DECRYPT, "one"), pair(DECRYPT, "one")]);
    let body: serde_json::Value = serde_json::from_slice(&service.asked()[0].1).unwrap();
    assert_eq!(body, serde_json::json!({"role_id": "role", "secret_id": "s\"ecret"}));
}

#[tokio::test]
async fn a_refused_login_blames_the_credentials() {
    let script = [refused(400, "invalid role or secret ID"), refused(503, "sealed"), granted("one", 60), opened()];
    let service = Scripted::new(script).await;
    let bao = provider(&service, app_role());
    let mut failures = Vec::new();
    for _ in 0..2 {
        failures.push(bao.decrypt(&wrapped("k-1")).await.err().unwrap().failure());
    }
    assert_eq!(failures, [Failure::BadCredentials, Failure::Unreachable]);
    assert!(bao.decrypt(&wrapped("k-1")).await.is_ok());
}

/// Lets what is in flight arrive while the clock stands still.
async fn settle(service: &Scripted, requests: usize) {
    for _ in 0..2000 {
        if service.asked().len() >= requests {
            break;
        }
        tokio::task::spawn_blocking(|| std::thread::sleep(Duration::from_millis(1))).await.unwrap();
    }
    for _ in 0..50 {
        tokio::task::spawn_blocking(|| std::thread::sleep(Duration::from_millis(1))).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn renews_before_the_end_and_logs_in_when_that_is_refused() {
    let script =
        [granted("one", 300), opened(), granted("one", 300), refused(403, "bad token"), granted("two", 300), opened()];
    let service = Scripted::new(script).await;
    let bao = provider(&service, app_role());
    assert!(bao.decrypt(&wrapped("k-1")).await.is_ok());
    for requests in [3, 5] {
        tokio::time::advance(Duration::from_secs(201)).await;
        settle(&service, requests).await;
    }
    assert!(bao.decrypt(&wrapped("k-1")).await.is_ok());
    let wanted = [
        pair(LOGIN, ""),
        pair(DECRYPT, "one"),
        pair(RENEW, "one"),
        pair(RENEW, "one"),
        pair(LOGIN, ""),
        pair(DECRYPT, "two"),
    ];
    assert_eq!(asked(&service), wanted);
}

#[tokio::test(start_paused = true)]
async fn a_token_near_its_greatest_age_is_replaced() {
    let service = Scripted::new([granted("one", 300), opened(), granted("one", 100), granted("two", 300)]).await;
    let bao = provider(&service, app_role());
    assert!(bao.decrypt(&wrapped("k-1")).await.is_ok());
    tokio::time::advance(Duration::from_secs(201)).await;
    settle(&service, 4).await;
    let wanted = [pair(LOGIN, ""), pair(DECRYPT, "one"), pair(RENEW, "one"), pair(LOGIN, "")];
    assert_eq!(asked(&service), wanted);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_was_revoked_is_replaced_and_a_young_one_is_believed() {
    let denied = || refused(403, "permission denied");
    let script = [granted("one", 300), denied(), denied(), denied(), granted("two", 300), opened()];
    let service = Scripted::new(script).await;
    let bao = provider(&service, app_role());
    assert_eq!(bao.decrypt(&wrapped("k-1")).await.err().unwrap().failure(), Failure::Denied);
    tokio::time::advance(Duration::from_secs(11)).await;
    assert!(bao.decrypt(&wrapped("k-1")).await.is_ok());
    let wanted = [
        pair(LOGIN, ""),
        pair(DECRYPT, "one"),
        pair(DECRYPT, "one"),
        pair(LOOKUP, "one"),
        pair(LOGIN, ""),
        pair(DECRYPT, "two"),
    ];
    assert_eq!(asked(&service), wanted);
    assert_eq!(service.asked()[3].0.method, Method::GET);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_of_one_key_with_an_old_token_begins_no_login() {
    let denied = || refused(403, "permission denied");
    let holds = || Reply::This(200, r#"{"data":{"id":"one","ttl":280}}"#.to_owned());
    let script =
        [granted("one", 300), denied(), holds(), denied(), denied(), holds(), denied(), refused(503, "sealed")];
    let service = Scripted::new(script).await;
    let bao = provider(&service, app_role());
    bao.tokens.current().await.ok().unwrap();
    for failure in [Failure::Denied, Failure::Denied, Failure::Unreachable] {
        tokio::time::advance(Duration::from_secs(11)).await;
        assert_eq!(bao.decrypt(&wrapped("k-1")).await.err().unwrap().failure(), failure);
        if failure == Failure::Denied && service.left() == 5 {
            // It was asked about a moment ago.
            assert_eq!(bao.decrypt(&wrapped("k-1")).await.err().unwrap().failure(), failure);
        }
    }
    let (decrypt, lookup) = (pair(DECRYPT, "one"), pair(LOOKUP, "one"));
    let wanted = [&pair(LOGIN, ""), &decrypt, &lookup, &decrypt, &decrypt, &lookup, &decrypt, &lookup];
    assert_eq!(asked(&service).iter().collect::<Vec<_>>(), wanted);
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_gets_no_answer_keeps_no_request_waiting() {
    let service = Scripted::new([granted("one", 300), opened(), Reply::Nothing, opened()]).await;
    let bao = provider(&service, app_role());
    assert!(bao.decrypt(&wrapped("k-1")).await.is_ok());
    tokio::time::advance(Duration::from_secs(201)).await;
    settle(&service, 3).await;
    let begun = Instant::now();
    assert!(bao.decrypt(&wrapped("k-1")).await.is_ok());
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    let wanted = [pair(LOGIN, ""), pair(DECRYPT, "one"), pair(RENEW, "one"), pair(DECRYPT, "one")];
    assert_eq!(asked(&service), wanted);
}

#[tokio::test(start_paused = true)]
async fn a_login_that_gets_no_answer_is_waited_for_once_and_not_in_turns() {
    let service = Scripted::new([Reply::Nothing, granted("one", 300), opened()]).await;
    let bao = provider(&service, app_role());
    let (key, begun) = (wrapped("k-1"), Instant::now());
    let all = join_all((0..12).map(|_| bao.decrypt(&key))).await;
    assert!(all.iter().all(|one| one.as_ref().is_err_and(|error| error.failure() == Failure::Unreachable)));
    assert!(begun.elapsed() < Duration::from_secs(31), "{:?}", begun.elapsed());
    assert_eq!(asked(&service), [pair(LOGIN, "")]);
    assert!(bao.decrypt(&key).await.is_ok());
}

#[tokio::test]
async fn a_refused_secret_id_is_shown_once_for_all_who_wait() {
    let service = Scripted::new([refused(400, "invalid role or secret ID")]).await;
    let bao = provider(&service, app_role());
    let key = wrapped("k-1");
    let all = join_all((0..12).map(|_| bao.decrypt(&key))).await;
    assert!(all.iter().all(|one| one.as_ref().is_err_and(|error| error.failure() == Failure::BadCredentials)));
    assert_eq!(asked(&service), [pair(LOGIN, "")]);
}

#[test]
fn addresses_and_mounts_must_be_some() {
    for text in ["", "bao:8200", "ftp://bao", "http://", "http://u:p@bao", "http://bao?x"] {
        assert!(base_address("bao", "address", text).is_err(), "{text}");
    }
    assert!(base_address("bao", "address", "https://bao.internal:8200/below").is_ok());
    for path in ["", "/", "a//b", "../x", "a?b", "a b"] {
        assert!(mount("bao", "transit_path", path).is_err(), "{path}");
    }
    assert_eq!(mount("bao", "transit_path", "/a/b/").unwrap(), "a/b");
}
