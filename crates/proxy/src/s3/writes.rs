//! What a request that was accepted may have changed.
//!
//! Knows which paths a write names. Must not know when they are forgotten.

use http::{HeaderValue, Method, request::Parts};

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
            _ if is_about_people(request) => Self::Nothing,
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

/// Whether a request that names no bucket goes to the STS or the IAM of the gateway, which may be asked by whoever has a key.
/// They change who may do what, which the gateway decides anew for each read, and no entry of an object or a bucket
/// (`UnifiedPostHandler` in `weed/s3api/s3api_server.go`). What makes and changes tables says so in a header.
fn is_about_people(request: &Parts) -> bool {
    let is_of_tables = |target: &HeaderValue| target.as_bytes().starts_with(b"S3Tables.");
    let is_about_tables = request.headers.get_all("x-amz-target").iter().any(is_of_tables);
    request.method == Method::POST && request.uri.path() == "/" && !is_about_tables
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

    /// Whoever has a key may ask who he is: he could have had all entries looked up anew, again and again.
    #[test]
    fn who_asks_about_people_changes_no_object() {
        let folder = folder();
        let scope = |request: http::request::Builder, host| {
            let (parts, ()) = request.body(()).unwrap().into_parts();
            WriteScope::by(&parts, Option::<&Host>::zip(host, Some(&folder)))
        };
        let by_path = Some(&Host::PathStyle);
        for request in [
            Request::post("/"),
            Request::post("/?Action=GetCallerIdentity"),
            Request::post("/").header("X-Amz-Target", "Other.GetCallerIdentity"),
        ] {
            assert_eq!(scope(request, by_path), WriteScope::Nothing);
        }
        let tables = Request::post("/").header("X-Amz-Target", "S3Tables.CreateTable");
        assert_eq!(scope(tables, by_path), WriteScope::Anything);
        for (request, host) in
            [(Request::post("/"), None), (Request::put("/"), by_path), (Request::delete("/"), by_path)]
        {
            assert_eq!(scope(request, host), WriteScope::Anything);
        }
        let in_host = Host::Bucket("bucket".into());
        assert_eq!(scope(Request::post("/"), Some(&in_host)), WriteScope::Bucket("/buckets/bucket".into()));
    }
}
