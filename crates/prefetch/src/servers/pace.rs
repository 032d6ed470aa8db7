//! How fast a server begins its answers, and what its failures cost.

use std::time::Duration;

use tokio::time::Instant;

/// How fast old latencies are forgotten.
const MEMORY: Duration = Duration::from_secs(10);
/// How much one answer can raise the average: one that is late by accident does not make a server slow.
const RISE: f64 = 4.0;
/// The least that an average rises to from any late answer, in seconds.
const RISE_TO: f64 = 1e-3;
/// What a failure multiplies the cost of the next requests with, and what failures come to at most.
const PENALTY: (f64, f64) = (4.0, 16.0);
/// How fast penalties are forgotten.
const PARDON: Duration = Duration::from_secs(1);
/// What a server counts as that was never asked, in seconds: little, but not nothing. It must not get all the load at once.
pub(super) const UNKNOWN: f64 = 50e-6;

/// The pace of one server.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Of answers, and of requests that were given up without one after so long.
    latency: Average,
    /// Of answers alone.
    answered: Average,
    /// What the cost is multiplied with, as it was then.
    penalty: f64,
    failed: Instant,
}

/// An average of the time to the first byte, in seconds: rises fast, falls slowly.
#[derive(Clone, Copy, Debug)]
struct Average {
    value: f64,
    updated: Instant,
}

impl Average {
    fn observe(&mut self, latency: Duration, now: Instant) {
        let latency = latency.as_secs_f64();
        let before = self.at(now);
        self.value = if self.value == 0.0 {
            latency
        } else if latency > before {
            latency.min((before * RISE).max(RISE_TO))
        } else {
            before * self.weight(now) + latency * (1.0 - self.weight(now))
        };
        self.updated = now;
    }

    fn at(&self, now: Instant) -> f64 {
        self.value * self.weight(now)
    }

    fn weight(&self, now: Instant) -> f64 {
        (-(now - self.updated).as_secs_f64() / MEMORY.as_secs_f64()).exp()
    }
}

impl Pace {
    pub(super) fn new(now: Instant) -> Self {
        let none = Average { value: 0.0, updated: now };
        Self { latency: none, answered: none, penalty: 1.0, failed: now }
    }

    /// An answer began after `latency`.
    pub(super) fn observe(&mut self, latency: Duration, now: Instant) {
        self.latency.observe(latency, now);
        self.answered.observe(latency, now);
    }

    /// A request gave up after that time without an answer: the next one may take as long.
    pub(super) fn waited(&mut self, time: Duration, now: Instant) {
        if time.as_secs_f64() > self.latency(now) {
            self.latency.observe(time, now);
        }
    }

    /// A request failed, however fast.
    pub(super) fn failed(&mut self, now: Instant) {
        self.penalty = (self.penalty(now) * PENALTY.0).min(PENALTY.1);
        self.failed = now;
    }

    /// A request was answered soundly.
    pub(super) fn sound(&mut self, now: Instant) {
        self.penalty = 1.0 + (self.penalty(now) - 1.0) / 2.0;
        self.failed = now;
    }

    /// The time to the first byte that is to be expected, in seconds.
    pub(super) fn latency(&self, now: Instant) -> f64 {
        self.latency.at(now)
    }

    /// The time to the first byte of answers lately, in seconds, whatever was given up meanwhile.
    pub(super) fn answered(&self, now: Instant) -> f64 {
        self.answered.at(now)
    }

    /// What failures multiply the cost with, at least 1.
    pub(super) fn penalty(&self, now: Instant) -> f64 {
        1.0 + (self.penalty - 1.0) * (-(now - self.failed).as_secs_f64() / PARDON.as_secs_f64()).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_failure_does_not_make_a_server_of_1_ms_one_of_2_s() {
        let now = Instant::now();
        let mut pace = Pace::new(now);
        pace.observe(Duration::from_millis(1), now);
        pace.failed(now);
        assert!((pace.penalty(now) - 4.0).abs() < 1e-9);
        assert!(pace.penalty(now + Duration::from_secs(3)) < 1.2, "it is forgotten in seconds");
        (0..20).for_each(|_| pace.failed(now));
        assert!(pace.penalty(now) <= 16.0);
        (0..6).for_each(|_| pace.sound(now));
        assert!(pace.penalty(now) < 1.3, "or by a few sound answers");
    }

    fn is_about(value: f64, expected: f64) -> bool {
        (value / expected - 1.0).abs() < 1e-9
    }

    #[tokio::test(start_paused = true)]
    async fn old_answers_count_less_and_less() {
        let now = Instant::now();
        let mut pace = Pace::new(now);
        pace.observe(Duration::from_millis(100), now);
        let later = now + MEMORY;
        assert!(is_about(pace.latency(later), 0.1 * (-1f64).exp()));
        pace.observe(Duration::from_millis(10), later);
        let expected = 0.1 * (-2f64).exp() + 0.01 * (1.0 - (-1f64).exp());
        assert!(is_about(pace.latency(later), expected) && is_about(pace.answered(later), expected));
    }

    #[tokio::test(start_paused = true)]
    async fn a_sound_answer_takes_half_of_a_penalty_away() {
        let now = Instant::now();
        let mut pace = Pace::new(now);
        pace.failed(now);
        pace.sound(now);
        assert!(is_about(pace.penalty(now), 2.5));
    }

    #[tokio::test(start_paused = true)]
    async fn one_late_answer_does_not_make_a_server_slow_and_many_do() {
        let now = Instant::now();
        let mut pace = Pace::new(now);
        pace.observe(Duration::from_millis(1), now);
        pace.observe(Duration::from_secs(2), now);
        assert!(pace.latency(now) <= 4.1e-3);
        (0..8).for_each(|_| pace.observe(Duration::from_secs(2), now));
        assert!(pace.latency(now) > 1.9);
        assert!(pace.latency(now + Duration::from_secs(100)) < 1e-3);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_given_up_is_expected_to_take_long_and_does_not_count_as_an_answer() {
        let now = Instant::now();
        let mut pace = Pace::new(now);
        pace.observe(Duration::from_millis(1), now);
        (0..8).for_each(|_| pace.waited(Duration::from_secs(1), now));
        assert!(pace.latency(now) > 0.9 && is_about(pace.answered(now), 1e-3));
    }
}
