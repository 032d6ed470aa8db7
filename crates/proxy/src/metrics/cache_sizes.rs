//! What our caches hold, read when somebody wants to know.

use prometheus::{
    IntGauge, IntGaugeVec, Opts, Registry,
    core::{Collector, Desc},
    proto::MetricFamily,
};

use super::Cache;

/// What a cache holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheContents {
    /// How many.
    pub entries: u64,
    /// What they take of the memory that the cache may take; `None`: it is bounded by their number.
    pub bytes: Option<u64>,
}

/// Looks into a cache, without waiting for anybody.
pub type CacheReader = Box<dyn Fn() -> CacheContents + Send + Sync>;

/// `tidegate_cache_bytes` and `tidegate_cache_entries`.
pub(crate) struct CacheSizes {
    bytes: IntGaugeVec,
    entries: IntGaugeVec,
    of: Vec<(CacheReader, IntGauge, Option<IntGauge>)>,
}

impl CacheSizes {
    /// Registers them. A cache that is off holds nothing.
    ///
    /// # Errors
    /// When a name is registered twice, which is a bug.
    pub(crate) fn register(
        registry: &Registry,
        caches: impl IntoIterator<Item = (Cache, CacheReader)>,
    ) -> prometheus::Result<()> {
        let bytes = Opts::new("tidegate_cache_bytes", "Memory that what is kept takes, of what the cache may take.");
        let bytes = IntGaugeVec::new(bytes, &["cache"])?;
        let entries = IntGaugeVec::new(Opts::new("tidegate_cache_entries", "What is kept, by the cache."), &["cache"])?;
        let gauges = |(cache, look): (Cache, CacheReader)| {
            let label = [cache.as_str()];
            let bytes = look().bytes.map(|_| bytes.with_label_values(&label));
            (look, entries.with_label_values(&label), bytes)
        };
        let of = caches.into_iter().map(gauges).collect();
        registry.register(Box::new(Self { bytes, entries, of }))
    }
}

impl Collector for CacheSizes {
    fn desc(&self) -> Vec<&Desc> {
        self.bytes.desc().into_iter().chain(self.entries.desc()).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        for (look, entries, bytes) in &self.of {
            let held = look();
            entries.set(gauge(held.entries));
            if let (Some(gauge_of), Some(held)) = (bytes, held.bytes) {
                gauge_of.set(gauge(held));
            }
        }
        self.bytes.collect().into_iter().chain(self.entries.collect()).collect()
    }
}

fn gauge(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
