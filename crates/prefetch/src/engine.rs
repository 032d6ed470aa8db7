//! The engine: what all downloads share.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use tokio::time::timeout;

use crate::{
    ChunkCache, Download, FetchError, Locate, MemoryInsight, Metrics, NeedleRead, Plan, ServerInsight, Settings, Share,
    Upstream, Verify,
    budget::{self, Account, Budget, LONGEST_WAIT, LOOKS, in_time},
    context::EngineContext,
    fetch::FetchContext,
    pool::Pool,
    servers::Servers,
    whole,
};

/// Runs downloads within one budget of memory and one set of limits. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    pub(crate) shared: Arc<EngineContext>,
}

impl Engine {
    /// An engine that asks `upstream` for bytes and `locate` for places, and keeps small chunks in `cache`. Must be called
    /// inside a Tokio runtime only when downloads are started, not here.
    pub fn new(
        settings: Settings,
        upstream: Arc<dyn Upstream>,
        cache: Option<ChunkCache>,
        locate: Arc<dyn Locate>,
        metrics: Metrics,
    ) -> Self {
        let budget = Budget::new(settings.memory, settings.min_rate, &metrics);
        let servers = servers(&settings, &metrics);
        let fetch = FetchContext::new(&settings, servers, upstream, locate, cache.map(Arc::new), metrics.clone());
        Self {
            shared: Arc::new(EngineContext {
                settings,
                budget,
                fetch: Arc::new(fetch),
                metrics,
                experience: Arc::default(),
                pool: Arc::new(Pool::new()),
            }),
        }
    }

    /// An engine with other settings for downloads from now on, that has this one's memory, and its chunks unless
    /// `renewal` has others. Until [`Engine::take_over`] the memory is as large as before.
    #[must_use]
    pub fn renewed(&self, settings: Settings, renewal: Renewal) -> Self {
        let EngineContext { budget, fetch, metrics, experience, pool, settings: before } = &*self.shared;
        let Renewal { upstream, cache, locate } = renewal;
        let keeps_servers = (before.per_server, patient(before)) == (settings.per_server, patient(&settings));
        let servers = if keeps_servers { Arc::clone(&fetch.servers) } else { servers(&settings, metrics) };
        let cache = cache.map_or_else(|| fetch.cache.clone(), |other| other.map(Arc::new));
        let fetch = FetchContext::new(&settings, servers, upstream, locate, cache, metrics.clone());
        Self {
            shared: Arc::new(EngineContext {
                settings,
                budget: Arc::clone(budget),
                fetch: Arc::new(fetch),
                metrics: metrics.clone(),
                experience: Arc::clone(experience),
                pool: Arc::clone(pool),
            }),
        }
    }

    /// From now on the memory is as large as this engine's settings say, also for the downloads of `before`, which it was
    /// [renewed](Engine::renewed) from; those run on. Chunks that `before` kept for itself alone are dropped.
    pub fn take_over(&self, before: &Self) {
        let Settings { memory, min_rate, .. } = self.shared.settings;
        self.shared.budget.resize(memory, min_rate);
        let (cache, old) = (&self.shared.fetch.cache, &before.shared.fetch.cache);
        if let Some(old) = old
            && !cache.as_ref().is_some_and(|cache| Arc::ptr_eq(cache, old))
        {
            old.close();
        }
    }

    /// Starts a download and waits for its first bytes, so that what fails at once fails before anything is answered.
    ///
    /// Waits also until memory for one more download is free, for half a minute at most. After two seconds of that somebody
    /// else's is cut for it, if `share` has less than that one or that one's client is too slow.
    ///
    /// # Errors
    /// When the first piece cannot be had from any replica, or there was no memory for that long.
    pub async fn download_for(&self, share: &Share, plan: Plan) -> Result<Download, FetchError> {
        let account = self.admit(share).await?;
        let plan = match self.shared.settings.verify {
            Verify::Always => plan.of_whole_chunks(),
            Verify::Whole | Verify::Off => plan,
        };
        let mut download = Download::new(Arc::clone(&self.shared), account, plan);
        download.begin().await?;
        Ok(download)
    }

    /// The same for nobody in particular: a read of our own.
    ///
    /// # Errors
    /// The same.
    pub async fn download(&self, plan: Plan) -> Result<Download, FetchError> {
        self.download_for(&Share::default(), plan).await
    }

    /// Reads one needle whole, as it is stored: a manifest. At most `limit` bytes.
    ///
    /// # Errors
    /// When no replica has it, it is larger than `limit`, or there was no memory for half a minute.
    pub async fn read_needle(&self, read: NeedleRead, limit: u64) -> Result<Bytes, FetchError> {
        let account = self.admit(&Share::default()).await?;
        whole::read(&self.shared, &account, &read, limit).await
    }

    /// The bytes that are stored of a needle, by the head of an answer.
    ///
    /// # Errors
    /// When no replica says it.
    pub async fn stored_length(&self, read: &NeedleRead) -> Result<u64, FetchError> {
        whole::stored_length(&self.shared, read).await
    }

    /// How many chunks are kept in memory, and the bytes that they take of `cache`'s.
    pub fn cached(&self) -> (u64, u64) {
        self.shared.fetch.cache.as_ref().map_or((0, 0), |cache| cache.held())
    }

    /// The volume servers that were named lately, in no order. Looking keeps nobody waiting for long.
    pub fn servers(&self) -> Vec<ServerInsight> {
        self.shared.fetch.servers.insight()
    }

    /// Who has the memory. Likewise.
    pub fn memory(&self) -> MemoryInsight {
        self.shared.budget.insight()
    }

    async fn admit(&self, share: &Share) -> Result<Arc<Account>, FetchError> {
        let EngineContext { budget, metrics, .. } = &*self.shared;
        let mut admitted = std::pin::pin!(budget.admit(share));
        if let Some(account) = admitted.as_mut().now_or_never() {
            return Ok(account);
        }
        metrics.memory_was_short("floor");
        let admitted = async {
            loop {
                match timeout(LOOKS, admitted.as_mut()).await {
                    Ok(account) => return account,
                    Err(_) => budget.relieve(),
                }
            }
        };
        in_time(admitted, LONGEST_WAIT).await
    }
}

/// What an engine has that another one has not.
pub struct Renewal {
    /// How volume servers are reached.
    pub upstream: Arc<dyn Upstream>,
    /// Where small chunks are kept, if anywhere; `None`: where they were.
    pub cache: Option<Option<ChunkCache>>,
    /// Where volumes are found.
    pub locate: Arc<dyn Locate>,
}

/// How many fetches may wait for servers to come back. Each has a floor: three quarters of all floors stay for others.
fn patient(settings: &Settings) -> usize {
    (budget::floors(settings.memory) / 4).max(1)
}

fn servers(settings: &Settings, metrics: &Metrics) -> Arc<Servers> {
    Arc::new(Servers::new(settings.per_server, patient(settings), metrics.ejections.clone(), metrics.servers.clone()))
}

#[cfg(test)]
#[cfg(not(feature = "shuttle"))]
mod tests;

#[cfg(test)]
#[cfg(feature = "shuttle")]
mod shuttle_tests;
