//! How often lines of one kind may come. A kind is a place in the code: what a client can cause comes from few of them.

use std::{
    collections::HashMap,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use prometheus::IntCounter;
use tokio::time::Instant;
use tracing::{Event, Level, Metadata, Subscriber, callsite::Identifier};
use tracing_subscriber::{Layer, layer::Context};

use crate::peers::{Bucket, Rate};

/// Lines of one kind in a second; those of two seconds may come at once.
const PER_SECOND: u64 = 50;
const SAVED_UP: Duration = Duration::from_secs(2);
/// How long what is left out is counted before it is told.
const TOLD_EVERY: Duration = Duration::from_secs(1);
/// Of the lines that tell of others. None of those is left out.
const TOLD_BY: &str = "tidegate::logging";

/// What has come of each kind. There are no more kinds than there are places in the code.
pub(super) struct Kinds {
    seen: Mutex<HashMap<Identifier, Kind>>,
    left_out: Condvar,
    dropped: IntCounter,
}

struct Kind {
    place: &'static Metadata<'static>,
    bucket: Bucket,
    left_out: u64,
}

impl Kinds {
    /// Lines that are left out are counted in `dropped`.
    pub(super) fn new(dropped: IntCounter) -> Self {
        Self { seen: Mutex::default(), left_out: Condvar::new(), dropped }
    }

    /// Whether a line of this kind may come now.
    fn admits(&self, place: &'static Metadata<'static>, now: Instant) -> bool {
        let mut seen = self.seen();
        let new = || Kind { place, bucket: Bucket::full(now), left_out: 0 };
        let kind = seen.entry(place.callsite()).or_insert_with(new);
        if kind.bucket.take(now, Rate::new(PER_SECOND, SAVED_UP)).is_ok() {
            return true;
        }
        kind.left_out += 1;
        drop(seen);
        self.dropped.inc();
        self.left_out.notify_one();
        false
    }

    /// Logs how many lines were left out of each kind since it was last told, if any were.
    pub(super) fn tell(&self) {
        let mut left_out = Vec::new();
        for kind in self.seen().values_mut().filter(|kind| kind.left_out > 0) {
            left_out.push((kind.place, std::mem::take(&mut kind.left_out)));
        }
        for (place, lines) in left_out {
            let (module, line) = (place.target(), place.line().unwrap_or_default());
            if *place.level() == Level::ERROR {
                tracing::error!(target: TOLD_BY, lines, kind = %format_args!("{module}:{line}"), "{MESSAGE}");
            } else {
                tracing::warn!(target: TOLD_BY, lines, kind = %format_args!("{module}:{line}"), "{MESSAGE}");
            }
        }
    }

    /// Tells what was left out while there is any.
    pub(super) fn tell_for_ever(&self) {
        loop {
            let none = |seen: &mut HashMap<_, Kind>| seen.values().all(|kind| kind.left_out == 0);
            drop(self.left_out.wait_while(self.seen(), none));
            std::thread::sleep(TOLD_EVERY);
            self.tell();
        }
    }

    /// No code that could panic runs under the lock.
    fn seen(&self) -> MutexGuard<'_, HashMap<Identifier, Kind>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const MESSAGE: &str = "lines of one kind came too often, so these were left out";

/// Lets through what is not too much. Whoever traces wants all.
pub(super) struct FloodFilter(pub(super) Arc<Kinds>);

impl<S: Subscriber> Layer<S> for FloodFilter {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        let place = event.metadata();
        *place.level() == Level::TRACE || place.target() == TOLD_BY || self.0.admits(place, Instant::now())
    }
}
