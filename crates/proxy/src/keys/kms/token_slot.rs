//! The token in use, and one login at a time for all who need another.
//!
//! Knows that tokens end and that logins fail. Must not know how a token is fetched or what it is used for.
//!
//! A good token is there for everybody, whatever goes on beside it. Without one, a login in flight answers all who came
//! while it ran, its failure too: each of them logging in again would wait for those before it, and a wrong secret shown
//! once per reader locks the account.

use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, time::Instant};

use super::KmsError;

/// A token that was known to be good this short a time ago is not replaced because a request was refused.
const YOUNG: Duration = Duration::from_secs(10);
/// A renewal that did not come through is tried again after this long, as long as the old token is good.
pub(super) const AGAIN: Duration = Duration::from_secs(10);

/// What must be known of a token to go on with it.
pub(super) trait Expires {
    /// Whether its time is over.
    fn is_expired(&self) -> bool;

    /// Whether it ends so soon that the next who comes should fetch another one. `false`: somebody else renews it.
    fn is_due(&self) -> bool {
        false
    }
}

/// The place of the token in use.
pub(super) struct TokenSlot<T>(watch::Sender<State<T>>);

/// All there is to know. Whoever waits is woken by every change of it.
struct State<T> {
    token: Option<Arc<T>>,
    /// When that one was last known to be good: when it was given, or when it was asked about.
    good_at: Instant,
    /// Whether somebody logs in or renews.
    refreshing: bool,
    /// How many logins have failed; whoever waited while it grew has the failure for an answer.
    failures: u64,
    /// How the last login failed, if it did.
    failure: Option<LoginFailure>,
}

struct LoginFailure {
    at: Instant,
    error: KmsError,
}

/// The right to log in or to renew, which one has at a time and until it is dropped.
pub(super) struct Refresh<'a, T> {
    slot: &'a TokenSlot<T>,
    /// How many logins had failed when this right was first wanted.
    failures: u64,
}

impl<T: Expires> TokenSlot<T> {
    pub(super) fn new() -> Self {
        let state = State { token: None, good_at: Instant::now(), refreshing: false, failures: 0, failure: None };
        Self(watch::Sender::new(state))
    }

    /// The token if it is good, else another one by `login`, which is not begun where somebody else's will do. One that is due
    /// is replaced by the first who comes; the others go on with it.
    ///
    /// # Errors
    /// What `login`, or the one that was waited for, failed with.
    pub(super) async fn get<F>(&self, login: F) -> Result<Arc<T>, KmsError>
    where
        F: Future<Output = Result<T, KmsError>>,
    {
        let good = || self.token().filter(|token| !token.is_expired());
        if let Some(token) = good() {
            return Ok(if token.is_due() { self.replaced(token, login).await } else { token });
        }
        let refresh = self.refresh().await;
        match good() {
            Some(token) => Ok(token),
            None => refresh.log_in(login).await,
        }
    }

    /// Another token in the place of one that is due; the old one where somebody is at it already, or where it fails.
    async fn replaced<F>(&self, due: Arc<T>, login: F) -> Arc<T>
    where
        F: Future<Output = Result<T, KmsError>>,
    {
        let Some(refresh) = self.try_refresh() else { return due };
        let is_current = self.token().is_some_and(|current| Arc::ptr_eq(&current, &due));
        if !is_current || refresh.failed_within(AGAIN) {
            return due;
        }
        match refresh.log_in(login).await {
            Ok(newer) => newer,
            Err(error) => {
                tracing::warn!(failure = ?error.failure(), "the token for the KMS could not be renewed; trying again");
                due
            }
        }
    }

    /// A newer token after a request with `refused` was; `None`: there is no better one to be had. `holds` asks whether that
    /// one is still good: if so the refusal was about the request. One asks for all who were refused.
    ///
    /// # Errors
    /// As [`TokenSlot::get`], and what `holds` failed with.
    pub(super) async fn refresh_unless_newer<F, H>(
        &self,
        refused: &Arc<T>,
        holds: H,
        login: F,
    ) -> Result<Option<Arc<T>>, KmsError>
    where
        F: Future<Output = Result<T, KmsError>>,
        H: Future<Output = Result<bool, KmsError>>,
    {
        let refresh = self.refresh().await;
        match self.token() {
            Some(token) if !Arc::ptr_eq(&token, refused) => Ok(Some(token)),
            // Its login was a moment ago, so the refusal is about the request.
            Some(_) if self.0.borrow().good_at.elapsed() < YOUNG => Ok(None),
            Some(_) if holds.await? => {
                self.0.send_modify(|state| state.good_at = Instant::now());
                Ok(None)
            }
            _ => refresh.log_in(login).await.map(Some),
        }
    }
}

impl<T> TokenSlot<T> {
    /// The token, good or not. Waits for nobody.
    pub(super) fn token(&self) -> Option<Arc<T>> {
        self.0.borrow().token.clone()
    }

    /// Tells of every token from now on.
    #[cfg(feature = "openbao")]
    pub(super) fn watch(&self) -> SlotWatch<T> {
        SlotWatch(self.0.subscribe())
    }

    /// Waits until nobody else logs in or renews.
    pub(super) async fn refresh(&self) -> Refresh<'_, T> {
        let mut changes = self.0.subscribe();
        let failures = changes.borrow_and_update().failures;
        loop {
            if self.claim() {
                return Refresh { slot: self, failures };
            }
            // Ends with the slot alone, which is borrowed here.
            let _ = changes.changed().await;
        }
    }

    /// The right to refresh, if nobody has it.
    fn try_refresh(&self) -> Option<Refresh<'_, T>> {
        let failures = self.0.borrow().failures;
        self.claim().then_some(Refresh { slot: self, failures })
    }

    fn claim(&self) -> bool {
        // Wakes nobody: there is nothing in it for those who wait.
        let mut claimed = false;
        self.0.send_if_modified(|state| {
            claimed = !std::mem::replace(&mut state.refreshing, true);
            false
        });
        claimed
    }
}

impl<T> Refresh<'_, T> {
    /// Whether the last login failed, and less than this long ago.
    fn failed_within(&self, time: Duration) -> bool {
        self.slot.0.borrow().failure.as_ref().is_some_and(|failure| failure.at.elapsed() < time)
    }

    /// Logs in, if no login failed while this right was waited for; its failure is the answer then.
    ///
    /// # Errors
    /// That, or what `login` failed with.
    pub(super) async fn log_in<F>(self, login: F) -> Result<Arc<T>, KmsError>
    where
        F: Future<Output = Result<T, KmsError>>,
    {
        if let Some(error) = self.shared_failure() {
            return Err(error);
        }
        match login.await {
            Ok(token) => Ok(self.put(token)),
            Err(error) => {
                self.slot.0.send_modify(|state| {
                    state.failures += 1;
                    state.failure = Some(LoginFailure { at: Instant::now(), error: error.clone() });
                });
                Err(error)
            }
        }
    }

    /// How a login failed while this right was waited for, if it did.
    fn shared_failure(&self) -> Option<KmsError> {
        let state = self.slot.0.borrow();
        if state.failures == self.failures {
            return None;
        }
        state.failure.as_ref().map(|failure| failure.error.clone())
    }

    /// Puts a token into use.
    pub(super) fn put(self, token: T) -> Arc<T> {
        let token = Arc::new(token);
        self.slot.0.send_modify(|state| {
            state.token = Some(Arc::clone(&token));
            state.good_at = Instant::now();
            state.failure = None;
        });
        token
    }
}

impl<T> Drop for Refresh<'_, T> {
    fn drop(&mut self) {
        self.slot.0.send_modify(|state| state.refreshing = false);
    }
}

/// Sees the tokens of a slot, and does not keep it alive.
#[cfg(feature = "openbao")]
pub(super) struct SlotWatch<T>(watch::Receiver<State<T>>);

#[cfg(feature = "openbao")]
impl<T> SlotWatch<T> {
    /// The token, good or not.
    pub(super) fn token(&mut self) -> Option<Arc<T>> {
        self.0.borrow_and_update().token.clone()
    }

    /// Returns when there may be another one. `false`: the slot is gone.
    pub(super) async fn changed(&mut self) -> bool {
        self.0.changed().await.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use futures_util::future::join_all;

    use super::{super::Failure, *};

    struct Token(Instant, Duration);

    impl Expires for Token {
        fn is_expired(&self) -> bool {
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
        let (tokens, count, begun) = (TokenSlot::new(), AtomicU64::new(0), Instant::now());
        for (round, failure) in [(1, Failure::Unreachable), (2, Failure::BadCredentials)] {
            let all = join_all((0..12).map(|_| tokens.get(login(&count, Some(failure))))).await;
            assert!(all.iter().all(|one| one.as_ref().is_err_and(|error| error.failure() == failure)));
            assert_eq!((count.load(Ordering::SeqCst), begun.elapsed()), (round, LOGIN * round as u32));
        }
        assert!(tokens.get(login(&count, None)).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn refused_tokens_share_a_failed_login_as_well() {
        let (tokens, count) = (TokenSlot::new(), AtomicU64::new(0));
        let refused = tokens.get(login(&count, None)).await.ok().unwrap();
        tokio::time::advance(YOUNG).await;
        let begun = Instant::now();
        let denied = || login(&count, Some(Failure::BadCredentials));
        let all = join_all((0..12).map(|_| tokens.refresh_unless_newer(&refused, async { Ok(false) }, denied()))).await;
        assert!(all.iter().all(Result::is_err));
        assert_eq!((count.load(Ordering::SeqCst), begun.elapsed()), (2, LOGIN));
    }

    #[tokio::test(start_paused = true)]
    async fn a_login_that_is_given_up_is_begun_again_by_the_next() {
        let (tokens, count) = (TokenSlot::new(), AtomicU64::new(0));
        let leaving = tokio::time::timeout(LOGIN / 2, tokens.get(login(&count, None)));
        let (left, stayed) = tokio::join!(leaving, tokens.get(login(&count, None)));
        assert!(left.is_err() && stayed.is_ok());
        assert_eq!(count.load(Ordering::SeqCst), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_good_token_is_there_while_somebody_renews_it() {
        let (tokens, count) = (TokenSlot::new(), AtomicU64::new(0));
        let first = tokens.get(login(&count, None)).await.ok().unwrap();
        let (renewing, begun) = (tokens.refresh().await, Instant::now());
        assert!(Arc::ptr_eq(&tokens.get(login(&count, None)).await.ok().unwrap(), &first));
        assert_eq!(begun.elapsed(), Duration::ZERO);
        let renewed = renewing.put(Token(Instant::now(), LIFE));
        assert!(Arc::ptr_eq(&tokens.get(login(&count, None)).await.ok().unwrap(), &renewed));
        assert_eq!(count.load(Ordering::SeqCst), 1);
    }
}
