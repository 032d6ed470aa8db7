//! Tokens that drip into a bucket, and are taken out of it.
//!
//! A bucket is the time at which it is full again, if nobody takes more: a token is so much of that time. Nothing has to be done
//! while nobody takes any, and one that is full is like one that was never used.

use std::time::Duration;

use tokio::time::Instant;

/// How fast tokens drip, and for how long while nobody takes any.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    per_second: u64,
    depth: Duration,
}

/// What is left of the tokens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bucket {
    full_at: Instant,
}

impl Rate {
    /// `per_second` tokens in a second, at least one; those of `depth` are saved up.
    pub(crate) fn new(per_second: u64, depth: Duration) -> Self {
        Self { per_second: per_second.max(1), depth }
    }

    /// How many drip in `time`.
    pub(crate) fn tokens_in(self, time: Duration) -> u64 {
        u64::try_from(u128::from(self.per_second) * time.as_nanos() / 1_000_000_000).unwrap_or(u64::MAX)
    }

    /// How long so many take to drip.
    fn time_of(self, tokens: u64) -> Duration {
        let nanoseconds = u128::from(tokens) * 1_000_000_000 / u128::from(self.per_second);
        Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
    }
}

impl Bucket {
    /// One that is full.
    pub(crate) fn full(now: Instant) -> Self {
        Self { full_at: now }
    }

    /// Whether it is.
    pub(crate) fn is_full(self, now: Instant) -> bool {
        self.full_at <= now
    }

    /// Takes one token.
    ///
    /// # Errors
    /// When none is left: how long it is until there is one. Nothing is taken.
    pub(crate) fn take(&mut self, now: Instant, rate: Rate) -> Result<(), Duration> {
        let full_at = self.full_at.max(now) + rate.time_of(1);
        match full_at.saturating_duration_since(now + rate.depth) {
            Duration::ZERO => {
                self.full_at = full_at;
                Ok(())
            }
            wait => Err(wait),
        }
    }

    /// Takes so many, and answers when they are there: behind all that were taken before.
    pub(crate) fn take_ahead(&mut self, now: Instant, rate: Rate, tokens: u64) -> Instant {
        self.full_at = self.full_at.max(now) + rate.time_of(tokens);
        self.full_at.checked_sub(rate.depth).unwrap_or(now)
    }

    /// So many of those that were taken ahead were not used.
    pub(crate) fn give_back(&mut self, rate: Rate, tokens: u64) {
        self.full_at = self.full_at.checked_sub(rate.time_of(tokens)).unwrap_or(self.full_at);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn what_is_saved_up_may_be_taken_at_once_and_then_one_as_it_drips() {
        let now = Instant::now();
        let rate = Rate::new(4, SECOND);
        let mut bucket = Bucket::full(now);
        for _ in 0..4 {
            assert_eq!(bucket.take(now, rate), Ok(()));
        }
        assert_eq!(bucket.take(now, rate), Err(SECOND / 4));
        assert_eq!(bucket.take(now + SECOND / 8, rate), Err(SECOND / 8));
        assert_eq!(bucket.take(now + SECOND / 4, rate), Ok(()));
        assert!(!bucket.is_full(now + SECOND));
        assert!(bucket.is_full(now + SECOND + SECOND / 4));
        let later = now + 100 * SECOND;
        assert_eq!((0..9).filter(|_| bucket.take(later, rate).is_ok()).count(), 4, "no more is saved up");
    }

    #[test]
    fn what_is_taken_ahead_is_there_when_it_has_dripped() {
        let now = Instant::now();
        let rate = Rate::new(1000, SECOND / 4);
        let mut bucket = Bucket::full(now);
        assert_eq!(bucket.take_ahead(now, rate, 250), now, "saved up");
        assert_eq!(bucket.take_ahead(now, rate, 100), now + SECOND / 10);
        assert_eq!(bucket.take_ahead(now, rate, 100), now + SECOND / 5, "who comes later comes behind");
        bucket.give_back(rate, 50);
        assert_eq!(bucket.take_ahead(now, rate, 0), now + SECOND * 3 / 20);
        assert_eq!(rate.tokens_in(SECOND / 4), 250);
        let later = now + 100 * SECOND;
        bucket.give_back(rate, 1000);
        assert_eq!(bucket.take_ahead(later, rate, 300), later + SECOND / 20, "what is given back late is not saved up");
    }

    proptest! {
        /// In any time no more is taken than what was saved up and what drips meanwhile.
        #[test]
        fn no_more_is_taken_than_drips(per_second in 1..1000_u64, steps in prop::collection::vec(0..400_u64, 1..300)) {
            let begun = Instant::now();
            let rate = Rate::new(per_second, SECOND);
            let (mut now, mut taken) = (begun, 0);
            let mut bucket = Bucket::full(begun);
            for milliseconds in steps {
                now += Duration::from_millis(milliseconds);
                if let Err(wait) = bucket.take(now, rate) {
                    now += wait;
                    prop_assert_eq!(bucket.take(now, rate), Ok(()));
                }
                taken += 1;
                let most = per_second as f64 * (now - begun + SECOND).as_secs_f64();
                prop_assert!(taken as f64 <= most + 0.001, "{taken} of {most}");
            }
        }
    }
}
