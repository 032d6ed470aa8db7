//! Which object a request is about, where that is beyond doubt.
//!
//! Knows hosts, buckets and keys as the S3 gateway reads them (`registerRouter` in `weed/s3api/s3api_server.go` @4.48). Must not
//! know what is asked of the object. Of all that is not plain, the gateway alone shall say what it means: it decides about
//! what it reads there, and another object must never be served for it.

use std::net::{Ipv4Addr, Ipv6Addr};

use percent_encoding::percent_decode_str;

use crate::filer::BucketsFolder;

/// How the host of a request is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Host {
    /// The path begins with the bucket.
    PathStyle,
    /// The host names this bucket.
    Bucket(String),
}

impl Host {
    /// How every gateway reads a host that is an address; `None`: it is not.
    pub(crate) fn of_address(name: &str) -> Option<Self> {
        is_address(name).then_some(Self::PathStyle)
    }

    /// How the host (without a port) may be read, given the domains below which names are buckets. Only the gateway can say
    /// whether it is. Empty: no domain has to do with it.
    pub(crate) fn candidates<'d>(name: &str, domains: impl IntoIterator<Item = &'d str>) -> Vec<Self> {
        let reading = |domain: &str| {
            if name == domain {
                return Some(Self::PathStyle);
            }
            let bucket = name.strip_suffix(domain)?.strip_suffix('.')?;
            is_bucket(bucket).then(|| Self::Bucket(bucket.to_owned()))
        };
        domains.into_iter().filter_map(reading).collect()
    }
}

/// One object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    folder: BucketsFolder,
    pub(crate) bucket: String,
    /// Decoded, without a slash before it.
    pub(crate) key: String,
}

impl Target {
    /// The object at `path` (escaped, as it stood in the request) of a host, by filers that keep buckets in `folder`. `None`: it
    /// is not plain.
    pub(crate) fn of(folder: &BucketsFolder, host: &Host, path: &str) -> Option<Self> {
        let path = path.strip_prefix('/')?;
        match host {
            Host::PathStyle => path.split_once('/').and_then(|(bucket, key)| Self::plain(folder, bucket, key)),
            Host::Bucket(bucket) => Self::plain(folder, bucket, path),
        }
    }

    /// The bucket that is named there, whatever the key may mean.
    pub(crate) fn bucket_of<'t>(host: &'t Host, path: &'t str) -> Option<&'t str> {
        match host {
            Host::PathStyle => path.strip_prefix('/')?.split('/').next().filter(|bucket| is_bucket(bucket)),
            Host::Bucket(bucket) => Some(bucket),
        }
    }

    fn plain(folder: &BucketsFolder, bucket: &str, raw_key: &str) -> Option<Self> {
        if !is_bucket(bucket) || has_hidden_separator(raw_key) {
            return None;
        }
        let key = percent_decode_str(raw_key).decode_utf8().ok()?;
        is_plain(&key).then(|| Self { folder: folder.clone(), bucket: bucket.to_owned(), key: key.into_owned() })
    }

    /// Where the filer has the object, if it is no version among others.
    pub(crate) fn path(&self) -> String {
        format!("{}/{}", self.bucket_path(), self.key)
    }

    /// Where the filer has the bucket.
    pub(crate) fn bucket_path(&self) -> String {
        self.folder.bucket(&self.bucket)
    }
}

/// A host without its port. `None`: it is not written as hosts are.
pub(crate) fn without_port(host: &str) -> Option<&str> {
    let end = match host.strip_prefix('[') {
        Some(rest) => rest.find(']')? + 2,
        None => host.find(':').unwrap_or(host.len()),
    };
    let (name, port) = host.split_at(end);
    let port_is_right = port.is_empty()
        || port
            .strip_prefix(':')
            .is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()));
    (port_is_right && !name.is_empty()).then_some(name)
}

fn is_address(host: &str) -> bool {
    let bracketed = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    bracketed.map_or_else(|| host.parse::<Ipv4Addr>().is_ok(), |inner| inner.parse::<Ipv6Addr>().is_ok())
}

/// Whether this is a name that S3 gives buckets. The gateway makes no others.
fn is_bucket(name: &str) -> bool {
    let is_allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-');
    let is_edge = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    (3..=63).contains(&name.len())
        && name.bytes().all(is_allowed)
        && is_edge(name.bytes().next())
        && is_edge(name.bytes().last())
        && !name.contains("..")
}

/// Whether an escape stands for what parts a path, or is broken.
fn has_hidden_separator(raw: &str) -> bool {
    raw.split('%').skip(1).any(|rest| {
        let digits = rest.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        // `from_str_radix` takes a sign, too.
        let is_broken = !rest.bytes().take(2).all(|b| b.is_ascii_hexdigit());
        is_broken || digits.is_none_or(|byte| matches!(byte, b'/' | b'\\' | 0))
    })
}

/// Whether the gateway and the filer take the key as it is. The one makes `/` of `\` and one slash of two, the other
/// resolves dots; versions and parts of uploads lie in directories of their own, which are no objects.
fn is_plain(key: &str) -> bool {
    let is_plain = |part: &str| {
        !matches!(part, "" | "." | "..")
            && !part.ends_with(".versions")
            && !part.ends_with(".uploads")
            && !part.chars().any(|c| c == '\\' || c.is_control())
    };
    key.split('/').all(is_plain)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DOMAINS: [&str; 2] = ["s3.example.org", "example.org"];

    fn folder() -> BucketsFolder {
        BucketsFolder::of("/buckets").unwrap()
    }

    fn of(path: &str) -> Option<(String, String)> {
        Target::of(&folder(), &Host::PathStyle, path).map(|target| (target.bucket, target.key))
    }

    #[test]
    fn the_bucket_is_in_the_path_or_in_the_host() {
        assert_eq!(of("/bucket/a/b%20c+d"), Some(("bucket".into(), "a/b c+d".into())));
        let target = Target::of(&folder(), &Host::Bucket("my.bucket".into()), "/a/b").unwrap();
        assert_eq!((&*target.bucket, &*target.key), ("my.bucket", "a/b"));
    }

    #[test]
    fn ports_are_no_part_of_a_host() {
        for (host, name) in [("127.0.0.1:8333", "127.0.0.1"), ("[::1]:1", "[::1]"), ("[::1]", "[::1]"), ("a.b", "a.b")]
        {
            assert_eq!(without_port(host), Some(name));
        }
        for host in ["127.0.0.1:", "127.0.0.1:8x", "127.0.0.1:8333:1", "[::1", "[::1]8333", "", ":80"] {
            assert_eq!(without_port(host), None, "{host}");
        }
    }

    #[test]
    fn an_address_names_no_bucket() {
        for name in ["127.0.0.1", "[::1]", "[fe80::1]"] {
            assert_eq!(Host::of_address(name), Some(Host::PathStyle), "{name}");
        }
        for name in ["localhost", "127.0.0.01", "0x7f000001", "[127.0.0.1]", "127.0.0.1.", "1.s3.example.org"] {
            assert_eq!(Host::of_address(name), None, "{name}");
        }
    }

    #[test]
    fn a_host_below_a_domain_may_be_a_bucket() {
        let bucket = |name: &str| Host::Bucket(name.into());
        assert_eq!(Host::candidates("s3.example.org", DOMAINS), [Host::PathStyle]);
        assert_eq!(Host::candidates("bucket.example.org", DOMAINS), [bucket("bucket")]);
        assert_eq!(Host::candidates("bucket.s3.example.org", DOMAINS), [bucket("bucket"), bucket("bucket.s3")]);
        for name in [
            "other.org",
            "localhost",
            "S3.example.org",
            "Bucket.s3.example.org",
            "s3.example.org.",
            "xs3.org",
            ".s3.example.org",
        ] {
            assert_eq!(Host::candidates(name, ["s3.example.org"]), [], "{name}");
        }
    }

    #[test]
    fn other_keys_are_the_gateways() {
        for path in [
            "/bucket",
            "/bucket/",
            "/bucket//a",
            "/bucket/a//b",
            "/bucket/a/",
            "/bucket/a\\b",
            "/bucket/a%5Cb",
            "/bucket/a%2fb",
            "/bucket/a%2Fb",
            "/bucket/./a",
            "/bucket/../victim/a",
            "/bucket/%2e%2e/victim/a",
            "/bucket/a/.%2E/b",
            "/bucket/a%00",
            "/bucket/a%0a",
            "/bucket/a%7f",
            "/bucket/a%",
            "/bucket/a%4",
            "/bucket/a%+4",
            "/bucket/a%zz",
            "/bucket/%ff",
            "/bucket/a.versions/v_1",
            "/bucket/.versions/v_1",
            "/bucket/.uploads/id/0001.part",
            "/Bucket/a",
            "/bu/a",
            "/.system/a",
            "/bu..cket/a",
            "/-bucket/a",
            "/bu%63ket/a",
            "//bucket/a",
            "bucket/a",
            "",
        ] {
            assert_eq!(of(path), None, "{path}");
        }
    }

    proptest! {
        #[test]
        fn what_is_served_is_one_plain_path(path in "(/|\\.|%2e|%2F|%5c|%25|%00|%ff|//|\\\\|bucket|[a-c]|ü|%C3%BC|\\.versions){0,12}") {
            if let Some(target) = Target::of(&folder(), &Host::PathStyle, &path) {
                let entry = target.path();
                prop_assert!(!entry.contains("//") && !entry.contains('\\') && !entry.ends_with('/'));
                prop_assert!(!entry.split('/').any(|part| matches!(part, "." | "..")));
                prop_assert_eq!(entry.split('/').nth(2), Some(target.bucket.as_str()));
            }
        }

        #[test]
        fn any_text_is_taken_or_left(host in "\\PC*", path in "\\PC*") {
            let _ = without_port(&host).map(|name| (Host::of_address(name), Host::candidates(name, DOMAINS)));
            let _ = Target::of(&folder(), &Host::PathStyle, &path);
        }
    }
}
