//! Hot chunks in memory, as they are stored, in front of the fetches from volume servers.
//!
//! Knows needles by their id, and that a needle never changes under its id: so what is kept cannot be stale. Should somebody
//! write another one there all the same, who reads one piece by piece sees by the version that is kept with the bytes that
//! they are not of the one that was read before. Must not know what the bytes mean: what is encrypted on the volume is
//! encrypted here.
//!
//! Kept are needles of up to [`LARGEST`] bytes that somebody read whole and whose CRC-32C is the one that the server
//! named. A stream of large chunks passes by; a stream of small ones does not push out what is asked for more often
//! (moka's TinyLFU decides who stays). Ranges of what is kept are served from it; a range of what is not is fetched as it
//! is, so that nobody fetches more than was asked for. A needle that the server inflates on the way has another checksum
//! and is not kept.
//!
//! Whoever reads a needle whole while it is fetched for somebody else waits for that fetch, which is one fetch to the
//! servers and has one outcome. It ends when the last one who waits for it leaves.
//!
//! An eighth of the memory is for needles on their way, from before they are asked for until the last who waited for them
//! has them. Where it is taken, a needle is fetched past the cache, and needs no more memory than that of its reader. What
//! lies ahead of a client leaves half of it to what clients wait for.

use std::{
    collections::HashMap,
    future::Future,
    ops::Deref,
    pin::Pin,
    sync::{
        Arc, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use futures_util::{
    FutureExt,
    future::{Shared, WeakShared},
};
use http::HeaderValue;
use moka::sync::Cache;

use crate::{
    FetchError,
    needle::NamedVersion,
    sync::{Mutex, MutexGuard},
    urgency::{Priority, Urgency},
};

/// The largest needle that is kept, in bytes.
const LARGEST: u64 = 1 << 20;
/// What a needle takes in memory beside its bytes.
const OVERHEAD: usize = 384;

/// Called for every lookup: whether the bytes were here, or on their way here for somebody else.
pub type OnLookup = Box<dyn Fn(bool) + Send + Sync>;

/// A needle that was fetched whole.
#[derive(Clone)]
pub(crate) struct FetchedNeedle {
    /// As it is stored.
    pub(crate) bytes: Bytes,
    /// The version that it is of, where the server named one.
    pub(crate) version: Option<NamedVersion>,
    /// Whether its CRC-32C is the one that the server named.
    pub(crate) is_proven: bool,
}

/// A needle that is kept.
pub(crate) struct KeptNeedle {
    /// As it is stored.
    pub(crate) bytes: Bytes,
    /// What it is of.
    pub(crate) version: NamedVersion,
}

impl KeptNeedle {
    /// The name is a part of an answer's head, of which the rest is not to be kept.
    fn new(bytes: Bytes, named: NamedVersion) -> Arc<Self> {
        let etag = HeaderValue::from_bytes(named.etag.as_bytes()).unwrap_or(named.etag);
        Arc::new(Self { bytes, version: NamedVersion { etag, ..named } })
    }
}

/// A needle, as it is stored.
#[derive(Clone)]
pub(crate) struct CachedNeedle {
    bytes: Bytes,
    /// The version that it is of, where the server named one.
    pub(crate) version: Option<NamedVersion>,
    /// Where it was on its way here: so long it takes room.
    _room: Option<Arc<FlightMemory>>,
}

impl Deref for CachedNeedle {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

type Outcome = Result<CachedNeedle, FetchError>;
type FlightFuture = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// The chunks that are kept, and those on their way.
pub struct ChunkCache {
    kept: Cache<Arc<str>, Arc<KeptNeedle>>,
    flights: Arc<Flights>,
    /// Bytes of memory for needles on their way.
    room: u64,
    on_lookup: OnLookup,
    /// Nothing is kept any more.
    closed: Arc<AtomicBool>,
}

#[derive(Default)]
struct Flights(Mutex<Departures>);

#[derive(Default)]
struct Departures {
    count: u64,
    flying: HashMap<Arc<str>, Flight>,
    /// Bytes of memory that needles on their way take.
    taken: u64,
}

/// Memory that a needle on its way takes. It comes back when this is dropped.
struct FlightMemory {
    flights: Arc<Flights>,
    bytes: u64,
}

struct Flight {
    number: u64,
    /// How urgent it is to those who wait for it.
    priority: Arc<Priority>,
    fetch: WeakShared<FlightFuture>,
}

/// Takes a flight off the list when it has landed, or nobody waits for it any more.
struct FlightGuard {
    flights: Arc<Flights>,
    fid: Arc<str>,
    number: u64,
}

impl ChunkCache {
    /// Takes up to `bytes` of memory.
    pub fn new(bytes: u64, on_lookup: OnLookup) -> Self {
        let room = (bytes / 8).max(LARGEST.min(bytes / 2));
        let kept = Cache::builder()
            .max_capacity(bytes - room)
            .weigher(|fid: &Arc<str>, needle: &Arc<KeptNeedle>| {
                u32::try_from(needle.bytes.len() + fid.len() + OVERHEAD).unwrap_or(u32::MAX)
            })
            .build();
        Self { kept, flights: Arc::default(), room, on_lookup, closed: Arc::default() }
    }

    /// Forgets everything and keeps nothing any more: another one is used. Those who have this one still fetch what they read.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
        self.kept.invalidate_all();
    }

    /// How many needles are kept, and the bytes that they take of the memory.
    pub(crate) fn held(&self) -> (u64, u64) {
        self.kept.run_pending_tasks();
        (self.kept.entry_count(), self.kept.weighted_size())
    }

    /// Whether needles of `size` bytes are kept.
    pub(crate) fn takes(size: u64) -> bool {
        size <= LARGEST
    }

    /// Whether a needle is here. Is no lookup.
    pub(crate) fn contains(&self, fid: &str) -> bool {
        self.kept.contains_key(fid)
    }

    /// A needle that is here.
    pub(crate) fn cached(&self, fid: &str) -> Option<Arc<KeptNeedle>> {
        let kept = self.kept.get(fid)?;
        (self.on_lookup)(true);
        Some(kept)
    }

    /// A needle of `size` bytes: the one that is here, the one that is on its way for somebody else, or what `fetch` brings.
    /// `None`: there is no room for what it would bring.
    ///
    /// # Errors
    /// Those of the fetch.
    pub(crate) async fn get<F>(
        &self,
        fid: &Arc<str>,
        size: u64,
        priority: &Arc<Priority>,
        fetch: impl FnOnce(Arc<Priority>) -> F,
    ) -> Option<Outcome>
    where
        F: Future<Output = Result<FetchedNeedle, FetchError>> + Send + 'static,
    {
        if let Some(kept) = self.cached(fid) {
            let (bytes, version) = (kept.bytes.clone(), Some(kept.version.clone()));
            return Some(Ok(CachedNeedle { bytes, version, _room: None }));
        }
        let Some((flight, urgency, is_new)) = self.join(fid, size, priority, fetch) else {
            (self.on_lookup)(false);
            return None;
        };
        (self.on_lookup)(!is_new);
        let mut flight = std::pin::pin!(flight);
        if urgency.urgency() == Urgency::Ahead {
            tokio::select! {
                biased;
                outcome = &mut flight => return Some(outcome),
                () = priority.reached() => urgency.reach(),
            }
        }
        Some(flight.await)
    }

    fn join<F>(
        &self,
        fid: &Arc<str>,
        size: u64,
        priority: &Arc<Priority>,
        fetch: impl FnOnce(Arc<Priority>) -> F,
    ) -> Option<(Shared<FlightFuture>, Arc<Priority>, bool)>
    where
        F: Future<Output = Result<FetchedNeedle, FetchError>> + Send + 'static,
    {
        let mut departures = self.flights.lock();
        if let Some(flight) = departures.flying.get(fid)
            && let Some(fetch) = flight.fetch.upgrade()
        {
            return Some((fetch, Arc::clone(&flight.priority), false));
        }
        if !departures.have_room(size, self.room, priority.urgency()) {
            return None;
        }
        departures.taken += size;
        let room = Arc::new(FlightMemory { flights: Arc::clone(&self.flights), bytes: size });
        departures.count += 1;
        let number = departures.count;
        let landing = FlightGuard { flights: Arc::clone(&self.flights), fid: Arc::clone(fid), number };
        let urgency = Arc::new(Priority::new(priority.urgency()));
        let (fetch, kept, closed) = (fetch(Arc::clone(&urgency)), self.kept.clone(), Arc::clone(&self.closed));
        let flying: FlightFuture = Box::pin(async move {
            let FetchedNeedle { bytes, version, is_proven } = fetch.await?;
            // Before it lands: whoever comes now finds it here or on its way.
            if let Some(version) = version.clone().filter(|_| is_proven)
                && !closed.load(Ordering::Relaxed)
            {
                kept.insert(Arc::clone(&landing.fid), KeptNeedle::new(bytes.clone(), version));
            }
            drop(landing);
            Ok(CachedNeedle { bytes, version, _room: Some(room) })
        });
        let flying = flying.shared();
        if let Some(weak) = flying.downgrade() {
            let flight = Flight { number, priority: Arc::clone(&urgency), fetch: weak };
            departures.flying.insert(Arc::clone(fid), flight);
        }
        Some((flying, urgency, true))
    }
}

impl Flights {
    fn lock(&self) -> MutexGuard<'_, Departures> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Departures {
    /// Whether `size` bytes more of `room` may be taken.
    fn have_room(&self, size: u64, room: u64, urgency: Urgency) -> bool {
        let room = match urgency {
            Urgency::Ahead if self.taken > 0 => room / 2,
            Urgency::Ahead | Urgency::Head => room,
        };
        self.taken + size <= room
    }
}

impl Drop for FlightMemory {
    fn drop(&mut self) {
        self.flights.lock().taken -= self.bytes;
    }
}

impl Drop for FlightGuard {
    fn drop(&mut self) {
        let mut departures = self.flights.lock();
        if departures.flying.get(&self.fid).is_some_and(|flight| flight.number == self.number) {
            departures.flying.remove(&self.fid);
        }
    }
}

#[cfg(test)]
impl ChunkCache {
    /// Has a needle, without a fetch.
    pub(crate) fn keep(&self, fid: &Arc<str>, bytes: Bytes) {
        let etag = format!("\"{:08x}\"", crc32c::crc32c(&bytes));
        let named = NamedVersion { etag: etag.try_into().unwrap(), server: "a:1".into() };
        self.kept.insert(Arc::clone(fid), KeptNeedle::new(bytes, named));
    }

    /// Has nothing any more.
    pub(crate) fn forget(&self) {
        self.kept.invalidate_all();
    }

    /// Needles on their way.
    pub(crate) fn flying(&self) -> usize {
        self.flights.lock().flying.len()
    }

    /// Bytes of memory that they take.
    pub(crate) fn taken(&self) -> u64 {
        self.flights.lock().taken
    }
}

#[cfg(test)]
mod tests;
