//! Requests of the S3 front: what the gateway decided, and what was left to it.

use std::time::Instant;

use prometheus::{HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry};

/// How a question to the gateway ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum S3Outcome {
    /// The client may have the object.
    Allowed,
    /// The answer was the client's: a refusal, or that there is no such object.
    Answered,
    /// The answer proved nothing; the request was relayed.
    Unclear,
    /// No gateway answered, or none in time.
    Failed,
}

impl S3Outcome {
    const ALL: [Self; 4] = [Self::Allowed, Self::Answered, Self::Unclear, Self::Failed];

    /// The label's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Answered => "answered",
            Self::Unclear => "unclear",
            Self::Failed => "failed",
        }
    }
}

/// Seconds. From a gateway beside us to one that asks a KMS.
const DECISION: [f64; 12] = [0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 10.0];

/// Counters of the S3 front.
pub struct S3 {
    decisions: IntCounterVec,
    seconds: HistogramVec,
    served: IntCounter,
    relayed: IntCounterVec,
}

impl S3 {
    /// Registers them. `ways` and `reasons` are all label values that there will be.
    ///
    /// # Errors
    /// When a name is registered twice, which is a bug.
    pub(crate) fn register<'l>(
        registry: &Registry,
        ways: impl IntoIterator<Item = &'l str>,
        reasons: impl IntoIterator<Item = &'l str>,
    ) -> prometheus::Result<Self> {
        let decisions = IntCounterVec::new(
            Opts::new(
                "tidegate_s3_decisions_total",
                "Questions to the S3 gateway whether a read is allowed, by how it was asked and how it answered.",
            ),
            &["way", "outcome"],
        )?;
        let seconds = HistogramVec::new(
            HistogramOpts::new("tidegate_s3_decision_seconds", "How long the S3 gateway took to decide about a read.")
                .buckets(DECISION.to_vec()),
            &["way"],
        )?;
        let served = IntCounter::new("tidegate_s3_served_total", "Reads of the S3 front that were served here.")?;
        let relayed = IntCounterVec::new(
            Opts::new("tidegate_s3_relayed_total", "Requests of the S3 front that were left to the gateway, by why."),
            &["reason"],
        )?;
        for way in ways {
            seconds.with_label_values(&[way]);
            for outcome in S3Outcome::ALL {
                decisions.with_label_values(&[way, outcome.as_str()]);
            }
        }
        for reason in reasons {
            relayed.with_label_values(&[reason]);
        }
        registry.register(Box::new(decisions.clone()))?;
        registry.register(Box::new(seconds.clone()))?;
        registry.register(Box::new(served.clone()))?;
        registry.register(Box::new(relayed.clone()))?;
        Ok(Self { decisions, seconds, served, relayed })
    }

    /// A question is asked.
    pub fn decision<'m>(&'m self, way: &'static str) -> Timing<'m> {
        Timing { metrics: self, way, begun: Instant::now() }
    }

    /// A read was served.
    pub fn served(&self) {
        self.served.inc();
    }

    /// A request was left to the gateway.
    pub fn relayed(&self, reason: &str) {
        self.relayed.with_label_values(&[reason]).inc();
    }
}

/// A question that has no answer yet.
pub struct Timing<'m> {
    metrics: &'m S3,
    way: &'static str,
    begun: Instant,
}

impl Timing<'_> {
    /// It has one now.
    pub fn ended(self, outcome: S3Outcome) {
        let Self { metrics, way, begun } = self;
        metrics.seconds.with_label_values(&[way]).observe(begun.elapsed().as_secs_f64());
        metrics.decisions.with_label_values(&[way, outcome.as_str()]).inc();
    }
}
