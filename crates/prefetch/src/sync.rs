//! What the engine's tasks meet at: locks, counters, and the tasks themselves. They are the standard library's and Tokio's,
//! or shuttle's, which tries out the orders in which threads can meet (`cargo test -p prefetch --features shuttle shuttle`).

#[cfg(not(feature = "shuttle"))]
pub(crate) use std::sync::{Mutex, MutexGuard, atomic::AtomicUsize};

#[cfg(feature = "shuttle")]
pub(crate) use shuttle::{
    future::{AbortHandle, JoinHandle, spawn},
    sync::{Mutex, MutexGuard, atomic::AtomicUsize},
};
#[cfg(not(feature = "shuttle"))]
pub(crate) use tokio::{
    spawn,
    task::{AbortHandle, spawn_blocking},
};

/// One more task: shuttle's threads are all on one.
#[cfg(feature = "shuttle")]
pub(crate) fn spawn_blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    spawn(async { work() })
}
