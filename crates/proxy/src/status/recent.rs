//! What happened lately: a few counters as they were a while ago.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::readings::Readings;

/// How long ago lately is.
const LATELY: Duration = Duration::from_secs(300);
/// How often counters are noted.
pub(super) const NOTED: Duration = Duration::from_secs(10);
/// Rates are of this time at least.
const LEAST: Duration = Duration::from_millis(900);

/// Those that are noted.
#[derive(Clone, Copy, Default)]
pub(super) struct Counters {
    pub(super) bytes: u64,
    pub(super) requests: u64,
    /// Answers of 5xx.
    pub(super) failed: u64,
    /// Answers that broke off by a failure.
    pub(super) cut: u64,
    /// Clients that were turned away by a limit.
    pub(super) refused: u64,
    /// Chunks that were not what they should be.
    pub(super) unsound: u64,
    /// Lines of logs that are missing.
    pub(super) lost_lines: u64,
}

impl Counters {
    fn of(readings: &Readings) -> Self {
        let codes = readings.by("tidegate_requests_total", "code").into_iter();
        let count = |name, labels| readings.count(name, labels);
        Self {
            bytes: count("tidegate_response_bytes_total", &[]),
            requests: count("tidegate_requests_total", &[]),
            failed: codes.filter(|(code, _)| code.starts_with('5')).map(|(_, count)| count).sum::<f64>() as u64,
            cut: count("tidegate_responses_cut_total", &[("by", "failure")]),
            refused: count("tidegate_connections_refused_total", &[("reason", "limit")])
                + count("tidegate_limits_hit_total", &[("limit", "requests")]),
            unsound: count("tidegate_replica_flaws_total", &[("flaw", "unsound")]),
            lost_lines: count("tidegate_log_lines_dropped_total", &[]),
        }
    }

    fn since(self, before: Self) -> Self {
        Self {
            bytes: self.bytes.saturating_sub(before.bytes),
            requests: self.requests.saturating_sub(before.requests),
            failed: self.failed.saturating_sub(before.failed),
            cut: self.cut.saturating_sub(before.cut),
            refused: self.refused.saturating_sub(before.refused),
            unsound: self.unsound.saturating_sub(before.unsound),
            lost_lines: self.lost_lines.saturating_sub(before.lost_lines),
        }
    }
}

/// What happened lately.
pub(super) struct RecentActivity {
    pub(super) bytes_per_second: f64,
    pub(super) requests_per_second: f64,
    /// How much was counted in that time.
    pub(super) gone: Counters,
}

/// The counters of the last minutes.
pub(super) struct RecentCounters(Mutex<CounterHistory>);

struct CounterHistory {
    /// Every [`NOTED`], the oldest first.
    noted: VecDeque<(Instant, Counters)>,
    /// When somebody looked last, and the rates that he was told.
    looked: (Instant, Counters),
    rates: (f64, f64),
}

impl RecentCounters {
    /// Nothing has happened yet.
    pub(super) fn new() -> Self {
        let now = (Instant::now(), Counters::default());
        Self(Mutex::new(CounterHistory { noted: VecDeque::from([now]), looked: now, rates: (0.0, 0.0) }))
    }

    /// Notes them as they are now.
    pub(super) fn note(&self, readings: &Readings) {
        self.add(Instant::now(), Counters::of(readings));
    }

    fn add(&self, now: Instant, counters: Counters) {
        let mut history = self.history();
        // The oldest that is old enough stays.
        while history.noted.get(1).is_some_and(|(at, _)| now.duration_since(*at) >= LATELY) {
            history.noted.pop_front();
        }
        history.noted.push_back((now, counters));
    }

    /// What happened since five minutes ago, or the start.
    pub(super) fn lately(&self, readings: &Readings) -> RecentActivity {
        self.until(Instant::now(), Counters::of(readings))
    }

    fn until(&self, now: Instant, counters: Counters) -> RecentActivity {
        let mut history = self.history();
        let before = history.noted.front().map_or(counters, |(_, before)| *before);
        // Who looks seldom is told of the last seconds all the same.
        let (at, looked) =
            history.noted.back().copied().filter(|noted| noted.0 > history.looked.0).unwrap_or(history.looked);
        let time = now.duration_since(at);
        if time >= LEAST {
            let gone = counters.since(looked);
            history.rates = (gone.bytes as f64 / time.as_secs_f64(), gone.requests as f64 / time.as_secs_f64());
            history.looked = (now, counters);
        }
        let (bytes_per_second, requests_per_second) = history.rates;
        RecentActivity { bytes_per_second, requests_per_second, gone: counters.since(before) }
    }

    fn history(&self) -> MutexGuard<'_, CounterHistory> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(failed: u64, bytes: u64) -> Counters {
        Counters { failed, bytes, ..Counters::default() }
    }

    #[tokio::test(start_paused = true)]
    async fn lately_is_five_minutes_and_no_more() {
        let recent = RecentCounters::new();
        let begin = Instant::now();
        for step in 1..=100 {
            recent.add(begin + step * NOTED, failed(step.into(), 0));
        }
        let now = begin + 100 * NOTED;
        assert_eq!(recent.until(now, failed(103, 0)).gone.failed, 33);
        assert!(recent.history().noted.len() <= 32);
    }

    #[tokio::test(start_paused = true)]
    async fn a_rate_is_of_the_last_seconds_for_all_who_look() {
        let recent = RecentCounters::new();
        let begin = Instant::now();
        recent.add(begin + NOTED, failed(0, 1000));
        let second = Duration::from_secs(1);
        let rate = |at, bytes| recent.until(at, failed(0, bytes)).bytes_per_second;
        assert_eq!(rate(begin + NOTED + second, 3000), 2000.0);
        assert_eq!(rate(begin + NOTED + second + second / 2, 9000), 2000.0, "another one who looks at once");
        assert_eq!(rate(begin + NOTED + 3 * second, 3000), 0.0);
    }
}
