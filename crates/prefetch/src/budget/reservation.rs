//! Blocks that were reserved before a request is sent, and the memory that they become.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_util::FutureExt;

use super::{
    account::{Account, FloorBlocks},
    floors::FLOOR,
    pool::{SharedBlocks, SharedTurn},
};
use crate::urgency::Urgency;

/// What blocks belong to, and come back to.
enum Source {
    /// What all downloads share.
    Shared(SharedBlocks),
    /// The download's own.
    Floor(FloorBlocks),
}

impl Source {
    fn len(&self) -> usize {
        match self {
            Self::Shared(blocks) => blocks.len(),
            Self::Floor(blocks) => blocks.len(),
        }
    }

    fn split(&mut self, blocks: usize) -> Self {
        match self {
            Self::Shared(shared) => Self::Shared(shared.split(blocks)),
            Self::Floor(floor) => Self::Floor(floor.split(blocks)),
        }
    }
}

/// Blocks of one source that are reserved and not yet filled.
pub(crate) struct Reservation {
    account: Arc<Account>,
    source: Source,
}

impl Reservation {
    /// Takes from `least` to `most` blocks, at least one, that are free right now. A head has its floor where the rest of
    /// the budget has no more than that. `None`: not so many are free; who waits for the floor is woken through
    /// [`Account::wake_on_return`] when some of it comes back.
    pub(crate) fn take(account: &Arc<Account>, least: usize, most: usize, urgency: Urgency) -> Option<Self> {
        let shared = |least| account.budget.take(account.holder(), least, most, urgency).map(Source::Shared);
        let floor = || account.take(least, most).map(Source::Floor);
        let source = match urgency {
            Urgency::Ahead => shared(least),
            Urgency::Head => shared(least.max(most.min(FLOOR + 1))).or_else(floor).or_else(|| shared(least)),
        };
        source.map(|source| Self { account: Arc::clone(account), source })
    }

    /// Lines up for exactly `blocks`, at most [`super::Budget::blocks`], of what is shared: who wants little goes first.
    /// Only for the head of a download that holds no shared blocks but those that are on their way to the client.
    pub(crate) fn line_up(account: &Arc<Account>, blocks: usize) -> Turn {
        Turn { account: Arc::clone(account), turn: account.budget.line_up(account.holder(), blocks) }
    }

    /// The blocks that are left.
    pub(crate) fn blocks(&self) -> usize {
        self.source.len()
    }

    /// Gives the blocks beyond `blocks` back.
    pub(crate) fn shrink(&mut self, blocks: usize) {
        let excess = self.blocks().saturating_sub(blocks);
        drop(self.source.split(excess));
    }

    /// Gives all blocks back. Whose they were.
    pub(crate) fn give_back(self) -> Arc<Account> {
        self.account
    }

    /// Takes one block to fill.
    ///
    /// # Panics
    /// When none is left: whoever cut the span reserved too little.
    pub(crate) fn block(&mut self) -> Block {
        let source = self.source.split(1);
        assert!(source.len() == 1, "a fetch filled more blocks than it reserved");
        self.account.budget.used(1);
        Block { bytes: self.account.budget.buffer(), filled: 0, account: Arc::clone(&self.account), _source: source }
    }

    /// One block more, if one is free for what the client waits for.
    pub(crate) fn one_more(&self) -> Option<Block> {
        Self::take(&self.account, 1, 1, Urgency::Head).map(|mut one| one.block())
    }

    /// Turns everything that is left into the reservation of one large buffer.
    pub(crate) fn buffer(self, bytes: Vec<u8>) -> Buffer {
        self.account.budget.used(self.blocks());
        Buffer { bytes, reservation: self }
    }
}

/// A place in the line for shared blocks; resolves to them. Dropping it gives the place up.
pub(crate) struct Turn {
    account: Arc<Account>,
    turn: SharedTurn,
}

impl Future for Turn {
    type Output = Reservation;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Reservation> {
        let blocks = ready!(self.turn.poll_unpin(cx));
        Poll::Ready(Reservation { account: Arc::clone(&self.account), source: Source::Shared(blocks) })
    }
}

/// A block that is being filled.
pub(crate) struct Block {
    bytes: Vec<u8>,
    filled: usize,
    account: Arc<Account>,
    _source: Source,
}

impl Block {
    /// The part that can still be written.
    pub(crate) fn spare(&mut self) -> &mut [u8] {
        &mut self.bytes[self.filled..]
    }

    /// Says that `bytes` of the spare part were written.
    pub(crate) fn advance(&mut self, bytes: usize) {
        self.filled += bytes;
    }

    /// Bytes written so far.
    pub(crate) fn filled(&self) -> &[u8] {
        &self.bytes[..self.filled]
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
        self.account.budget.unused(1);
        self.account.budget.keep(std::mem::take(&mut self.bytes));
    }
}

/// A buffer of any size with the reservation that covers it.
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    reservation: Reservation,
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.reservation.account.budget.unused(self.reservation.blocks());
    }
}
