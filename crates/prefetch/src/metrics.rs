//! What the engine counts. The daemon hands in its registry.

use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry, core::Collector};

/// The engine's metrics, all of them at 0 from the start.
#[derive(Clone)]
pub struct Metrics {
    pub(crate) in_flight: IntGauge,
    pub(crate) ok: IntCounter,
    pub(crate) failed: IntCounter,
    pub(crate) canceled: IntCounter,
    pub(crate) bytes: IntCounter,
    pub(crate) retries: IntCounterVec,
    pub(crate) buffered: IntGauge,
}

/// Every value of the label `reason`.
const REASONS: [&str; 5] = ["connect", "timeout", "status", "broken", "length"];

impl Metrics {
    /// Creates the metrics and registers them.
    ///
    /// # Errors
    /// When the registry holds a metric of one of these names already.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let in_flight =
            IntGauge::new("tidegate_fetches_in_flight", "Fetches from volume servers that are under way now.")?;
        let total =
            IntCounterVec::new(Opts::new("tidegate_fetches_total", "Fetches that ended, by outcome."), &["outcome"])?;
        let bytes = IntCounter::new("tidegate_fetch_bytes_total", "Body bytes received from volume servers.")?;
        let retries = IntCounterVec::new(
            Opts::new("tidegate_fetch_retries_total", "Fetches that went on at another attempt, by reason."),
            &["reason"],
        )?;
        let buffered = IntGauge::new(
            "tidegate_prefetch_buffer_bytes",
            "Memory that holds fetched bytes on their way to clients, of what prefetch.memory allows.",
        )?;
        let all: [Box<dyn Collector>; 5] = [
            Box::new(in_flight.clone()),
            Box::new(total.clone()),
            Box::new(bytes.clone()),
            Box::new(retries.clone()),
            Box::new(buffered.clone()),
        ];
        for collector in all {
            registry.register(collector)?;
        }
        for reason in REASONS {
            retries.with_label_values(&[reason]);
        }
        Ok(Self {
            in_flight,
            ok: total.with_label_values(&["ok"]),
            failed: total.with_label_values(&["failed"]),
            canceled: total.with_label_values(&["canceled"]),
            bytes,
            retries,
            buffered,
        })
    }
}

/// Counts one fetch: in flight while it lives, canceled when it is dropped without an outcome.
pub(crate) struct InFlight<'a> {
    metrics: &'a Metrics,
    ended: bool,
}

impl<'a> InFlight<'a> {
    pub(crate) fn begin(metrics: &'a Metrics) -> Self {
        metrics.in_flight.inc();
        Self { metrics, ended: false }
    }

    pub(crate) fn end(mut self, ok: bool) {
        self.ended = true;
        if ok { &self.metrics.ok } else { &self.metrics.failed }.inc();
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.metrics.in_flight.dec();
        if !self.ended {
            self.metrics.canceled.inc();
        }
    }
}
