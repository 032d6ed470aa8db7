//! How many requests a KMS is asked at once, whose turn it is, and that nobody waits for one that is down.
//!
//! Knows counts and time. Must not know what is asked.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use crypto::KmsKey;
use futures_util::future::BoxFuture;
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::{Instant, timeout},
};

use super::{Failure, KmsError, Provider, ProviderInfo, UnwrappedKey, circuit::Circuit};

/// A provider that is asked for a bounded number of keys at once; the rest waits in line, for as long as the provider has
/// patience.
///
/// A read of an object of many parts takes many keys, and a KMS has request quotas that everybody shares.
pub struct LimitedProvider {
    inner: Arc<dyn Provider>,
    line: WaitingLine,
}

/// The requests to one KMS that wait for their turn.
pub struct WaitingLine {
    places: Semaphore,
    /// Half of the places. What no client waits for yet waits for one of these first, so that whoever does wait finds a
    /// short line.
    ahead: Semaphore,
    pub(super) circuit: Circuit,
    /// How it last gave no key, and when.
    failed: Mutex<Option<(Failure, Instant)>>,
}

impl LimitedProvider {
    /// `inner`, asked `places` times at once at most. Zero counts as one.
    pub fn new(inner: Arc<dyn Provider>, places: usize) -> Self {
        let places = places.max(1);
        let (all, ahead) = (Semaphore::new(places), Semaphore::new(places.div_ceil(2)));
        Self { inner, line: WaitingLine { places: all, ahead, circuit: Circuit::default(), failed: Mutex::default() } }
    }
}

impl WaitingLine {
    /// Waits for the leave to open keys ahead of their client.
    ///
    /// # Errors
    /// When it takes longer than `patience`, or the KMS is found to be down meanwhile.
    pub(super) async fn ahead(&self, patience: Duration) -> Result<SemaphorePermit<'_>, KmsError> {
        self.wait(&self.ahead, patience).await
    }

    /// A request gave no key, in all its tries.
    pub(super) fn note(&self, failure: Failure) {
        *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some((failure, Instant::now()));
    }

    /// How a request last gave no key, and how long ago.
    pub(super) fn last_failure(&self) -> Option<(Failure, Duration)> {
        let failed = *self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.map(|(failure, at)| (failure, at.elapsed()))
    }

    /// Asks again.
    pub(super) fn forget_outage(&self) {
        self.circuit.close();
    }

    async fn wait<'s>(&self, places: &'s Semaphore, patience: Duration) -> Result<SemaphorePermit<'s>, KmsError> {
        let crowded = || KmsError::new(Failure::Throttled, "too many of the daemon's own requests are waiting for it");
        let place = async {
            tokio::select! {
                biased;
                place = places.acquire() => place.map_err(|_| crowded()),
                down = self.circuit.opened() => Err(down),
            }
        };
        timeout(patience, place).await.map_err(|_| crowded())?
    }
}

impl Provider for LimitedProvider {
    fn about(&self) -> &ProviderInfo {
        self.inner.about()
    }

    fn line(&self) -> Option<&WaitingLine> {
        Some(&self.line)
    }

    fn decrypt<'a>(&'a self, key: &'a KmsKey) -> BoxFuture<'a, Result<UnwrappedKey, KmsError>> {
        Box::pin(async move {
            let _place = self.line.wait(&self.line.places, self.inner.about().patience).await?;
            self.inner.decrypt(key).await
        })
    }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeMap,
        sync::atomic::{AtomicUsize, Ordering},
        time::Duration,
    };

    use crypto::{DataKey, Envelope};
    use futures_util::future::join_all;

    use super::*;

    /// Takes a second for each key and remembers how many it had at once.
    struct Slow {
        about: ProviderInfo,
        now: AtomicUsize,
        most: AtomicUsize,
    }

    impl Provider for Slow {
        fn about(&self) -> &ProviderInfo {
            &self.about
        }

        fn decrypt<'a>(&'a self, key: &'a KmsKey) -> BoxFuture<'a, Result<UnwrappedKey, KmsError>> {
            Box::pin(async {
                self.most.fetch_max(self.now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_secs(1)).await;
                self.now.fetch_sub(1, Ordering::SeqCst);
                let opened = DataKey::from_slice(&[7; 32]).unwrap();
                Ok(UnwrappedKey { key: opened, key_id: key.key_id.clone() })
            })
        }
    }

    #[tokio::test(start_paused = true)]
    async fn asks_no_more_at_once_and_keeps_nobody_waiting_for_ever() {
        let envelope = Envelope {
            provider: "aws".into(),
            key_id: "k".into(),
            ciphertext: "c".into(),
            version: 1,
            provider_specific: None,
        };
        let (context, commitments) = (BTreeMap::new(), Vec::new());
        let key = KmsKey { key_id: "k".into(), envelope, context, bucket_key_enabled: false, commitments };
        let patience = Duration::from_millis(3500);
        let about = ProviderInfo { name: "slow".to_owned(), kind: "aws", max_retries: 0, patience };
        let slow = Arc::new(Slow { about, now: AtomicUsize::new(0), most: AtomicUsize::new(0) });
        let limited = LimitedProvider::new(slow.clone(), 3);
        let all = join_all((0..15).map(|_| limited.decrypt(&key))).await;
        let opened = all.iter().filter(|one| one.is_ok()).count();
        assert_eq!((slow.most.load(Ordering::SeqCst), opened), (3, 12));
        for error in all.into_iter().filter_map(Result::err) {
            assert_eq!(error.failure(), Failure::Throttled);
        }
    }
}
