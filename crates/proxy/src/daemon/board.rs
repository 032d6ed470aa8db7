//! The board that the status is put up on: what of the configuration it tells, and whom it asks for the rest.

use std::sync::Arc;

use tokio::sync::watch;

use super::in_force::InForce;
use crate::{
    layers::Running,
    metrics::Registry,
    server::{Readiness, Ready},
    status::{Board, LimitSetting, Sources, Told},
};

/// The counters of those who came to a limit.
const LIMITS_HIT: &str = "tidegate_limits_hit_total";
const REFUSED: &str = "tidegate_connections_refused_total";
const MEMORY_WAITS: &str = "tidegate_prefetch_memory_waits_total";

/// A board that tells of `sources`.
pub(super) fn new<R: Readiness>(sources: Sources, ready: &Arc<Ready<R>>) -> Arc<Board> {
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
pub(super) fn sources(registry: Registry, running: Running, in_force: watch::Receiver<InForce>) -> Sources {
    let told = move || {
        let InForce { stages, told, .. } = in_force.borrow().clone();
        Told {
            filer: Arc::clone(&stages.source.filer),
            source: Arc::clone(&stages.source),
            keys: Arc::clone(&stages.keys),
            settings: told,
        }
    };
    Sources { registry, running, told: Box::new(told), limits: &LIMITS }
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
