//! The board that the status is put up on: what of the configuration it tells, and whom it asks for the rest.

use std::sync::Arc;

use tokio::sync::watch;

use super::in_force::PartsInForce;
use crate::{
    layers::RunningRequests,
    metrics::Registry,
    server::{CachedReadiness, Readiness},
    status::{Board, LimitSetting, Sources, StatusParts},
};

/// The counters of those who came to a limit.
const LIMITS_HIT: &str = "tidegate_limits_hit_total";
const REFUSED: &str = "tidegate_connections_refused_total";
const MEMORY_WAITS: &str = "tidegate_prefetch_memory_waits_total";

/// A board that tells of `sources`.
pub(super) fn new<R: Readiness>(sources: Sources, ready: &Arc<CachedReadiness<R>>) -> Arc<Board> {
    let ready = Arc::clone(ready);
    Board::new(
        sources,
        Box::new(move || {
            let ready = Arc::clone(&ready);
            Box::pin(async move { ready.check().await })
        }),
    )
}

/// What it tells of: counters, the requests that run, and what is in force.
pub(super) fn sources(
    registry: Registry,
    running: RunningRequests,
    in_force: watch::Receiver<PartsInForce>,
) -> Sources {
    let parts = move || {
        let PartsInForce { stages, settings, .. } = in_force.borrow().clone();
        StatusParts {
            filer: Arc::clone(&stages.source.filer),
            source: Arc::clone(&stages.source),
            keys: Arc::clone(&stages.keys),
            settings,
        }
    };
    Sources { registry, running, parts: Box::new(parts), limits: &LIMITS }
}

/// The limits that clients come to, and who counts it.
static LIMITS: [LimitSetting; 10] = [
    limit("limits.requests", (LIMITS_HIT, "limit", "requests")),
    limit("limits.requests_per_peer", (LIMITS_HIT, "limit", "requests_per_peer")),
    limit("limits.requests_per_second_per_peer", (LIMITS_HIT, "limit", "requests_per_second_per_peer")),
    limit("limits.bytes_per_second", (LIMITS_HIT, "limit", "bytes_per_second")),
    limit("limits.bytes_per_second_per_peer", (LIMITS_HIT, "limit", "bytes_per_second_per_peer")),
    limit("limits.bytes_per_second_per_download", (LIMITS_HIT, "limit", "bytes_per_second_per_download")),
    limit("server.max_connections", (REFUSED, "reason", "limit")),
    limit("server.max_connections_per_peer", (REFUSED, "reason", "peer_limit")),
    limit("server.header_memory", (REFUSED, "reason", "header_memory")),
    limit("prefetch.memory", (MEMORY_WAITS, "for", "floor")),
];

const fn limit(key: &'static str, counter: (&'static str, &'static str, &'static str)) -> LimitSetting {
    LimitSetting { key, counter }
}
