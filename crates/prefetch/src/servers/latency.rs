//! How late is late: the 95th percentile of the time to the first byte, by the size of the request.

use std::{sync::PoisonError, time::Duration};

use crate::sync::Mutex;

/// Upper bounds of the size classes, in bytes; the last one has none.
const CLASSES: [u64; 3] = [64 << 10, 256 << 10, 1 << 20];
/// Samples that are kept for each class.
const KEPT: usize = 256;
/// Samples without which nothing is said.
const BASIS: usize = 64;
/// The percentile is worked out anew after so many samples.
const EVERY: usize = 32;
/// Less than this is no lateness worth a second request: the timer itself is not finer.
const LEAST: Duration = Duration::from_millis(2);

/// The latencies of all servers together.
#[derive(Default)]
pub(super) struct Latencies([Mutex<Class>; CLASSES.len() + 1]);

#[derive(Default)]
struct Class {
    samples: Vec<Duration>,
    next: usize,
    since: usize,
    late: Option<Duration>,
}

impl Latencies {
    /// A request for `bytes` began its answer after `latency`.
    pub(super) fn record(&self, bytes: u64, latency: Duration) {
        self.class(bytes).lock().unwrap_or_else(PoisonError::into_inner).record(latency);
    }

    /// When a request for `bytes` is late; `None`: not known yet.
    pub(super) fn late(&self, bytes: u64) -> Option<Duration> {
        self.class(bytes).lock().unwrap_or_else(PoisonError::into_inner).late
    }

    fn class(&self, bytes: u64) -> &Mutex<Class> {
        &self.0[CLASSES.partition_point(|bound| *bound < bytes)]
    }
}

impl Class {
    fn record(&mut self, latency: Duration) {
        if self.samples.len() < KEPT {
            self.samples.push(latency);
        } else {
            self.samples[self.next] = latency;
            self.next = (self.next + 1) % KEPT;
        }
        self.since += 1;
        if self.since >= EVERY && self.samples.len() >= BASIS {
            self.since = 0;
            let mut sorted = self.samples.clone();
            let rank = sorted.len() * 95 / 100;
            let (_, late, _) = sorted.select_nth_unstable(rank);
            self.late = Some((*late).max(LEAST));
        }
    }
}

#[cfg(test)]
#[cfg(not(feature = "shuttle"))]
mod tests {
    use super::*;

    /// As many milliseconds.
    fn ms(milliseconds: usize) -> Duration {
        Duration::from_millis(milliseconds as u64)
    }

    #[test]
    fn a_class_goes_up_to_its_bound() {
        for (before, bound) in [(0, 65_536), (65_536, 262_144), (262_144, 1_048_576), (1_048_576, u64::MAX)] {
            let latencies = Latencies::default();
            (0..BASIS).for_each(|_| latencies.record(bound, ms(10)));
            let late = [before, before + 1, bound].map(|bytes| latencies.late(bytes).is_some());
            assert_eq!(late, [before == 0, true, true], "{bound}");
            assert_eq!(latencies.late(bound.saturating_add(1)).is_some(), bound == u64::MAX);
        }
    }

    #[test]
    fn nothing_is_said_on_less_than_the_basis_and_then_now_and_then() {
        let mut class = Class::default();
        let said: Vec<_> = (1..=128)
            .filter(|sample| {
                let before = class.late;
                class.record(ms(*sample));
                class.late != before
            })
            .collect();
        assert_eq!(said, [64, 96, 128]);
        assert_eq!(class.late, Some(ms(122)), "five of a hundred are later");
    }

    #[test]
    fn the_oldest_samples_are_forgotten() {
        let mut class = Class::default();
        (0..KEPT).for_each(|_| class.record(ms(500)));
        assert_eq!(class.late, Some(ms(500)));
        (0..KEPT).for_each(|_| class.record(ms(5)));
        assert_eq!((class.late, class.samples.len()), (Some(ms(5)), KEPT));
    }

    #[test]
    fn what_is_finer_than_the_timer_is_not_late() {
        let mut class = Class::default();
        (0..BASIS).for_each(|_| class.record(Duration::from_micros(100)));
        assert_eq!(class.late, Some(LEAST));
    }
}
