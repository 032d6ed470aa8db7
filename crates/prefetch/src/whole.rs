//! Needles that are read whole: manifests, sealed chunks, of which no byte is known before all of it is opened, and
//! compressed ones, of which a volume server would inflate all anew for every range of them. With [`Verify::Always`] also those
//! of which all must be here before its checksum is known.
//!
//! What is stored is fetched once and held, and the ranges that are wanted come out of it one after the other: opened
//! where it is sealed, inflated where it is compressed, decoded where it is encrypted. Both keep a processor busy, so they
//! run in the [`Pool`](crate::pool::Pool), a piece at a time: a client that stops reading stops the work.

mod content;
mod cut;
mod stored;

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use self::{
    content::{Content, NeedleBytes},
    cut::{PIECE, PieceWork, pieces, runs},
    stored::{NeedleContent, PartVersion, stored, stored_of},
};
use crate::{
    ContentError, FetchError, NeedleRead, Opener, Verify,
    budget::{Account, BLOCK, LONGEST_WAIT, Reservation, blocks, in_line},
    context::EngineContext,
    fetch::{ByteSelection, Version},
    handover::{Part, Sender},
    needle::SEAL,
    plan::Slice,
    urgency::{Priority, Urgency},
};

/// Pieces that one needle may have on their way to the client, of at most [`PIECE`] bytes.
const PIECES: usize = 2;
/// Up to this many bytes are opened and inflated where they are: another thread would not be worth its while.
const SMALL: usize = 64 << 10;

/// The blocks that reading a needle of `stored` bytes takes: what is stored, and the pieces on their way.
fn blocks_for(read: &NeedleRead, stored: u64) -> usize {
    // Without a seal it may turn out to be gzip at the server, whatever the entry says.
    let pieces = match read.comes_in_pieces() || read.opener.is_none() {
        true => blocks(read.size.min(PIECE * PIECES as u64)),
        false => 0,
    };
    blocks(stored).saturating_add(pieces)
}

/// The blocks with which to begin, of `memory` in all: those for a chunk that is as long as its size lets expect, or one where
/// that is not known.
pub(crate) fn blocks_to_begin(read: &NeedleRead, memory: usize) -> usize {
    if is_measured(read, memory) { 1 } else { blocks_for(read, expected(read)) }
}

/// The bytes that are stored of a chunk at most, unless its file was cut short.
fn expected(read: &NeedleRead) -> u64 {
    read.size.saturating_add(SEAL)
}

/// Whether it is asked for its length first: a text that would take more than half of `memory` blocks if it did not compress,
/// and a sealed chunk that would take more than all of it.
fn is_measured(read: &NeedleRead, memory: usize) -> bool {
    let most = if read.is_gzip() { memory / 2 } else { memory };
    blocks_for(read, expected(read)) > most
}

/// Fetches a needle that is read whole, opens it and passes on its bytes `start..end`, and `then` what follows them.
/// `memory` is that of [`blocks_to_begin`].
pub(crate) async fn run(
    shared: Arc<EngineContext>,
    memory: Reservation,
    read: NeedleRead,
    then: Vec<Slice>,
    version: Arc<Version>,
    priority: Arc<Priority>,
    sender: Sender,
) {
    let slices: Vec<_> = std::iter::once(Slice::Chunk(read.start..read.end)).chain(then).collect();
    let mut version = PartVersion::of(version);
    let result = pass_on(&shared, memory, &read, slices, &mut version, &priority, &sender).await;
    sender.end(result);
}

async fn pass_on(
    shared: &EngineContext,
    memory: Reservation,
    read: &NeedleRead,
    slices: Vec<Slice>,
    version: &mut PartVersion,
    priority: &Priority,
    sender: &Sender,
) -> Result<(), FetchError> {
    // What is waited for here is here when the bytes are.
    drop(read.decoder(read.start).await?);
    let (mut memory, mut limit) = (memory, expected(read));
    if is_measured(read, shared.budget.blocks()) {
        limit = stored_length(shared, read).await?;
        let account = memory.give_back();
        // What waits for memory must be waited for itself.
        priority.reached().await;
        let blocks = blocks_for(read, limit);
        // More is not always left to those who are waited for. What servers inflate is not checked.
        let can_be_inflated = read.is_gzip() && shared.settings.verify != Verify::Always;
        if can_be_inflated && blocks > shared.budget.blocks() / 4 {
            return inflated_by_servers(shared, &account, read, slices, version, sender).await;
        }
        shared.budget.has_room(&read.fid, blocks)?;
        memory = waited_for(shared, &account, blocks).await?;
    }
    let Needle { memory, bytes, gzip } = fetched(shared, memory, read, limit, version, priority).await?;
    let stored = bytes.len() as u64;
    let (needle, compressed) = match &read.opener {
        Some(opener) => (opened(shared, opener, memory, bytes, read).await?, read.compressed),
        None => (NeedleBytes::new(memory.buffer(bytes), 0..stored as usize), gzip),
    };
    let content = Content::new(needle, compressed).map_err(|reason| unopened(read, reason))?;
    check_length(&content, stored, read, &slices)?;
    cut(shared, content, read, slices, sender).await
}

/// What was fetched, and the memory that it takes.
struct Needle {
    memory: Reservation,
    bytes: Vec<u8>,
    /// Whether the server says that it is gzip.
    gzip: bool,
}

/// The needle as it is stored, of `limit` bytes, for which `memory` is. It may be longer: a file that was cut short in place
/// keeps its needles.
async fn fetched(
    shared: &EngineContext,
    mut memory: Reservation,
    read: &NeedleRead,
    mut limit: u64,
    version: &mut PartVersion,
    priority: &Priority,
) -> Result<Needle, FetchError> {
    let wanted = if read.opener.is_none() { ByteSelection::Gzip } else { ByteSelection::Needle };
    let mut longer = false;
    loop {
        match stored_of(&shared.fetch, read, &wanted, limit, priority, version).await? {
            NeedleContent::Here { bytes, gzip } => {
                memory.shrink(blocks_for(read, bytes.len() as u64));
                return Ok(Needle { memory, bytes, gzip });
            }
            NeedleContent::Longer(Some(length)) if !longer => {
                longer = true;
                limit = length;
            }
            NeedleContent::Longer(_) => return Err(unmeasured(read)),
        }
        let blocks = blocks_for(read, limit);
        shared.budget.has_room(&read.fid, blocks)?;
        let account = memory.give_back();
        priority.reached().await;
        memory = waited_for(shared, &account, blocks).await?;
    }
}

/// Memory that is waited for as long as a client that reads nothing is suffered by default: bytes of this download may be
/// out. Only for one that the client has come to.
async fn waited_for(shared: &EngineContext, account: &Arc<Account>, blocks: usize) -> Result<Reservation, FetchError> {
    if let Some(memory) = Reservation::take(account, blocks, blocks, Urgency::Head) {
        return Ok(memory);
    }
    shared.metrics.memory_was_short("whole");
    in_line(Arc::clone(account), blocks, 4 * LONGEST_WAIT).await
}

/// The needle without its seal.
async fn opened(
    shared: &EngineContext,
    opener: &Arc<dyn Opener>,
    memory: Reservation,
    mut bytes: Vec<u8>,
    read: &NeedleRead,
) -> Result<NeedleBytes, FetchError> {
    if bytes.len() <= SMALL {
        let place = opener.open(&mut bytes).map_err(|error| unopened(read, ContentError::Sealed(error)))?;
        return Ok(NeedleBytes::new(memory.buffer(bytes), place));
    }
    let opener = Arc::clone(opener);
    let open = move || {
        let place = opener.open(&mut bytes).map_err(ContentError::Sealed)?;
        Ok(NeedleBytes::new(memory.buffer(bytes), place))
    };
    let opened: Option<Result<_, ContentError>> = shared.pool.run(open).await;
    opened.ok_or_else(|| FetchError::Lost(Arc::clone(&read.fid)))?.map_err(|reason| unopened(read, reason))
}

/// Refuses a chunk that has fewer bytes than the entry says. SeaweedFS 4.05 to 4.07 gave a sealed chunk the size of what is
/// stored; such a one has what it was cut from.
fn check_length(content: &Content, stored: u64, read: &NeedleRead, slices: &[Slice]) -> Result<(), FetchError> {
    let Some(len) = content.len().filter(|len| *len < read.size) else { return Ok(()) };
    let is_sealed_size = read.opener.is_some() && read.size == stored;
    if is_sealed_size && slices.iter().all(|slice| slice.end().is_none_or(|end| end <= len)) {
        return Ok(());
    }
    Err(unopened(read, ContentError::Length { found: len, expected: read.size }))
}

/// Passes the slices on, a piece at a time. More is worked out when the client has taken what was.
async fn cut(
    shared: &EngineContext,
    mut content: Content,
    read: &NeedleRead,
    slices: Vec<Slice>,
    sender: &Sender,
) -> Result<(), FetchError> {
    if read.transform.is_none()
        && let Some(chunk) = content.at_hand()
    {
        for slice in slices {
            sender.handover.push(Part::Bytes(match slice {
                Slice::Chunk(range) => chunk.slice(range.start as usize..range.end as usize),
                Slice::Inline(bytes) => bytes,
            }));
        }
        return Ok(());
    }
    let lost = || FetchError::Lost(Arc::clone(&read.fid));
    let is_small = read.size <= SMALL as u64;
    let places = Arc::new(Semaphore::new(PIECES));
    for piece in pieces(slices) {
        let place = Arc::clone(&places).acquire_owned().await.map_err(|_| lost())?;
        let memory = content.needle().clone();
        let mut decoded = Vec::new();
        for run in runs(&piece) {
            let decoder = read.decoder(run.start).await?;
            decoded.push((run, decoder));
        }
        let mut work = PieceWork::new(content, read.size, decoded);
        loop {
            let step = move || (work.go_on(), work);
            let (done, rest) = if is_small { step() } else { shared.pool.run(step).await.ok_or_else(lost)? };
            work = rest;
            if done.map_err(|reason| unopened(read, reason))? {
                break;
            }
        }
        let place = Arc::new(place);
        let own =
            |bytes| Bytes::from_owner(PieceInFlight { bytes, _place: Arc::clone(&place), _memory: memory.clone() });
        let (rest, bytes) = work.finish(piece, own);
        content = rest;
        for bytes in bytes {
            sender.handover.push(Part::Bytes(bytes));
        }
    }
    Ok(())
}

/// Passes on a text whose gzip takes too much of the memory: the servers inflate it, all of it anew for each part.
async fn inflated_by_servers(
    shared: &EngineContext,
    account: &Arc<Account>,
    read: &NeedleRead,
    slices: Vec<Slice>,
    version: &mut PartVersion,
    sender: &Sender,
) -> Result<(), FetchError> {
    let lost = || FetchError::Lost(Arc::clone(&read.fid));
    let priority = Priority::new(Urgency::Head);
    let most = (shared.budget.blocks() / 8 * BLOCK).max(BLOCK) as u64;
    // One at a time, so that nobody waits for memory who holds some.
    let places = Arc::new(Semaphore::new(1));
    for slice in slices {
        let mut range = match slice {
            Slice::Chunk(range) => range,
            Slice::Inline(bytes) => {
                sender.handover.push(Part::Bytes(bytes));
                continue;
            }
        };
        while !range.is_empty() {
            let part = range.start..range.end.min(range.start + most);
            range.start = part.end;
            let place = Arc::clone(&places).acquire_owned().await.map_err(|_| lost())?;
            let mut decoder = read.decoder(part.start).await?;
            let len = part.end - part.start;
            let memory = waited_for(shared, account, blocks(len)).await?;
            let wanted = ByteSelection::Range { range: part, size: read.size };
            let part = stored_of(&shared.fetch, read, &wanted, len, &priority, version).await?;
            let NeedleContent::Here { mut bytes, .. } = part else {
                return Err(unopened(read, ContentError::TooMany));
            };
            if let Some(decoder) = &mut decoder {
                decoder.apply(&mut bytes);
            }
            let needle = NeedleBytes::new(memory.buffer(Vec::new()), 0..0);
            let part = PieceInFlight { bytes, _place: Arc::new(place), _memory: needle };
            sender.handover.push(Part::Bytes(Bytes::from_owner(part)));
        }
    }
    Ok(())
}

/// Bytes of a piece, with its place among those that may be on their way, and the memory that was reserved for it.
struct PieceInFlight {
    bytes: Vec<u8>,
    _place: Arc<OwnedSemaphorePermit>,
    _memory: NeedleBytes,
}

impl AsRef<[u8]> for PieceInFlight {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// What most needles that are read whole for their content have less of, in bytes.
const USUAL: u64 = 2 << 20;

/// Reads a needle whole as it is stored, of at most `limit` bytes. Memory is taken for the usual size, and for more when the
/// head of the answer says so.
pub(crate) async fn read(
    shared: &EngineContext,
    account: &Arc<Account>,
    read: &NeedleRead,
    limit: u64,
) -> Result<Bytes, FetchError> {
    let too_large = |size| Err(FetchError::TooLarge { fid: Arc::clone(&read.fid), size, limit });
    let room = (shared.budget.blocks() * BLOCK) as u64;
    let mut longest = USUAL.min(limit).min(room);
    loop {
        shared.budget.has_room(&read.fid, blocks(longest))?;
        let memory = in_line(Arc::clone(account), blocks(longest), LONGEST_WAIT).await?;
        match stored(&shared.fetch, read, &ByteSelection::Needle, longest, &Priority::new(Urgency::Head)).await? {
            NeedleContent::Here { bytes, .. } => return Ok(Bytes::from_owner(memory.buffer(bytes))),
            NeedleContent::Longer(Some(size)) if size > limit => return too_large(size),
            NeedleContent::Longer(Some(size)) => longest = size,
            // It does not say how long it is.
            NeedleContent::Longer(None) if longest >= limit => return too_large(longest + 1),
            NeedleContent::Longer(None) if longest < room => longest = limit.min(room),
            NeedleContent::Longer(None) => longest = limit,
        }
    }
}

/// The bytes that are stored of a needle.
pub(crate) async fn stored_length(shared: &EngineContext, read: &NeedleRead) -> Result<u64, FetchError> {
    match stored(&shared.fetch, read, &ByteSelection::Head, 0, &Priority::new(Urgency::Head)).await? {
        NeedleContent::Longer(Some(length)) => Ok(length),
        NeedleContent::Longer(None) | NeedleContent::Here { .. } => Err(unmeasured(read)),
    }
}

/// A server says no length of what it stores, or sends more than it said.
fn unmeasured(read: &NeedleRead) -> FetchError {
    unopened(read, ContentError::Unmeasured)
}

fn unopened(read: &NeedleRead, reason: ContentError) -> FetchError {
    FetchError::Open { fid: Arc::clone(&read.fid), reason }
}

#[cfg(test)]
mod tests;
