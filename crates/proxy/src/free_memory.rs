//! Gives memory that is free back to the system.
//!
//! The allocator has no thread of its own for that, and what other threads free of a thread's memory stays with it until it
//! looks. So each worker looks when it has nothing to do.
//!
//! Knows the allocator. Must not know what memory is for.

#![allow(
    unsafe_code,
    reason = "a function of the allocator's that its crate declares only together with a hundred others"
)]

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

// Has it linked where it is not the allocator: in tests.
use mimalloc as _;

/// How often a thread looks at most. What it gives back for nothing, because it is asked for again, costs a page fault for
/// each 4 KiB.
const PAUSE: Duration = Duration::from_secs(1);

unsafe extern "C" {
    /// Frees the pages of the calling thread in which nothing is used, and with `force` gives all that is free to the system
    /// at once.
    safe fn mi_collect(force: bool);
}

thread_local! {
    static LOOKED: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Gives back what is free of this thread's memory, at most once a second. To be called by a thread that is about to sleep.
pub fn give_back() {
    if is_due(Instant::now()) {
        mi_collect(true);
    }
}

fn is_due(now: Instant) -> bool {
    let due = LOOKED.get().is_none_or(|looked| now.saturating_duration_since(looked) >= PAUSE);
    if due {
        LOOKED.set(Some(now));
    }
    due
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_thread_looks_once_a_second() {
        let begun = Instant::now();
        let looked = || [0, 300, 999, 1000, 1500, 2000, 5000].map(|ms| is_due(begun + Duration::from_millis(ms)));
        let once_a_second = [true, false, false, true, false, true, true];
        assert_eq!(looked(), once_a_second);
        assert_eq!(std::thread::scope(|scope| scope.spawn(looked).join().unwrap()), once_a_second);
        give_back();
    }
}
