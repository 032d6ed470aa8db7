//! Chunks that get another file id while they are downloaded: whoever knows the file is asked where they are now.

use std::{future::Future, pin::Pin, sync::Arc};

/// Where a chunk is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChunkLocation {
    /// The volume that holds the needle.
    pub volume: u32,
    /// The fid as written in a URL.
    pub fid: Arc<str>,
}

/// The answer on its way. The wait must have an end.
pub type RelocationFuture<'a> = Pin<Box<dyn Future<Output = Option<ChunkLocation>> + Send + 'a>>;

/// Knows the file that a chunk is of.
pub trait ChunkTracker: Send + Sync {
    /// Where the same chunk is now, which no server has under `fid` any more. `None`: the file has no such chunk, or has it
    /// there.
    fn elsewhere<'a>(&'a self, fid: &'a str) -> RelocationFuture<'a>;

    /// Where the chunk is by what was learnt of others of its file; `None`: nothing was.
    fn by_now(&self) -> Option<ChunkLocation> {
        None
    }
}
