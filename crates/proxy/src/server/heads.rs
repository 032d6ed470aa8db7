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
    /// Of these, by headers that are not whole.
    open: AtomicUsize,
}

impl HeadBudget {
    /// Of `most` bytes.
    pub(super) fn new(most: usize) -> Self {
        Self(Arc::new(Budget { most: AtomicUsize::new(most), held: AtomicUsize::new(0), open: AtomicUsize::new(0) }))
    }

    /// From now on of so many. What is held stays held.
    pub(super) fn resize(&self, most: usize) {
        self.0.most.store(most, Relaxed);
    }

    fn most(&self) -> usize {
        self.0.most.load(Relaxed)
    }

    fn take(&self, bytes: usize) -> bool {
        take(&self.0.held, bytes, self.most())
    }
}

/// `false`: it would be more than `most`.
fn take(held: &AtomicUsize, bytes: usize, most: usize) -> bool {
    let room = |held: usize| held.checked_add(bytes).filter(|held| *held <= most);
    held.fetch_update(Relaxed, Relaxed, room).is_ok()
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
    /// What a header takes that is not whole, bytes.
    open: usize,
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
        self.opens(0);
        self.remove(usize::MAX);
    }

    /// Holds so many bytes for a header that is not whole, in place of those that it held for one. `false`: there is no room. Such
    /// headers have half of the budget together, and each an eighth at most: that many are left open costs a client little.
    pub(super) fn opens(&self, bytes: usize) -> bool {
        let (bytes, most) = (bytes.min(self.budget.most() / 8), self.budget.most() / 2);
        let (open, before) = (&self.budget.0.open, std::mem::replace(&mut self.held().open, bytes));
        if bytes <= before {
            open.fetch_sub(before - bytes, Relaxed);
            self.remove(before - bytes);
            return true;
        }
        let more = bytes - before;
        let fits = take(open, more, most);
        if fits && self.add(more) {
            return true;
        }
        if fits {
            open.fetch_sub(more, Relaxed);
        }
        self.held().open = before;
        false
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
        let [first, second, whole] = [(); 3].map(|()| Heads::new(&budget));
        for heads in [&first, &second, &whole] {
            assert!(heads.add(FREE));
        }
        assert!(first.opens(100) && second.opens(9000), "an eighth counts");
        for _ in 0..2 {
            let others: Vec<_> = (0..3).map(|_| Heads::new(&budget)).collect();
            assert!(others.iter().all(|heads| heads.add(FREE)));
            assert_eq!(others.iter().filter(|heads| heads.opens(1000)).count(), 2, "half is for whole ones");
            assert!(whole.add(500));
            whole.remove(500);
        }
        assert!(first.opens(0));
        drop((first, second, whole));
        assert_eq!(budget.0.open.load(Relaxed), 0);
        assert_eq!(budget.0.held.load(Relaxed), 0);
    }
}
