//! The stages that every read goes through, whichever front it came by: the entry, the plan, the keys, the download.
//!
//! Knows their order. Must not know the request's head, nor who may make it: a front has decided that before it asks for a body.

use std::sync::Arc;

use bytes::Bytes;
use crypto::DataKey;
use futures_util::{FutureExt as _, StreamExt as _};
use http::Extensions;
use prefetch::Download;

use super::{
    Source,
    lookup::{self, CachedEntry, DerivedFile, File},
    moved::FileMoves,
    source::DownloadOwner,
    unlock,
};
use crate::{
    Result,
    correlation::Correlation,
    entries::Entries,
    entry::{ContentTypes, EntryPath},
    keys::KeyRing,
    pb,
    plan::parts::Section,
    questions::Questions,
    spans,
    wire::{Body, BoxError},
};

/// What reads are made with. Shared by the fronts.
pub(crate) struct Stages {
    pub(crate) source: Arc<Source>,
    pub(crate) entries: Arc<Entries<DerivedFile>>,
    pub(crate) keys: Arc<KeyRing>,
    pub(crate) types: ContentTypes,
    pub(crate) lookups: Lookups,
}

/// The questions for entries, by path.
pub(crate) type Lookups = Questions<Result<Option<Arc<CachedEntry>>>>;

impl Stages {
    /// The entry at `path`, from memory where it is known to be true, else as the filer has it at some time after this call;
    /// `None`: there is none.
    ///
    /// # Errors
    /// When no filer answers, or the entry's encryption metadata cannot be used.
    pub(crate) async fn entry(self: &Arc<Self>, path: &EntryPath) -> Result<Option<Arc<CachedEntry>>> {
        if let Some(known) = self.entries.get(path.as_str()) {
            return Ok(Some(known));
        }
        let (stages, wanted, reader) = (Arc::clone(self), path.clone(), Correlation::current());
        let asking = async move { lookup::entry(&stages.source, &stages.entries, &wanted, &stages.types).await };
        // Boxed: of requests for an entry that is known, it would be the larger part.
        Box::pin(self.lookups.after_now(path.as_str(), || Correlation::scope_of(reader, asking))).await
    }

    /// The body that `sections` of the file make: planned, the keys opened, the first bytes here. `customer` is the key of an
    /// SSE-C object, [checked](unlock::customer_key). Its memory is the [`Share`](prefetch::Share) that stands among the `extensions` of the
    /// request, and what it takes of volume servers counts in the [`Tally`](prefetch::Tally) there.
    ///
    /// # Errors
    /// Whatever keeps it from being read.
    pub(crate) async fn body(
        &self,
        path: &EntryPath,
        entry: &pb::Entry,
        file: &File,
        customer: Option<Arc<DataKey>>,
        sections: &[Section],
        extensions: &Extensions,
    ) -> Result<Body> {
        let planned = self.source.plan(entry, Arc::clone(&file.layout), file.runs.as_deref(), sections);
        let planned = spans::during("plan", planned).await?;
        let bucket = self.source.bucket(path);
        let unlocked = unlock::open(&planned.layout, planned.chunks(), customer, &self.keys, bucket);
        let unlocked = spans::during("keys", unlocked).await?;
        let owner = DownloadOwner { moves: Some(self.moves(path)), share: extensions.get(), tally: extensions.get() };
        let download = self.source.download(&planned, &unlocked, &owner);
        let download = spans::during("first bytes", download).await?;
        Ok(body(download, sections.iter().map(Section::len).sum()))
    }

    /// Follows the chunks of the file that is at the path.
    fn moves(&self, path: &EntryPath) -> Arc<FileMoves> {
        let (source, path, reader) = (Arc::clone(&self.source), path.clone(), Correlation::current());
        FileMoves::new(Box::new(move |from| {
            let (source, path) = (Arc::clone(&source), path.clone());
            let asking = async move { source.chunks_now(&path, from).await };
            Correlation::scope_of(reader.clone(), asking).boxed()
        }))
    }
}

fn body(download: Download, length: u64) -> Body {
    Body::from_stream(Some(length), download.map(|piece: Result<Bytes, _>| piece.map_err(BoxError::from)))
}
