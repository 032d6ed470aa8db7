use std::path::Path;

use super::Place;
use crate::config::markdown;

#[test]
fn what_is_in_force_is_toml_with_sources_and_masked_secrets() {
    let place = Place::new();
    place.write("secret", "hunter2");
    let text = "[prefetch]\nwindow = 4\n[sse_s3]\nkey = \"hunter2\"\n[kms]\ndefault_provider = \"m\"\n\
                [kms.providers.m]\ntype = \"aws\"\naccess_key = \"hunter2\"\nsecret_key_file = \"secret\"\n\
                [kms.buckets.\"a.b\"]\nprovider = \"m\"";
    let loaded = place.load(text, &[("TIDEGATE_LOG__LEVEL", "debug")]).unwrap_or_else(|e| panic!("{e}"));
    let page = loaded.to_toml().replace(&place.0.display().to_string(), "@");
    for line in [
        "# Effective configuration of @/t.toml; a line that names no source is a default. A reload changes what is not marked.",
        "listen = \"127.0.0.1:8880\"  # changed by a restart only",
        "addresses = [\"127.0.0.1:8888\"]",
        "window = 4  # @/t.toml",
        "key = \"********\"  # @/t.toml",
        "[kms.providers.m]",
        "type = \"aws\"  # @/t.toml",
        "secret_key = \"********\"  # @/secret named by @/t.toml",
        "[kms.buckets.\"a.b\"]",
        "level = \"debug\"  # TIDEGATE_LOG__LEVEL",
    ] {
        assert!(page.lines().any(|found| found == line), "{line} is not in\n{page}");
    }
    assert!(!page.contains("hunter2"), "{page}");
    assert!(toml::from_str::<toml::Table>(&page).is_ok(), "{page}");
}

#[test]
fn what_is_printed_can_be_read_back() {
    let place = Place::new();
    let text = "[filer]\naddresses = \"[::1]:1.2,b:3\"\n[kms.providers.m]\ntype = \"aws\"\nregion = \"q\\\"\\n\"";
    let first = place.load(text, &[]).unwrap_or_else(|e| panic!("{e}")).to_toml();
    let second = place.load(&first, &[]).unwrap_or_else(|e| panic!("{e}")).to_toml();
    let values = |page: &str| toml::from_str::<toml::Table>(page).unwrap();
    assert_eq!(values(&first), values(&second));
}

#[test]
fn the_documentation_says_what_the_code_declares() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration.md");
    let declared = markdown();
    if std::env::var_os("TIDEGATE_BLESS").is_some() {
        std::fs::write(&path, &declared).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == declared,
        "docs/configuration.md is behind; run TIDEGATE_BLESS=1 cargo test -p proxy documentation"
    );
}
