//! Needles that can only be read whole: manifests, and chunks that must be opened before a byte of them is known.

use std::{ops::Range, sync::Arc};

use bytes::Bytes;
use http::header;

use crate::{
    Cause, FetchError, NeedleRead,
    budget::{Allotment, BLOCK, LONGEST_WAIT, Purse, blocks, in_time},
    checksum,
    engine::Shared,
    fetch::{Asked, Replicas, Wanted, ask, is_compressed, length, next},
    lane::{Passed, Sender},
    metrics::InFlight,
    plan::Slice,
    servers::{Outcome, Server},
};

/// What sealing adds to a chunk at most, in bytes: a 12-byte nonce and a 16-byte tag, and the worst case of gzip on
/// bytes that do not compress.
const SEAL: u64 = 4 << 10;

/// The blocks that opening a chunk of `size` bytes takes: once as it is stored and once opened.
pub(crate) fn blocks_to_open(size: u64) -> usize {
    blocks(size.saturating_add(SEAL).saturating_mul(2))
}

/// The bytes that [`blocks_to_open`] reserves: what is cut out of one opening is never more.
pub(crate) fn room(size: u64) -> u64 {
    (blocks_to_open(size) as u64).saturating_mul(BLOCK as u64)
}

/// Memory for an opened needle: here already, or to be waited for.
pub(crate) enum Memory {
    /// Reserved.
    Taken(Allotment),
    /// To be waited for: this is the head of its download.
    Wait(Arc<Purse>),
}

/// Fetches a sealed needle, opens it and passes on its bytes `start..end`, and `then` what follows them.
pub(crate) async fn run(shared: Arc<Shared>, memory: Memory, read: NeedleRead, then: Vec<Slice>, sender: Sender) {
    let slices: Vec<_> = std::iter::once(Slice::Chunk(read.start..read.end)).chain(then).collect();
    let result = opened(&shared, memory, &read, hull(&slices)).await.map(|chunk| {
        for slice in slices {
            sender.lane.push(Passed::Bytes(match slice {
                Slice::Chunk(range) => chunk.slice(range.start as usize..range.end as usize),
                Slice::Inline(bytes) => bytes,
            }));
        }
    });
    sender.end(result);
}

/// The bytes of the chunk from the first to the last that is wanted.
fn hull(slices: &[Slice]) -> Range<u64> {
    let ranges = slices.iter().filter_map(|slice| match slice {
        Slice::Chunk(range) => Some(range.clone()),
        Slice::Inline(_) => None,
    });
    ranges.reduce(|hull, range| hull.start.min(range.start)..hull.end.max(range.end)).unwrap_or(0..0)
}

/// The chunk, of which the bytes of `hull` are decoded.
async fn opened(shared: &Shared, memory: Memory, read: &NeedleRead, hull: Range<u64>) -> Result<Bytes, FetchError> {
    let Some(opener) = &read.opener else { return Err(FetchError::Lost(Arc::clone(&read.fid))) };
    let blocks = blocks_to_open(read.size);
    if blocks > shared.budget.blocks() {
        let limit = (shared.budget.blocks() * BLOCK) as u64 / 2;
        return Err(FetchError::TooLarge { fid: Arc::clone(&read.fid), size: read.size, limit });
    }
    let decoder = read.decoder(hull.start).await?;
    let allotment = match memory {
        Memory::Taken(allotment) => allotment,
        // As long as a client that reads nothing is suffered by default: bytes of this download may be out.
        Memory::Wait(purse) => {
            shared.metrics.memory_was_short("whole");
            in_time(purse.wait_for(blocks), 4 * LONGEST_WAIT).await?
        }
    };
    let stored = stored(shared, read, read.size.saturating_add(SEAL)).await?;
    let wrong = |reason: String| FetchError::Open { fid: Arc::clone(&read.fid), reason: reason.into() };
    let mut chunk = opener.open(stored).map_err(wrong)?;
    if chunk.len() as u64 != read.size {
        return Err(wrong(format!("opens to {} bytes instead of {}", chunk.len(), read.size)));
    }
    if let Some(mut decoder) = decoder {
        let (start, end) = (hull.start as usize, hull.end as usize);
        let encrypted = chunk[start..end].to_vec();
        decoder.copy(&encrypted, &mut chunk[start..end]);
    }
    Ok(Bytes::from_owner(allotment.whole(chunk)))
}

/// Reads a needle whole as it is stored.
pub(crate) async fn read(
    shared: &Shared,
    purse: &Arc<Purse>,
    read: &NeedleRead,
    limit: u64,
) -> Result<Bytes, FetchError> {
    let blocks = blocks(limit).min(shared.budget.blocks());
    let allotment = in_time(purse.wait_for(blocks), LONGEST_WAIT).await?;
    let stored = stored(shared, read, limit.min((blocks * BLOCK) as u64)).await?;
    Ok(Bytes::from_owner(allotment.whole(stored)))
}

async fn stored(shared: &Shared, read: &NeedleRead, limit: u64) -> Result<Vec<u8>, FetchError> {
    let in_flight = InFlight::begin(&shared.metrics);
    shared.servers.fetch_begins();
    let mut replicas = Replicas::new(shared, read);
    let result = loop {
        let server = match replicas.next().await {
            Ok(server) => server,
            Err(error) => break Err(error),
        };
        replicas.asks(&server);
        match attempt(shared, server, read, limit).await {
            Ok(Some(bytes)) => break Ok(bytes),
            Ok(None) => break Err(FetchError::TooLarge { fid: Arc::clone(&read.fid), size: limit + 1, limit }),
            Err(cause) => replicas.failed(cause),
        }
    };
    in_flight.end(result.is_ok());
    result
}

/// `None`: it is larger than `limit`.
async fn attempt(
    shared: &Shared,
    server: Arc<Server>,
    read: &NeedleRead,
    limit: u64,
) -> Result<Option<Vec<u8>>, Cause> {
    let Asked { answer, server, place, .. } = ask(shared, server, read, &Wanted::Whole).await?;
    let crc =
        checksum::of_etag(answer.headers().get(header::ETAG)).filter(|_| shared.settings.verify && !read.compressed);
    let mut result = collect(shared, answer, limit).await;
    // Before the next request to this server, which needs a place too.
    drop(place);
    if let (Ok(Some(bytes)), Some(stored)) = (&result, crc)
        && !checksum::matches(crc32c::crc32c(bytes), stored)
        && !is_compressed(shared, &server, read).await
    {
        shared.metrics.crc_failures.inc();
        result = Err(Cause::Corrupt);
    }
    server.ended(result.as_ref().map_or_else(Cause::outcome, |_| Outcome::Sound));
    result
}

async fn collect(
    shared: &Shared,
    answer: http::Response<crate::UpstreamBody>,
    limit: u64,
) -> Result<Option<Vec<u8>>, Cause> {
    let announced = length(&answer);
    let mut body = answer.into_body();
    let mut bytes = Vec::with_capacity(usize::try_from(announced.unwrap_or(0).min(limit)).unwrap_or(0));
    while let Some(data) = next(&mut body, shared.settings.idle_timeout).await? {
        shared.metrics.bytes.inc_by(data.len() as u64);
        if (bytes.len() + data.len()) as u64 > limit {
            return Ok(None);
        }
        bytes.extend_from_slice(&data);
    }
    if let Some(announced) = announced.filter(|announced| *announced != bytes.len() as u64) {
        return Err(Cause::Length(format!("{} bytes instead of {announced}", bytes.len()).into()));
    }
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests;
