//! Whether somebody waits for what a fetch brings.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// Who goes first: what a client waits for, before what is fetched because it may come to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Urgency {
    /// The client waits for it: the head of a download, or what the client has come to.
    Head,
    /// It lies ahead of the client.
    Ahead,
}

/// The urgency of one fetch, as long as it runs. A fetch ahead becomes a head when the client comes to it, also while it
/// waits for its turn; it never goes back.
#[derive(Debug)]
pub(crate) struct Priority {
    /// Bytes that the client waits for in all, this fetch's included.
    bytes: u64,
    reached: AtomicBool,
    comes: Notify,
}

impl Priority {
    /// Begins with that urgency, for a client that waits for nothing else.
    pub(crate) fn new(urgency: Urgency) -> Self {
        Self::of(urgency, 0)
    }

    /// The same for a client that waits for so many bytes in all: a small request for one of them goes before no other.
    pub(crate) fn of(urgency: Urgency, bytes: u64) -> Self {
        Self { bytes, reached: AtomicBool::new(urgency == Urgency::Head), comes: Notify::new() }
    }

    /// Bytes that the client waits for in all, where more than one request is needed for them.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// As it is now.
    pub(crate) fn urgency(&self) -> Urgency {
        if self.reached.load(Ordering::Acquire) { Urgency::Head } else { Urgency::Ahead }
    }

    /// The client has come to it.
    pub(crate) fn reach(&self) {
        if !self.reached.swap(true, Ordering::AcqRel) {
            self.comes.notify_waiters();
        }
    }

    /// Resolves when the client has come to it; at once, if it was there already.
    pub(crate) async fn reached(&self) {
        let mut comes = std::pin::pin!(self.comes.notified());
        comes.as_mut().enable();
        if self.urgency() == Urgency::Ahead {
            comes.await;
        }
    }
}

#[cfg(test)]
#[cfg(not(feature = "shuttle"))]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_fetch_ahead_becomes_a_head_when_the_client_comes_to_it() {
        let priority = Priority::new(Urgency::Ahead);
        let (mut one, mut two) = (std::pin::pin!(priority.reached()), std::pin::pin!(priority.reached()));
        assert!(futures_util::poll!(one.as_mut()).is_pending() && futures_util::poll!(two.as_mut()).is_pending());
        priority.reach();
        assert!(futures_util::poll!(one).is_ready() && futures_util::poll!(two).is_ready());
        priority.reached().await;
        assert_eq!(priority.urgency(), Urgency::Head);
        Priority::new(Urgency::Head).reached().await;
    }
}
