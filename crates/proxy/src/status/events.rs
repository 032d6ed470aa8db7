//! The page's news, by Server-Sent Events: one status a second, made once for all who watch.
//!
//! Knows who watches and how many may. Must not know what the news are.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::stream;
use tokio::{
    sync::{Notify, watch},
    time::sleep,
};

use crate::wire::Body;

/// How many may watch at once.
pub(super) const WATCHERS: usize = 16;
/// From one status to the next.
const EVERY: Duration = Duration::from_secs(1);

/// Who watches.
pub(super) struct Watchers {
    watching: AtomicUsize,
    somebody: Notify,
    news: watch::Sender<Bytes>,
}

/// One who watches, until it is dropped.
struct Watcher {
    watchers: Arc<Watchers>,
    news: watch::Receiver<Bytes>,
}

impl Watchers {
    /// Nobody yet.
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            watching: AtomicUsize::new(0),
            somebody: Notify::new(),
            news: watch::Sender::new(Bytes::new()),
        })
    }

    /// A body of events for one more; `None`: there are too many.
    ///
    /// Of what somebody was too slow to take only the latest is kept. One who takes nothing is cut by its connection.
    pub(super) fn watch(self: &Arc<Self>) -> Option<Body> {
        let add = |watching| (watching < WATCHERS).then_some(watching + 1);
        self.watching.fetch_update(Ordering::AcqRel, Ordering::Acquire, add).ok()?;
        let watching = Watcher { watchers: Arc::clone(self), news: self.news.subscribe() };
        self.somebody.notify_one();
        // The first line goes out at once, so that the browser knows that it is connected.
        let begin = Bytes::from_static(b"retry: 2000\n\n");
        let events = stream::unfold((Some(begin), watching), |(begin, mut watching)| async move {
            if let Some(begin) = begin {
                return Some((Ok(begin), (None, watching)));
            }
            watching.news.changed().await.ok()?;
            let news = watching.news.borrow_and_update().clone();
            (!news.is_empty()).then_some((Ok(news), (None, watching)))
        });
        Some(Body::from_stream(None, events))
    }

    /// Tells whoever watches, for ever, what `news` gives. Each is one line.
    pub(super) async fn tell<N: Future<Output = String>>(&self, news: impl Fn() -> N) {
        loop {
            if self.watching.load(Ordering::Acquire) == 0 {
                self.somebody.notified().await;
                continue;
            }
            self.news.send_replace(format!("data: {}\n\n", news().await).into());
            sleep(EVERY).await;
        }
    }

    /// No more is told, and whoever watches has seen the last of it.
    pub(super) fn end(&self) {
        self.news.send_replace(Bytes::new());
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.watchers.watching.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use http_body_util::BodyExt as _;

    use super::*;

    async fn next(body: &mut Body) -> Option<Bytes> {
        body.frame().await.map(|frame| frame.unwrap().into_data().unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn all_who_watch_are_told_the_same_and_who_is_slow_the_latest() {
        let watchers = Watchers::new();
        let asked = Arc::new(AtomicUsize::new(0));
        let (telling, counted) = (Arc::clone(&watchers), Arc::clone(&asked));
        tokio::spawn(async move {
            telling.tell(|| std::future::ready(counted.fetch_add(1, Ordering::Relaxed).to_string())).await;
        });
        tokio::time::advance(100 * EVERY).await;
        assert_eq!(asked.load(Ordering::Relaxed), 0, "nobody watches, nobody is asked");
        let (mut one, mut slow) = (watchers.watch().unwrap(), watchers.watch().unwrap());
        assert_eq!(next(&mut one).await.unwrap(), "retry: 2000\n\n");
        for second in 0..3 {
            assert_eq!(next(&mut one).await.unwrap(), format!("data: {second}\n\n"));
        }
        next(&mut slow).await.unwrap();
        assert_eq!(next(&mut slow).await.unwrap(), "data: 2\n\n");
        watchers.end();
        assert!(next(&mut one).await.is_none(), "it ends well");
    }

    #[tokio::test]
    async fn there_is_room_for_so_many_and_again_when_one_leaves() {
        let watchers = Watchers::new();
        let mut all: Vec<_> = (0..WATCHERS).map(|_| watchers.watch().unwrap()).collect();
        assert!(watchers.watch().is_none());
        let mut left = all.pop().unwrap();
        assert!(left.frame().now_or_never().is_some());
        drop(left);
        assert!(watchers.watch().is_some());
    }
}
