//! What the caches of the configuration in force hold, for the metrics.

use std::sync::Arc;

use tokio::sync::watch;

use super::{in_force::PartsInForce, start_error::StartError};
use crate::{
    metrics::{Cache, CacheContents, CacheReader, CacheSizes, Registry},
    read::Stages,
};

/// Has it counted.
pub(super) fn count(registry: &Registry, in_force: &watch::Receiver<PartsInForce>) -> Result<(), StartError> {
    let look = |held: fn(&Stages) -> CacheContents| -> CacheReader {
        let in_force = in_force.clone();
        Box::new(move || {
            let stages = Arc::clone(&in_force.borrow().stages);
            held(&stages)
        })
    };
    let caches = [
        (Cache::Entries, look(|stages| stages.entries.contents())),
        (Cache::Locations, look(|stages| stages.source.locations.contents())),
        (Cache::DataKeys, look(|stages| CacheContents { entries: stages.keys.kept(), bytes: None })),
        (
            Cache::Chunks,
            look(|stages| {
                let (entries, bytes) = stages.source.engine.cached();
                CacheContents { entries, bytes: Some(bytes) }
            }),
        ),
        (Cache::Manifests, look(|stages| stages.source.expansions.contents())),
    ];
    Ok(CacheSizes::register(registry, caches)?)
}
