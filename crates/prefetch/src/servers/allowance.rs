//! What may be spent on retries and second requests: a balance that fetches and time pay into.

use std::sync::PoisonError;

use tokio::time::Instant;

use crate::sync::Mutex;

/// How a balance grows. All in millionths of one retry, so that nothing is lost in rounding.
#[derive(Clone, Copy)]
pub(super) struct Allowance {
    /// For each fetch.
    pub(super) per_fetch: u64,
    /// For each second.
    pub(super) per_second: u64,
    /// What is saved up at most.
    pub(super) most: u64,
}

/// One retry, or one second request.
pub(super) const ONE: u64 = 1_000_000;

/// What may be spent on asking one server again for what it was asked for before: a fifth of the fetches at it and ten a
/// second, of which some are saved up for the moment when it dies under many downloads.
pub(super) const RETRIES: Allowance = Allowance { per_fetch: ONE / 5, per_second: 10 * ONE, most: 200 * ONE };

/// What is left.
pub(super) struct Balance {
    allowance: Allowance,
    state: Mutex<(u64, Instant)>,
}

impl Allowance {
    /// A balance that begins full.
    pub(super) fn saved_up(self) -> Balance {
        Balance { allowance: self, state: Mutex::new((self.most, Instant::now())) }
    }

    /// A balance that begins with nothing.
    pub(super) fn empty(self) -> Balance {
        Balance { allowance: self, state: Mutex::new((0, Instant::now())) }
    }
}

impl Balance {
    /// A fetch pays in.
    pub(super) fn earn(&self) {
        self.update(|balance| (balance + self.allowance.per_fetch, ()));
    }

    /// Takes one, if there is one.
    pub(super) fn spend(&self) -> bool {
        self.spend_down_to(0)
    }

    /// Takes one, if there is one beyond half of what is saved up at most.
    pub(super) fn spend_upper_half(&self) -> bool {
        self.spend_down_to(self.allowance.most / 2)
    }

    fn spend_down_to(&self, left: u64) -> bool {
        self.update(|balance| if balance >= left + ONE { (balance - ONE, true) } else { (balance, false) })
    }

    fn update<R>(&self, change: impl FnOnce(u64) -> (u64, R)) -> R {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let micros = u64::try_from((now - state.1).as_micros()).unwrap_or(u64::MAX);
        let earned = micros.saturating_mul(self.allowance.per_second) / 1_000_000;
        let (balance, result) = change(state.0.saturating_add(earned).min(self.allowance.most));
        *state = (balance.min(self.allowance.most), now);
        result
    }
}
