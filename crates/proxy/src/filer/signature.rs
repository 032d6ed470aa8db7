//! Which store a filer has.

use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};

/// The signature of a filer's store, and over which connection it was told.
#[derive(Debug, Default)]
pub(super) struct Signature {
    signature: AtomicI32,
    connections: AtomicU64,
}

impl Signature {
    /// The signature, if it was told over the connection of that number.
    pub(super) fn of(&self, connections: u64) -> Option<i32> {
        let told = self.connections.load(Ordering::Acquire) == connections;
        Some(self.signature.load(Ordering::Relaxed)).filter(|signature| told && *signature != 0)
    }

    /// It was told over the connection of that number.
    pub(super) fn set(&self, signature: i32, connections: u64) {
        self.connections.store(0, Ordering::Release);
        self.signature.store(signature, Ordering::Release);
        self.connections.store(connections, Ordering::Release);
    }
}
