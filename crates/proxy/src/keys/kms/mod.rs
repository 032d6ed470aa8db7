//! Key management services: what one must be able to do, and which of the configured ones opens a given data key.
//!
//! Knows providers only by [`Provider`]. Must not know caches, entries or requests from clients. A new service is one
//! file beside [`aws`] that implements [`Provider`] for a single try; choice, retries and error texts are here already.

#[cfg(feature = "_http")]
mod address;
#[cfg(feature = "aws")]
pub mod aws;
#[cfg(feature = "azure")]
pub mod azure;
#[cfg(feature = "_bearer")]
mod bearer;
mod choice;
#[cfg(feature = "_bearer")]
mod ciphertext;
mod circuit;
mod error;
#[cfg(feature = "gcp")]
pub mod gcp;
#[cfg(feature = "_http")]
mod http;
mod limit;
#[cfg(feature = "openbao")]
pub mod openbao;
#[cfg(feature = "_bearer")]
mod rest;
mod retry;
#[cfg(test)]
#[cfg(feature = "_http")]
#[cfg_attr(
    not(all(feature = "aws", feature = "azure")),
    allow(dead_code, reason = "the tests of each provider use a part of it")
)]
pub(crate) mod scripted;
#[cfg(feature = "_http")]
mod secret;
#[cfg(feature = "_http")]
mod token_slot;

use std::time::Duration;

use crypto::{DataKey, KmsKey};
use futures_util::future::BoxFuture;

pub use choice::Providers;
pub use error::{Failure, KmsError};
pub use limit::{LimitedProvider, WaitingLine};
pub(super) use retry::unwrap;

/// What a KMS gave for a wrapped data key.
pub struct UnwrappedKey {
    /// The data key.
    pub key: DataKey,
    /// The id of the KMS key that had wrapped it, as the KMS names it.
    pub key_id: String,
}

/// What one KMS is called, and how it is asked.
#[derive(Clone)]
pub struct ProviderInfo {
    /// The name it has in the configuration; a label in metrics.
    pub name: String,
    /// What envelopes that it can open carry as `provider`: `aws`, `openbao`, `gcp`, `azure`.
    pub kind: &'static str,
    /// How many further tries a request gets that was throttled or did not come through.
    pub max_retries: u32,
    /// The time after which no further try is begun.
    pub patience: Duration,
}

/// How a KMS stands, for people.
#[derive(Clone, Debug)]
pub struct Service {
    /// The name it has in the configuration.
    pub name: String,
    /// As [`ProviderInfo::kind`].
    pub kind: &'static str,
    /// Whether it is known to give no answer.
    pub is_down: bool,
    /// How a request last gave no key, and how long ago that is.
    pub last_failure: Option<(&'static str, Duration)>,
}

/// One configured KMS.
pub trait Provider: Send + Sync {
    /// What is known of it without asking it.
    fn about(&self) -> &ProviderInfo;

    /// Where its requests wait, and whether it is down; `None`: nobody waits, and each finds out.
    fn line(&self) -> Option<&WaitingLine> {
        None
    }

    /// Asks the KMS once, under the stored key id and context. Bounded in time by the provider's own timeouts.
    fn decrypt<'a>(&'a self, key: &'a KmsKey) -> BoxFuture<'a, Result<UnwrappedKey, KmsError>>;
}
