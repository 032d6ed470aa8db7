//! Checks a request's AWS signature, for tests: written from the specification
//! (<https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>), apart from the signer.

use std::collections::BTreeMap;

use http::{HeaderMap, Method, Uri};
use reqsign_core::hash::{hex_hmac_sha256, hex_sha256, hmac_sha256};

/// Panics unless the `Authorization` header is the signature of this request under `secret` for `region` and KMS.
/// Gives the access key that it names.
pub(crate) fn verify(
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    body: &[u8],
    secret: &str,
    region: &str,
) -> String {
    let text = |name: &str| headers.get(name).unwrap_or_else(|| panic!("no {name}")).to_str().unwrap();
    let fields = text("authorization").strip_prefix("AWS4-HMAC-SHA256 ").expect("the algorithm");
    let fields: BTreeMap<_, _> = fields.split(", ").map(|field| field.split_once('=').unwrap()).collect();

    let signed: Vec<_> = fields["SignedHeaders"].split(';').collect();
    let must = headers.keys().map(|name| name.as_str()).filter(|name| name.starts_with("x-amz-") || *name == "host");
    for name in must {
        assert!(signed.contains(&name), "{name} is not signed");
    }
    assert!(signed.is_sorted());
    assert_eq!(text("x-amz-content-sha256"), hex_sha256(body));

    let lines: String = signed.iter().map(|name| format!("{name}:{}\n", text(name).trim())).collect();
    assert_eq!(uri.query(), None);
    let canonical =
        format!("{method}\n{}\n\n{lines}\n{}\n{}", uri.path(), fields["SignedHeaders"], text("x-amz-content-sha256"));

    let (access, scope) = fields["Credential"].split_once('/').unwrap();
    let date = &text("x-amz-date")[..8];
    assert_eq!(scope, format!("{date}/{region}/kms/aws4_request"));
    let to_sign = format!("AWS4-HMAC-SHA256\n{}\n{scope}\n{}", text("x-amz-date"), hex_sha256(canonical.as_bytes()));
    let key = [date, region, "kms", "aws4_request"]
        .iter()
        .fold(format!("AWS4{secret}").into_bytes(), |key, part| hmac_sha256(&key, part.as_bytes()));
    assert_eq!(fields["Signature"], hex_hmac_sha256(&key, to_sign.as_bytes()), "the signature");
    access.to_owned()
}

/// The check itself is held against what botocore signed on a fixed date.
#[test]
fn agrees_with_botocore() {
    let body = br#"{"CiphertextBlob":"AQID","EncryptionContext":{"aws:s3:arn":"arn:aws:s3:::b/k"}}"#;
    let authorization = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260102/eu-central-1/kms/aws4_request, \
                         SignedHeaders=content-type;host;x-amz-content-sha256;x-amz-date;x-amz-security-token;x-amz-target, \
                         Signature=765760a8c8b32326d019bf7aa00a65f0414e4be193737ce50156d0d572ddea8b";
    let request = http::Request::post("http://127.0.0.1:5555/")
        .header("host", "127.0.0.1:5555")
        .header("content-type", "application/x-amz-json-1.1")
        .header("x-amz-target", "TrentService.Decrypt")
        .header("x-amz-content-sha256", "ce70f30d16a058a00c09abff93157278fb0809c75ff7aea3eb8b85af6d6f405b")
        .header("x-amz-date", "20260102T030405Z")
        .header("x-amz-security-token", "tok/en==")
        .header("authorization", authorization)
        .body(())
        .unwrap();
    let secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
    let (parts, ()) = request.into_parts();
    let access = verify(&parts.method, &parts.uri, &parts.headers, body, secret, "eu-central-1");
    assert_eq!(access, "AKIDEXAMPLE");
}
