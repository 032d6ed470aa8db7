//! What every download and fetch can reach.

use std::sync::Arc;

use bytes::Bytes;

use crate::{
    ChunkCache, Locate, Metrics, Settings, Upstream, budget::Budget, pool::Pool, servers::Servers, window::Experience,
};

/// What every download and fetch can reach.
pub(crate) struct Shared {
    pub(crate) settings: Settings,
    pub(crate) budget: Arc<Budget>,
    pub(crate) servers: Servers,
    pub(crate) upstream: Box<dyn Upstream>,
    pub(crate) cache: Option<ChunkCache>,
    pub(crate) locate: Arc<dyn Locate>,
    pub(crate) metrics: Metrics,
    pub(crate) experience: Experience,
    pub(crate) pool: Pool,
}

impl Shared {
    /// Whether a needle is in memory.
    pub(crate) fn holds(&self, fid: &str) -> bool {
        self.cache.as_ref().is_some_and(|cache| cache.holds(fid))
    }

    /// The bytes of a needle that is in memory, as they are stored.
    pub(crate) fn held(&self, fid: &str) -> Option<Bytes> {
        self.cache.as_ref()?.held(fid)
    }
}
