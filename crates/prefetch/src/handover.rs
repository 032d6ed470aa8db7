//! Between a fetch and its download: blocks in order, then one end. Until the first block is taken, the fetch can take
//! all of them back.

use std::{
    collections::VecDeque,
    sync::{Arc, PoisonError, atomic::Ordering},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use tokio::{sync::Notify, time::Instant};

use crate::{
    FetchError,
    budget::Block,
    sync::{AtomicUsize, AtomicWaker, Mutex, MutexGuard},
};

/// What is passed on.
pub(crate) enum Part {
    /// A block that is done with.
    Block(Block),
    /// Bytes, with whatever holds their memory.
    Bytes(Bytes),
}

impl Part {
    fn into_bytes(self) -> Bytes {
        match self {
            Self::Block(block) => block.freeze(),
            Self::Bytes(bytes) => bytes,
        }
    }
}

/// The fetches of one download that have not ended.
#[derive(Default)]
pub(crate) struct RunningFetches {
    fetches: AtomicUsize,
    ended: AtomicWaker,
}

impl RunningFetches {
    /// How many.
    pub(crate) fn fetches(&self) -> usize {
        self.fetches.load(Ordering::Acquire)
    }

    /// The waker is called once when one of them ends.
    pub(crate) fn wake_on_end(&self, waker: &Waker) {
        self.ended.register(waker);
    }

    fn begin(&self) {
        self.fetches.fetch_add(1, Ordering::AcqRel);
    }

    fn end(&self) {
        self.fetches.fetch_sub(1, Ordering::AcqRel);
        self.ended.wake();
    }
}

/// What the fetch and its download share.
#[derive(Default)]
pub(crate) struct Handover {
    state: Mutex<State>,
    waiting: AtomicWaker,
    hungry: Notify,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Part>,
    taken: bool,
    /// When the first bytes came.
    begun: Option<Instant>,
    ended: Option<(Result<(), FetchError>, Instant)>,
}

/// What the download finds.
pub(crate) enum HandoverItem {
    /// The next bytes.
    Bytes(Bytes),
    /// Everything was given; this is when the fetch had ended.
    End(Instant),
    /// It failed.
    Failed(FetchError),
}

impl Handover {
    /// Passes bytes on.
    pub(crate) fn push(&self, part: Part) {
        let mut state = self.state();
        state.begun.get_or_insert_with(Instant::now);
        state.queue.push_back(part);
        drop(state);
        self.waiting.wake();
    }

    /// Says how it ended.
    pub(crate) fn end(&self, result: Result<(), FetchError>) {
        self.state().ended = Some((result, Instant::now()));
        self.waiting.wake();
    }

    /// When the first bytes came, if any have.
    pub(crate) fn begun(&self) -> Option<Instant> {
        self.state().begun
    }

    /// Takes everything back, with the blocks to be filled anew. `None`: some bytes are out already.
    pub(crate) fn take_back(&self) -> Option<Vec<Block>> {
        let mut state = self.state();
        if state.taken {
            return None;
        }
        let blocks = state.queue.drain(..).filter_map(|part| match part {
            Part::Block(block) => Some(block),
            Part::Bytes(_) => None,
        });
        Some(blocks.collect())
    }

    /// Resolves when the client waits and finds nothing. Once for each time.
    pub(crate) async fn hungry(&self) {
        self.hungry.notified().await;
    }

    /// The next bytes, the end, or a wake-up later.
    pub(crate) fn poll(&self, cx: &mut Context<'_>) -> Poll<HandoverItem> {
        if let Some(found) = self.find() {
            return Poll::Ready(found);
        }
        self.waiting.register(cx.waker());
        // What came before the waker was there would have woken nobody.
        if let Some(found) = self.find() {
            return Poll::Ready(found);
        }
        self.hungry.notify_one();
        Poll::Pending
    }

    fn find(&self) -> Option<HandoverItem> {
        let mut state = self.state();
        if let Some(part) = state.queue.pop_front() {
            state.taken = true;
            return Some(HandoverItem::Bytes(part.into_bytes()));
        }
        match state.ended.as_ref()? {
            (Ok(()), at) => Some(HandoverItem::End(*at)),
            (Err(error), _) => Some(HandoverItem::Failed(error.clone())),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The fetch's end. A fetch that is dropped without a word, because it panicked, has failed.
pub(crate) struct Sender {
    pub(crate) handover: Arc<Handover>,
    fid: Arc<str>,
    running: Arc<RunningFetches>,
    ended: bool,
}

impl Sender {
    /// One more of those that are `running`, until it ends.
    pub(crate) fn new(handover: Arc<Handover>, fid: Arc<str>, running: Arc<RunningFetches>) -> Self {
        running.begin();
        Self { handover, fid, running, ended: false }
    }

    pub(crate) fn end(mut self, result: Result<(), FetchError>) {
        self.ended = true;
        self.handover.end(result);
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        if !self.ended {
            self.handover.end(Err(FetchError::Lost(Arc::clone(&self.fid))));
        }
        self.running.end();
    }
}

#[cfg(test)]
#[cfg(not(feature = "shuttle"))]
mod tests {
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Count(std::sync::atomic::AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn whoever_waits_for_one_of_them_to_end_is_woken_once() {
        let (running, count) = (Arc::<RunningFetches>::default(), Arc::<Count>::default());
        let begin = || Sender::new(Arc::default(), "3,01".into(), Arc::clone(&running));
        let (one, two) = (begin(), begin());
        assert_eq!(running.fetches(), 2);
        running.wake_on_end(&Waker::from(Arc::clone(&count)));
        one.end(Ok(()));
        drop(two);
        assert_eq!((running.fetches(), count.0.load(Ordering::Relaxed)), (0, 1));
    }

    #[test]
    fn a_fetch_that_ends_without_a_word_has_failed() {
        let handover = Arc::<Handover>::default();
        drop(Sender::new(Arc::clone(&handover), "3,01".into(), Arc::default()));
        let next = handover.poll(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(next, Poll::Ready(HandoverItem::Failed(FetchError::Lost(_)))));
    }
}
