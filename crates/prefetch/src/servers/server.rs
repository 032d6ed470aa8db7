//! One volume server: its load, its latency, its standing.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use prometheus::IntCounter;
use tokio::time::Instant;

use super::places::{Place, Places};
use crate::urgency::Priority;

/// How fast old latencies are forgotten.
const MEMORY: Duration = Duration::from_secs(10);
/// What a failure counts as, however fast it came: a server that refuses at once must not look quick.
const PENALTY: Duration = Duration::from_secs(2);
/// Failures in a row that set a server aside.
const FAILURES: u32 = 5;
/// How long it is set aside the first time; twice as long each time after.
const ASIDE: Duration = Duration::from_secs(1);
/// How long at most.
const ASIDE_AT_MOST: Duration = Duration::from_secs(60);

/// How a request ended, as far as it says something about the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It gave what was asked for, or a sound answer about one needle.
    Sound,
    /// It asked to be left alone for a moment.
    Busy,
    /// It failed.
    Failed,
}

/// One volume server.
pub(crate) struct Server {
    /// `host:port`.
    pub(crate) authority: Arc<str>,
    places: Arc<Places>,
    standing: Mutex<Standing>,
    ejections: IntCounter,
}

struct Standing {
    /// Peak-sensitive average of the time to the first byte, in seconds: rises at once, falls slowly.
    latency: f64,
    updated: Instant,
    failures: u32,
    /// How often in a row it was set aside.
    times_aside: u32,
    aside_until: Option<Instant>,
    /// Since when a request is finding out whether it is back.
    probe: Option<Instant>,
}

impl Server {
    pub(super) fn new(authority: Arc<str>, per_server: usize, ejections: IntCounter) -> Self {
        let standing = Standing {
            latency: 0.0,
            updated: Instant::now(),
            failures: 0,
            times_aside: 0,
            aside_until: None,
            probe: None,
        };
        let places = Places::new(per_server);
        Self { authority, places, standing: Mutex::new(standing), ejections }
    }

    /// Waits for a place for a request of `bytes`.
    pub(crate) async fn admit(&self, priority: &Priority, bytes: u64) -> Place {
        self.places.admit(priority, bytes).await
    }

    pub(super) fn has_place(&self) -> bool {
        self.places.has_room()
    }

    /// The answer began `latency` after the request.
    pub(crate) fn first_byte(&self, latency: Duration) {
        self.standing().observe(latency.as_secs_f64());
    }

    /// A request has ended.
    pub(crate) fn ended(&self, outcome: Outcome) {
        let mut standing = self.standing();
        match outcome {
            Outcome::Sound => {
                standing.failures = 0;
                standing.times_aside = 0;
                standing.aside_until = None;
                standing.probe = None;
            }
            Outcome::Busy => standing.observe(PENALTY.as_secs_f64()),
            Outcome::Failed => {
                standing.observe(PENALTY.as_secs_f64());
                standing.failures += 1;
                // One that was just let back in has had its chance.
                if standing.failures >= FAILURES || standing.probe.is_some() {
                    self.set_aside(&mut standing);
                }
            }
        }
    }

    fn set_aside(&self, standing: &mut Standing) {
        let now = Instant::now();
        if standing.aside_until.is_some_and(|until| until > now) {
            return;
        }
        let aside = ASIDE.saturating_mul(1 << standing.times_aside.min(10)).min(ASIDE_AT_MOST);
        standing.aside_until = Some(now + aside);
        standing.times_aside = standing.times_aside.saturating_add(1);
        standing.probe = None;
        self.ejections.inc();
        tracing::warn!(server = &*self.authority, ?aside, failures = standing.failures, "volume server set aside");
    }

    /// Whether it is in good standing, or its time aside is over and nobody is finding out yet. A probe that has said nothing
    /// for as long as servers are set aside at most is taken for lost.
    pub(super) fn may_be_asked(&self, now: Instant) -> bool {
        let standing = self.standing();
        match standing.aside_until {
            None => true,
            Some(until) => until <= now && standing.probe.is_none_or(|since| now - since > ASIDE_AT_MOST),
        }
    }

    /// Whether it is in good standing.
    pub(super) fn is_good(&self) -> bool {
        self.standing().aside_until.is_none()
    }

    /// It was chosen.
    pub(super) fn asked(&self, now: Instant) {
        let mut standing = self.standing();
        if standing.aside_until.is_some_and(|until| until <= now) {
            standing.probe = Some(now);
        }
    }

    /// What one more request is expected to cost: latency times load, in nanoseconds.
    pub(super) fn cost(&self, now: Instant) -> u64 {
        let load = self.places.load() + 1;
        // One that was never asked costs little, but not nothing: it must not get all the load at once.
        let latency = self.standing().decayed(now).max(50e-6);
        (latency * load as f64 * 1e9) as u64
    }

    fn standing(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Standing {
    fn decayed(&self, now: Instant) -> f64 {
        let elapsed = (now - self.updated).as_secs_f64();
        self.latency * (-elapsed / MEMORY.as_secs_f64()).exp()
    }

    fn observe(&mut self, latency: f64) {
        let now = Instant::now();
        let elapsed = (now - self.updated).as_secs_f64();
        let weight = (-elapsed / MEMORY.as_secs_f64()).exp();
        self.latency = if latency > self.latency { latency } else { self.latency * weight + latency * (1.0 - weight) };
        self.updated = now;
    }
}
