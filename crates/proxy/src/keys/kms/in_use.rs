//! The token in use, and one login at a time for all who need another.
//!
//! Knows that tokens end and that logins fail. Must not know how a token is fetched or what it is used for.
//!
//! A good token is there for everybody, whatever goes on beside it. Without one, a login in flight answers all who came
//! while it ran, its failure too: each of them logging in again would wait for those before it, and a wrong secret shown
//! once per reader locks the account.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Mutex, MutexGuard, watch},
    time::Instant,
};

use super::KmsError;

/// A token that was known to be good this short a time ago is not replaced because a request was refused.
const YOUNG: Duration = Duration::from_secs(10);

/// What must be known of a token to go on with it.
pub(super) trait Lasting {
    /// When it was last known to be good: when it was given, or when it was asked about.
    fn proven(&self) -> Instant;

    /// It was asked about just now, and is good.
    fn prove(&self) {}

    /// Whether its time is over.
    fn over(&self) -> bool;
}

/// The token in use.
pub(super) struct InUse<T> {
    token: watch::Sender<Option<Arc<T>>>,
    /// How many logins have failed; whoever waited while it grew has the failure for an answer.
    failures: AtomicU64,
    /// Held during a login or a renewal; how the last login failed, if it did.
    turn: Mutex<Option<FailedLogin>>,
}

struct FailedLogin {
    #[cfg_attr(not(feature = "_bearer"), allow(dead_code, reason = "others have a clock of their own for renewals"))]
    at: Instant,
    error: KmsError,
}

/// The right to log in or to renew, which one has at a time.
pub(super) struct Turn<'a, T> {
    of: &'a InUse<T>,
    failed: MutexGuard<'a, Option<FailedLogin>>,
    /// Whether that was while this turn was waited for.
    shared: bool,
}

impl<T: Lasting> InUse<T> {
    pub(super) fn new() -> Self {
        Self { token: watch::Sender::new(None), failures: AtomicU64::new(0), turn: Mutex::new(None) }
    }

    /// The token, good or not. Waits for nobody.
    pub(super) fn known(&self) -> Option<Arc<T>> {
        self.token.borrow().clone()
    }

    /// Tells of every token from now on.
    #[cfg(feature = "openbao")]
    pub(super) fn subscribe(&self) -> watch::Receiver<Option<Arc<T>>> {
        self.token.subscribe()
    }

    /// The token if it is good, else another one by `login`, which is not begun where somebody else's will do.
    ///
    /// # Errors
    /// What `login`, or the one that was waited for, failed with.
    pub(super) async fn good_or<F>(&self, login: F) -> Result<Arc<T>, KmsError>
    where
        F: Future<Output = Result<T, KmsError>>,
    {
        let good = || self.known().filter(|token| !token.over());
        if let Some(token) = good() {
            return Ok(token);
        }
        let turn = self.turn().await;
        match good() {
            Some(token) => Ok(token),
            None => turn.log_in(login).await,
        }
    }

    /// A newer token after a request with `refused` was; `None`: there is no better one to be had. `holds` asks whether that
    /// one is still good: if so the refusal was about the request. One asks for all who were refused.
    ///
    /// # Errors
    /// As [`InUse::good_or`], and what `holds` failed with.
    pub(super) async fn instead_of<F, H>(
        &self,
        refused: &Arc<T>,
        holds: H,
        login: F,
    ) -> Result<Option<Arc<T>>, KmsError>
    where
        F: Future<Output = Result<T, KmsError>>,
        H: Future<Output = Result<bool, KmsError>>,
    {
        let turn = self.turn().await;
        match self.known() {
            Some(token) if !Arc::ptr_eq(&token, refused) => Ok(Some(token)),
            // Its login was a moment ago, so the refusal is about the request.
            Some(token) if token.proven().elapsed() < YOUNG => Ok(None),
            Some(token) if holds.await? => {
                token.prove();
                Ok(None)
            }
            _ => turn.log_in(login).await.map(Some),
        }
    }

    /// Waits until nobody else logs in or renews.
    pub(super) async fn turn(&self) -> Turn<'_, T> {
        let before = self.failures.load(Ordering::SeqCst);
        let failed = self.turn.lock().await;
        Turn { of: self, failed, shared: self.failures.load(Ordering::SeqCst) != before }
    }

    /// The turn, if nobody has it.
    #[cfg(feature = "_bearer")]
    pub(super) fn turn_now(&self) -> Option<Turn<'_, T>> {
        self.turn.try_lock().ok().map(|failed| Turn { of: self, failed, shared: false })
    }
}

impl<T> Turn<'_, T> {
    /// Whether the last login failed, and less than this long ago.
    #[cfg(feature = "_bearer")]
    pub(super) fn failed_within(&self, time: Duration) -> bool {
        self.failed.as_ref().is_some_and(|failed| failed.at.elapsed() < time)
    }

    /// Logs in, if no login failed while this turn was waited for; its failure is the answer then.
    ///
    /// # Errors
    /// That, or what `login` failed with.
    pub(super) async fn log_in<F>(mut self, login: F) -> Result<Arc<T>, KmsError>
    where
        F: Future<Output = Result<T, KmsError>>,
    {
        if self.shared
            && let Some(failed) = &*self.failed
        {
            return Err(failed.error.clone());
        }
        match login.await {
            Ok(token) => Ok(self.hand_out(token)),
            Err(error) => {
                *self.failed = Some(FailedLogin { at: Instant::now(), error: error.clone() });
                self.of.failures.fetch_add(1, Ordering::SeqCst);
                Err(error)
            }
        }
    }

    /// Puts a token into use.
    pub(super) fn hand_out(mut self, token: T) -> Arc<T> {
        let token = Arc::new(token);
        *self.failed = None;
        self.of.token.send_replace(Some(Arc::clone(&token)));
        token
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;

    use super::{super::Failure, *};

    struct Token(Instant, Duration);

    impl Lasting for Token {
        fn proven(&self) -> Instant {
            self.0
        }

        fn over(&self) -> bool {
            self.0.elapsed() >= self.1
        }
    }

    const LOGIN: Duration = Duration::from_secs(2);
    const LIFE: Duration = Duration::from_secs(300);

    /// A login of two seconds.
    async fn login(count: &AtomicU64, fails: Option<Failure>) -> Result<Token, KmsError> {
        count.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(LOGIN).await;
        match fails {
            Some(failure) => Err(KmsError::new(failure, "")),
            None => Ok(Token(Instant::now(), LIFE)),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_login_that_fails_is_the_answer_to_all_who_waited_and_to_nobody_later() {
        let (tokens, count, begun) = (InUse::new(), AtomicU64::new(0), Instant::now());
        for (round, failure) in [(1, Failure::Unreachable), (2, Failure::BadCredentials)] {
            let all = join_all((0..12).map(|_| tokens.good_or(login(&count, Some(failure))))).await;
            assert!(all.iter().all(|one| one.as_ref().is_err_and(|error| error.failure() == failure)));
            assert_eq!((count.load(Ordering::SeqCst), begun.elapsed()), (round, LOGIN * round as u32));
        }
        assert!(tokens.good_or(login(&count, None)).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn refused_tokens_share_a_failed_login_as_well() {
        let (tokens, count) = (InUse::new(), AtomicU64::new(0));
        let refused = tokens.good_or(login(&count, None)).await.ok().unwrap();
        tokio::time::advance(YOUNG).await;
        let begun = Instant::now();
        let denied = || login(&count, Some(Failure::BadCredentials));
        let all = join_all((0..12).map(|_| tokens.instead_of(&refused, async { Ok(false) }, denied()))).await;
        assert!(all.iter().all(Result::is_err));
        assert_eq!((count.load(Ordering::SeqCst), begun.elapsed()), (2, LOGIN));
    }

    #[tokio::test(start_paused = true)]
    async fn a_login_that_is_given_up_is_begun_again_by_the_next() {
        let (tokens, count) = (InUse::new(), AtomicU64::new(0));
        let leaving = tokio::time::timeout(LOGIN / 2, tokens.good_or(login(&count, None)));
        let (left, stayed) = tokio::join!(leaving, tokens.good_or(login(&count, None)));
        assert!(left.is_err() && stayed.is_ok());
        assert_eq!(count.load(Ordering::SeqCst), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_good_token_is_there_while_somebody_renews_it() {
        let (tokens, count) = (InUse::new(), AtomicU64::new(0));
        let first = tokens.good_or(login(&count, None)).await.ok().unwrap();
        let (renewing, begun) = (tokens.turn().await, Instant::now());
        assert!(Arc::ptr_eq(&tokens.good_or(login(&count, None)).await.ok().unwrap(), &first));
        assert_eq!(begun.elapsed(), Duration::ZERO);
        let renewed = renewing.hand_out(Token(Instant::now(), LIFE));
        assert!(Arc::ptr_eq(&tokens.good_or(login(&count, None)).await.ok().unwrap(), &renewed));
        assert_eq!(count.load(Ordering::SeqCst), 1);
    }
}
