//! Goes through the stages of a read and writes down what each finds, past the first fault.
//!
//! Knows which stage says what. Must not know how it is shown.

use std::{sync::Arc, time::Duration};

use crypto::{Kind, Layout, Scheme, WrappedKey};
use futures_util::{StreamExt, stream};
use tokio::time::Instant;

use super::{
    opening,
    report::{Chunk, Envelope, ExplainError, Key, Replica, Report},
};
use crate::{
    entry::{
        self, EntryPath,
        visible::{VisibleRun, visible},
    },
    keys::{KeyRing, Urgency},
    pb,
    read::{Source, expansion, object},
};

/// Keys that are tried, so that an object of ten thousand parts does not become as many requests to a KMS.
const KEYS: usize = 100;
/// Keys or chunks that are looked at at once.
const AT_ONCE: usize = 16;

pub(super) async fn gather(
    source: &Source,
    ring: &KeyRing,
    path: &EntryPath,
    patience: Duration,
) -> Result<Report, ExplainError> {
    let Some(found) = source.lookup(path).await? else {
        return Err(format!("{:?}: no such file", path.as_str()).into());
    };
    let entry = found.entry;
    let mut faults = Vec::new();
    match entry.kind() {
        entry::Kind::File => {}
        entry::Kind::RemoteOnly => faults.push("the bytes are in a remote store only".to_owned()),
        entry::Kind::Directory | entry::Kind::Symlink | entry::Kind::Special => {
            return Err(format!("{:?}: not a regular file", path.as_str()).into());
        }
    }
    let (chunks, layout) = laid_out(source, &entry, &mut faults).await;
    let kind = match &layout {
        Some(layout) => Some(layout.kind),
        None => object::kind(&entry, &chunks),
    };
    let keys = match &layout {
        Some(layout) => keys(ring, source.bucket(path), layout).await,
        None => Vec::new(),
    };
    let chunks = explained(source, &entry, chunks, layout.as_deref(), patience, &mut faults).await;
    let readable = faults.is_empty()
        && keys.iter().all(|key| key.opens != Some(false))
        && chunks.iter().filter(|chunk| chunk.visible).all(is_readable);
    Ok(Report {
        path: path.to_string(),
        s3: None,
        size: entry.size(),
        inline: entry.content.len() as u64,
        sse: layout.as_ref().map(|layout| layout.scheme.as_str()),
        kind: kind.map(Kind::as_str),
        faults,
        keys,
        chunks,
        readable,
    })
}

/// The chunks and how they are encrypted, as far as both can be read.
async fn laid_out(
    source: &Source,
    entry: &pb::Entry,
    faults: &mut Vec<String>,
) -> (Vec<pb::FileChunk>, Option<Arc<Layout>>) {
    let layout = match object::layout(entry, &entry.chunks) {
        Ok(layout) => layout,
        Err(error) => {
            faults.push(error.message().to_owned());
            return (entry.chunks.clone(), None);
        }
    };
    match expansion::chunks(&source.engine, entry, Arc::new(layout), 0..u64::MAX).await {
        Ok((chunks, layout)) => (chunks.into_owned(), Some(layout)),
        Err(error) => {
            faults.push(error.message().to_owned());
            (entry.chunks.clone(), None)
        }
    }
}

/// What is found out of each of the chunks.
async fn explained(
    source: &Source,
    entry: &pb::Entry,
    stored: Vec<pb::FileChunk>,
    layout: Option<&Layout>,
    patience: Duration,
    faults: &mut Vec<String>,
) -> Vec<Chunk> {
    let began = Instant::now();
    let stored = source.with_true_sizes(entry, stored).await;
    let mut chunks: Vec<Chunk> = stream::iter(stored.iter().enumerate())
        .map(async |(index, stored)| {
            let mut found = described(stored, layout, index);
            if began.elapsed() < patience {
                ask_for(source, stored, &mut found).await;
            } else {
                found.why = Some(format!("servers took more than {} s for those before", patience.as_secs()));
            }
            found
        })
        .buffered(AT_ONCE)
        .collect()
        .await;
    // What could not be laid out is not read at all.
    if layout.is_some() {
        match visible(&stored) {
            Ok(runs) => opening::open(source, &stored, &inside(runs, entry.size()), &mut chunks).await,
            Err(error) => faults.push(error.message().to_owned()),
        }
    }
    chunks
}

/// The runs as far as the file goes.
fn inside(mut runs: Vec<VisibleRun>, size: u64) -> Vec<VisibleRun> {
    runs.retain(|run| run.range.start < size);
    for run in &mut runs {
        run.range.end = run.range.end.min(size);
    }
    runs
}

fn is_readable(chunk: &Chunk) -> bool {
    !chunk.was_asked_for() || chunk.replicas.iter().any(|replica| replica.answers) && chunk.opens != Some(false)
}

fn key_of(layout: Option<&Layout>, chunk: usize) -> Option<usize> {
    layout?.chunks.get(chunk).copied().flatten().map(|start| start.key)
}

async fn keys(ring: &KeyRing, bucket: Option<&str>, layout: &Layout) -> Vec<Key> {
    stream::iter(layout.keys.iter().enumerate())
        .map(|(index, wrapped)| key(ring, bucket, index, wrapped))
        .buffered(AT_ONCE)
        .collect()
        .await
}

async fn key(ring: &KeyRing, bucket: Option<&str>, index: usize, wrapped: &WrappedKey) -> Key {
    let commitments = wrapped.commitments().len();
    let mut key =
        Key { index, key_id: None, envelope: None, context: Default::default(), commitments, opens: None, why: None };
    match wrapped {
        WrappedKey::Customer(_) => {
            key.why = Some("only the client has it (SSE-C)".to_owned());
            return key;
        }
        WrappedKey::Kms(stored) => {
            key.key_id = Some(stored.key_id.clone());
            key.context = stored.context.clone();
            key.envelope = Some(Envelope {
                provider: stored.envelope.provider.clone(),
                key_id: stored.envelope.key_id.clone(),
                ciphertext_length: stored.envelope.ciphertext.len(),
                version: stored.envelope.version,
            });
        }
        WrappedKey::S3(stored) => key.key_id = Some(stored.key_id.clone()),
    }
    if index >= KEYS {
        key.why = Some(format!("not tried: only the first {KEYS} keys are"));
        return key;
    }
    match ring.open(bucket, wrapped, Urgency::Head).await {
        Ok(_) => key.opens = Some(true),
        Err(error) => {
            key.opens = Some(false);
            let code = error.short_code().map(|code| format!(" ({code})")).unwrap_or_default();
            key.why = Some(format!("{}{code}", error.message()));
        }
    }
    key
}

/// What its entry says of a chunk.
fn described(stored: &pb::FileChunk, layout: Option<&Layout>, index: usize) -> Chunk {
    let key = key_of(layout, index);
    let scheme = layout.filter(|_| key.is_some()).map(|layout| layout.scheme);
    Chunk {
        fid: object::fid(stored).map_or_else(|_| stored.file_id.clone(), |fid| fid.to_string()),
        offset: stored.offset,
        size: stored.size,
        layers: layers(stored, scheme),
        key,
        visible: true,
        replicas: Vec::new(),
        fault: None,
        opens: None,
        why: None,
    }
}

/// What the servers say of it.
async fn ask_for(source: &Source, stored: &pb::FileChunk, chunk: &mut Chunk) {
    let fid = match object::fid(stored) {
        Ok(fid) => fid,
        Err(error) => {
            chunk.fault = Some(error.message().to_owned());
            return;
        }
    };
    let mut read = object::needle(&fid, stored, 0..stored.size);
    read.opener = object::opener(stored).map(|opener| Arc::new(opener) as Arc<_>);
    match source.engine.probe(&read).await {
        Ok(probed) if probed.is_empty() => chunk.fault = Some(format!("no server holds volume {}", fid.volume_id)),
        Ok(probed) => {
            let replica = |(server, answered): prefetch::ProbeResult| Replica {
                server: server.to_string(),
                answers: answered.is_ok(),
                why: answered.err().map(|cause| cause.to_string()),
            };
            chunk.replicas = probed.into_iter().map(replica).collect();
        }
        Err(reason) => chunk.fault = Some(format!("volume {} cannot be located: {reason}", fid.volume_id)),
    }
}

/// `scheme` is that of the keystream under the chunk, which it need not say itself.
fn layers(stored: &pb::FileChunk, scheme: Option<Scheme>) -> Vec<&'static str> {
    let sse = match (scheme, stored.sse_type) {
        (Some(Scheme::C), _) | (_, 1) => Some("sse-c"),
        (Some(Scheme::Kms), _) | (_, 2) => Some("sse-kms"),
        (Some(Scheme::S3), _) | (_, 3) => Some("sse-s3"),
        (_, 0) => None,
        _ => Some("sse-unknown"),
    };
    let sealed = (!stored.cipher_key.is_empty()).then_some("gcm");
    let compressed = stored.is_compressed.then_some("compressed");
    let manifest = stored.is_chunk_manifest.then_some("manifest");
    [sealed, compressed, sse, manifest].into_iter().flatten().collect()
}
