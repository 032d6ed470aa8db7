//! Whether an exchange with a filer gets on, and whom it waits for.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::{Instant, sleep_until};

/// Whom an exchange waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// For the client to send more of its body.
    ForClient,
    /// For the filer to take what was sent, or to answer.
    ForFiler,
}

/// How an exchange gets on. Clones speak of the same one.
#[derive(Clone)]
pub(super) struct Progress(Arc<State>);

struct State {
    began: Instant,
    /// When it last got on: nanoseconds since it began.
    last: AtomicU64,
    for_client: AtomicBool,
}

impl Progress {
    /// An exchange begins: the filer is to take the request's head.
    pub(super) fn begin() -> Self {
        let state = State { began: Instant::now(), last: AtomicU64::new(0), for_client: AtomicBool::new(false) };
        Self(Arc::new(state))
    }

    /// The filer's connection took some of the client's body, or all of it.
    pub(super) fn got_on(&self) {
        self.0.for_client.store(false, Ordering::Relaxed);
        self.note();
    }

    /// The filer's connection would take more of the client's body than is there.
    pub(super) fn wants_more(&self) {
        if !self.0.for_client.swap(true, Ordering::Relaxed) {
            self.note();
        }
    }

    /// Resolves when the exchange has not got on for `timeout`.
    pub(super) async fn stalls(&self, timeout: Duration) -> Wait {
        loop {
            let due = self.0.began + Duration::from_nanos(self.0.last.load(Ordering::Relaxed)) + timeout;
            if due <= Instant::now() {
                return if self.0.for_client.load(Ordering::Relaxed) { Wait::ForClient } else { Wait::ForFiler };
            }
            sleep_until(due).await;
        }
    }

    fn note(&self) {
        let now = u64::try_from(self.0.began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.0.last.store(now, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn what_gets_on_does_not_stall() {
        let progress = Progress::begin();
        let getting_on = async {
            for _ in 0..100 {
                sleep(SECOND * 2).await;
                progress.got_on();
            }
        };
        let begin = Instant::now();
        let (stalled, ()) = tokio::join!(progress.stalls(SECOND * 3), getting_on);
        assert_eq!((stalled, begin.elapsed()), (Wait::ForFiler, SECOND * 203));
    }

    #[tokio::test(start_paused = true)]
    async fn who_stalls_is_who_is_waited_for() {
        let progress = Progress::begin();
        progress.got_on();
        sleep(SECOND * 2).await;
        // Asked again and again: that is no progress.
        progress.wants_more();
        sleep(SECOND * 2).await;
        progress.wants_more();
        let begin = Instant::now();
        assert_eq!((progress.stalls(SECOND * 3).await, begin.elapsed()), (Wait::ForClient, SECOND));
    }
}
