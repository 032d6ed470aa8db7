//! What a request that was accepted may have changed.
//!
//! Knows which paths a write names. Must not know when they are forgotten.

use http::{Method, request::Parts};

use super::target::{Host, Target};
use crate::{entries::Entries, filer::BucketsFolder};

/// What must not be believed any more.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum WriteScope {
    /// Nothing: it was no write.
    Nothing,
    /// One object and its versions.
    Object(Target),
    /// All of the bucket at this path: its policy, its versioning, or objects that are named in the body.
    Bucket(String),
    /// Only the gateway knows what.
    Anything,
}

impl WriteScope {
    /// Reads a request's head. `reading`: how its host is read and where buckets are, if that is known.
    pub(super) fn by(request: &Parts, reading: Option<(&Host, &BucketsFolder)>) -> Self {
        if matches!(request.method, Method::GET | Method::HEAD | Method::OPTIONS) {
            return Self::Nothing;
        }
        let Some((host, folder)) = reading else { return Self::Anything };
        let path = request.uri.path();
        // A rename takes an object away whose name stands in a header.
        let is_rename = request.headers.keys().any(|name| name.as_str().contains("rename"));
        match (Target::of(folder, host, path), Target::bucket_of(host, path)) {
            (Some(target), _) if !is_rename => Self::Object(target),
            (_, Some(bucket)) => Self::Bucket(folder.bucket(bucket)),
            _ => Self::Anything,
        }
    }

    /// Has it looked up anew.
    pub(super) fn forget<D: Send + Sync + 'static>(&self, entries: &Entries<D>) {
        match self {
            Self::Nothing => {}
            Self::Object(target) => {
                entries.forget(&target.path());
                entries.forget(&super::version::directory_path(target));
            }
            Self::Bucket(path) => entries.forget(path),
            Self::Anything => entries.forget_all(),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn folder() -> BucketsFolder {
        BucketsFolder::of("/buckets").unwrap()
    }

    fn written(method: &Method, host: Option<&Host>, path: &str) -> WriteScope {
        let (parts, ()) = Request::builder().method(method).uri(path).body(()).unwrap().into_parts();
        WriteScope::by(&parts, host.zip(Some(&folder())))
    }

    #[test]
    fn a_write_names_its_object_or_its_bucket() {
        let (by_path, by_host) = (Some(&Host::PathStyle), Some(&Host::Bucket("bucket".into())));
        let object = WriteScope::Object(Target::of(&folder(), &Host::PathStyle, "/bucket/d/o").unwrap());
        assert_eq!(written(&Method::PUT, by_path, "/bucket/d/o"), object);
        assert_eq!(written(&Method::DELETE, by_host, "/d/o"), object);
        for (host, path) in [
            (by_path, "/bucket"),
            (by_path, "/bucket/"),
            (by_path, "/bucket//a"),
            (by_path, "/bucket/a/../b"),
            (by_host, "/"),
        ] {
            assert_eq!(
                written(&Method::POST, host, path),
                WriteScope::Bucket("/buckets/bucket".into()),
                "{host:?} {path}"
            );
        }
        for (host, path) in [(by_path, "/"), (by_path, "/Bu%63/a"), (None, "/bucket/a")] {
            assert_eq!(written(&Method::PUT, host, path), WriteScope::Anything, "{host:?} {path}");
        }
        assert_eq!(written(&Method::GET, by_path, "/bucket/a"), WriteScope::Nothing);
    }

    #[test]
    fn a_rename_takes_away_more_than_it_names() {
        let request = Request::put("/bucket/new").header("x-amz-rename-source", "/bucket/old");
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let reading = (&Host::PathStyle, &folder());
        assert_eq!(WriteScope::by(&parts, Some(reading)), WriteScope::Bucket("/buckets/bucket".into()));
    }
}
