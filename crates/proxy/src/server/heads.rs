//! The memory that request headers take which nobody has answered yet.
//!
//! hyper keeps a request's header as it arrived until the answer is out, and a client may take its time with it. So the
//! bytes are counted, of all connections together. The first [`FREE`] of each are its own: what an ordinary client sends
//! always has room.
//!
//! Knows numbers. Must not know HTTP.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
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

/// What one connection holds, all of its requests together. Given back when it is dropped.
pub(super) struct Heads {
    budget: HeadBudget,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    /// All of them, bytes.
    bytes: usize,
    /// Of these, taken from the budget.
    taken: usize,
}

impl Heads {
    /// Of a connection of which nothing has come.
    pub(super) fn new(budget: &HeadBudget) -> Self {
        Self { budget: budget.clone(), held: Mutex::default() }
    }

    /// Nothing of a header has come.
    pub(super) fn is_empty(&self) -> bool {
        self.held().bytes == 0
    }

    /// Holds so many bytes more. `false`: there is no room for them, and they are not held.
    pub(super) fn add(&self, bytes: usize) -> bool {
        let mut held = self.held();
        let more = (held.bytes + bytes).saturating_sub(FREE + held.taken);
        let fits = more == 0 || self.budget.take(more);
        if fits {
            held.bytes += bytes;
            held.taken += more;
        }
        fits
    }

    /// Holds so many bytes less.
    pub(super) fn remove(&self, bytes: usize) {
        let mut held = self.held();
        held.bytes = held.bytes.saturating_sub(bytes);
        let less = held.taken.saturating_sub(held.bytes.saturating_sub(FREE));
        held.taken -= less;
        self.budget.0.held.fetch_sub(less, Relaxed);
    }

    /// Holds nothing any more.
    pub(super) fn clear(&self) {
        self.remove(usize::MAX);
    }

    /// No code that could panic runs under the lock.
    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
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
        let [first, second] = [(); 2].map(|()| Heads::new(&budget));
        assert!(first.add(FREE) && second.add(FREE));
        assert!(first.add(600) && first.add(100));
        assert!(!second.add(301), "300 are left");
        second.clear();
        assert!(second.add(FREE + 300));
        drop(first);
        assert!(second.add(700));
        assert!(!second.add(1));
        second.remove(600);
        assert!(second.add(500) && !second.add(101), "what is removed there is room for again");
        drop(second);
        assert_eq!(budget.0.held.load(Relaxed), 0);
    }
}
