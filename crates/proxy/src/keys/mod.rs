//! From wrapped data keys to data keys: the key ring, its cache, the KMS providers and the SSE-S3 key.
//!
//! Knows who opens which wrapped key and for how long it is kept. Must not know entries, chunks, clients, or how bytes
//! are decrypted with the keys. Who may have a key is decided before it is asked for.

mod cache;
pub mod hooks;
pub mod kms;
mod outcome;
pub mod sse_s3;
#[cfg(test)]
mod tests;
mod urgency;

use std::{sync::Arc, time::Duration};

use crypto::{VerifiedKey, WrappedKey};
use http::StatusCode;

pub use self::urgency::Urgency;
use self::{
    cache::{DataKeys, Identity},
    hooks::Hooks,
    kms::{Providers, Service},
    sse_s3::SseS3,
};
use crate::{Blame, Error, Result};

/// How many data keys are kept, and how long.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// `kms.cache_entries`, counting failures too.
    pub cache_entries: u64,
    /// `kms.cache_ttl`: how long an opened key is used before the KMS is asked again. A key that is disabled in the KMS
    /// stays readable for this long. Zero: ask each time (callers that wait for the same key still share one call).
    pub cache_ttl: Duration,
    /// `sse.require_commitment`: whether a key without a commitment is refused.
    pub require_commitment: bool,
}

impl Default for Settings {
    /// 10,000 keys for 5 minutes.
    fn default() -> Self {
        Self { cache_entries: 10_000, cache_ttl: Duration::from_secs(300), require_commitment: false }
    }
}

const UNCOMMITTED: &str = "the object's data key has no key commitment, and sse.require_commitment demands one; write the \
                           object anew, or turn the setting off";

/// Opens wrapped data keys; those that a KMS opens, each once for all who ask.
pub struct KeyRing {
    keys: DataKeys,
    providers: Providers,
    sse_s3: Arc<SseS3>,
    require_commitment: bool,
    hooks: Arc<dyn Hooks>,
}

impl KeyRing {
    /// An empty ring over these providers and this SSE-S3 key. Must be used inside a tokio runtime.
    pub fn new(settings: Settings, providers: Providers, sse_s3: Arc<SseS3>, hooks: Arc<dyn Hooks>) -> Self {
        let keys = DataKeys::new(settings.cache_entries, settings.cache_ttl, hooks.clone());
        Self { keys, providers, sse_s3, require_commitment: settings.require_commitment, hooks }
    }

    /// The data key behind `wrapped`. `bucket` is the bucket that the object is in, if it is in one.
    ///
    /// The key has been checked as far as the metadata allows: the KMS's key id is the stored one, and the key commitment,
    /// where there is one, holds. Where one is demanded and there is none, nobody is asked for the key.
    ///
    /// # Errors
    /// 403, 409, 500, 502 or 503 with the blame on [`Blame::Kms`] or [`Blame::Config`], or what the filer's key file
    /// failed with; 500 and [`Blame::Filer`] if a commitment does not hold. [`Error::delay`] says whether it may pass.
    /// What a KMS failed with is answered again from the cache for seconds only.
    pub async fn open(&self, bucket: Option<&str>, wrapped: &WrappedKey, urgency: Urgency) -> Result<VerifiedKey> {
        let customer = matches!(wrapped, WrappedKey::Customer(_));
        if self.require_commitment && !customer && wrapped.commitments().is_empty() {
            return Err(Error::new(Blame::Config, StatusCode::FORBIDDEN, UNCOMMITTED).code("KeyCommitmentMissing"));
        }
        let key = match wrapped {
            WrappedKey::Customer(_) => {
                let message = "the object is encrypted with a customer key, which comes with the request (SSE-C)";
                return Err(Error::new(Blame::Client, StatusCode::BAD_REQUEST, message).code("InvalidArgument"));
            }
            WrappedKey::Kms(key) => {
                let (name, provider) = self.providers.choose(bucket, &key.envelope.provider)?;
                let identity = Identity { opener: name, wrapped: wrapped.id() };
                self.keys.get(identity, || kms::unwrap(provider, key.clone(), urgency, self.hooks.clone())).await?
            }
            // Not cached: it is opened here, in a microsecond or two, and an object has as many wrapped keys as chunks,
            // which would push out the keys that a KMS must be asked for.
            WrappedKey::S3(key) => Arc::new(self.sse_s3.open(key).await?),
        };
        // Outside the cache: one data key serves many IVs, and each has a commitment of its own.
        wrapped.accept(key).map_err(|error| {
            Error::new(Blame::Filer, StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
                .code("KeyCommitmentMismatch")
                .caused_by(error)
        })
    }

    /// Drops, and so wipes, the keys that are over their time. The cache does it by itself only while it is used: call
    /// this about once a minute.
    pub async fn sweep(&self) {
        self.keys.sweep().await;
    }

    /// How each key management service stands, by its name.
    pub fn services(&self) -> Vec<Service> {
        self.providers.services()
    }

    /// How many data keys, and failures to open one, are kept, as of the last sweep.
    pub fn kept(&self) -> u64 {
        self.keys.count()
    }

    /// Forgets the data keys that a KMS opened, so that the next read asks it again: those too that are being opened now,
    /// which are for the reads that wait for them already. A KMS that was found to be down is asked again as well.
    pub async fn forget(&self) {
        self.providers.forget_outages();
        self.keys.clear().await;
    }

    /// Reads the filer's SSE-S3 key file now. `false`: there is none, or none is needed.
    ///
    /// # Errors
    /// When it cannot be read or has no usable key; what it said before stays in use.
    pub async fn read_sse_s3(&self) -> Result<bool> {
        self.sse_s3.read().await
    }
}
