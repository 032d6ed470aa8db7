//! How fast a client takes what is fetched for it.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// A rate is that of this time at least, and of twice that at most: the system takes bytes of a slow client by megabytes.
const SPAN: Duration = Duration::from_secs(10);
/// Of a younger download nothing is said.
const YOUNG: Duration = Duration::from_secs(2);

/// How fast a client is while it is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pace {
    /// Bytes per second.
    pub(super) rate: u64,
    /// It was waited for long enough to say that it is slow, if it is.
    pub(super) told: bool,
}

/// Counts what one client takes.
pub(super) struct Meter {
    /// Together, so that whoever asks never sees half of what has changed.
    state: Mutex<State>,
}

struct State {
    /// Bytes.
    taken: u64,
    /// When it took something last or had waited last.
    last: Instant,
    /// Since when it has taken all there is, and waits.
    waits_since: Option<Instant>,
    /// For how long it had waited before that.
    waited: Duration,
    /// Two moments; the first is the older one.
    marks: [Mark; 2],
}

/// What there was at some moment.
#[derive(Clone, Copy)]
struct Mark {
    at: Instant,
    taken: u64,
    waited: Duration,
}

impl Meter {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        let marks = [Mark { at: now, taken: 0, waited: Duration::ZERO }; 2];
        let state = State { taken: 0, last: now, waits_since: Some(now), waited: Duration::ZERO, marks };
        Self { state: Mutex::new(state) }
    }

    /// The client has taken so many bytes more.
    pub(super) fn takes(&self, bytes: u64) {
        let now = Instant::now();
        let mut state = self.state();
        state.taken += bytes;
        state.waits_no_more(now);
        state.last = now;
    }

    /// It wants more than there is.
    pub(super) fn waits(&self) {
        self.state().waits_since.get_or_insert_with(Instant::now);
    }

    /// All there is for it is with it: it is not waiting for us.
    pub(super) fn holds(&self) {
        self.state().waits_no_more(Instant::now());
    }

    /// For how long it has taken nothing of what is there for it.
    pub(super) fn idles(&self, now: Instant) -> Duration {
        self.state().idles(now)
    }

    /// How fast it is. `None`: it is too early to say, or it is not the client that is waited for.
    pub(super) fn pace(&self, now: Instant) -> Option<Pace> {
        self.state().pace(now)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn waits_no_more(&mut self, now: Instant) {
        if let Some(since) = self.waits_since.take() {
            self.waited += now - since;
            self.last = now;
        }
    }

    fn idles(&self, now: Instant) -> Duration {
        if self.waits_since.is_some() { Duration::ZERO } else { now.saturating_duration_since(self.last) }
    }

    fn pace(&mut self, now: Instant) -> Option<Pace> {
        let here = Mark { at: now, taken: self.taken, waited: self.waited(now) };
        if now.saturating_duration_since(self.marks[1].at) >= SPAN {
            self.marks = [self.marks[1], here];
        }
        let before = self.marks[0];
        let time = now.saturating_duration_since(before.at);
        if time < YOUNG || self.waits_since.is_some() {
            return None;
        }
        if self.idles(now) >= SPAN {
            return Some(Pace { rate: 0, told: true });
        }
        // What it waited for us is not its doing: the first bytes may have come late, and be all there were so far.
        let own = time.saturating_sub(here.waited.saturating_sub(before.waited));
        let rate = (here.taken - before.taken).saturating_mul(1000) / millis(own).max(1);
        Some(Pace { rate, told: own >= YOUNG })
    }

    /// For how long it has waited in all.
    fn waited(&self, now: Instant) -> Duration {
        self.waited + self.waits_since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
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

    fn told(rate: u64) -> Option<Pace> {
        Some(Pace { rate, told: true })
    }

    #[tokio::test(start_paused = true)]
    async fn a_rate_is_of_late_and_not_of_ever() {
        let meter = Meter::new();
        meter.takes(1_000_000);
        assert_eq!(meter.pace(Instant::now()), None, "too early");
        advance(2 * second()).await;
        assert_eq!(meter.pace(Instant::now()), told(500_000));
        for _ in 0..4 {
            advance(SPAN).await;
            meter.takes(50);
            meter.pace(Instant::now());
        }
        assert!(meter.pace(Instant::now()).is_some_and(|pace| (1..=10).contains(&pace.rate)));
        advance(SPAN).await;
        assert_eq!(meter.pace(Instant::now()), told(0), "for so long nothing was taken");
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_waits_for_bytes_is_not_slow() {
        let meter = Meter::new();
        advance(5 * second()).await;
        assert_eq!(meter.pace(Instant::now()), None, "nothing was there for it");
        meter.takes(10);
        assert_eq!(meter.pace(Instant::now()), Some(Pace { rate: 10_000, told: false }), "it has just come");
        advance(second()).await;
        assert_eq!(meter.pace(Instant::now()), Some(Pace { rate: 10, told: false }));
        assert_eq!(meter.idles(Instant::now()), second());
        advance(second()).await;
        assert_eq!(meter.pace(Instant::now()), told(5));
        meter.waits();
        assert_eq!((meter.pace(Instant::now()), meter.idles(Instant::now())), (None, Duration::ZERO));
        advance(2 * SPAN).await;
        meter.holds();
        assert_eq!(meter.idles(Instant::now()), Duration::ZERO, "it has waited until now");
        advance(second()).await;
        meter.holds();
        assert_eq!(meter.idles(Instant::now()), second());
    }

    #[tokio::test(start_paused = true)]
    async fn all_that_a_client_waited_is_taken_off_and_no_more_than_that() {
        let meter = Meter::new();
        // So much that a millisecond tells.
        let bytes = 60_000_000;
        meter.takes(bytes);
        for wait in [1, 2] {
            // As often as it asks and finds nothing.
            for _ in 0..wait {
                meter.waits();
                advance(second()).await;
            }
            meter.takes(0);
            meter.takes(0);
            advance(second()).await;
        }
        assert_eq!(meter.pace(Instant::now()), told(bytes / 2));
        meter.waits();
        advance(second()).await;
        meter.holds();
        advance(second()).await;
        assert_eq!(meter.pace(Instant::now()), told(bytes / 3));
    }

    /// Marks are set while it waits, too.
    #[tokio::test(start_paused = true)]
    async fn what_a_client_waited_before_a_mark_is_not_taken_off_what_came_after() {
        let meter = Meter::new();
        for _ in 0..3 {
            advance(SPAN).await;
            meter.pace(Instant::now());
        }
        // So much that a millisecond tells.
        meter.takes(100_000_000);
        advance(4 * second()).await;
        assert_eq!(meter.pace(Instant::now()), told(25_000_000));
    }
}
