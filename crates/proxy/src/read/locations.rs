//! Where volumes are: the filer's answers, remembered for a while, and for longer where the filer does not answer.

use std::{
    collections::HashSet,
    future::Future,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use http::HeaderValue;
use moka::future::Cache;
use prefetch::{Locate, Locations, LocationsFuture, SharedError};
use tokio::time::Instant;

use crate::{
    Result,
    access::VolumeMint,
    filer::FilerClient,
    metrics::{CacheContents, CacheCounters, CacheOutcome},
};

/// How long a volume's locations are used before they are asked for again. A move within that time costs one failed
/// request, after which they are asked for at once.
const REMEMBERED: Duration = Duration::from_secs(600);
/// How long they are kept unused, for the time when the filer does not answer. A server that is not what it was gives no wrong
/// bytes: it is asked for a needle by its id and cookie.
const KEPT: Duration = Duration::from_secs(24 * 3600);
/// How long those that could not be asked for again are then used.
const UNTOLD: Duration = Duration::from_secs(5);
/// Volumes that are remembered.
const VOLUMES: u64 = 100_000;

/// Looks volumes up at the filer.
pub(crate) struct VolumeLocations {
    filer: Arc<FilerClient>,
    known: KnownLocations,
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
        let known = KnownLocations::new(counters);
        Self { filer, known, mint, data_center, far: RwLock::default() }
    }

    /// What is remembered, as of when that was last [swept](Self::sweep) or found out by itself.
    pub(crate) fn contents(&self) -> CacheContents {
        CacheContents { entries: self.known.volumes.entry_count(), bytes: None }
    }

    /// Drops what is over its time, which happens by itself only while it is used.
    pub(crate) async fn sweep(&self) {
        self.known.volumes.run_pending_tasks().await;
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
        Box::pin(self.known.locate(volume, fresh, move || self.ask(volume)))
    }
}

/// The answers.
struct KnownLocations {
    volumes: Cache<u32, Known>,
    /// What is being asked for.
    flights: Cache<u32, Locations>,
    counters: CacheCounters,
}

#[derive(Clone)]
struct Known {
    locations: Locations,
    /// Until when the filer's word is good, and when they are to be asked for again.
    good_until: Instant,
    until: Instant,
}

impl KnownLocations {
    fn new(counters: CacheCounters) -> Self {
        let volumes = Cache::builder().max_capacity(VOLUMES).time_to_live(KEPT).build();
        let flights = Cache::builder().max_capacity(0).build();
        Self { volumes, flights, counters }
    }

    /// Where a volume is, by what is remembered or by who is asked. With `fresh` an error is what who was asked said: who wants it
    /// so knows already what is remembered.
    async fn locate<A>(
        &self,
        volume: u32,
        fresh: bool,
        ask: impl FnOnce() -> A,
    ) -> std::result::Result<Locations, SharedError>
    where
        A: Future<Output = Result<Locations>>,
    {
        let known = self.volumes.get(&volume).await;
        if let Some(known) = known.as_ref().filter(|known| !fresh && Instant::now() < known.until) {
            self.counters.record(CacheOutcome::Hit);
            return Ok(Arc::clone(&known.locations));
        }
        self.counters.record(CacheOutcome::Miss);
        // Whoever asks for the same volume meanwhile waits for this one answer. Boxed: it takes 4 KiB, for which those who find
        // the answer above need not make room.
        let asked = Box::pin(self.flights.try_get_with(volume, ask())).await;
        let now = Instant::now();
        match (asked, known) {
            // A server that restarts is not named until it is back: it is looked for where it was.
            (Ok(found), Some(known)) if found.is_empty() && now < known.good_until => Ok(known.locations),
            (Ok(found), _) => {
                if !found.is_empty() {
                    let (locations, until) = (Arc::clone(&found), now + REMEMBERED);
                    self.volumes.insert(volume, Known { locations, good_until: until, until }).await;
                }
                Ok(found)
            }
            (Err(error), Some(known)) if !fresh => {
                tracing::debug!(volume, %error, "not looked up again: what was known goes on");
                let locations = Arc::clone(&known.locations);
                self.volumes.insert(volume, Known { until: now + UNTOLD, ..known }).await;
                Ok(locations)
            }
            (Err(error), _) => Err(error as SharedError),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use http::StatusCode;

    use super::*;
    use crate::{
        Blame, Error,
        metrics::{self, Metrics},
    };

    fn known() -> KnownLocations {
        KnownLocations::new(Metrics::new([]).unwrap().caches.of(metrics::Cache::Locations))
    }

    fn at(authority: &str) -> Result<Locations> {
        Ok([Arc::from(authority)].into())
    }

    fn no_filer() -> Result<Locations> {
        Err(Error::new(Blame::Filer, StatusCode::SERVICE_UNAVAILABLE, "no filer"))
    }

    /// A server that was known for ten minutes was not asked, and what came next of a download was cut.
    #[tokio::test(start_paused = true)]
    async fn what_is_over_its_time_is_used_while_the_filer_is_away() {
        let known = known();
        assert!(known.locate(3, false, || ready(no_filer())).await.is_err(), "nothing is known");
        let first = known.locate(3, false, || ready(at("a:1"))).await.unwrap();
        tokio::time::advance(REMEMBERED).await;
        assert_eq!(known.locate(3, false, || ready(no_filer())).await.unwrap(), first);
        assert!(known.locate(3, true, || ready(no_filer())).await.is_err(), "who wants it fresh is told");
        // Not everybody waits for a filer that does not answer.
        let nobody = std::future::pending::<Result<Locations>>;
        assert_eq!(known.locate(3, false, nobody).await.unwrap(), first);
        tokio::time::advance(UNTOLD).await;
        assert_eq!(known.locate(3, false, || ready(at("b:1"))).await.unwrap(), at("b:1").unwrap(), "it is back");
        tokio::time::advance(REMEMBERED - UNTOLD).await;
        assert_eq!(known.locate(3, false, nobody).await.unwrap(), at("b:1").unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn a_volume_that_no_server_is_named_for_is_looked_for_where_it_was() {
        let known = known();
        let nowhere = || ready(Ok(Locations::default()));
        assert!(known.locate(3, false, nowhere).await.unwrap().is_empty());
        let first = known.locate(3, false, || ready(at("a:1"))).await.unwrap();
        assert_eq!(known.locate(3, true, nowhere).await.unwrap(), first);
        tokio::time::advance(REMEMBERED).await;
        assert!(known.locate(3, false, nowhere).await.unwrap().is_empty(), "it is nowhere");
    }
}
