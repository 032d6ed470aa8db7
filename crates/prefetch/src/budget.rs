//! Memory for all downloads together, in blocks of [`BLOCK`] bytes.
//!
//! One half is floors: a download is admitted with [`FLOOR`] blocks that are its own until it ends, so that it can always
//! go on, however full the rest is; who cannot have a floor waits in turn. The other half is shared. Speculation takes
//! from it only what is free at once. The head of a download may wait for it, where a needle can only be read whole; it
//! then holds nothing but its floor, and those who hold shared blocks need nothing more to pass them on, so that nobody
//! waits for ever. The semaphores are fair: no speculation takes what somebody waits for.
//!
//! A block counts from its reservation, before a byte is read, until the last reference to its bytes is dropped, also
//! while the connection to the client still holds it.

use std::{
    sync::{Arc, PoisonError, atomic::Ordering},
    time::Duration,
};

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use prometheus::IntGauge;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    FetchError,
    sync::{AtomicUsize, Mutex},
};

/// Bytes in a block.
pub(crate) const BLOCK: usize = 64 << 10;
/// Blocks that every download has for itself.
pub(crate) const FLOOR: usize = 2;
/// Buffers kept for reuse when nobody needs them: 16 MiB.
const KEPT: usize = 256;

/// How long a read may wait for memory. Whoever has it is reading, or is a client that will be cut.
pub(crate) const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// What `memory` waits for, if it becomes free in time.
pub(crate) async fn in_time<T>(memory: impl Future<Output = T>, longest: Duration) -> Result<T, FetchError> {
    tokio::time::timeout(longest, memory).await.map_err(|_| FetchError::NoMemory)
}

/// The blocks that hold `bytes`.
pub(crate) fn blocks(bytes: u64) -> usize {
    usize::try_from(bytes.div_ceil(BLOCK as u64)).unwrap_or(usize::MAX)
}

/// The budget.
pub(crate) struct Budget {
    floors: Arc<Semaphore>,
    free: Arc<Semaphore>,
    shared: usize,
    kept: Mutex<Vec<Vec<u8>>>,
    in_use: IntGauge,
}

impl Budget {
    /// A budget of `bytes`, rounded down to blocks, at least two floors. `in_use` shows the bytes of filled blocks.
    pub(crate) fn new(bytes: u64, in_use: IntGauge) -> Arc<Self> {
        let blocks = usize::try_from(bytes / BLOCK as u64).unwrap_or(usize::MAX).clamp(2 * FLOOR, u32::MAX as usize);
        let floors = blocks / 2 / FLOOR;
        let shared = blocks - floors * FLOOR;
        Arc::new(Self {
            floors: Arc::new(Semaphore::new(floors)),
            free: Arc::new(Semaphore::new(shared)),
            shared,
            kept: Mutex::new(Vec::new()),
            in_use,
        })
    }

    /// Waits until a floor is free and takes it.
    pub(crate) async fn admit(self: &Arc<Self>) -> Arc<Purse> {
        let floor = Arc::clone(&self.floors).acquire_owned().await.expect("the semaphore is never closed");
        Arc::new(Purse {
            budget: Arc::clone(self),
            _floor: floor,
            floor_free: AtomicUsize::new(FLOOR),
            returned: AtomicWaker::new(),
        })
    }

    /// The most that one download may use beyond its floor, in blocks.
    pub(crate) fn blocks(&self) -> usize {
        self.shared
    }

    fn buffer(&self) -> Vec<u8> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner).pop();
        kept.unwrap_or_else(|| vec![0; BLOCK])
    }

    fn keep(&self, buffer: Vec<u8>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < KEPT {
            kept.push(buffer);
        }
    }
}

/// What one download has of the budget.
pub(crate) struct Purse {
    budget: Arc<Budget>,
    _floor: OwnedSemaphorePermit,
    floor_free: AtomicUsize,
    returned: AtomicWaker,
}

impl Purse {
    /// Takes up to `want` blocks that are free right now; with `head`, the client waits for these bytes and the floor is
    /// used where the rest of the budget has nothing. `None`: nothing is free; a head is woken through
    /// [`Purse::wake_on_return`] when its floor comes back.
    pub(crate) fn take(self: &Arc<Self>, want: usize, head: bool) -> Option<Allotment> {
        let mut ask = want.min(self.budget.free.available_permits());
        while ask > 0 {
            let asked = u32::try_from(ask).unwrap_or(u32::MAX);
            if let Ok(shared) = Arc::clone(&self.budget.free).try_acquire_many_owned(asked) {
                return Some(Allotment { purse: Arc::clone(self), shared: Some(shared), floor: 0 });
            }
            ask /= 2;
        }
        if !head {
            return None;
        }
        let mut floor = 0;
        let _ = self.floor_free.fetch_update(Ordering::AcqRel, Ordering::Acquire, |free| {
            floor = free.min(want);
            (floor > 0).then_some(free - floor)
        });
        (floor > 0).then(|| Allotment { purse: Arc::clone(self), shared: None, floor })
    }

    /// Takes exactly `blocks`, if they are free right now.
    pub(crate) fn take_exactly(self: &Arc<Self>, blocks: usize) -> Option<Allotment> {
        let blocks = u32::try_from(blocks).ok()?;
        let shared = Arc::clone(&self.budget.free).try_acquire_many_owned(blocks).ok()?;
        Some(Allotment { purse: Arc::clone(self), shared: Some(shared), floor: 0 })
    }

    /// Waits for exactly `blocks`, at most [`Budget::blocks`], before any speculation of others. Only for one who holds
    /// no shared blocks.
    pub(crate) async fn wait_for(self: &Arc<Self>, blocks: usize) -> Allotment {
        let blocks = u32::try_from(blocks).unwrap_or(u32::MAX);
        let shared = Arc::clone(&self.budget.free).acquire_many_owned(blocks).await;
        let shared = shared.expect("the semaphore is never closed");
        Allotment { purse: Arc::clone(self), shared: Some(shared), floor: 0 }
    }

    /// The waker is called once when a floor block comes back.
    pub(crate) fn wake_on_return(&self, waker: &std::task::Waker) {
        self.returned.register(waker);
    }

    fn give_back_floor(&self, blocks: usize) {
        if blocks > 0 {
            self.floor_free.fetch_add(blocks, Ordering::AcqRel);
            self.returned.wake();
        }
    }
}

/// Blocks that are reserved and not yet filled.
pub(crate) struct Allotment {
    purse: Arc<Purse>,
    shared: Option<OwnedSemaphorePermit>,
    floor: usize,
}

impl Allotment {
    /// The blocks that are left.
    pub(crate) fn blocks(&self) -> usize {
        self.shared.as_ref().map_or(0, OwnedSemaphorePermit::num_permits) + self.floor
    }

    /// Gives the blocks beyond `blocks` back.
    pub(crate) fn shrink(&mut self, blocks: usize) {
        let excess = self.blocks().saturating_sub(blocks);
        if let Some(shared) = &mut self.shared {
            drop(shared.split(excess.min(shared.num_permits())));
        } else if excess > 0 {
            self.floor -= excess;
            self.purse.give_back_floor(excess);
        }
    }

    /// Takes one block to fill.
    ///
    /// # Panics
    /// When none is left: whoever cut the span reserved too little.
    pub(crate) fn block(&mut self) -> Block {
        let share = if let Some(one) = self.shared.as_mut().and_then(|shared| shared.split(1)) {
            Share { floor: false, _permit: Some(one), purse: Arc::clone(&self.purse) }
        } else {
            assert!(self.floor > 0, "a fetch filled more blocks than it reserved");
            self.floor -= 1;
            Share { floor: true, _permit: None, purse: Arc::clone(&self.purse) }
        };
        let budget = &self.purse.budget;
        budget.in_use.add(BLOCK as i64);
        Block { buffer: budget.buffer(), filled: 0, share }
    }

    /// Turns everything that is left into the reservation of one large buffer.
    pub(crate) fn whole(self, buffer: Vec<u8>) -> Whole {
        self.purse.budget.in_use.add((self.blocks() * BLOCK) as i64);
        Whole { buffer, allotment: self }
    }
}

impl Drop for Allotment {
    fn drop(&mut self) {
        self.purse.give_back_floor(self.floor);
    }
}

/// One block's claim on the budget.
struct Share {
    floor: bool,
    _permit: Option<OwnedSemaphorePermit>,
    purse: Arc<Purse>,
}

/// A block that is being filled.
pub(crate) struct Block {
    buffer: Vec<u8>,
    filled: usize,
    share: Share,
}

impl Block {
    /// The part that can still be written.
    pub(crate) fn spare(&mut self) -> &mut [u8] {
        &mut self.buffer[self.filled..]
    }

    /// Says that `bytes` of the spare part were written.
    pub(crate) fn advance(&mut self, bytes: usize) {
        self.filled += bytes;
    }

    /// Bytes written so far.
    pub(crate) fn filled(&self) -> &[u8] {
        &self.buffer[..self.filled]
    }

    /// Forgets what was written, to be filled anew.
    pub(crate) fn clear(&mut self) {
        self.filled = 0;
    }

    /// The written bytes, to be passed on. The block returns to the budget with the last reference.
    pub(crate) fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Block {
    fn as_ref(&self) -> &[u8] {
        self.filled()
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        let purse = &self.share.purse;
        purse.budget.in_use.sub(BLOCK as i64);
        purse.budget.keep(std::mem::take(&mut self.buffer));
        if self.share.floor {
            purse.give_back_floor(1);
        }
    }
}

/// A buffer of any size with the reservation that covers it.
pub(crate) struct Whole {
    buffer: Vec<u8>,
    allotment: Allotment,
}

impl AsRef<[u8]> for Whole {
    fn as_ref(&self) -> &[u8] {
        &self.buffer
    }
}

impl Drop for Whole {
    fn drop(&mut self) {
        self.allotment.purse.budget.in_use.sub((self.allotment.blocks() * BLOCK) as i64);
    }
}

#[cfg(test)]
#[cfg(not(feature = "shuttle"))]
mod tests {
    use super::*;

    /// With `shared` blocks, and as many for floors.
    fn budget(shared: usize) -> (Arc<Budget>, IntGauge) {
        let gauge = IntGauge::new("in_use", "bytes").unwrap();
        (Budget::new((2 * shared * BLOCK) as u64, gauge.clone()), gauge)
    }

    #[tokio::test]
    async fn a_head_falls_back_on_its_floor_and_speculation_does_not() {
        let (budget, _) = budget(2 * FLOOR);
        let purse = budget.admit().await;
        let all = purse.take(10, false).unwrap();
        assert_eq!(all.blocks(), 2 * FLOOR);
        assert!(purse.take(1, false).is_none());
        let floor = purse.take(10, true).unwrap();
        assert_eq!(floor.blocks(), FLOOR);
        assert!(purse.take(1, true).is_none());
        drop(floor);
        assert_eq!(purse.take(1, true).unwrap().blocks(), 1);
    }

    #[tokio::test]
    async fn a_block_counts_until_its_last_reference_is_gone() {
        let (budget, gauge) = budget(2);
        let purse = budget.admit().await;
        let mut allotment = purse.take(2, false).unwrap();
        allotment.shrink(1);
        let mut block = allotment.block();
        block.spare()[..3].copy_from_slice(b"abc");
        block.advance(3);
        let bytes = block.freeze();
        let slice = bytes.slice(1..);
        drop((bytes, allotment));
        assert_eq!(gauge.get(), BLOCK as i64);
        assert_eq!(budget.free.available_permits(), 1);
        drop(slice);
        assert_eq!(gauge.get(), 0);
        assert_eq!(budget.free.available_permits(), 2);
    }

    #[tokio::test]
    async fn who_waits_goes_before_speculation() {
        let (budget, _) = budget(2 * FLOOR);
        let (first, second) = (budget.admit().await, budget.admit().await);
        let held = first.take(1, false).unwrap();
        let mut all = std::pin::pin!(second.wait_for(2 * FLOOR));
        assert!(futures_util::poll!(all.as_mut()).is_pending());
        assert!(first.take(1, false).is_none(), "the free blocks are promised to the one who waits");
        assert!(first.take_exactly(1).is_none());
        drop(held);
        assert!(futures_util::poll!(all.as_mut()).is_ready());
    }

    #[tokio::test]
    async fn half_of_the_memory_at_most_is_floors() {
        let (budget, _) = budget(2 * FLOOR);
        let purses = [budget.admit().await, budget.admit().await];
        let mut third = std::pin::pin!(budget.admit());
        assert!(futures_util::poll!(third.as_mut()).is_pending());
        drop(purses);
        assert!(futures_util::poll!(third.as_mut()).is_ready());
    }

    #[tokio::test]
    async fn shrinking_gives_back_what_is_not_needed() {
        let (budget, _) = budget(8);
        let purse = budget.admit().await;
        let mut allotment = purse.take(8, false).unwrap();
        allotment.shrink(3);
        assert_eq!((allotment.blocks(), budget.free.available_permits()), (3, 5));
    }
}

#[cfg(test)]
#[cfg(feature = "shuttle")]
mod shuttle_tests {
    use shuttle::{future::block_on, thread};

    use super::*;

    /// Downloads that fetch ahead, fall back on their floors and wait for whole chunks, all at once on a budget that is too
    /// small for them: none waits for ever, none gets more than there is, and everything comes back.
    #[test]
    fn shuttle_everybody_gets_on_and_everything_comes_back() {
        shuttle::check_random(
            || {
                let gauge = IntGauge::new("in_use", "bytes").unwrap();
                let total = 4 * FLOOR * BLOCK;
                let budget = Budget::new(total as u64, gauge.clone());
                let downloads: Vec<_> = (0..3)
                    .map(|index| {
                        let (budget, gauge) = (Arc::clone(&budget), gauge.clone());
                        thread::spawn(move || {
                            let purse = block_on(budget.admit());
                            for round in 0..3 {
                                let mut held = Vec::new();
                                if (index + round) % 3 == 0 {
                                    held.push(
                                        block_on(purse.wait_for(budget.blocks())).whole(vec![0; 8]).as_ref().to_vec(),
                                    );
                                } else if let Some(mut allotment) = purse.take(3, true) {
                                    while allotment.blocks() > 0 {
                                        let bytes = allotment.block().freeze();
                                        assert!(gauge.get() <= total as i64);
                                        thread::yield_now();
                                        drop(bytes);
                                    }
                                }
                                drop(purse.take(1, false));
                            }
                        })
                    })
                    .collect();
                downloads.into_iter().for_each(|download| download.join().unwrap());
                assert_eq!(gauge.get(), 0);
                assert_eq!(budget.free.available_permits(), budget.shared);
                assert_eq!(budget.floors.available_permits(), 2);
            },
            300,
        );
    }
}
