//! The entry of a path: from memory where it is known to be true, else from the filer.
//!
//! Knows what is derived from an entry and kept beside it. Must not know what is asked of it.

use std::sync::Arc;

use crypto::Layout;

use super::object;
use crate::{
    Result,
    entries::{self, Entries},
    entry::{EntryPath, Kind},
    filer::FilerClient,
};

/// What reading an entry's encryption metadata gave; `None` for what has no bytes of its own.
pub(crate) type Derived = Option<Arc<Layout>>;

/// An entry that was looked up.
pub(super) type Known = entries::Known<Derived>;

/// The entry at `path`; `None`: there is none.
///
/// # Errors
/// When no filer answers, or the entry's encryption metadata cannot be used.
pub(super) async fn entry(
    filer: &FilerClient,
    entries: &Entries<Derived>,
    path: &EntryPath,
) -> Result<Option<Arc<Known>>> {
    if let Some(known) = entries.get(path.as_str()) {
        return Ok(Some(known));
    }
    let lookup = entries.begin();
    let Some(found) = filer.lookup(path).await? else { return Ok(None) };
    let derived = match found.entry.kind() {
        Kind::File | Kind::RemoteOnly => Some(Arc::new(object::layout(&found.entry, &found.entry.chunks)?)),
        Kind::Directory | Kind::Symlink | Kind::Special => None,
    };
    Ok(Some(entries.store(&lookup, path.as_str(), found, derived)))
}
