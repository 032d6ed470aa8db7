//! What the engine's tasks meet at: locks, counters, and the tasks themselves. They are the standard library's and Tokio's,
//! or shuttle's, which tries out the orders in which threads can meet (`cargo test -p prefetch --features shuttle shuttle`).

#[cfg(not(feature = "shuttle"))]
pub(crate) use std::sync::{Mutex, MutexGuard, atomic::AtomicUsize};

#[cfg(not(feature = "shuttle"))]
pub(crate) use futures_util::task::AtomicWaker;
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

/// One that the schedulers see: somebody may come between a look and the waker that is left after it.
#[cfg(feature = "shuttle")]
#[derive(Default)]
pub(crate) struct AtomicWaker(Mutex<Option<std::task::Waker>>);

#[cfg(feature = "shuttle")]
impl AtomicWaker {
    pub(crate) fn register(&self, waker: &std::task::Waker) {
        *self.0.lock().expect("no test goes on after a panic") = Some(waker.clone());
    }

    pub(crate) fn wake(&self) {
        let waker = self.0.lock().expect("no test goes on after a panic").take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}
