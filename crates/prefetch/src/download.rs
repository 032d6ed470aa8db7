//! The ordered stream of one answer's bytes, and the one place that starts fetches.
//!
//! Fetches are started only while the client asks for bytes: a client that stops reading stops the fetching, and no
//! request is opened that nobody is about to drain. What is on its way is drained into its reservation at the
//! network's speed.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_core::Stream;
use tokio::{task::AbortHandle, time::Instant};

use crate::{
    FetchError, NeedleRead, Plan, Start,
    budget::{BLOCK, Purse, blocks},
    checksum::Checksum,
    engine::Shared,
    fetch::{self, Job, Sink},
    lane::{Found, Lane, Running, Sender},
    plan::{Slice, Step, left},
    whole::{self, Memory},
    window::Window,
};

/// The bytes of a plan, in order. Ends with an error, or after exactly [`Plan::len`] bytes. Dropping it ends its fetches.
pub struct Download {
    shared: Arc<Shared>,
    purse: Arc<Purse>,
    pieces: VecDeque<Step>,
    slots: VecDeque<Slot>,
    /// Of the first of `pieces`, where it is a chunk that is read in full.
    checksum: Option<Arc<Checksum>>,
    window: Window,
    /// Fetches in `slots`.
    fetches: usize,
    /// Those of them that have not ended.
    running: Arc<Running>,
    /// Bytes of memory that `slots` hold and that were not delivered yet.
    outstanding: u64,
    /// Whether the next wait is the first one, which says nothing about the window.
    fresh: bool,
    /// Bytes of the whole download that were not delivered yet.
    remaining: u64,
    first: Option<Bytes>,
    failed: bool,
}

/// Something at its place in the order.
enum Slot {
    Zeros(u64),
    Inline(Bytes),
    Fetch(Fetching),
}

/// A span on its way.
struct Fetching {
    fid: Arc<str>,
    left: u64,
    /// Bytes of memory that are reserved for what is left.
    reserved: u64,
    asked: Instant,
    /// Whether the client has come to it.
    reached: bool,
    lane: Arc<Lane>,
    task: AbortHandle,
}

impl Drop for Download {
    fn drop(&mut self) {
        if let Some(window) = self.window.automatic() {
            self.shared.metrics.window.observe(window as f64);
            self.shared.experience.note(&self.window, self.remaining);
        }
    }
}

impl Drop for Fetching {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A chunk of up to this many bytes is held back until its checksum is known, so that one that arrives wrong can always be
/// had from another replica. Of a larger one the client would feel the wait.
const HELD: u64 = 1 << 20;

/// What holes are made of.
static ZEROS: [u8; BLOCK] = [0; BLOCK];

impl Download {
    pub(crate) fn new(shared: Arc<Shared>, purse: Arc<Purse>, plan: Plan) -> Self {
        let memory = (shared.budget.blocks() * BLOCK) as u64 / 2;
        let window = Window::new(shared.settings.window, memory, &shared.experience);
        let remaining = plan.len();
        Self {
            shared,
            purse,
            pieces: plan.pieces,
            slots: VecDeque::new(),
            checksum: None,
            window,
            fetches: 0,
            running: Arc::default(),
            outstanding: 0,
            fresh: true,
            remaining,
            first: None,
            failed: false,
        }
    }

    /// Waits for the first bytes, which are then given by the stream.
    pub(crate) async fn begin(&mut self) -> Result<(), FetchError> {
        self.first = std::future::poll_fn(|cx| self.poll_bytes(cx)).await.transpose()?;
        Ok(())
    }

    /// Bytes that the stream has still to give.
    pub fn remaining(&self) -> u64 {
        self.remaining + self.first.as_ref().map_or(0, |first| first.len() as u64)
    }

    fn poll_bytes(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, FetchError>>> {
        loop {
            self.fetch_ahead();
            let Some(head) = self.slots.front_mut() else {
                if self.remaining == 0 {
                    return Poll::Ready(None);
                }
                // All the memory of this download is on its way to the client, or its last fetch is about to end.
                self.purse.wake_on_return(cx.waker());
                self.running.wake_on_end(cx.waker());
                self.fetch_ahead();
                if self.slots.is_empty() {
                    return Poll::Pending;
                }
                continue;
            };
            let bytes = match head {
                Slot::Zeros(left) => {
                    let bytes = Bytes::from_static(&ZEROS).slice(..(*left).min(BLOCK as u64) as usize);
                    *left -= bytes.len() as u64;
                    if *left == 0 {
                        self.slots.pop_front();
                    }
                    bytes
                }
                Slot::Inline(bytes) => {
                    let bytes = std::mem::take(bytes);
                    self.slots.pop_front();
                    bytes
                }
                Slot::Fetch(fetching) => {
                    let reached = std::mem::replace(&mut fetching.reached, true);
                    let Poll::Ready(found) = fetching.lane.poll(cx) else {
                        if self.window.automatic().is_none() {
                            // It has room again when a fetch ends, whichever it is.
                            self.running.wake_on_end(cx.waker());
                            self.fetch_ahead();
                        } else if !reached && !std::mem::take(&mut self.fresh) {
                            self.window.client_waited();
                            self.fetch_ahead();
                        }
                        return Poll::Pending;
                    };
                    match found {
                        Found::Bytes(bytes) if bytes.len() as u64 <= fetching.left => {
                            let len = bytes.len() as u64;
                            fetching.left -= len;
                            fetching.reserved -= len;
                            self.outstanding -= len;
                            self.window.delivered(len);
                            bytes
                        }
                        Found::End(at) if fetching.left == 0 => {
                            if let Some(begun) = fetching.lane.begun() {
                                self.window.arrived(begun - fetching.asked);
                            }
                            self.window.lay_unread(at.elapsed());
                            self.outstanding -= fetching.reserved;
                            self.fetches -= 1;
                            self.slots.pop_front();
                            continue;
                        }
                        Found::Failed(error) => return Poll::Ready(Some(Err(self.fail(error)))),
                        Found::Bytes(_) | Found::End(_) => {
                            let lost = FetchError::Lost(Arc::clone(&fetching.fid));
                            return Poll::Ready(Some(Err(self.fail(lost))));
                        }
                    }
                }
            };
            self.remaining -= bytes.len() as u64;
            return Poll::Ready(Some(Ok(bytes)));
        }
    }

    fn fail(&mut self, error: FetchError) -> FetchError {
        self.failed = true;
        self.slots.clear();
        self.pieces.clear();
        error
    }

    /// Starts what the window and the memory allow.
    fn fetch_ahead(&mut self) {
        while let Some(piece) = self.pieces.front_mut() {
            match piece {
                Step::Zeros(len) => {
                    let len = *len;
                    self.slots.push_back(Slot::Zeros(len));
                    self.pieces.pop_front();
                }
                Step::Inline(bytes) => {
                    let bytes = std::mem::take(bytes);
                    self.slots.push_back(Slot::Inline(bytes));
                    self.pieces.pop_front();
                }
                Step::Needle { read, then } => {
                    // What is here needs no fetch ahead: it is decoded when the client comes to it.
                    let here = self.slots.is_empty().then(|| held(&self.shared, &self.purse, read)).flatten();
                    if let Some(bytes) = here {
                        // What was fetched of the chunk before can no longer be put together to a whole.
                        if let Some(checksum) = self.checksum.take() {
                            checksum.give_up();
                        }
                        read.start += bytes.len() as u64;
                        if read.start == read.end {
                            self.pieces.pop_front();
                        }
                        self.slots.push_back(Slot::Inline(bytes));
                        return;
                    }
                    if !self.window.has_room(self.running.fetches(), self.fetches, self.outstanding) {
                        return;
                    }
                    if read.start == 0 {
                        let is_whole = read.end == read.size && !read.is_gzip();
                        self.checksum =
                            (is_whole && self.shared.settings.verify).then(|| Arc::new(Checksum::new(read.size)));
                    }
                    let head = self.slots.is_empty();
                    let checksum = self.checksum.clone();
                    let ahead = Ahead { window: &self.window, running: &self.running, head };
                    let Some(fetching) = start(&self.shared, &self.purse, read, then, checksum, &ahead) else {
                        self.shared.metrics.memory_was_short("ahead");
                        self.window.memory_was_short();
                        return;
                    };
                    read.start += fetching.left;
                    // What is opened is fetched at once, with all that is cut out of it.
                    if read.start == read.end || read.opener.is_some() {
                        self.checksum = None;
                        self.pieces.pop_front();
                    }
                    self.outstanding += fetching.reserved;
                    self.fetches += 1;
                    self.slots.push_back(Slot::Fetch(fetching));
                }
            }
        }
    }
}

/// The next block of `read`, decoded, if the needle is in memory. `None`: it is not, or there is no memory for the block.
fn held(shared: &Shared, purse: &Arc<Purse>, read: &NeedleRead) -> Option<Bytes> {
    if read.opener.is_some() {
        return None;
    }
    let stored = shared.upstream.held(&read.fid).filter(|stored| stored.len() as u64 == read.size)?;
    let end = read.end.min(read.start + BLOCK as u64);
    let stored = &stored[read.start as usize..end as usize];
    // One that is to be waited for takes the way of a fetch.
    let decoder = match read.transform.as_ref().map(|transform| transform.start(read.start)) {
        None => None,
        Some(Start::Now(decoder)) => Some(decoder),
        Some(Start::Later(_)) => return None,
    };
    let mut block = purse.take(1, true)?.block();
    let spare = &mut block.spare()[..stored.len()];
    match decoder {
        Some(mut decoder) => decoder.copy(stored, spare),
        None => spare.copy_from_slice(stored),
    }
    block.advance(stored.len());
    Some(block.freeze())
}

/// What a download says of the fetch that it starts.
struct Ahead<'a> {
    window: &'a Window,
    running: &'a Arc<Running>,
    /// Whether the client waits for it.
    head: bool,
}

/// Starts the next span of `read`, and of what comes with it. `None`: there is no memory.
fn start(
    shared: &Arc<Shared>,
    purse: &Arc<Purse>,
    read: &NeedleRead,
    then: &[Slice],
    checksum: Option<Arc<Checksum>>,
    ahead: &Ahead<'_>,
) -> Option<Fetching> {
    let sender = |lane: &Arc<Lane>| Sender::new(Arc::clone(lane), Arc::clone(&read.fid), Arc::clone(ahead.running));
    let lane = Arc::<Lane>::default();
    let left = left(read, then);
    let (task, left, reserved) = if read.opener.is_some() {
        let memory = Memory::take(purse, read, ahead.head)?;
        let (shared, purse) = (Arc::clone(shared), Arc::clone(purse));
        let run = whole::run(shared, purse, memory, read.clone(), then.to_vec(), sender(&lane));
        // What is cut out of a chunk may be more than the chunk.
        (tokio::spawn(run), left, left.max((whole::blocks_to_open(read) * BLOCK) as u64))
    } else {
        let want = ahead.window.span(left);
        let mut allotment = purse.take(blocks(want), ahead.head)?;
        let len = want.min((allotment.blocks() * BLOCK) as u64);
        allotment.shrink(blocks(len));
        let reserved = (allotment.blocks() * BLOCK) as u64;
        let hold = checksum.is_some() && len == read.size && len <= HELD;
        let sink = Sink::new(len, hold, allotment, sender(&lane));
        let job = Job { read: read.clone(), span: read.start..read.start + len, checksum };
        (tokio::spawn(fetch::run(Arc::clone(shared), job, sink)), len, reserved)
    };
    let task = task.abort_handle();
    Some(Fetching { fid: Arc::clone(&read.fid), left, reserved, asked: Instant::now(), reached: false, lane, task })
}

impl Stream for Download {
    type Item = Result<Bytes, FetchError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(first)));
        }
        if self.failed {
            return Poll::Ready(None);
        }
        self.poll_bytes(cx)
    }
}

#[cfg(test)]
mod late_keys;
#[cfg(test)]
mod machine;
#[cfg(test)]
mod tests;
