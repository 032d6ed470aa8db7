use proptest::prelude::*;

use super::{super::CheckedConfig, Place, load};
use crate::settings::Environment;

/// A file's text, variables, and the line that they end in; `@` is the file's directory.
type Case = (&'static str, &'static [(&'static str, &'static str)], &'static str);

const UNKNOWN: &[Case] = &[
    ("[prefetch]\nwindw = 4", &[], "@/t.toml: prefetch.windw: unknown key; did you mean prefetch.window?"),
    (
        "",
        &[("TIDEGATE_PREFETCH__WINDW", "4")],
        "TIDEGATE_PREFETCH__WINDW: prefetch.windw: unknown key; did you mean prefetch.window?",
    ),
    ("[prefech]\nwindow = 4", &[], "@/t.toml: prefech: unknown section; did you mean prefetch?"),
    (
        "",
        &[("TIDEGATE_PREFECH__WINDOW", "4")],
        "TIDEGATE_PREFECH__WINDOW: prefech: unknown section; did you mean prefetch?",
    ),
    ("listen = \"127.0.0.1:1\"", &[], "@/t.toml: listen: unknown section; did you mean server.listen?"),
    ("[server]\nwindow = 4", &[], "@/t.toml: server.window: unknown key; did you mean prefetch.window?"),
    (
        "[log]\n\"qq\\nq\" = 1",
        &[],
        "@/t.toml: log.\"qq\\nq\": unknown key; known here: level, format, access, access_file, access_sample",
    ),
    (
        "[log]\nlevel_file = \"x\"",
        &[],
        "@/t.toml: log.level_file: unknown key; known here: level, format, access, access_file, access_sample",
    ),
    (
        "",
        &[("TIDEGATE_LOG__", "x")],
        "TIDEGATE_LOG__: log.\"\": unknown key; known here: level, format, access, access_file, access_sample",
    ),
    (
        "[kms.providers.m]\ntype = \"aws\"\nacces_key = \"x\"",
        &[],
        "@/t.toml: kms.providers.m.acces_key: unknown key; did you mean kms.providers.m.access_key?",
    ),
    (
        "[kms.buckets.\"a.b\"]\nprovder = \"m\"",
        &[],
        "@/t.toml: kms.buckets.\"a.b\".provder: unknown key; did you mean kms.buckets.\"a.b\".provider?",
    ),
];

const VALUES: &[Case] = &[
    ("server = 5", &[], "@/t.toml: server: must be a table; write [server]"),
    ("[kms.providers]\nm = 1", &[], "@/t.toml: kms.providers.m: must be a table; write [kms.providers.m]"),
    (
        "[server]\nlisten = 8880",
        &[],
        "@/t.toml: server.listen: expected an IP address and port such as \"127.0.0.1:8880\" or \"[::1]:8880\", got 8880",
    ),
    (
        "[server]\nlisten = \"127.0.0.1:1\"",
        &[("TIDEGATE_SERVER__LISTEN", "localhost")],
        "TIDEGATE_SERVER__LISTEN: server.listen: expected an IP address and port such as \"127.0.0.1:8880\" or \"[::1]:8880\", got \"localhost\"",
    ),
    (
        "",
        &[("TIDEGATE_SERVER__LISTEN__X", "1")],
        "TIDEGATE_SERVER__LISTEN__X: server.listen: expected an IP address and port such as \"127.0.0.1:8880\" or \"[::1]:8880\", got a table",
    ),
    (
        "[server]\nadmin = \"127.0.0.1:8880\"",
        &[],
        "@/t.toml: server.admin: 127.0.0.1:8880 is server.listen too; choose another port",
    ),
    (
        "[server]\nlisten = \"0.0.0.0:8881\"\nadmin = \"127.0.0.1:8881\"",
        &[],
        "@/t.toml: server.admin: 127.0.0.1:8881 is taken by server.listen, 0.0.0.0:8881; choose another port",
    ),
    (
        "[s3]\nlisten = \"[::]:8881\"\ngateway = [\"http://a:1\"]\n[server]\nadmin = \"[::1]:8881\"",
        &[],
        "@/t.toml: s3.listen: [::]:8881 is taken by server.admin, [::1]:8881; choose another port",
    ),
    (
        "[server]\nlisten = \"127.0.0.1:8888\"",
        &[],
        "@/t.toml: filer.addresses 127.0.0.1:8888 is server.listen, where tidegate itself listens; name the filer",
    ),
    (
        "[filer]\naddresses = [\"a:1\", \"localhost:8880.18888\"]",
        &[("TIDEGATE_SERVER__LISTEN", "0.0.0.0:8880")],
        "@/t.toml: filer.addresses: localhost:8880 is server.listen, where tidegate itself listens; name the filer",
    ),
    (
        "[s3]\nlisten = \"[::1]:8333\"\ngateway = [\"http://[::1]:8333\"]",
        &[],
        "@/t.toml: s3.gateway: [::1]:8333 is s3.listen, where tidegate itself listens; name the S3 gateway",
    ),
    (
        "[s3]\nlisten = \"127.0.0.1:8870\"\ngateway = [\"http://127.0.0.1:8333\", \"http://127.0.0.1:8888\"]",
        &[],
        "@/t.toml: s3.gateway: 127.0.0.1:8888 is one of filer.addresses; name the S3 gateway, which has a port of its own",
    ),
    (
        "[server]\ndrain_timeout = 120",
        &[],
        "@/t.toml: server.drain_timeout: expected a duration with its unit, such as \"250ms\", \"30s\" or \"5m\", got 120",
    ),
    (
        "[server]\ndrain_timeout = \"1h 1s\"",
        &[],
        "@/t.toml: server.drain_timeout: expected a duration with its unit, such as \"250ms\", \"30s\" or \"5m\", at most 1h, got \"1h 1s\"",
    ),
    (
        "[filer]\naddresses = []",
        &[],
        "@/t.toml: filer.addresses: expected a list of filer addresses, each `host:port` or `host:port.grpcPort`, got a list: it names no filer",
    ),
    (
        "[filer]\naddresses = [\"http://a:1\"]",
        &[],
        "@/t.toml: filer.addresses: expected a list of filer addresses, each `host:port` or `host:port.grpcPort`, got a list: \"http://a:1\" must stand without a scheme",
    ),
    (
        "[filer]\naddresses = [8888]",
        &[],
        "@/t.toml: filer.addresses: expected a list of filer addresses, each `host:port` or `host:port.grpcPort`, got a list: an item is not text",
    ),
    (
        "",
        &[("TIDEGATE_FILER__ADDRESSES", "::1:8888")],
        "TIDEGATE_FILER__ADDRESSES: filer.addresses: expected a list of filer addresses, each `host:port` or `host:port.grpcPort`, got \"::1:8888\": \"::1\" in \"::1:8888\" is not a host; an IPv6 address stands in brackets",
    ),
    ("[access]\nssec_over_http = \"yes\"", &[], "@/t.toml: access.ssec_over_http: expected true or false, got \"yes\""),
    (
        "[access]\nmanaged_keys = \"all\"",
        &[],
        "@/t.toml: access.managed_keys: expected \"none\", \"jwt\", \"mtls\" or \"any\", got \"all\"",
    ),
    (
        "[access]\nmanaged_keys = \"jwt\"",
        &[],
        "@/t.toml: access.managed_keys: \"jwt\" needs jwt.filer_signing.read.key, in the file that filer.security_toml names or in WEED_JWT_FILER_SIGNING_READ_KEY",
    ),
    (
        "",
        &[("TIDEGATE_ACCESS__MANAGED_KEYS", "mtls")],
        "TIDEGATE_ACCESS__MANAGED_KEYS: access.managed_keys: \"mtls\" needs server.tls_client_ca",
    ),
    (
        "[prefetch]\nwindow = 1025",
        &[],
        "@/t.toml: prefetch.window: expected \"auto\" or a number of chunks from 1 to 1024, got 1025",
    ),
    (
        "[prefetch]\nmemory = \"1MiB\"",
        &[],
        "@/t.toml: prefetch.memory: expected a size such as \"256MiB\", \"1GiB\" or a number of bytes, at least 8MiB, got \"1MiB\"",
    ),
    (
        "[prefetch]\nmemory = \"1G\"",
        &[],
        "@/t.toml: prefetch.memory: expected a size such as \"256MiB\", \"1GiB\" or a number of bytes, got \"1G\": \"G\" is not one of B, KB, MB, GB, TB, KiB, MiB, GiB, TiB",
    ),
    (
        "[prefetch]\nper_server = 0",
        &[],
        "@/t.toml: prefetch.per_server: expected a whole number, from 1 to 4096, got 0",
    ),
    ("[prefetch]\nper_server = 1.5", &[], "@/t.toml: prefetch.per_server: expected a whole number, got 1.5"),
    (
        "[prefetch]\nidle_timeout = \"0s\"",
        &[],
        "@/t.toml: prefetch.idle_timeout: expected a duration with its unit, such as \"250ms\", \"30s\" or \"5m\", from 1ms to 1h, got \"0s\"",
    ),
    (
        "[log]\nlevel = \"loud\"",
        &[],
        "@/t.toml: log.level: expected \"error\", \"warn\", \"info\", \"debug\" or \"trace\", got \"loud\"",
    ),
    ("[log]\nformat = \"a\\nb\"", &[], "@/t.toml: log.format: expected \"auto\", \"text\" or \"json\", got \"a\\nb\""),
];

const KMS: &[Case] = &[
    (
        "[kms]\ndefault_provider = \"main\"",
        &[],
        "@/t.toml: kms.default_provider: names provider \"main\", but there is none; add [kms.providers.main]",
    ),
    (
        "[kms]\ndefault_provider = \"main\"\n[kms.providers.a]\ntype = \"aws\"\n[kms.providers.b]\ntype = \"aws\"",
        &[],
        "@/t.toml: kms.default_provider: names provider \"main\", which is not one of: a, b",
    ),
    (
        "[kms.providers.a]\ntype = \"aws\"\n[kms.buckets.x]\nprovider = \"b\"",
        &[],
        "@/t.toml: kms.buckets.x.provider: names provider \"b\", which is not one of: a",
    ),
    ("[kms.buckets.x]", &[], "@/t.toml: kms.buckets.x.provider: must be set: text"),
    (
        "[kms.providers.a]\nregion = \"x\"",
        &[],
        "@/t.toml: kms.providers.a.type: must be set to the kind of service; known: aws, openbao, vault, gcp, azure",
    ),
    (
        "[kms.providers.a]\ntype = \"local\"",
        &[],
        "@/t.toml: kms.providers.a.type: unknown type \"local\"; known: aws, openbao, vault, gcp, azure",
    ),
    (
        "[kms.providers.a]\ntype = \"asw\"",
        &[],
        "@/t.toml: kms.providers.a.type: unknown type \"asw\"; did you mean \"aws\"? known: aws, openbao, vault, gcp, azure",
    ),
    (
        "[kms.providers.a]\ntype = \"aws\"\naccess_key = \"x\"",
        &[],
        "@/t.toml: kms.providers.a.secret_key: must be set, because access_key is",
    ),
    (
        "[kms.providers.a]\ntype = \"aws\"\nsession_token = \"x\"",
        &[],
        "@/t.toml: kms.providers.a.session_token: has no use without access_key and secret_key; set them, or remove it",
    ),
    (
        "[kms.providers.a]\ntype = \"aws\"\naccess_key = \"x\"\nsecret_key = \"y\"",
        &[("TIDEGATE_KMS__PROVIDERS__A__PROFILE", "p")],
        "TIDEGATE_KMS__PROVIDERS__A__PROFILE: kms.providers.a.profile: is set, and access_key too; keep one of them",
    ),
    (
        "[kms.providers.a]\ntype = \"aws\"\nexternal_id = \"x\"",
        &[],
        "@/t.toml: kms.providers.a.external_id: has no use without role_arn; set it, or remove external_id",
    ),
    (
        "[kms.providers.a]\ntype = \"aws\"\nendpoint = \"kms:80\"",
        &[],
        "@/t.toml: kms.providers.a.endpoint: expected a http:// or https:// URL, got \"kms:80\"",
    ),
    (
        "[kms.providers.a]\ntype = \"aws\"\nendpoint = \"http://u:p@h:1\"",
        &[],
        "@/t.toml: kms.providers.a.endpoint: expected a http:// or https:// URL without a user name and password; remove them, and log in by the other keys",
    ),
    (
        "[kms.providers.b]\ntype = \"openbao\"\ntoken = \"t\"\naddress = \"u:p@h:1\"",
        &[],
        "@/t.toml: kms.providers.b.address: expected a http:// or https:// URL without a user name and password; remove them, and log in by the other keys",
    ),
    (
        "[kms.providers.b]\ntype = \"openbao\"\ntoken = \"two\\nlines\"",
        &[],
        "@/t.toml: kms.providers.b.token: has a character that no token has; set the token alone, on one line",
    ),
    (
        "[kms.providers.b]\ntype = \"openbao\"\ntoken = \"t\"\nca_cert = \"none.pem\"",
        &[],
        "kms.providers.b: @/none.pem: cannot be read: No such file or directory (os error 2)",
    ),
    (
        "[server]\ntls_cert = \"none.pem\"\ntls_key = \"k\"",
        &[],
        "@/none.pem: server.tls_cert: cannot be read: No such file or directory (os error 2)",
    ),
    (
        "[kms.providers.z]\ntype = \"azure\"\nvault_url = \"https://u:p@v\"\nuse_default_creds = true",
        &[],
        "@/t.toml: kms.providers.z.vault_url: expected a http:// or https:// URL without a user name and password; remove them, and log in by the other keys",
    ),
    (
        "[kms.providers.g]\ntype = \"gcp\"\nproject_id = \"p\"\nuse_default_credentials = true\nmetadata_endpoint = \"h\"",
        &[],
        "@/t.toml: kms.providers.g.metadata_endpoint: expected a http:// or https:// URL, got \"h\"",
    ),
    (
        "[kms.providers.a]\ntype = \"aws\"",
        &[("TIDEGATE_KMS__PROVIDERS__A__MAX_RETRIES", "many")],
        "TIDEGATE_KMS__PROVIDERS__A__MAX_RETRIES: kms.providers.a.max_retries: expected a whole number, got \"many\"",
    ),
    (
        "[kms.providers.g]\ntype = \"gcp\"\nproject_id = \"p\"",
        &[],
        "@/t.toml: kms.providers.g.credentials_file: must be set, or else credentials_json, or use_default_credentials = true",
    ),
    (
        "[kms.providers.g]\ntype = \"gcp\"\nproject_id = \"p\"\ncredentials_json = \"x\"\nuse_default_credentials = true",
        &[],
        "@/t.toml: kms.providers.g.use_default_credentials: is true, and other credentials are set; keep one of them",
    ),
    (
        "[kms.providers.z]\ntype = \"azure\"\nvault_url = \"https://v\"\ntenant_id = \"t\"\nclient_id = \"c\"",
        &[],
        "@/t.toml: kms.providers.z.client_secret: must be set, because client_id is",
    ),
];

const SECRETS: &[Case] = &[
    ("[sse_s3]\nkey = 120045", &[], "@/t.toml: sse_s3.key: expected text, got a number"),
    (
        "[sse_s3]\nkek = \"120045\"",
        &[],
        "@/t.toml: sse_s3.kek: expected 64 hex digits; for any other text use sse_s3.key",
    ),
    (
        "[sse_s3]\nkey = \"a\"\nkek = \"b\"",
        &[],
        "@/t.toml: sse_s3.kek: sse_s3.key is set too; keep only the one that the S3 gateway uses",
    ),
    (
        "[sse_s3]\nkey = \"a\"\nkek_passphrase = \"b\"",
        &[],
        "@/t.toml: sse_s3.kek_passphrase: has no use beside sse_s3.key or sse_s3.kek: it opens the filer's /etc/s3/sse_kek, which is not read then; remove it",
    ),
    (
        "[sse_s3]\nkek = \"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\"",
        &[("TIDEGATE_SSE_S3__KEK_PASSPHRASE", "b")],
        "TIDEGATE_SSE_S3__KEK_PASSPHRASE: sse_s3.kek_passphrase: has no use beside sse_s3.key or sse_s3.kek: it opens the filer's /etc/s3/sse_kek, which is not read then; remove it",
    ),
    (
        "[sse_s3]\nkey_file = \"f\"",
        &[("TIDEGATE_SSE_S3__KEY", "a")],
        "@/t.toml: sse_s3.key_file: sse_s3.key is set too; keep only one of sse_s3.key and sse_s3.key_file",
    ),
    ("[sse_s3]\nkey_file = 3", &[], "@/t.toml: sse_s3.key_file: expected the path of a file, as text"),
    (
        "[sse_s3]\nkey_file = \"no\"",
        &[],
        "@/t.toml: sse_s3.key_file: @/no: no such file; create it or correct the path; systemd's credentials are found where CREDENTIALS_DIRECTORY is set",
    ),
    (
        "",
        &[("TIDEGATE_SSE_S3__KEY_FILE", "@/no")],
        "TIDEGATE_SSE_S3__KEY_FILE: sse_s3.key_file: @/no: no such file; create it or correct the path",
    ),
    (
        "[sse_s3]\nkey_file = \"no\"",
        &[("CREDENTIALS_DIRECTORY", "@")],
        "@/t.toml: sse_s3.key_file: @/no: no such file; create it or correct the path",
    ),
    ("[sse_s3]\nkey_file = \".\"", &[], "@/t.toml: sse_s3.key_file: @/.: is a directory; name a file in it"),
    (
        "[sse_s3]\nkey_file = \"empty\"",
        &[],
        "@/t.toml: sse_s3.key_file: @/empty: the file is empty; put the secret into it",
    ),
    (
        "[sse_s3]\nkey_file = \"large\"",
        &[],
        "@/t.toml: sse_s3.key_file: @/large: larger than 64 KiB; this is not the file of a secret",
    ),
    (
        "[sse_s3]\nkek_file = \"short\"",
        &[],
        "@/t.toml: sse_s3.kek: expected 64 hex digits; for any other text use sse_s3.key",
    ),
];

const SYNTAX: &[Case] = &[
    ("[server\n", &[], "@/t.toml: not valid TOML: line 1:8: unclosed table, expected `]`"),
    ("[log]\nlevel = \"info\"\nlevel = \"warn\"", &[], "@/t.toml: not valid TOML: line 3:1: duplicate key"),
    (
        "[log]\nlevel = warn",
        &[],
        "@/t.toml: not valid TOML: line 2:9: string values must be quoted, expected literal string",
    ),
];

#[test]
fn every_mistake_is_one_line_that_names_place_key_and_fix() {
    let place = Place::new();
    place.write("empty", "\n");
    place.write("large", &"x".repeat(64 * 1024 + 1));
    place.write("short", "120045");
    for (text, variables, line) in [UNKNOWN, VALUES, KMS, SECRETS, SYNTAX].concat() {
        assert_eq!(place.error(text, variables), line, "{text:?}");
        assert!(!line.contains('\n'), "{line}");
    }
}

#[test]
fn no_error_shows_a_secret() {
    let place = Place::new();
    place.write("short", "hunter2");
    for text in [
        "[sse_s3]\nkek = \"hunter2\"",
        "[sse_s3]\nkek_file = \"short\"",
        "[sse_s3]\nkey = [\"hunter2\"]",
        "[sse_s3]\nkey = \"hunter2",
        "[sse_s3]\nkey = hunter2",
        "[sse_s3]\nkey = \"hunter2\"\nkey = \"hunter2\"",
        "[sse_s3]\nky = \"hunter2\"",
        "[kms.providers.a]\ntype = \"aws\"\nsecret_key = \"hunter2\"",
        "[filer]\naddresses = [\"http://user:hunter2@f:8888\"]",
        "[filer]\naddresses = \"user:hunter2@f:8888\"",
        "[s3]\nlisten = \"127.0.0.1:1\"\ngateway = [\"http://user:hunter2@f:8333\"]",
        "[server]\nlisten = \"user:hunter2@f:1\"",
        "[admin]\nhosts = [\"http://user:hunter2@f\"]",
        "[tracing]\nendpoint = \"http://user:hunter2@f:4317\"",
        "[tracing]\nendpoint = \"http://f:4317/?token=hunter2\"",
    ] {
        let line = place.error(text, &[]);
        assert!(!line.contains("hunter2"), "{line}");
    }
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let place = Place::new();
    let read = |name: &str| {
        let error =
            CheckedConfig::read(Some(&place.0.join(name)), &Environment::default()).err().expect("it cannot be read");
        error.to_string().replace(&place.0.display().to_string(), "@")
    };
    assert_eq!(read("none.toml"), "@/none.toml: no such file; create it or correct the path");
    assert_eq!(read("."), "@/.: is a directory; name a file in it");
    std::fs::write(place.0.join("latin.toml"), b"# \xe4").unwrap();
    assert_eq!(read("latin.toml"), "@/latin.toml: not UTF-8 text; save it as UTF-8");
    std::fs::write(place.0.join("data.toml"), "# ".repeat(600_000)).unwrap();
    assert_eq!(read("data.toml"), "@/data.toml: larger than 1024 KiB; this is not a configuration");
    assert_eq!(read("/dev/zero"), "/dev/zero: larger than 1024 KiB; this is not a configuration");
}

#[test]
fn variables_that_are_not_text_are_named() {
    use std::{ffi::OsString, os::unix::ffi::OsStringExt as _};
    let value = OsString::from_vec(vec![0xff]);
    let error = Environment::new([("TIDEGATE_LOG__LEVEL", value.clone())]).err().expect("it is not UTF-8");
    assert_eq!(error.to_string(), "TIDEGATE_LOG__LEVEL: the value is not UTF-8; set it to plain text");
    assert!(Environment::new([("OTHER", value)]).is_ok());
}

#[test]
fn a_longer_variable_does_not_hide_behind_a_shorter_one() {
    let place = Place::new();
    let variables = [("TIDEGATE_LOG__LEVEL", "info"), ("TIDEGATE_LOG__LEVEL__X", "y")];
    assert!(place.error("", &variables).starts_with("TIDEGATE_LOG__LEVEL__X: log.level: expected"));
    assert_eq!(load("", &variables[..1]).config.log.level.as_str(), "info");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn whatever_is_set_ends_in_a_configuration_or_in_one_line(
        section in "server|filer|prefetch|kms|log|\\PC*",
        key in "listen|addresses|memory|cache_ttl|level|providers|\\PC*",
        value: String,
        variable in "[A-Z_]{0,12}",
    ) {
        let place = Place::new();
        let text = toml::to_string(&serde_json::json!({ section: { key: &value } })).unwrap();
        let name = format!("TIDEGATE_{variable}");
        for (text, variables) in [
            (&*text, &[][..]),
            (&*value, &[]),
            ("", &[(&*name, &*value)]),
        ] {
            if let Err(error) = place.load(text, variables) {
                prop_assert!(!error.to_string().chars().any(char::is_control), "{}", error);
            }
        }
    }
}
