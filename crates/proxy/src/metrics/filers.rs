//! How long each filer takes, and whether it answers.

use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry};

/// What a filer is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FilerQuestion {
    /// An entry.
    Lookup,
    /// Where a volume is.
    Volume,
    /// Whatever a client asked: a request that is passed on.
    Relay,
}

impl FilerQuestion {
    const ALL: [Self; 3] = [Self::Lookup, Self::Volume, Self::Relay];

    /// The label's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Lookup => "lookup",
            Self::Volume => "volume",
            Self::Relay => "relay",
        }
    }
}

/// What comes of a second question, asked of another filer beside a late one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FilerHedge {
    /// It was asked.
    Sent,
    /// The other filer answered first.
    Won,
}

impl FilerHedge {
    const ALL: [Self; 2] = [Self::Sent, Self::Won];

    /// The label's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Won => "won",
        }
    }
}

/// Seconds. From a filer beside us to one that deletes a large directory.
const SECONDS: [f64; 12] = [0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 1.0, 10.0, 60.0];

/// The filers' metrics, of those that the configuration in force names.
#[derive(Debug)]
pub struct Filers {
    seconds: HistogramVec,
    up: IntGaugeVec,
    hedges: IntCounterVec,
    names: Mutex<BTreeSet<String>>,
}

impl Filers {
    /// Registers them; of no filer yet.
    ///
    /// # Errors
    /// When a name is registered twice, which is a bug.
    pub(crate) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let seconds = HistogramOpts::new(
            "tidegate_filer_seconds",
            "From a question or a request to a filer to its answer, or to the head of it, by the filer.",
        );
        let seconds = HistogramVec::new(seconds.buckets(SECONDS.to_vec()), &["filer", "question"])?;
        let up = Opts::new(
            "tidegate_filer_up",
            "Whether a filer looked entries up when it was last asked: 1 or 0, by the filer.",
        );
        let up = IntGaugeVec::new(up, &["filer"])?;
        let hedges = Opts::new(
            "tidegate_filer_hedges_total",
            "Questions that were asked of a second filer beside one that was late, by the late one, and of these those that it answered first.",
        );
        let hedges = IntCounterVec::new(hedges, &["filer", "outcome"])?;
        registry.register(Box::new(seconds.clone()))?;
        registry.register(Box::new(up.clone()))?;
        registry.register(Box::new(hedges.clone()))?;
        Ok(Self { seconds, up, hedges, names: Mutex::default() })
    }

    /// From now on the filers are those with these HTTP authorities.
    pub(crate) fn configured(&self, authorities: impl IntoIterator<Item = String>) {
        let authorities: BTreeSet<_> = authorities.into_iter().collect();
        let mut names = self.names();
        for gone in names.difference(&authorities) {
            // Each has it.
            let _ = self.up.remove_label_values(&[gone.as_str()]);
            for question in FilerQuestion::ALL {
                let _ = self.seconds.remove_label_values(&[gone.as_str(), question.as_str()]);
            }
            for outcome in FilerHedge::ALL {
                let _ = self.hedges.remove_label_values(&[gone.as_str(), outcome.as_str()]);
            }
        }
        for new in authorities.difference(&names) {
            // Until it is known otherwise.
            self.up.with_label_values(&[new.as_str()]).set(1);
            for question in FilerQuestion::ALL {
                self.seconds.with_label_values(&[new.as_str(), question.as_str()]);
            }
            for outcome in FilerHedge::ALL {
                self.hedges.with_label_values(&[new.as_str(), outcome.as_str()]);
            }
        }
        *names = authorities;
    }

    /// The filer at this address has answered after that time.
    pub(crate) fn answered(&self, authority: &str, question: FilerQuestion, time: Duration) {
        if self.names().contains(authority) {
            self.seconds.with_label_values(&[authority, question.as_str()]).observe(time.as_secs_f64());
        }
    }

    /// The filer at this address answers, or does not.
    pub(crate) fn stands(&self, authority: &str, answers: bool) {
        if self.names().contains(authority) {
            self.up.with_label_values(&[authority]).set(answers.into());
        }
    }

    /// Beside the filer at this address, which is late, another one was asked.
    pub(crate) fn hedged(&self, late: &str, outcome: FilerHedge) {
        if self.names().contains(late) {
            self.hedges.with_label_values(&[late, outcome.as_str()]).inc();
        }
    }

    fn names(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_filers_of_the_configuration_in_force_have_series() {
        let registry = Registry::new();
        let filers = Filers::register(&registry).unwrap();
        let series = || {
            let up = registry.gather().into_iter().find(|family| family.name() == "tidegate_filer_up");
            let up =
                up.map(|family| family.get_metric().iter().map(|one| one.get_label()[0].value().to_owned()).collect());
            up.unwrap_or_else(Vec::new)
        };
        filers.configured(["a:1".to_owned(), "b:1".to_owned()]);
        filers.stands("b:1", false);
        filers.configured(["b:1".to_owned(), "c:1".to_owned()]);
        filers.answered("a:1", FilerQuestion::Lookup, Duration::from_secs(1));
        filers.stands("a:1", true);
        assert_eq!(series(), ["b:1", "c:1"]);
        let up = ["b:1", "c:1"].map(|name| filers.up.with_label_values(&[name]).get());
        assert_eq!(up, [0, 1], "what is known of one stays");
        filers.hedged("a:1", FilerHedge::Sent);
        filers.hedged("b:1", FilerHedge::Sent);
        let hedges =
            registry.gather().into_iter().find(|family| family.name() == "tidegate_filer_hedges_total").unwrap();
        assert_eq!(hedges.get_metric().len(), 4, "of two filers, two outcomes each");
        assert_eq!(filers.hedges.with_label_values(&["b:1", "sent"]).get(), 1);
    }
}
