//! Whether a KMS is known to be down, so that it is noticed once and not by every key that is needed meanwhile.
//!
//! Knows time and outcomes. Must not know what is asked for.
//!
//! Open, as electricians have it: nothing goes through. A request that got no answer in all its tries, while nobody else
//! got one either, opens it for a second. Then one request may try; until it has its answer, and for twice as long as before
//! if it has none, the others are told at once what the last one was told.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

use super::KmsError;

/// How long it is open at first.
const FIRST: Duration = Duration::from_secs(1);
/// And at most.
const LONGEST: Duration = Duration::from_secs(10);

/// One for each KMS.
#[derive(Default)]
pub(super) struct Circuit {
    state: Mutex<State>,
    opens: Notify,
}

#[derive(Default)]
struct State {
    open: Option<Outage>,
    /// When the KMS last answered anything.
    answered: Option<Instant>,
}

struct Outage {
    error: KmsError,
    pause: Duration,
    until: Instant,
    /// Whether somebody tries at the moment.
    tried: bool,
}

/// The leave to ask. Dropped without a word, it leaves things as they were.
pub(super) struct Permit<'c> {
    circuit: &'c Circuit,
    begun: Instant,
    tries: bool,
}

impl Circuit {
    /// Lets a request through, or says why the last one failed.
    ///
    /// # Errors
    /// That.
    pub(super) fn enter(&self) -> Result<Permit<'_>, KmsError> {
        let now = Instant::now();
        let mut state = self.state();
        let tries = match &mut state.open {
            None => false,
            Some(open) if open.tried || now < open.until => return Err(open.error.clone()),
            Some(open) => {
                open.tried = true;
                true
            }
        };
        Ok(Permit { circuit: self, begun: now, tries })
    }

    /// Whether it is open.
    pub(super) fn is_open(&self) -> bool {
        self.state().open.is_some()
    }

    /// Lets everybody through again.
    pub(super) fn close(&self) {
        self.state().open = None;
    }

    /// Resolves when it opens, with the reason. What was open before does not count.
    pub(super) async fn opened(&self) -> KmsError {
        loop {
            self.opens.notified().await;
            if let Some(open) = &self.state().open {
                return open.error.clone();
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Permit<'_> {
    /// Whether it is the one that tries while others are told.
    pub(super) fn tries(&self) -> bool {
        self.tries
    }

    /// The KMS gave an answer, whatever it was.
    pub(super) fn answered(self) {
        let mut state = self.circuit.state();
        state.answered = Some(Instant::now());
        if state.open.take().is_some() {
            tracing::info!("the KMS answers again");
        }
    }

    /// It gave none.
    pub(super) fn failed(self, error: &KmsError) {
        let mut state = self.circuit.state();
        let now = Instant::now();
        let pause = match &state.open {
            Some(open) if self.tries => (open.pause * 2).min(LONGEST),
            // Others have noticed before, or were answered meanwhile.
            Some(_) => return,
            None if state.answered.is_some_and(|at| at >= self.begun) => return,
            None => FIRST,
        };
        state.open = Some(Outage { error: error.clone(), pause, until: now + pause, tried: false });
        drop(state);
        self.circuit.opens.notify_waiters();
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        if self.tries
            && let Some(open) = &mut self.circuit.state().open
        {
            open.tried = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Failure, *};

    fn down() -> KmsError {
        KmsError::new(Failure::Unreachable, "gone")
    }

    #[tokio::test(start_paused = true)]
    async fn one_tries_while_the_others_are_told() {
        let circuit = Circuit::default();
        circuit.enter().ok().unwrap().failed(&down());
        for pause in [1, 2, 4, 8, 10, 10] {
            assert!(circuit.enter().is_err());
            tokio::time::advance(Duration::from_secs(pause) - Duration::from_millis(1)).await;
            assert!(circuit.enter().is_err());
            tokio::time::advance(Duration::from_millis(1)).await;
            // Who leaves without an answer leaves the turn to the next.
            drop(circuit.enter().ok().unwrap());
            let tries = circuit.enter().ok().unwrap();
            assert!(circuit.enter().is_err());
            tries.failed(&down());
        }
        tokio::time::advance(LONGEST).await;
        circuit.enter().ok().unwrap().answered();
        assert!(circuit.enter().is_ok() && circuit.enter().is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn one_without_an_answer_among_others_with_one_is_no_outage() {
        let circuit = Circuit::default();
        let unlucky = circuit.enter().ok().unwrap();
        tokio::time::advance(FIRST).await;
        circuit.enter().ok().unwrap().answered();
        unlucky.failed(&down());
        assert!(circuit.enter().is_ok());
    }
}
