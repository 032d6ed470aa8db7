//! One manifest: fetched, opened and read.
//!
//! Knows how a manifest is stored. Must not know which are needed.

use bytes::Bytes;
use http::StatusCode;
use prefetch::{Engine, FetchError};

use super::{decode, failure, object};
use crate::{
    Blame, Error, Result,
    entry::manifest::{PendingManifest, list},
    pb,
};

/// The largest manifest that is read, stored or inflated, in bytes. SeaweedFS lists 10,000 chunks in one, at about 100 bytes
/// each, and of SSE-KMS objects with all of their encryption context: 2 KiB of that make 30 MB.
const LIMIT: u64 = 128 << 20;
/// A longer one is read where nobody waits for it.
const LONG: usize = 128 << 10;

/// The chunks that a manifest lists.
///
/// # Errors
/// When it cannot be fetched or is none.
pub(super) async fn read(engine: &Engine, manifest: &PendingManifest) -> Result<Vec<pb::FileChunk>> {
    let chunk = &manifest.chunk;
    let stored = engine.read_needle(object::needle(&manifest.fid, chunk, 0..0), LIMIT).await;
    let stored = stored.map_err(|error| match error {
        FetchError::TooLarge { size, .. } => {
            let message = format!("a chunk manifest of the file has {size} bytes, and {LIMIT} at most are read");
            Error::new(Blame::Filer, StatusCode::BAD_GATEWAY, message)
        }
        error => failure::to_error(&error),
    })?;
    if stored.len() < LONG {
        return opened(manifest, stored);
    }
    let manifest = manifest.clone();
    let reading = tokio::task::spawn_blocking(move || opened(&manifest, stored)).await;
    reading.map_err(|error| {
        Error::new(Blame::Volume, StatusCode::SERVICE_UNAVAILABLE, "the daemon is stopping").caused_by(error)
    })?
}

fn opened(manifest: &PendingManifest, stored: Bytes) -> Result<Vec<pb::FileChunk>> {
    let chunk = &manifest.chunk;
    if chunk.cipher_key.is_empty() {
        // Compressed or not, the volume server has inflated it.
        return list(&manifest.fid, &stored);
    }
    let content =
        decode::open_sealed(&chunk.cipher_key, chunk.is_compressed, stored.into(), LIMIT).map_err(|error| {
            let message = format!("the chunk manifest {} cannot be read: {error}", manifest.fid);
            Error::new(Blame::Volume, StatusCode::BAD_GATEWAY, message).caused_by(error)
        })?;
    list(&manifest.fid, &content)
}
