//! Where entries and bytes come from, and the stages between them: chunks, plan, pieces, download.
//!
//! Knows the order in which an entry becomes a stream of bytes. Must not know the request that asked for it.

use std::{borrow::Cow, sync::Arc};

use crypto::{Layout, Scheme};
use http::StatusCode;
use prefetch::{Download, Engine, Plan, Share, Tally};

use super::{
    decode::Decrypt,
    expansion::{self, Expansion, Expansions},
    failure,
    locations::VolumeLocations,
    moved::FileMoves,
    object, sealed_sizes,
    unlock::ReadKeys,
};
use crate::{
    Blame, Error, Result,
    entry::{
        EntryPath,
        visible::{VisibleRun, visible},
    },
    filer::{EntrySnapshot, FilerClient},
    pb,
    plan::{self, Piece, parts::Section},
};

/// The filer and the volume servers, as a reader sees them.
pub(crate) struct Source {
    pub(crate) filer: Arc<FilerClient>,
    pub(crate) engine: Engine,
    pub(crate) expansions: Arc<Expansions>,
    /// Where the engine finds volumes.
    pub(crate) locations: Arc<VolumeLocations>,
}

/// What a read will be made of, before a key is asked for or a byte fetched.
pub(super) struct ReadPlan<'e> {
    pub(super) layout: Arc<Layout>,
    chunks: Chunks<'e>,
    content: bytes::Bytes,
    pieces: Vec<Piece>,
}

/// On whose behalf a download is.
#[derive(Default)]
pub(super) struct DownloadOwner<'a> {
    /// Follows chunks that get another file id meanwhile.
    pub(super) moves: Option<Arc<FileMoves>>,
    /// Whose memory it takes, if it is for a client.
    pub(super) share: Option<&'a Share>,
    /// Counts what volume servers are asked for it.
    pub(super) tally: Option<&'a Arc<Tally>>,
}

/// Where the chunks of a read are listed.
enum Chunks<'e> {
    /// In the entry, or in a list made for this read.
    Listed(Cow<'e, [pb::FileChunk]>),
    /// Behind manifests.
    Expansion(Arc<Expansion>),
}

impl Chunks<'_> {
    fn get(&self) -> &[pb::FileChunk] {
        match self {
            Self::Listed(chunks) => chunks,
            Self::Expansion(expanded) => &expanded.chunks,
        }
    }
}

impl ReadPlan<'_> {
    /// The chunks that the read takes bytes from, in its order, and how many.
    pub(super) fn chunks(&self) -> impl Iterator<Item = (usize, u64)> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Chunk { index, range } => Some((*index, range.end - range.start)),
            Piece::Zeros { .. } | Piece::Inline { .. } | Piece::Framing(_) => None,
        })
    }
}

impl Source {
    /// Looks an entry up, with the sizes of its chunks as they are read. `None`: there is none.
    ///
    /// # Errors
    /// As [`FilerClient::lookup`].
    pub(crate) async fn lookup(&self, path: &EntryPath) -> Result<Option<EntrySnapshot>> {
        let mut found = self.filer.lookup(path).await?;
        if let Some(found) = &mut found {
            found.entry.drop_stale_content();
            sealed_sizes::of_file(&self.engine, &mut found.entry).await;
        }
        Ok(found)
    }

    /// The bucket that a file is in; `None`: it is in none.
    pub(crate) fn bucket<'p>(&self, path: &'p EntryPath) -> Option<&'p str> {
        self.filer.buckets().bucket_of(path.as_str()).map(|(bucket, _)| bucket)
    }

    /// All chunks of an entry, with the sizes that a read gives them, as far as somebody tells them.
    pub(crate) async fn with_true_sizes(&self, entry: &pb::Entry, chunks: Vec<pb::FileChunk>) -> Vec<pb::FileChunk> {
        match sealed_sizes::of_range(&self.engine, Cow::Borrowed(&chunks[..]), entry.size(), &(0..u64::MAX)).await {
            Ok(Cow::Owned(sized)) => sized,
            Ok(Cow::Borrowed(_)) | Err(_) => chunks,
        }
    }

    /// Plans a body made of `sections` of an entry whose layout has been read. `runs` are those of the chunks that it lists,
    /// where they were worked out before.
    ///
    /// # Errors
    /// When a manifest or the places of the chunks are broken.
    pub(super) async fn plan<'e>(
        &self,
        entry: &'e pb::Entry,
        layout: Arc<Layout>,
        runs: Option<&[VisibleRun]>,
        sections: &[Section],
    ) -> Result<ReadPlan<'e>> {
        let content = entry.content.clone();
        if !content.is_empty() {
            let pieces = plan::assemble(sections, |range| plan::plan_inline(content.len() as u64, range));
            return Ok(ReadPlan { layout, chunks: Chunks::Listed(Cow::default()), content, pieces });
        }
        if let Some(runs) = runs {
            let pieces = plan::assemble(sections, |range| plan::plan(runs, range));
            return Ok(ReadPlan { layout, chunks: Chunks::Listed(Cow::Borrowed(&entry.chunks)), content, pieces });
        }
        let (engine, hull) = (&self.engine, plan::hull(sections));
        if !entry.chunks.iter().any(|chunk| chunk.is_chunk_manifest) {
            let chunks = sealed_sizes::of_range(engine, Cow::Borrowed(&entry.chunks), entry.size(), &hull).await?;
            let runs = visible(&chunks)?;
            let pieces = plan::assemble(sections, |range| plan::plan(&runs, range));
            return Ok(ReadPlan { layout, chunks: Chunks::Listed(chunks), content, pieces });
        }
        let expanded = self.expansions.of(engine, entry, &layout, hull.clone()).await?;
        let layout = Arc::clone(&expanded.layout);
        if expanded.has_doubtful {
            let chunks = sealed_sizes::of_range(engine, Cow::Borrowed(&expanded.chunks), entry.size(), &hull).await?;
            if let Cow::Owned(chunks) = chunks {
                let runs = visible(&chunks)?;
                let pieces = plan::assemble(sections, |range| plan::plan(&runs, range));
                return Ok(ReadPlan { layout, chunks: Chunks::Listed(Cow::Owned(chunks)), content, pieces });
            }
        }
        let pieces = plan::assemble(sections, |range| plan::plan(&expanded.runs, range));
        Ok(ReadPlan { layout, chunks: Chunks::Expansion(expanded), content, pieces })
    }

    /// Starts the download of a planned read and waits for its first bytes.
    ///
    /// # Errors
    /// When a chunk has no id, or the first bytes cannot be had.
    pub(super) async fn download(
        &self,
        planned: &ReadPlan<'_>,
        unlocked: &ReadKeys,
        owner: &DownloadOwner<'_>,
    ) -> Result<Download> {
        let bind = |piece| bind(planned, unlocked, piece, owner);
        let pieces: Vec<_> = planned.pieces.iter().map(bind).collect::<Result<_>>()?;
        let (plan, nobody) = (Plan::from_iter(pieces), Share::default());
        let download = self.engine.download_for(owner.share.unwrap_or(&nobody), plan).await;
        download.map_err(|error| failure::to_error(&error))
    }

    /// The chunks that the file at the path has now, from byte `from` on. `None`: there is no such file, or nobody says.
    pub(super) async fn chunks_now(&self, path: &EntryPath, from: u64) -> Option<Vec<pb::FileChunk>> {
        let entry = self.lookup(path).await.ok()??.entry;
        let layout = Arc::new(object::layout(&entry, &entry.chunks).ok()?);
        let (chunks, _) = expansion::chunks(&self.engine, &entry, layout, from..u64::MAX).await.ok()?;
        Some(chunks.into_owned())
    }

    /// Downloads a file that must not be encrypted: one of the cluster's own.
    ///
    /// # Errors
    /// When it is encrypted, or the first bytes cannot be had.
    pub(super) async fn plain(&self, entry: &pb::Entry) -> Result<Download> {
        let layout = object::layout(entry, &entry.chunks)?;
        if layout.scheme != Scheme::None {
            let message = format!("{} is encrypted itself", entry.name);
            return Err(Error::new(Blame::Filer, StatusCode::INTERNAL_SERVER_ERROR, message));
        }
        let planned = self.plan(entry, Arc::new(layout), None, &[Section::File(0..length(entry))]).await?;
        self.download(&planned, &ReadKeys::Nothing, &DownloadOwner::default()).await
    }
}

/// The bytes of a file of the cluster's own. The S3 gateway writes its key file inline and leaves the size at 0.
pub(super) fn length(entry: &pb::Entry) -> u64 {
    entry.size().max(entry.content.len() as u64)
}

/// Turns a planned piece into one that can be fetched, with what decrypts it.
fn bind(
    planned: &ReadPlan<'_>,
    unlocked: &ReadKeys,
    piece: &Piece,
    owner: &DownloadOwner<'_>,
) -> Result<prefetch::Piece> {
    Ok(match piece {
        Piece::Zeros { len } => prefetch::Piece::Zeros(*len),
        Piece::Framing(text) => prefetch::Piece::Inline(text.clone()),
        Piece::Inline { range } => {
            let (start, end) = (range.start as usize, range.end as usize);
            let content = planned.content.slice(start..end);
            prefetch::Piece::Inline(match unlocked.inline(&planned.layout)? {
                Some(decrypt) => decrypted(&decrypt, range.start, &content),
                None => content,
            })
        }
        Piece::Chunk { index, range } => {
            let chunk = &planned.chunks.get()[*index];
            prefetch::Piece::Needle(prefetch::NeedleRead {
                chunk: *index,
                transform: unlocked.chunk(&planned.layout, *index)?,
                opener: object::opener(chunk).map(|opener| Arc::new(opener) as Arc<_>),
                moved: owner.moves.as_ref().and_then(|moves| moves.of(chunk)),
                tally: owner.tally.cloned(),
                ..object::needle(&object::fid(chunk)?, chunk, range.clone())
            })
        }
    })
}

fn decrypted(decrypt: &Decrypt, offset: u64, content: &[u8]) -> bytes::Bytes {
    let mut plain = vec![0; content.len()];
    decrypt.from(offset).copy(content, &mut plain);
    plain.into()
}
