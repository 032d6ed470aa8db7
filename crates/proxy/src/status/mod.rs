//! What the daemon is doing now, for people: as JSON, and as a page that updates itself.
//!
//! Knows what each part tells of itself, what of that is worth a warning, and how it is shown. Must not know how any part
//! works. Nothing here is a secret, and paths are told only where the operator wants it.
//!
//! Looking is cheap, and done once a second at most however many look.

pub(crate) mod amounts;
mod events;
mod front;
mod gather;
mod health;
mod page;
mod readings;
mod recent;
pub mod state;

use std::{pin::Pin, sync::Arc, time::Duration};

use tokio::{
    sync::Mutex,
    time::{Instant, interval},
};

pub(crate) use self::gather::{LimitSetting, Settings, Sources, StatusParts};
pub use self::state::Status;
use self::{
    events::Watchers,
    readings::Readings,
    recent::{NOTED, RecentCounters},
};

/// How long a status is told again.
const FRESH: Duration = Duration::from_millis(900);

/// Says whether requests can be served, and if not why, as `/readyz` does.
pub(crate) type ReadinessCheck =
    Box<dyn Fn() -> Pin<Box<dyn Future<Output = Result<(), String>> + Send>> + Send + Sync>;

/// Where the status is put up for all to see.
pub(crate) struct Board {
    sources: Sources,
    ready: ReadinessCheck,
    recent: RecentCounters,
    watchers: Arc<Watchers>,
    /// The last status and when it was made. Held while another one is, so that many who look make one.
    last: Mutex<Option<(Instant, Arc<Status>)>>,
}

impl Board {
    /// One that tells of these.
    pub(crate) fn new(sources: Sources, ready: ReadinessCheck) -> Arc<Self> {
        Arc::new(Self {
            sources,
            ready,
            recent: RecentCounters::new(),
            watchers: Watchers::new(),
            last: Mutex::new(None),
        })
    }

    /// Notes what happens, and tells whoever watches, until it is `over`.
    pub(crate) async fn run(&self, over: impl Future<Output = ()>) {
        let note = async {
            let mut ticks = interval(NOTED);
            loop {
                ticks.tick().await;
                self.recent.note(&Readings::of(&self.sources.registry));
            }
        };
        let tell = self.watchers.tell(|| async { page::news(&*self.status().await) });
        tokio::select! {
            () = over => self.watchers.end(),
            () = note => {}
            () = tell => {}
        }
    }

    async fn status(&self) -> Arc<Status> {
        let mut last = self.last.lock().await;
        if let Some((when, status)) = &*last
            && when.elapsed() < FRESH
        {
            return Arc::clone(status);
        }
        let ready = (self.ready)().await;
        let status = Arc::new(gather::status(&self.sources, &self.recent, &ready));
        *last = Some((Instant::now(), Arc::clone(&status)));
        status
    }
}
