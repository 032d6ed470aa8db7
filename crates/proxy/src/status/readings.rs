//! The metrics, read by name: whatever is exported can be told here too.

use std::collections::BTreeMap;

use prometheus::{
    Registry,
    proto::{Metric, MetricFamily, MetricType},
};

/// All counters and gauges at one moment.
pub(super) struct Readings(Vec<MetricFamily>);

impl Readings {
    pub(super) fn of(registry: &Registry) -> Self {
        Self(registry.gather())
    }

    /// The sum of all series of that name that carry these labels; 0 where there is none.
    pub(super) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let has = |metric: &&Metric| {
            labels.iter().all(|wanted| metric.get_label().iter().any(|label| (label.name(), label.value()) == *wanted))
        };
        self.of_name(name).filter(|(_, metric)| has(metric)).map(value).sum()
    }

    /// The same as a whole number.
    pub(super) fn count(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        self.sum(name, labels).max(0.0) as u64
    }

    /// The series of that name, summed by the values of one label.
    pub(super) fn by(&self, name: &str, label: &str) -> BTreeMap<String, f64> {
        let mut sums = BTreeMap::new();
        for (kind, metric) in self.of_name(name) {
            if let Some(label) = metric.get_label().iter().find(|pair| pair.name() == label) {
                *sums.entry(label.value().to_owned()).or_default() += value((kind, metric));
            }
        }
        sums
    }

    /// Whether there is any.
    pub(super) fn has(&self, name: &str) -> bool {
        self.of_name(name).next().is_some()
    }

    fn of_name(&self, name: &str) -> impl Iterator<Item = (MetricType, &Metric)> {
        let family = self.0.iter().find(|family| family.name() == name);
        family.into_iter().flat_map(|family| {
            let kind = family.get_field_type();
            family.get_metric().iter().map(move |metric| (kind, metric))
        })
    }
}

fn value((kind, metric): (MetricType, &Metric)) -> f64 {
    match kind {
        MetricType::COUNTER => metric.get_counter().get_value(),
        MetricType::GAUGE => metric.get_gauge().get_value(),
        MetricType::HISTOGRAM => metric.get_histogram().get_sample_count() as f64,
        MetricType::SUMMARY | MetricType::UNTYPED => 0.0,
    }
}
