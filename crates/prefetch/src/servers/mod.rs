//! The volume servers as they are seen from here: which replica to ask next, and how long to wait before asking a second.
//!
//! Knows servers, latencies, failures, and what single replicas could not give. Must not know what is fetched.

mod allowance;
mod attempt;
mod bodies;
mod flaws;
mod latency;
mod pace;
pub(crate) mod places;
mod series;
mod server;
mod standing;
#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, atomic::Ordering},
    time::Duration,
};

use moka::sync::Cache;
use prometheus::IntCounter;
use rand::seq::IndexedRandom;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

use self::{
    allowance::{Allowance, ONE},
    bodies::Bodies,
    flaws::Flaws,
    latency::Latencies,
};
pub(crate) use self::{attempt::Attempt, flaws::Flaw, series::ServerSeries, server::Server};
use crate::{
    ServerInsight,
    locate::Locations,
    sync::{AtomicUsize, Mutex},
};

/// Second requests: one in fifty, not saved up for long.
const HEDGES: Allowance = Allowance { per_fetch: ONE / 50, per_second: 0, most: 10 * ONE };
/// How often a volume is looked up afresh at most.
const LOOKED_UP: Duration = Duration::from_secs(1);
/// Volumes for which that is remembered.
const VOLUMES: u64 = 10_000;
/// Servers beyond which those are forgotten that nobody asked for [`FORGOTTEN`].
const MANY: usize = 256;
/// How long that is.
const FORGOTTEN: Duration = Duration::from_secs(600);

/// All volume servers that were named lately, and what may be spent on their failures.
pub(crate) struct Servers {
    per_server: usize,
    /// Bodies that stand at all servers together.
    standing: Arc<AtomicUsize>,
    known: Mutex<HashMap<Arc<str>, Arc<Server>>>,
    flaws: Flaws,
    hedges: allowance::Balance,
    latencies: Latencies,
    looked_up: Cache<u32, ()>,
    patient: Arc<Semaphore>,
    ejections: IntCounter,
    series: ServerSeries,
}

impl Servers {
    /// At most `per_server` requests at once to each. Up to `patient` fetches wait for servers that are gone. `ejections`
    /// counts how often one is set aside, `series` what single ones do.
    pub(crate) fn new(per_server: usize, patient: usize, ejections: IntCounter, series: ServerSeries) -> Self {
        Self {
            per_server: per_server.max(1),
            standing: Arc::default(),
            known: Mutex::default(),
            flaws: Flaws::new(),
            hedges: HEDGES.empty(),
            latencies: Latencies::default(),
            looked_up: Cache::builder().max_capacity(VOLUMES).time_to_live(LOOKED_UP).build(),
            patient: Arc::new(Semaphore::new(patient)),
            ejections,
            series,
        }
    }

    /// The one to ask for a needle, of those that were not tried. First those that are in good standing and have the needle
    /// as far as is known, then those that are set aside, then those that could not give it before: every location of a
    /// chunk may be tried. Of two random ones of the first kind that there is, the one with the lower cost.
    pub(crate) fn choose(&self, locations: &Locations, tried: &[Arc<str>], fid: &str) -> Option<Attempt> {
        let mut untried = self.untried(locations, tried);
        let first = untried.next()?;
        let Some(second) = untried.next() else { return Some(Attempt::new(first)) };
        let now = Instant::now();
        let flawed = self.flaws.of(fid);
        let mut kinds: [Vec<_>; 4] = Default::default();
        for server in [first, second].into_iter().chain(untried) {
            let is_flawed = flawed.iter().any(|(authority, _)| *authority == server.authority);
            kinds[usize::from(!server.may_be_asked(now)) + 2 * usize::from(is_flawed)].push(server);
        }
        let pool = kinds.into_iter().find(|kind| !kind.is_empty())?;
        cheapest(pool.sample(&mut rand::rng(), 2), now).map(Attempt::new)
    }

    /// One for a second request beside the first: not tried, in good standing and with the needle, as far as is known.
    pub(crate) fn choose_for_hedge(&self, locations: &Locations, tried: &[Arc<str>], fid: &str) -> Option<Attempt> {
        let now = Instant::now();
        let flawed = self.flaws.of(fid);
        let fit: Vec<_> = self
            .untried(locations, tried)
            .filter(|server| server.is_good() && flawed.iter().all(|(authority, _)| *authority != server.authority))
            .collect();
        cheapest(fit.iter(), now).map(Attempt::new)
    }

    fn untried<'a>(
        &'a self,
        locations: &'a Locations,
        tried: &'a [Arc<str>],
    ) -> impl Iterator<Item = Arc<Server>> + 'a {
        let untried = locations.iter().filter(|authority| !tried.contains(authority));
        untried.map(|authority| self.get(authority))
    }

    /// A request to the server at this address, whatever is thought of it.
    pub(crate) fn attempt_at(&self, authority: &Arc<str>) -> Attempt {
        Attempt::new(self.get(authority))
    }

    /// The server at this address.
    pub(crate) fn get(&self, authority: &Arc<str>) -> Arc<Server> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(server) = known.get(authority) {
            return Arc::clone(server);
        }
        if known.len() >= MANY {
            known.retain(|authority, server| {
                let is_forgotten = server.is_forgotten(FORGOTTEN);
                if is_forgotten {
                    self.series.forget(authority);
                }
                !is_forgotten
            });
        }
        let (ejections, series) = (self.ejections.clone(), self.series.of(authority));
        let bodies = Bodies::new(self.per_server, Arc::clone(&self.standing));
        let server = Arc::new(Server::new(Arc::clone(authority), self.per_server, bodies, ejections, series));
        known.insert(Arc::clone(authority), Arc::clone(&server));
        server
    }

    /// How many bodies stand: nothing is read of them, for now.
    pub(crate) fn standing(&self) -> usize {
        self.standing.load(Ordering::Relaxed)
    }

    /// How each stands.
    pub(crate) fn insight(&self) -> Vec<ServerInsight> {
        let known: Vec<_> = self.known.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        let now = Instant::now();
        known.iter().map(|server| server.insight(now)).collect()
    }

    /// Remembers that a server could not give a needle; `false`: it was known.
    pub(crate) fn note(&self, fid: &Arc<str>, authority: &Arc<str>, flaw: Flaw) -> bool {
        self.flaws.note(fid, authority, flaw)
    }

    /// Whether a volume may be looked up afresh now: once a second.
    pub(crate) fn may_look_up(&self, volume: u32) -> bool {
        let entry = self.looked_up.entry(volume).or_insert(());
        entry.is_fresh()
    }

    /// Leave to wait for servers that are gone, as long as not too many do: each of them holds memory.
    pub(crate) fn may_wait(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.patient).try_acquire_owned().ok()
    }

    /// A fetch begins at a server: it earns its share of retries and hedges.
    pub(crate) fn fetch_begins(&self, server: &Server) {
        server.earn();
        self.hedges.earn();
    }

    /// Whether one more second request may be made now.
    pub(crate) fn may_hedge(&self) -> bool {
        self.hedges.spend()
    }

    /// How long a request for `bytes` is given to begin its answer before a second one is worth it; `None` while too few
    /// have been seen.
    pub(crate) fn hedge_after(&self, bytes: u64) -> Option<Duration> {
        self.latencies.late(bytes)
    }

    /// A request for `bytes` began its answer after `latency`.
    pub(crate) fn first_byte(&self, bytes: u64, latency: Duration) {
        self.latencies.record(bytes, latency);
    }
}

fn cheapest<'a>(servers: impl Iterator<Item = &'a Arc<Server>>, now: Instant) -> Option<Arc<Server>> {
    let servers: Vec<_> = servers.collect();
    let slowest = servers.iter().map(|server| server.latency(now)).fold(0.0, f64::max);
    let cost = |server: &&&Arc<Server>| server.cost(now, slowest);
    let cheapest = servers.iter().min_by(|one, two| cost(one).total_cmp(&cost(two)))?;
    Some(Arc::clone(cheapest))
}
