//! How the configuration was read again.

use std::time::{SystemTime, UNIX_EPOCH};

use prometheus::{Gauge, IntCounter, IntCounterVec, IntGauge, Opts, Registry};

/// Counts readings of the configuration. The one at the start is none of the total.
pub struct Reloads {
    applied: IntCounter,
    refused: IntCounter,
    successful: IntGauge,
    at: Gauge,
}

impl Reloads {
    /// The start counts as a reading that succeeded just now.
    pub(super) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let total = IntCounterVec::new(
            Opts::new(
                "tidegate_config_reloads_total",
                "How often the configuration was read again, by what became of it.",
            ),
            &["outcome"],
        )?;
        let successful = IntGauge::new(
            "tidegate_config_last_reload_successful",
            "Whether the configuration that was read last is in force: 1 or 0.",
        )?;
        let at = Gauge::new(
            "tidegate_config_last_reload_timestamp_seconds",
            "When the configuration in force was read, seconds since 1970.",
        )?;
        registry.register(Box::new(total.clone()))?;
        registry.register(Box::new(successful.clone()))?;
        registry.register(Box::new(at.clone()))?;
        let [applied, refused] = ["applied", "refused"].map(|outcome| total.with_label_values(&[outcome]));
        let reloads = Self { applied, refused, successful, at };
        reloads.succeeded();
        Ok(reloads)
    }

    /// What was read is in force.
    pub fn applied(&self) {
        self.applied.inc();
        self.succeeded();
    }

    /// What was read cannot be used: what was in force before stays.
    pub fn refused(&self) {
        self.refused.inc();
        self.successful.set(0);
    }

    fn succeeded(&self) {
        self.successful.set(1);
        self.at.set(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64()));
    }
}
