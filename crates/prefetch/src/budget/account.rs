//! One download's floor.

use std::{
    sync::{Arc, atomic::Ordering},
    task::Waker,
};

use super::{
    floors::{FLOOR, Floor, Holder},
    pool::Budget,
};
use crate::{
    share::Share,
    sync::{AtomicUsize, AtomicWaker},
};

impl Budget {
    /// Waits until a floor is free for that peer and takes it.
    pub(crate) fn admit(self: &Arc<Self>, share: &Share) -> impl Future<Output = Arc<Account>> + use<> {
        let (budget, turn) = (Arc::clone(self), self.floors.line_up(share));
        async move {
            let floor = turn.await;
            budget.download_begins();
            Arc::new(Account { budget, floor, free: AtomicUsize::new(FLOOR), returned: AtomicWaker::default() })
        }
    }
}

impl Budget {
    /// Has downloads cut for those who have waited for a floor for too long. To be called by whoever waits, every
    /// [`LOOKS`](super::LOOKS).
    pub(crate) fn relieve(&self) {
        self.floors.relieve();
    }
}

/// What one download has of the budget for itself, until it and its last block are gone.
pub(crate) struct Account {
    pub(super) budget: Arc<Budget>,
    floor: Floor,
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

    /// The same as [`Budget::relieve`] for this download, which has waited for so many shared blocks for too long.
    pub(super) fn relieve(&self, wants: usize) {
        self.budget.floors.relieve_shared(&self.floor.holder, wants, self.budget.waited_for());
    }

    pub(super) fn holder(&self) -> &Arc<Holder> {
        &self.floor.holder
    }

    /// The client has taken so many bytes.
    pub(crate) fn client_takes(&self, bytes: u64) {
        self.floor.holder.meter.takes(bytes);
    }

    /// The client has taken all there is, and waits for more.
    pub(crate) fn client_waits(&self) {
        self.floor.holder.meter.waits();
    }

    /// What it waits for is memory that is with the client: of what the client has been given it has not read all.
    pub(crate) fn client_holds(&self) {
        self.floor.holder.meter.holds();
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
