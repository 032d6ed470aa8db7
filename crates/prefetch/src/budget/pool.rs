//! What all downloads share: blocks, those who wait for them, and buffers to use again.

use std::{
    collections::HashMap,
    pin::Pin,
    sync::{Arc, PoisonError, Weak, atomic::Ordering::Relaxed},
    task::{Context, Poll, ready},
    time::Duration,
};

use futures_util::FutureExt;
use prometheus::IntGauge;
use tokio::{
    runtime::Handle,
    sync::oneshot,
    time::{Instant, sleep},
};

use super::floors::{FLOOR, Floors, Holder, Peer};
use crate::{
    Metrics,
    line::{Line, Rank},
    sync::{AtomicUsize, Mutex, MutexGuard},
    urgency::Urgency,
};

/// Bytes in a block.
pub(crate) const BLOCK: usize = 64 << 10;
/// How long blocks are put by for those who wait, before others may have them for as long. What they wait for may be with
/// a client that stalls, and nobody has anything of what is put by meanwhile.
pub(super) const PUTS_BY: Duration = Duration::from_secs(1);
/// Buffers kept for reuse when nobody has needed them for long: 16 MiB.
const KEPT: usize = 256;
/// How long others are kept that nobody needs.
const SPARE: Duration = Duration::from_secs(5);

/// The blocks that hold `bytes`.
pub(crate) fn blocks(bytes: u64) -> usize {
    usize::try_from(bytes.div_ceil(BLOCK as u64)).unwrap_or(usize::MAX)
}

/// How many downloads a budget of `bytes` is for at once.
pub(crate) fn floors(bytes: u64) -> usize {
    divided(bytes).0
}

/// How many floors a budget of `bytes` has, and how many shared blocks.
fn divided(bytes: u64) -> (usize, usize) {
    let blocks = usize::try_from(bytes / BLOCK as u64).unwrap_or(usize::MAX).clamp(2 * FLOOR, u32::MAX as usize);
    let floors = blocks / 2 / FLOOR;
    (floors, blocks - floors * FLOOR)
}

/// The budget.
pub(crate) struct Budget {
    /// One for each download.
    pub(super) floors: Arc<Floors>,
    /// How many shared blocks there are to be.
    shared: AtomicUsize,
    state: Mutex<State>,
    in_use: IntGauge,
}

/// Who waits for shared blocks, and how they are handed over.
type Waiter = (oneshot::Sender<SharedBlocks>, Arc<Holder>);

#[derive(Default)]
struct State {
    /// Shared blocks that there are. More than there are to be where the budget has become smaller, and they are in use; or where
    /// somebody waits for so many since before.
    there: usize,
    /// Of these, those that nobody has.
    free: usize,
    /// Shared blocks that are put by for those who wait.
    put_by: usize,
    /// Whether of an odd number of blocks that come back the odd one is put by.
    puts_odd_by: bool,
    /// Since when somebody has been waiting.
    since: Option<Instant>,
    /// Those who wait for shared blocks, by how many.
    line: Line<usize, Waiter>,
    /// How many shared blocks the downloads of each peer have; never zero.
    held: HashMap<Peer, usize>,
    /// Downloads that run.
    downloads: usize,
    buffers: Vec<Vec<u8>>,
    /// How many of them nobody has needed since it was last looked.
    unneeded: usize,
    /// Whether somebody looks.
    is_swept: bool,
}

impl Budget {
    /// A budget of `bytes`, rounded down to blocks, at least two floors. `metrics` show the bytes of filled blocks. Where others
    /// wait, a download whose client takes less than `least_rate` bytes per second is cut.
    pub(crate) fn new(bytes: u64, least_rate: u64, metrics: &Metrics) -> Arc<Self> {
        let (floors, shared) = divided(bytes);
        let state = State { there: shared, free: shared, ..State::default() };
        Arc::new(Self {
            floors: Floors::new(floors, least_rate, metrics.cuts.clone()),
            shared: AtomicUsize::new(shared),
            state: Mutex::new(state),
            in_use: metrics.buffered.clone(),
        })
    }

    /// From now on it is a budget of `bytes`, and `least_rate`. What is more at once may be used at once. What is less is less
    /// when those who have it give it back: nobody is cut for it.
    pub(crate) fn resize(self: &Arc<Self>, bytes: u64, least_rate: u64) {
        let (floors, shared) = divided(bytes);
        self.floors.resize(floors, least_rate);
        self.shared.store(shared, Relaxed);
        self.state().settle(shared);
        self.serve();
    }

    /// The most that one download may use beyond its floor, in blocks.
    pub(crate) fn blocks(&self) -> usize {
        self.shared.load(Relaxed)
    }

    /// What one download may reckon with now, in bytes: its part of what is shared, or more while much is free.
    pub(crate) fn part(&self) -> u64 {
        let state = self.state();
        let part = (self.blocks() / state.downloads.max(1)).max(state.free / 8);
        (part * BLOCK) as u64
    }

    /// The blocks without which a request for `most` is not worth it, as long as no client waits for it: all of them, or an
    /// eighth of what is shared. Less would soon be all that anybody gets: whatever comes back is gone in pieces of that
    /// size.
    pub(crate) fn useful(&self, most: usize) -> usize {
        most.min((self.blocks() / 8).max(1))
    }

    /// The shared blocks that what lies ahead leaves to heads.
    pub(crate) fn left_to_heads(&self) -> usize {
        self.blocks() / 4
    }

    /// Takes from `least` to `most` shared blocks for `holder`, at least one, as many as are free. `None`: not so many are.
    pub(super) fn take(
        self: &Arc<Self>,
        holder: &Arc<Holder>,
        least: usize,
        most: usize,
        urgency: Urgency,
    ) -> Option<SharedBlocks> {
        let mut state = self.state();
        if !state.puts_by() {
            state.free += std::mem::take(&mut state.put_by);
        }
        let for_heads = match urgency {
            Urgency::Head => 0,
            Urgency::Ahead => self.left_to_heads(),
        };
        let taken = most.min(state.free.saturating_sub(for_heads));
        if taken == 0 || taken < least {
            return None;
        }
        state.free -= taken;
        state.gives(holder.peer, taken);
        drop(state);
        Some(SharedBlocks::new(Arc::clone(self), taken, Arc::clone(holder)))
    }

    /// Lines up for exactly `blocks`, at most [`Budget::blocks`].
    pub(super) fn line_up(self: &Arc<Self>, holder: &Arc<Holder>, blocks: usize) -> SharedTurn {
        let (answer, given) = oneshot::channel();
        let mut state = self.state();
        state.since.get_or_insert_with(Instant::now);
        let rank = state.line.join(blocks, (answer, Arc::clone(holder)));
        // Whoever asked how many there are has asked before it became fewer.
        if blocks > state.there {
            state.settle(self.blocks());
        }
        drop(state);
        self.serve();
        SharedTurn { budget: Arc::clone(self), rank, given }
    }

    /// How many shared blocks are waited for in all.
    pub(super) fn waited_for(&self) -> usize {
        self.state().line.ranks().map(|(blocks, _)| blocks).sum()
    }

    /// Gives those who wait what is there for them.
    pub(super) fn serve(self: &Arc<Self>) {
        loop {
            let Some((blocks, (answer, holder))) = self.state().serve(self.blocks()) else { return };
            // Whoever gave up meanwhile gives them back at once.
            let _ = answer.send(SharedBlocks::new(Arc::clone(self), blocks, holder));
        }
    }

    /// One download more, or one less.
    pub(super) fn download_begins(&self) {
        self.state().downloads += 1;
    }

    pub(super) fn download_ends(&self) {
        self.state().downloads -= 1;
    }

    /// So many bytes of memory are in use now, until [`Budget::unused`].
    pub(super) fn used(&self, blocks: usize) {
        self.in_use.add((blocks * BLOCK) as i64);
    }

    pub(super) fn unused(&self, blocks: usize) {
        self.in_use.sub((blocks * BLOCK) as i64);
    }

    /// The memory of one block.
    pub(super) fn buffer(&self) -> Vec<u8> {
        let mut state = self.state();
        let kept = state.buffers.pop();
        state.unneeded = state.unneeded.min(state.buffers.len());
        drop(state);
        kept.unwrap_or_else(|| vec![0; BLOCK])
    }

    /// Keeps a buffer, to be used again: a new one is cleared, and each page of it a fault. All together they are no more than
    /// were once in use.
    pub(super) fn keep(self: &Arc<Self>, buffer: Vec<u8>) {
        let mut state = self.state();
        if state.buffers.len() >= KEPT && !state.is_swept {
            // Outside of the runtime nobody would take them away again.
            let Ok(runtime) = Handle::try_current() else { return };
            state.is_swept = true;
            runtime.spawn(sweep(Arc::downgrade(self)));
        }
        state.buffers.push(buffer);
    }

    /// Gives back what nobody has needed for a while. `false`: no more is kept than always may be.
    fn shrink(&self) -> bool {
        let mut state = self.state();
        let here = state.buffers.len();
        let kept = (here - state.unneeded.min(here)).max(KEPT).min(here);
        let given_back = state.buffers.split_off(kept);
        state.unneeded = state.buffers.len();
        state.is_swept = state.buffers.len() > KEPT;
        let goes_on = state.is_swept;
        drop(state);
        drop(given_back);
        goes_on
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    #[cfg(not(feature = "shuttle"))]
    pub(super) fn kept(&self) -> usize {
        self.state().buffers.len()
    }

    #[cfg(test)]
    pub(crate) fn free(&self) -> usize {
        self.state().free
    }

    /// Shared blocks that there are.
    #[cfg(test)]
    #[cfg(not(feature = "shuttle"))]
    pub(super) fn there(&self) -> usize {
        self.state().there
    }
}

async fn sweep(budget: Weak<Budget>) {
    loop {
        sleep(SPARE).await;
        let Some(budget) = budget.upgrade() else { return };
        if !budget.shrink() {
            return;
        }
    }
}

impl State {
    /// Whether blocks are put by now: every other [`PUTS_BY`] of those in which somebody waits.
    fn puts_by(&self) -> bool {
        self.since.is_some_and(|since| (since.elapsed().as_millis() / PUTS_BY.as_millis()).is_multiple_of(2))
    }

    /// A peer has so many shared blocks more.
    fn gives(&mut self, peer: Peer, blocks: usize) {
        *self.held.entry(peer).or_default() += blocks;
    }

    /// Has `shared` blocks be there, or as many as are waited for by one: those that are too many as soon as they are free.
    fn settle(&mut self, shared: usize) {
        let waited_for = self.line.ranks().map(|(blocks, _)| blocks).max().unwrap_or(0);
        let wanted = shared.max(waited_for);
        self.free += wanted.saturating_sub(self.there);
        self.there = self.there.max(wanted);
        for free in [&mut self.free, &mut self.put_by] {
            let gone = (self.there - wanted).min(*free);
            *free -= gone;
            self.there -= gone;
        }
    }

    fn release(&mut self, blocks: usize, peer: Peer, shared: usize) {
        if let Some(held) = self.held.get_mut(&peer) {
            *held -= blocks;
            if *held == 0 {
                self.held.remove(&peer);
            }
        }
        self.comes_back(blocks);
        if self.there != shared {
            self.settle(shared);
        }
    }

    fn comes_back(&mut self, blocks: usize) {
        if !self.puts_by() {
            self.free += blocks;
            return;
        }
        let put_by = (blocks + usize::from(self.puts_odd_by)) / 2;
        self.puts_odd_by ^= blocks % 2 == 1;
        self.put_by += put_by;
        self.free += blocks - put_by;
    }

    fn serve(&mut self, shared: usize) -> Option<(usize, Waiter)> {
        // Whoever has waited longest stops the rest of the line only as long as blocks are put by.
        let stops = |blocks: usize| self.puts_by() || blocks <= self.free + self.put_by;
        let longest = self.line.passed_over().filter(|(blocks, _)| stops(*blocks));
        let Some(rank) = longest.or_else(|| self.first(shared)) else {
            self.since = None;
            self.free += std::mem::take(&mut self.put_by);
            return None;
        };
        let (blocks, _) = rank;
        if blocks > self.free + self.put_by {
            return None;
        }
        let put_by = self.put_by.min(blocks);
        self.put_by -= put_by;
        self.free -= blocks - put_by;
        let waiter = self.line.let_in(&rank)?;
        self.gives(waiter.1.peer, blocks);
        Some((blocks, waiter))
    }

    /// Who is first in line, of those whose peer has no more than its part, if there are such.
    fn first(&self, shared: usize) -> Option<Rank<usize>> {
        let part = shared / (self.held.len() + 1);
        let has_more = |(_, holder): &Waiter| self.held.get(&holder.peer).is_some_and(|held| *held > part);
        let poorer = self.line.ranks().find(|rank| self.line.get(rank).is_some_and(|waiter| !has_more(waiter)));
        poorer.or_else(|| self.line.first())
    }
}

/// Shared blocks that somebody has. They come back when this is dropped.
pub(super) struct SharedBlocks {
    budget: Arc<Budget>,
    blocks: usize,
    holder: Arc<Holder>,
}

impl SharedBlocks {
    fn new(budget: Arc<Budget>, blocks: usize, holder: Arc<Holder>) -> Self {
        holder.has_shared(blocks);
        Self { budget, blocks, holder }
    }

    pub(super) fn len(&self) -> usize {
        self.blocks
    }

    /// Takes some of them out.
    pub(super) fn split(&mut self, blocks: usize) -> Self {
        let blocks = blocks.min(self.blocks);
        self.blocks -= blocks;
        Self { budget: Arc::clone(&self.budget), blocks, holder: Arc::clone(&self.holder) }
    }
}

impl Drop for SharedBlocks {
    fn drop(&mut self) {
        if self.blocks > 0 {
            self.holder.gave_shared(self.blocks);
            self.budget.state().release(self.blocks, self.holder.peer, self.budget.blocks());
            self.budget.serve();
        }
    }
}

/// A place in the line for shared blocks; resolves to them. Dropping it gives the place up.
pub(super) struct SharedTurn {
    budget: Arc<Budget>,
    rank: Rank<usize>,
    given: oneshot::Receiver<SharedBlocks>,
}

impl Future for SharedTurn {
    type Output = SharedBlocks;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<SharedBlocks> {
        Poll::Ready(ready!(self.given.poll_unpin(cx)).expect("whoever lines up is served"))
    }
}

impl Drop for SharedTurn {
    fn drop(&mut self) {
        // What was given and not taken comes back with the channel.
        let mut state = self.budget.state();
        let waited = state.line.leave(&self.rank);
        if state.there != self.budget.blocks() {
            state.settle(self.budget.blocks());
        }
        drop(state);
        if waited.is_some() {
            self.budget.serve();
        }
    }
}
