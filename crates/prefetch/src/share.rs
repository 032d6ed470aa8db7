//! Whom a download is for, as far as memory is shared fairly.
//!
//! Knows that some downloads are one peer's, and that one can be ended from here. Must not know what a peer is.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// Whom a download is for. Downloads of one peer have together what is a peer's fair part.
#[derive(Clone, Default)]
pub struct Share {
    /// `None`: of nobody in particular, such as a read of our own.
    pub(crate) peer: Option<IpAddr>,
    pub(crate) cut: Option<Arc<dyn CutHandle>>,
    pub(crate) brake: Option<Brake>,
}

/// Ends one answer from elsewhere.
pub trait CutHandle: Send + Sync {
    /// The answer is to break off, and what it holds to be dropped, soon. Called once, by whoever waits for the memory.
    fn cut(&self);
}

impl Share {
    /// The part of `peer`, of whom many addresses may be one, in an answer that `cut` ends.
    pub fn of(peer: IpAddr, cut: Arc<dyn CutHandle>) -> Self {
        Self { peer: Some(peer), cut: Some(cut), brake: None }
    }

    /// The same, in an answer that goes no faster than `brake` lets it.
    #[must_use]
    pub fn braked(self, brake: Brake) -> Self {
        Self { brake: Some(brake), ..self }
    }
}

/// Until when an answer is held back by whoever sends it: its client is not slow. Clones are the same.
#[derive(Clone, Default)]
pub struct Brake(Arc<Mutex<Option<Instant>>>);

/// After its time a piece may take so long to go: tasks wait for processors, too.
const LATE: Duration = Duration::from_millis(250);

impl Brake {
    /// The next piece does not go before `until`.
    pub fn holds(&self, until: Instant) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(until);
    }

    /// Whether the next piece may not have gone.
    pub(crate) fn is_on(&self, now: Instant) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|until| now < until + LATE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_brake_is_on_until_its_piece_must_have_gone() {
        let (brake, now) = (Brake::default(), Instant::now());
        assert!(!brake.is_on(now), "nobody holds it back");
        let until = now + Duration::from_secs(1);
        brake.holds(until);
        let just = Duration::from_nanos(1);
        assert!(brake.is_on(now) && brake.is_on(until) && brake.is_on(until + LATE - just));
        assert!(!brake.is_on(until + LATE));
    }
}
