//! The memory that request headers take which nobody has answered yet.
//!
//! hyper keeps a request's header as it arrived until the answer is out, and a client may take its time with it. So the
//! bytes are counted, of all connections together. The first [`FREE`] of each are its own: what an ordinary client sends
//! always has room.
//!
//! Knows numbers. Must not know HTTP.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

/// What every connection may hold without asking, bytes.
const FREE: usize = 8 << 10;

/// The bytes that all may hold together beyond what is free. Clones are the same.
#[derive(Clone)]
pub(super) struct HeadBudget(Arc<Budget>);

struct Budget {
    most: AtomicUsize,
    held: AtomicUsize,
}

impl HeadBudget {
    /// Of `most` bytes.
    pub(super) fn new(most: usize) -> Self {
        Self(Arc::new(Budget { most: AtomicUsize::new(most), held: AtomicUsize::new(0) }))
    }

    /// From now on of so many. What is held stays held.
    pub(super) fn resize(&self, most: usize) {
        self.0.most.store(most, Relaxed);
    }

    fn take(&self, bytes: usize) -> bool {
        let most = self.0.most.load(Relaxed);
        let room = |held: usize| held.checked_add(bytes).filter(|held| *held <= most);
        self.0.held.fetch_update(Relaxed, Relaxed, room).is_ok()
    }
}

/// What one connection, or one of its requests, holds. Given back when it is dropped.
pub(super) struct Heads {
    budget: HeadBudget,
    /// So many are its own, bytes.
    free: usize,
    /// All of them, bytes.
    bytes: AtomicUsize,
    /// Of these, taken from the budget.
    taken: AtomicUsize,
}

impl Heads {
    /// Of a connection, where one header is read at a time.
    pub(super) fn of_connection(budget: &HeadBudget) -> Self {
        Self::new(budget, FREE)
    }

    /// Of one request beside others on a connection.
    pub(super) fn of_stream(budget: &HeadBudget) -> Self {
        Self::new(budget, 0)
    }

    fn new(budget: &HeadBudget, free: usize) -> Self {
        Self { budget: budget.clone(), free, bytes: AtomicUsize::new(0), taken: AtomicUsize::new(0) }
    }

    /// Nothing of a header has come.
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.load(Relaxed) == 0
    }

    /// Holds so many bytes more. `false`: there is no room for them.
    ///
    /// Only one at a time adds: a connection is read by one task.
    pub(super) fn add(&self, bytes: usize) -> bool {
        let beyond = (self.bytes.fetch_add(bytes, Relaxed) + bytes).saturating_sub(self.free);
        let more = beyond.saturating_sub(self.taken.load(Relaxed));
        if more > 0 {
            if !self.budget.take(more) {
                return false;
            }
            self.taken.fetch_add(more, Relaxed);
        }
        true
    }

    /// Holds nothing any more.
    pub(super) fn clear(&self) {
        self.bytes.store(0, Relaxed);
        let taken = self.taken.swap(0, Relaxed);
        if taken > 0 {
            self.budget.0.held.fetch_sub(taken, Relaxed);
        }
    }
}

impl Drop for Heads {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_of_each_are_free_and_the_rest_is_shared() {
        let budget = HeadBudget::new(1000);
        let [first, second] = [(); 2].map(|()| Heads::of_connection(&budget));
        assert!(first.add(FREE) && second.add(FREE));
        assert!(first.add(600) && first.add(100));
        assert!(!second.add(301), "300 are left");
        second.clear();
        assert!(second.add(FREE + 300));
        drop(first);
        assert!(second.add(700));
        assert!(!second.add(1));
        drop(second);
        assert!(!Heads::of_stream(&budget).add(1001));
        assert_eq!(budget.0.held.load(Relaxed), 0);
    }
}
