//! Lines of the log that nobody will read.

use prometheus::{IntCounter, IntCounterVec, Opts, Registry};

/// Why a line was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LostLine {
    /// Whoever takes the log did not take it fast enough, or at all.
    Slow,
    /// There were too many of its kind.
    Many,
    /// It was one of the access log, and whoever takes that was too slow.
    Access,
}

impl LostLine {
    const ALL: [Self; 3] = [Self::Slow, Self::Many, Self::Access];

    fn as_str(self) -> &'static str {
        match self {
            Self::Slow => "slow",
            Self::Many => "many",
            Self::Access => "access",
        }
    }
}

/// `tidegate_log_lines_dropped_total`, by reason.
pub struct LostLines(IntCounterVec);

impl LostLines {
    /// Counters that nobody reads yet: the log begins before there is anything to read them.
    ///
    /// # Errors
    /// Never: the name is one.
    pub fn new() -> prometheus::Result<Self> {
        let lost = IntCounterVec::new(
            Opts::new(
                "tidegate_log_lines_dropped_total",
                "Lines that are missing in the log or the access log, by the reason.",
            ),
            &["reason"],
        )?;
        for reason in LostLine::ALL {
            lost.with_label_values(&[reason.as_str()]);
        }
        Ok(Self(lost))
    }

    /// Has them read with all others.
    ///
    /// # Errors
    /// When they are registered twice, which is a bug.
    pub fn register(&self, registry: &Registry) -> prometheus::Result<()> {
        registry.register(Box::new(self.0.clone()))
    }

    /// The counter of those that were dropped for this reason.
    pub fn of(&self, reason: LostLine) -> IntCounter {
        self.0.with_label_values(&[reason.as_str()])
    }
}
