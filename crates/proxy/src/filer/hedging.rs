//! When a second filer is asked beside one that is late.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

/// A filer that is silent for so long stands still: nobody waits for it alone, whatever that costs.
pub(super) const STANDS_STILL: Duration = Duration::from_secs(1);
/// Nothing sooner than that is late.
const AT_LEAST: Duration = Duration::from_millis(10);
/// Answers that are remembered.
const REMEMBERED: usize = 128;
/// Answers before which nothing is known.
const ENOUGH: usize = 32;
/// What a second question costs, in calls: 1 in 20 may be asked twice.
const COST: u32 = 20;
/// Questions that are saved up.
const SAVED: u32 = 50;

/// How long one filer takes for its answers.
#[derive(Debug, Default)]
pub(super) struct Latencies(Mutex<LatencyWindow>);

#[derive(Debug, Default)]
struct LatencyWindow {
    latencies: Vec<Duration>,
    next: usize,
    /// What 95 in 100 take at most, as of the last time that it was reckoned.
    usual: Option<Duration>,
}

impl Latencies {
    /// An answer came after `latency`.
    pub(super) fn record(&self, latency: Duration) {
        let mut recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if recent.latencies.len() < REMEMBERED {
            recent.latencies.push(latency);
        } else {
            let next = recent.next;
            recent.latencies[next] = latency;
        }
        recent.next = (recent.next + 1) % REMEMBERED;
        if recent.next.is_multiple_of(ENOUGH) {
            let mut sorted = recent.latencies.clone();
            sorted.sort_unstable();
            recent.usual = sorted.get(sorted.len() * 95 / 100).copied();
        }
    }

    /// What half of the latest answers took at most; `None`: there was none.
    pub(super) fn median(&self) -> Option<Duration> {
        let mut latencies = self.0.lock().unwrap_or_else(PoisonError::into_inner).latencies.clone();
        let middle = latencies.len() / 2;
        (!latencies.is_empty()).then(|| *latencies.select_nth_unstable(middle).1)
    }

    /// From when on an answer is late.
    pub(super) fn late(&self) -> Duration {
        let recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        recent.usual.map_or(STANDS_STILL, |usual| usual.clamp(AT_LEAST, STANDS_STILL))
    }
}

/// How many second questions are left. Where all answers are late, it is not the one filer that is slow.
#[derive(Debug)]
pub(super) struct Savings(AtomicU32);

impl Savings {
    pub(super) fn new() -> Self {
        Self(AtomicU32::new(COST * SAVED))
    }

    /// A call is made.
    pub(super) fn earn(&self) {
        let more = |saved: u32| (saved < COST * SAVED).then_some(saved + 1);
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
    }

    /// Whether a second question may be asked; it is paid for.
    pub(super) fn spend(&self) -> bool {
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |saved| saved.checked_sub(COST)).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn late_is_what_is_later_than_95_in_100() {
        let latencies = Latencies::default();
        assert_eq!(latencies.late(), STANDS_STILL);
        (1..=100).for_each(|ms| latencies.record(Duration::from_millis(ms)));
        assert_eq!(latencies.late(), Duration::from_millis(92), "of the first 96");
        (0..200).for_each(|_| latencies.record(Duration::from_micros(100)));
        assert_eq!(latencies.late(), AT_LEAST);
        (0..200).for_each(|_| latencies.record(Duration::from_secs(9)));
        assert_eq!(latencies.late(), STANDS_STILL);
    }

    #[test]
    fn one_call_in_twenty_may_be_made_twice() {
        let savings = Savings::new();
        let spent = (0..1000).filter(|_| savings.spend()).count();
        assert_eq!(spent, SAVED as usize);
        let spent = (0..1000).filter(|_| {
            savings.earn();
            savings.spend()
        });
        assert_eq!(spent.count(), 50);
    }
}
