//! What the engine counts. The daemon hands in its registry.

use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry};

use crate::servers::{Flaw, ServerSeries};

/// The engine's metrics, all of them at 0 from the start.
#[derive(Clone)]
pub struct Metrics {
    pub(crate) in_flight: IntGauge,
    pub(crate) ok: IntCounter,
    pub(crate) failed: IntCounter,
    pub(crate) canceled: IntCounter,
    pub(crate) bytes: IntCounter,
    pub(crate) retries: IntCounterVec,
    pub(crate) hedges_sent: IntCounter,
    pub(crate) hedges_won: IntCounter,
    pub(crate) ejections: IntCounter,
    pub(crate) flaws: IntCounterVec,
    pub(crate) lookups_again: IntCounter,
    pub(crate) resumed_bytes: IntCounter,
    pub(crate) moved: IntCounter,
    pub(crate) crc_failures: IntCounter,
    pub(crate) buffered: IntGauge,
    pub(crate) memory_waits: IntCounterVec,
    pub(crate) cuts: IntCounterVec,
    pub(crate) window: Histogram,
    pub(crate) servers: ServerSeries,
}

/// Every value of the label `reason`.
const REASONS: [&str; 9] =
    ["connect", "timeout", "not_found", "busy", "unauthorized", "status", "broken", "length", "corrupt"];
/// Every value of the label `for`.
const WAITS: [&str; 3] = ["floor", "whole", "ahead"];
/// Every value of the label `reason` of downloads that were cut.
const CUTS: [&str; 2] = ["share", "slow"];

impl Metrics {
    /// Creates the metrics and registers them.
    ///
    /// # Errors
    /// When the registry holds a metric of one of these names already.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let fetches = counters(registry, "tidegate_fetches_total", "Fetches that ended, by outcome.", "outcome")?;
        let hedges = counters(
            registry,
            "tidegate_fetch_hedges_total",
            "Second requests to another replica because the first was late: sent, and those that answered first.",
            "outcome",
        )?;
        let retries = counters(
            registry,
            "tidegate_fetch_retries_total",
            "Attempts after one that failed, by why it failed.",
            "reason",
        )?;
        let memory_waits = counters(
            registry,
            "tidegate_prefetch_memory_waits_total",
            "Times that prefetch.memory was short: for a download's floor, for a chunk read whole, for fetching ahead.",
            "for",
        )?;
        let cuts = counters(
            registry,
            "tidegate_downloads_cut_total",
            "Downloads cut because others waited for memory: their peer had most of it, or their client was too slow.",
            "reason",
        )?;
        for cut in CUTS {
            cuts.with_label_values(&[cut]);
        }
        let flaws = counters(
            registry,
            "tidegate_replica_flaws_total",
            "Needles found that one server lacks, or could not give soundly.",
            "flaw",
        )?;
        for flaw in Flaw::ALL {
            flaws.with_label_values(&[flaw.label()]);
        }
        for reason in REASONS {
            retries.with_label_values(&[reason]);
        }
        for wait in WAITS {
            memory_waits.with_label_values(&[wait]);
        }
        let buckets = prometheus::exponential_buckets((64 << 10) as f64, 4.0, 7)?;
        let window = Histogram::with_opts(
            HistogramOpts::new("tidegate_prefetch_window_bytes", "The automatic window at the end of a download.")
                .buckets(buckets),
        )?;
        registry.register(Box::new(window.clone()))?;
        Ok(Self {
            in_flight: gauge(
                registry,
                "tidegate_fetches_in_flight",
                "Fetches from volume servers that are under way now.",
            )?,
            ok: fetches.with_label_values(&["ok"]),
            failed: fetches.with_label_values(&["failed"]),
            canceled: fetches.with_label_values(&["canceled"]),
            bytes: counter(registry, "tidegate_fetch_bytes_total", "Body bytes received from volume servers.")?,
            retries,
            hedges_sent: hedges.with_label_values(&["sent"]),
            hedges_won: hedges.with_label_values(&["won"]),
            ejections: counter(
                registry,
                "tidegate_volume_server_ejections_total",
                "Times that a volume server was set aside for repeated failures.",
            )?,
            flaws,
            lookups_again: counter(
                registry,
                "tidegate_volume_lookups_again_total",
                "Volumes looked up afresh because all known locations had failed.",
            )?,
            resumed_bytes: counter(
                registry,
                "tidegate_fetch_resumed_bytes_total",
                "Bytes that did not have to be fetched again because a broken fetch went on where it broke.",
            )?,
            moved: counter(
                registry,
                "tidegate_fetch_moved_chunks_total",
                "Fetches that went on because the file has the same chunk under another file id.",
            )?,
            crc_failures: counter(
                registry,
                "tidegate_fetch_crc_failures_total",
                "Chunks whose bytes did not match the volume server's CRC-32C.",
            )?,
            buffered: gauge(
                registry,
                "tidegate_prefetch_buffer_bytes",
                "Memory that holds fetched bytes on their way to clients, of what prefetch.memory allows.",
            )?,
            memory_waits,
            cuts,
            window,
            servers: ServerSeries::register(registry)?,
        })
    }

    pub(crate) fn retried(&self, reason: &str) {
        self.retries.with_label_values(&[reason]).inc();
    }

    pub(crate) fn found(&self, flaw: Flaw) {
        self.flaws.with_label_values(&[flaw.label()]).inc();
    }

    pub(crate) fn memory_was_short(&self, what_for: &str) {
        self.memory_waits.with_label_values(&[what_for]).inc();
    }
}

fn counter(registry: &Registry, name: &str, help: &str) -> Result<IntCounter, prometheus::Error> {
    let counter = IntCounter::new(name, help)?;
    registry.register(Box::new(counter.clone()))?;
    Ok(counter)
}

fn counters(registry: &Registry, name: &str, help: &str, label: &str) -> Result<IntCounterVec, prometheus::Error> {
    let counters = IntCounterVec::new(Opts::new(name, help), &[label])?;
    registry.register(Box::new(counters.clone()))?;
    Ok(counters)
}

fn gauge(registry: &Registry, name: &str, help: &str) -> Result<IntGauge, prometheus::Error> {
    let gauge = IntGauge::new(name, help)?;
    registry.register(Box::new(gauge.clone()))?;
    Ok(gauge)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_for_memory_are_counted_by_what_it_is_for() {
        let metrics = Metrics::register(&Registry::new()).unwrap();
        metrics.memory_was_short("floor");
        metrics.memory_was_short("whole");
        metrics.memory_was_short("whole");
        assert_eq!(["floor", "whole"].map(|what| metrics.memory_waits.with_label_values(&[what]).get()), [1, 2]);
    }
}
