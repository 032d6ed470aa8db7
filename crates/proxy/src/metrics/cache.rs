//! Lookups in our caches.

use prometheus::{IntCounter, IntCounterVec, Opts, Registry};

/// A cache of the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cache {
    /// Entries by path.
    Entries,
    /// Where volumes are.
    Locations,
    /// Unwrapped data keys.
    DataKeys,
    /// Chunks as they are stored.
    Chunks,
    /// Chunks that manifests list.
    Manifests,
}

/// What a lookup found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheOutcome {
    /// It was there, or was already being asked for by someone else.
    Hit,
    /// It had to be asked for.
    Miss,
}

impl Cache {
    const ALL: [Self; 5] = [Self::Entries, Self::Locations, Self::DataKeys, Self::Chunks, Self::Manifests];

    /// The label's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Entries => "entries",
            Self::Locations => "locations",
            Self::DataKeys => "data_keys",
            Self::Chunks => "chunks",
            Self::Manifests => "manifests",
        }
    }
}

/// `tidegate_cache_requests_total`, by cache.
pub struct Caches([CacheCounters; 5]);

/// The counters of one cache.
#[derive(Clone)]
pub struct CacheCounters {
    hits: IntCounter,
    misses: IntCounter,
}

impl Caches {
    pub(crate) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let lookups = IntCounterVec::new(
            Opts::new("tidegate_cache_requests_total", "Lookups in tidegate's caches, by what they found."),
            &["cache", "outcome"],
        )?;
        registry.register(Box::new(lookups.clone()))?;
        Ok(Self(Cache::ALL.map(|cache| CacheCounters {
            hits: lookups.with_label_values(&[cache.as_str(), "hit"]),
            misses: lookups.with_label_values(&[cache.as_str(), "miss"]),
        })))
    }

    /// The counters of `cache`, to be kept by whoever looks things up in it.
    pub fn of(&self, cache: Cache) -> CacheCounters {
        self.0[cache as usize].clone()
    }
}

impl CacheCounters {
    /// Counts one lookup.
    pub fn record(&self, outcome: CacheOutcome) {
        match outcome {
            CacheOutcome::Hit => self.hits.inc(),
            CacheOutcome::Miss => self.misses.inc(),
        }
    }
}
