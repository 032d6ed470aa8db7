//! Data keys that a KMS opened, by their identity: one call per key however many ask, successes for the configured time, failures
//! for seconds.
//!
//! Knows moka and the clock. Must not know how a key is opened.
//!
//! Lifetimes are kept in the entries and not by moka, because failures live shorter than keys and because tests pause
//! the runtime's clock. Moka's own time-to-live is set as well: it is what frees (and so zeroizes) keys that nobody asks
//! for any more.
//!
//! Whoever asks after everything was forgotten must not be given an answer to a call from before. So each time of forgetting
//! begins a new generation, which is a part of what entries are found by.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use crypto::DataKey;
use http::StatusCode;
use moka::future::Cache;
use tokio::time::Instant;
use tracing::Instrument;

use super::hooks::{CacheOutcome, DATA_KEYS, Hooks};
use crate::{Blame, Error, Result};

/// How long a failure that may pass by itself is answered again without another call.
const TRANSIENT: Duration = Duration::from_secs(2);
/// How long a refusal is answered again without another call.
const REFUSAL: Duration = Duration::from_secs(10);
/// How often moka must tidy up until it frees what it dropped: it waits until no thread can be looking at it any more.
const ROUNDS: u64 = 4;
/// How many entries it frees in one round.
const FREED: u64 = 256;

/// Which key: who opens it, and the digest over everything that it takes to open it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Identity {
    /// The configured name of the KMS provider.
    pub(super) opener: Arc<str>,
    /// [`WrappedKey::id`](crypto::WrappedKey::id).
    pub(super) wrapped: [u8; 32],
}

#[derive(Clone)]
struct Kept {
    outcome: Result<Arc<DataKey>>,
    until: Instant,
}

impl Kept {
    fn over(&self) -> bool {
        Instant::now() >= self.until
    }
}

/// The cache. Cloning it is cheap and shares the entries.
#[derive(Clone)]
pub(super) struct DataKeys {
    kept: Cache<(u64, Identity), Kept>,
    generation: Arc<AtomicU64>,
    ttl: Duration,
    hooks: Arc<dyn Hooks>,
}

impl DataKeys {
    /// Keeps up to `entries` keys (and failures), each key for `ttl`.
    pub(super) fn new(entries: u64, ttl: Duration, hooks: Arc<dyn Hooks>) -> Self {
        let kept = Cache::builder().max_capacity(entries).time_to_live(ttl.max(REFUSAL)).build();
        Self { kept, generation: Arc::default(), ttl, hooks }
    }

    /// The key of this identity, by `open` if it is not here. Of concurrent callers one runs its `open`.
    ///
    /// The call runs in a task of its own: a caller that leaves neither breaks it off for those who wait with it nor
    /// makes the next of them start over.
    pub(super) async fn get<F, O>(&self, identity: Identity, open: F) -> Result<Arc<DataKey>>
    where
        F: FnOnce() -> O,
        O: Future<Output = Result<DataKey>> + Send + 'static,
    {
        let generation = self.generation.load(Ordering::SeqCst);
        let asked = (generation, identity);
        if let Some(kept) = self.kept.get(&asked).await
            && !kept.over()
        {
            return self.answer(kept, false);
        }
        let (keys, ttl, open) = (self.clone(), self.ttl, open());
        let task = async move {
            let opened = async move {
                let outcome = open.await.map(Arc::new);
                let keep = match &outcome {
                    Ok(_) => ttl,
                    Err(error) if error.delay().is_some() => TRANSIENT.min(ttl),
                    Err(_) => REFUSAL.min(ttl),
                };
                Kept { outcome, until: Instant::now() + keep }
            };
            let entry = keys.kept.entry(asked).or_insert_with_if(opened, Kept::over).await;
            // Nobody will find it, but it would lie there until its time is over.
            if keys.generation.load(Ordering::SeqCst) != generation {
                keys.kept.invalidate(entry.key()).await;
                keys.tidy().await;
            }
            (entry.is_fresh(), entry.into_value())
        };
        match tokio::spawn(task.in_current_span()).await {
            Ok((fresh, kept)) => self.answer(kept, fresh),
            Err(gone) => match gone.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => Err(Error::new(Blame::Kms, StatusCode::SERVICE_UNAVAILABLE, "the daemon is stopping")),
            },
        }
    }

    fn answer(&self, kept: Kept, fresh: bool) -> Result<Arc<DataKey>> {
        let outcome = match (&kept.outcome, fresh) {
            (_, true) => CacheOutcome::Miss,
            (Ok(_), false) => CacheOutcome::Hit,
            (Err(_), false) => CacheOutcome::Failure,
        };
        self.hooks.on_cache(DATA_KEYS, outcome);
        kept.outcome
    }

    /// Drops what is over its time; moka does so only while it is used.
    pub(super) async fn sweep(&self) {
        self.kept.run_pending_tasks().await;
    }

    /// Drops everything, and what is being opened now as soon as it is; that is still the answer to those who wait for it.
    pub(super) async fn clear(&self) {
        self.generation.fetch_add(1, Ordering::SeqCst);
        self.kept.invalidate_all();
        self.tidy().await;
    }

    /// Frees, and so wipes, what was dropped.
    async fn tidy(&self) {
        for _ in 0..ROUNDS + self.kept.entry_count() / FREED {
            self.kept.run_pending_tasks().await;
        }
    }
}
