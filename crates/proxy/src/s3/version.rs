//! Where the filer has the version of an object that a request asks for.
//!
//! Knows how the gateway lays versions out (`weed/s3api/s3api_object_versioning.go` @4.48; seen on the running filer): the newest is named in
//! the attributes of the directory `KEY.versions`, and lies there as `v_ID`; the null version lies at the key itself. Must not
//! know who may read them. What the gateway decided about another version than the one found here is noticed by its ETag.

use crate::{entry::EntryPath, pb};

use super::target::Target;

/// What of a bucket decides how its objects are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BucketFacts {
    /// There is a policy, which may ask for tags.
    pub(super) has_policy: bool,
    /// Versions are kept, or were.
    pub(super) is_versioned: bool,
}

impl BucketFacts {
    /// What the bucket's entry says. One that cannot be had counts as having a policy.
    pub(super) fn of(bucket: Option<&pb::Entry>) -> Self {
        let Some(bucket) = bucket else { return Self { has_policy: true, is_versioned: true } };
        let text = |name| bucket.attribute(name).map_or(&[][..], |value| value.as_ref());
        // `isVersioningConfigured` in `weed/s3api/s3api_bucket_config.go`: a lock needs versions, also where nobody says so.
        let is_locked = matches!(text("Seaweed-X-Amz-Object-Lock-Enabled"), b"Enabled" | b"true");
        Self {
            has_policy: bucket.attribute("s3-bucket-policy").is_some(),
            is_versioned: !text("Seaweed-X-Amz-Versioning").is_empty() || is_locked,
        }
    }
}

/// The path of a bucket's entry; `None` as in [`entry_path`].
pub(super) fn bucket_path(target: &Target) -> Option<EntryPath> {
    entry_path(&target.bucket_path())
}

/// The directory that names the newest version.
pub(super) fn directory_path(target: &Target) -> String {
    format!("{}.versions", target.path())
}

/// Where a version lies, and what it is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Location {
    pub(super) path: String,
    /// As `x-amz-version-id` has it.
    pub(super) id: String,
}

/// Where the version with that id lies. `None`: it is no id that the gateway gives.
pub(super) fn by_id(target: &Target, id: &str) -> Option<Location> {
    if id == NULL {
        return Some(null(target));
    }
    let is_id = !id.is_empty() && id.len() <= 128 && id.bytes().all(|b| b.is_ascii_alphanumeric());
    is_id.then(|| Location { path: format!("{}/v_{id}", directory_path(target)), id: id.to_owned() })
}

/// Where the newest version lies, given the directory of versions, if there is one. `None`: only the gateway can tell.
pub(super) fn newest(target: &Target, directory: Option<&pb::Entry>) -> Option<Location> {
    let Some(directory) = directory else { return Some(null(target)) };
    let text = |name| directory.attribute(name).and_then(|value| std::str::from_utf8(value).ok());
    match text("Seaweed-X-Amz-Latest-Version-Id") {
        Some(NULL) => None,
        Some(id) => {
            let named = by_id(target, id)?;
            let file = text("Seaweed-X-Amz-Latest-Version-File-Name")?;
            (named.path.rsplit('/').next() == Some(file)).then_some(named)
        }
        None => (text("Seaweed-X-Amz-Null-Version-Is-Latest") == Some("true")).then(|| null(target)),
    }
}

const NULL: &str = "null";

fn null(target: &Target) -> Location {
    Location { path: target.path(), id: NULL.to_owned() }
}

/// Whether the entry is the version called so. A version at the key itself has no id, or `null`.
pub(super) fn is_version(entry: &pb::Entry, id: &str) -> bool {
    let stored = entry.attribute("Seaweed-X-Amz-Version-Id");
    let is_named = stored.map_or(id == NULL, |stored| stored.as_ref() == id.as_bytes());
    is_named && entry.attribute("Seaweed-X-Amz-Delete-Marker").is_none()
}

/// The object's ETag without quotes, as the gateway has it (`getObjectETag` in `weed/s3api/s3api_object_handlers_put.go` @4.48).
pub(super) fn etag(entry: &pb::Entry, of_filer: Option<&str>) -> Option<String> {
    let stored = entry.attribute("Seaweed-X-Amz-ETag").and_then(|etag| std::str::from_utf8(etag).ok());
    stored.filter(|etag| !etag.is_empty()).or(of_filer).map(|etag| etag.trim_matches('"').to_owned())
}

/// The path of an entry as lookups take it; `None`: it is not plain, which those of targets are.
pub(super) fn entry_path(path: &str) -> Option<EntryPath> {
    EntryPath::parse_decoded(path).ok().filter(|parsed| parsed.as_str() == path)
}

#[cfg(test)]
mod tests {
    use super::{super::target::Host, *};
    use crate::filer::BucketsFolder;

    fn target() -> Target {
        Target::of(&BucketsFolder::of("/buckets").unwrap(), &Host::PathStyle, "/bucket/d/o").unwrap()
    }

    fn entry(attributes: &[(&str, &str)]) -> pb::Entry {
        let extended = attributes.iter().map(|(name, value)| ((*name).to_owned(), value.to_string().into())).collect();
        pb::Entry { extended, ..pb::Entry::default() }
    }

    fn at(path: &str, id: &str) -> Option<Location> {
        Some(Location { path: path.into(), id: id.into() })
    }

    #[test]
    fn the_newest_version_is_named_by_the_directory() {
        let directory =
            entry(&[("Seaweed-X-Amz-Latest-Version-Id", "67a"), ("Seaweed-X-Amz-Latest-Version-File-Name", "v_67a")]);
        assert_eq!(newest(&target(), Some(&directory)), at("/buckets/bucket/d/o.versions/v_67a", "67a"));
        assert_eq!(newest(&target(), None), at("/buckets/bucket/d/o", "null"));
        let suspended = entry(&[("Seaweed-X-Amz-Null-Version-Is-Latest", "true")]);
        assert_eq!(newest(&target(), Some(&suspended)), at("/buckets/bucket/d/o", "null"));
    }

    #[test]
    fn what_a_directory_does_not_say_plainly_only_the_gateway_can_tell() {
        for attributes in [
            &[][..],
            &[("Seaweed-X-Amz-Latest-Version-Id", "67a")],
            &[("Seaweed-X-Amz-Latest-Version-Id", "67a"), ("Seaweed-X-Amz-Latest-Version-File-Name", "v_67b")],
            &[("Seaweed-X-Amz-Latest-Version-Id", "../x"), ("Seaweed-X-Amz-Latest-Version-File-Name", "x")],
            &[("Seaweed-X-Amz-Latest-Version-Id", "null"), ("Seaweed-X-Amz-Latest-Version-File-Name", "o")],
            &[("Seaweed-X-Amz-Null-Version-Is-Latest", "false")],
        ] {
            assert_eq!(newest(&target(), Some(&entry(attributes))), None, "{attributes:?}");
        }
    }

    #[test]
    fn a_version_is_found_by_its_id() {
        assert_eq!(by_id(&target(), "67a"), at("/buckets/bucket/d/o.versions/v_67a", "67a"));
        assert_eq!(by_id(&target(), "null"), at("/buckets/bucket/d/o", "null"));
        for id in ["", "..", "a/b", "a.b", "v_1", "ü"] {
            assert_eq!(by_id(&target(), id), None, "{id}");
        }
    }

    #[test]
    fn an_entry_must_be_the_version_that_was_looked_for() {
        assert!(is_version(&entry(&[]), "null"));
        assert!(is_version(&entry(&[("Seaweed-X-Amz-Version-Id", "null")]), "null"));
        assert!(is_version(&entry(&[("Seaweed-X-Amz-Version-Id", "67a")]), "67a"));
        assert!(!is_version(&entry(&[("Seaweed-X-Amz-Version-Id", "67a")]), "null"));
        assert!(!is_version(&entry(&[]), "67a"));
        let marker = [("Seaweed-X-Amz-Version-Id", "67a"), ("Seaweed-X-Amz-Delete-Marker", "true")];
        assert!(!is_version(&entry(&marker), "67a"));
    }

    #[test]
    fn a_bucket_that_is_not_known_may_have_a_policy() {
        assert!(BucketFacts::of(None).has_policy);
        assert!(BucketFacts::of(Some(&entry(&[("s3-bucket-policy", "{}")]))).has_policy);
        assert_eq!(BucketFacts::of(Some(&entry(&[]))), BucketFacts { has_policy: false, is_versioned: false });
        assert!(BucketFacts::of(Some(&entry(&[("Seaweed-X-Amz-Versioning", "Suspended")]))).is_versioned);
    }

    /// It was read as one without, and what was replaced by the same bytes kept its old headers for good.
    #[test]
    fn a_bucket_with_a_lock_has_versions() {
        let lock = "Seaweed-X-Amz-Object-Lock-Enabled";
        let is_versioned = |attributes: &[_]| BucketFacts::of(Some(&entry(attributes))).is_versioned;
        for (text, wanted) in [("Enabled", true), ("true", true), ("enabled", false), ("false", false), ("", false)] {
            assert_eq!(is_versioned(&[(lock, text)]), wanted, "{text}");
            assert_eq!(is_versioned(&[(lock, text), ("Seaweed-X-Amz-Versioning", "")]), wanted, "{text}");
        }
        assert!(!is_versioned(&[("Seaweed-X-Amz-Versioning", "")]));
    }

    #[test]
    fn the_gateways_etag_is_the_stored_one() {
        assert_eq!(etag(&entry(&[("Seaweed-X-Amz-ETag", "\"ab-2\"")]), Some("cd")).as_deref(), Some("ab-2"));
        assert_eq!(etag(&entry(&[]), Some("\"cd\"")).as_deref(), Some("cd"));
        assert_eq!(etag(&entry(&[("Seaweed-X-Amz-ETag", "")]), None), None);
    }
}
