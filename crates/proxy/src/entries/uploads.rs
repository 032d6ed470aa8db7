//! Which file a resumable upload (tus) makes: the path that its pieces are sent to does not name it, only the request that
//! began it.
//!
//! Knows what the filer answers to that one. Must not know what is kept of entries.

use std::sync::Arc;

use http::{HeaderMap, header::LOCATION};
use moka::sync::Cache;

use crate::entry::EntryPath;

/// What the paths of uploads take together with those of what they make, bytes. Of those that are forgotten only the filer's
/// events tell.
const REMEMBERED: u64 = 1 << 20;
/// What stands between the filer's folder of uploads and the id of one (`tusUploadLocation` in
/// `weed/server/filer_server_tus_handlers.go` @4.48).
const UPLOADS: &str = "/.uploads/";

/// Uploads that were begun here, by where their pieces are sent.
pub(super) struct Uploads(Cache<Arc<str>, EntryPath>);

impl Uploads {
    pub(super) fn new() -> Self {
        let weight =
            |upload: &Arc<str>, file: &EntryPath| u32::try_from(upload.len() + file.as_str().len()).unwrap_or(u32::MAX);
        Self(Cache::builder().max_capacity(REMEMBERED).weigher(weight).build())
    }

    /// An upload was begun at `path`, as the filer answers; gives the file that it makes.
    pub(super) fn begun(&self, path: &str, answer: &HeaderMap) -> Option<EntryPath> {
        let upload = answer.get(LOCATION)?.to_str().ok()?;
        let (base, _) = upload.split_once(UPLOADS)?;
        let file = EntryPath::parse(path.strip_prefix(base)?).ok()?;
        self.0.insert(upload.into(), file.clone());
        Some(file)
    }

    /// The file that the upload at `path` makes.
    pub(super) fn file(&self, path: &str) -> Option<EntryPath> {
        self.0.get(path)
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn an_upload_is_remembered_by_where_the_filer_has_it() {
        let uploads = Uploads::new();
        let begun = |path, location| {
            let answer = HeaderMap::from_iter([(LOCATION, HeaderValue::from_static(location))]);
            uploads.begun(path, &answer).map(|file| file.as_str().to_owned())
        };
        assert_eq!(begun("/.tus/d/a%20b", "/.tus/.uploads/1").as_deref(), Some("/d/a b"));
        assert_eq!(begun("/kept/by/d/c", "/kept/by/.uploads/2").as_deref(), Some("/d/c"));
        for (path, location) in [
            ("/.tus/d", "/elsewhere"),
            ("/.tusk/d", "/.tus/.uploads/3"),
            ("/other/d", "/.tus/.uploads/3"),
            ("/.tus", "/.tus/.uploads/3"),
        ] {
            assert_eq!(begun(path, location), None, "{path}");
        }
        let file = |path| uploads.file(path).map(|file| file.as_str().to_owned());
        assert_eq!(file("/.tus/.uploads/1").as_deref(), Some("/d/a b"));
        assert_eq!(file("/kept/by/.uploads/2").as_deref(), Some("/d/c"));
        assert_eq!(file("/.tus/.uploads/3"), None);
        assert_eq!(uploads.begun("/.tus/d", &HeaderMap::new()), None);
    }
}
