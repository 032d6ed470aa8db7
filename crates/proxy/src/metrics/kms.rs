//! Requests to key management services.

use std::collections::HashMap;

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
    providers: HashMap<String, KmsCounters>,
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
        let counters = |name: &str| {
            KmsCounters(KmsOutcome::ALL.map(|outcome| requests.with_label_values(&[name, outcome.as_str()])))
        };
        Ok(Self { providers: providers.into_iter().map(|name| (name.to_owned(), counters(name))).collect() })
    }

    /// The counters of the provider with this name in the configuration, to be kept by whoever asks it.
    pub fn provider(&self, name: &str) -> Option<KmsCounters> {
        self.providers.get(name).cloned()
    }
}

impl KmsCounters {
    /// Counts one request.
    pub fn record(&self, outcome: KmsOutcome) {
        self.0[outcome as usize].inc();
    }
}
