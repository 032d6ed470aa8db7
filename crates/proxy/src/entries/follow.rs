//! Follows the filer's changes for as long as the daemon runs.
//!
//! Knows when a subscription is caught up, silent or broken. Must not know what a change means.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::FutureExt;
use prometheus::IntGauge;
use tokio::time::{Instant, sleep, timeout};

use super::{Entries, SLACK, changes, ledger::Session};
use crate::{
    Result,
    filer::{FilerClient, Succession},
    pb,
};

/// The filer sends its time every 5 s while there is nothing else to tell. Two of them may be late.
///
/// So long may pass without a message, and so old, by the filer's clock, may be what it sends: a filer of a group holds
/// events back while another one does not answer it, for up to two minutes, and goes on sending older ones.
const SILENCE: Duration = Duration::from_secs(12);
/// The first pause before a subscription is tried again; doubled up to [`LONGEST_PAUSE`].
const PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(3);

/// Keeps [`Entries`] true.
pub(crate) struct Follower<D: Send + Sync + 'static> {
    entries: Arc<Entries<D>>,
    filer: Arc<FilerClient>,
    up: IntGauge,
    client_id: i32,
    epoch: i32,
}

/// Why a session ended.
enum End {
    Silent,
    Closed,
    Broken(String),
    /// What it sends is too old.
    Behind,
    /// Another filer answers lookups now, or the same one over another connection.
    Elsewhere(Succession),
    /// A mistake of ours.
    Panicked,
}

/// Nobody keeps them true any more, so nothing of them counts.
impl<D: Send + Sync + 'static> Drop for Follower<D> {
    fn drop(&mut self) {
        self.entries.close();
        self.up.set(0);
    }
}

impl<D: Send + Sync + 'static> Follower<D> {
    /// Tells `up` whether the subscription is caught up: 1 or 0.
    pub(crate) fn new(entries: Arc<Entries<D>>, filer: Arc<FilerClient>, up: IntGauge) -> Self {
        Self { entries, filer, up, client_id: rand::random_range(1..i32::MAX), epoch: 0 }
    }

    /// Runs until it is dropped.
    pub(crate) async fn run(mut self) {
        let mut pause = PAUSE;
        loop {
            let index = self.filer.preferred();
            let began = Instant::now();
            let end = ended(self.follow(index)).await;
            let was_up = self.up.get() == 1;
            self.entries.close();
            self.up.set(0);
            self.report(index, &end, was_up);
            if began.elapsed() > LONGEST_PAUSE {
                pause = PAUSE;
            }
            if !matches!(end, End::Elsewhere(_)) {
                sleep(pause).await;
                pause = (2 * pause).min(LONGEST_PAUSE);
                // Whoever answers is followed next.
                let _ = self.filer.check_lookup().await;
            }
        }
    }

    /// One session with filer `index`, for as long as it is the one that is asked.
    async fn follow(&mut self, index: usize) -> Result<End> {
        let filer = Arc::clone(&self.filer);
        let mut tenure = filer.tenure(index);
        tokio::select! {
            end = self.session(index) => end,
            succession = tenure.over() => Ok(End::Elsewhere(succession)),
        }
    }

    async fn session(&mut self, index: usize) -> Result<End> {
        let (signature, now) = self.filer.position(index).await?;
        let clock = FilerClock { now, at: Instant::now() };
        let since = now.saturating_sub(i64::try_from(SLACK.as_nanos()).unwrap_or(i64::MAX));
        self.entries.open(Session { signature, since });
        self.epoch += 1;
        let request = pb::SubscribeMetadataRequest {
            client_name: "tidegate".to_owned(),
            path_prefix: "/".to_owned(),
            since_ns: since,
            client_id: self.client_id,
            client_epoch: self.epoch,
            client_supports_batching: true,
            client_supports_idle_heartbeat: true,
        };
        let Ok(stream) = timeout(SILENCE, self.filer.subscribe(index, request)).await else { return Ok(End::Silent) };
        let mut stream = stream?;
        let mut newest = since;
        loop {
            let is_up = self.up.get() == 1;
            let patience = if is_up { clock.until(newest) } else { SILENCE };
            let message = match timeout(patience, stream.message()).await {
                Err(_) if patience < SILENCE => return Ok(End::Behind),
                Err(_) => return Ok(End::Silent),
                Ok(Err(status)) => return Ok(End::Broken(status.message().to_owned())),
                Ok(Ok(None)) => return Ok(End::Closed),
                Ok(Ok(Some(message))) => message,
            };
            self.apply(&message, signature);
            message.events.iter().for_each(|event| self.apply(event, signature));
            // A heartbeat comes only when all that happened before it was sent; an event of our time says the same.
            newest = newest.max(message.events.last().map_or(message.ts_ns, |event| event.ts_ns));
            if !is_up && newest >= now {
                self.entries.caught_up();
                self.up.set(1);
                tracing::info!(filer = self.filer.name(index), "following the filer's changes; entries are kept");
            }
        }
    }

    fn apply(&self, event: &pb::SubscribeMetadataResponse, signature: i32) {
        let signatures = event.event_notification.as_ref().map_or(&[][..], |it| &it.signatures);
        // Logged by the filer itself, on its own account: only that is in its store for certain.
        let foreign = signatures != [signature];
        changes::of(event).for_each(|change| self.entries.apply(&change, foreign));
    }

    fn report(&self, index: usize, end: &End, was_up: bool) {
        let filer = self.filer.name(index);
        let reason = match end {
            End::Silent => "it has been silent for too long",
            End::Closed => "it ended the subscription",
            End::Broken(reason) => reason,
            End::Behind => "what it sends is from more than 12 s ago: another filer of its group may be away",
            End::Elsewhere(Succession::Filer) => "another filer answers now",
            End::Elsewhere(Succession::Connection) => "its connection stood still, and another one is used",
            End::Panicked => "of a mistake in tidegate; the trace is above",
        };
        if was_up {
            tracing::warn!(filer, reason, "no longer following the filer's changes; every read asks the filer");
        } else {
            tracing::debug!(filer, reason, "cannot follow the filer's changes yet");
        }
    }
}

/// How a session ends, whatever ends it: it outlives nobody who keeps it true.
async fn ended(session: impl Future<Output = Result<End>>) -> End {
    match AssertUnwindSafe(session).catch_unwind().await {
        Ok(Ok(end)) => end,
        Ok(Err(error)) => End::Broken(error.message().to_owned()),
        Err(_) => End::Panicked,
    }
}

/// The filer's clock, as it was read once.
struct FilerClock {
    /// Nanoseconds since the epoch.
    now: i64,
    at: Instant,
}

impl FilerClock {
    /// How long it takes until `position` is [`SILENCE`] old.
    fn until(&self, position: i64) -> Duration {
        let nanos = u64::try_from(position.saturating_sub(self.now)).map(Duration::from_nanos);
        let due = match nanos {
            Ok(later) => self.at.checked_add(later + SILENCE),
            Err(_) => Some(self.at + SILENCE - Duration::from_nanos(self.now.abs_diff(position)).min(SILENCE)),
        };
        due.map_or(SILENCE, |due| due.saturating_duration_since(Instant::now()).min(SILENCE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_mistake_of_ours_ends_the_session() {
        assert!(matches!(ended(async { panic!("on purpose") }).await, End::Panicked));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_said_grows_old_by_the_filers_clock() {
        let clock = FilerClock { now: 1_000_000_000_000, at: Instant::now() };
        let seconds = |position: i64| clock.until(position * 1_000_000_000).as_secs();
        assert_eq!((seconds(1000), seconds(995), seconds(900), seconds(2000)), (12, 7, 0, 12));
        tokio::time::advance(Duration::from_secs(30)).await;
        assert_eq!((seconds(1000), seconds(1020), seconds(1030)), (0, 2, 12));
    }
}
