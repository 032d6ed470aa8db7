//! What the caches of the configuration in force hold, for the metrics.

use std::sync::Arc;

use tokio::sync::watch;

use super::{in_force::InForce, start_error::StartError};
use crate::{
    metrics::{Cache, CacheSizes, Held, Look, Registry},
    read::Stages,
};

/// Has it counted.
pub(super) fn count(registry: &Registry, in_force: &watch::Receiver<InForce>) -> Result<(), StartError> {
    let look = |held: fn(&Stages) -> Held| -> Look {
        let in_force = in_force.clone();
        Box::new(move || {
            let stages = Arc::clone(&in_force.borrow().stages);
            held(&stages)
        })
    };
    let caches = [
        (Cache::Entries, look(|stages| stages.entries.held())),
        (Cache::Locations, look(|stages| stages.source.locations.held())),
        (Cache::DataKeys, look(|stages| Held { entries: stages.keys.kept(), bytes: None })),
        (
            Cache::Chunks,
            look(|stages| {
                let (entries, bytes) = stages.source.engine.cached();
                Held { entries, bytes: Some(bytes) }
            }),
        ),
        (Cache::Manifests, look(|stages| stages.source.expansions.held())),
    ];
    Ok(CacheSizes::register(registry, caches)?)
}
