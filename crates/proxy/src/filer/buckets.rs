//! Where the filers keep the buckets of S3: `buckets_folder` of `filer.toml`, which the gateways take over.
//!
//! Knows what each filer has told. Must not know what is in a bucket.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use crate::entry::EntryPath;

/// The directory that has a bucket in each directory below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BucketsFolder(Arc<str>);

impl BucketsFolder {
    /// What most filers have.
    const USUAL: &str = "/buckets";

    /// `None`: only who made it knows what he makes of it.
    pub(crate) fn of(path: &str) -> Option<Self> {
        let is_plain = EntryPath::parse_decoded(path).is_ok_and(|parsed| parsed.as_str() == path);
        is_plain.then(|| Self(path.into()))
    }

    /// The path of a bucket.
    pub(crate) fn bucket(&self, name: &str) -> String {
        format!("{self}/{name}")
    }

    /// What of a path is below the folder: a bucket, and a key in it. `None`: it is elsewhere.
    pub(crate) fn below<'p>(&self, path: &'p str) -> Option<&'p str> {
        path.strip_prefix(&*self.0)?.strip_prefix('/').filter(|below| !below.is_empty())
    }
}

impl fmt::Display for BucketsFolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What the filers have told of it so far. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct FolderAgreement(Arc<Mutex<Reports>>);

#[derive(Debug, Default)]
struct Reports {
    /// By the place of the filer. `None`: what it told is not plain.
    folders: BTreeMap<usize, Option<BucketsFolder>>,
    agreed: Option<BucketsFolder>,
}

impl FolderAgreement {
    /// The folder, if some filer has told it, and no other one of another.
    pub(crate) fn get(&self) -> Option<BucketsFolder> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).agreed.clone()
    }

    /// The bucket that a file is in, and its key there; `None`: it is in none. Before a filer has told of another folder, it
    /// is the usual one.
    pub(crate) fn bucket_of<'p>(&self, path: &'p str) -> Option<(&'p str, &'p str)> {
        let folder = self.get().or_else(|| BucketsFolder::of(BucketsFolder::USUAL))?;
        folder.below(path)?.split_once('/').filter(|(bucket, key)| !bucket.is_empty() && !key.is_empty())
    }

    /// The filer in that place, of that name, has told its folder.
    pub(crate) fn tell(&self, index: usize, filer: &str, path: &str) {
        let folder = BucketsFolder::of(path);
        let mut reports = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if reports.folders.get(&index) == Some(&folder) {
            return;
        }
        reports.folders.insert(index, folder.clone());
        let is_agreed = reports.folders.values().all(|other| *other == folder);
        match &folder {
            None => {
                tracing::warn!(filer, path, "buckets are in a folder of an odd name, so all requests of S3 are relayed")
            }
            Some(_) if !is_agreed => {
                tracing::warn!(
                    filer,
                    path,
                    "the filers keep buckets in different folders, so all requests of S3 are relayed"
                );
            }
            Some(BucketsFolder(name)) if **name != *BucketsFolder::USUAL => {
                tracing::info!(filer, path, "the folder of buckets")
            }
            Some(_) => {}
        }
        reports.agreed = folder.filter(|_| is_agreed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(path: &str) -> Option<BucketsFolder> {
        BucketsFolder::of(path)
    }

    #[test]
    fn a_folder_is_a_plain_path() {
        let shop = folder("/shop/stock").unwrap();
        assert_eq!(shop.bucket("b"), "/shop/stock/b");
        assert_eq!(shop.below("/shop/stock/b/k"), Some("b/k"));
        for path in ["/shop/stocks/b", "/shop/stock", "/shop/stock/", "/buckets/b"] {
            assert_eq!(shop.below(path), None, "{path}");
        }
        for path in ["", "/", "buckets", "/buckets/", "/a//b", "/a/../b", "/."] {
            assert_eq!(folder(path), None, "{path}");
        }
    }

    #[test]
    fn it_is_what_all_filers_tell() {
        let told = FolderAgreement::default();
        assert_eq!(told.get(), None);
        told.tell(0, "a", "/shop");
        assert_eq!(told.get(), folder("/shop"));
        told.tell(1, "b", "/buckets");
        assert_eq!(told.get(), None);
        told.tell(0, "a", "/buckets");
        assert_eq!(told.get(), folder("/buckets"));
        told.tell(1, "b", "/buckets/");
        assert_eq!(told.get(), None);
    }

    #[test]
    fn the_bucket_is_the_directory_below_the_folder() {
        let told = FolderAgreement::default();
        assert_eq!(told.bucket_of("/buckets/b/k/l"), Some(("b", "k/l")));
        for path in ["/buckets/b", "/buckets/b/", "/buckets//k", "/other/b/k"] {
            assert_eq!(told.bucket_of(path), None, "{path}");
        }
        told.tell(0, "a", "/other");
        assert_eq!((told.bucket_of("/buckets/b/k"), told.bucket_of("/other/b/k")), (None, Some(("b", "k"))));
    }
}
