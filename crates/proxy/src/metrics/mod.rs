//! What the daemon counts, for Prometheus to scrape.
//!
//! Knows names, labels and their closed sets. Must not know when something is counted: whoever does the work holds the
//! counters and tells them. No label takes a user, a path, a key or a client's address; servers have one as far as the
//! configuration names them or bounds their number.

mod build;
mod cache;
mod cache_sizes;
mod certificates;
mod connections;
mod exposition;
mod filers;
mod front;
mod kms;
mod limits;
mod lost_lines;
mod process;
mod reloads;
mod requests;
mod s3;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use prometheus::IntGauge;
pub use prometheus::Registry;

pub(crate) use self::{
    build::target,
    cache_sizes::CacheSizes,
    exposition::exposition,
    requests::{CLIENT_LEFT, MethodLabel},
};
pub use self::{
    cache::{Cache, CacheCounters, CacheOutcome, Caches},
    cache_sizes::{CacheContents, CacheReader},
    certificates::Certificates,
    connections::{Connections, RefusedConnection},
    filers::{FilerHedge, FilerQuestion, Filers},
    front::FrontLabel,
    kms::{Kms, KmsCounters, KmsOutcome},
    limits::{Limit, LimitsHit},
    lost_lines::{LostLine, LostLines},
    reloads::Reloads,
    requests::{Requests, SseLabel},
    s3::{S3, S3Outcome},
};

/// The daemon's own metrics, one struct for each concern, all in one registry.
///
/// Other crates register theirs in [`Metrics::registry`].
#[derive(Clone)]
pub struct Metrics {
    /// Where `/metrics` reads from.
    pub registry: Registry,
    /// Connections of the fronts.
    pub connections: Arc<Connections>,
    /// Requests of the fronts.
    pub requests: Arc<Requests>,
    /// Requests that came to a limit.
    pub limits: Arc<LimitsHit>,
    /// Requests to key management services.
    pub kms: Arc<Kms>,
    /// Lookups in our caches.
    pub caches: Arc<Caches>,
    /// Until when certificates hold.
    pub certificates: Arc<Certificates>,
    /// How the configuration was read again.
    pub reloads: Arc<Reloads>,
    /// Whether the filer's changes are being followed.
    pub followed: IntGauge,
}

impl Metrics {
    /// Registers everything. `providers` are the names of the KMS providers in the configuration.
    ///
    /// # Errors
    /// When a name is registered twice, which is a bug.
    pub fn new<'a>(providers: impl IntoIterator<Item = &'a str>) -> prometheus::Result<Self> {
        let registry = Registry::new();
        let followed = IntGauge::new(
            "tidegate_filer_subscription_up",
            "Whether the filer's changes are being followed, so that entries may be kept: 1 or 0.",
        )?;
        registry.register(Box::new(followed.clone()))?;
        build::register(&registry)?;
        process::register(&registry)?;
        Ok(Self {
            connections: Arc::new(Connections::register(&registry)?),
            requests: Arc::new(Requests::register(&registry)?),
            limits: Arc::new(LimitsHit::register(&registry)?),
            kms: Arc::new(Kms::register(&registry, providers)?),
            caches: Arc::new(Caches::register(&registry)?),
            certificates: Arc::new(Certificates::register(&registry)?),
            reloads: Arc::new(Reloads::register(&registry)?),
            followed,
            registry,
        })
    }
}
