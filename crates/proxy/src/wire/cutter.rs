//! How an answer is broken off by somebody who is not its connection.
//!
//! Knows that it was asked for. Must not know why, or what it is an answer to.

use std::sync::Arc;

use tokio::sync::Semaphore;

/// Breaks one answer off: of HTTP/1 with its connection, of HTTP/2 with its stream. Clones are the same.
#[derive(Clone)]
pub(crate) struct Cutter(Arc<Semaphore>);

impl Default for Cutter {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(0)))
    }
}

impl Cutter {
    /// Resolves once the answer is to be broken off.
    pub(crate) async fn cuts(&self) {
        // It has no permits: waiting for one ends when it is closed.
        let _ = self.0.acquire().await;
    }
}

impl prefetch::CutHandle for Cutter {
    fn cut(&self) {
        self.0.close();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use prefetch::CutHandle as _;

    use super::*;

    #[tokio::test]
    async fn whoever_waits_for_it_learns_of_a_cut_and_whoever_comes_later() {
        let cutter = Cutter::default();
        let other = cutter.clone();
        let waiting = tokio::spawn(async move { other.cuts().await });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished() && cutter.cuts().now_or_never().is_none());
        cutter.cut();
        waiting.await.unwrap();
        assert!(cutter.cuts().now_or_never().is_some());
    }
}
