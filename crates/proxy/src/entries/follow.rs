//! Follows the filer's changes for as long as the daemon runs.
//!
//! Knows when a subscription is caught up, silent or broken. Must not know what a change means.

use std::{sync::Arc, time::Duration};

use prometheus::IntGauge;
use tokio::time::{Instant, sleep, timeout};

use super::{Entries, SLACK, changes, ledger::Session};
use crate::{Result, filer::FilerClient, pb};

/// The filer sends its time every 5 s while there is nothing else to tell. Two of them may be late.
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
    /// Another filer answers lookups now.
    Elsewhere,
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
            let end = match self.follow(index).await {
                Ok(end) => end,
                Err(error) => End::Broken(error.message().to_owned()),
            };
            let was_up = self.up.get() == 1;
            self.entries.close();
            self.up.set(0);
            self.report(index, &end, was_up);
            if began.elapsed() > LONGEST_PAUSE {
                pause = PAUSE;
            }
            if !matches!(end, End::Elsewhere) {
                sleep(pause).await;
                pause = (2 * pause).min(LONGEST_PAUSE);
                // Whoever answers is followed next.
                let _ = self.filer.ping().await;
            }
        }
    }

    /// One session with filer `index`.
    async fn follow(&mut self, index: usize) -> Result<End> {
        let (signature, now) = self.filer.position(index).await?;
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
        loop {
            let message = match timeout(SILENCE, stream.message()).await {
                Err(_) => return Ok(End::Silent),
                Ok(Err(status)) => return Ok(End::Broken(status.message().to_owned())),
                Ok(Ok(None)) => return Ok(End::Closed),
                Ok(Ok(Some(message))) => message,
            };
            self.apply(&message, signature);
            message.events.iter().for_each(|event| self.apply(event, signature));
            // A heartbeat comes only when all that happened before it was sent; an event of our time says the same.
            let newest = message.events.last().map_or(message.ts_ns, |event| event.ts_ns);
            if self.up.get() == 0 && newest >= now {
                self.entries.caught_up();
                self.up.set(1);
                tracing::info!(filer = self.filer.name(index), "following the filer's changes; entries are kept");
            }
            if self.filer.preferred() != index {
                return Ok(End::Elsewhere);
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
            End::Elsewhere => "another filer answers now",
        };
        if was_up {
            tracing::warn!(filer, reason, "no longer following the filer's changes; every read asks the filer");
        } else {
            tracing::debug!(filer, reason, "cannot follow the filer's changes yet");
        }
    }
}
