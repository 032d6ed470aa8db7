//! The entry of a path: from memory where it is known to be true, else from the filer.
//!
//! Knows what is derived from an entry and kept beside it. Must not know what is asked of it.

use std::sync::Arc;

use crypto::Layout;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::{object, source::Source};
use crate::{
    Blame, Error, Result,
    entries::{self, Entries},
    entry::{
        ContentTypes, EntryPath, Kind, headers, sealed,
        visible::{VisibleRun, visible},
    },
    pb,
};

/// What is worked out once for a file; `None` for what has no bytes of its own.
pub(crate) type DerivedFile = Option<File>;

/// What every answer about a file is made from.
pub(crate) struct File {
    /// How it is encrypted.
    pub(crate) layout: Arc<Layout>,
    /// As the filer gives it, without quotes where it has none.
    pub(crate) etag: Option<String>,
    /// Of an answer to a request without a query and from no script.
    pub(super) headers: HeaderMap,
    /// Of the file, in bytes. An entry adds it up from all of its chunks.
    pub(crate) size: u64,
    /// Which byte comes from which chunk, where the entry lists the chunks themselves and their sizes are beyond doubt. `None`:
    /// each read finds out.
    pub(super) runs: Option<Vec<VisibleRun>>,
}

impl File {
    /// # Errors
    /// 500 that names the field of the encryption metadata that is not understood; 502 for a size that no file has.
    pub(crate) fn of(entry: &pb::Entry, types: &ContentTypes) -> Result<Self> {
        // Ranges of it could add up to more than a number holds.
        if i64::try_from(entry.size()).is_err() {
            let message = format!("the entry says that the file has {} bytes", entry.size());
            return Err(Error::new(Blame::Filer, StatusCode::BAD_GATEWAY, message));
        }
        let layout = object::layout(entry, &entry.chunks)?;
        let mut headers = headers::of_file(entry, "", types);
        add_echo(&mut headers, &layout);
        let runs = lists_all(entry).then(|| visible(&entry.chunks).ok()).flatten();
        Ok(Self { layout: Arc::new(layout), etag: entry.etag(), headers, size: entry.size(), runs })
    }
}

/// Whether the chunks and their sizes are what the entry lists.
fn lists_all(entry: &pb::Entry) -> bool {
    !entry.chunks.iter().any(|chunk| chunk.is_chunk_manifest || sealed::may_be_smaller(chunk))
}

/// Adds what the S3 gateway tells about the encryption.
pub(crate) fn add_echo(headers: &mut HeaderMap, layout: &Layout) {
    for (name, value) in layout.echo.pairs() {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            headers.insert(name, value);
        }
    }
}

/// An entry that was looked up.
pub(crate) type CachedEntry = entries::CachedEntry<DerivedFile>;

/// The entry at `path`, asked for unless it has become known by now; `None`: there is none.
///
/// # Errors
/// When no filer answers, or the entry's encryption metadata cannot be used.
pub(super) async fn entry(
    source: &Source,
    entries: &Entries<DerivedFile>,
    path: &EntryPath,
    types: &ContentTypes,
) -> Result<Option<Arc<CachedEntry>>> {
    // The one who asked before may have had it kept.
    if let Some(known) = entries.known(path.as_str()) {
        return Ok(Some(known));
    }
    let lookup = entries.begin();
    let Some(found) = source.lookup(path).await? else { return Ok(None) };
    let derived = match found.entry.kind() {
        Kind::File | Kind::RemoteOnly => Some(File::of(&found.entry, types)?),
        Kind::Directory | Kind::Symlink | Kind::Special => None,
    };
    Ok(Some(entries.store(&lookup, path.as_str(), found, derived)))
}
