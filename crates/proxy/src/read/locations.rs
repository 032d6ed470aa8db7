//! Where volumes are: the filer's answers, remembered for a while.

use std::{
    collections::HashSet,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use http::HeaderValue;
use moka::future::Cache;
use prefetch::{Locate, Locations, LocationsFuture, SharedError};

use crate::{
    Error, Result,
    access::VolumeMint,
    filer::FilerClient,
    metrics::{CacheContents, CacheCounters, CacheOutcome},
};

/// How long a volume's locations are used before they are asked for again. A move within that time costs one failed
/// request, after which they are asked for at once.
const REMEMBERED: Duration = Duration::from_secs(600);
/// Volumes that are remembered.
const VOLUMES: u64 = 100_000;

/// Looks volumes up at the filer.
pub(crate) struct VolumeLocations {
    filer: Arc<FilerClient>,
    known: Cache<u32, Locations>,
    /// What is being asked for.
    flights: Cache<u32, Locations>,
    counters: CacheCounters,
    mint: VolumeMint,
    /// The data center that is read from first, and the servers that are in others.
    data_center: Option<String>,
    far: RwLock<HashSet<Arc<str>>>,
}

impl VolumeLocations {
    /// Remembers nothing yet. Requests carry the tokens of `mint`. Servers outside of `data_center`, where it is given, are
    /// far.
    pub(crate) fn new(
        filer: Arc<FilerClient>,
        counters: CacheCounters,
        mint: VolumeMint,
        data_center: Option<String>,
    ) -> Self {
        let known = Cache::builder().max_capacity(VOLUMES).time_to_live(REMEMBERED).build();
        let flights = Cache::builder().max_capacity(0).build();
        Self { filer, known, flights, counters, mint, data_center, far: RwLock::default() }
    }

    /// What is remembered, as of when that was last [swept](Self::sweep) or found out by itself.
    pub(crate) fn contents(&self) -> CacheContents {
        CacheContents { entries: self.known.entry_count(), bytes: None }
    }

    /// Drops what is over its time, which happens by itself only while it is used.
    pub(crate) async fn sweep(&self) {
        self.known.run_pending_tasks().await;
    }

    async fn ask(&self, volume: u32) -> Result<Locations> {
        let found = self.filer.lookup_volume(volume).await?;
        let mut locations = Vec::with_capacity(found.len());
        for location in found {
            let authority: Arc<str> = location.url.into();
            self.note(&authority, &location.data_center);
            locations.push(authority);
        }
        Ok(locations.into())
    }

    fn note(&self, authority: &Arc<str>, data_center: &str) {
        let Some(near) = &self.data_center else { return };
        if near != data_center && !self.is_far(authority) {
            self.far.write().unwrap_or_else(PoisonError::into_inner).insert(Arc::clone(authority));
        }
    }
}

impl Locate for VolumeLocations {
    fn authorize(&self, fid: &str) -> Option<HeaderValue> {
        self.mint.mint(fid)
    }

    fn is_far(&self, authority: &str) -> bool {
        self.data_center.is_some() && self.far.read().unwrap_or_else(PoisonError::into_inner).contains(authority)
    }

    fn locate(&self, volume: u32, fresh: bool) -> LocationsFuture<'_> {
        Box::pin(async move {
            let known = self.known.get(&volume).await;
            if let Some(known) = known.as_ref().filter(|_| !fresh) {
                self.counters.record(CacheOutcome::Hit);
                return Ok(Arc::clone(known));
            }
            self.counters.record(CacheOutcome::Miss);
            // Whoever asks for the same volume meanwhile waits for this one answer. Boxed: it takes 4 KiB, for which those
            // who find the answer above need not make room.
            let asked = Box::pin(self.flights.try_get_with(volume, self.ask(volume)));
            let found = asked.await.map_err(|error: Arc<Error>| error as SharedError)?;
            if found.is_empty() {
                // A server that restarts is not named until it is back: it is looked for where it was.
                return Ok(known.unwrap_or(found));
            }
            self.known.insert(volume, Arc::clone(&found)).await;
            Ok(found)
        })
    }
}
