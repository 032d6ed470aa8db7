//! The cluster's own files: keys, identities, remote credentials below `/etc`; logs of every change below
//! `/topics/.system`. They never leave, however their path is spelled.

use http::{Method, request::Parts};

use super::paths;

/// Everything at these paths and below.
const TREES: [&[&[u8]]; 2] = [&[b"etc"], &[b"topics", b".system"]];

/// Whether the answer to `request`, or what it does, would give content of a system path away.
///
/// Reading is one way. Copying to a path that may be read is another, and so is moving there, also of a directory with
/// such a path in it.
pub(super) fn is_touched(request: &Parts) -> bool {
    let returns_content = !matches!(request.method, Method::PUT | Method::POST | Method::DELETE | Method::OPTIONS);
    (returns_content && is_system(&paths::of_request(request)))
        || paths::sources(request).any(|from| is_system(&from) || holds_system(&from))
}

/// By every reading of a path that a server could have: as it stands after decoding, and cleaned once more.
fn is_system(path: &[u8]) -> bool {
    let cleaned = paths::clean(path);
    let (as_it_stands, cleaned) = (parts(path), parts(&cleaned));
    TREES.iter().any(|tree| as_it_stands.starts_with(tree) || cleaned.starts_with(tree))
}

fn parts(path: &[u8]) -> Vec<&[u8]> {
    path.split(|&byte| byte == b'/').filter(|part| !part.is_empty()).collect()
}

fn holds_system(path: &[u8]) -> bool {
    TREES.iter().any(|tree| paths::is_within(&[b"/", &tree.join(&b'/')[..]].concat(), path))
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn touched(method: &str, uri: &str) -> bool {
        let (parts, ()) = Request::builder().method(method).uri(uri).body(()).unwrap().into_parts();
        is_touched(&parts)
    }

    #[test]
    fn every_spelling_is_known() {
        for path in [
            "/etc",
            "/etc/",
            "/etc/s3/sse_kek",
            "//etc//s3",
            "/x/../etc/s3",
            "/./etc/s3",
            "/%65tc/s3",
            "/etc%2Fs3",
            "/x/%2e%2e/etc/s3",
            "/x%2F..%2Fetc/s3",
            "/%2fetc/s3",
            "/etc/x/%2e%2e/s3",
            "/etc%2f..%2fx",
            "/topics/.system/log/1",
            "/topics/%2esystem",
            "/topics//.system/",
            "/buckets/../topics/.system",
            "/etc/s3/sse_kek?metadata=true",
            "/etc?jwt=x",
        ] {
            assert!(touched("GET", path), "{path}");
            assert!(touched("HEAD", path), "{path}");
            assert!(touched("PROPFIND", path), "{path}");
            assert!(!touched("PUT", path), "{path}");
        }
    }

    #[test]
    fn others_are_not() {
        for path in
            ["/", "/etcetera", "/a/etc", "/ETC/x", "/topics/x", "/topics", "/topics/.systemd", "/etc/..", "/%2565tc"]
        {
            assert!(!touched("GET", path), "{path}");
        }
    }

    #[test]
    fn nor_do_they_leave_by_a_copy_or_a_move() {
        for query in [
            "cp.from=/etc/s3/sse_kek",
            "cp.from=%2Fetc/x",
            "cp.from=//x/../etc/x",
            "mv.from=/topics/.system",
            "mv.from=/topics",
            "mv.from=/",
            "a=b&%6dv.from=/etc",
        ] {
            assert!(touched("POST", &format!("/public/x?{query}")), "{query}");
            assert!(touched("PUT", &format!("/public/x?{query}")), "{query}");
        }
        assert!(!touched("POST", "/public/x?cp.from=/a/etc"));
        assert!(!touched("POST", "/public/x?mv.from=/topics/mine"));
    }
}
