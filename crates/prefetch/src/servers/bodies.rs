//! Bodies of which nothing is read for a while.
//!
//! Knows how many there are, at one server and at all. Must not know why they stand, or for how long they may.

use std::sync::{Arc, atomic::Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::sync::AtomicUsize;

/// Bodies that may stand for each place. One that is cut instead is asked for again, while what was on its way is lost to both
/// sides: many that stand for a moment cost a server less than few would.
const STAND: usize = 16;

/// Those of one server.
pub(super) struct Bodies {
    room: Arc<Semaphore>,
    all: Arc<AtomicUsize>,
}

impl Bodies {
    /// Of a server with so many `places`. `all` counts those of all servers.
    pub(super) fn new(places: usize, all: Arc<AtomicUsize>) -> Self {
        Self { room: Arc::new(Semaphore::new(places * STAND)), all }
    }

    /// One more. `None`: there are as many as may be.
    pub(super) fn stand(&self) -> Option<StandingBody> {
        let room = Arc::clone(&self.room).try_acquire_owned().ok()?;
        self.all.fetch_add(1, Ordering::Relaxed);
        Some(StandingBody { _room: room, all: Arc::clone(&self.all) })
    }
}

/// One that stands, until this is dropped.
pub(crate) struct StandingBody {
    _room: OwnedSemaphorePermit,
    all: Arc<AtomicUsize>,
}

impl Drop for StandingBody {
    fn drop(&mut self) {
        self.all.fetch_sub(1, Ordering::Relaxed);
    }
}
