use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::pb::{Entry, FuseAttributes};

fn entry(name: &str, extended: &[(&str, &str)]) -> Entry {
    let attributes = FuseAttributes {
        mtime: 1_795_377_703,
        file_size: 3,
        md5: Bytes::from_static(&[0x90; 16]),
        ..Default::default()
    };
    let extended =
        extended.iter().map(|(key, value)| ((*key).to_owned(), Bytes::copy_from_slice(value.as_bytes()))).collect();
    Entry { name: name.to_owned(), attributes: Some(attributes), extended, ..Default::default() }
}

/// Like curl shows them, sorted.
fn shown(headers: &HeaderMap) -> BTreeMap<String, String> {
    let line = |(name, value): (&HeaderName, &HeaderValue)| {
        (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    headers.iter().map(line).collect()
}

fn get(entry: &Entry, query: &str, name: &str) -> Option<String> {
    shown(&of_file(entry, query, &ContentTypes::of_this_machine())).remove(name)
}

#[test]
fn a_plain_file_has_what_the_filer_gives_it() {
    let headers = of_file(&entry("app.txt", &[]), "", &ContentTypes::of_this_machine());
    let expected = [
        ("accept-ranges", "bytes"),
        ("access-control-expose-headers", "Content-Disposition"),
        ("content-disposition", "inline; filename=app.txt"),
        ("content-type", "text/plain; charset=utf-8"),
        ("etag", "\"90909090909090909090909090909090\""),
        ("last-modified", "Sun, 22 Nov 2026 20:01:43 GMT"),
    ];
    assert_eq!(shown(&headers), expected.map(|(k, v)| (k.to_owned(), v.to_owned())).into());
}

#[test]
fn attributes_become_headers() {
    let file = entry(
        "a.txt",
        &[
            ("Cache-Control", "max-age=3"),
            ("Content-Disposition", "attachment; filename=\"o\""),
            ("Seaweed-Zoo", "v1"),
            ("Seaweed-X-Amz-ETag", "v2"),
            ("X-Amz-Tagging-a", "b"),
            ("X-Amz-Meta-Umlaut", "ü"),
            ("X-Amz-Meta-Lines", " a\r\nb\x00c "),
        ],
    );
    let headers = shown(&of_file(&file, "dl=1", &ContentTypes::of_this_machine()));
    assert_eq!(headers["cache-control"], "max-age=3");
    assert_eq!(headers["content-disposition"], "attachment; filename=\"o\"");
    assert_eq!(headers["access-control-expose-headers"], "Seaweed-X-Amz-Etag,Seaweed-Zoo,Content-Disposition");
    assert_eq!(headers["x-amz-tagging-a"], "b");
    assert_eq!(headers["x-amz-meta-umlaut"], "ü");
    assert_eq!(headers["x-amz-meta-lines"], "a  b c");
}

#[test]
fn internal_attributes_stay_inside() {
    let secret = "SECRET";
    let names = [
        "x-seaweedfs-sse-kms-key",
        "X-SeaweedFS-Sse-S3-Key",
        "X-Seaweedfs-Multipart-Part-Boundaries",
        "x-seaweedfs-sse-c-iv",
        "xattr-user.key",
        "not a name",
        "",
        "Content-Length",
        "Transfer-Encoding",
        "Content-Range",
        "Connection",
        "ETag",
    ];
    let file = entry("f", &names.map(|name| (name, secret)));
    let headers = of_file(&file, "", &ContentTypes::of_this_machine());
    assert!(headers.values().all(|value| !value.as_bytes().windows(secret.len()).any(|w| w == secret.as_bytes())));
    assert_eq!(headers.len(), 6);
}

#[test]
fn an_attribute_may_replace_what_is_derived_but_not_the_etag() {
    let file = entry("f", &[("Last-Modified", "then"), ("Content-Type", "a/b"), ("Etag", "x")]);
    assert_eq!(get(&file, "", "last-modified").as_deref(), Some("then"));
    assert_eq!(get(&file, "", "content-type").as_deref(), Some("a/b"));
    assert_eq!(get(&file, "", "etag").as_deref(), Some("\"90909090909090909090909090909090\""));
}

#[test]
fn queries_replace_headers() {
    let file = entry("f", &[("Content-Language", "de")]);
    for (query, name, expected) in [
        ("response-content-type=x/y", "content-type", "x/y"),
        ("Response-Content-Type=a&response-content-type=b", "content-type", "a"),
        ("response-content-type=a+b", "content-type", "a b"),
        ("response-content-type=", "content-type", ""),
        ("response-content-disposition=foo&dl=1", "content-disposition", "foo"),
        ("response-content-disposition=", "content-disposition", "inline; filename=f"),
        ("response-expires=a%0d%0ab", "expires", "a  b"),
        ("response-content-language=fr", "content-language", "fr"),
        ("response-content-encoding=gzip", "content-encoding", "gzip"),
        ("response-cache-control=no-store", "cache-control", "no-store"),
        ("response-etag=x", "content-language", "de"),
    ] {
        assert_eq!(get(&file, query, name).as_deref(), Some(expected), "{query}");
    }
}

#[test]
fn dl_is_a_boolean_of_go() {
    for query in ["dl=1", "dl=true", "dl=T", "dl=TRUE", "dl=%31", "x=y&dl=t"] {
        assert_eq!(
            get(&entry("f", &[]), query, "content-disposition").as_deref(),
            Some("attachment; filename=f"),
            "{query}"
        );
    }
    for query in ["", "dl", "dl=", "dl=0", "dl=yes", "dl=+1", "x;dl=1", "DL=1", "dl=&dl=1", "dl=tRUE"] {
        assert_eq!(
            get(&entry("f", &[]), query, "content-disposition").as_deref(),
            Some("inline; filename=f"),
            "{query}"
        );
    }
}

#[test]
fn validators_are_all_that_a_304_has() {
    let headers = shown(&of_validators(&entry("f", &[("Cache-Control", "x")])));
    assert_eq!(headers.keys().map(String::as_str).collect::<Vec<_>>(), ["etag", "last-modified"]);
    assert!(of_validators(&Entry::default()).get(LAST_MODIFIED).is_none());
}

#[test]
fn the_server_is_named_without_its_build() {
    assert_eq!(of_server("8000GB 4.48 pypi"), "SeaweedFS 8000GB 4.48");
    assert_eq!(of_server("30GB 4.48 "), "SeaweedFS 30GB 4.48");
    assert_eq!(of_server(""), "SeaweedFS");
}

#[test]
fn origins_are_judged_like_at_the_filer() {
    let origin = HeaderValue::from_static("http://x");
    let allow = |allowed: &[&str]| {
        let allowed: Vec<_> = allowed.iter().map(|origin| (*origin).to_owned()).collect();
        of_cors(&origin, &allowed).map(|headers| shown(&headers)["access-control-allow-origin"].clone())
    };
    assert_eq!(allow(&[]).as_deref(), Some("*"));
    assert_eq!(allow(&["*", "http://y"]).as_deref(), Some("*"));
    assert_eq!(allow(&["http://y", "http://x"]).as_deref(), Some("http://x"));
    assert_eq!(allow(&["http://y", "*"]), None);
}

proptest! {
    #[test]
    fn nothing_stored_or_asked_makes_this_panic(
        name: String, key: String, attribute: Vec<u8>, query: String, mime: String,
    ) {
        let mut file = entry(&name, &[]);
        file.attributes.as_mut().unwrap().mime = mime;
        file.extended.insert(key, attribute.into());
        of_file(&file, &query, &ContentTypes::of_this_machine());
    }
}
