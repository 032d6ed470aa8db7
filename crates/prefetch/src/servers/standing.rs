//! Whether a server is asked like any other: what its requests make of its standing, step by step.

use std::time::Duration;

use tokio::time::Instant;

/// Failures in a row that set a server aside.
pub(super) const FAILURES: u32 = 5;
/// How long it is set aside the first time, and between a probe that is lost and the next; twice as long for each probe
/// that fails.
pub(super) const ASIDE: Duration = Duration::from_millis(500);
/// How long at most.
pub(super) const ASIDE_AT_MOST: Duration = Duration::from_secs(60);

/// How a server stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is asked like any other.
    Good {
        /// Requests in a row that have failed.
        failures: u32,
    },
    /// It is asked only for what nobody else has.
    Aside {
        /// From then on, one request may find out whether it is back.
        until: Instant,
        /// Probes in a row that have failed.
        probes: u32,
    },
    /// One request is finding out whether it is back.
    Probed {
        /// Probes in a row that have failed before.
        probes: u32,
    },
}

/// What happens to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// It gave what it was asked for.
    Sound,
    /// A request failed: one of many, or the probe.
    Failed {
        /// Whether it was the probe.
        probe: bool,
    },
    /// Nothing came from it on any connection for much longer than usual.
    Silent,
    /// A probe is sent.
    Probe,
    /// The probe ended without a word about the server.
    Lost,
}

impl Standing {
    /// One that nothing is known of.
    pub(super) const NEW: Self = Self::Good { failures: 0 };

    /// How it stands after `event`.
    pub(super) fn step(self, event: Event, now: Instant) -> Self {
        match (self, event) {
            (_, Event::Sound) => Self::NEW,
            (Self::Good { failures }, Event::Failed { .. }) if failures + 1 < FAILURES => {
                Self::Good { failures: failures + 1 }
            }
            (Self::Good { .. }, Event::Failed { .. } | Event::Silent) => Self::aside(0, now),
            (Self::Probed { probes }, Event::Failed { probe: true } | Event::Silent) => Self::aside(probes + 1, now),
            (Self::Probed { probes }, Event::Lost) => Self::Aside { until: now + ASIDE, probes },
            (Self::Aside { probes, .. }, Event::Probe) => Self::Probed { probes },
            // What was sent before it was set aside says nothing new.
            (same, _) => same,
        }
    }

    fn aside(probes: u32, now: Instant) -> Self {
        let aside = ASIDE.saturating_mul(1 << probes.min(10)).min(ASIDE_AT_MOST);
        Self::Aside { until: now + aside, probes }
    }

    /// Whether it is in good standing.
    pub(super) fn is_good(self) -> bool {
        matches!(self, Self::Good { .. })
    }

    /// Whether a request now would be the probe.
    pub(super) fn is_due(self, now: Instant) -> bool {
        matches!(self, Self::Aside { until, .. } if until <= now)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FAILED: Event = Event::Failed { probe: false };
    const PROBE_FAILED: Event = Event::Failed { probe: true };

    fn after(events: &[Event], now: Instant) -> Standing {
        events.iter().fold(Standing::NEW, |standing, event| standing.step(*event, now))
    }

    #[tokio::test(start_paused = true)]
    async fn five_failures_in_a_row_or_one_silence_set_aside_and_fewer_do_not() {
        let now = Instant::now();
        let aside = Standing::Aside { until: now + ASIDE, probes: 0 };
        assert_eq!(after(&[FAILED; 4], now), Standing::Good { failures: 4 });
        assert_eq!(after(&[FAILED; 5], now), aside);
        assert_eq!(after(&[FAILED, FAILED, FAILED, FAILED, Event::Sound, FAILED], now), Standing::Good { failures: 1 });
        assert_eq!(after(&[Event::Silent], now), aside);
        assert_eq!(after(&[Event::Silent], now).step(FAILED, now), aside, "others of its requests fail too");
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_is_lost_does_not_leave_a_server_out_for_long() {
        let now = Instant::now();
        let probed = after(&[Event::Silent, Event::Probe], now);
        assert_eq!(probed, Standing::Probed { probes: 0 });
        assert_eq!(probed.step(Event::Lost, now), Standing::Aside { until: now + ASIDE, probes: 0 });
        assert_eq!(probed.step(FAILED, now), probed, "a request of before says nothing of the probe");
        assert_eq!(probed.step(PROBE_FAILED, now), Standing::Aside { until: now + 2 * ASIDE, probes: 1 });
        assert_eq!(probed.step(Event::Sound, now), Standing::NEW);
    }

    proptest! {
        #[test]
        fn nobody_is_left_out_for_longer_than_the_longest_time_and_one_sound_answer_ends_it(
            events in proptest::collection::vec(
                prop_oneof![
                    Just(FAILED), Just(PROBE_FAILED), Just(Event::Silent), Just(Event::Probe), Just(Event::Lost)
                ],
                0..200,
            ),
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
            let now = runtime.block_on(async { Instant::now() });
            let standing = after(&events, now);
            if let Standing::Aside { until, .. } = standing {
                prop_assert!(until > now && until <= now + ASIDE_AT_MOST);
                prop_assert!(standing.is_due(until) && !standing.is_due(now));
            }
            prop_assert_eq!(standing.step(Event::Sound, now), Standing::NEW);
        }
    }
}
