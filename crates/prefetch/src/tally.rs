//! What one read takes of volume servers.

use std::sync::atomic::{AtomicU32, Ordering};

/// Counts the requests that are made for one read, by whoever made them.
#[derive(Debug, Default)]
pub struct Tally {
    requests: AtomicU32,
    retries: AtomicU32,
}

impl Tally {
    /// Requests to volume servers that went out, second ones for late ones and those after failures with them.
    pub fn requests(&self) -> u32 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Those of them that came after one that failed.
    pub fn retries(&self) -> u32 {
        self.retries.load(Ordering::Relaxed)
    }

    pub(crate) fn requested(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn retried(&self) {
        self.retries.fetch_add(1, Ordering::Relaxed);
    }
}
