//! The replicas of one needle: which to ask next, and when to give up.
//!
//! Every location may be asked once. After that the volume is looked up afresh, and those that are known are asked again
//! as far as each server's retries go. A replica that is busy, or did not accept the token, is given time: it has the
//! needle. Servers that are gone are waited for as long as they may be restarting.

use std::{sync::Arc, time::Duration};

use futures_util::future::select_all;
use http::HeaderValue;
use rand::RngExt;
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, sleep, sleep_until, timeout_at},
};

use crate::{
    Cause, FetchError, Locations, NeedleRead, SharedError, Tally,
    fetch::FetchContext,
    servers::{Attempt, Flaw, Server},
    sync::spawn,
    urgency::{Priority, Urgency},
};

/// How long to leave busy servers alone, at least and at most.
const BUSY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_millis(300));
/// Rounds of waiting for busy servers.
const ROUNDS: u32 = 5;
/// How long a server that is gone is waited for, from its first failure on.
const RESTART: Duration = Duration::from_secs(5);
/// How long to wait before a server that is gone is asked again, at least and at most; longer each time.
const GONE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(150));
/// How often that becomes longer.
const GROWS: u32 = 3;
/// How often what nobody waits for looks whether it may be asked for again.
const AHEAD: Duration = Duration::from_millis(100);

/// What one replica did wrong.
pub(crate) struct Failure {
    /// Its address.
    pub(crate) server: Arc<str>,
    /// What it was.
    pub(crate) cause: Cause,
}

/// That a volume is to be looked up.
#[derive(Clone, Copy)]
struct Lookup {
    /// Whether what is remembered does not count.
    fresh: bool,
}

/// Which replica to ask next.
pub(crate) struct Replicas<'a> {
    context: &'a FetchContext,
    volume: u32,
    fid: Arc<str>,
    /// [`NeedleRead::request`].
    request: Option<HeaderValue>,
    /// [`NeedleRead::tally`].
    tally: Option<Arc<Tally>>,
    priority: &'a Priority,
    locations: Option<Locations>,
    /// Whether `locations` are to be asked for, and afresh.
    locate: Option<Lookup>,
    /// Why they could not be had afresh the last time: those that are known are asked then.
    unlocated: Option<SharedError>,
    /// Those that were asked, in this round and ever.
    tried: Vec<Arc<str>>,
    asked: Vec<Arc<str>>,
    /// Who asked to be asked again later, and has not been yet.
    later: Vec<Arc<str>>,
    /// At whom it was waited for a place in vain in this round, and since when.
    waited: Vec<(Arc<str>, Instant)>,
    /// Who could not be reached, or broke off.
    gone: Vec<Arc<str>>,
    /// Busy rounds so far, and rounds of waiting for servers that are gone.
    rounds: u32,
    waits: u32,
    refreshed: bool,
    patience: Option<OwnedSemaphorePermit>,
    /// Since when everything has failed, without the time in lines.
    stuck_since: Option<Instant>,
    last: Option<Failure>,
}

impl<'a> Replicas<'a> {
    pub(crate) fn new(context: &'a FetchContext, read: &NeedleRead, priority: &'a Priority) -> Self {
        Self {
            context,
            volume: read.volume,
            fid: Arc::clone(&read.fid),
            request: read.request.clone(),
            tally: read.tally.clone(),
            priority,
            locations: None,
            locate: Some(Lookup { fresh: false }),
            unlocated: None,
            tried: Vec::new(),
            asked: Vec::new(),
            later: Vec::new(),
            waited: Vec::new(),
            gone: Vec::new(),
            rounds: 0,
            waits: 0,
            refreshed: false,
            patience: None,
            stuck_since: None,
            last: None,
        }
    }

    /// The next one to ask for `bytes`, with a place at it.
    ///
    /// # Errors
    /// When every one has failed, and asking again is of no use or not allowed.
    pub(crate) async fn next(&mut self, bytes: u64) -> Result<Attempt, FetchError> {
        loop {
            let locations = self.located().await?;
            if let Some(attempt) = self.context.servers.choose(&locations, &self.tried, &self.fid) {
                if let Some(attempt) = self.at_its_place(attempt, bytes).await {
                    if let Some(failure) = &self.last {
                        self.context.metrics.retried(failure.cause.reason());
                        if let Some(tally) = &self.tally {
                            tally.retried();
                        }
                    }
                    return Ok(attempt);
                }
            } else if !self.later.is_empty() && self.rounds < ROUNDS {
                self.wait_for_the_busy().await;
            } else if !self.refreshed {
                self.look_up_again();
            } else if !self.waited_for_the_gone().await {
                return Err(self.exhausted());
            }
        }
    }

    async fn located(&mut self) -> Result<Locations, FetchError> {
        if let Some(Lookup { fresh }) = self.locate {
            match self.context.locate.locate(self.volume, fresh).await {
                Ok(found) => self.found(found),
                // Who cannot tell says nothing against the servers that are known.
                Err(reason) if self.locations.is_some() => {
                    tracing::debug!(volume = self.volume, %reason, "not looked up afresh: who is known is asked again");
                    self.unlocated = Some(reason);
                }
                Err(reason) => return Err(FetchError::Locate { volume: self.volume, reason }),
            }
            self.locate = None;
        }
        Ok(self.locations.clone().unwrap_or_default())
    }

    fn found(&mut self, found: Locations) {
        self.unlocated = None;
        for authority in found.iter().filter(|authority| self.context.locate.is_far(authority)) {
            self.context.servers.get(authority).is_far();
        }
        // A server that is gone is no longer named. Where nobody is, it is waited for where it was.
        if !found.is_empty() || self.locations.is_none() {
            self.locations = Some(found);
        }
    }

    /// Waits for a place. `None`: another one is to be chosen, because this one was set aside meanwhile, or was asked
    /// before and may not be asked again.
    async fn at_its_place(&mut self, mut attempt: Attempt, bytes: u64) -> Option<Attempt> {
        let authority = Arc::clone(attempt.authority());
        if self.asked.contains(&authority) && !self.may_be_asked_again(&attempt).await {
            tracing::warn!(fid = &*self.fid, server = &*authority, "the retries of this server are used up");
            self.tried.push(authority);
            return None;
        }
        let known = self.waited.iter().find(|(server, _)| *server == authority).map(|(_, since)| *since);
        let begin = Instant::now();
        let since = known.unwrap_or(begin);
        let has_place = self.waits_for_place(&mut attempt, since, bytes).await;
        // Who waits in a line does not fail.
        self.stuck_since = self.stuck_since.map(|stuck| stuck + begin.elapsed());
        if !has_place {
            if self.is_given_up(attempt.server(), since) {
                self.failed(Failure { server: authority, cause: Cause::Timeout });
            } else if known.is_none() {
                self.waited.push((authority, since));
            }
            return None;
        }
        self.asked.push(authority);
        self.context.servers.fetch_begins(attempt.server());
        Some(attempt)
    }

    /// Waits for a place. `false`: there is none, and whoever else has the needle is better.
    async fn waits_for_place(&self, attempt: &mut Attempt, since: Instant, bytes: u64) -> bool {
        if self.others(attempt.authority()) > 0 {
            return attempt.place_unless_set_aside(self.priority, bytes).await;
        }
        // Nobody else has it. But whoever stands still for so long is not waited for.
        let server = Arc::clone(attempt.server());
        let mut place = std::pin::pin!(attempt.place(self.priority, bytes));
        let mut longest = since + self.context.first_byte_timeout;
        loop {
            if timeout_at(longest, &mut place).await.is_ok() {
                return true;
            }
            if self.is_given_up(&server, since) {
                return false;
            }
            longest = Instant::now() + self.context.first_byte_timeout;
        }
    }

    /// Whether nothing has come from a server, since it was waited for first, for longer than a first byte may take.
    fn is_given_up(&self, server: &Server, since: Instant) -> bool {
        server.last_heard().max(since).elapsed() >= self.context.first_byte_timeout
    }

    /// Whether a server may be asked again. What nobody waits for leaves half of the retries to what somebody waits for.
    async fn may_be_asked_again(&self, attempt: &Attempt) -> bool {
        loop {
            let urgency = self.priority.urgency();
            if attempt.server().may_be_asked_again(urgency) {
                return true;
            }
            if urgency == Urgency::Head {
                return false;
            }
            tokio::select! {
                () = self.priority.reached() => {}
                () = sleep(AHEAD) => {}
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
        self.context.metrics.lookups_again.inc();
        self.refreshed = true;
        self.locate = Some(Lookup { fresh: true });
        // Those that are gone, and known to be, are waited for.
        let now = Instant::now();
        let is_gone = |authority: &Arc<str>| {
            self.gone.contains(authority) && !self.context.servers.get(authority).may_be_asked(now)
        };
        self.tried.retain(is_gone);
        self.later.clear();
        self.waited.clear();
    }

    /// Waits a moment for servers that are gone, and may be back then. `false`: they have been gone for too long, or too
    /// many wait.
    async fn waited_for_the_gone(&mut self) -> bool {
        let servers: Vec<_> = self.gone.iter().map(|authority| self.context.servers.get(authority)).collect();
        let now = Instant::now();
        // One that has answered others since is there.
        let until = servers.iter().map(|server| server.down_since().unwrap_or(now) + RESTART).max();
        let stuck = self.stuck_since.unwrap_or(now) + 2 * RESTART;
        let Some(until) = until.map(|until| until.min(stuck)).filter(|until| *until > now) else { return false };
        if self.patience.is_none() {
            self.patience = self.context.servers.may_wait();
        }
        if self.patience.is_none() {
            return false;
        }
        let pause = rand::rng().random_range(GONE.0..GONE.1) * 2u32.pow(self.waits.min(GROWS));
        self.waits += 1;
        sleep_until(until.min(now + pause)).await;
        // One finds out whether a server is back, and all others wait until its answer begins. Its end may be seconds later.
        loop {
            let turns = servers.iter().map(|server| {
                let mut turns = Box::pin(server.turns());
                turns.as_mut().enable();
                turns
            });
            let turns = select_all(turns.collect::<Vec<_>>());
            let now = Instant::now();
            if servers.iter().any(|server| server.may_be_asked(now) || server.down_since().is_none()) {
                break;
            }
            if now >= until {
                return false;
            }
            let due = servers.iter().filter_map(|server| server.probed_at()).min();
            tokio::select! {
                _ = turns => {}
                () = sleep_until(due.map_or(until, |due| due.min(until))) => {}
            }
        }
        self.tried.retain(|tried| !self.gone.contains(tried));
        // That is no repetition: it was waited for, and one found out for all.
        self.asked.retain(|asked| !self.gone.contains(asked));
        self.gone.clear();
        // It may be somewhere else now.
        self.locate = Some(Lookup { fresh: self.context.servers.may_look_up(self.volume) });
        true
    }

    /// How many there are to ask beside that one.
    fn others(&self, authority: &Arc<str>) -> usize {
        let is_other = |other: &&Arc<str>| *other != authority && !self.tried.contains(other);
        self.locations.as_ref().map_or(0, |locations| locations.iter().filter(is_other).count())
    }

    /// Whether there is one beside the one that is being asked.
    pub(crate) fn has_another(&self, asked: &Server) -> bool {
        self.others(&asked.authority) > 0
    }

    /// One to ask for `bytes` beside the one that is late, if that is allowed now.
    pub(crate) fn hedge(&mut self, late: &Server, bytes: u64) -> Option<Attempt> {
        let taken = self.tried_and([late]);
        let mut second = self.context.servers.choose_for_hedge(self.locations.as_ref()?, &taken, &self.fid)?;
        if !second.try_place(self.priority, bytes) || !self.context.servers.may_hedge() {
            return None;
        }
        self.asked.push(Arc::clone(second.authority()));
        Some(second)
    }

    /// One to ask for `bytes` beside those that were asked and give nothing.
    pub(crate) async fn beside(&mut self, asked: &[Arc<Server>], bytes: u64) -> Option<Attempt> {
        let taken = self.tried_and(asked.iter().map(|server| &**server));
        loop {
            let (servers, locations) = (&self.context.servers, self.locations.as_ref()?);
            // One that is set aside may stand still too, whether its time aside is over or not.
            let sound = servers.choose_for_hedge(locations, &taken, &self.fid);
            let mut second = sound.or_else(|| servers.choose(locations, &taken, &self.fid))?;
            if second.place_unless_set_aside(self.priority, bytes).await {
                self.asked.push(Arc::clone(second.authority()));
                return Some(second);
            }
        }
    }

    fn tried_and<'s>(&self, servers: impl IntoIterator<Item = &'s Server>) -> Vec<Arc<str>> {
        self.tried.iter().chain(servers.into_iter().map(|server| &server.authority)).map(Arc::clone).collect()
    }

    /// Says that one has failed.
    pub(crate) fn failed(&mut self, failure: Failure) {
        let Failure { server, cause } = &failure;
        let request = self.request.as_ref().and_then(|name| name.to_str().ok());
        tracing::debug!(request, fid = &*self.fid, server = &**server, %cause, "fetch attempt failed");
        if let Some(flaw) = cause.flaw()
            && self.context.servers.note(&self.fid, server, flaw)
        {
            self.context.metrics.found(flaw);
            tracing::info!(request, fid = &*self.fid, server = &**server, %cause, "a replica of a needle is flawed");
        }
        if matches!(cause, Cause::Busy(_)) || (matches!(cause, Cause::Unauthorized) && self.rounds == 0) {
            self.later.push(Arc::clone(server));
        }
        if cause.is_of_the_moment() {
            self.gone.push(Arc::clone(server));
        }
        // Where there is no other, the next thing is to look up anyway.
        if cause.flaw() == Some(Flaw::Missing)
            && self.others(server) > 0
            && self.context.servers.may_look_up(self.volume)
        {
            self.look_up_beside();
        }
        self.stuck_since.get_or_insert_with(Instant::now);
        self.tried.push(Arc::clone(server));
        self.last = Some(failure);
    }

    /// An answer came since the last failure: whoever gave it is there.
    pub(crate) fn goes_on(&mut self) {
        self.waits = 0;
        self.stuck_since = None;
    }

    /// Looks the volume up afresh for those who come later: a server that was named does not have a needle of it.
    fn look_up_beside(&self) {
        let (locate, volume) = (Arc::clone(&self.context.locate), self.volume);
        spawn(async move { locate.locate(volume, true).await.ok() });
    }

    /// The error of a span whose bytes are wrong and out already.
    pub(crate) fn corrupt(&self, failure: Failure) -> FetchError {
        let (fid, Failure { server, cause }) = (Arc::clone(&self.fid), failure);
        match cause {
            Cause::Corrupt => FetchError::Corrupt { fid, server },
            cause => FetchError::Exhausted { fid, server, cause },
        }
    }

    fn exhausted(&self) -> FetchError {
        let Some(Failure { server, cause }) = &self.last else { return FetchError::NoLocation(self.volume) };
        let (fid, server, cause) = (Arc::clone(&self.fid), Arc::clone(server), cause.clone());
        match self.unlocated.clone() {
            Some(reason) => FetchError::Unlocated { fid, server, cause, reason },
            None => FetchError::Exhausted { fid, server, cause },
        }
    }
}

#[cfg(test)]
mod tests;
