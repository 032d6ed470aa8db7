//! What goes on beside requests, for as long as the parts that it is for are in force.

use std::{sync::Arc, time::Duration};

use tokio::task::JoinHandle;

use super::{parts::Parts, process_state::ProcessState};
use crate::{
    access::Demands,
    entries::{Entries, Follower},
    filer::FilerClient,
    keys::KeyRing,
    read::{DerivedFile, Source},
    s3::Gateways,
};

/// How often what is over its time is dropped, keys among it, and what is kept is counted.
const SWEEP: Duration = Duration::from_secs(10);

/// A task for one part.
struct Task<T> {
    part: Arc<T>,
    running: JoinHandle<()>,
}

/// One for each part that wants one.
#[derive(Default)]
pub(super) struct Tasks {
    filer: Option<Task<FilerClient>>,
    entries: Option<Task<Entries<DerivedFile>>>,
    demands: Option<Task<Demands>>,
    gateways: Option<Task<Gateways>>,
    keys: Option<Task<KeyRing>>,
    source: Option<Task<Source>>,
}

impl Tasks {
    /// Ends those of parts that `parts` has no more, and starts those of parts that are new.
    pub(super) async fn renew(&mut self, parts: &Parts, process: &ProcessState) {
        renew(&mut self.filer, Some(parts.filer()), |filer| async move { filer.watch().await }).await;
        let followed = (parts.config.cache.entries.bytes() > 0).then(|| parts.entries());
        let (filer, up) = (Arc::clone(parts.filer()), process.metrics.followed.clone());
        renew(&mut self.entries, followed, |entries| Follower::new(entries, filer, up).run()).await;
        renew(&mut self.demands, Some(parts.demands()), |demands| async move { demands.run().await }).await;
        renew(&mut self.gateways, parts.gateways(), |gateways| async move { gateways.watch().await }).await;
        renew(&mut self.keys, Some(&parts.keys), sweep).await;
        renew(&mut self.source, Some(parts.source()), sweep_source).await;
    }
}

async fn renew<T, R>(task: &mut Option<Task<T>>, part: Option<&Arc<T>>, run: impl FnOnce(Arc<T>) -> R)
where
    R: Future<Output = ()> + Send + 'static,
{
    if let (Some(task), Some(part)) = (&task, part)
        && Arc::ptr_eq(&task.part, part)
    {
        return;
    }
    if let Some(task) = task.take() {
        task.running.abort();
        // What it does when it is dropped is done before another begins.
        let _ = task.running.await;
    }
    *task = part.map(|part| Task { part: Arc::clone(part), running: tokio::spawn(run(Arc::clone(part))) });
}

async fn sweep(keys: Arc<KeyRing>) {
    let mut ticks = tokio::time::interval(SWEEP);
    loop {
        ticks.tick().await;
        keys.sweep().await;
    }
}

async fn sweep_source(source: Arc<Source>) {
    let mut ticks = tokio::time::interval(SWEEP);
    loop {
        ticks.tick().await;
        source.locations.sweep().await;
        source.expansions.sweep().await;
    }
}
