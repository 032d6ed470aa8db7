//! What is there from the start to the end of the daemon, whatever the configuration is.

use std::sync::Arc;

use tokio::sync::watch;

use super::start_error::StartError;
use crate::{
    access::CurrentKey,
    config::{self, Config, Size},
    layers,
    metrics::{self, Metrics},
    peers::Slots,
    s3::way::{Question, RelayReason},
    security::{SigningKey, VolumeTokens},
};

/// What the parts of every configuration share, for as long as the daemon runs.
pub(crate) struct ProcessState {
    pub(super) metrics: Metrics,
    pub(super) fetched: prefetch::Metrics,
    pub(super) filers: Arc<metrics::Filers>,
    /// `None`: there was no S3 front at the start, and there is none until the next.
    pub(super) s3: Option<Arc<metrics::S3>>,
    pub(super) read_key: CurrentKey<SigningKey>,
    pub(super) volume_tokens: CurrentKey<VolumeTokens>,
    pub(super) places: Slots,
    pub(super) running: layers::RunningRequests,
    pub(super) rates: layers::Rates,
    /// At the start: what a restart only changes.
    pub(super) first: Vec<(String, Option<String>)>,
    /// Mixed into what is kept of secrets to tell whether they are others.
    pub(super) salt: [u8; 32],
}

impl ProcessState {
    /// For a daemon that starts with this configuration.
    ///
    /// # Errors
    /// When a metric is registered twice, which is a bug.
    pub(crate) fn new(config: &Config) -> Result<Self, StartError> {
        let metrics = Metrics::new([])?;
        let fetched = prefetch::Metrics::register(&metrics.registry)?;
        let s3 = match config.s3.listen {
            None => None,
            Some(_) => {
                let (ways, reasons) = (Question::ALL.map(Question::as_str), RelayReason::ALL.map(RelayReason::as_str));
                Some(Arc::new(metrics::S3::register(&metrics.registry, ways, reasons)?))
            }
        };
        let limits = &config.limits;
        let filers = Arc::new(metrics::Filers::register(&metrics.registry)?);
        Ok(Self {
            fetched,
            filers,
            s3,
            read_key: CurrentKey::new(None),
            volume_tokens: CurrentKey::new(None),
            running: layers::RunningRequests::default(),
            places: Slots::new(limits.requests as usize, limits.requests_per_peer as usize),
            rates: Arc::new(watch::Sender::new(bytes_per_second(limits))),
            first: config.fixed_by_a_start(),
            salt: rand::random(),
            metrics,
        })
    }

    /// Has these limits hold for all clients, also for answers that are on their way.
    pub(super) fn limit(&self, limits: &config::Limits) {
        self.places.resize(limits.requests as usize, limits.requests_per_peer as usize);
        let rates = bytes_per_second(limits);
        self.rates.send_if_modified(|now| {
            let others = !now.is_as(&rates);
            if others {
                *now = rates;
            }
            others
        });
    }
}

fn bytes_per_second(limits: &config::Limits) -> layers::BytesPerSecond {
    layers::BytesPerSecond::new(
        limits.bytes_per_second.at().map(Size::bytes),
        limits.bytes_per_second_per_peer.at().map(Size::bytes),
        limits.bytes_per_second_per_download.at().map(Size::bytes),
    )
}
