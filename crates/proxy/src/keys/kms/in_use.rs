//! The token in use, and one login at a time for all who need another.
//!
//! Knows that tokens end and that logins fail. Must not know how a token is fetched or what it is used for.
//!
//! A good token is there for everybody, whatever goes on beside it.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{Mutex, MutexGuard, watch},
    time::Instant,
};

use super::KmsError;

/// A token younger than this is not replaced because a request was refused.
const YOUNG: Duration = Duration::from_secs(10);

/// What must be known of a token to go on with it.
pub(super) trait Lasting {
    /// When it was given.
    fn begun(&self) -> Instant;

    /// Whether its time is over.
    fn over(&self) -> bool;
}

/// The token in use.
pub(super) struct InUse<T> {
    token: watch::Sender<Option<Arc<T>>>,
    /// Held during a login or a renewal; when the last login failed, if it did.
    turn: Mutex<Option<Instant>>,
}

/// The right to log in or to renew, which one has at a time.
pub(super) struct Turn<'a, T> {
    of: &'a InUse<T>,
    failed: MutexGuard<'a, Option<Instant>>,
}

impl<T: Lasting> InUse<T> {
    pub(super) fn new() -> Self {
        Self { token: watch::Sender::new(None), turn: Mutex::new(None) }
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
    /// What `login` failed with.
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

    /// A newer token after a request with `refused` was; `None`: there is no better one to be had.
    ///
    /// # Errors
    /// As [`InUse::good_or`].
    pub(super) async fn instead_of<F>(&self, refused: &Arc<T>, login: F) -> Result<Option<Arc<T>>, KmsError>
    where
        F: Future<Output = Result<T, KmsError>>,
    {
        let turn = self.turn().await;
        match self.known() {
            Some(token) if !Arc::ptr_eq(&token, refused) => Ok(Some(token)),
            // Its login was a moment ago, so the refusal is about the request.
            Some(token) if token.begun().elapsed() < YOUNG => Ok(None),
            _ => turn.log_in(login).await.map(Some),
        }
    }

    /// Waits until nobody else logs in or renews.
    pub(super) async fn turn(&self) -> Turn<'_, T> {
        Turn { of: self, failed: self.turn.lock().await }
    }

    /// The turn, if nobody has it.
    #[cfg(feature = "_bearer")]
    pub(super) fn turn_now(&self) -> Option<Turn<'_, T>> {
        self.turn.try_lock().ok().map(|failed| Turn { of: self, failed })
    }
}

impl<T> Turn<'_, T> {
    /// Whether the last login failed, and less than this long ago.
    #[cfg(feature = "_bearer")]
    pub(super) fn failed_within(&self, time: Duration) -> bool {
        self.failed.as_ref().is_some_and(|failed| failed.elapsed() < time)
    }

    /// Logs in.
    ///
    /// # Errors
    /// What `login` failed with.
    pub(super) async fn log_in<F>(mut self, login: F) -> Result<Arc<T>, KmsError>
    where
        F: Future<Output = Result<T, KmsError>>,
    {
        match login.await {
            Ok(token) => Ok(self.hand_out(token)),
            Err(error) => {
                *self.failed = Some(Instant::now());
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
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    struct Token(Instant, Duration);

    impl Lasting for Token {
        fn begun(&self) -> Instant {
            self.0
        }

        fn over(&self) -> bool {
            self.0.elapsed() >= self.1
        }
    }

    const LOGIN: Duration = Duration::from_secs(2);
    const LIFE: Duration = Duration::from_secs(300);

    /// A login of two seconds.
    async fn login(count: &AtomicU64) -> Result<Token, KmsError> {
        count.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(LOGIN).await;
        Ok(Token(Instant::now(), LIFE))
    }

    #[tokio::test(start_paused = true)]
    async fn a_login_that_is_given_up_is_begun_again_by_the_next() {
        let (tokens, count) = (InUse::new(), AtomicU64::new(0));
        let leaving = tokio::time::timeout(LOGIN / 2, tokens.good_or(login(&count)));
        let (left, stayed) = tokio::join!(leaving, tokens.good_or(login(&count)));
        assert!(left.is_err() && stayed.is_ok());
        assert_eq!(count.load(Ordering::SeqCst), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_good_token_is_there_while_somebody_renews_it() {
        let (tokens, count) = (InUse::new(), AtomicU64::new(0));
        let first = tokens.good_or(login(&count)).await.ok().unwrap();
        let (renewing, begun) = (tokens.turn().await, Instant::now());
        assert!(Arc::ptr_eq(&tokens.good_or(login(&count)).await.ok().unwrap(), &first));
        assert_eq!(begun.elapsed(), Duration::ZERO);
        let renewed = renewing.hand_out(Token(Instant::now(), LIFE));
        assert!(Arc::ptr_eq(&tokens.good_or(login(&count)).await.ok().unwrap(), &renewed));
        assert_eq!(count.load(Ordering::SeqCst), 1);
    }
}
