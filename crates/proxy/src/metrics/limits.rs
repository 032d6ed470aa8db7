//! How often clients came to a limit.

use prometheus::{IntCounter, IntCounterVec, Opts, Registry};

/// A limit, by its key in `limits`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Requests at a time.
    Requests,
    /// Requests of one client at a time.
    RequestsPerPeer,
    /// Requests of one client in a second.
    RequestsPerSecondPerPeer,
    /// Bytes of all answers.
    BytesPerSecond,
    /// Bytes of one client's answers.
    BytesPerSecondPerPeer,
    /// Bytes of one answer.
    BytesPerSecondPerDownload,
}

impl Limit {
    const ALL: [Self; 6] = [
        Self::Requests,
        Self::RequestsPerPeer,
        Self::RequestsPerSecondPerPeer,
        Self::BytesPerSecond,
        Self::BytesPerSecondPerPeer,
        Self::BytesPerSecondPerDownload,
    ];

    /// The label's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::RequestsPerPeer => "requests_per_peer",
            Self::RequestsPerSecondPerPeer => "requests_per_second_per_peer",
            Self::BytesPerSecond => "bytes_per_second",
            Self::BytesPerSecondPerPeer => "bytes_per_second_per_peer",
            Self::BytesPerSecondPerDownload => "bytes_per_second_per_download",
        }
    }
}

/// `tidegate_limits_hit_total`, by limit.
pub struct LimitsHit([IntCounter; Limit::ALL.len()]);

impl LimitsHit {
    /// Counters that nobody reads yet.
    fn new() -> prometheus::Result<(IntCounterVec, Self)> {
        let hit = IntCounterVec::new(
            Opts::new(
                "tidegate_limits_hit_total",
                "Requests that were refused or slowed, by the limit that they came to.",
            ),
            &["limit"],
        )?;
        let of = Limit::ALL.map(|limit| hit.with_label_values(&[limit.as_str()]));
        Ok((hit, Self(of)))
    }

    pub(super) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let (hit, limits) = Self::new()?;
        registry.register(Box::new(hit))?;
        Ok(limits)
    }

    /// A request came to this one.
    pub(crate) fn count(&self, limit: Limit) {
        self.0[limit as usize].inc();
    }

    /// How many did.
    #[cfg(test)]
    pub(crate) fn counted(&self, limit: Limit) -> u64 {
        self.0[limit as usize].get()
    }

    /// Counters of a test.
    #[cfg(test)]
    pub(crate) fn unread() -> std::sync::Arc<Self> {
        Self::new().map(|(_, limits)| std::sync::Arc::new(limits)).expect("the name is one")
    }
}
