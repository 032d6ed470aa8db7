//! Paths as the filer's checks see them: bytes, decoded once, cleaned as Go's `path.Clean` cleans.

use http::request::Parts;
use percent_encoding::percent_decode_str;

use crate::entry::{query, routed};

/// Go's `path.Clean`: no empty and no `.` components, `..` applied where it can be, `.` for nothing.
pub(super) fn clean(path: &[u8]) -> Vec<u8> {
    let rooted = path.first() == Some(&b'/');
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in path.split(|&byte| byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." if parts.last().is_some_and(|last| *last != b"..") => drop(parts.pop()),
            b".." if rooted => {}
            part => parts.push(part),
        }
    }
    let joined = parts.join(&b'/');
    match (rooted, joined.is_empty()) {
        (true, _) => [b"/", &joined[..]].concat(),
        (false, true) => b".".to_vec(),
        (false, false) => joined,
    }
}

/// Whether `path` is `prefix` or below it, both cleaned (`pathHasComponentPrefix` in
/// `weed/server/filer_server_handlers.go` @4.48).
pub(super) fn is_within(path: &[u8], prefix: &[u8]) -> bool {
    let root = |path: Vec<u8>| if path == b"." { b"/".to_vec() } else { path };
    if prefix.is_empty() {
        return false;
    }
    let (path, prefix) = (root(clean(path)), root(clean(prefix)));
    if prefix == b"/" {
        return true;
    }
    path.strip_prefix(&prefix[..]).is_some_and(|rest| rest.first().is_none_or(|&byte| byte == b'/'))
}

/// The path of a request as the filer's handlers see it, and as it is looked up here. One that is not absolute is decoded.
pub(super) fn of_request(request: &Parts) -> Vec<u8> {
    let path = request.uri.path();
    routed(path).unwrap_or_else(|| percent_decode_str(path).collect())
}

/// The entries that a request names as a source in its query.
pub(super) fn sources(request: &Parts) -> impl Iterator<Item = Vec<u8>> {
    let query = request.uri.query().unwrap_or("");
    ["cp.from", "mv.from"].into_iter().filter_map(|name| query::first(query, name)).filter(|from| !from.is_empty())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn cleans_like_go() {
        for (path, cleaned) in [
            ("", "."),
            (".", "."),
            ("./", "."),
            ("/", "/"),
            ("//a//b/", "/a/b"),
            ("/a/./b/..", "/a"),
            ("/../a", "/a"),
            ("a/../../b", "../b"),
            ("../..", "../.."),
            ("a/..", "."),
            ("/..", "/"),
        ] {
            assert_eq!(clean(path.as_bytes()), cleaned.as_bytes(), "{path}");
        }
    }

    #[test]
    fn a_prefix_is_one_of_whole_components() {
        for (path, prefix, within) in [
            ("/data/x", "/data", true),
            ("/data", "/data/", true),
            ("/data1/x", "/data", false),
            ("/data/../x", "/data", false),
            ("/x", "/", true),
            ("/x", ".", true),
            ("/x", "a/..", true),
            ("/x", "", false),
            ("/data/x", "data", false),
            ("/a/b", "/a/b/c", false),
        ] {
            assert_eq!(is_within(path.as_bytes(), prefix.as_bytes()), within, "{path} {prefix}");
        }
    }

    fn of(path: &str) -> Vec<u8> {
        of_request(&http::Request::get(path).body(()).unwrap().into_parts().0)
    }

    /// It was cleaned before it was decoded, and another path was checked than the one that is read.
    #[test]
    fn what_go_would_escape_anew_is_checked_as_it_is_read() {
        assert_eq!(of("/etc%2F{/../s3/sse_kek"), b"/etc/s3/sse_kek");
        assert_eq!(of("/etc%2Fx/../s3"), b"/s3");
        assert_eq!(of("/a/%2e%2e/b"), b"/a/../b");
    }

    proptest! {
        #[test]
        fn what_is_checked_is_what_is_read(path in "/(/|\\.|%2e|%2F|[ab]|[{|]|%C3%BC){0,12}") {
            if let Ok(read) = crate::entry::EntryPath::parse(&path) {
                prop_assert_eq!(clean(&of(&path)), read.as_str().as_bytes());
            }
        }

        #[test]
        fn cleaning_twice_changes_nothing(path in "(/|\\.|a|b){0,12}") {
            let once = clean(path.as_bytes());
            prop_assert_eq!(clean(&once), once.clone());
            prop_assert_eq!(once.first() == Some(&b'/'), path.starts_with('/'));
        }
    }
}
