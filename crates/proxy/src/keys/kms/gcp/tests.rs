//! The provider against a scripted service on loopback, which is token endpoint, metadata server and KMS at once.

use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der},
    rsa::{KeyPair, KeySize},
};
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use crypto::{CustomerKey, Envelope, WrappedKey};
use md5::{Digest, Md5};

use super::*;
use crate::keys::kms::scripted::{Reply, Scripted};

const KEY: [u8; 32] = *b"0123456789abcdef0123456789ABCDEF";
const NAME: &str = "projects/p-1/locations/global/keyRings/r/cryptoKeys/k";
const DECRYPT: &str = "/v1/projects/p-1/locations/global/keyRings/r/cryptoKeys/k:decrypt";

fn wrapped(key_id: &str, ciphertext: &str) -> KmsKey {
    let envelope = Envelope {
        provider: "gcp".into(),
        key_id: key_id.into(),
        ciphertext: ciphertext.into(),
        version: 1,
        provider_specific: None,
    };
    let context = BTreeMap::from([("aws:s3:arn".to_owned(), "arn:aws:s3:::b/a".to_owned())]);
    KmsKey { key_id: key_id.into(), envelope, context, bucket_key_enabled: false, commitments: Vec::new() }
}

fn ours() -> KmsKey {
    wrapped(&format!("{NAME}/cryptoKeyVersions/3"), "d3JhcHBlZA==")
}

fn settings(service: &Scripted, login: Login) -> Settings {
    let endpoint = format!("http://{}", service.address);
    Settings { login, endpoint, request_timeout: Duration::from_secs(30), max_retries: 3 }
}

fn by_metadata(service: &Scripted) -> Gcp {
    Gcp::new("g", settings(service, Login::Metadata(format!("http://{}/", service.address)))).unwrap()
}

fn account(service: &Scripted, kind: &str) -> Login {
    let pem = private_key();
    let json = serde_json::json!({
        "type": kind, "client_email": "reader@p-1", "private_key_id": "id-of-key", "private_key": pem,
        "token_uri": format!("http://{}/token", service.address), "universe_domain": "googleapis.com",
    });
    Login::ServiceAccount(json.to_string().into())
}

fn private_key() -> String {
    let key = KeyPair::generate(KeySize::Rsa2048).unwrap();
    let der: Pkcs8V1Der<'_> = key.as_der().unwrap();
    let text = BASE64_STANDARD.encode(der.as_ref());
    let lines: Vec<_> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", lines.join("\n"))
}

fn granted(token: &str, seconds: u64) -> Reply {
    Reply::This(200, format!(r#"{{"access_token":"{token}","expires_in":{seconds},"token_type":"Bearer"}}"#))
}

fn opened() -> Reply {
    let (plain, crc) = (BASE64_STANDARD.encode(KEY), crc32c::crc32c(&KEY));
    Reply::This(200, format!(r#"{{"plaintext":"{plain}","plaintextCrc32c":"{crc}","usedPrimary":true}}"#))
}

fn refused(status: u16, word: &str) -> Reply {
    Reply::This(status, format!(r#"{{"error":{{"code":{status},"message":"no: {word}","status":"{word}"}}}}"#))
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
async fn a_service_account_signs_for_a_token_and_the_key_opens() {
    let service = Scripted::new([granted("one", 3600), opened()]).await;
    let gcp = Gcp::new("g", settings(&service, account(&service, "service_account"))).unwrap();
    let found = gcp.decrypt(&ours()).await.ok().unwrap();
    assert!(is_key(&found.key));
    assert_eq!(found.key_id, format!("{NAME}/cryptoKeyVersions/3"));
    assert_eq!(asked(&service), [pair("/token", ""), pair(DECRYPT, "Bearer one")]);

    let form = String::from_utf8(service.asked()[0].1.to_vec()).unwrap();
    let (grant, assertion) = form.split_once("&assertion=").unwrap();
    assert_eq!(grant, "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant%2Dtype%3Ajwt%2Dbearer");
    let assertion = percent_encoding::percent_decode_str(assertion).decode_utf8().unwrap();
    let parts: Vec<_> = assertion.split('.').map(|part| BASE64_URL_SAFE_NO_PAD.decode(part).unwrap()).collect();
    let read = |part: &[u8]| serde_json::from_slice::<serde_json::Value>(part).unwrap();
    assert_eq!(read(&parts[0]), serde_json::json!({"alg": "RS256", "typ": "JWT", "kid": "id-of-key"}));
    let claims = read(&parts[1]);
    assert_eq!(claims["iss"], "reader@p-1");
    assert_eq!(claims["aud"], format!("http://{}/token", service.address));
    assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), 3600);
    assert_eq!(parts[2].len(), 256);

    let body: serde_json::Value = serde_json::from_slice(&service.asked()[1].1).unwrap();
    let context = "aws:s3:arn=arn:aws:s3:::b/a";
    assert_eq!(
        body,
        serde_json::json!({
            "ciphertext": "d3JhcHBlZA==",
            "ciphertextCrc32c": crc32c::crc32c(b"wrapped").to_string(),
            "additionalAuthenticatedData": BASE64_STANDARD.encode(context),
            "additionalAuthenticatedDataCrc32c": crc32c::crc32c(context.as_bytes()).to_string(),
        })
    );
}

#[tokio::test]
async fn one_login_serves_all_and_the_metadata_server_is_asked_as_it_wants() {
    let service = Scripted::new([granted("one", 3600), opened(), opened()]).await;
    let gcp = by_metadata(&service);
    let key = ours();
    let (a, b) = tokio::join!(gcp.decrypt(&key), gcp.decrypt(&key));
    assert!(a.is_ok() && b.is_ok());
    assert_eq!(asked(&service).iter().filter(|(path, _)| path.contains("/token")).count(), 1);
    assert_eq!(service.asked()[0].0.headers["metadata-flavor"], "Google");
}

#[tokio::test(start_paused = true)]
async fn a_token_is_renewed_before_it_ends_and_an_old_one_used_while_that_fails() {
    let script = [
        granted("one", 3600),
        opened(),
        Reply::This(503, String::new()),
        opened(),
        opened(),
        granted("two", 3600),
        opened(),
    ];
    let service = Scripted::new(script).await;
    let gcp = by_metadata(&service);
    assert!(gcp.decrypt(&ours()).await.is_ok());
    tokio::time::advance(Duration::from_secs(3600 - 299)).await;
    assert!(gcp.decrypt(&ours()).await.is_ok(), "the old token is good");
    assert!(gcp.decrypt(&ours()).await.is_ok(), "the login was tried a moment ago");
    tokio::time::advance(Duration::from_secs(10)).await;
    assert!(gcp.decrypt(&ours()).await.is_ok());
    let tokens: Vec<_> =
        asked(&service).into_iter().filter(|(path, _)| path == DECRYPT).map(|(_, token)| token).collect();
    assert_eq!(tokens, ["Bearer one", "Bearer one", "Bearer one", "Bearer two"]);
}

#[tokio::test(start_paused = true)]
async fn a_revoked_token_is_replaced_once_and_a_young_one_is_believed() {
    let no = || refused(401, "UNAUTHENTICATED");
    let service = Scripted::new([granted("one", 3600), no(), no(), granted("two", 3600), opened()]).await;
    let gcp = by_metadata(&service);
    assert_eq!(gcp.decrypt(&ours()).await.err().unwrap().failure(), Failure::BadCredentials);
    tokio::time::advance(Duration::from_secs(11)).await;
    assert!(gcp.decrypt(&ours()).await.is_ok());
    assert_eq!(service.left(), 0);
}

#[tokio::test]
async fn refusals_are_told_apart() {
    let cases = [
        (refused(403, "PERMISSION_DENIED"), Failure::Denied),
        (refused(404, "NOT_FOUND"), Failure::NotFound),
        (refused(400, "FAILED_PRECONDITION"), Failure::Unusable),
        (refused(400, "INVALID_ARGUMENT"), Failure::Invalid),
        (refused(429, "RESOURCE_EXHAUSTED"), Failure::Throttled),
        (refused(503, "UNAVAILABLE"), Failure::Unreachable),
        (Reply::HangUp, Failure::Unreachable),
        (Reply::This(200, "{}".into()), Failure::Nonsense),
        (Reply::This(200, r#"{"plaintext":"c2hvcnQ="}"#.into()), Failure::Nonsense),
        (
            Reply::This(200, format!(r#"{{"plaintext":"{}","plaintextCrc32c":"1"}}"#, BASE64_STANDARD.encode(KEY))),
            Failure::Unreachable,
        ),
    ];
    for (answer, wanted) in cases {
        let service = Scripted::new([granted("one", 3600), answer]).await;
        let error = by_metadata(&service).decrypt(&ours()).await.err().unwrap();
        assert_eq!(error.failure(), wanted);
        assert_eq!(service.left(), 0, "{wanted:?}");
    }
}

#[tokio::test]
async fn a_refused_login_blames_the_credentials_without_showing_them() {
    let no = r#"{"error":"invalid_grant","error_description":"Invalid JWT Signature."}"#;
    let service = Scripted::new([Reply::This(400, no.into()), Reply::This(503, String::new())]).await;
    let gcp = Gcp::new("g", settings(&service, account(&service, "service_account"))).unwrap();
    let error = gcp.decrypt(&ours()).await.err().unwrap();
    assert_eq!(error.failure(), Failure::BadCredentials);
    let told = error.into_error("g", NAME, Duration::ZERO);
    assert!(told.message().contains("Invalid JWT Signature"), "{told}");
    assert_eq!(gcp.decrypt(&ours()).await.err().unwrap().failure(), Failure::Unreachable);
}

#[tokio::test]
async fn what_cannot_be_asked_for_is_not() {
    let service = Scripted::new([]).await;
    let gcp = by_metadata(&service);
    let below = |id: &str| format!("{NAME}/{id}");
    let ids =
        ["", "k", "projects/p", "projects/../locations/x/keyRings/r/cryptoKeys/k", &below("a"), &below("a/b/c/d")];
    for id in ids.into_iter().chain(["projects/p/locations/l/keyRings/r/cryptoKeys/k?x", "p/p/l/l/k/r/c/k"]) {
        assert_eq!(gcp.decrypt(&wrapped(id, "YQ==")).await.err().unwrap().failure(), Failure::Invalid, "{id}");
    }
    let lost = wrapped(NAME, "\n$\u{fffd}\u{fffd}");
    let error = gcp.decrypt(&lost).await.err().unwrap();
    assert!(error.into_error("g", NAME, Duration::ZERO).message().contains("lost bytes"));
    assert!(asked(&service).is_empty());
}

#[tokio::test]
async fn every_order_of_a_few_pairs_is_tried() {
    let mut key = ours();
    key.context = [("a", "1"), ("b", "2")].map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    let service = Scripted::new([granted("one", 3600), refused(400, "INVALID_ARGUMENT"), opened()]).await;
    assert!(by_metadata(&service).decrypt(&key).await.is_ok());
    let aad = |index: usize| {
        let body: serde_json::Value = serde_json::from_slice(&service.asked()[index].1).unwrap();
        BASE64_STANDARD.decode(body["additionalAuthenticatedData"].as_str().unwrap()).unwrap()
    };
    assert_eq!((aad(1), aad(2)), (b"a=1&b=2".to_vec(), b"b=2&a=1".to_vec()));

    let count = |pairs: usize| contexts(&(0..pairs).map(|n| (format!("k{n}"), "v".to_owned())).collect()).len();
    assert_eq!([0, 1, 2, 3, 4, 9].map(count), [1, 1, 2, 6, 1, 1]);
    assert_eq!(contexts(&BTreeMap::new()), [None]);
}

#[tokio::test]
async fn credentials_that_are_none_are_refused_at_the_start_without_showing_them() {
    let service = Scripted::new([]).await;
    let new = |login| Gcp::new("g", settings(&service, login)).err().unwrap().to_string();
    assert!(new(account(&service, "authorized_user")).contains("authorized_user"));
    for json in ["", "{", r#"{"type":"service_account","client_email":"a","private_key":"hunter2"}"#] {
        let message = new(Login::ServiceAccount(json.to_owned().into()));
        assert!(message.contains("kms.providers.g") && !message.contains("hunter2"), "{message}");
    }
}
