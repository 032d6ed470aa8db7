//! Data keys that a KMS opened, by their identity: one call per key however many ask.
//!
//! Knows moka. Must not know how a key is opened, or for how long it is the answer.
//!
//! Lifetimes are those of the [`Outcome`] and not moka's, because failures live shorter than keys and because tests pause
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

use super::{
    hooks::{CacheOutcome, DATA_KEYS, Hooks},
    outcome::{Outcome, REFUSAL},
};
use crate::{Blame, Error, Result, correlation::Correlation};

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

/// The cache. Cloning it is cheap and shares the entries.
#[derive(Clone)]
pub(super) struct DataKeys {
    outcomes: Cache<(u64, Identity), Outcome>,
    generation: Arc<AtomicU64>,
    ttl: Duration,
    hooks: Arc<dyn Hooks>,
}

impl DataKeys {
    /// Keeps up to `entries` keys (and failures), each key for `ttl`.
    pub(super) fn new(entries: u64, ttl: Duration, hooks: Arc<dyn Hooks>) -> Self {
        let outcomes = Cache::builder().max_capacity(entries).time_to_live(ttl.max(REFUSAL)).build();
        Self { outcomes, generation: Arc::default(), ttl, hooks }
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
        if let Some(outcome) = self.outcomes.get(&asked).await
            && !outcome.is_expired()
        {
            return self.answer(outcome, false);
        }
        let (keys, ttl, open) = (self.clone(), self.ttl, open());
        let task = async move {
            let call = async move { Outcome::new(open.await, ttl) };
            let entry = keys.outcomes.entry(asked).or_insert_with_if(call, Outcome::is_expired).await;
            // Nobody will find it, but it would lie there until its time is over.
            if keys.generation.load(Ordering::SeqCst) != generation {
                keys.outcomes.invalidate(entry.key()).await;
                keys.tidy().await;
            }
            (entry.is_fresh(), entry.into_value())
        };
        match tokio::spawn(Correlation::carried(task)).await {
            Ok((fresh, outcome)) => self.answer(outcome, fresh),
            Err(gone) => match gone.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => Err(Error::new(Blame::Kms, StatusCode::SERVICE_UNAVAILABLE, "the daemon is stopping")),
            },
        }
    }

    fn answer(&self, Outcome { result, .. }: Outcome, fresh: bool) -> Result<Arc<DataKey>> {
        let outcome = match (&result, fresh) {
            (_, true) => CacheOutcome::Miss,
            (Ok(_), false) => CacheOutcome::Hit,
            (Err(_), false) => CacheOutcome::Failure,
        };
        self.hooks.on_cache(DATA_KEYS, outcome);
        result
    }

    /// How many keys and failures are kept, as of the last sweep.
    pub(super) fn count(&self) -> u64 {
        self.outcomes.entry_count()
    }

    /// Drops what is over its time; moka does so only while it is used.
    pub(super) async fn sweep(&self) {
        self.outcomes.run_pending_tasks().await;
    }

    /// Drops everything, and what is being opened now as soon as it is; that is still the answer to those who wait for it.
    pub(super) async fn clear(&self) {
        self.generation.fetch_add(1, Ordering::SeqCst);
        self.outcomes.invalidate_all();
        self.tidy().await;
    }

    /// Frees, and so wipes, what was dropped.
    async fn tidy(&self) {
        for _ in 0..ROUNDS + self.outcomes.entry_count() / FREED {
            self.outcomes.run_pending_tasks().await;
        }
    }
}
