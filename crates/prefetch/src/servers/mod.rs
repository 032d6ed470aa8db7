//! The volume servers as they are seen from here: which replica to ask next, and how long to wait before asking a second.
//!
//! Knows servers, latencies and failures. Must not know what is fetched.

mod allowance;
mod latency;
mod places;
mod server;
#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use prometheus::IntCounter;
use rand::seq::IndexedRandom;
use tokio::time::Instant;

use self::{
    allowance::{Allowance, ONE},
    latency::Latencies,
};
pub(crate) use self::{
    places::Place,
    server::{Outcome, Server},
};
use crate::plan::Locations;

/// Retries: a fifth of all fetches and ten a second, of which up to a thousand are saved up for the moment when a server dies
/// under many downloads.
const RETRIES: Allowance = Allowance { per_fetch: ONE / 5, per_second: 10 * ONE, most: 1000 * ONE };
/// Second requests: one in fifty, not saved up for long.
const HEDGES: Allowance = Allowance { per_fetch: ONE / 50, per_second: 0, most: 10 * ONE };

/// All volume servers that were ever named, and what may be spent on their failures.
pub(crate) struct Servers {
    per_server: usize,
    known: Mutex<HashMap<Arc<str>, Arc<Server>>>,
    retries: allowance::Balance,
    hedges: allowance::Balance,
    latencies: Latencies,
    ejections: IntCounter,
}

impl Servers {
    /// At most `per_server` requests at once to each. `ejections` counts how often one is set aside.
    pub(crate) fn new(per_server: usize, ejections: IntCounter) -> Self {
        Self {
            per_server: per_server.max(1),
            known: Mutex::default(),
            retries: RETRIES.saved_up(),
            hedges: HEDGES.empty(),
            latencies: Latencies::default(),
            ejections,
        }
    }

    /// The one to ask: of two random ones that were not tried and are not set aside, the one with the lower cost. Where all
    /// that is left is set aside, one of those: the last location of a chunk is always tried.
    pub(crate) fn choose(&self, locations: &Locations, tried: &[Arc<str>]) -> Option<Arc<Server>> {
        let untried = self.untried(locations, tried);
        let now = Instant::now();
        let (fit, aside): (Vec<_>, Vec<_>) = untried.into_iter().partition(|server| server.may_be_asked(now));
        let pool = if fit.is_empty() { aside } else { fit };
        let chosen = pool.sample(&mut rand::rng(), 2).min_by_key(|server| server.cost(now))?;
        chosen.asked(now);
        Some(Arc::clone(chosen))
    }

    /// One for a second request beside the first: not tried, in good standing and with a place free.
    pub(crate) fn choose_for_hedge(&self, locations: &Locations, tried: &[Arc<str>]) -> Option<Arc<Server>> {
        let now = Instant::now();
        let untried = self.untried(locations, tried).into_iter();
        untried.filter(|server| server.is_good() && server.has_place()).min_by_key(|server| server.cost(now))
    }

    fn untried(&self, locations: &Locations, tried: &[Arc<str>]) -> Vec<Arc<Server>> {
        let untried = locations.iter().filter(|authority| !tried.contains(authority));
        untried.map(|authority| self.get(authority)).collect()
    }

    /// The server at this address.
    pub(crate) fn get(&self, authority: &Arc<str>) -> Arc<Server> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Arc::new(Server::new(Arc::clone(authority), self.per_server, self.ejections.clone()));
        Arc::clone(known.entry(Arc::clone(authority)).or_insert_with(new))
    }

    /// A fetch begins: it earns its share of retries and hedges.
    pub(crate) fn fetch_begins(&self) {
        self.retries.earn();
        self.hedges.earn();
    }

    /// Whether one more retry may be made now.
    pub(crate) fn may_retry(&self) -> bool {
        self.retries.spend()
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
