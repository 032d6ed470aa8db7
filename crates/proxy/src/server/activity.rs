//! What a connection is doing: whether an answer is on its way, and since when not.
//!
//! Knows when requests begin and answers end. Must not know what they are.

use std::{
    sync::{
        Arc,
        atomic::{
            AtomicBool, AtomicU64, AtomicUsize,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
    time::Duration,
};

use tokio::time::Instant;

use super::heads::Heads;
use crate::metrics::{Connections, RefusedConnection};

/// Shared by whoever reads and writes the connection, and whoever answers its requests.
pub(super) struct Activity {
    /// The connection's beginning, from which times are counted.
    begun: Instant,
    /// Requests whose answer is not out.
    running: AtomicUsize,
    /// When the last answer was out, milliseconds.
    idle_since: AtomicU64,
    /// Of the last request, the body was empty: what is read next is a header.
    bodiless: AtomicBool,
    /// All of the answer that was written last has gone to the system.
    flushed: AtomicBool,
    /// What has come of the next header.
    heads: Heads,
    counted: Arc<Connections>,
}

impl Activity {
    /// Of a new connection, whose headers are counted as `heads`. `counted` is told where there is no room for one.
    pub(super) fn new(heads: Heads, counted: Arc<Connections>) -> Arc<Self> {
        Arc::new(Self {
            begun: Instant::now(),
            running: AtomicUsize::new(0),
            idle_since: AtomicU64::new(0),
            bodiless: AtomicBool::new(true),
            flushed: AtomicBool::new(true),
            heads,
            counted,
        })
    }

    /// A request has come, whose header is counted as `heads` where it is one of many. Its answer is out when what this
    /// gives is dropped.
    pub(super) fn begin(self: &Arc<Self>, bodiless: bool, heads: Option<Heads>) -> InFlight {
        self.running.fetch_add(1, Relaxed);
        self.bodiless.store(bodiless, Relaxed);
        self.flushed.store(false, Relaxed);
        InFlight { activity: Arc::clone(self), _heads: heads }
    }

    /// How many answers are on their way.
    pub(super) fn running(&self) -> usize {
        self.running.load(Acquire)
    }

    /// So many bytes have come. `false`: they belong to a header, and there is no room for them.
    pub(super) fn read(&self, bytes: usize) -> bool {
        let fits = self.running() > 0 || self.heads.add(bytes);
        if !fits {
            self.counted.refused(RefusedConnection::HeaderMemory);
        }
        fits
    }

    /// Bytes are being written.
    pub(super) fn written(&self) {
        self.flushed.store(false, Relaxed);
    }

    /// All that was written is with the system.
    pub(super) fn flushed(&self) {
        if self.running() == 0 {
            self.flushed.store(true, Relaxed);
        }
    }

    /// Whether the connection has been waiting for its next request for so long, with no byte of it here, none of a request
    /// before it to come, and none of an answer to go.
    pub(super) fn rests_for(&self, time: Duration) -> bool {
        let since = self.begun + Duration::from_millis(self.idle_since.load(Relaxed));
        self.running() == 0
            && self.flushed.load(Relaxed)
            && self.bodiless.load(Relaxed)
            && self.heads.is_empty()
            && since.elapsed() >= time
    }

    /// Whether no answer has been on its way for so long.
    pub(super) fn idles_for(&self, time: Duration) -> bool {
        let since = self.begun + Duration::from_millis(self.idle_since.load(Relaxed));
        self.running() == 0 && since.elapsed() >= time
    }
}

/// A request whose answer is not out.
pub(super) struct InFlight {
    activity: Arc<Activity>,
    _heads: Option<Heads>,
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let now = u64::try_from(self.activity.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.activity.idle_since.store(now, Relaxed);
        self.activity.heads.clear();
        self.activity.running.fetch_sub(1, Release);
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{heads::HeadBudget, testing::counted},
        *,
    };

    const SECOND: Duration = Duration::from_secs(1);

    fn activity() -> Arc<Activity> {
        Activity::new(Heads::of_connection(&HeadBudget::new(0)), counted())
    }

    #[tokio::test(start_paused = true)]
    async fn it_rests_a_while_after_its_answer_was_flushed() {
        let activity = activity();
        let running = activity.begin(true, None);
        tokio::time::advance(10 * SECOND).await;
        activity.flushed();
        assert!(!activity.rests_for(SECOND), "an answer is on its way");
        drop(running);
        tokio::time::advance(SECOND).await;
        assert!(!activity.rests_for(SECOND), "its end was not flushed");
        activity.flushed();
        assert!(activity.rests_for(SECOND));
        assert!(!activity.rests_for(2 * SECOND));
        activity.written();
        assert!(!activity.rests_for(SECOND));
    }

    #[tokio::test(start_paused = true)]
    async fn it_does_not_rest_with_half_a_header_or_a_body_before_it() {
        let activity = activity();
        tokio::time::advance(SECOND).await;
        assert!(activity.rests_for(SECOND));
        assert!(activity.read(1));
        assert!(!activity.rests_for(SECOND), "a byte of the header is here");
        drop(activity.begin(false, None));
        activity.flushed();
        tokio::time::advance(SECOND).await;
        assert!(!activity.rests_for(SECOND), "of the last request something may still come");
        assert!(activity.idles_for(SECOND));
    }

    #[test]
    fn a_body_is_no_header() {
        let activity = activity();
        assert!(!activity.read(8193), "more than is free");
        let _running = activity.begin(false, None);
        assert!(activity.read(1 << 30));
    }
}
