//! How fast a client takes what is fetched for it.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::time::Instant;

/// A rate is that of this time at least, and of twice that at most: the system takes bytes of a slow client by megabytes.
const SPAN: Duration = Duration::from_secs(10);
/// Of a younger download nothing is said.
const YOUNG: Duration = Duration::from_secs(2);

/// Counts what one client takes.
pub(super) struct Meter {
    begun: Instant,
    taken: AtomicU64,
    /// When it took something last, in milliseconds since it began.
    last: AtomicU64,
    /// The client has taken all there is, and waits.
    waits: AtomicBool,
    /// Two moments, and what had been taken by then; the first is the older one.
    marks: Mutex<[(Instant, u64); 2]>,
}

impl Meter {
    pub(super) fn new() -> Self {
        let begun = Instant::now();
        Self {
            begun,
            taken: AtomicU64::new(0),
            last: AtomicU64::new(0),
            waits: AtomicBool::new(true),
            marks: Mutex::new([(begun, 0); 2]),
        }
    }

    /// The client has taken so many bytes more.
    pub(super) fn takes(&self, bytes: u64) {
        self.waits.store(false, Relaxed);
        self.taken.fetch_add(bytes, Relaxed);
        self.last.store(millis(self.begun.elapsed()), Relaxed);
    }

    /// It wants more than there is.
    pub(super) fn waits(&self) {
        self.waits.store(true, Relaxed);
    }

    /// All there is for it is with it: it is not waiting for us.
    pub(super) fn holds(&self) {
        self.waits.store(false, Relaxed);
    }

    /// For how long it has taken nothing of what is there for it.
    pub(super) fn idles(&self, now: Instant) -> Duration {
        if self.waits.load(Relaxed) {
            return Duration::ZERO;
        }
        now.duration_since(self.begun).saturating_sub(Duration::from_millis(self.last.load(Relaxed)))
    }

    /// Bytes per second. `None`: it is too early to say, or it is not the client that is waited for.
    pub(super) fn rate(&self, now: Instant) -> Option<u64> {
        let mut marks = self.marks.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = self.taken.load(Relaxed);
        if now.duration_since(marks[1].0) >= SPAN {
            *marks = [marks[1], (now, taken)];
        }
        let (since, before) = marks[0];
        let time = now.duration_since(since);
        if time < YOUNG || self.waits.load(Relaxed) {
            return None;
        }
        if self.idles(now) >= SPAN {
            return Some(0);
        }
        Some((taken - before).saturating_mul(1000) / millis(time))
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[cfg(not(feature = "shuttle"))]
mod tests {
    use tokio::time::advance;

    use super::*;

    fn second() -> Duration {
        Duration::from_secs(1)
    }

    #[tokio::test(start_paused = true)]
    async fn a_rate_is_of_late_and_not_of_ever() {
        let meter = Meter::new();
        meter.takes(1_000_000);
        assert_eq!(meter.rate(Instant::now()), None, "too early");
        advance(2 * second()).await;
        assert_eq!(meter.rate(Instant::now()), Some(500_000));
        for _ in 0..4 {
            advance(SPAN).await;
            meter.takes(50);
            meter.rate(Instant::now());
        }
        assert!(meter.rate(Instant::now()).is_some_and(|rate| (1..=10).contains(&rate)));
        advance(SPAN).await;
        assert_eq!(meter.rate(Instant::now()), Some(0), "for so long nothing was taken");
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_waits_for_bytes_is_not_slow() {
        let meter = Meter::new();
        advance(5 * second()).await;
        assert_eq!(meter.rate(Instant::now()), None, "nothing was there for it");
        meter.takes(10);
        assert_eq!(meter.rate(Instant::now()), Some(2));
        advance(second()).await;
        assert_eq!(meter.idles(Instant::now()), second());
        meter.waits();
        assert_eq!((meter.rate(Instant::now()), meter.idles(Instant::now())), (None, Duration::ZERO));
    }
}
