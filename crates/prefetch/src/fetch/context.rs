//! What fetches need, and nothing else of the engine: no budget, no window, no client.

use std::{sync::Arc, time::Duration};

use crate::{ChunkCache, Locate, Metrics, Settings, Upstream, Verify, servers::Servers};

/// What all fetches share.
pub(crate) struct FetchContext {
    /// Which chunks are checked.
    pub(crate) verify: Verify,
    /// How long a volume server may take to begin its answer.
    pub(crate) first_byte_timeout: Duration,
    /// How long it may pause inside a body.
    pub(crate) idle_timeout: Duration,
    pub(crate) servers: Arc<Servers>,
    pub(crate) upstream: Arc<dyn Upstream>,
    pub(crate) locate: Arc<dyn Locate>,
    pub(crate) cache: Option<Arc<ChunkCache>>,
    pub(crate) metrics: Metrics,
}

impl FetchContext {
    /// For volume servers that are reached by `upstream` and found by `locate`.
    pub(crate) fn new(
        settings: &Settings,
        servers: Arc<Servers>,
        upstream: Arc<dyn Upstream>,
        locate: Arc<dyn Locate>,
        cache: Option<Arc<ChunkCache>>,
        metrics: Metrics,
    ) -> Self {
        metrics.servers.name_at_most(settings.named_servers);
        Self {
            verify: settings.verify,
            first_byte_timeout: settings.first_byte_timeout,
            idle_timeout: settings.idle_timeout,
            servers,
            upstream,
            locate,
            cache,
            metrics,
        }
    }
}
