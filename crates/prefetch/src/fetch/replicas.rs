//! The replicas of one needle, each asked once for each lookup of its volume.
//!
//! A replica that is busy, or did not accept the token, is asked once more after the others: it has the needle.

use std::{sync::Arc, time::Duration};

use rand::RngExt;
use tokio::time::sleep;

use crate::{Cause, FetchError, Locations, NeedleRead, engine::Shared, servers::Server};

/// How long to leave busy servers alone, at least and at most.
const BUSY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_millis(300));

/// Which replica to ask next.
pub(crate) struct Replicas<'a> {
    shared: &'a Shared,
    volume: u32,
    fid: Arc<str>,
    locations: Option<Locations>,
    tried: Vec<Arc<str>>,
    /// Who asked to be asked again later, and has not been yet.
    later: Vec<Arc<str>>,
    /// Busy rounds so far.
    rounds: u32,
    refreshed: bool,
    asked: Option<Arc<Server>>,
    last: Option<(Arc<str>, Cause)>,
}

/// Rounds of waiting for busy servers.
const ROUNDS: u32 = 5;

impl<'a> Replicas<'a> {
    pub(crate) fn new(shared: &'a Shared, read: &NeedleRead) -> Self {
        Self {
            shared,
            volume: read.volume,
            fid: Arc::clone(&read.fid),
            locations: None,
            tried: Vec::new(),
            later: Vec::new(),
            rounds: 0,
            refreshed: false,
            asked: None,
            last: None,
        }
    }

    /// The next one to ask.
    ///
    /// # Errors
    /// When every one has failed twice over, or the retries of this process are used up.
    pub(crate) async fn next(&mut self) -> Result<Arc<Server>, FetchError> {
        if let Some((_, cause)) = &self.last {
            if !self.shared.servers.may_retry() {
                tracing::warn!(fid = &*self.fid, "the retries of this process are used up for the moment");
                return Err(self.exhausted());
            }
            self.shared.metrics.retried(cause.reason());
        }
        loop {
            let locations = match &self.locations {
                Some(locations) => locations,
                None => {
                    let found = self.shared.locate.locate(self.volume, self.refreshed).await;
                    let found = found.map_err(|reason| FetchError::Locate { volume: self.volume, reason })?;
                    self.locations.insert(found)
                }
            };
            if let Some(server) = self.shared.servers.choose(locations, &self.tried) {
                return Ok(server);
            }
            if !self.later.is_empty() && self.rounds < ROUNDS {
                self.wait_for_the_busy().await;
            } else if !self.refreshed {
                self.look_up_again();
            } else {
                return Err(self.exhausted());
            }
        }
    }

    async fn wait_for_the_busy(&mut self) {
        let pause = rand::rng().random_range(BUSY.0..BUSY.1) * 2u32.pow(self.rounds);
        self.rounds += 1;
        sleep(pause).await;
        for authority in self.later.drain(..) {
            self.tried.retain(|tried| *tried != authority);
        }
    }

    fn look_up_again(&mut self) {
        self.shared.metrics.lookups_again.inc();
        self.refreshed = true;
        self.locations = None;
        self.tried.clear();
        self.later.clear();
    }

    /// Says that `server` is being asked.
    pub(crate) fn asks(&mut self, server: &Arc<Server>) {
        self.asked = Some(Arc::clone(server));
    }

    /// Whether there is one beside the one that is being asked.
    pub(crate) fn has_another(&self) -> bool {
        self.locations.as_ref().is_some_and(|locations| locations.len() > self.tried.len() + 1)
    }

    /// One to ask beside the one that is late, if that is allowed now.
    pub(crate) fn hedge(&mut self) -> Option<Arc<Server>> {
        let mut taken = self.tried.clone();
        taken.extend(self.asked.as_ref().map(|asked| Arc::clone(&asked.authority)));
        let second = self.shared.servers.choose_for_hedge(self.locations.as_ref()?, &taken)?;
        self.shared.servers.may_hedge().then_some(second)
    }

    /// Says that the one asked last has failed.
    pub(crate) fn failed(&mut self, cause: Cause) {
        let Some(server) = self.asked.take() else { return };
        tracing::debug!(fid = &*self.fid, server = &*server.authority, %cause, "fetch attempt failed");
        if matches!(cause, Cause::Busy(_)) || (matches!(cause, Cause::Unauthorized) && self.rounds == 0) {
            self.later.push(Arc::clone(&server.authority));
        }
        self.tried.push(Arc::clone(&server.authority));
        self.last = Some((Arc::clone(&server.authority), cause));
    }

    /// The error of a span whose bytes are wrong and out already.
    pub(crate) fn corrupt(&self, cause: &Cause) -> FetchError {
        let server = self.asked.as_ref().map_or_else(|| Arc::from("?"), |asked| Arc::clone(&asked.authority));
        match cause {
            Cause::Corrupt => FetchError::Corrupt { fid: Arc::clone(&self.fid), server },
            other => FetchError::Exhausted { fid: Arc::clone(&self.fid), server, cause: other.clone() },
        }
    }

    fn exhausted(&self) -> FetchError {
        match &self.last {
            Some((server, cause)) => {
                FetchError::Exhausted { fid: Arc::clone(&self.fid), server: Arc::clone(server), cause: cause.clone() }
            }
            None => FetchError::NoLocation(self.volume),
        }
    }
}
