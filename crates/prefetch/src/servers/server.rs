//! One volume server: its load, its pace, its standing.

use std::{
    sync::{
        Arc, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use prometheus::IntCounter;
use tokio::{
    sync::{Notify, futures::Notified},
    time::Instant,
};

use super::{
    allowance::{Balance, RETRIES},
    bodies::Bodies,
    pace::{Pace, UNKNOWN},
    places::Places,
    series::Series,
    standing::{Event, Standing},
};
use crate::{
    ServerInsight, StandingInsight,
    outcome::Outcome,
    sync::{Mutex, MutexGuard},
    urgency::Urgency,
};

/// A server from which nothing comes for that long, on any connection, stands still, unless it is known to be slow.
const SILENT: Duration = Duration::from_secs(1);
/// By how much a server that is far away must be faster, in seconds, to be asked before one that is near.
const MARGIN: f64 = 0.1;
/// How many times its usual latency that must be.
const SILENT_TIMES: f64 = 8.0;

/// One volume server.
pub(crate) struct Server {
    /// `host:port`.
    pub(crate) authority: Arc<str>,
    pub(super) places: Arc<Places>,
    /// Those of which nothing is read for a while, without a place.
    pub(super) bodies: Bodies,
    state: Mutex<State>,
    /// When something last came from it: nanoseconds since `known`.
    heard: AtomicU64,
    known: Instant,
    /// Whether the operator would rather have others asked.
    far: AtomicBool,
    /// Its standing has changed, or it answers again.
    turned: Notify,
    /// What may be spent on asking it for something again.
    retries: Balance,
    ejections: IntCounter,
    series: Series,
}

struct State {
    standing: Standing,
    pace: Pace,
    /// Requests that have a place, and since when there was always one.
    sent: usize,
    busy_since: Instant,
    /// Since when it has failed every time.
    down_since: Option<Instant>,
}

/// Nobody knows it any more: it counts for nothing.
impl Drop for Server {
    fn drop(&mut self) {
        if !self.is_good() {
            self.series.aside.dec();
        }
    }
}

impl Server {
    pub(super) fn new(
        authority: Arc<str>,
        places: usize,
        bodies: Bodies,
        ejections: IntCounter,
        series: Series,
    ) -> Self {
        let now = Instant::now();
        let state = State { standing: Standing::NEW, pace: Pace::new(now), sent: 0, busy_since: now, down_since: None };
        Self {
            authority,
            places: Places::new(places),
            bodies,
            state: Mutex::new(state),
            heard: AtomicU64::new(0),
            known: now,
            far: AtomicBool::new(false),
            turned: Notify::new(),
            retries: RETRIES.saved_up(),
            ejections,
            series,
        }
    }

    /// Whether it may be asked before those that are set aside: it is in good standing, or its time aside is over and nobody
    /// is finding out yet.
    pub(crate) fn may_be_asked(&self, now: Instant) -> bool {
        let standing = self.state().standing;
        standing.is_good() || standing.is_due(now)
    }

    /// Whether it is in good standing.
    pub(super) fn is_good(&self) -> bool {
        self.state().standing.is_good()
    }

    /// What one more request is expected to cost, in seconds: latency times load. Where it has failed lately, that is at
    /// least what the next one is then asked for, `otherwise`.
    pub(super) fn cost(&self, now: Instant, otherwise: f64) -> f64 {
        let state = self.state();
        let (latency, penalty) = (state.pace.latency(now).max(UNKNOWN), state.pace.penalty(now));
        let latency = if penalty > 1.5 { latency.max(otherwise) } else { latency };
        let silence = self.silence(&state, now).as_secs_f64();
        drop(state);
        let distance = if self.far.load(Ordering::Relaxed) { MARGIN } else { 0.0 };
        latency.max(silence) * penalty * (self.load() + 1) as f64 + distance
    }

    /// It is far away.
    pub(crate) fn is_far(&self) {
        self.far.store(true, Ordering::Relaxed);
    }

    /// The time to the first byte that is to be expected, in seconds.
    pub(super) fn latency(&self, now: Instant) -> f64 {
        self.state().pace.latency(now).max(UNKNOWN)
    }

    /// Requests that it has, and those that wait for a place.
    pub(crate) fn load(&self) -> usize {
        self.places.load()
    }

    /// Whether something may be asked of it that it was asked for before. What lies ahead of a client leaves half of the
    /// savings to what clients wait for.
    pub(crate) fn may_be_asked_again(&self, urgency: Urgency) -> bool {
        match urgency {
            Urgency::Head => self.retries.spend(),
            Urgency::Ahead => self.retries.spend_upper_half(),
        }
    }

    /// A fetch begins at it: it earns its share of retries.
    pub(super) fn earn(&self) {
        self.retries.earn();
    }

    /// Since when all requests to it fail.
    pub(crate) fn down_since(&self) -> Option<Instant> {
        self.state().down_since
    }

    /// Whether nobody has to do with it, and nothing came from it for that long.
    pub(super) fn is_forgotten(&self, time: Duration) -> bool {
        self.load() == 0 && self.last_heard().elapsed() > time
    }

    /// Resolves when it stands still: nothing came from it for long, on any connection. It is then set aside.
    pub(crate) async fn stands_still(&self) {
        let begin = Instant::now();
        loop {
            let (since, patience) = {
                let state = self.state();
                let usual = Duration::from_secs_f64(state.pace.answered(begin) * SILENT_TIMES);
                (self.last_heard().max(state.busy_since).max(begin), SILENT.max(usual))
            };
            if since.elapsed() >= patience {
                return self.happens(Event::Silent);
            }
            tokio::time::sleep_until(since + patience).await;
        }
    }

    /// Resolves when it is set aside, if it is in good standing now, or stands still.
    pub(super) async fn leaves(&self) {
        if !self.is_good() {
            return self.stands_still().await;
        }
        let set_aside = async {
            loop {
                let mut turned = std::pin::pin!(self.turned.notified());
                turned.as_mut().enable();
                if !self.is_good() {
                    return;
                }
                turned.await;
            }
        };
        tokio::select! {
            () = set_aside => {}
            () = self.stands_still() => {}
        }
    }

    /// It was chosen; whether to find out if it is back.
    pub(super) fn chosen(&self) -> bool {
        let now = Instant::now();
        let is_due = self.state().standing.is_due(now);
        if is_due {
            self.happens(Event::Probe);
        }
        is_due
    }

    /// One more request has a place.
    pub(super) fn sent(&self) {
        self.series.requests.inc();
        let mut state = self.state();
        state.sent += 1;
        if state.sent == 1 {
            state.busy_since = Instant::now();
        }
    }

    /// One request fewer has a place.
    pub(super) fn no_longer_sent(&self) {
        self.series.requests.dec();
        self.state().sent -= 1;
    }

    /// Something came from it.
    pub(super) fn heard(&self) {
        let since = u64::try_from(self.known.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.heard.store(since, Ordering::Relaxed);
    }

    /// The answer to a request began after `latency`.
    pub(super) fn first_byte(&self, latency: Duration) {
        self.heard();
        self.series.first_byte.observe(latency.as_secs_f64());
        let mut state = self.state();
        state.pace.observe(latency, Instant::now());
        let is_back = state.down_since.take().is_some();
        drop(state);
        if is_back {
            self.turned.notify_waiters();
        }
    }

    /// A request was given up after that time without an answer.
    pub(super) fn waited(&self, time: Duration) {
        self.state().pace.waited(time, Instant::now());
    }

    /// A request has ended.
    pub(super) fn ended(&self, outcome: Outcome, probe: bool) {
        let now = Instant::now();
        let mut state = self.state();
        match outcome {
            Outcome::Sound => {
                state.pace.sound(now);
                state.down_since = None;
            }
            Outcome::Busy => state.pace.failed(now),
            Outcome::Failed => {
                state.pace.failed(now);
                state.down_since.get_or_insert(now);
            }
            Outcome::OfNeedle => {}
        }
        drop(state);
        if matches!(outcome, Outcome::Busy | Outcome::Failed) {
            self.series.failures.inc();
        }
        match outcome {
            Outcome::Sound => self.happens(Event::Sound),
            Outcome::Failed => self.happens(Event::Failed { probe }),
            Outcome::Busy | Outcome::OfNeedle => {
                self.heard();
                if probe {
                    self.happens(Event::Lost);
                }
            }
        }
    }

    /// Takes a step in its standing, and tells those who wait for that.
    pub(super) fn happens(&self, event: Event) {
        let now = Instant::now();
        let mut state = self.state();
        let before = state.standing;
        state.standing = before.step(event, now);
        let after = state.standing;
        match (before.is_good(), after.is_good()) {
            (true, false) => self.series.aside.inc(),
            (false, true) => self.series.aside.dec(),
            _ => {}
        }
        drop(state);
        if before.is_good() == after.is_good() && !matches!((before, after), (Standing::Probed { .. }, _)) {
            return;
        }
        if let Standing::Aside { until, .. } = after
            && event != Event::Lost
        {
            self.ejections.inc();
            tracing::warn!(server = &*self.authority, aside = ?(until - now), ?event, "volume server set aside");
        }
        self.turned.notify_waiters();
    }

    /// How it stands, for people.
    pub(super) fn insight(&self, now: Instant) -> ServerInsight {
        let load = self.load();
        let state = self.state();
        ServerInsight {
            authority: Arc::clone(&self.authority),
            standing: match state.standing {
                Standing::Good { .. } => StandingInsight::Good,
                Standing::Aside { .. } => StandingInsight::Aside,
                Standing::Probed { .. } => StandingInsight::Probed,
            },
            is_far: self.far.load(Ordering::Relaxed),
            latency: Duration::from_secs_f64(state.pace.answered(now)),
            requests: state.sent,
            waiting: load.saturating_sub(state.sent),
            failing_for: state.down_since.map(|since| now.duration_since(since)),
        }
    }

    /// Resolves when its standing changes, or when it answers again.
    pub(crate) fn turns(&self) -> Notified<'_> {
        self.turned.notified()
    }

    /// When one request may find out whether it is back, where it is set aside.
    pub(crate) fn probed_at(&self) -> Option<Instant> {
        match self.state().standing {
            Standing::Aside { until, .. } => Some(until),
            Standing::Good { .. } | Standing::Probed { .. } => None,
        }
    }

    /// How long nothing has come from it, although there is something to come.
    fn silence(&self, state: &State, now: Instant) -> Duration {
        if state.sent == 0 {
            return Duration::ZERO;
        }
        now.saturating_duration_since(self.last_heard().max(state.busy_since))
    }

    /// When something last came from it, on any connection.
    pub(crate) fn last_heard(&self) -> Instant {
        self.known + Duration::from_nanos(self.heard.load(Ordering::Relaxed))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
