//! One download's floor.

use std::{
    sync::{Arc, atomic::Ordering},
    task::Waker,
};

use prometheus::IntGauge;
use tokio::sync::OwnedSemaphorePermit;

use super::pool::Budget;
use crate::sync::{AtomicUsize, AtomicWaker};

/// Blocks that every download has for itself.
pub(crate) const FLOOR: usize = 2;

impl Budget {
    /// A budget of `bytes`, rounded down to blocks, at least two floors. `in_use` shows the bytes of filled blocks.
    pub(crate) fn new(bytes: u64, in_use: IntGauge) -> Arc<Self> {
        Self::with_floors(bytes, FLOOR, in_use)
    }

    /// Waits until a floor is free and takes it.
    pub(crate) async fn admit(self: &Arc<Self>) -> Arc<Account> {
        let floor = Arc::clone(&self.floors).acquire_owned().await.expect("the semaphore is never closed");
        self.download_begins();
        Arc::new(Account {
            budget: Arc::clone(self),
            _floor: floor,
            free: AtomicUsize::new(FLOOR),
            returned: AtomicWaker::default(),
        })
    }
}

/// What one download has of the budget for itself, until it and its last block are gone.
pub(crate) struct Account {
    pub(super) budget: Arc<Budget>,
    _floor: OwnedSemaphorePermit,
    /// Blocks of the floor that are free.
    free: AtomicUsize,
    returned: AtomicWaker,
}

impl Account {
    /// Takes from `least` to `most` blocks of the floor, at least one. `None`: not so many are free.
    pub(super) fn take(self: &Arc<Self>, least: usize, most: usize) -> Option<FloorBlocks> {
        let mut taken = 0;
        let fits = |free: usize| {
            taken = free.min(most);
            (taken > 0 && taken >= least).then(|| free - taken)
        };
        self.free.fetch_update(Ordering::AcqRel, Ordering::Acquire, fits).ok()?;
        Some(FloorBlocks { account: Arc::clone(self), blocks: taken })
    }

    /// The waker is called once when a floor block comes back.
    pub(crate) fn wake_on_return(&self, waker: &Waker) {
        self.returned.register(waker);
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        self.budget.download_ends();
    }
}

/// Blocks of a floor that are taken. They come back when this is dropped.
pub(super) struct FloorBlocks {
    account: Arc<Account>,
    blocks: usize,
}

impl FloorBlocks {
    pub(super) fn len(&self) -> usize {
        self.blocks
    }

    /// Takes some of them out.
    pub(super) fn split(&mut self, blocks: usize) -> Self {
        let blocks = blocks.min(self.blocks);
        self.blocks -= blocks;
        Self { account: Arc::clone(&self.account), blocks }
    }
}

impl Drop for FloorBlocks {
    fn drop(&mut self) {
        if self.blocks > 0 {
            self.account.free.fetch_add(self.blocks, Ordering::AcqRel);
            self.account.returned.wake();
        }
    }
}
