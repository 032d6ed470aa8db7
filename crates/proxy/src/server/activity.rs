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
    /// Requests that have come, and up to which of them all bodies have: what is read next of HTTP/1 is a header where both
    /// are the same.
    requests: AtomicU64,
    whole: AtomicU64,
    /// All of the answer that was written last has gone to the system.
    flushed: AtomicBool,
    /// What has come of the next header, on HTTP/2 what the headers of all requests take.
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
            requests: AtomicU64::new(0),
            whole: AtomicU64::new(0),
            flushed: AtomicBool::new(true),
            heads,
            counted,
        })
    }

    /// A request has come. Where it is one of many, so many bytes are [held](Self::hold_head) for its header. Its answer is out
    /// when what this gives is dropped.
    pub(super) fn begin(self: &Arc<Self>, bodiless: bool, head: Option<usize>) -> InFlight {
        self.running.fetch_add(1, Relaxed);
        let number = self.requests.fetch_add(1, Relaxed) + 1;
        if bodiless {
            self.has_come(number);
        }
        self.flushed.store(false, Relaxed);
        InFlight { activity: Arc::clone(self), number, head }
    }

    /// How many answers are on their way.
    pub(super) fn running(&self) -> usize {
        self.running.load(Acquire)
    }

    /// So many bytes of HTTP/1 have come. `false`: they belong to a header, and there is no room for them. What comes of a body
    /// whose request is answered already is thrown away, and takes none.
    pub(super) fn read(&self, bytes: usize) -> bool {
        let is_head = self.running() == 0 && self.is_between();
        self.counted_unless(!is_head || self.heads.add(bytes))
    }

    /// What comes from now on is HTTP/2, and told of by [`opens`](Self::opens).
    pub(super) fn begins_http2(&self) {
        self.heads.clear();
    }

    /// A header of HTTP/2 that is not whole takes so many bytes, or there is none. `false`: there is no room for it.
    pub(super) fn opens(&self, bytes: usize) -> bool {
        self.counted_unless(self.heads.opens(bytes))
    }

    /// Holds so many bytes for the header of one of many requests, until [it](Self::begin) is answered. `false`: there is no room.
    pub(super) fn hold_head(&self, bytes: usize) -> bool {
        self.heads.add(bytes)
    }

    /// All of the request of that number has come.
    fn has_come(&self, number: u64) {
        self.whole.fetch_max(number, Release);
    }

    /// Nothing more comes of the last request.
    fn is_between(&self) -> bool {
        self.whole.load(Acquire) == self.requests.load(Relaxed)
    }

    fn counted_unless(&self, fits: bool) -> bool {
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
            && self.is_between()
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
    /// Which one of the connection it is, from 1 on.
    number: u64,
    /// The bytes of its header, where it is one of many.
    head: Option<usize>,
}

impl InFlight {
    /// To be told when all of its body has come, which may be after the answer.
    pub(super) fn whole(&self) -> impl FnOnce() + Send + use<> {
        let (activity, number) = (Arc::clone(&self.activity), self.number);
        move || activity.has_come(number)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let now = u64::try_from(self.activity.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.activity.idle_since.store(now, Relaxed);
        match self.head {
            Some(bytes) => self.activity.heads.remove(bytes),
            None => self.activity.heads.clear(),
        }
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
        Activity::new(Heads::new(&HeadBudget::new(0)), counted())
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
        let (first, second) = (activity.begin(false, None).whole(), activity.begin(false, None).whole());
        activity.flushed();
        tokio::time::advance(SECOND).await;
        first();
        assert!(!activity.rests_for(SECOND), "it is told of late: another is the last");
        second();
        assert!(activity.rests_for(SECOND));
    }

    #[test]
    fn a_body_is_no_header() {
        let activity = activity();
        assert!(!activity.read(8193), "more than is free");
        let running = activity.begin(false, None);
        let whole = running.whole();
        assert!(activity.read(1 << 30));
        drop(running);
        assert!(activity.read(1 << 30), "it is answered, and still comes");
        whole();
        assert!(!activity.read(8193));
    }

    #[test]
    fn requests_beside_each_other_and_a_header_that_is_not_whole_have_one_room() {
        let activity = Activity::new(Heads::new(&HeadBudget::new(1000)), counted());
        assert!(activity.hold_head(8192 + 950) && !activity.hold_head(51));
        let running = activity.begin(true, Some(8192 + 950));
        assert!(activity.opens(50) && !activity.opens(51), "also while something is being answered");
        assert!(activity.opens(0) && activity.hold_head(50) && !activity.hold_head(1));
        drop(running);
        assert!(activity.hold_head(8192 + 950), "all is answered");
    }
}
