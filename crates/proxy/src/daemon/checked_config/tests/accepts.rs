use std::time::Duration;

use super::{Place, load};
use crate::config::{LogFormat, LogLevel, ManagedKeys, Provider, Seconds, Size, Verify, Window};

#[test]
fn nothing_set_is_all_defaults() {
    let config = load("", &[]).config;
    assert_eq!(config.server.listen.to_string(), "127.0.0.1:8880");
    assert_eq!(config.server.admin.to_string(), "127.0.0.1:8881");
    assert_eq!(config.server.drain_timeout, Duration::from_secs(120));
    assert_eq!(config.filer.addresses[0].grpc_authority(), "127.0.0.1:18888");
    assert_eq!(config.access.managed_keys, ManagedKeys::None);
    assert!(!config.access.ssec_over_http);
    assert_eq!(config.prefetch.window, Window::Auto);
    assert_eq!(config.prefetch.memory, Size::new(256 << 20));
    assert_eq!((config.prefetch.per_server, config.prefetch.verify), (16, Verify::Whole));
    assert!(config.sse_s3.key.is_none() && config.sse_s3.kek.is_none() && config.sse_s3.kek_passphrase.is_none());
    assert!(config.kms.default_provider.is_none() && config.kms.providers.is_empty());
    assert_eq!((config.kms.cache_ttl, config.kms.cache_entries), (Duration::from_secs(300), 1000));
    assert_eq!((config.log.level, config.log.format), (LogLevel::Info, LogFormat::Auto));
}

#[test]
fn the_environment_wins_over_the_file_and_the_file_over_defaults() {
    let text = "[prefetch]\nwindow = 4\nmemory = 16777216\nverify = false\n[filer]\naddresses = [\"a:1\", \"b:2.3\"]";
    let variables =
        [("TIDEGATE_PREFETCH__WINDOW", "8"), ("TIDEGATE_ACCESS__MANAGED_KEYS", "any"), ("TIDEGATE_PORT", "tcp://x")];
    let config = load(text, &variables).config;
    assert_eq!(config.prefetch.window, Window::Fixed(8));
    assert_eq!(config.prefetch.memory, Size::new(16 << 20));
    assert_eq!(config.prefetch.verify, Verify::Off);
    assert_eq!(config.prefetch.per_server, 16);
    assert_eq!(config.filer.addresses.len(), 2);
    assert_eq!(config.access.managed_keys, ManagedKeys::Any);
}

#[test]
fn every_type_can_be_written_as_text() {
    let config = load(
        "",
        &[
            ("TIDEGATE_SERVER__LISTEN", "[::]:80"),
            ("TIDEGATE_SERVER__DRAIN_TIMEOUT", "1m 30s"),
            ("TIDEGATE_FILER__ADDRESSES", "a:1, b:2.3"),
            ("TIDEGATE_ACCESS__SSEC_OVER_HTTP", "true"),
            ("TIDEGATE_PREFETCH__MEMORY", "1GiB"),
            ("TIDEGATE_PREFETCH__PER_SERVER", "256"),
            ("TIDEGATE_KMS__PROVIDERS__MAIN__TYPE", "aws"),
            ("TIDEGATE_KMS__PROVIDERS__MAIN__CONNECT_TIMEOUT", "7"),
            ("TIDEGATE_LOG__FORMAT", "json"),
        ],
    )
    .config;
    assert_eq!(config.server.listen.port(), 80);
    assert_eq!(config.server.drain_timeout, Duration::from_secs(90));
    assert_eq!(config.filer.addresses[1].to_string(), "b:2.3");
    assert!(config.access.ssec_over_http);
    assert_eq!(config.prefetch.memory, Size::new(1 << 30));
    assert_eq!(config.prefetch.per_server, 256);
    let Provider::Aws(aws) = &config.kms.providers["main"] else { panic!("not what its type says") };
    assert_eq!(aws.connect_timeout, Seconds(Duration::from_secs(7)));
    assert_eq!(config.log.format, LogFormat::Json);
}

#[test]
fn secrets_from_the_environment_are_the_text_that_was_set() {
    let config = load("", &[("TIDEGATE_SSE_S3__KEY", "0012")]).config;
    assert_eq!(config.sse_s3.key.unwrap().expose(), "0012");
    let config = load("", &[("TIDEGATE_SSE_S3__KEK_PASSPHRASE", " [true, 1e3] ")]).config;
    assert_eq!(config.sse_s3.kek_passphrase.unwrap().expose(), " [true, 1e3] ");
    assert!(load("[sse_s3]\nkey = \"\"", &[]).config.sse_s3.key.is_none());
}

#[test]
fn secret_files_are_found_among_credentials_then_beside_the_file() {
    let place = Place::new();
    place.write("beside", "from beside\r\n");
    place.write("credentials/both", "from credentials\n\n");
    place.write("both", "from beside");
    let key = |name: &str, variables: &[(&str, &str)]| {
        let text = format!("[sse_s3]\nkey_file = \"{name}\"");
        place.load(&text, variables).unwrap_or_else(|e| panic!("{e}")).config.sse_s3.key.unwrap().expose().to_owned()
    };
    let credentials = [("CREDENTIALS_DIRECTORY", "@/credentials")];
    assert_eq!(key("beside", &[]), "from beside");
    assert_eq!(key("beside", &credentials), "from beside");
    assert_eq!(key("both", &[]), "from beside");
    assert_eq!(key("both", &credentials), "from credentials");
    let absolute = place.0.join("both").display().to_string();
    assert_eq!(key(&absolute, &credentials), "from beside");
    let variables = [("TIDEGATE_SSE_S3__KEY_FILE", "@/beside")];
    assert_eq!(place.load("", &variables).unwrap().config.sse_s3.key.unwrap().expose(), "from beside");
}

/// The example block of SeaweedFS's documentation, with every key that its aws provider and its loader read.
const GATEWAY: &str = r#"{
  "default_provider": "aws-kms",
  "providers": {
    "aws-kms": {
      "type": "aws", "region": "", "access_key": "AKIA", "secret_key": "s3cr3t", "session_token": "",
      "endpoint": "http://127.0.0.1:5555", "profile": "", "role_arn": "", "external_id": "",
      "connect_timeout": 0, "request_timeout": 20, "max_retries": 0,
      "cache_enabled": true, "cache_ttl": "1h", "max_cache_size": 1000
    }
  },
  "buckets": { "my.bucket": { "provider": "aws-kms" } }
}"#;

#[test]
fn a_block_of_the_gateway_is_accepted_as_it_is() {
    let block: serde_json::Value = serde_json::from_str(GATEWAY).unwrap();
    let text = toml::to_string(&serde_json::json!({ "kms": block })).unwrap();
    let kms = load(&text, &[]).config.kms;
    assert_eq!(kms.default_provider.as_deref(), Some("aws-kms"));
    assert_eq!(kms.buckets["my.bucket"].provider, "aws-kms");
    let Provider::Aws(aws) = &kms.providers["aws-kms"] else { panic!("not what its type says") };
    assert_eq!(aws.region, "us-east-1");
    assert_eq!(aws.access_key.as_ref().unwrap().expose(), "AKIA");
    assert_eq!(aws.secret_key.as_ref().unwrap().expose(), "s3cr3t");
    assert!(aws.session_token.is_none() && aws.profile.is_none() && aws.role_arn.is_none());
    assert_eq!(aws.endpoint.as_deref(), Some("http://127.0.0.1:5555"));
    assert_eq!((aws.connect_timeout.0.as_secs(), aws.request_timeout.0.as_secs(), aws.max_retries), (10, 20, 3));
}

#[test]
fn aws_settings_that_go_together_are_accepted() {
    for text in [
        "access_key = \"a\"\nsecret_key = \"b\"\nsession_token = \"c\"\nrole_arn = \"r\"\nexternal_id = \"e\"",
        "profile = \"p\"\nrole_arn = \"r\"\nexternal_id = \"e\"",
        "role_arn = \"r\"",
    ] {
        load(&format!("[kms.providers.m]\ntype = \"aws\"\n{text}"), &[]);
    }
}

/// Blocks for the other clouds, with every key that the gateway's providers read, and what they leave empty.
const CLOUDS: &str = r#"{
  "providers": {
    "g": { "type": "gcp", "project_id": "p", "credentials_file": "", "credentials_json": "e30=",
           "use_default_credentials": false, "request_timeout": 0 },
    "m": { "type": "gcp", "project_id": "p", "credentials_file": "", "credentials_json": "",
           "use_default_credentials": true, "cache_enabled": true, "cache_ttl": "1h", "max_cache_size": 1000 },
    "a": { "type": "azure", "vault_url": "https://v.vault.azure.net/", "tenant_id": "t", "client_id": "c",
           "client_secret": "s3cr3t", "certificate": "", "use_default_creds": false, "request_timeout": 7 }
  }
}"#;

#[test]
fn blocks_of_the_other_clouds_are_accepted_as_they_are() {
    let block: serde_json::Value = serde_json::from_str(CLOUDS).unwrap();
    let kms = load(&toml::to_string(&serde_json::json!({ "kms": block })).unwrap(), &[]).config.kms;
    let Provider::Gcp(gcp) = &kms.providers["g"] else { panic!("not what its type says") };
    assert_eq!((gcp.credentials_json.as_ref().unwrap().expose(), gcp.request_timeout.0.as_secs()), ("e30=", 30));
    let Provider::Gcp(gcp) = &kms.providers["m"] else { panic!("not what its type says") };
    assert!(gcp.use_default_credentials && gcp.credentials.is_none() && gcp.credentials_json.is_none());
    let Provider::Azure(azure) = &kms.providers["a"] else { panic!("not what its type says") };
    assert_eq!((azure.client_secret.as_ref().unwrap().expose(), azure.request_timeout.0.as_secs()), ("s3cr3t", 7));
}

#[test]
fn a_service_account_is_read_from_its_file() {
    let place = Place::new();
    std::fs::write(place.0.join("account.json"), "{}\n").unwrap();
    let text = "[kms.providers.g]\ntype = \"gcp\"\nproject_id = \"p\"\ncredentials_file = \"account.json\"";
    let kms = place.load(text, &[]).unwrap_or_else(|e| panic!("{e}")).config.kms;
    let Provider::Gcp(gcp) = &kms.providers["g"] else { panic!("not what its type says") };
    assert_eq!(gcp.credentials.as_ref().unwrap().expose(), "{}");
}

#[test]
fn the_example_of_the_service_is_accepted() {
    let place = Place::new();
    let config = place.load(include_str!("../../../../../../deploy/systemd/tidegate.toml"), &[]);
    assert_eq!(config.unwrap_or_else(|e| panic!("{e}")).config.server.listen.to_string(), "127.0.0.1:8880");
}

#[test]
fn which_chunks_are_checked_is_a_word_or_as_before_a_yes_or_no() {
    let of = |value: &str| load(&format!("[prefetch]\nverify = {value}"), &[]).config.prefetch.verify;
    let all = ["\"whole\"", "true", "\"always\"", "\"off\"", "false"].map(of);
    assert_eq!(all, [Verify::Whole, Verify::Whole, Verify::Always, Verify::Off, Verify::Off]);
    let set = |text| load("", &[("TIDEGATE_PREFETCH__VERIFY", text)]).config.prefetch.verify;
    assert_eq!(["always", "true", "false"].map(set), [Verify::Always, Verify::Whole, Verify::Off]);
}
