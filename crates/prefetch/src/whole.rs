//! Needles that can only be read whole: manifests, and chunks that must be opened before a byte of them is known.

use std::{ops::Range, sync::Arc};

use bytes::Bytes;
use http_body_util::BodyExt;
use tokio::{sync::mpsc, time::timeout};

use crate::{
    Cause, FetchError, NeedleRead,
    budget::{Allotment, BLOCK, Purse, blocks},
    engine::Shared,
    fetch::{Event, Replicas, Wanted, send},
    metrics::InFlight,
    servers::Server,
    upstream::chain,
};

/// What sealing adds to a chunk at most, in bytes: a 12-byte nonce and a 16-byte tag, and the worst case of gzip on
/// bytes that do not compress.
const SEAL: u64 = 4 << 10;

/// The blocks that opening a chunk of `size` bytes takes: once as it is stored and once opened.
pub(crate) fn blocks_to_open(size: u64) -> usize {
    blocks(2 * (size + SEAL))
}

/// Memory for an opened needle: here already, or to be waited for.
pub(crate) enum Memory {
    /// Reserved.
    Taken(Allotment),
    /// To be waited for: this is the head of its download.
    Wait(Arc<Purse>),
}

/// Fetches a sealed needle, opens it and sends `range` of what comes out.
pub(crate) async fn run(
    shared: Arc<Shared>,
    memory: Memory,
    read: NeedleRead,
    range: Range<u64>,
    events: mpsc::UnboundedSender<Event>,
) {
    match opened(&shared, memory, &read, range).await {
        Ok(bytes) => {
            let _ = events.send(Ok(Some(bytes)));
            let _ = events.send(Ok(None));
        }
        Err(error) => {
            let _ = events.send(Err(error));
        }
    }
}

async fn opened(shared: &Shared, memory: Memory, read: &NeedleRead, range: Range<u64>) -> Result<Bytes, FetchError> {
    let Some(opener) = &read.opener else { return Err(FetchError::Lost(Arc::clone(&read.fid))) };
    let blocks = blocks_to_open(read.size);
    if blocks > shared.budget.blocks() {
        let limit = (shared.budget.blocks() * BLOCK) as u64 / 2;
        return Err(FetchError::TooLarge { fid: Arc::clone(&read.fid), size: read.size, limit });
    }
    let allotment = match memory {
        Memory::Taken(allotment) => allotment,
        Memory::Wait(purse) => purse.wait_for(blocks).await,
    };
    let stored = stored(shared, read, read.size + SEAL).await?;
    let wrong = |reason: String| FetchError::Open { fid: Arc::clone(&read.fid), reason: reason.into() };
    let mut chunk = opener.open(stored).map_err(wrong)?;
    if chunk.len() as u64 != read.size {
        return Err(wrong(format!("opens to {} bytes instead of {}", chunk.len(), read.size)));
    }
    let (start, end) = (range.start as usize, range.end as usize);
    if let Some(transform) = &read.transform {
        let sealed = chunk[start..end].to_vec();
        transform.start(range.start).copy(&sealed, &mut chunk[start..end]);
    }
    Ok(Bytes::from_owner(allotment.whole(chunk)).slice(start..end))
}

/// Reads a needle whole as it is stored.
pub(crate) async fn read(
    shared: &Shared,
    purse: &Arc<Purse>,
    read: &NeedleRead,
    limit: u64,
) -> Result<Bytes, FetchError> {
    let blocks = blocks(limit).min(shared.budget.blocks());
    let allotment = purse.wait_for(blocks).await;
    let stored = stored(shared, read, limit.min((blocks * BLOCK) as u64)).await?;
    Ok(Bytes::from_owner(allotment.whole(stored)))
}

async fn stored(shared: &Shared, read: &NeedleRead, limit: u64) -> Result<Vec<u8>, FetchError> {
    let in_flight = InFlight::begin(&shared.metrics);
    let mut replicas = Replicas::new(shared, read);
    let result = loop {
        let server = match replicas.next().await {
            Ok(server) => server,
            Err(error) => break Err(error),
        };
        match attempt(shared, &server, read, limit).await {
            Ok(Some(bytes)) => break Ok(bytes),
            Ok(None) => break Err(FetchError::TooLarge { fid: Arc::clone(&read.fid), size: limit + 1, limit }),
            Err(cause) => replicas.failed(&server, cause),
        }
    };
    in_flight.end(result.is_ok());
    result
}

/// `None`: it is larger than `limit`.
async fn attempt(shared: &Shared, server: &Server, read: &NeedleRead, limit: u64) -> Result<Option<Vec<u8>>, Cause> {
    let _place = server.admit().await;
    let answer = send(shared, server, read, &Wanted::Whole).await?;
    let length = answer.headers().get(http::header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    let length = length.and_then(|value| value.parse::<u64>().ok());
    let mut body = answer.into_body();
    let mut bytes = Vec::with_capacity(usize::try_from(length.unwrap_or(0).min(limit)).unwrap_or(0));
    while let Some(frame) = timeout(shared.settings.idle_timeout, body.frame()).await.map_err(|_| Cause::Timeout)? {
        let frame = frame.map_err(|error| Cause::Broken(chain(&*error).into()))?;
        let Ok(data) = frame.into_data() else { continue };
        shared.metrics.bytes.inc_by(data.len() as u64);
        if (bytes.len() + data.len()) as u64 > limit {
            return Ok(None);
        }
        bytes.extend_from_slice(&data);
    }
    match length {
        Some(length) if length != bytes.len() as u64 => {
            Err(Cause::Length(format!("{} bytes instead of {length}", bytes.len()).into()))
        }
        _ => Ok(Some(bytes)),
    }
}
