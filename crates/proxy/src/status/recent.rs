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
    pub(super) bytes: f64,
    pub(super) requests: f64,
    /// Answers of 5xx.
    pub(super) failed: f64,
    /// Answers that broke off by a failure.
    pub(super) cut: f64,
    /// Clients that were turned away by a limit.
    pub(super) refused: f64,
    /// Chunks that were not what they should be.
    pub(super) unsound: f64,
    /// Lines of logs that are missing.
    pub(super) lost_lines: f64,
}

impl Counters {
    fn of(readings: &Readings) -> Self {
        let codes = readings.by("tidegate_requests_total", "code");
        let sum = |name, labels| readings.sum(name, labels);
        Self {
            bytes: sum("tidegate_response_bytes_total", &[]),
            requests: codes.values().sum(),
            failed: codes.iter().filter(|(code, _)| code.starts_with('5')).map(|(_, count)| count).sum(),
            cut: sum("tidegate_responses_cut_total", &[("by", "failure")]),
            refused: sum("tidegate_connections_refused_total", &[("reason", "limit")])
                + sum("tidegate_limits_hit_total", &[("limit", "requests")]),
            unsound: sum("tidegate_replica_flaws_total", &[("flaw", "unsound")]),
            lost_lines: sum("tidegate_log_lines_dropped_total", &[]),
        }
    }

    fn since(self, before: Self) -> Self {
        Self {
            bytes: self.bytes - before.bytes,
            requests: self.requests - before.requests,
            failed: self.failed - before.failed,
            cut: self.cut - before.cut,
            refused: self.refused - before.refused,
            unsound: self.unsound - before.unsound,
            lost_lines: self.lost_lines - before.lost_lines,
        }
    }
}

/// What happened lately.
#[derive(Clone, Copy, Default)]
pub(super) struct Lately {
    pub(super) bytes_per_second: f64,
    pub(super) requests_per_second: f64,
    pub(super) failed: u64,
    pub(super) cut: u64,
    pub(super) refused: u64,
    pub(super) unsound: u64,
    pub(super) lost_lines: u64,
}

/// The counters of the last minutes.
pub(super) struct Recent(Mutex<Past>);

struct Past {
    /// Every [`NOTED`], the oldest first.
    noted: VecDeque<(Instant, Counters)>,
    /// When somebody looked last, and the rates that he was told.
    looked: (Instant, Counters),
    rates: (f64, f64),
}

impl Recent {
    /// Nothing has happened yet.
    pub(super) fn new() -> Self {
        let now = (Instant::now(), Counters::default());
        Self(Mutex::new(Past { noted: VecDeque::from([now]), looked: now, rates: (0.0, 0.0) }))
    }

    /// Notes them as they are now.
    pub(super) fn note(&self, readings: &Readings) {
        self.add(Instant::now(), Counters::of(readings));
    }

    fn add(&self, now: Instant, counters: Counters) {
        let mut past = self.past();
        // The oldest that is old enough stays.
        while past.noted.get(1).is_some_and(|(at, _)| now.duration_since(*at) >= LATELY) {
            past.noted.pop_front();
        }
        past.noted.push_back((now, counters));
    }

    /// What happened since five minutes ago, or the start.
    pub(super) fn lately(&self, readings: &Readings) -> Lately {
        self.until(Instant::now(), Counters::of(readings))
    }

    fn until(&self, now: Instant, counters: Counters) -> Lately {
        let mut past = self.past();
        let before = past.noted.front().map_or(counters, |(_, before)| *before);
        // Who looks seldom is told of the last seconds all the same.
        let (at, looked) = past.noted.back().copied().filter(|noted| noted.0 > past.looked.0).unwrap_or(past.looked);
        let time = now.duration_since(at);
        if time >= LEAST {
            let gone = counters.since(looked);
            past.rates = (gone.bytes / time.as_secs_f64(), gone.requests / time.as_secs_f64());
            past.looked = (now, counters);
        }
        let gone = counters.since(before);
        let whole = |count: f64| count.max(0.0) as u64;
        Lately {
            bytes_per_second: past.rates.0,
            requests_per_second: past.rates.1,
            failed: whole(gone.failed),
            cut: whole(gone.cut),
            refused: whole(gone.refused),
            unsound: whole(gone.unsound),
            lost_lines: whole(gone.lost_lines),
        }
    }

    fn past(&self) -> MutexGuard<'_, Past> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(failed: f64, bytes: f64) -> Counters {
        Counters { failed, bytes, ..Counters::default() }
    }

    #[tokio::test(start_paused = true)]
    async fn lately_is_five_minutes_and_no_more() {
        let recent = Recent::new();
        let begin = Instant::now();
        for step in 1..=100 {
            recent.add(begin + step * NOTED, failed(f64::from(step), 0.0));
        }
        let now = begin + 100 * NOTED;
        assert_eq!(recent.until(now, failed(103.0, 0.0)).failed, 33);
        assert!(recent.past().noted.len() <= 32);
    }

    #[tokio::test(start_paused = true)]
    async fn a_rate_is_of_the_last_seconds_for_all_who_look() {
        let recent = Recent::new();
        let begin = Instant::now();
        recent.add(begin + NOTED, failed(0.0, 1000.0));
        let second = Duration::from_secs(1);
        let rate = |at, bytes| recent.until(at, failed(0.0, bytes)).bytes_per_second;
        assert_eq!(rate(begin + NOTED + second, 3000.0), 2000.0);
        assert_eq!(rate(begin + NOTED + second + second / 2, 9000.0), 2000.0, "another one who looks at once");
        assert_eq!(rate(begin + NOTED + 3 * second, 3000.0), 0.0);
    }
}
