//! The primitives under the budget, the places and the handover: the standard library's, or shuttle's, which tries out the orders in which threads can
//! meet (`cargo test -p prefetch --features shuttle shuttle`).

#[cfg(not(feature = "shuttle"))]
pub(crate) use std::sync::{Mutex, MutexGuard, atomic::AtomicUsize};

#[cfg(feature = "shuttle")]
pub(crate) use shuttle::sync::{Mutex, MutexGuard, atomic::AtomicUsize};
