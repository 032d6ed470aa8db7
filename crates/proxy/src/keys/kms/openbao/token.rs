//! The token that requests carry: given, or fetched with AppRole and kept alive.
//!
//! Knows logins, leases and the clock. Must not know what the token is used for.
//!
//! A fetched token is renewed in the background when two thirds of its time are over, used or not: a secret id may be good for
//! a single login. When it cannot be renewed, or only for less than half of its first time (its greatest age is near),
//! there is a new login.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use serde::Serialize;
use tokio::{sync::Mutex, time::Instant};
use zeroize::Zeroizing;

use super::{
    Login, Service,
    answer::{self, Granted},
};
use crate::keys::kms::{Failure, KmsError, secret::Wiped};

/// A renewal that did not come through is tried again after this long.
const AGAIN: Duration = Duration::from_secs(10);
/// A token younger than this is not replaced because a request was refused.
const YOUNG: Duration = Duration::from_secs(10);

/// A token and how long it is good for.
pub(super) struct Token {
    text: Zeroizing<String>,
    begun: Instant,
    /// `None`: it does not end.
    lasts: Option<Duration>,
    /// The time that the login gave, which renewals are measured by.
    first: Duration,
    renewable: bool,
}

impl Token {
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    fn new(granted: Granted, first: Option<Duration>) -> Self {
        let Granted { token, lasts, renewable } = granted;
        let first = first.unwrap_or(lasts);
        Self { text: token, begun: Instant::now(), lasts: (!lasts.is_zero()).then_some(lasts), first, renewable }
    }

    fn over(&self) -> bool {
        self.lasts.is_some_and(|lasts| self.begun.elapsed() >= lasts)
    }

    /// When it should be renewed; `None`: never.
    fn due(&self) -> Option<Instant> {
        self.lasts.map(|lasts| self.begun + lasts.mul_f64(2.0 / 3.0))
    }
}

/// Where tokens come from.
pub(super) struct Tokens {
    service: Service,
    login: Login,
    /// Held during a login or a renewal, so that there is one for all who wait.
    current: Mutex<Option<Arc<Token>>>,
}

impl Tokens {
    pub(super) fn new(service: Service, login: Login) -> Arc<Self> {
        Arc::new(Self { service, login, current: Mutex::new(None) })
    }

    /// A token that should be good.
    ///
    /// # Errors
    /// When the login is refused or does not come through.
    pub(super) async fn current(self: &Arc<Self>) -> Result<Arc<Token>, KmsError> {
        let mut current = self.current.lock().await;
        match current.as_ref() {
            Some(token) if !token.over() => Ok(Arc::clone(token)),
            _ => self.replace(&mut current).await,
        }
    }

    /// A newer token after a request with `refused` was; `None`: there is no better one to be had.
    ///
    /// # Errors
    /// As [`Tokens::current`].
    pub(super) async fn instead_of(self: &Arc<Self>, refused: &Arc<Token>) -> Result<Option<Arc<Token>>, KmsError> {
        if matches!(self.login, Login::Token(_)) {
            return Ok(None);
        }
        let mut current = self.current.lock().await;
        match current.as_ref() {
            Some(token) if !Arc::ptr_eq(token, refused) => Ok(Some(Arc::clone(token))),
            // Its login was a moment ago, so the refusal is about the request.
            Some(token) if token.begun.elapsed() < YOUNG => Ok(None),
            _ => self.replace(&mut current).await.map(Some),
        }
    }

    /// Logs in.
    async fn replace(self: &Arc<Self>, current: &mut Option<Arc<Token>>) -> Result<Arc<Token>, KmsError> {
        let (granted, kept_alive) = match &self.login {
            Login::Token(text) => (Granted { token: text.clone(), lasts: Duration::ZERO, renewable: false }, true),
            Login::AppRole { role_id, secret_id, path } => {
                let input = LoginInput { role_id: role_id.as_str(), secret_id: secret_id.as_str() };
                let body = serde_json::to_string(&input)
                    .map_err(|_| KmsError::new(Failure::BadCredentials, "they do not fit into a request"))?;
                let body = Bytes::from_owner(Wiped::new(body));
                let answer = self.service.post(&format!("{path}/login"), None, body).await?;
                if !answer.status.is_success() {
                    return Err(answer::refused_login(&answer));
                }
                (answer::granted(&answer.body)?, current.is_some())
            }
        };
        let token = Arc::new(Token::new(granted, None));
        tracing::debug!(lasts = ?token.lasts, renewable = token.renewable, "logged in to the KMS");
        *current = Some(Arc::clone(&token));
        // One keeper for all tokens: it was started with the first one.
        if !kept_alive {
            tokio::spawn(keep_alive(Arc::downgrade(self)));
        }
        Ok(token)
    }

    /// Renews the token in use, or fetches another one.
    fn renew(self: Arc<Self>) -> BoxFuture<'static, Result<(), KmsError>> {
        // Boxed, because a renewal may log in, which starts the one that renews.
        Box::pin(async move { self.renew_if_due().await })
    }

    async fn renew_if_due(self: &Arc<Self>) -> Result<(), KmsError> {
        let mut current = self.current.lock().await;
        let Some(token) = current.clone().filter(|token| token.due().is_some_and(|due| due <= Instant::now())) else {
            return Ok(());
        };
        if token.renewable && !token.over() {
            let answer =
                self.service.post("auth/token/renew-self", Some(token.text()), Bytes::from_static(b"{}")).await?;
            if answer.status.is_success() {
                let granted = answer::granted(&answer.body)?;
                if granted.lasts.is_zero() || granted.lasts >= token.first / 2 {
                    tracing::debug!(lasts = ?granted.lasts, "renewed the token for the KMS");
                    *current = Some(Arc::new(Token::new(granted, Some(token.first))));
                    return Ok(());
                }
            } else {
                let refused = answer::refused_login(&answer);
                if refused.failure().passing() {
                    return Err(refused);
                }
            }
        }
        self.replace(&mut current).await.map(drop)
    }
}

/// Renews tokens for as long as somebody has the provider.
async fn keep_alive(tokens: Weak<Tokens>) {
    loop {
        let due = match tokens.upgrade() {
            Some(tokens) => tokens.current.lock().await.as_ref().and_then(|token| token.due()),
            None => return,
        };
        // A token without end may still be replaced by one that has one.
        tokio::time::sleep_until(due.unwrap_or_else(|| Instant::now() + 6 * 60 * AGAIN)).await;
        let Some(tokens) = tokens.upgrade() else { return };
        if let Err(error) = tokens.renew().await {
            tracing::warn!(failure = ?error.failure(), "the token for the KMS could not be renewed; trying again");
            tokio::time::sleep(AGAIN).await;
        }
    }
}

#[derive(Serialize)]
struct LoginInput<'a> {
    role_id: &'a str,
    secret_id: &'a str,
}
