//! What all downloads share.

use std::sync::Arc;

use crate::{
    Metrics, Settings, budget::Budget, chunk_cache::KeptNeedle, fetch::FetchContext, pool::Pool, window::Experience,
};

/// What every download can reach. Its fetches get [`FetchContext`] alone.
pub(crate) struct EngineContext {
    pub(crate) settings: Settings,
    pub(crate) budget: Arc<Budget>,
    pub(crate) fetch: Arc<FetchContext>,
    pub(crate) metrics: Metrics,
    pub(crate) experience: Arc<Experience>,
    pub(crate) pool: Arc<Pool>,
}

/// So many bodies stand though all clients read: of large downloads that wait for memory some always do.
const STANDING: usize = 32;

impl EngineContext {
    /// Whether many clients read nothing of what is fetched for them, or more have come than there is memory for.
    pub(crate) fn is_crowded(&self) -> bool {
        self.budget.is_crowded() || self.fetch.servers.standing() > STANDING
    }

    /// Whether a needle is in memory.
    pub(crate) fn is_cached(&self, fid: &str) -> bool {
        self.fetch.cache.as_ref().is_some_and(|cache| cache.contains(fid))
    }

    /// A needle that is in memory.
    pub(crate) fn cached(&self, fid: &str) -> Option<Arc<KeptNeedle>> {
        self.fetch.cache.as_ref()?.cached(fid)
    }
}
