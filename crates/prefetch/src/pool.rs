//! Work that keeps a processor busy for longer than a task may: opening and inflating what was fetched.
//!
//! Knows how much of it may run at once, so that all who wait for the network still get a turn. Must not know what it is.

use std::{num::NonZero, sync::Arc, thread};

use tokio::sync::Semaphore;

use crate::sync::spawn_blocking;

/// As many threads as there are processors, for all downloads together; the others wait in turn.
pub(crate) struct Pool {
    places: Arc<Semaphore>,
}

impl Pool {
    /// A pool for this machine.
    pub(crate) fn new() -> Self {
        Self::of(thread::available_parallelism().map_or(1, NonZero::get))
    }

    fn of(places: usize) -> Self {
        Self { places: Arc::new(Semaphore::new(places)) }
    }

    /// Runs `work` and gives what it gave; `None`: it panicked. Who is dropped while it waits for a place never runs it.
    /// What runs already runs to its end, so `work` must be short, and own the memory that it uses.
    pub(crate) async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let place = Arc::clone(&self.places).acquire_owned().await.ok()?;
        let work = move || {
            let _place = place;
            work()
        };
        spawn_blocking(work).await.ok()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        atomic::{AtomicUsize, Ordering},
        mpsc,
    };

    use futures_util::future::join_all;

    use super::*;

    #[tokio::test]
    async fn no_more_work_runs_at_once_than_there_are_places() {
        let pool = Pool::of(2);
        let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let works = (0..16).map(|index| {
            let (running, most) = (Arc::clone(&running), Arc::clone(&most));
            pool.run(move || {
                most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                thread::yield_now();
                running.fetch_sub(1, Ordering::SeqCst);
                index
            })
        });
        assert_eq!(join_all(works).await, (0..16).map(Some).collect::<Vec<_>>());
        assert!(most.load(Ordering::SeqCst) <= 2);
    }

    #[tokio::test]
    async fn who_leaves_while_it_waits_costs_no_work() {
        let pool = Pool::of(1);
        let (release, held) = mpsc::channel::<()>();
        let mut first = std::pin::pin!(pool.run(move || held.recv().is_err()));
        assert!(futures_util::poll!(first.as_mut()).is_pending());
        let (ran, has_run) = mpsc::channel();
        let mut second = Box::pin(pool.run(move || ran.send(())));
        assert!(futures_util::poll!(second.as_mut()).is_pending());
        drop(second);
        drop(release);
        assert_eq!(first.await, Some(true));
        assert_eq!(pool.run(|| 7).await, Some(7));
        assert!(has_run.recv().is_err(), "it was dropped unrun");
    }

    #[tokio::test]
    async fn work_that_panics_gives_its_place_back() {
        let pool = Pool::of(1);
        assert_eq!(pool.run(|| panic!("on purpose")).await, None::<()>);
        assert_eq!(pool.run(|| 7).await, Some(7));
    }
}
