//! The series of single volume servers in the metrics: so many have one in their name, all others one together.
//!
//! Who comes first has a name of its own until it is forgotten. A server keeps its series for as long as it is known, so that
//! its counters never fall.

use std::{
    collections::HashSet,
    sync::{
        Arc, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};

use crate::sync::Mutex;

/// The label of those that have no name of their own.
const OTHER: &str = "other";
/// Seconds. Few, for each is a series for every server.
const FIRST_BYTE: [f64; 6] = [0.001, 0.005, 0.025, 0.1, 0.5, 2.5];

/// The series of all servers. Clones are the same.
#[derive(Clone)]
pub(crate) struct ServerSeries(Arc<All>);

struct All {
    first_byte: HistogramVec,
    failures: IntCounterVec,
    requests: IntGaugeVec,
    aside: IntGaugeVec,
    /// How many may have a name.
    most: AtomicUsize,
    named: Mutex<HashSet<Arc<str>>>,
}

/// Those of one server, or what the others have together.
#[derive(Clone)]
pub(crate) struct Series {
    /// The time to the first byte of its answers, seconds.
    pub(crate) first_byte: Histogram,
    /// Requests that failed by its fault.
    pub(crate) failures: IntCounter,
    /// Requests that have a place at it.
    pub(crate) requests: IntGauge,
    /// 1 while it is set aside.
    pub(crate) aside: IntGauge,
}

impl ServerSeries {
    /// Registers them.
    ///
    /// # Errors
    /// When the registry holds a metric of one of these names already.
    pub(crate) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        const LABEL: [&str; 1] = ["server"];
        let first_byte = HistogramOpts::new(
            "tidegate_volume_server_first_byte_seconds",
            "From a request to a volume server to the first byte of its answer, by the server.",
        );
        let failures = Opts::new(
            "tidegate_volume_server_failures_total",
            "Requests that failed by a volume server's fault, by the server.",
        );
        let requests =
            Opts::new("tidegate_volume_server_requests", "Requests that a volume server has now, by the server.");
        let aside =
            Opts::new("tidegate_volume_server_aside", "Whether a volume server is set aside: 1 or 0, by the server.");
        let all = All {
            first_byte: HistogramVec::new(first_byte.buckets(FIRST_BYTE.to_vec()), &LABEL)?,
            failures: IntCounterVec::new(failures, &LABEL)?,
            requests: IntGaugeVec::new(requests, &LABEL)?,
            aside: IntGaugeVec::new(aside, &LABEL)?,
            most: AtomicUsize::new(0),
            named: Mutex::default(),
        };
        registry.register(Box::new(all.first_byte.clone()))?;
        registry.register(Box::new(all.failures.clone()))?;
        registry.register(Box::new(all.requests.clone()))?;
        registry.register(Box::new(all.aside.clone()))?;
        all.labelled(OTHER);
        Ok(Self(Arc::new(all)))
    }

    /// So many servers may have a name from now on.
    pub(crate) fn name_at_most(&self, servers: usize) {
        self.0.most.store(servers, Ordering::Relaxed);
    }

    /// Those of the server at this address.
    pub(crate) fn of(&self, authority: &Arc<str>) -> Series {
        let mut named = self.0.named.lock().unwrap_or_else(PoisonError::into_inner);
        let has_name = named.contains(authority)
            || (named.len() < self.0.most.load(Ordering::Relaxed) && named.insert(Arc::clone(authority)));
        self.0.labelled(if has_name { authority } else { OTHER })
    }

    /// The server at this address is not known any more: another one may have its place.
    pub(crate) fn forget(&self, authority: &str) {
        if self.0.named.lock().unwrap_or_else(PoisonError::into_inner).remove(authority) {
            // Each has it.
            let _ = self.0.first_byte.remove_label_values(&[authority]);
            let _ = self.0.failures.remove_label_values(&[authority]);
            let _ = self.0.requests.remove_label_values(&[authority]);
            let _ = self.0.aside.remove_label_values(&[authority]);
        }
    }
}

impl All {
    fn labelled(&self, server: &str) -> Series {
        Series {
            first_byte: self.first_byte.with_label_values(&[server]),
            failures: self.failures.with_label_values(&[server]),
            requests: self.requests.with_label_values(&[server]),
            aside: self.aside.with_label_values(&[server]),
        }
    }
}

#[cfg(test)]
#[cfg(not(feature = "shuttle"))]
mod tests {
    use super::*;

    fn names(registry: &Registry) -> Vec<String> {
        let families = registry.gather();
        let aside = families.iter().find(|family| family.name() == "tidegate_volume_server_aside").unwrap();
        aside.get_metric().iter().map(|metric| metric.get_label()[0].value().to_owned()).collect()
    }

    #[test]
    fn so_many_have_a_name_and_the_rest_is_summed() {
        let registry = Registry::new();
        let series = ServerSeries::register(&registry).unwrap();
        series.name_at_most(2);
        let of = |name: &str| series.of(&Arc::from(name));
        for name in ["a:1", "b:1", "c:1", "d:1", "a:1"] {
            of(name).failures.inc();
        }
        assert_eq!(names(&registry), ["a:1", "b:1", "other"]);
        let failed = ["a:1", "b:1", OTHER].map(|name| series.0.failures.with_label_values(&[name]).get());
        assert_eq!(failed, [2, 1, 2]);
        series.forget("c:1");
        series.forget("a:1");
        of("e:1").failures.inc();
        of("a:1").failures.inc();
        assert_eq!(names(&registry), ["b:1", "e:1", "other"], "a name that is free again goes to the next");
        assert_eq!(series.0.failures.with_label_values(&[OTHER]).get(), 3);
    }
}
