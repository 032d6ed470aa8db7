//! The object that a read is about: found, and fit to be served for what the request brings.
//!
//! Knows buckets, versions, ranges, and a customer's key. Must not know whether the client may have it.

use std::{ops::Range, sync::Arc};

use crypto::{DataKey, Scheme, name};
use http::{HeaderMap, header, request::Parts};

use super::{
    headers::ObjectFacts,
    target::Target,
    version::{self, BucketFacts, Location},
    way::{ObjectRead, RelayReason, is_customer_key},
};
use crate::{
    entry::{EntryPath, Kind},
    pb,
    plan::range::{self, Ranges},
    read::{CachedEntry, File, Stages, unlock},
};

/// Plain objects, and ranges of them, that are smaller are the gateway's: it reads them in one fetch as we do, and the bytes that
/// would not pass through two processes are fewer than a decision costs. `docs/s3.md` has the figures.
const SMALL: u64 = 16 << 10;

/// An object that was found.
pub(super) struct FoundObject {
    pub(super) path: EntryPath,
    pub(super) known: Arc<CachedEntry>,
    /// As `x-amz-version-id` has it; `None`: the bucket never had versions.
    pub(super) version: Option<String>,
    /// As the gateway has it, without quotes.
    pub(super) etag: Option<String>,
}

/// What of the object is to be sent, with what it is opened by.
pub(super) struct Selection {
    pub(super) customer: Option<Arc<DataKey>>,
    /// `None`: all of it, by 200.
    pub(super) range: Option<Range<u64>>,
}

/// What the bucket says about reads of its objects.
pub(super) async fn bucket(stages: &Arc<Stages>, target: &Target) -> BucketFacts {
    let Some(path) = version::bucket_path(target) else { return BucketFacts::of(None) };
    let known = stages.entry(&path).await.ok().flatten();
    BucketFacts::of(known.as_ref().map(|known| &known.entry))
}

/// Whether the bucket has a policy by what the filer says now.
pub(super) async fn has_policy_now(stages: &Arc<Stages>, target: &Target) -> bool {
    let Some(path) = version::bucket_path(target) else { return true };
    let found = stages.source.filer.lookup(&path).await.ok().flatten();
    BucketFacts::of(found.as_ref().map(|found| &found.entry)).has_policy
}

/// The object that the read is about.
///
/// # Errors
/// The reason why only the gateway can tell.
pub(super) async fn find(
    stages: &Arc<Stages>,
    read: &ObjectRead<'_>,
    bucket: BucketFacts,
) -> Result<FoundObject, RelayReason> {
    let location = match (bucket.is_versioned, read.query.first("versionId")) {
        (false, None) => None,
        (false, Some(_)) => return Err(RelayReason::Object),
        (true, Some(id)) => Some(version::by_id(&read.target, id).ok_or(RelayReason::Object)?),
        (true, None) => Some(newest(stages, &read.target).await?),
    };
    let path = location.as_ref().map_or_else(|| read.target.path(), |location| location.path.clone());
    let path = version::entry_path(&path).ok_or(RelayReason::Object)?;
    let known = lookup(stages, &path).await?.ok_or(RelayReason::Object)?;
    let is_it = location.as_ref().is_none_or(|location| version::is_version(&known.entry, &location.id));
    let (Kind::File, Some(file), true) = (known.entry.kind(), &known.derived, is_it) else {
        return Err(RelayReason::Object);
    };
    if says_more_than_it_has(&known.entry, file.layout.scheme) {
        return Err(RelayReason::Encryption);
    }
    let etag = version::etag(&known.entry, file.etag.as_deref());
    Ok(FoundObject { path, etag, version: location.map(|location| location.id), known })
}

async fn newest(stages: &Arc<Stages>, target: &Target) -> Result<Location, RelayReason> {
    let path = version::entry_path(&version::directory_path(target)).ok_or(RelayReason::Object)?;
    let directory = lookup(stages, &path).await?;
    version::newest(target, directory.as_ref().map(|known| &known.entry)).ok_or(RelayReason::Object)
}

async fn lookup(stages: &Arc<Stages>, path: &EntryPath) -> Result<Option<Arc<CachedEntry>>, RelayReason> {
    stages.entry(path).await.map_err(|_| RelayReason::Failed)
}

impl FoundObject {
    /// # Errors
    /// If it is no file, which those that are found are.
    pub(super) fn file(&self) -> Result<&File, RelayReason> {
        self.known.derived.as_ref().ok_or(RelayReason::Object)
    }

    /// What its headers are made of.
    ///
    /// # Errors
    /// As [`Self::file`].
    pub(super) fn facts(&self) -> Result<ObjectFacts<'_>, RelayReason> {
        Ok(ObjectFacts { entry: &self.known.entry, file: self.file()?, version: self.version.as_deref() })
    }

    /// What of the object the request wants.
    ///
    /// # Errors
    /// The reason why the gateway shall answer.
    pub(super) fn selection(&self, request: &Parts) -> Result<Selection, RelayReason> {
        let File { layout, size, .. } = self.file()?;
        let brings_key = request.headers.keys().any(is_customer_key);
        if brings_key != (layout.scheme == Scheme::C) {
            return Err(RelayReason::Encryption);
        }
        // Errors about keys are the gateway's own.
        let customer = unlock::customer_key(layout, &request.headers).map_err(|_| RelayReason::Encryption)?;
        let range = asked_range(&request.headers, *size)?;
        self.is_worth_it(range.as_ref())?;
        Ok(Selection { customer, range })
    }

    /// The byte by which the gateway shall show that it would read: the first of the chunk that the selection begins in, for
    /// of an encrypted chunk it reads all up to the byte. Which one it is proves the same; another chunk may be on a volume
    /// server that is gone.
    pub(super) fn byte_to_ask_for(&self, selection: &Selection) -> u64 {
        selection.range.as_ref().map_or(0, |range| start_of_chunk(&self.known.entry.chunks, range.start))
    }

    /// Whether we do it better than the gateway.
    ///
    /// # Errors
    /// If not.
    pub(super) fn is_worth_it(&self, range: Option<&Range<u64>>) -> Result<(), RelayReason> {
        let file = self.file()?;
        let length = range.map_or(file.size, |range| range.end - range.start);
        if file.layout.scheme == Scheme::None && length < SMALL { Err(RelayReason::Small) } else { Ok(()) }
    }
}

/// Whether the entry says that the object is encrypted, and nothing of it has what that would take: no chunk a label, and the
/// entry no key, or of SSE-C no IV. It is a copy that left the header, plain bytes under a customer's name, or ciphertext whose
/// key is lost. The bytes do not tell, and the gateway refuses all of them. Parts that were copied into an upload are told by
/// the parts.
fn says_more_than_it_has(entry: &pb::Entry, scheme: Scheme) -> bool {
    let has = |name| entry.attribute(name).is_some();
    match scheme {
        Scheme::None => has(name::ALGORITHM),
        Scheme::C => {
            let is_bare = |chunk: &pb::FileChunk| chunk.sse_type == 0 && !chunk.is_chunk_manifest;
            let is_without_label = !entry.chunks.is_empty() && entry.chunks.iter().all(is_bare);
            is_without_label && !has(name::CUSTOMER_IV) && !has(name::PART_BOUNDARIES)
        }
        Scheme::Kms | Scheme::S3 => false,
    }
}

/// Where the chunk begins that holds the byte of the file; 0: none is known to.
fn start_of_chunk(chunks: &[pb::FileChunk], byte: u64) -> u64 {
    let begins = |chunk: &pb::FileChunk| {
        u64::try_from(chunk.offset).ok().filter(|offset| (*offset..chunk.end()).contains(&byte))
    };
    chunks.iter().filter_map(begins).max().unwrap_or(0)
}

/// The range of the request in an object of that size. Of all other forms than `bytes=0-1`, `bytes=1-` and `bytes=-1`, and of
/// ranges that are not in the object, the gateway has its own opinion.
fn asked_range(headers: &HeaderMap, size: u64) -> Result<Option<Range<u64>>, RelayReason> {
    let Some(asked) = headers.get(header::RANGE) else { return Ok(None) };
    let spec = asked.to_str().ok().and_then(|text| text.strip_prefix("bytes=")).ok_or(RelayReason::Range)?;
    let (first, last) = spec.split_once('-').ok_or(RelayReason::Range)?;
    let is_number = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if !is_number(first) || !is_number(last) || (first.is_empty() && last.is_empty()) {
        return Err(RelayReason::Range);
    }
    match range::parse(Some(asked), size) {
        Ranges::Some(ranges) => match &ranges[..] {
            [one] if !one.is_empty() => Ok(Some(one.clone())),
            _ => Err(RelayReason::Range),
        },
        Ranges::Whole | Ranges::Unsatisfiable | Ranges::Malformed => Err(RelayReason::Range),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn range(text: &str) -> Result<Option<Range<u64>>, RelayReason> {
        asked_range(&HeaderMap::from_iter([(header::RANGE, HeaderValue::from_str(text).unwrap())]), 10)
    }

    /// A 206 of a byte in a chunk that is not asked for would tell of that chunk's volume server.
    #[test]
    fn the_gateway_is_asked_for_a_byte_of_the_chunk_that_is_wanted() {
        let chunk = |offset, size| pb::FileChunk { offset, size, ..pb::FileChunk::default() };
        let chunks = [chunk(8, 8), chunk(0, 8), chunk(16, 3), chunk(-9, 2)];
        for (byte, start) in [(0, 0), (7, 0), (8, 8), (15, 8), (16, 16), (18, 16), (19, 0)] {
            assert_eq!(start_of_chunk(&chunks, byte), start, "{byte}");
        }
    }

    #[test]
    fn what_says_that_it_is_encrypted_has_what_that_takes() {
        let entry = |attributes: &[&str], chunks: &[(i32, bool)]| {
            let chunk = |&(sse_type, is_chunk_manifest): &(i32, bool)| pb::FileChunk {
                sse_type,
                is_chunk_manifest,
                ..pb::FileChunk::default()
            };
            let extended = attributes.iter().map(|&name| (name.to_owned(), "x".into())).collect();
            pb::Entry { extended, chunks: chunks.iter().map(chunk).collect(), ..pb::Entry::default() }
        };
        let bare = [(0, false), (0, false)];
        assert!(!says_more_than_it_has(&entry(&[], &bare), Scheme::None));
        assert!(says_more_than_it_has(&entry(&[name::ALGORITHM], &bare), Scheme::None));
        assert!(says_more_than_it_has(&entry(&[name::ALGORITHM], &[]), Scheme::None));
        assert!(says_more_than_it_has(&entry(&[name::CUSTOMER_ALGORITHM], &bare), Scheme::C));
        for (attributes, chunks) in [
            (&[name::CUSTOMER_ALGORITHM][..], &[(0, false), (1, false)][..]),
            (&[name::CUSTOMER_ALGORITHM], &[(0, true)]),
            (&[name::CUSTOMER_ALGORITHM, name::CUSTOMER_IV], &bare),
            (&[name::CUSTOMER_ALGORITHM, name::PART_BOUNDARIES], &bare),
            (&[name::CUSTOMER_ALGORITHM], &[]),
        ] {
            assert!(!says_more_than_it_has(&entry(attributes, chunks), Scheme::C), "{attributes:?} {chunks:?}");
        }
        for scheme in [Scheme::Kms, Scheme::S3] {
            assert!(!says_more_than_it_has(&entry(&[name::ALGORITHM], &bare), scheme));
        }
    }

    #[test]
    fn one_plain_range_is_served() {
        assert_eq!(asked_range(&HeaderMap::new(), 10), Ok(None));
        for (text, wanted) in
            [("bytes=0-0", 0..1), ("bytes=3-", 3..10), ("bytes=-4", 6..10), ("bytes=-40", 0..10), ("bytes=9-99", 9..10)]
        {
            assert_eq!(range(text), Ok(Some(wanted)), "{text}");
        }
    }

    #[test]
    fn other_ranges_are_the_gateways() {
        for text in [
            "bytes=0-1,3-4",
            "bytes=10-",
            "bytes=-0",
            "bytes=5-4",
            "bytes=-",
            "bytes=",
            "bytes= 0-1",
            "bytes=0 -1",
            "bytes=+0-1",
            "Bytes=0-1",
            "items=0-1",
            "bytes=0-1-2",
            "bytes=a-b",
            "bytes=0-99999999999999999999",
        ] {
            assert_eq!(range(text), Err(RelayReason::Range), "{text}");
        }
    }
}
