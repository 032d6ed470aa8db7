//! What came of opening a data key, and for how long that is the answer: a key for the configured time, a failure for seconds.
//!
//! Knows the clock. Must not know who keeps it, or who waits for it.

use std::{sync::Arc, time::Duration};

use crypto::DataKey;
use tokio::time::Instant;

use crate::Result;

/// How long a failure that may pass by itself is answered again without another call.
const TRANSIENT: Duration = Duration::from_secs(2);
/// How long a refusal is answered again without another call.
pub(super) const REFUSAL: Duration = Duration::from_secs(10);

/// A key or a failure, and its end.
#[derive(Clone)]
pub(super) struct Outcome {
    /// That key or failure.
    pub(super) result: Result<Arc<DataKey>>,
    until: Instant,
}

impl Outcome {
    /// What a call ended with just now. Keys are the answer for `ttl`, and nothing is for longer.
    pub(super) fn new(result: Result<DataKey>, ttl: Duration) -> Self {
        let lasts = match &result {
            Ok(_) => ttl,
            Err(error) if error.delay().is_some() => TRANSIENT.min(ttl),
            Err(_) => REFUSAL.min(ttl),
        };
        Self { result: result.map(Arc::new), until: Instant::now() + lasts }
    }

    /// Whether its time is over.
    pub(super) fn is_expired(&self) -> bool {
        Instant::now() >= self.until
    }
}
