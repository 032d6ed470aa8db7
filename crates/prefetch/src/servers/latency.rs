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
