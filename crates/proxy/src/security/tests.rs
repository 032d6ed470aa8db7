use std::path::{Path, PathBuf};

use super::{Identity, Security, WeedEnvironment};
use crate::settings::scratch::Scratch;

fn environment(variables: &[(&str, &str)]) -> WeedEnvironment {
    let mut environment = WeedEnvironment::default();
    variables.iter().for_each(|(name, value)| environment.insert(name, (*value).to_owned()));
    environment
}

/// Loads `text` as a file of its own; answers the file's directory too.
fn load(text: &str, variables: &[(&str, &str)]) -> (Result<Security, String>, PathBuf) {
    let scratch = Scratch::new();
    let directory = scratch.to_path_buf();
    let file = directory.join("security.toml");
    std::fs::write(&file, text).unwrap();
    let loaded = Security::load(Some(&file), &environment(variables)).map_err(|error| error.to_string());
    (loaded, directory)
}

#[test]
fn nothing_is_set_by_nothing() {
    let security = Security::load(None, &environment(&[("WEED_JWT_SIGNING_READ_KEY", "")])).unwrap();
    assert!(security.set.is_empty());
    // What servers alone use is none of ours.
    let (security, _) =
        load("[jwt.signing]\nkey = 'w'\n[grpc]\nca = '/ca'\n[grpc.filer]\ncert = '/c'\nkey = '/k'", &[]);
    assert!(security.unwrap().set.is_empty());
}

#[test]
fn reads_what_weed_reads() {
    let text = "
        [JWT.Filer_Signing.read]
        key = 'f'
        [jwt.signing.read]
        key = 17
        expires_after_seconds = '5'
        [grpc]
        ca = '/tls/ca.pem'
        [grpc.client]
        cert = 'client.pem'
        key = '/tls/client.key'
        [https.client]
        enabled = true
        ca = 'ca.pem'";
    let (security, directory) = load(text, &[]);
    let security = security.unwrap();
    assert_eq!(security.set, ["jwt.filer_signing.read.key", "jwt.signing.read.key", "grpc.client", "https.client"]);
    assert_eq!(security.volume_read.unwrap().lifetime.unwrap().as_secs(), 5);
    let expected =
        Identity { ca: "/tls/ca.pem".into(), cert: directory.join("client.pem"), key: "/tls/client.key".into() };
    assert_eq!(security.grpc, Some(expected));
    let https = security.https.unwrap();
    assert_eq!((https.ca, https.identity), (Some(directory.join("ca.pem")), None));
    assert!(!https.insecure_skip_verify);
}

#[test]
fn the_environment_wins_and_does_alone() {
    let text = "[jwt.signing.read]\nkey = 'a'\nexpires_after_seconds = 7\n[https.client]\nenabled = true";
    let variables = [("WEED_JWT_SIGNING_READ_EXPIRES_AFTER_SECONDS", "0"), ("WEED_HTTPS_CLIENT_ENABLED", "false")];
    let security = load(text, &variables).0.unwrap();
    assert_eq!(security.volume_read.unwrap().lifetime, None);
    assert!(security.https.is_none());
    let variables = [
        ("WEED_JWT_FILER_SIGNING_READ_KEY", "k"),
        ("WEED_GRPC_CA", "/ca"),
        ("WEED_GRPC_CLIENT_CERT", "/server-and-client"),
        ("WEED_GRPC_CLIENT_KEY", "/key"),
        ("WEED_GRPC_CLIENT_CLIENT_CERT", "/client"),
        ("WEED_GRPC_CLIENT_CLIENT_KEY", "/client-key"),
    ];
    let security = Security::load(None, &environment(&variables)).unwrap();
    assert!(security.filer_read.is_some());
    assert_eq!(security.grpc.unwrap().cert, Path::new("/client"));
}

#[test]
fn what_is_half_or_wrong_is_refused_without_its_value() {
    for (text, message) in [
        ("[jwt.signing.read]\nkey = 'hush\n", "line 2: not valid TOML"),
        ("[jwt.signing.read]\nkey = ['hush']", "jwt.signing.read.key: expected text"),
        ("[jwt.signing.read]\nkey = 'hush'\nexpires_after_seconds = -1", "expected a whole number of seconds"),
        ("[https.client]\nenabled = 'yes'", "https.client.enabled: expected true or false"),
        ("[https.client]\nenabled = true\ncert = '/c'", "https.client.key: must be set"),
        ("[grpc.client]\ncert = '/c'\nkey = '/k'", "grpc.ca: must be set"),
        ("[grpc]\nca = '/ca'\n[grpc.client]\nkey = '/k'", "grpc.client.cert: must be set"),
    ] {
        let error = load(text, &[]).0.err().expect("refused");
        assert!(error.contains(message), "{error}");
        assert!(!error.contains("hush"), "{error}");
    }
    let error = Security::load(Some(Path::new("/nowhere/security.toml")), &environment(&[])).err().unwrap();
    assert!(error.to_string().contains("/nowhere/security.toml: filer.security_toml cannot be read"), "{error}");
}

#[test]
fn whom_the_gateways_believe_is_read_and_never_refused() {
    let here = "127.0.0.1".parse().unwrap();
    let named = |text: &str, variables: &[(&str, &str)]| load(text, variables).0.unwrap().trusted_proxies.has(here);
    assert!(named("[s3.trusted_proxies]\nwhite_list = '10.0.0.0/8, 127.0.0.1'", &[]));
    assert!(named("", &[("WEED_S3_TRUSTED_PROXIES_WHITE_LIST", "127.0.0.0/8")]));
    assert!(!named("[s3.trusted_proxies]\nwhite_list = '127.0.0.1'", &[("WEED_S3_TRUSTED_PROXIES_WHITE_LIST", "::1")]));
    assert!(!named("[s3.trusted_proxies]\nwhite_list = ['127.0.0.1']", &[]));
    assert!(!named("", &[]));
}
