//! Requests to key management services.

use std::{
    collections::HashMap,
    sync::{PoisonError, RwLock},
};

use prometheus::{IntCounter, IntCounterVec, Opts, Registry};

/// How a request to a KMS ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KmsOutcome {
    /// It gave the data key.
    Ok,
    /// It said no: access denied, key disabled or unknown, context wrong.
    Refused,
    /// It could not be reached, took too long, or answered 5xx or 429.
    Unavailable,
    /// It answered what cannot be used: another key's id, a key of the wrong length, no JSON.
    Invalid,
}

impl KmsOutcome {
    const ALL: [Self; 4] = [Self::Ok, Self::Refused, Self::Unavailable, Self::Invalid];

    /// The label's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Refused => "refused",
            Self::Unavailable => "unavailable",
            Self::Invalid => "invalid",
        }
    }
}

/// `tidegate_kms_requests_total`, by provider.
pub struct Kms {
    requests: IntCounterVec,
    providers: RwLock<HashMap<String, KmsCounters>>,
}

/// The counters of one provider.
#[derive(Clone)]
pub struct KmsCounters([IntCounter; 4]);

impl Kms {
    pub(super) fn register<'a>(
        registry: &Registry,
        providers: impl IntoIterator<Item = &'a str>,
    ) -> prometheus::Result<Self> {
        let requests = IntCounterVec::new(
            Opts::new("tidegate_kms_requests_total", "Requests to key management services, by how they ended."),
            &["provider", "outcome"],
        )?;
        registry.register(Box::new(requests.clone()))?;
        let kms = Self { requests, providers: RwLock::default() };
        kms.configured(providers);
        Ok(kms)
    }

    /// These are the providers in the configuration now. Of those that are no more there is nothing to read any more.
    pub fn configured<'a>(&self, providers: impl IntoIterator<Item = &'a str>) {
        let counters = |name: &str| {
            KmsCounters(KmsOutcome::ALL.map(|outcome| self.requests.with_label_values(&[name, outcome.as_str()])))
        };
        let configured: HashMap<_, _> = providers.into_iter().map(|name| (name.to_owned(), counters(name))).collect();
        let mut providers = self.providers.write().unwrap_or_else(PoisonError::into_inner);
        for gone in providers.keys().filter(|name| !configured.contains_key(*name)) {
            for outcome in KmsOutcome::ALL {
                // It fails where it is gone already.
                let _ = self.requests.remove_label_values(&[gone.as_str(), outcome.as_str()]);
            }
        }
        *providers = configured;
    }

    /// The counters of the provider with this name in the configuration, to be kept by whoever asks it.
    pub fn provider(&self, name: &str) -> Option<KmsCounters> {
        self.providers.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }
}

impl KmsCounters {
    /// Counts one request.
    pub fn record(&self, outcome: KmsOutcome) {
        self.0[outcome as usize].inc();
    }
}
