//! The keys with which objects are opened, and the secrets that lead to them.

use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use tokio::sync::watch;
use zeroize::Zeroizing;

use super::{process_state::ProcessState, providers, reusable_part::ReusablePart, start_error::StartError};
use crate::{
    config::{self, Config, Secret},
    keys::{
        self, KeyRing,
        hooks::{self, Hooks},
        kms::{self, LimitedProvider, Providers},
        sse_s3::{self, SseS3},
    },
    metrics::{self, Cache, Metrics},
    read::{FilerKek, Source},
    tls::Tls,
};

/// What tells whether secrets are others, and nothing else of them.
pub(super) type Fingerprint = [u8; 32];

fn text(secret: &mut Option<Secret>) -> Option<Zeroizing<String>> {
    secret.take().map(|secret| Zeroizing::new(secret.expose().to_owned()))
}

/// The SSE-S3 key, which outlives configurations that say the same of it: one that was read from the filer stays in use when the
/// file cannot be read.
///
/// # Errors
/// When what is set is no key.
pub(super) fn sse_s3(
    section: &mut config::SseS3,
    process: &ProcessState,
    key_file: &watch::Sender<Arc<Source>>,
    before: Option<&ReusablePart<Fingerprint, Arc<SseS3>>>,
) -> Result<ReusablePart<Fingerprint, Arc<SseS3>>, StartError> {
    let settings = sse_s3::Settings {
        key: text(&mut section.key),
        kek: text(&mut section.kek),
        kek_passphrase: text(&mut section.kek_passphrase),
    };
    let mut fingerprint = Sha256::new_with_prefix(process.salt);
    for secret in [&settings.key, &settings.kek, &settings.kek_passphrase] {
        let text = secret.as_deref().map(String::as_str).unwrap_or_default();
        fingerprint.update([u8::from(secret.is_some())]);
        fingerprint.update((text.len() as u64).to_le_bytes());
        fingerprint.update(text);
    }
    ReusablePart::again(before, fingerprint.finalize().into(), |_| {
        Ok(Arc::new(SseS3::new(settings, Arc::new(FilerKek(key_file.subscribe())))?))
    })
}

/// The key ring, with the secrets that it needs taken out of the settings. Each configuration has one of its own, so that after
/// a reload every data key is asked for again.
///
/// # Errors
/// When a provider cannot be made of what is set.
pub(super) fn key_ring(
    config: &mut Config,
    tls: &Tls,
    sse_s3: Arc<SseS3>,
    metrics: &Metrics,
) -> Result<KeyRing, StartError> {
    let kms = &mut config.kms;
    let settings = keys::Settings {
        cache_entries: kms.cache_entries.into(),
        cache_ttl: kms.cache_ttl,
        require_commitment: config.sse.require_commitment,
    };
    let buckets =
        std::mem::take(&mut kms.buckets).into_iter().map(|(bucket, settings)| (bucket, settings.provider)).collect();
    let at_once = kms.max_concurrent as usize;
    let providers = std::mem::take(&mut kms.providers).into_iter().map(|(name, provider)| {
        let provider = providers::make(&name, provider, tls.kms.get(&name))?;
        Ok(Arc::new(LimitedProvider::new(provider, at_once)) as Arc<dyn kms::Provider>)
    });
    let providers = providers.collect::<crate::Result<_>>()?;
    let providers = Providers::new(providers, kms.default_provider.as_deref(), buckets)?;
    Ok(KeyRing::new(settings, providers, sse_s3, Arc::new(KeyMetrics(metrics.clone()))))
}

/// Counts what the key ring does.
struct KeyMetrics(Metrics);

impl Hooks for KeyMetrics {
    fn on_kms_request(&self, provider: &str, outcome: hooks::KmsOutcome) {
        if let Some(counters) = self.0.kms.provider(provider) {
            counters.record(match outcome {
                hooks::KmsOutcome::Ok => metrics::KmsOutcome::Ok,
                hooks::KmsOutcome::Denied | hooks::KmsOutcome::NotFound => metrics::KmsOutcome::Refused,
                hooks::KmsOutcome::Throttled | hooks::KmsOutcome::Unreachable => metrics::KmsOutcome::Unavailable,
                hooks::KmsOutcome::Invalid => metrics::KmsOutcome::Invalid,
            });
        }
    }

    fn on_cache(&self, cache: &'static str, outcome: hooks::CacheOutcome) {
        debug_assert_eq!(cache, hooks::DATA_KEYS, "the key ring has one cache");
        self.0.caches.of(Cache::DataKeys).record(match outcome {
            hooks::CacheOutcome::Hit => metrics::CacheOutcome::Hit,
            hooks::CacheOutcome::Miss => metrics::CacheOutcome::Miss,
            // A remembered failure was answered without asking anybody.
            hooks::CacheOutcome::Failure => metrics::CacheOutcome::Hit,
        });
    }
}
